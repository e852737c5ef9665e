use super::super::testing::{
    class, class_with_secrets, csi_volume, facts, labelled, mounts_of, native_sidecar, opaque,
    run_with, settings,
};
use crate::mutate::{Context, Facts, Mutation, mutate_ephemeral};
use crate::pod::Pod;
use serde_json::{Value, json};

fn cluster() -> Facts {
    let mut facts = facts();
    let objects = "array:\n  - |\n    objectName: maybe\n    objectType: secret\n    optional: \
        true\n  - |\n    objectName: cert\n    objectType: secret\n  - |\n    objectName: old\n    \
        objectType: secret\n    objectVersionHistory: 3\n";
    let parameters = json!({"keyvaultName": "vault-1", "objects": objects,
        "writeCertAndKeyInSeparateFiles": "true",
        "select": "namePrefix: x-\ndirectory: found\n",
        "templates": "- path: made/conf\n  template: \"a\"\n"});
    facts.classes.insert("more".to_owned(), class("more", &parameters));
    let made = class_with_secrets("made", "azure", &json!([opaque("a")]));
    facts.classes.insert("made".to_owned(), made);
    facts
}

fn run(pod: &Value) -> (Value, Vec<String>) {
    let (pod, Mutation { warnings, .. }) = run_with(pod, &settings(), &cluster()).unwrap();
    (pod, warnings)
}

/// The warnings of a code for a pod.
fn warnings(pod: &Value, code: &str) -> Vec<String> {
    run(pod).1.into_iter().filter(|warning| warning.starts_with(code)).collect()
}

/// A container that mounts the volume `secrets`.
fn mounting(mut container: Value, mount: &Value) -> Value {
    let mut all = json!({"name": "secrets", "mountPath": "/mnt/secrets"});
    all.as_object_mut().unwrap().extend(mount.as_object().unwrap().clone());
    container["volumeMounts"] = json!([all]);
    container
}

fn pod(init: &Value, class: &str) -> Value {
    let app = mounting(json!({"name": "app"}), &json!({}));
    labelled(
        "pod",
        json!({"initContainers": init, "containers": [app],
            "volumes": [csi_volume("secrets", class)]}),
    )
}

#[test]
fn an_init_container_before_the_sidecar_that_mounts_its_volume_gets_a_warning() {
    let early = mounting(json!({"name": "migrate"}), &json!({}));
    let of_path = mounting(json!({"name": "migrate"}), &json!({"subPath": "db"}));
    let native = mounting(native_sidecar("dns"), &json!({}));
    let vpn = native_sidecar("vpn");
    let after = json!({"keysluice.dev/after": "vpn"});
    let none = json!({});
    for (init, annotations, expected) in [
        (
            json!([early, native_sidecar("istio-proxy")]),
            &none,
            vec![
                "KS294 init container migrate: starts before the sidecar, which is behind \
             istio-proxy, and finds volume secrets empty; hint: move the init container behind",
            ],
        ),
        (
            json!([early, vpn]),
            &after,
            vec![
                "KS294 init container migrate: starts before the sidecar, which is behind vpn, and \
             finds volume secrets empty; hint: ",
            ],
        ),
        (
            json!([native, vpn]),
            &after,
            vec![
                "KS294 init container dns: starts before the sidecar, which is behind vpn, and \
             finds volume secrets empty until the sidecar has filled it; hint: ",
            ],
        ),
        (
            json!([of_path, vpn]),
            &after,
            vec![
                "KS294 init container migrate: starts before the sidecar, which is behind vpn, and \
             finds volume secrets empty; for subPath db the kubelet makes an empty directory, \
             which the sidecar cannot replace; hint: ",
            ],
        ),
        (json!([vpn, early]), &after, vec![]),
        (json!([early, vpn]), &none, vec![]),
        (json!([{"name": "other"}, vpn]), &after, vec![]),
    ] {
        let mut pod = pod(&init, "kv");
        pod["metadata"]["annotations"] = annotations.clone();
        let found = warnings(&pod, "KS294");
        assert_eq!(found.len(), expected.len(), "{init} {found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found}");
            assert!(found.ends_with("run before Keysluice"), "{found}");
        }
        assert_eq!(warnings(&pod, "KS252"), [""; 0], "{init}");
    }
}

#[test]
fn a_volume_with_a_secret_that_the_sidecar_makes_is_empty_before_it_too() {
    for volume in [
        json!({"name": "own", "secret": {"secretName": "a"}}),
        json!({"name": "own", "projected": {"sources": [{"secret": {"name": "a"}}]}}),
    ] {
        let mount = json!([{"name": "own", "mountPath": "/own"}]);
        let init =
            json!([{"name": "migrate", "volumeMounts": mount}, native_sidecar("istio-proxy")]);
        let mut pod = pod(&init, "made");
        pod["spec"]["volumes"].as_array_mut().unwrap().push(volume);
        let found = warnings(&pod, "KS294");
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("finds volume own empty; hint"), "{found:?}");
    }
}

#[test]
fn what_is_added_after_the_sidecar_mounts_read_only_too() {
    let (mut twice, _) = run(&pod(&json!(null), "kv"));
    let sidecar = twice["spec"]["initContainers"][0].clone();
    twice["spec"]["volumes"].as_array_mut().unwrap().push(json!({"name": "tmp", "emptyDir": {}}));
    let mut late = mounting(json!({"name": "late"}), &json!({}));
    let tmp = json!({"name": "tmp", "mountPath": "/tmp"});
    late["volumeMounts"].as_array_mut().unwrap().push(tmp.clone());
    twice["spec"]["containers"].as_array_mut().unwrap().push(late.clone());
    late["name"] = json!("first");
    twice["spec"]["initContainers"].as_array_mut().unwrap().insert(0, late);

    let (after, warnings) = run(&twice);
    for container in [&after["spec"]["containers"][1], &after["spec"]["initContainers"][0]] {
        assert_eq!(mounts_of(container, "secrets")[0]["readOnly"], true, "{container}");
        assert_eq!(mounts_of(container, "tmp"), [&tmp], "{container}");
    }
    assert_eq!(after["spec"]["initContainers"][1], sidecar, "it writes the volume");
    let early: Vec<_> = warnings.iter().filter(|text| text.starts_with("KS294")).collect();
    assert_eq!(early.len(), 1, "{warnings:?}");
    assert!(
        early[0].starts_with(
            "KS294 init container first: starts before the sidecar and finds volume secrets \
             empty; hint: "
        ),
        "{early:?}"
    );
    let (third, _) = run(&after);
    assert_eq!(third, after);
}

fn debug(pod: &Value, old: &Value) -> Value {
    let (new, old) = (pod.to_string(), old.to_string());
    let (new, old) =
        (Pod::from_json(new.as_bytes()).unwrap(), Pod::from_json(old.as_bytes()).unwrap());
    let (settings, facts) = (settings(), cluster());
    let context = Context { settings: &settings, namespace: "ns", uid: "u", facts: &facts };
    let mutation = mutate_ephemeral(&new, &old, context);
    let mut patched = pod.clone();
    json_patch::patch(&mut patched, &mutation.patch.to_json_patch()).unwrap();
    patched
}

#[test]
fn a_new_ephemeral_container_mounts_read_only_and_an_old_one_stays() {
    let (mut running, _) = run(&pod(&json!(null), "kv"));
    running["spec"]["ephemeralContainers"] = json!([mounting(json!({"name": "old"}), &json!({}))]);
    let mut debugged = running.clone();
    let new = mounting(json!({"name": "new"}), &json!({"readOnly": false}));
    debugged["spec"]["ephemeralContainers"].as_array_mut().unwrap().push(new);

    let after = debug(&debugged, &running);
    let containers = &after["spec"]["ephemeralContainers"];
    assert_eq!(containers[0], running["spec"]["ephemeralContainers"][0]);
    assert_eq!(mounts_of(&containers[1], "secrets")[0]["readOnly"], true);
    assert_eq!(debug(&after, &running), after);
    assert_eq!(debug(&after, &after), after);
}

#[test]
fn an_ephemeral_container_of_a_pod_without_a_sidecar_keeps_its_mounts() {
    let running = labelled("pod", json!({"containers": [{"name": "app"}]}));
    let mut debugged = running.clone();
    let new = mounting(json!({"name": "new"}), &json!({}));
    debugged["spec"]["ephemeralContainers"] = json!([new]);
    assert_eq!(debug(&debugged, &running), debugged);
}

/// What the warning of a subPath says after its name.
fn of_sub_path(class: &str, field: &str, sub_path: &str, annotations: &Value) -> String {
    let mut pod = pod(&json!(null), class);
    pod["metadata"]["annotations"] = annotations.clone();
    pod["spec"]["containers"][0] = mounting(json!({"name": "app"}), &json!({field: sub_path}));
    let found = warnings(&pod, "KS252");
    assert_eq!(found.len(), 1, "{found:?}");
    let start = format!("KS252 container app: mount of secrets with subPath {sub_path}");
    found[0].strip_prefix(&start).unwrap().to_owned()
}

#[test]
fn a_sub_path_that_may_be_missing_at_the_start_says_what_the_kubelet_does() {
    const OLD: &str = " never shows a rotated secret";
    const MISSING: &str = " never shows a rotated secret; if it is not there when the container \
                           starts, the kubelet makes an empty directory of that name, which the \
                           sidecar cannot replace";
    let none = json!({});
    let open = json!({"keysluice.dev/gate": "none"});
    let once = json!({"keysluice.dev/gate": "none", "keysluice.dev/mode": "init"});
    for (class, field, sub_path, annotations, expected) in [
        ("kv", "subPath", "db", &none, OLD),
        ("kv", "subPath", "./db/", &none, OLD),
        ("kv", "subPath", "tls", &none, OLD),
        ("kv", "subPath", "tls/key", &none, OLD),
        ("kv", "subPath", ".", &none, OLD),
        ("kv", "subPath", "..data/db", &none, OLD),
        ("kv", "subPathExpr", "$(NAME)", &none, OLD),
        ("kv", "subPath", "db", &open, MISSING),
        // What comes after an init container that ends waits for it anyway.
        ("kv", "subPath", "db", &once, OLD),
        ("more", "subPath", "maybe", &none, MISSING),
        ("more", "subPath", "cert", &none, OLD),
        ("more", "subPath", "cert.crt", &none, MISSING),
        ("more", "subPath", "old", &none, OLD),
        ("more", "subPath", "old/0", &none, OLD),
        ("more", "subPath", "old/1", &none, MISSING),
        ("more", "subPath", "found", &none, MISSING),
        ("more", "subPath", "found/x-1", &none, MISSING),
        ("more", "subPath", "made", &none, OLD),
        ("more", "subPath", "made/conf", &none, OLD),
    ] {
        let found = of_sub_path(class, field, sub_path, annotations);
        assert_eq!(found, expected, "{class} {sub_path} {annotations}");
    }
}

#[test]
fn a_sub_path_that_no_object_has_is_told_with_the_files_that_there_are() {
    const NOTHING: &str = ": the volume has no such file, and the kubelet makes an empty directory \
                           of that name; its files: ";
    for (class, sub_path, files) in [
        ("kv", "nope", "db, tls/key"),
        ("kv", "d", "db, tls/key"),
        ("kv", "db/x", "db, tls/key"),
        ("kv", "tls/keys", "db, tls/key"),
        ("more", "maybe.crt2", "maybe, cert, old/0, made/conf"),
    ] {
        let found = of_sub_path(class, "subPath", sub_path, &json!({}));
        assert_eq!(found, format!("{NOTHING}{files}"), "{class} {sub_path}");
    }
}

#[test]
fn of_many_files_the_first_are_told() {
    let objects = (0..30).fold("array:\n".to_owned(), |text, index| {
        text + &format!("  - |\n    objectName: n{index}\n    objectType: secret\n")
    });
    let mut facts = cluster();
    let parameters = json!({"keyvaultName": "vault-1", "objects": objects});
    facts.classes.insert("kv".to_owned(), class("kv", &parameters));
    let mut pod = pod(&json!(null), "kv");
    pod["spec"]["containers"][0]["volumeMounts"][0]["subPath"] = json!("nope");
    let (_, mutation) = run_with(&pod, &settings(), &facts).unwrap();
    assert!(mutation.warnings.iter().any(|text| text.ends_with("n8, n9, …")), "{mutation:?}");
}

#[test]
fn a_misspelt_provider_is_a_warning_and_another_is_not() {
    for (provider, is_misspelt) in [
        ("Azure", true),
        (" azure ", true),
        ("azur", true),
        ("aws", false),
        ("gcp", false),
        ("vault", false),
    ] {
        let mut facts = facts();
        let class = class_with_secrets("kv", provider, &json!([]));
        facts.classes.insert("kv".to_owned(), class);
        let pod = pod(&json!(null), "kv");
        let (after, mutation) = run_with(&pod, &settings(), &facts).unwrap();
        let volume = &after["spec"]["volumes"][0];
        assert_eq!(volume, &pod["spec"]["volumes"][0], "{provider}");
        let text = format!("KS289 volume secrets: provider is {provider:?}; did you mean azure?");
        assert_eq!(mutation.warnings.contains(&text), is_misspelt, "{:?}", mutation.warnings);
        assert!(is_misspelt || mutation.warnings.is_empty(), "{:?}", mutation.warnings);
    }
}
