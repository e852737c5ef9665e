//! Every command of the book's Install, Upgrade, Uninstall and Operate, in the order in which somebody might give them. There is no node:
//! controllers are real, and the test does for our pods what a kubelet would. What only a node can show stands in `node-commands.txt`.

use super::helm::{CLASSES, get, root};
use super::pods::pod;
use super::stage::{CONFIGURATION, NAMESPACE, Stage, environment, free_port};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;
use tokio::process::{Child, Command};

const PAGES: [&str; 4] = ["install.md", "upgrade.md", "uninstall.md", "operate.md"];
/// What somebody has to bring along.
const ELSEWHERE: [(&str, &str); 2] = [
    ("skopeo copy oci-archive:target/images/webhook", "a registry of one's own"),
    ("skopeo copy oci-archive:target/images/injector", "a registry of one's own"),
];
const NODE: &str = include_str!("../../../data/chart/node-commands.txt");

/// Commands of the pages' `sh` blocks, each once; a line that ends in `\` goes on.
fn commands() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for page in PAGES {
        let text = std::fs::read_to_string(root().join("docs").join(page)).unwrap().replace("\\\n", "");
        let mut inside = false;
        for line in text.lines().map(str::trim) {
            match line {
                "```sh" => inside = true,
                "```" => inside = false,
                _ if inside => drop(found.insert(line.split_whitespace().collect::<Vec<_>>().join(" "))),
                _ => {}
            }
        }
    }
    found
}

struct Reader<'a> {
    stage: &'a Stage,
    path: PathBuf,
    kubeconfig: PathBuf,
    unread: BTreeSet<String>,
    commands: BTreeSet<String>,
}

impl<'a> Reader<'a> {
    async fn of(stage: &'a Stage) -> Self {
        let path = stage.directory.path().join("bin");
        std::fs::create_dir(&path).unwrap();
        std::os::unix::fs::symlink(environment("KEYSLUICE_COMPONENTS"), path.join("kubectl")).unwrap();
        std::os::unix::fs::symlink(environment("KEYSLUICE_HELM"), path.join("helm")).unwrap();
        let (kubeconfig, commands) = (stage.admin_kubeconfig().await, commands());
        Self { stage, path, kubeconfig, unread: commands.clone(), commands }
    }

    /// Gives the one command of the book that begins so; `pod.yaml` is a labelled pod.
    async fn give(&mut self, beginning: &str) -> String {
        let mut fitting = self.commands.iter().filter(|command| command.starts_with(beginning));
        // The shortest comes first: it may be the beginning of another.
        let command = fitting.next().unwrap_or_else(|| panic!("the book has no command {beginning:?}")).clone();
        assert!(command == beginning || fitting.next().is_none(), "{beginning:?} is not one command");
        self.unread.remove(&command);
        let home = self.stage.directory.path();
        let manifest = home.join("pod.yaml").display().to_string();
        let mut shell = Command::new("sh");
        shell.args(["-euc", &command.replace("pod.yaml", &manifest)]).current_dir(root()).kill_on_drop(true);
        let path = format!("{}:{}", self.path.display(), std::env::var("PATH").unwrap());
        shell.env("PATH", path).env("KUBECONFIG", &self.kubeconfig).env("HOME", home);
        let output = shell.output().await.unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{command}: {text}");
        println!("{command}");
        text
    }

    async fn read(&mut self) {
        tokio::fs::write(self.stage.directory.path().join("pod.yaml"), pod("p", "default", true).to_string())
            .await
            .unwrap();

        self.give("helm install keysluice webhook-config/chart --namespace keysluice-system --create-namespace --set azureTenantID").await;
        self.give("kubectl --namespace keysluice-system rollout status").await;
        self.give("kubectl get mutatingwebhookconfiguration keysluice").await;
        {
            let _webhook = self.stage.serve(&[]).await;
            let shown = self.give("kubectl create --dry-run=server").await;
            assert!(shown.contains("azure-workload-identity-reserved-"), "{shown}");
        }
        self.stage.lead_back().await;

        self.give("helm upgrade keysluice").await;
        // As a definition of an older chart would be, with Helm's name on it.
        let old = json!([{"op": "add", "path": "/spec/versions/1/schema/openAPIV3Schema/description", "value": "old"}]);
        self.stage.request(Method::PATCH, &format!("{CLASSES}?fieldManager=helm"), Some(&old)).await.unwrap();
        self.give("kubectl apply --server-side --force-conflicts -f webhook-config/chart/crds").await;
        assert_ne!(
            get(self.stage, CLASSES).await.unwrap().pointer("/spec/versions/1/schema/openAPIV3Schema/description"),
            Some(&json!("old"))
        );
        self.give("helm rollback keysluice").await;

        let shown = self.give("kubectl --namespace keysluice-system get pods").await;
        assert!(shown.contains("keysluice-"), "{shown}");
        self.give("kubectl get mutatingwebhookconfiguration keysluice --output yaml").await;
        let shown = self.give("kubectl get validatingadmissionpolicy,").await;
        assert!(shown.contains("keysluice-guard-identity"), "{shown}");
        self.stop_refusing().await;
        self.give("helm upgrade keysluice").await;
        assert!(get(self.stage, CONFIGURATION).await.is_some(), "an upgrade brings it back");
        self.give("helm uninstall keysluice --namespace keysluice-system --wait").await;
        assert!(get(self.stage, CONFIGURATION).await.is_none());
        self.give("kubectl delete customresourcedefinition").await;

        self.give("kubectl create -f webhook-config/chart/crds").await;
        self.give("kubectl apply -f webhook-config/install.yaml").await;
        self.stop_refusing().await;
        self.give("kubectl delete --ignore-not-found -f webhook-config/install.yaml").await;
        let namespace = format!("/api/v1/namespaces/{NAMESPACE}");
        assert!(get(self.stage, &namespace).await.is_none(), "that of install.yaml goes with the rest");

        self.give("helm install keysluice webhook-config/chart --namespace keysluice-system --create-namespace --wait")
            .await;
        self.stop_refusing().await;
        self.give("helm uninstall keysluice --namespace keysluice-system --no-hooks").await;
        assert!(get(self.stage, &namespace).await.is_some(), "that of Helm stays");
    }

    async fn stop_refusing(&mut self) {
        self.give("kubectl delete --ignore-not-found validatingadmissionpolicybinding").await;
        self.give("sleep").await;
        self.give("kubectl delete --ignore-not-found mutatingwebhookconfiguration").await;
        assert!(get(self.stage, CONFIGURATION).await.is_none());
    }
}

/// Deployments, Jobs, namespaces: ended with the value.
async fn controllers(stage: &Stage) -> Child {
    let mut command = Command::new(environment("KEYSLUICE_COMPONENTS"));
    command.arg("kube-controller-manager").arg("--kubeconfig").arg(stage.admin_kubeconfig().await);
    command.args(["--controllers=*,-nodeipam", "--leader-elect=false", "--bind-address=127.0.0.1"]);
    command
        .args([format!("--secure-port={}", free_port()), format!("--cert-dir={}", stage.directory.path().display())]);
    let log = std::fs::File::create(stage.directory.path().join("controllers.log")).unwrap();
    command.stdout(std::process::Stdio::null()).stderr(log).kill_on_drop(true);
    command.spawn().unwrap()
}

/// What a kubelet does for our pods: the webhook's are ready, the job of an uninstall runs. Never ends.
async fn kubelet(stage: &Stage) {
    let mut ran = BTreeSet::new();
    loop {
        let all = format!("/api/v1/namespaces/{NAMESPACE}/pods");
        let pods = get(stage, &all).await.unwrap_or_default();
        for pod in pods["items"].as_array().into_iter().flatten() {
            let (name, spec) = (pod["metadata"]["name"].as_str().unwrap(), &pod["spec"]);
            let is_job = spec["containers"][0]["command"] == json!(["/keysluice", "cleanup"]);
            let phase = if is_job { "Succeeded" } else { "Running" };
            if pod["status"]["phase"] == phase {
                continue;
            }
            if is_job && ran.insert(pod["metadata"]["uid"].to_string()) {
                run(stage, spec).await;
            }
            let ready = json!([{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]);
            let status = json!({"status": {"phase": phase, "conditions": ready}});
            // It may be gone already; else the next round tries again.
            let _ = stage.request(Method::PATCH, &format!("{all}/{name}/status"), Some(&status)).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The job's container, with its arguments and account.
async fn run(stage: &Stage, spec: &Value) {
    let container = &spec["containers"][0];
    let mut command = Command::new(environment("KEYSLUICE_BINARY"));
    command.arg("cleanup").args(container["args"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()));
    let kubeconfig = stage.kubeconfig(spec["serviceAccountName"].as_str().unwrap()).await;
    let output = command.arg("--kubeconfig").arg(kubeconfig).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn every_command_of_the_book_does_what_it_says() {
    let stage = Stage::open().await;
    let _controllers = controllers(&stage).await;
    let mut reader = Reader::of(&stage).await;
    tokio::select! {
        () = reader.read() => {}
        () = kubelet(&stage) => {}
    }
    for command in NODE.lines() {
        assert!(reader.unread.remove(command), "node-commands.txt has what no page has: {command}");
    }
    for (beginning, needs) in ELSEWHERE {
        let before = reader.unread.len();
        reader.unread.retain(|command| !command.starts_with(beginning));
        assert_eq!(reader.unread.len() + 1, before, "{beginning} (needs {needs}) is not one command");
    }
    assert_eq!(reader.unread, BTreeSet::new(), "commands that nothing tests");
}
