//! The guard of the sidecar and inline annotations: what the webhook makes of them passes, and its
//! forgeries do not.

use super::pods::{explained, pod, with};
use super::sidecar_guard::{guarded, of_sidecar};
use serde_json::{Value, json};
use std::path::Path;

fn annotated(name: &str, annotations: &[(&str, &str)]) -> Value {
    let mut pod = pod(name, "default", true);
    pod["spec"]["containers"][0]["command"] = json!(["/app"]);
    for (key, value) in annotations {
        pod["metadata"]["annotations"][format!("keysluice.dev/{key}")] = json!(value);
    }
    pod
}

const DB: &str = "kv://vault/secrets/db";

/// A pod whose container starts with the sidecar's program.
fn with_exec(directory: &Path) -> Value {
    let annotations = [("env.DB", DB), ("file.db", DB), ("env-mode", "exec")];
    explained(directory, &[annotated("exec", &annotations)], &[]).remove(0)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn what_the_webhook_makes_of_inline_annotations_passes() {
    let stage = guarded().await;
    let pods = [
        annotated("files", &[("file.db", DB), ("file.key", "kv://vault/keys/k?path=a/k")]),
        annotated("file", &[("env.DB", DB), ("env.X", "kv://vault/secrets/x?optional=true")]),
        annotated("class", &[("env-from", "class"), ("gate", "probe")]),
        annotated("both", &[("env-from", "class"), ("env.DB", DB), ("env-mode", "exec")]),
        annotated("once", &[("env.DB", DB), ("env-mode", "exec"), ("mode", "init")]),
    ];
    for (pod, asked) in explained(stage.directory.path(), &pods, &[]).iter().zip(&pods) {
        let created = stage.dry_run(pod).await;
        assert!(created.is_ok(), "{asked}: {created:?}");
    }
    assert!(stage.dry_run(&with_exec(stage.directory.path())).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn a_forgery_of_the_program_or_of_what_it_reads_is_refused() {
    let stage = guarded().await;
    let good = with_exec(stage.directory.path());
    let position = |list: &str, name: &str| {
        let list = good.pointer(list).and_then(Value::as_array).unwrap();
        list.iter().position(|one| one["name"] == name).unwrap()
    };
    let volume = format!("/spec/volumes/{}", position("/spec/volumes", "keysluice-exec"));
    let mounts = "/spec/containers/0/volumeMounts";
    let mount = format!("{mounts}/{}", position(mounts, "keysluice-exec"));
    let env = format!("{mounts}/{}", position(mounts, "keysluice-env"));
    let named = |source: Value| {
        let mut volume = json!({"name": "keysluice-exec"});
        volume.as_object_mut().unwrap().extend(source.as_object().unwrap().clone());
        volume
    };
    let own = of_sidecar("volumeMounts");
    let in_sidecar = format!("{own}/{}/mountPath", position(&own, "keysluice-exec"));
    let writer = json!({"name": "writer", "image": "x",
        "volumeMounts": [{"name": "keysluice-exec", "mountPath": "/x"}]});
    for (what, pointer, value) in [
        ("the program from the node", &volume, named(json!({"hostPath": {"path": "/x"}}))),
        ("the program of a ConfigMap", &volume, named(json!({"configMap": {"name": "x"}}))),
        ("the program on a disk", &volume, named(json!({"emptyDir": {}}))),
        ("a writable program", &format!("{mount}/readOnly"), json!(false)),
        ("writable variables", &format!("{env}/readOnly"), json!(false)),
        ("another writer", &"/spec/containers/-".to_owned(), writer.clone()),
        ("an earlier writer", &"/spec/initContainers/-".to_owned(), writer),
        ("another place in the sidecar", &in_sidecar, json!("/tmp")),
        ("over the sidecar's program", &in_sidecar, json!("/keysluice-injector")),
        (
            "the sidecar as a program of its author",
            &of_sidecar("command"),
            json!(["/keysluice-injector", "exec", "--from", "/x", "--", "/bin/sh"]),
        ),
        (
            "the copy as the sidecar",
            &of_sidecar("command"),
            json!(["/mnt/keysluice/keysluice-exec/keysluice-injector", "run"]),
        ),
    ] {
        let refused = stage.dry_run(&with(good.clone(), pointer, value)).await;
        let is_ks721 = refused.as_ref().is_err_and(|error| error.message.contains("KS721"));
        assert!(is_ks721, "{what}: {refused:?}");
    }
}
