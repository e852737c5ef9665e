//! The guard of the init container that adds the address of IMDS: what the webhook makes passes,
//! and nothing that looks like it. Pod Security refuses it below the level privileged.

use super::pods::{asking, explained, pod, with};
use super::sidecar_guard::guarded;
use super::stage::Stage;
use serde_json::{Value, json};

const ALLOWED: [&str; 1] = ["--allow-imds-intercept"];

fn intercepted(mut pod: Value) -> Value {
    pod["metadata"]["labels"] = json!({"azure.workload.identity/use": "true"});
    pod["metadata"]["annotations"] =
        json!({"keysluice.dev/managed-identity-endpoint": "intercept"});
    pod
}

fn made(stage: &Stage) -> Value {
    let asked = [intercepted(pod("alone", "default", true))];
    let made = explained(stage.directory.path(), &asked, &ALLOWED).remove(0);
    assert_eq!(made["spec"]["initContainers"][0]["name"], "keysluice-intercept", "{made}");
    assert_eq!(made["spec"]["initContainers"][1]["name"], "keysluice");
    made
}

fn of_interceptor(field: &str) -> String {
    format!("/spec/initContainers/0/{field}")
}

async fn assert_refused(stage: &Stage, name: &str, pod: &Value) {
    let refused = stage.dry_run(pod).await;
    let is_refused = refused.as_ref().is_err_and(|error| error.message.contains("KS721"));
    assert!(is_refused, "{name}: {refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn the_init_container_passes_in_the_form_that_the_webhook_gives_it() {
    let stage = guarded().await;
    let amounts = json!({"cpu": "100m", "memory": "16Mi"});
    let same = json!({"requests": amounts, "limits": amounts});
    let guaranteed = with(asking("guaranteed"), "/spec/containers/0/resources", same);
    let proxy = json!([{"name": "proxy", "image": "x", "restartPolicy": "Always"}]);
    let mut after = intercepted(with(asking("after"), "/spec/initContainers", proxy));
    after["metadata"]["annotations"]["keysluice.dev/after"] = json!("proxy");
    let non_root = json!({"runAsNonRoot": true, "runAsUser": 1000});
    let non_root = with(pod("non-root", "default", true), "/spec/securityContext", non_root);
    let asked = [
        intercepted(pod("alone", "default", true)),
        intercepted(asking("both")),
        intercepted(guaranteed),
        intercepted(non_root),
        after,
    ];
    for pod in explained(stage.directory.path(), &asked, &ALLOWED) {
        assert!(pod.to_string().contains("\"keysluice-intercept\""), "{pod}");
        let created = stage.dry_run(&pod).await;
        assert!(created.is_ok(), "{pod}: {created:?}");
    }
    // What another webhook adds to every container.
    let proxied = json!([{"name": "HTTPS_PROXY", "value": "http://proxy.test:3128"}]);
    let created = stage.dry_run(&with(made(&stage), &of_interceptor("env"), proxied)).await;
    assert!(created.is_ok(), "{created:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn what_calls_itself_the_init_container_must_be_it() {
    let stage = guarded().await;
    let good = made(&stage);
    let secret = json!({"secretKeyRef": {"name": "s", "key": "k"}});
    for (field, value) in [
        ("image", json!("evil.test/injector:1")),
        ("image", json!("ghcr.io/keysluice/injector:5000/evil:1")),
        ("command", json!(["/bin/sh"])),
        ("command", json!(["/keysluice-injector", "run"])),
        ("command", json!(["/keysluice-injector", "intercept", "--root", "/tmp"])),
        ("args", json!(["--termination-log", "/tmp/x"])),
        ("restartPolicy", json!("Always")),
        ("workingDir", json!("/tmp")),
        ("stdin", json!(true)),
        ("tty", json!(true)),
        ("terminationMessagePath", json!("/keysluice-injector")),
        ("ports", json!([{"containerPort": 1, "hostPort": 1}])),
        ("resources", json!({"limits": {"devices.test/gpu": "1"}})),
        ("env", json!([{"name": "KEYSLUICE_TERMINATION_LOG", "value": "/x"}])),
        ("env", json!([{"name": "KEYSLUICE_PLAN", "value": "{}"}])),
        ("env", json!([{"name": "LD_PRELOAD", "value": "/tmp/evil.so"}])),
        ("env", json!([{"name": "A", "valueFrom": secret}])),
        ("envFrom", json!([{"configMapRef": {"name": "s"}}])),
        ("securityContext", Value::Null),
        ("securityContext", json!({"privileged": true})),
        ("securityContext/allowPrivilegeEscalation", json!(true)),
        ("securityContext/readOnlyRootFilesystem", json!(false)),
        ("securityContext/runAsUser", json!(1000)),
        ("securityContext/runAsUser", Value::Null),
        ("securityContext/capabilities/add", json!(["NET_ADMIN", "NET_RAW"])),
        ("securityContext/capabilities/add", json!(["SYS_PTRACE"])),
        ("securityContext/capabilities/add", json!([])),
        ("securityContext/capabilities/drop", json!(["KILL"])),
        ("securityContext/seccompProfile", json!({"type": "Unconfined"})),
        ("securityContext/appArmorProfile", json!({"type": "Unconfined"})),
        ("securityContext/seLinuxOptions", json!({"type": "spc_t"})),
    ] {
        let hostile = with(good.clone(), &of_interceptor(field), value.clone());
        assert_refused(&stage, &format!("{field}: {value}"), &hostile).await;
    }
    for (volume, mount_path) in [
        (json!({"emptyDir": {}}), "/tmp"),
        (json!({"emptyDir": {}}), "/keysluice-injector"),
        (json!({"hostPath": {"path": "/"}}), "/host"),
        (json!({"secret": {"secretName": "s"}}), "/s"),
        (json!({"projected": {"sources": []}}), "/tmp"),
    ] {
        let mut entry = volume.clone();
        entry["name"] = json!("x");
        let hostile = with(good.clone(), "/spec/volumes/-", entry);
        let mounts = json!([{"name": "x", "mountPath": mount_path, "readOnly": true}]);
        let hostile = with(hostile, &of_interceptor("volumeMounts"), mounts);
        assert_refused(&stage, &format!("{volume} at {mount_path}"), &hostile).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn the_name_belongs_to_the_init_container_of_a_sidecar_that_serves_the_address() {
    let stage = guarded().await;
    let good = made(&stage);
    // Without the sysctl, which is not for the network of the node.
    let on_node = with(good.clone(), "/spec/securityContext", json!({}));
    assert_refused(&stage, "the node", &with(on_node, "/spec/hostNetwork", json!(true))).await;
    let by_pod =
        with(good.clone(), "/spec/securityContext/seLinuxOptions", json!({"type": "spc_t"}));
    assert_refused(&stage, "the pod's SELinux type", &by_pod).await;
    let mut alone = good.clone();
    alone["spec"]["initContainers"].as_array_mut().unwrap().remove(1);
    assert_refused(&stage, "without a sidecar", &alone).await;
    let text = good.pointer("/spec/initContainers/1/env/0/value").and_then(Value::as_str);
    let text = text.unwrap().replace("\"intercept\":true", "\"intercept\":false");
    let beside = with(good.clone(), "/spec/initContainers/1/env/0/value", json!(text));
    assert_refused(&stage, "beside a sidecar that does not serve it", &beside).await;
    let mut later = pod("later", "default", false);
    later["spec"]["containers"][0]["name"] = json!("keysluice-intercept");
    assert_refused(&stage, "a container", &later).await;
    // In a pod that runs.
    let other = pod("other", "default", false);
    stage.create(&other).await.unwrap();
    let debug =
        json!({"spec": {"ephemeralContainers": [{"name": "keysluice-intercept", "image": "x"}]}});
    let path = format!("{}/ephemeralcontainers", super::stage::path(&other));
    let patched = stage.request(reqwest::Method::PATCH, &path, Some(&debug)).await;
    assert!(patched.is_err_and(|error| error.message.contains("KS721")));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn pod_security_admits_it_at_the_level_privileged_alone() {
    let stage = guarded().await;
    let mut pod = made(&stage);
    for level in ["privileged", "baseline", "restricted"] {
        let labels = json!({"pod-security.kubernetes.io/enforce": level});
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": level, "labels": labels}});
        stage.create(&namespace).await.unwrap();
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": "default", "namespace": level}});
        let _ = stage.create(&account).await;
        pod["metadata"]["namespace"] = json!(level);
        let created = stage.dry_run(&pod).await;
        if level == "privileged" {
            assert!(created.is_ok(), "{created:?}");
            continue;
        }
        let message = created.unwrap_err().message;
        let says = |text: &str| assert!(message.contains(text), "{text}: {message}");
        says(&format!("violates PodSecurity \"{level}:latest\""));
        says(
            "container \"keysluice-intercept\" must not include \"NET_ADMIN\" in \
            securityContext.capabilities.add",
        );
        // The page shows this one.
        if level == "baseline" {
            let page = include_str!("../../../../docs/managed-identity-endpoint.md");
            let page = page.split_whitespace().collect::<Vec<_>>().join(" ");
            let shown = message.split_once(" violates ").map(|(_, shown)| shown).unwrap();
            assert!(page.contains(shown), "{message}");
        }
    }
}
