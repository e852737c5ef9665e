//! What other webhooks and policies add to every container, the sidecar too: the guard lets it be.

use super::pods::{with, with_sidecar};
use super::sidecar_guard::{guarded, of_sidecar};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn what_others_add_to_every_container_passes() {
    let stage = guarded().await;
    let good = with_sidecar(stage.directory.path());
    let variable = |entry: Value| with(good.clone(), &of_sidecar("env/-"), entry);
    let mounted = |pod: Value, name: &str, volume: Value, mount_path: &str| {
        let mut volume = volume;
        volume["name"] = json!(name);
        let pod = with(pod, "/spec/volumes/-", volume);
        with(pod, &of_sidecar("volumeMounts/-"), json!({"name": name, "mountPath": mount_path}))
    };
    let scratch = json!({"emptyDir": {}});
    // As EKS does it for an account with a role.
    let token = json!({"serviceAccountToken": {"audience": "sts.amazonaws.com",
        "expirationSeconds": 86400, "path": "token"}});
    let directory = "/var/run/secrets/eks.amazonaws.com/serviceaccount";
    let mut role = mounted(
        good.clone(),
        "aws-iam-token",
        json!({"projected": {"defaultMode": 420, "sources": [token]}}),
        directory,
    );
    for (name, value) in [
        ("AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/app"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", &format!("{directory}/token")),
    ] {
        role = with(role, &of_sidecar("env/-"), json!({"name": name, "value": value}));
    }
    // Many, each with a long name: what the guard may reckon is bounded.
    let many = (0..64).fold(good.clone(), |pod, index| {
        mounted(
            pod,
            &format!("a-volume-of-somebody-else-{index}"),
            scratch.clone(),
            &format!("/var/lib/somebody/{index}"),
        )
    });
    let authorities = json!({"projected": {"sources": [{"configMap": {"name": "authorities"}}]}});
    for (name, pod) in [
        ("a variable", variable(json!({"name": "A", "value": "b"}))),
        (
            "the node's address",
            variable(
                json!({"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}}),
            ),
        ),
        (
            "a proxy from a ConfigMap",
            variable(json!({"name": "HTTPS_PROXY",
                    "valueFrom": {"configMapKeyRef": {"name": "proxy", "key": "k"}}})),
        ),
        ("a role of AWS", role),
        ("scratch", mounted(good.clone(), "tmp", scratch.clone(), "/tmp")),
        ("scratch with a slash", mounted(good.clone(), "tmp", scratch.clone(), "/var/tmp/")),
        ("authorities", mounted(good.clone(), "authorities", authorities, "/etc/ssl/certs")),
        ("many volumes", many),
        (
            "a level of SELinux",
            with(
                good.clone(),
                &of_sidecar("securityContext/seLinuxOptions"),
                json!({"level": "s0:c1,c2"}),
            ),
        ),
        (
            "AppArmor",
            with(
                good.clone(),
                &of_sidecar("securityContext/appArmorProfile"),
                json!({"type": "RuntimeDefault"}),
            ),
        ),
        (
            "a digest",
            with(
                good.clone(),
                &of_sidecar("image"),
                json!(format!("ghcr.io/keysluice/injector@sha256:{}", "a".repeat(64))),
            ),
        ),
    ] {
        let created = stage.dry_run(&pod).await;
        assert!(created.is_ok(), "{name}: {created:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn what_a_pod_or_a_limit_range_says_beside_the_sidecar_passes() {
    let stage = guarded().await;
    let good = with_sidecar(stage.directory.path());
    for (name, pod) in [
        (
            "AppArmor off for the pod, on for the sidecar",
            with(
                with(
                    good.clone(),
                    "/spec/securityContext",
                    json!({"appArmorProfile": {"type": "Unconfined"}}),
                ),
                &of_sidecar("securityContext/appArmorProfile"),
                json!({"type": "RuntimeDefault"}),
            ),
        ),
        (
            "SELinux of the pod that is not the sidecar's",
            with(
                with(
                    good.clone(),
                    "/spec/securityContext",
                    json!({"seLinuxOptions": {"type": "spc_t"}}),
                ),
                &of_sidecar("securityContext/seLinuxOptions"),
                json!({"level": "s0:c1,c2"}),
            ),
        ),
        (
            "the pod's own options",
            with(
                good.clone(),
                "/spec/securityContext",
                json!({"seLinuxOptions": {"level": "s0:c1,c2"},
                    "appArmorProfile": {"type": "RuntimeDefault"},
                    "seccompProfile": {"type": "Unconfined"},
                    "sysctls": [{"name": "net.ipv4.ip_local_port_range", "value": "1024 65535"}]}),
            ),
        ),
        // Seen in the pod by every policy that looks at pods.
        ("the node's network", with(good.clone(), "/spec/hostNetwork", json!(true))),
        ("the node's processes", with(good.clone(), "/spec/hostPID", json!(true))),
        ("the pod's processes", with(good.clone(), "/spec/shareProcessNamespace", json!(true))),
        (
            "what a LimitRange adds",
            with(
                good.clone(),
                &of_sidecar("resources/limits"),
                json!({"cpu": "1", "memory": "19Mi", "ephemeral-storage": "1Gi"}),
            ),
        ),
        (
            "logs as termination message",
            with(
                good.clone(),
                &of_sidecar("terminationMessagePolicy"),
                json!("FallbackToLogsOnError"),
            ),
        ),
    ] {
        let created = stage.dry_run(&pod).await;
        assert!(created.is_ok(), "{name}: {created:?}");
    }
}
