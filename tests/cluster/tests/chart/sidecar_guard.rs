//! The guard of the sidecar's name: hostile pods, and that it never stands in the way of a sidecar
//! that the webhook made.

use super::pods::{asking, csi_volume, explained, pod, with, with_sidecar};
use super::stage::{CONFIGURATION, Stage, path};
use reqwest::Method;
use serde_json::{Value, json};

/// An API server that asks the guard and nobody else: the webhook's own code makes the pods here.
pub(crate) async fn guarded() -> Stage {
    let stage = Stage::open().await;
    stage.install().await;
    stage.until_guarded().await;
    stage.request(Method::DELETE, CONFIGURATION, None).await.unwrap();
    let good = with_sidecar(stage.directory.path());
    stage.until("nobody is asked any more", async || stage.dry_run(&good).await.is_ok()).await;
    stage
}

pub(crate) fn of_sidecar(field: &str) -> String {
    format!("/spec/initContainers/0/{field}")
}

async fn assert_refused(stage: &Stage, name: &str, pod: &Value) {
    let refused = stage.dry_run(pod).await;
    assert!(
        refused.as_ref().is_err_and(|error| error.message.contains("KS721")),
        "{name}: {refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
#[expect(clippy::too_many_lines, reason = "a table of forgeries and what each is refused for")]
async fn what_calls_itself_the_sidecar_must_be_it() {
    let stage = guarded().await;
    let good = with_sidecar(stage.directory.path());
    assert_eq!(good["spec"]["initContainers"][0]["name"], "keysluice", "{good}");
    let exec = |word: &str| json!({"exec": {"command": [word]}});
    let variable = |source: Value| json!({"name": "A", "valueFrom": source});
    let named = |name: &str| {
        json!({"name": name,
        "valueFrom": {"configMapKeyRef": {"name": "s", "key": "k"}}})
    };
    for (field, value) in [
        ("image", json!("evil.test/injector:1")),
        ("image", json!("ghcr.io/keysluice/injector-evil:1")),
        ("image", json!("evil.test/ghcr.io/keysluice/injector:1")),
        // Here the repository's name is that of a host.
        ("image", json!("ghcr.io/keysluice/injector:5000/evil:1")),
        ("command", json!(["/bin/sh"])),
        ("command", json!(["/keysluice-injector", "once"])),
        ("args", json!(["--root", "/host"])),
        ("ports", json!([{"containerPort": 1, "hostPort": 1}])),
        ("envFrom", json!([{"secretRef": {"name": "s"}}])),
        ("env/-", variable(json!({"secretKeyRef": {"name": "s", "key": "k"}}))),
        ("envFrom", json!([{"configMapRef": {"name": "s"}}])),
        // What the sidecar does and whom it trusts stands in the pod.
        ("env/-", named("KEYSLUICE_PLAN")),
        ("env/-", named("SSL_CERT_FILE")),
        ("env/-", named("LD_LIBRARY_PATH")),
        ("env/-", json!({"name": "KEYSLUICE_PLAN", "value": "$(A)"})),
        (
            "env/-",
            json!({"name": "KEYSLUICE_PLAN",
                "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}),
        ),
        // Written out, and still not what the webhook writes.
        ("env/-", json!({"name": "KEYSLUICE_PLAN_FILE", "value": "/etc/ssl/certs/plan.json"})),
        ("env/-", json!({"name": "KEYSLUICE_ROOT", "value": "/"})),
        (
            "env/-",
            json!({"name": "KEYSLUICE_TERMINATION_LOG", "value": "/mnt/keysluice/secrets/x"}),
        ),
        ("env/-", json!({"name": "SSL_CERT_FILE", "value": "/etc/ssl/certs/evil.pem"})),
        ("env/-", json!({"name": "SSL_CERT_DIR", "value": "/etc/ssl/certs"})),
        ("env/-", json!({"name": "LD_PRELOAD", "value": "/tmp/evil.so"})),
        ("workingDir", json!("/tmp")),
        ("stdin", json!(true)),
        ("tty", json!(true)),
        ("terminationMessagePath", json!("/keysluice-injector")),
        ("resources/claims", json!([{"name": "device"}])),
        ("resources/limits", json!({"memory": "19Mi", "devices.test/gpu": "1"})),
        ("resources/limits", json!({"memory": "19Mi", "hugepages-2Mi": "2Mi"})),
        (
            "lifecycle/postStart",
            json!({"exec": {"command": ["/keysluice-injector", "ready", "--root", "/tmp"]}}),
        ),
        (
            "lifecycle/postStart",
            json!({"exec": {"command": ["/keysluice-injector", "ready", "--timeout", "30",
                "--root=/tmp"]}}),
        ),
        ("volumeMounts/0/mountPropagation", json!("HostToContainer")),
        ("env/-", json!({"name": "SSL_CERT_FILE", "value": "$$$(A)"})),
        ("lifecycle", json!({"postStart": exec("/bin/sh")})),
        ("lifecycle", json!({"postStart": {"httpGet": {"port": 1, "host": "evil.test"}}})),
        (
            "lifecycle/postStart",
            json!({"exec": {"command": ["/keysluice-injector", "once", "ready"]}}),
        ),
        ("lifecycle/preStop", exec("/bin/sh")),
        ("startupProbe", exec("/bin/sh")),
        ("livenessProbe", exec("/keysluice-injector")),
        ("readinessProbe", json!({"tcpSocket": {"port": 1}})),
        ("securityContext", json!({"privileged": true})),
        ("securityContext", Value::Null),
        ("securityContext/allowPrivilegeEscalation", json!(true)),
        ("securityContext/capabilities/add", json!(["NET_ADMIN"])),
        ("securityContext/capabilities", json!({"drop": ["KILL"]})),
        ("securityContext/readOnlyRootFilesystem", json!(false)),
        ("securityContext/seccompProfile", json!({"type": "Unconfined"})),
        ("securityContext/appArmorProfile", json!({"type": "Unconfined"})),
        ("securityContext/seLinuxOptions", json!({"type": "spc_t"})),
        ("securityContext/seLinuxOptions", json!({"user": "system_u"})),
        ("securityContext/seLinuxOptions", json!({"role": "sysadm_r"})),
        ("volumeMounts/0/subPath", json!("a")),
        ("volumeMounts/0/subPathExpr", json!("$(A)")),
    ] {
        let name = format!("{field}: {value}");
        let mut pod = with(good.clone(), &of_sidecar(field), value);
        if field == "resources/claims" {
            pod["spec"]["resourceClaims"] =
                json!([{"name": "device", "resourceClaimName": "device"}]);
        }
        assert_refused(&stage, &name, &pod).await;
    }
    let once = with(good.clone(), &of_sidecar("lifecycle"), Value::Null);
    let once = with(once, &of_sidecar("restartPolicy"), Value::Null);
    assert_refused(&stage, "an init container that never ends", &once).await;
    // What a container does not say itself it has from its pod.
    for (field, value) in [
        ("appArmorProfile", json!({"type": "Unconfined"})),
        ("seLinuxOptions", json!({"type": "spc_t"})),
        ("seLinuxOptions", json!({"user": "system_u"})),
        ("seLinuxOptions", json!({"role": "sysadm_r"})),
    ] {
        let name = format!("the pod's {field}: {value}");
        let mut context = json!({});
        context[field] = value;
        assert_refused(&stage, &name, &with(good.clone(), "/spec/securityContext", context)).await;
    }
    let mut by_pod = with(
        good.clone(),
        "/spec/securityContext",
        json!({"windowsOptions": {"hostProcess": true}}),
    );
    by_pod["spec"]["hostNetwork"] = json!(true);
    assert_refused(&stage, "a process of the host, by the pod", &by_pod).await;
    let context = |field: &str| of_sidecar(&format!("securityContext/{field}"));
    let root = with(
        with(good.clone(), &context("runAsUser"), json!(0)),
        &context("runAsNonRoot"),
        json!(false),
    );
    let mut of_host = with(good.clone(), &context("windowsOptions"), json!({"hostProcess": true}));
    of_host["spec"]["hostNetwork"] = json!(true);
    of_host["spec"]["containers"][0]["securityContext"] =
        json!({"windowsOptions": {"hostProcess": true}});
    let mut ordinary = good.clone();
    for field in ["restartPolicy", "lifecycle"] {
        ordinary["spec"]["initContainers"][0].as_object_mut().unwrap().remove(field);
    }
    let named = with(pod("p", "default", false), "/spec/containers/0/name", json!("keysluice"));
    for (name, pod) in [
        ("root", root),
        ("a process of the host", of_host),
        ("no native sidecar", ordinary),
        ("no sidecar", named),
    ] {
        assert_refused(&stage, name, &pod).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn what_the_sidecar_mounts_is_its_own_and_in_its_place() {
    let stage = guarded().await;
    let good = with_sidecar(stage.directory.path());
    let scratch = json!({"emptyDir": {}});
    let secret = json!({"secret": {"secretName": "s"}});
    let projected = json!({"projected": {"sources": [{"secret": {"name": "s"}}]}});
    let token = "/var/run/secrets/azure/tokens";
    for (volume, mount_path) in [
        (&json!({"hostPath": {"path": "/"}}), "/host"),
        (&json!({"hostPath": {"path": "/"}}), "/mnt/keysluice/x"),
        (&scratch, "/keysluice-injector"),
        (&scratch, "/"),
        (&scratch, "//"),
        (&scratch, "/."),
        (&scratch, "keysluice-injector"),
        (&scratch, "//keysluice-injector"),
        (&scratch, "/./keysluice-injector"),
        (&scratch, "/tmp/../keysluice-injector/"),
        (&scratch, "/mnt/keysluice/../../keysluice-injector"),
        (&scratch, "/run"),
        (&scratch, "/run/keysluice/x"),
        (&scratch, "/var/run/keysluice"),
        (&scratch, "/mnt/"),
        (&scratch, "/mnt/keysluice"),
        (&scratch, "/mnt/keysluice/x/y"),
        (&scratch, "/var"),
        (&scratch, "/var/run/secrets"),
        (&scratch, "/var/run/secrets/azure"),
        (&scratch, "/var/run/secrets/kubernetes.io/serviceaccount"),
        (&scratch, token),
        // Where a C library looks for what it loads.
        (&scratch, "/etc"),
        (&scratch, "/lib64"),
        (&scratch, "/usr/lib/x86_64-linux-gnu"),
        (&scratch, "/dev"),
        (&scratch, "/proc/sys"),
        (&secret, "/s"),
        (&secret, "/mnt/keysluice/x"),
        (&projected, "/mnt/keysluice/x"),
        (&projected, token),
        (&projected, "/tmp"),
        (&json!({"hostPath": {"path": "/tmp"}}), "/tmp"),
        (&json!({"csi": {"driver": "d.test"}}), "/tmp"),
        (&json!({"projected": {"sources": []}}), "/var/run/secrets/azure/wi/../../../../etc"),
    ] {
        let mut volume = volume.clone();
        volume["name"] = json!("x");
        let hostile = with(good.clone(), "/spec/volumes/-", volume.clone());
        let mount = json!({"name": "x", "mountPath": mount_path});
        let hostile = with(hostile, &of_sidecar("volumeMounts/-"), mount);
        assert_refused(&stage, &format!("{volume} at {mount_path}"), &hostile).await;
    }
    let part = with(good.clone(), "/spec/volumes/-", json!({"name": "x", "emptyDir": {}}));
    let mount = json!({"name": "x", "mountPath": "/tmp", "subPath": "a"});
    assert_refused(&stage, "a part of a volume", &with(part, &of_sidecar("volumeMounts/-"), mount))
        .await;
    let over =
        json!({"name": "keysluice-run", "mountPath": "/keysluice-injector", "subPath": "evil"});
    assert_refused(
        &stage,
        "code over our program",
        &with(good, &of_sidecar("volumeMounts/-"), over),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn nobody_becomes_the_sidecar_later() {
    let stage = guarded().await;
    let good = with_sidecar(stage.directory.path());
    stage.create(&good).await.unwrap();
    let running = path(&good);
    let image = json!([{"op": "replace", "path": "/spec/initContainers/0/image",
        "value": "evil.test/injector:1"}]);
    let upgrade = json!([{"op": "replace", "path": "/spec/initContainers/0/image",
        "value": "ghcr.io/keysluice/injector:9"}]);
    let label = json!([{"op": "add", "path": "/metadata/labels", "value": {"a": "b"}}]);
    for (name, patch, allowed) in
        [("another image", &image, false), ("our image", &upgrade, true), ("a label", &label, true)]
    {
        let patched = stage.request(Method::PATCH, &running, Some(patch)).await;
        assert_eq!(patched.is_ok(), allowed, "{name}: {patched:?}");
    }
    let plain = pod("plain", "default", false);
    stage.create(&plain).await.unwrap();
    for (container, allowed) in [("keysluice", false), ("debugger", true)] {
        let debug = json!({"spec": {"ephemeralContainers": [{"name": container, "image": "x"}]}});
        let patched = stage
            .request(Method::PATCH, &format!("{}/ephemeralcontainers", path(&plain)), Some(&debug))
            .await;
        assert_eq!(patched.is_ok(), allowed, "{container}: {patched:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn every_sidecar_that_the_webhook_makes_passes() {
    let stage = guarded().await;
    let annotated = |key: &str, value: &str| {
        let mut pod = asking("annotated");
        pod["metadata"]["annotations"] = json!({format!("keysluice.dev/{key}"): value});
        pod
    };
    let of_spec =
        |field: &str, value: Value| with(asking("of-spec"), &format!("/spec/{field}"), value);
    let of_container = |field: &str, value: Value| of_spec(&format!("containers/0/{field}"), value);
    let same = json!({"cpu": "100m", "memory": "16Mi"});
    // As many as a pod may have: what the guard may reckon is bounded.
    let many = (0..63).fold(asking("many-volumes"), |pod, index| {
        let name = format!("more-{index}");
        let pod = with(pod, "/spec/volumes/-", csi_volume(&name, "class"));
        with(
            pod,
            "/spec/containers/0/volumeMounts/-",
            json!({"name": name, "mountPath": format!("/more/{index}")}),
        )
    });
    let pods = [
        asking("plain"),
        with(
            asking("labelled"),
            "/metadata/labels",
            json!({"azure.workload.identity/use": "true"}),
        ),
        annotated("gate", "probe"),
        annotated("gate", "none"),
        annotated("on-missing", "wait"),
        annotated("on-missing", "fail"),
        annotated("token-layout", "v1.5"),
        annotated("token-layout", "v1.6.1"),
        annotated("mode", "init"),
        annotated("cpu-limit", "10m"),
        annotated("size-limit", "8Mi"),
        with(
            with(
                with(asking("bound"), "/spec/volumes", json!([csi_volume("secrets", "managed")])),
                "/metadata/labels",
                json!({"azure.workload.identity/use": "true"}),
            ),
            "/metadata/annotations",
            json!({"azure.workload.identity/use-binding": "true"}),
        ),
        of_spec("volumes", json!([csi_volume("secrets", "managed")])),
        of_spec(
            "securityContext",
            json!({"runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 2000, "runAsNonRoot": true}),
        ),
        of_spec("automountServiceAccountToken", json!(false)),
        of_container("securityContext", json!({"runAsUser": 1234})),
        of_container("resources", json!({"requests": same, "limits": same})),
        of_container("volumeMounts/0/subPath", json!("a")),
        of_spec(
            "initContainers",
            json!([{"name": "proxy", "image": "x", "restartPolicy": "Always"},
                {"name": "init", "image": "x",
            "volumeMounts": [{"name": "secrets", "mountPath": "/mnt"}]}]),
        ),
        many,
    ];
    let endpoint = [
        "--custom-token-endpoint-annotation-suffix=binding",
        "--custom-token-endpoint-audience=api://AKSIdentityBinding",
    ];
    for options in [&[][..], &["--token-layout", "v1.5"], &["--token-layout", "v1.6.1"], &endpoint]
    {
        for (pod, asked) in explained(stage.directory.path(), &pods, options).iter().zip(&pods) {
            let sidecars = pod["spec"]["initContainers"].as_array().unwrap().iter();
            assert_eq!(sidecars.filter(|one| one["name"] == "keysluice").count(), 1, "{asked}");
            let created = stage.dry_run(pod).await;
            assert!(created.is_ok(), "{options:?} {asked}: {created:?}");
        }
    }
}
