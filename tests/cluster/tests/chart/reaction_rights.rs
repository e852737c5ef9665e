//! The rights of the reactions `evict` and `rollout`, and the policies that bound them, on a real
//! API server: the attacks of which the policies are the answer are tried first.

use super::helm::Helm;
use super::stage::{Answer, Stage, environment};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::Command;

const WEB: &str = "system:serviceaccount:default:web";
const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/default/deployments/web";
const ANNOTATION: &str = "keysluice.dev/secrets-updated";
const OLD: &str = "2026-01-01T00:00:00Z/0123456789abcdef";
const NEW: &str = "2026-01-01T00:00:01Z/0123456789abcdef";
const MANIFESTS: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata:
      labels: {app: web, azure.workload.identity/use: "true"}
      annotations: {keysluice.dev/on-change: rollout, own: x}
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
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent, namespace: default}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata:
      labels: {app: agent}
      annotations: {keysluice.dev/on-change: evict}
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

/// As the sidecar does: with a token bound to the pod, or one that is bound to none.
async fn evict(stage: &Stage, user: &str, bound_to: Option<&str>, pod: &str) -> Answer {
    let at = format!("/api/v1/namespaces/default/pods/{pod}/eviction?dryRun=All");
    let body = json!({"apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": {"name": pod, "namespace": "default"}});
    match bound_to {
        Some(own) => stage.act_as_pod(user, own, Method::POST, &at, Some(&body)).await,
        None => stage.act_as(user, Method::POST, &at, Some(&body)).await,
    }
}

async fn patch(stage: &Stage, user: &str, body: &Value) -> Answer {
    stage.act_as(user, Method::PATCH, &format!("{DEPLOYMENT}?dryRun=All"), Some(body)).await
}

fn annotated(annotations: &Value) -> Value {
    json!({"spec": {"template": {"metadata": {"annotations": annotations}}}})
}

fn image() -> Value {
    json!([{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "evil"}])
}

fn is_refused(answer: &Answer, code: &str) -> bool {
    answer.as_ref().is_err_and(|refused| refused.code == 403 && refused.message.contains(code))
}

/// Roles and bindings by hand: what these rules give to an account.
async fn bind(stage: &Stage, kind: &str, account: (&str, &str), name: &str, rules: &Value) {
    let binding = format!("{kind}Binding");
    let metadata = match kind {
        "Role" => json!({"name": name, "namespace": "default"}),
        _ => json!({"name": name}),
    };
    let object = |kind: &str| {
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind,
            "metadata": metadata.clone()})
    };
    let (mut role, mut bound) = (object(kind), object(&binding));
    role["rules"] = json!([rules]);
    bound["roleRef"] = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name});
    bound["subjects"] =
        json!([{"kind": "ServiceAccount", "name": account.1, "namespace": account.0}]);
    for object in [role, bound] {
        stage.create(&object).await.unwrap();
    }
}

async fn prepare(stage: &Stage) -> Vec<Value> {
    for name in ["web", "deployer"] {
        let metadata = json!({"name": name, "namespace": "default"});
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata});
        stage.create(&account).await.unwrap();
    }
    for name in ["web-1", "other"] {
        stage.create(&super::pods::pod(name, "default", false)).await.unwrap();
    }
    stage.create(&documents(MANIFESTS)[0]).await.unwrap();
    let file = stage.directory.path().join("app.yaml");
    tokio::fs::write(&file, MANIFESTS).await.unwrap();
    let (code, roles, error) = rbac(&["--without-policy", "-f", &file.display().to_string()]).await;
    assert_eq!(code, 0, "{error}");
    let roles = documents(&roles);
    assert_eq!(roles.len(), 2, "{roles:?}");
    for object in &roles {
        stage.create(object).await.unwrap();
    }
    roles
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn the_rights_of_reactions_reach_the_own_pod_and_one_annotation() {
    let stage = Stage::open().await;
    let helm = Helm::of(&stage).await;
    let roles = prepare(&stage).await;

    // Without the policies the rights are those of an administrator of the namespace.
    stage
        .until("the rights are known", async || {
            patch(&stage, WEB, &image()).await.is_ok()
                && evict(&stage, WEB, None, "other").await.is_ok()
        })
        .await;
    let kubeconfig = stage.admin_kubeconfig().await.display().to_string();
    let live = ["-n", "default", "--kubeconfig", &kubeconfig];

    helm.run(&["install", "keysluice", "webhook-config/chart"]).await;
    stage
        .until("the policies are in force", async || {
            is_refused(&patch(&stage, WEB, &image()).await, "KS749")
                && is_refused(&evict(&stage, WEB, None, "other").await, "KS748")
        })
        .await;
    assert_attacks_fail(&stage, "installed").await;
    assert_own_is_allowed(&stage).await;
    assert_others_are_untouched(&stage).await;

    // The live cluster: the class is there, and the DaemonSet.
    let objects = documents(MANIFESTS);
    let classes = "/apis/secrets-store.csi.x-k8s.io/v1/namespaces/default/secretproviderclasses";
    stage
        .until("classes are served", async || {
            stage.request(Method::POST, classes, Some(&objects[2])).await.is_ok()
        })
        .await;
    stage.create(&objects[1]).await.unwrap();
    let (code, out, error) = rbac(&live).await;
    assert_eq!((code, documents(&out)), (0, roles), "{error}");
    for name in ["keysluice-evictions", "keysluice-rollouts"] {
        let at = format!(
            "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/{name}"
        );
        stage.request(Method::DELETE, &at, None).await.unwrap();
        let (code, out, error) = rbac(&live).await;
        assert!(code == 1 && out.is_empty() && error.contains("KS752"), "{code}: {out}{error}");
        assert!(error.contains(name), "{error}");
    }
    let upgrade = ["upgrade", "keysluice", "webhook-config/chart"];
    helm.run(&upgrade).await;
    stage
        .until("the policies are in force again", async || {
            is_refused(&patch(&stage, WEB, &image()).await, "KS749")
                && is_refused(&evict(&stage, WEB, None, "other").await, "KS748")
        })
        .await;

    let without = [&upgrade[..], &["--set", "guard.reactionRights=false"]].concat();
    helm.run(&without).await;
    assert_attacks_fail(&stage, "downgraded").await;
    helm.run(&upgrade).await;
    helm.run(&["uninstall", "keysluice", "--timeout", "30s"]).await;
    // For as long as a binding can be remembered.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert_attacks_fail(&stage, "uninstalled").await;
}

async fn assert_attacks_fail(stage: &Stage, when: &str) {
    for (bound_to, pod) in [(Some("web-1"), "other"), (None, "other"), (None, "web-1")] {
        let answer = evict(stage, WEB, bound_to, pod).await;
        assert!(is_refused(&answer, "KS748"), "{when}, {bound_to:?} {pod}: {answer:?}");
    }
    let template = |value: &Value| json!({"spec": {"template": value}});
    let replace = |path: &str, value: Value| json!([{"op": "add", "path": path, "value": value}]);
    for body in [
        image(),
        replace("/spec/template/spec/containers/-", json!({"name": "b", "image": "b"})),
        replace("/spec/template/spec/serviceAccountName", json!("deployer")),
        replace("/spec/template/spec/hostPID", json!(true)),
        template(&json!({"metadata": {"labels": {"azure.workload.identity/use": "false"}}})),
        template(&json!({"metadata": {"name": "x"}})),
        annotated(&json!({"other": "x"})),
        annotated(&json!({"own": "y"})),
        annotated(&json!({"own": null})),
        annotated(&json!({ANNOTATION: NEW, "own": "y"})),
        json!({"spec": {"replicas": 0}}),
        json!({"spec": {"paused": true}}),
        json!({"spec": {"minReadySeconds": 9}}),
        json!({"spec": {"strategy": {"type": "Recreate", "rollingUpdate": null}}}),
        json!({"metadata": {"labels": {"x": "y"}}}),
        json!({"metadata": {"annotations": {"x": "y"}}}),
        json!({"metadata": {"finalizers": ["x.test/y"]}}),
        json!({"metadata": {"ownerReferences": [
            {"apiVersion": "v1", "kind": "Pod", "name": "web-1", "uid": "u"}]}}),
    ] {
        let answer = patch(stage, WEB, &body).await;
        assert!(is_refused(&answer, "KS749"), "{when}: {body}: {answer:?}");
    }
    for value in ["", "x", "2026-01-01T00:00:01Z", "9999-01-01T00:00:01Z/../../.."] {
        let answer = patch(stage, WEB, &annotated(&json!({ANNOTATION: value}))).await;
        assert!(is_refused(&answer, "KS750"), "{when}: {value}: {answer:?}");
    }
}

async fn assert_own_is_allowed(stage: &Stage) {
    evict(stage, WEB, Some("web-1"), "web-1").await.unwrap();
    // A look at the workload, and the annotation, which only moves forward.
    let read = patch(stage, WEB, &json!({})).await.unwrap();
    assert_eq!(read["metadata"]["name"], "web");
    let write = async |value: Value| {
        let body = annotated(&json!({ANNOTATION: value}));
        stage.act_as(WEB, Method::PATCH, DEPLOYMENT, Some(&body)).await
    };
    write(json!(OLD)).await.unwrap();
    let mut forward = annotated(&json!({ANNOTATION: NEW}));
    forward["metadata"]["resourceVersion"] = json!("1");
    let conflict = stage.act_as(WEB, Method::PATCH, DEPLOYMENT, Some(&forward)).await;
    assert_eq!(conflict.unwrap_err().code, 409);
    let written = write(json!(NEW)).await.unwrap();
    assert_eq!(written["metadata"]["generation"], 3, "two rollouts");
    for back in [json!(OLD), Value::Null] {
        let answer = write(back).await;
        assert!(answer.as_ref().is_err_and(|refused| refused.code == 403), "{answer:?}");
    }
    for (method, body) in
        [(Method::PUT, Some(&written)), (Method::GET, None), (Method::DELETE, None)]
    {
        let refused = stage.act_as(WEB, method.clone(), DEPLOYMENT, body).await.unwrap_err();
        assert_eq!(refused.code, 403, "{method}: {refused:?}");
    }
    for path in ["status", "scale"] {
        let at = format!("{DEPLOYMENT}/{path}");
        let refused = stage.act_as(WEB, Method::PATCH, &at, Some(&json!({}))).await.unwrap_err();
        assert_eq!(refused.code, 403, "{path}: {refused:?}");
    }
    let removed = json!([{"op": "remove",
        "path": "/spec/template/metadata/annotations/keysluice.dev~1secrets-updated"}]);
    stage.request(Method::PATCH, DEPLOYMENT, Some(&removed)).await.unwrap();
}

/// Who has a wider right of its own.
async fn assert_others_are_untouched(stage: &Stage) {
    let deployments = |names: Value, verbs: Value| {
        json!({"apiGroups": ["apps"], "resources": ["deployments"], "resourceNames": names,
            "verbs": verbs})
    };
    let evictions = json!({"apiGroups": [""], "resources": ["pods/eviction"], "verbs": ["create"]});
    let deployer = ("default", "deployer");
    let of_deployer = "system:serviceaccount:default:deployer";
    bind(stage, "Role", deployer, "patches", &deployments(json!([]), json!(["get", "patch"])))
        .await;
    bind(stage, "ClusterRole", deployer, "drains", &evictions).await;
    // A delivery tool of another namespace, with rights by name here.
    let tool = ("kube-system", "tool");
    let of_tool = "system:serviceaccount:kube-system:tool";
    let by_name = deployments(json!(["web"]), json!(["get", "patch"]));
    bind(stage, "Role", tool, "delivers", &by_name).await;
    bind(stage, "Role", tool, "evicts", &evictions).await;
    // One that may delete pods, and one that may update the workload.
    let owner = ("default", "owner");
    let of_owner = "system:serviceaccount:default:owner";
    let updates = deployments(json!(["web"]), json!(["get", "patch", "update"]));
    bind(stage, "Role", owner, "updates", &updates).await;
    let deletes = json!({"apiGroups": [""], "resources": ["pods", "pods/eviction"],
        "verbs": ["create", "delete"]});
    bind(stage, "Role", owner, "deletes", &deletes).await;
    for user in [of_deployer, of_tool, of_owner] {
        stage
            .until(&format!("{user} changes the workload and evicts"), async || {
                patch(stage, user, &image()).await.is_ok()
                    && evict(stage, user, None, "other").await.is_ok()
            })
            .await;
    }
    stage
        .request(Method::PATCH, &format!("{DEPLOYMENT}?dryRun=All"), Some(&image()))
        .await
        .unwrap();
    let controller = "system:serviceaccount:kube-system:deployment-controller";
    let mut object = stage.request(Method::GET, DEPLOYMENT, None).await.unwrap();
    object["metadata"]["annotations"] = json!({"deployment.kubernetes.io/revision": "1"});
    stage.act_as(controller, Method::PUT, DEPLOYMENT, Some(&object)).await.unwrap();
}
