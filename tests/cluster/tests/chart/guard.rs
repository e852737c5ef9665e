//! The guard: pods that no webhook saw, and containers that only call themselves the sidecar.

use super::pods::{asking, csi_volume, explained, pod, token_volume, with_sidecar};
use super::stage::{CONFIGURATION, NAMESPACE, Stage, manifest, path};
use reqwest::Method;
use serde_json::{Value, json};

fn with(mut pod: Value, pointer: &str, value: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = pod.pointer_mut(parent).unwrap_or_else(|| panic!("no {parent}"));
    match parent {
        Value::Array(list) if key == "-" => list.push(value),
        Value::Array(list) => list[key.parse::<usize>().unwrap()] = value,
        _ => parent[key] = value,
    }
    pod
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn a_labelled_pod_that_no_webhook_saw_is_refused_with_the_reason() {
    let stage = Stage::open().await;
    stage.install().await;
    stage.until_guarded().await;
    // As an operator may have it, and as it is while nobody knows that the configuration was deleted.
    let ignore = json!([{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}]);
    stage.request(Method::PATCH, CONFIGURATION, Some(&ignore)).await.unwrap();
    for deleted in [false, true] {
        if deleted {
            stage.request(Method::DELETE, CONFIGURATION, None).await.unwrap();
        }
        let labelled = pod("p", "default", true);
        stage
            .until("nobody is asked any more", async || {
                let refused = stage.dry_run(&labelled).await;
                refused.is_err_and(|refused| refused.message.contains("KS720"))
            })
            .await;
        let mirror = with(labelled.clone(), "/metadata/annotations", json!({"kubernetes.io/config.mirror": "x"}));
        let mirror = with(mirror, "/spec/nodeName", json!("node"));
        for (name, pod, refused) in [
            ("labelled, no token", labelled.clone(), true),
            (
                "labelled, only the API server's token",
                with(labelled.clone(), "/spec/volumes", json!([token_volume("token", None)])),
                true,
            ),
            (
                "labelled, only a mesh's token",
                with(labelled.clone(), "/spec/volumes", json!([token_volume("istio-token", Some("istio-ca"))])),
                true,
            ),
            (
                "labelled, a token",
                with(labelled.clone(), "/spec/volumes", json!([token_volume("token/azure-identity-token", Some("a"))])),
                false,
            ),
            (
                "labelled, a token as Azure Workload Identity v1.5 has it",
                with(labelled, "/spec/volumes", json!([token_volume("azure-identity-token", Some("a"))])),
                false,
            ),
            ("mirror of a static pod", mirror, false),
            ("not labelled", pod("p", "default", false), false),
            (
                "labelled otherwise",
                with(pod("p", "default", true), "/metadata/labels", json!({"azure.workload.identity/use": "false"})),
                false,
            ),
            ("labelled, in kube-system", pod("p", "kube-system", true), false),
            ("labelled, in our own namespace", pod("p", NAMESPACE, true), false),
        ] {
            match stage.dry_run(&pod).await {
                Ok(_) => assert!(!refused, "{name} was created (configuration deleted: {deleted})"),
                Err(error) => {
                    assert!(refused && error.code == 403, "{name}: {error:?}");
                    assert!(error.message.contains("no webhook saw it; hint: look for the webhook"), "{error:?}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn with_every_webhook_gone_the_cluster_still_starts() {
    let stage = Stage::open().await;
    stage.install().await;
    let labelled = pod("p", "default", true);
    stage
        .until("the configuration is known", async || {
            stage.dry_run(&labelled).await.is_err_and(|refused| refused.message.contains("failed calling webhook"))
        })
        .await;
    let install = manifest("webhook-config/install.yaml");
    let deployment = install.iter().find(|object| object["kind"] == "Deployment").unwrap();
    let mut ours = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "ours", "namespace": NAMESPACE}});
    ours["metadata"]["labels"] = deployment["spec"]["template"]["metadata"]["labels"].clone();
    ours["spec"] = deployment["spec"]["template"]["spec"].clone();
    let csi = json!([{"name": "v", "csi": {"driver": "secrets-store.csi.k8s.io", "readOnly": true}}]);
    for (name, pod) in [
        ("ours", ours),
        ("of kube-system", pod("p", "kube-system", false)),
        ("of kube-system, labelled", pod("p", "kube-system", true)),
        ("any other", pod("p", "default", false)),
        ("with a CSI volume of whatever provider", with(pod("p", "default", false), "/spec/volumes", csi)),
    ] {
        let created = stage.dry_run(&pod).await;
        assert!(created.is_ok(), "{name}: {created:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn what_calls_itself_the_sidecar_must_be_it() {
    let stage = Stage::open().await;
    stage.install().await;
    stage.until_guarded().await;
    stage.request(Method::DELETE, CONFIGURATION, None).await.unwrap();
    let good = with_sidecar(stage.directory.path());
    assert_eq!(good["spec"]["initContainers"][0]["name"], "keysluice", "{good}");
    stage.until("nobody is asked any more", async || stage.dry_run(&good).await.is_ok()).await;
    let c = |rest: &str| format!("/spec/initContainers/0/{rest}");
    let host = json!({"name": "host", "hostPath": {"path": "/"}});
    let mount = json!({"name": "host", "mountPath": "/host"});
    let mounted =
        |volume: Value, mount: Value| with(with(good.clone(), "/spec/volumes/-", volume), &c("volumeMounts/-"), mount);
    let hosted = mounted(host, mount);
    let scratch = || json!({"name": "x", "emptyDir": {}});
    let secret = json!({"name": "x", "secret": {"secretName": "s"}});
    let projected = json!({"name": "x", "projected": {"sources": [{"secret": {"name": "s"}}]}});
    let mut of_host = with(good.clone(), &c("securityContext/windowsOptions"), json!({"hostProcess": true}));
    of_host["spec"]["hostNetwork"] = json!(true);
    of_host["spec"]["containers"][0]["securityContext"] = json!({"windowsOptions": {"hostProcess": true}});
    let exec = |word: &str| json!({"exec": {"command": [word]}});
    let variable = |source: Value| with(good.clone(), &c("env/-"), json!({"name": "A", "valueFrom": source}));
    let context = |field: &str, value: Value| with(good.clone(), &c(&format!("securityContext/{field}")), value);
    let mut ordinary = good.clone();
    ordinary["spec"]["initContainers"][0].as_object_mut().unwrap().remove("restartPolicy");
    ordinary["spec"]["initContainers"][0].as_object_mut().unwrap().remove("lifecycle");
    for (name, pod) in [
        ("another image", with(good.clone(), &c("image"), json!("evil.test/injector:1"))),
        (
            "an image whose name begins alike",
            with(good.clone(), &c("image"), json!("ghcr.io/keysluice/injector-evil:1")),
        ),
        (
            "our image behind another registry",
            with(good.clone(), &c("image"), json!("evil.test/ghcr.io/keysluice/injector:1")),
        ),
        ("another command", with(good.clone(), &c("command"), json!(["/bin/sh"]))),
        ("arguments", with(good.clone(), &c("args"), json!(["--root", "/host"]))),
        ("privileged", with(good.clone(), &c("securityContext"), json!({"privileged": true}))),
        ("no security context", with(good.clone(), &c("securityContext"), Value::Null)),
        ("escalation", with(good.clone(), &c("securityContext/allowPrivilegeEscalation"), json!(true))),
        ("a capability", with(good.clone(), &c("securityContext/capabilities/add"), json!(["NET_ADMIN"]))),
        ("capabilities kept", with(good.clone(), &c("securityContext/capabilities"), json!({"drop": ["KILL"]}))),
        (
            "root",
            with(
                with(good.clone(), &c("securityContext/runAsUser"), json!(0)),
                &c("securityContext/runAsNonRoot"),
                json!(false),
            ),
        ),
        ("a writable root", with(good.clone(), &c("securityContext/readOnlyRootFilesystem"), json!(false))),
        ("no seccomp", with(good.clone(), &c("securityContext/seccompProfile"), json!({"type": "Unconfined"}))),
        ("a host port", with(good.clone(), &c("ports"), json!([{"containerPort": 1, "hostPort": 1}]))),
        ("environment from a Secret", with(good.clone(), &c("envFrom"), json!([{"secretRef": {"name": "s"}}]))),
        ("a path of the node", hosted),
        (
            "code over our binary",
            mounted(scratch(), json!({"name": "x", "mountPath": "/keysluice-injector", "subPath": "evil"})),
        ),
        ("a directory over our binary", mounted(scratch(), json!({"name": "x", "mountPath": "/keysluice-injector"}))),
        ("a directory over everything", mounted(scratch(), json!({"name": "x", "mountPath": "/"}))),
        (
            "a path that leads back to our binary",
            mounted(scratch(), json!({"name": "x", "mountPath": "/mnt/keysluice/../../keysluice-injector"})),
        ),
        ("a part of its own volume", with(good.clone(), &c("volumeMounts/0/subPath"), json!("a"))),
        ("a part by a variable", with(good.clone(), &c("volumeMounts/0/subPathExpr"), json!("$(A)"))),
        ("a Secret", mounted(secret.clone(), json!({"name": "x", "mountPath": "/s"}))),
        ("a Secret as one of its volumes", mounted(secret, json!({"name": "x", "mountPath": "/mnt/keysluice/x"}))),
        (
            "a projected Secret as one of its volumes",
            mounted(projected.clone(), json!({"name": "x", "mountPath": "/mnt/keysluice/x"})),
        ),
        (
            "a projected volume out of the token's place",
            mounted(projected, json!({"name": "x", "mountPath": "/var/run/secrets/azure/wi/../../../../etc"})),
        ),
        ("a variable from a Secret", variable(json!({"secretKeyRef": {"name": "s", "key": "k"}}))),
        ("a variable from a ConfigMap", variable(json!({"configMapKeyRef": {"name": "s", "key": "k"}}))),
        ("a hook of another program", with(good.clone(), &c("lifecycle"), json!({"postStart": exec("/bin/sh")}))),
        (
            "a hook that makes a call",
            with(good.clone(), &c("lifecycle"), json!({"postStart": {"httpGet": {"port": 1, "host": "evil.test"}}})),
        ),
        ("a hook before its end", with(good.clone(), &c("lifecycle/preStop"), exec("/bin/sh"))),
        ("a probe of another program", with(good.clone(), &c("startupProbe"), exec("/bin/sh"))),
        (
            "a hook of our program that is not the gate",
            with(
                good.clone(),
                &c("lifecycle/postStart"),
                json!({"exec": {"command": ["/keysluice-injector", "once", "ready"]}}),
            ),
        ),
        ("a liveness probe", with(good.clone(), &c("livenessProbe"), exec("/keysluice-injector"))),
        ("a readiness probe", with(good.clone(), &c("readinessProbe"), json!({"tcpSocket": {"port": 1}}))),
        ("no AppArmor", context("appArmorProfile", json!({"type": "Unconfined"}))),
        ("an SELinux type without bounds", context("seLinuxOptions", json!({"type": "spc_t"}))),
        ("another SELinux user", context("seLinuxOptions", json!({"user": "system_u"}))),
        ("another SELinux role", context("seLinuxOptions", json!({"role": "sysadm_r"}))),
        ("a process of the host", of_host),
        (
            "the host's name as repository",
            with(good.clone(), &c("image"), json!("ghcr.io/keysluice/injector:5000/evil:1")),
        ),
        ("no native sidecar", ordinary),
        (
            "an ordinary container of that name",
            with(pod("p", "default", false), "/spec/containers/0/name", json!("keysluice")),
        ),
    ] {
        let refused = stage.dry_run(&pod).await;
        assert!(refused.as_ref().is_err_and(|error| error.message.contains("KS721")), "{name}: {refused:?}");
    }

    // And once it runs.
    stage.create(&good).await.unwrap();
    let running = path(&good);
    let image = json!([{"op": "replace", "path": "/spec/initContainers/0/image", "value": "evil.test/injector:1"}]);
    let upgrade =
        json!([{"op": "replace", "path": "/spec/initContainers/0/image", "value": "ghcr.io/keysluice/injector:9"}]);
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
        let patched =
            stage.request(Method::PATCH, &format!("{}/ephemeralcontainers", path(&plain)), Some(&debug)).await;
        assert_eq!(patched.is_ok(), allowed, "{container}: {patched:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn every_sidecar_that_the_webhook_makes_passes() {
    let stage = Stage::open().await;
    stage.install().await;
    stage.until_guarded().await;
    // The webhook's own code makes the pods here: only the guard and the API server say something to them.
    stage.request(Method::DELETE, CONFIGURATION, None).await.unwrap();
    let plain = pod("unlabelled", "default", false);
    stage.until("nobody is asked any more", async || stage.dry_run(&plain).await.is_ok()).await;
    let annotated = |key: &str, value: &str| {
        let mut pod = asking("annotated");
        pod["metadata"]["annotations"] = json!({format!("keysluice.dev/{key}"): value});
        pod
    };
    let of_spec = |field: &str, value: Value| with(asking("of-spec"), &format!("/spec/{field}"), value);
    let of_container = |field: &str, value: Value| of_spec(&format!("containers/0/{field}"), value);
    let same = json!({"cpu": "100m", "memory": "16Mi"});
    let mut two = asking("two-volumes");
    two = with(two, "/spec/volumes/-", csi_volume("more-secrets", "class"));
    two = with(two, "/spec/containers/0/volumeMounts/-", json!({"name": "more-secrets", "mountPath": "/more"}));
    let pods = [
        asking("plain"),
        with(asking("labelled"), "/metadata/labels", json!({"azure.workload.identity/use": "true"})),
        annotated("gate", "probe"),
        annotated("gate", "none"),
        annotated("on-missing", "wait"),
        annotated("on-missing", "fail"),
        annotated("token-layout", "v1.5"),
        annotated("token-layout", "v1.6.1"),
        annotated("cpu-limit", "10m"),
        annotated("size-limit", "8Mi"),
        with(
            with(asking("bound"), "/metadata/labels", json!({"azure.workload.identity/use": "true"})),
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
            json!([{"name": "proxy", "image": "x", "restartPolicy": "Always"}, {"name": "init", "image": "x",
            "volumeMounts": [{"name": "secrets", "mountPath": "/mnt"}]}]),
        ),
        two,
    ];
    let endpoint = [
        "--custom-token-endpoint-annotation-suffix=binding",
        "--custom-token-endpoint-audience=api://AKSIdentityBinding",
    ];
    for options in [&[][..], &["--token-layout", "v1.5"], &["--token-layout", "v1.6.1"], &endpoint] {
        for (pod, asked) in explained(stage.directory.path(), &pods, options).iter().zip(&pods) {
            let sidecars = pod["spec"]["initContainers"].as_array().unwrap().iter();
            assert_eq!(sidecars.filter(|one| one["name"] == "keysluice").count(), 1, "{asked}");
            let created = stage.dry_run(pod).await;
            assert!(created.is_ok(), "{options:?} {asked}: {created:?}");
        }
    }
    // What others add to every container, after us.
    let good = with_sidecar(stage.directory.path());
    let c = |rest: &str| format!("/spec/initContainers/0/{rest}");
    for (name, pod) in [
        ("a variable", with(good.clone(), &c("env/-"), json!({"name": "A", "value": "b"}))),
        (
            "the node's address",
            with(
                good.clone(),
                &c("env/-"),
                json!({"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}}),
            ),
        ),
        ("a level of SELinux", with(good.clone(), &c("securityContext/seLinuxOptions"), json!({"level": "s0:c1,c2"}))),
        ("AppArmor", with(good.clone(), &c("securityContext/appArmorProfile"), json!({"type": "RuntimeDefault"}))),
        (
            "a digest",
            with(good.clone(), &c("image"), json!(format!("ghcr.io/keysluice/injector@sha256:{}", "a".repeat(64)))),
        ),
    ] {
        let created = stage.dry_run(&pod).await;
        assert!(created.is_ok(), "{name}: {created:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn a_webhook_that_adds_the_wrong_sidecar_is_stopped() {
    let stage = Stage::open().await;
    stage.install().await;
    for object in manifest("webhook-config/chart/crds/secretproviderclasses.yaml") {
        stage.create(&object).await.unwrap();
    }
    stage.until_guarded().await;
    let class = json!({
        "apiVersion": "secrets-store.csi.x-k8s.io/v1", "kind": "SecretProviderClass", "metadata": {"name": "class", "namespace": "default"},
        "spec": {"provider": "azure", "parameters": {"keyvaultName": "vault", "clientID": "7d8cdf74-5a38-4b5e-9ee1-000000000001",
            "objects": "array:\n  - |\n    objectName: a\n    objectType: secret\n"}},
    });
    let classes = "/apis/secrets-store.csi.x-k8s.io/v1/namespaces/default/secretproviderclasses";
    stage
        .until("the definition is served", async || {
            stage
                .request(Method::POST, classes, Some(&class))
                .await
                .map_or_else(|refused| refused.code == 409, |_| true)
        })
        .await;
    let volume = json!([{"name": "v", "csi": {"driver": "secrets-store.csi.k8s.io", "readOnly": true, "volumeAttributes": {"secretProviderClass": "class"}}}]);
    let mut asking = with(pod("p", "default", false), "/spec/volumes", volume);
    asking["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "v", "mountPath": "/mnt", "readOnly": true}]);
    let sidecar = |answer: &Value| answer["spec"]["initContainers"][0]["image"].as_str().unwrap_or_default().to_owned();
    {
        let webhook = stage.serve(&[]).await;
        let answer = stage.dry_run(&asking).await;
        let image = answer.as_ref().map(sidecar);
        assert!(
            image.as_ref().is_ok_and(|image| image.starts_with("ghcr.io/keysluice/injector:")),
            "{answer:?}\n{}",
            webhook.log()
        );
    }
    stage.request(Method::DELETE, CONFIGURATION, None).await.unwrap();
    stage.install().await;
    let _wrong = stage.serve(&["--injector-image", "evil.test/injector:1"]).await;
    stage
        .until("the wrong webhook is asked", async || {
            let answer = stage.dry_run(&asking).await;
            answer.is_err_and(|refused| {
                refused.message.contains("KS721 the container keysluice may only run the sidecar's image")
            })
        })
        .await;
}
