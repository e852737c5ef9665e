//! The rights that `keysluice rbac` prints, and the policy that keeps them from making tokens, on a
//! real API server: the attack of which the policy is the answer is tried first.

use super::helm::{Helm, get};
use super::stage::{Answer, Stage, environment, manifest, path};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::Command;

const WEB: &str = "system:serviceaccount:default:web";
const SECRETS: &str = "/api/v1/namespaces/default/secrets";
const POLICY: &str =
    "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/keysluice-secret-types";
const MANIFESTS: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web, azure.workload.identity/use: "true"}}
    spec:
      serviceAccountName: web
      containers: [{name: app, image: app}]
      volumes:
        - name: secrets
          csi:
            driver: secrets-store.csi.k8s.io
            readOnly: true
            volumeAttributes: {secretProviderClass: web}
---
apiVersion: secrets-store.csi.x-k8s.io/v1
kind: SecretProviderClass
metadata: {name: web, namespace: default}
spec:
  provider: azure
  parameters: {keyvaultName: vault, objects: "array:\n- |\n  objectName: a\n  objectType: secret\n"}
  secretObjects:
    - {secretName: my-secret, type: Opaque, data: [{objectName: a, key: a}]}
"#;

async fn rbac(arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(environment("KEYSLUICE_BINARY"));
    let output = command.arg("rbac").args(arguments).output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

fn documents(text: &str) -> Vec<Value> {
    let all: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
    all.into_iter().filter(|object| !object.is_null()).collect()
}

async fn apply(stage: &Stage, name: &str, secret_type: &str, query: &str) -> Answer {
    let mut secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name},
        "type": secret_type});
    if secret_type.ends_with("service-account-token") {
        secret["metadata"]["annotations"] = json!({"kubernetes.io/service-account.name": "admin"});
    }
    let at = format!("{SECRETS}/{name}?fieldManager=keysluice{query}");
    stage.act_as(WEB, Method::PATCH, &at, Some(&secret)).await
}

const TOKEN: &str = "kubernetes.io/service-account-token";

async fn assert_attack_fails(stage: &Stage, when: &str) {
    for secret_type in [TOKEN, "bootstrap.kubernetes.io/token"] {
        for query in ["", "&dryRun=All", "&force=true"] {
            let refused = apply(stage, "my-secret", secret_type, query).await.expect_err(when);
            let is_ours = refused.code == 403 && refused.message.contains("KS726");
            assert!(is_ours, "{when}, {secret_type} {query}: {refused:?}");
        }
    }
}

async fn account(stage: &Stage, name: &str) {
    let metadata = json!({"name": name, "namespace": "default"});
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata});
    stage.create(&account).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn the_printed_rights_write_one_secret_and_make_no_token() {
    let stage = Stage::open().await;
    let helm = Helm::of(&stage).await;
    for name in ["web", "admin"] {
        account(&stage, name).await;
    }
    let file = stage.directory.path().join("app.yaml");
    tokio::fs::write(&file, MANIFESTS).await.unwrap();
    let (code, roles, error) = rbac(&["--without-policy", "-f", &file.display().to_string()]).await;
    assert_eq!(code, 0, "{error}");
    let roles = documents(&roles);
    assert_eq!(roles.len(), 2);
    for object in &roles {
        stage.create(object).await.unwrap();
    }
    let own = format!("{SECRETS}/my-secret");

    // Without the policy the right on one name is the right to any token.
    stage
        .until("the rights are known", async || {
            apply(&stage, "my-secret", "Opaque", "&dryRun=All").await.is_ok()
        })
        .await;
    let stolen = apply(&stage, "my-secret", TOKEN, "").await;
    assert_eq!(stolen.unwrap()["type"], TOKEN, "the attack works without the policy");
    stage.request(Method::DELETE, &own, None).await.unwrap();
    let kubeconfig = stage.admin_kubeconfig().await.display().to_string();
    let live = ["-n", "default", "--kubeconfig", &kubeconfig];
    let (code, out, error) = rbac(&live).await;
    assert!(code == 1 && out.is_empty() && error.contains("KS744"), "{code}: {out}{error}");

    helm.run(&["install", "keysluice", "webhook-config/chart"]).await;
    stage
        .until("the policy is in force", async || {
            apply(&stage, "my-secret", TOKEN, "&dryRun=All").await.is_err()
        })
        .await;
    assert_attack_fails(&stage, "installed").await;
    assert_own_secret_alone(&stage).await;
    assert_others_are_untouched(&stage).await;

    // On the live cluster: the Secret has no label yet.
    let objects = documents(MANIFESTS);
    stage.create(&objects[0]).await.unwrap();
    let classes = "/apis/secrets-store.csi.x-k8s.io/v1/namespaces/default/secretproviderclasses";
    stage
        .until("classes are served", async || {
            stage.request(Method::POST, classes, Some(&objects[1])).await.is_ok()
        })
        .await;
    let (code, out, error) = rbac(&live).await;
    assert!(code == 1 && out.is_empty() && error.contains("KS740"), "{code}: {out}{error}");
    let label = json!({"metadata": {"labels": {"keysluice.dev/managed": "true"}}});
    stage.act_as(WEB, Method::PATCH, &own, Some(&label)).await.unwrap();
    let (code, out, error) = rbac(&live).await;
    assert_eq!((code, documents(&out)), (0, roles), "{error}");
    stage.request(Method::DELETE, &own, None).await.unwrap();

    // What an upgrade to a chart without the policy does, and an uninstall.
    let upgrade = ["upgrade", "keysluice", "webhook-config/chart", "--set"];
    helm.run(&[&upgrade[..], &["guard.secretTypes=false"]].concat()).await;
    assert_attack_fails(&stage, "downgraded").await;
    helm.run(&[&upgrade[..], &["guard.secretTypes=true"]].concat()).await;
    helm.run(&["uninstall", "keysluice", "--timeout", "30s"]).await;
    // For as long as a binding can be remembered.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert_attack_fails(&stage, "uninstalled").await;

    helm.run(&["install", "keysluice", "webhook-config/chart"]).await;
    helm.run(&["uninstall", "keysluice", "--timeout", "30s"]).await;
    let second = ["install", "second", "webhook-config/chart", "--no-hooks"];
    let output = helm.command(&second).output().await.unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && error.contains("keysluice-secret-types"), "{error}");
    helm.run(&["install", "third", "webhook-config/chart", "--set", "guard.secretTypes=false"])
        .await;
    assert_attack_fails(&stage, "installed under another name").await;
}

/// The verbs that the sidecar uses, and no more.
async fn assert_own_secret_alone(stage: &Stage) {
    let own = format!("{SECRETS}/my-secret");
    apply(stage, "my-secret", "Opaque", "").await.unwrap();
    let data = json!({"data": {"a": "Yg=="}});
    stage.act_as(WEB, Method::PATCH, &own, Some(&data)).await.unwrap();
    // A patch reads: the reason for which no right without a name is printed.
    let read = stage.act_as(WEB, Method::PATCH, &own, Some(&json!({}))).await.unwrap();
    assert_eq!(read["data"]["a"], "Yg==");
    let foreign = json!({"apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "foreign", "namespace": "default"}, "data": {"a": "Yg=="}});
    stage.create(&foreign).await.unwrap();
    let refused = apply(stage, "foreign", "Opaque", "&force=true").await.unwrap_err();
    assert_eq!(refused.code, 403, "{refused:?}");
    let empty = json!({});
    let elsewhere = SECRETS.replace("default", "kube-system");
    for (method, at, body) in [
        (Method::PATCH, format!("{SECRETS}/foreign"), Some(&empty)),
        (Method::PATCH, format!("{elsewhere}/my-secret"), Some(&empty)),
        (Method::POST, SECRETS.to_owned(), Some(&foreign)),
        (Method::PUT, own.clone(), Some(&foreign)),
        (Method::GET, own.clone(), None),
        (Method::GET, SECRETS.to_owned(), None),
        (Method::DELETE, own.clone(), None),
    ] {
        let refused = stage.act_as(WEB, method.clone(), &at, body).await.unwrap_err();
        assert_eq!(refused.code, 403, "{method} {at}: {refused:?}");
    }
}

/// Who may create Secrets of any name creates tokens as before.
async fn assert_others_are_untouched(stage: &Stage) {
    let token = json!({"apiVersion": "v1", "kind": "Secret", "type": TOKEN, "metadata": {
        "name": "token", "namespace": "default",
        "annotations": {"kubernetes.io/service-account.name": "admin"}}});
    stage.dry_run(&token).await.unwrap();
    account(stage, "deployer").await;
    let deployer = "system:serviceaccount:default:deployer";
    let at = format!("{SECRETS}?dryRun=All");
    for object in [
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
            "metadata": {"name": "deployer", "namespace": "default"},
            "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]}]}),
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": "deployer", "namespace": "default"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role",
                "name": "deployer"},
            "subjects": [{"kind": "ServiceAccount", "name": "deployer", "namespace": "default"}]}),
    ] {
        stage.create(&object).await.unwrap();
    }
    stage
        .until("an account with the whole right creates tokens", async || {
            stage.act_as(deployer, Method::POST, &at, Some(&token)).await.is_ok()
        })
        .await;
}

/// An empty Secret of each type, and an account that can change but not create it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn the_strict_form_starts_from_secrets_that_the_api_server_takes() {
    let stage = Stage::open().await;
    account(&stage, "web").await;
    let mut entries = String::new();
    for (index, kind) in
        ["tls", "dockerconfigjson", "dockercfg", "basic-auth", "ssh-auth"].iter().enumerate()
    {
        entries += &format!(
            "    - {{secretName: s{index}, type: kubernetes.io/{kind}, \
             data: [{{objectName: a, key: password}}]}}\n"
        );
    }
    let file = stage.directory.path().join("app.yaml");
    tokio::fs::write(&file, format!("{MANIFESTS}{entries}")).await.unwrap();
    let file = file.display().to_string();
    let (code, out, error) = rbac(&["--strict", "--without-policy", "-f", &file]).await;
    assert_eq!(code, 0, "{error}");
    let objects = documents(&out);
    assert_eq!(objects.len(), 8, "{out}");
    for object in &objects {
        stage.create(object).await.unwrap();
    }
    let own = format!("{SECRETS}/my-secret");
    let data = json!({"data": {"a": "Yg=="}});
    stage
        .until("the right is known", async || {
            stage.act_as(WEB, Method::PATCH, &own, Some(&data)).await.is_ok()
        })
        .await;
    stage.request(Method::DELETE, &own, None).await.unwrap();
    let refused = apply(&stage, "my-secret", "Opaque", "").await.unwrap_err();
    assert_eq!(refused.code, 403, "{refused:?}");
}

/// `kubectl apply` of the file, then Helm.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn the_chart_takes_over_the_policy_that_was_applied_before() {
    let stage = Stage::open().await;
    let helm = Helm::of(&stage).await;
    let printed = documents(&rbac(&["--policy-only"]).await.1);
    assert_eq!(printed, manifest("webhook-config/secret-types.yaml"));
    let of_reactions = documents(&rbac(&["--reaction-policies-only"]).await.1);
    assert_eq!(of_reactions, manifest("webhook-config/reaction-rights.yaml"));
    for object in &printed {
        stage.create(object).await.unwrap();
    }
    helm.run(&["install", "keysluice", "webhook-config/chart"]).await;
    helm.run(&["uninstall", "keysluice", "--timeout", "30s"]).await;
    for object in &printed {
        assert!(get(&stage, &path(object)).await.is_some(), "{}", path(object));
    }
    assert!(get(&stage, POLICY).await.is_some());
}
