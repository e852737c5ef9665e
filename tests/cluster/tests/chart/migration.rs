//! `keysluice migrate` against a live cluster, with the rights that docs/migrate.md names and no
//! others.

use super::helm::{define_classes, root};
use super::stage::{NAMESPACE, Stage, collection, environment, manifest};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use tokio::process::Command;

const READER: &str = "migration";
/// What is in the cluster: the manifests of the tree `csi`.
const MANIFESTS: [&str; 3] = ["classes.yaml", "app.yaml", "load.yaml"];

/// The cluster with the workloads of a user of the driver, and a reader of just them.
async fn stage() -> Stage {
    let stage = Stage::open().await;
    define_classes(&stage).await;
    let shop = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}});
    stage.create(&shop).await.unwrap();
    for object in MANIFESTS.iter().flat_map(|file| manifest(&input(file))) {
        stage.create(&object).await.unwrap();
    }
    let metadata = json!({"name": READER, "namespace": NAMESPACE});
    let rules = json!([
        {"apiGroups": [""], "verbs": ["list"],
            "resources": ["pods", "replicationcontrollers", "serviceaccounts"]},
        {"apiGroups": ["apps"], "verbs": ["list"],
            "resources": ["deployments", "statefulsets", "daemonsets", "replicasets"]},
        {"apiGroups": ["batch"], "verbs": ["list"], "resources": ["cronjobs", "jobs"]},
        {"apiGroups": ["secrets-store.csi.x-k8s.io"], "verbs": ["list"],
            "resources": ["secretproviderclasses"]},
    ]);
    let rbac = "rbac.authorization.k8s.io";
    let version = format!("{rbac}/v1");
    for object in [
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}),
        json!({"apiVersion": version, "kind": "ClusterRole", "metadata": {"name": READER},
            "rules": rules}),
        json!({"apiVersion": version, "kind": "ClusterRoleBinding", "metadata": {"name": READER},
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": READER},
            "subjects": [{"kind": "ServiceAccount", "name": READER, "namespace": NAMESPACE}]}),
    ] {
        stage.create(&object).await.unwrap();
    }
    stage
}

fn input(file: &str) -> String {
    format!("tests/data/migrate/csi/in/{file}")
}

async fn migrate(stage: &Stage, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(environment("KEYSLUICE_BINARY"));
    command.arg("migrate").args(arguments);
    command.arg("--kubeconfig").arg(stage.kubeconfig(READER).await);
    let output = command.output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// All files below a directory, by path.
fn tree(directory: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![directory.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(next).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(directory).unwrap().display().to_string();
                found.insert(name, std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    found
}

/// Everything that the reader may see, as the API server has it.
async fn state(stage: &Stage) -> Vec<Value> {
    let mut found = Vec::new();
    for path in [
        "/apis/apps/v1/namespaces/shop/deployments",
        "/apis/batch/v1/namespaces/shop/cronjobs",
        "/api/v1/namespaces/shop/serviceaccounts",
        "/apis/secrets-store.csi.x-k8s.io/v1/namespaces/shop/secretproviderclasses",
    ] {
        let list = stage.request(Method::GET, path, None).await.unwrap();
        found.extend(list["items"].as_array().unwrap().iter().cloned());
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn a_live_cluster_is_migrated_by_who_may_only_list() {
    let stage = stage().await;
    let before = state(&stage).await;
    let (code, report, error) = migrate(&stage, &["--check", "--all-namespaces"]).await;
    assert_eq!((code, &*error), (Some(0), ""), "{report}");
    let out = stage.directory.path().join("migrated");
    let arguments = ["--namespace", "shop", "--out", out.to_str().unwrap()];
    let (code, told, error) = migrate(&stage, &arguments).await;
    assert_eq!((code, &*error), (Some(0), ""), "{told}");
    let made = tree(&out);
    assert_eq!(made["REPORT.md"], report, "both ways to run say the same");
    assert_eq!(before, state(&stage).await, "nothing in the cluster has changed");
    let golden = root().join("tests/data/migrate/live/REPORT.md");
    assert_eq!(report, std::fs::read_to_string(golden).unwrap());
    let files: Vec<&str> = made.keys().map(String::as_str).collect();
    assert_eq!(
        files,
        [
            "REPORT.md",
            "backup/secretproviderclasses.yaml",
            "keysluice-roles.yaml",
            "shop/cronjob-load.yaml",
            "shop/deployment-web.yaml"
        ]
    );
    // The API server takes each of them in the place of what it has.
    for (file, text) in made.iter().filter(|(file, _)| *file != "REPORT.md") {
        let objects: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
        for object in objects.iter().filter(|object| !object.is_null()) {
            let name = object["metadata"]["name"].as_str().unwrap();
            let path = format!("{}/{name}?dryRun=All", collection(object));
            let applied = format!("{path}&fieldManager=test&force=true");
            let answer = stage.request(Method::PATCH, &applied, Some(object)).await;
            assert!(answer.is_ok(), "{file}: {object}: {answer:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn a_right_that_is_missing_is_named() {
    let stage = stage().await;
    let role = format!("/apis/rbac.authorization.k8s.io/v1/clusterroles/{READER}");
    let rules = json!({"rules": [{"apiGroups": ["apps"], "verbs": ["list"],
        "resources": ["deployments"]}]});
    stage.request(Method::PATCH, &role, Some(&rules)).await.unwrap();
    stage
        .until("the right is gone", async || {
            let (_, _, error) = migrate(&stage, &["--check", "--namespace", "shop"]).await;
            error.contains("403") && error.contains("serviceaccounts")
        })
        .await;
    let (code, report, _) = migrate(&stage, &["--check", "--namespace", "shop"]).await;
    assert!(code != Some(0) && report.is_empty(), "{code:?}: {report}");
}
