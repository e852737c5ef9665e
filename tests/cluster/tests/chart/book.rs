//! Every command of the book's Install, Upgrade, Uninstall and Operate, in the order in which
//! somebody might give them. There is no node: controllers are real, and the test does for our pods
//! what a kubelet would. What only a node can show stands in `node-commands.txt`.

use super::helm::{CLASSES, get, root};
use super::node::{Node, controllers};
use super::pods::{pod, with_sidecar};
use super::stage::{CONFIGURATION, NAMESPACE, SIDECAR_POLICY, SWITCH, Stage, environment};
use reqwest::Method;
use serde_json::json;
use std::collections::BTreeSet;
use std::path::PathBuf;
use tokio::process::Command;

const PAGES: [&str; 4] = ["install.md", "upgrade.md", "uninstall.md", "operate.md"];
/// What somebody has to bring along.
const ELSEWHERE: [(&str, &str); 4] = [
    ("skopeo copy oci-archive:target/images/webhook", "a registry of one's own"),
    ("skopeo copy oci-archive:target/images/injector", "a registry of one's own"),
    (
        "helm upgrade keysluice webhook-config/chart --namespace keysluice-system \
         --reset-then-reuse-values --set certManager.enabled=true",
        "cert-manager: make test-peers",
    ),
    (
        "helm upgrade keysluice webhook-config/chart --namespace keysluice-system \
         --reset-then-reuse-values --set certManager.enabled=false",
        "cert-manager: make test-peers",
    ),
];
const UPGRADE: &str = "helm upgrade keysluice webhook-config/chart --namespace keysluice-system \
    --reset-then-reuse-values --wait";
const NODE: &str = include_str!("../../../data/chart/node-commands.txt");

/// Commands of the pages' `sh` blocks, each once; a line that ends in `\` goes on.
fn commands() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for page in PAGES {
        let text =
            std::fs::read_to_string(root().join("docs").join(page)).unwrap().replace("\\\n", "");
        let mut inside = false;
        for line in text.lines().map(str::trim) {
            match line {
                "```sh" => inside = true,
                "```" => inside = false,
                _ if inside => {
                    found.insert(line.split_whitespace().collect::<Vec<_>>().join(" "));
                }
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

/// The policy that stays after an uninstall.
const SECRET_TYPES: &str = concat!(
    "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/",
    "keysluice-secret-types"
);

impl<'a> Reader<'a> {
    async fn of(stage: &'a Stage) -> Self {
        let path = stage.directory.path().join("bin");
        std::fs::create_dir(&path).unwrap();
        std::os::unix::fs::symlink(environment("KEYSLUICE_COMPONENTS"), path.join("kubectl"))
            .unwrap();
        std::os::unix::fs::symlink(environment("KEYSLUICE_HELM"), path.join("helm")).unwrap();
        let (kubeconfig, commands) = (stage.admin_kubeconfig().await, commands());
        Self { stage, path, kubeconfig, unread: commands.clone(), commands }
    }

    /// Gives the one command of the book that begins so; `pod.yaml` is a labelled pod.
    async fn give(&mut self, beginning: &str) -> String {
        let mut fitting = self.commands.iter().filter(|command| command.starts_with(beginning));
        // The shortest comes first: it may be the beginning of another.
        let command = fitting
            .next()
            .unwrap_or_else(|| panic!("the book has no command {beginning:?}"))
            .clone();
        assert!(
            command == beginning || fitting.next().is_none(),
            "{beginning:?} is not one command"
        );
        self.unread.remove(&command);
        let home = self.stage.directory.path();
        let manifest = home.join("pod.yaml").display().to_string();
        let mut shell = Command::new("sh");
        shell
            .args(["-euc", &command.replace("pod.yaml", &manifest)])
            .current_dir(root())
            .kill_on_drop(true);
        let path = format!("{}:{}", self.path.display(), std::env::var("PATH").unwrap());
        shell.env("PATH", path).env("KUBECONFIG", &self.kubeconfig).env("HOME", home);
        let output = shell.output().await.unwrap();
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(output.status.success(), "{command}: {text}");
        println!("{command}");
        text
    }

    async fn read(&mut self) {
        tokio::fs::write(
            self.stage.directory.path().join("pod.yaml"),
            pod("p", "default", true).to_string(),
        )
        .await
        .unwrap();

        self.give(
            "helm upgrade --install keysluice webhook-config/chart --namespace \
            keysluice-system --create-namespace --set azureTenantID",
        )
        .await;
        self.give("kubectl --namespace keysluice-system rollout status").await;
        self.give("kubectl get mutatingwebhookconfiguration keysluice").await;
        {
            let _webhook = self.stage.serve(&[]).await;
            let shown = self.give("kubectl create --dry-run=server").await;
            assert!(shown.contains("azure-workload-identity-reserved-"), "{shown}");
        }
        self.stage.lead_back().await;

        self.give(UPGRADE).await;
        self.give("until").await;
        // As a definition of an older chart would be, with Helm's name on it.
        let old = json!([{"op": "add",
            "path": "/spec/versions/1/schema/openAPIV3Schema/description", "value": "old"}]);
        self.stage
            .request(Method::PATCH, &format!("{CLASSES}?fieldManager=helm"), Some(&old))
            .await
            .unwrap();
        self.give("kubectl apply --server-side --force-conflicts -f webhook-config/chart/crds")
            .await;
        assert_ne!(
            get(self.stage, CLASSES)
                .await
                .unwrap()
                .pointer("/spec/versions/1/schema/openAPIV3Schema/description"),
            Some(&json!("old"))
        );
        self.give("helm rollback keysluice").await;

        let shown = self.give("kubectl --namespace keysluice-system get pods").await;
        assert!(shown.contains("keysluice-"), "{shown}");
        self.give("kubectl get mutatingwebhookconfiguration keysluice --output yaml").await;
        let shown = self.give("kubectl get validatingadmissionpolicy,").await;
        assert!(shown.contains("keysluice-guard-identity"), "{shown}");
        self.stop_refusing().await;
        self.give(UPGRADE).await;
        assert!(get(self.stage, SWITCH).await.is_some(), "an upgrade brings it back");
        self.give("helm uninstall keysluice --namespace keysluice-system --wait").await;
        assert!(get(self.stage, CONFIGURATION).await.is_none());
        self.give("kubectl delete customresourcedefinition").await;

        self.give("kubectl create -f webhook-config/chart/crds").await;
        self.with_own_images().await;
        self.give("kubectl apply -f webhook-config/secret-types.yaml").await;
        assert!(get(self.stage, SECRET_TYPES).await.is_some());
        self.stop_refusing().await;
        self.give("kubectl delete --ignore-not-found -f webhook-config/install.yaml").await;
        let namespace = format!("/api/v1/namespaces/{NAMESPACE}");
        assert!(
            get(self.stage, &namespace).await.is_none(),
            "that of install.yaml goes with the rest"
        );

        self.give(
            "helm upgrade --install keysluice webhook-config/chart --namespace \
            keysluice-system --create-namespace --wait",
        )
        .await;
        self.stop_refusing().await;
        self.give("helm uninstall keysluice --namespace keysluice-system --no-hooks").await;
        assert!(get(self.stage, &namespace).await.is_some(), "that of Helm stays");
        self.give("kubectl delete namespace").await;
    }

    /// `install.yaml` as the page edits it: one command, and a sidecar of that image passes the
    /// guard.
    async fn with_own_images(&mut self) {
        self.give("sed").await;
        let deployment = "/apis/apps/v1/namespaces/keysluice-system/deployments/keysluice";
        let deployment = get(self.stage, deployment).await.unwrap().to_string();
        assert!(
            deployment.contains(r#""name":"KEYSLUICE_TENANT_ID","value":"YOUR-TENANT""#),
            "{deployment}"
        );
        assert!(
            deployment.contains("registry.example.com/keysluice/webhook:0.1.0"),
            "{deployment}"
        );
        let policy = get(self.stage, SIDECAR_POLICY).await.unwrap().to_string();
        for (name, text) in [("Deployment", deployment), ("guard", policy)] {
            assert!(text.contains("registry.example.com/keysluice/injector"), "{name}: {text}");
            assert!(!text.contains("ghcr.io/keysluice/injector"), "{name}: {text}");
        }
        let mut pod = with_sidecar(self.stage.directory.path());
        let own = |image: &str| json!(format!("{image}/keysluice/injector:0.1.0"));
        pod["spec"]["initContainers"][0]["image"] = own("ghcr.io");
        self.stage
            .until("the guard is in force", async || self.stage.dry_run(&pod).await.is_err())
            .await;
        pod["spec"]["initContainers"][0]["image"] = own("registry.example.com");
        self.stage.dry_run(&pod).await.unwrap();
    }

    /// No pod is refused any more, though the webhook is asked for in vain and did not see it.
    async fn stop_refusing(&mut self) {
        self.stage.fail_closed().await;
        self.give("kubectl --namespace keysluice-system delete --ignore-not-found rolebinding")
            .await;
        let labelled = pod("p", "default", true);
        self.stage
            .until("pods are created", async || self.stage.dry_run(&labelled).await.is_ok())
            .await;
        assert!(get(self.stage, CONFIGURATION).await.is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn every_command_of_the_book_does_what_it_says() {
    let stage = Stage::open().await;
    let _controllers = controllers(&stage).await;
    let (mut reader, node) = (Reader::of(&stage).await, Node::default());
    tokio::select! {
        () = reader.read() => {}
        () = node.run(&stage) => {}
    }
    for command in NODE.lines() {
        assert!(reader.unread.remove(command), "node-commands.txt has what no page has: {command}");
    }
    for (beginning, needs) in ELSEWHERE {
        let before = reader.unread.len();
        reader.unread.retain(|command| !command.starts_with(beginning));
        assert_eq!(
            reader.unread.len() + 1,
            before,
            "{beginning} (needs {needs}) is not one command"
        );
    }
    assert_eq!(reader.unread, BTreeSet::new(), "commands that nothing tests");
}
