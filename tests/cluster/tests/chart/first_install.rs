//! A first installation works or changes nothing; deleting the namespace leaves nothing that blocks
//! pods.

use super::helm::{Helm, get, root};
use super::node::{Node, controllers};
use super::pods::{asking, pod};
use super::stage::{CONFIGURATION, NAMESPACE, Stage, environment, path};
use keysluice_emulator::free_port;
use reqwest::Method;
use serde_json::{Value, json};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

const INSTALL: [&str; 5] =
    ["upgrade", "--install", "keysluice", "webhook-config/chart", "--create-namespace"];
const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
const WEBHOOK_IMAGE: &str = "ghcr.io/keysluice/webhook";
const INJECTOR_IMAGE: &str = "ghcr.io/keysluice/injector";

/// A webhook under the name and with the entry of Azure Workload Identity's, that does what that
/// does.
async fn azure_workload_identity(stage: &Stage) -> Child {
    let (port, authority) = (free_port().unwrap(), stage.directory.path().join("theirs.pem"));
    let objects = stage.directory.path().join("account.json");
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "default", "namespace": "default", "annotations":
            {"azure.workload.identity/client-id": "7d8cdf74-5a38-4b5e-9ee1-000000000001"}}});
    tokio::fs::write(&objects, account.to_string()).await.unwrap();
    let mut command = Command::new(environment("KEYSLUICE_BINARY"));
    command.args([
        "serve",
        "--tenant-id",
        "tenant",
        "--tls-name",
        "127.0.0.1",
        "--admin-listen",
        "127.0.0.1:0",
    ]);
    command.arg("--listen").arg(format!("127.0.0.1:{port}")).arg("--ca-out").arg(&authority);
    command.arg("--objects").arg(&objects).stderr(Stdio::null()).kill_on_drop(true);
    let child = command.spawn().unwrap();
    stage.until("their certificate is there", async || authority.exists()).await;
    let bundle = std::fs::read(&authority).unwrap();
    let bundle = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, bundle);
    let rule = json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"],
        "resources": ["pods"]});
    stage
        .create(&json!({"apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": "azure-wi-webhook-mutating-webhook-configuration"},
            "webhooks": [{"name": "mutation.azure-workload-identity.io", "failurePolicy": "Fail",
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"], "rules": [rule],
                "objectSelector": {"matchLabels": {"azure.workload.identity/use": "true"}},
                "clientConfig": {"url": format!("https://127.0.0.1:{port}/mutate-v1-pod"),
                    "caBundle": bundle}}]}))
        .await
        .unwrap();
    stage
        .until("it serves", async || stage.dry_run(&pod("p", "default", true)).await.is_ok())
        .await;
    child
}

/// Runs Helm while labelled pods and pods with a CSI volume are created all the time: Helm's
/// success, its words, and how many pods.
async fn while_pods_are_created(
    stage: &Stage,
    node: &Node,
    mut helm: Command,
) -> (bool, String, u32) {
    let pods = [pod("labelled", "default", true), asking("asking")];
    let mut helm = std::pin::pin!(helm.output());
    let mut created = 0;
    let mut node = std::pin::pin!(node.run(stage));
    loop {
        let pod = &pods[created as usize % pods.len()];
        let one = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            stage.dry_run(pod).await
        };
        tokio::select! {
            biased;
            output = &mut helm => {
                let output = output.unwrap();
                let words = [output.stdout, output.stderr].concat();
                return (output.status.success(), String::from_utf8(words).unwrap(), created);
            }
            () = &mut node => {}
            made = one => {
                assert!(made.is_ok(), "after {created} pods: {made:?}");
                created += 1;
            }
        }
    }
}

/// Nothing of ours that API servers heed.
async fn assert_nothing_of_ours(stage: &Stage, case: &str) {
    assert!(get(stage, CONFIGURATION).await.is_none(), "{case}");
    let policies = get(stage, POLICIES).await.unwrap();
    assert_eq!(policies["items"], json!([]), "{case}");
    for kind in ["clusterroles", "clusterrolebindings"] {
        for name in ["keysluice", "keysluice-doctor"] {
            let path = format!("/apis/rbac.authorization.k8s.io/v1/{kind}/{name}");
            assert!(get(stage, &path).await.is_none(), "{case}: {path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn an_image_that_does_not_exist_ends_the_installation_before_it_changes_anything() {
    let stage = Stage::open().await;
    let _controllers = controllers(&stage).await;
    let helm = Helm::of(&stage).await;
    let unable = |image| Node { missing: vec![image] };
    let fails = async |case: &str, image| {
        let (is_done, words, created) =
            while_pods_are_created(&stage, &unable(image), helm.command(&INSTALL)).await;
        println!("{case}: {created} pods created, none refused\n{words}");
        assert!(
            !is_done && words.contains("keysluice-doctor-") && created > 5,
            "{case}: {created} pods, {words}"
        );
        assert_nothing_of_ours(&stage, case).await;
    };
    // (c) Nothing is there.
    fails("alone", WEBHOOK_IMAGE).await;
    // (b) The CSI driver alone.
    let driver = json!({"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver",
        "metadata": {"name": "secrets-store.csi.k8s.io"}, "spec": {"attachRequired": false}});
    stage.create(&driver).await.unwrap();
    fails("beside the CSI driver", WEBHOOK_IMAGE).await;
    // (a) Azure Workload Identity, and the sidecar's image instead of the webhook's.
    let _theirs = azure_workload_identity(&stage).await;
    fails("beside Azure Workload Identity", WEBHOOK_IMAGE).await;
    fails("without the sidecar's image", INJECTOR_IMAGE).await;
    let mutated = stage.dry_run(&pod("p", "default", true)).await.unwrap();
    assert!(mutated["spec"]["containers"][0]["env"].is_array(), "theirs goes on");

    // The same command once more, with images that are there.
    let (mut again, node) = (helm.command(&INSTALL), Node::default());
    let output = tokio::select! {
        output = again.output() => output.unwrap(),
        () = node.run(&stage) => unreachable!("a node never ends"),
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(get(&stage, CONFIGURATION).await.is_some());
    let left =
        get(&stage, "/apis/rbac.authorization.k8s.io/v1/clusterroles/keysluice-doctor").await;
    assert!(left.is_none(), "what the doctor may read goes with it");
}

/// Deletes the namespace of the release and waits until it is gone.
async fn delete_namespace(stage: &Stage) {
    let namespace = format!("/api/v1/namespaces/{NAMESPACE}");
    stage.request(Method::DELETE, &namespace, None).await.unwrap();
    stage.until("the namespace is gone", async || get(stage, &namespace).await.is_none()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn a_deleted_namespace_leaves_nothing_that_blocks_pods() {
    let stage = Stage::open().await;
    let _controllers = controllers(&stage).await;
    let helm = Helm::of(&stage).await;
    let labelled = pod("p", "default", true);
    let works = async || stage.dry_run(&labelled).await.is_ok();
    // As `--create-namespace` has it: the namespace is not there while the chart is rendered.
    delete_namespace(&stage).await;
    helm.run(&INSTALL).await;
    let configuration = get(&stage, CONFIGURATION).await.unwrap();
    assert!(
        configuration["metadata"]["ownerReferences"].is_null(),
        "Helm renders before it makes the namespace"
    );
    stage.fail_closed().await;
    stage.until("the webhook is asked", async || !works().await).await;
    delete_namespace(&stage).await;
    assert!(works().await, "the switch went with the namespace");

    // Installed again over what is left, and upgraded: now its owner is known.
    helm.run(&INSTALL).await;
    helm.run(&INSTALL).await;
    let namespace = get(&stage, &format!("/api/v1/namespaces/{NAMESPACE}")).await.unwrap();
    let owner = json!([{"apiVersion": "v1", "kind": "Namespace", "name": NAMESPACE,
        "uid": namespace["metadata"]["uid"]}]);
    let guards = ["identity", "sidecar"].map(|name| format!("keysluice-guard-{name}"));
    let policies = guards.iter().map(|name| format!("{POLICIES}/{name}"));
    let bindings = guards
        .iter()
        .map(|name| format!("{POLICIES}/{name}").replace("policies", "policybindings"));
    let collected: Vec<String> =
        policies.chain(bindings).chain([CONFIGURATION.to_owned()]).collect();
    for path in &collected {
        assert_eq!(
            get(&stage, path).await.unwrap()["metadata"]["ownerReferences"],
            owner,
            "{path}"
        );
    }
    stage.fail_closed().await;
    stage.until("the webhook is asked", async || !works().await).await;
    delete_namespace(&stage).await;
    assert!(works().await);
    for path in &collected {
        stage
            .until(&format!("{path} is collected"), async || get(&stage, path).await.is_none())
            .await;
    }
}

/// Everything that `helm template` prints, applied as it is: nothing of it undoes the installation.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn what_helm_template_prints_can_be_applied() {
    let stage = Stage::open().await;
    let _controllers = controllers(&stage).await;
    let helm = Helm::of(&stage).await;
    // One that asks the cluster also prints what is there for an uninstall.
    for further in [&[][..], &["--dry-run=server", "--no-hooks"]] {
        let rendered =
            helm.run(&[&["template", "keysluice", "webhook-config/chart"], further].concat()).await;
        let file = stage.directory.path().join("rendered.yaml");
        tokio::fs::write(&file, &rendered).await.unwrap();
        let mut kubectl = Command::new("sh");
        let applied = "ln -sf \"$KEYSLUICE_COMPONENTS\" \"$DIRECTORY/kubectl\"; exec \
            \"$DIRECTORY/kubectl\" apply -f \"$DIRECTORY/rendered.yaml\"";
        kubectl.args(["-euc", applied]).env("DIRECTORY", stage.directory.path());
        kubectl
            .env("KUBECONFIG", stage.admin_kubeconfig().await)
            .env("HOME", stage.directory.path());
        let output = kubectl.current_dir(root()).output().await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(!rendered.contains("helm.sh/hook: pre-delete"), "{further:?}");
        // The one job of it, which is a hook, runs to its end.
        let job = documents(&rendered).into_iter().find(|object| object["kind"] == "Job");
        assert_eq!(job.is_some(), further.is_empty());
        let node = Node::default();
        let is_done = async || {
            let Some(job) = &job else { return true };
            let found = get(&stage, &path(job)).await.unwrap();
            found["status"]["succeeded"] == 1
        };
        tokio::select! {
            () = stage.until("the job has run", is_done) => {}
            () = node.run(&stage) => {}
        }
        stage.until_guarded().await;
        for object in documents(&rendered) {
            assert!(get(&stage, &path(&object)).await.is_some(), "{}", path(&object));
        }
    }
}

fn documents(text: &str) -> Vec<Value> {
    let all: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
    all.into_iter().filter(|object| !object.is_null()).collect()
}
