use super::super::testing::{account, csi_volume, facts, labelled, run, run_with, settings};
use super::*;
use crate::mutate::Facts;
use crate::patch::STORED_LIMIT_BYTES;
use crate::settings::Settings;
use keysluice_plan::is_label;
use serde_json::{Value, json};

fn containers(count: usize) -> Value {
    (0..count).map(|index| json!({"name": format!("c{index}")})).collect()
}

#[test]
fn a_node_runs_no_thousand_containers() {
    let ephemeral: Value = json!([{"name": "e"}]);
    for (init, main, is_refused) in
        [(0, 1000, false), (500, 500, false), (500, 501, true), (1001, 0, true)]
    {
        let pod = labelled(
            "pod",
            json!({"initContainers": containers(init), "containers": containers(main)}),
        );
        assert_eq!(
            run(&pod).is_err_and(|error| error.starts_with("KS221 ")),
            is_refused,
            "{init} {main}"
        );
    }
    let pod =
        labelled("pod", json!({"containers": containers(1000), "ephemeralContainers": ephemeral}));
    assert!(run(&pod).unwrap_err().starts_with("KS221 the pod has 1001 containers"));
}

#[test]
fn names_that_kubernetes_would_refuse_are_refused_and_not_repeated() {
    let (label, subdomain) = ("x".repeat(64), "x".repeat(254));
    let reserved = format!("azure-workload-identity-reserved-{}", "x".repeat(60_000));
    for (pod, field) in [
        (labelled(&subdomain, json!({})), "/metadata/name"),
        (labelled("pod", json!({"serviceAccountName": subdomain})), "/spec/serviceAccountName"),
        (
            labelled("pod", json!({"containers": [{"name": "a"}, {"name": label}]})),
            "/spec/containers/1/name",
        ),
        (labelled("pod", json!({"volumes": [{"name": label}]})), "/spec/volumes/0/name"),
        (
            labelled(
                "pod",
                json!({"containers": containers(1000), "volumes": [{"name": reserved}]}),
            ),
            "/spec/volumes/0/name",
        ),
        (
            labelled("pod", json!({"volumes": [csi_volume("v", &subdomain)]})),
            "/spec/volumes/0/csi/volumeAttributes/secretProviderClass",
        ),
    ] {
        let error = run(&pod).unwrap_err();
        assert!(error.starts_with(&format!("KS222 {field} has ")) && error.len() < 300, "{error}");
    }
    let longest = labelled(
        &subdomain[1..],
        json!({"containers": [{"name": label[1..]}], "volumes": [{"name": label[1..]}]}),
    );
    assert!(run(&longest).is_ok());
    let mut unselected = labelled(&subdomain, json!({}));
    unselected["metadata"]["labels"] = json!({});
    assert!(run(&unselected).is_ok(), "none of our business");
}

#[test]
fn what_is_looked_up_has_a_name_that_can_be_one() {
    let json = labelled("pod", json!({"serviceAccountName": "x".repeat(254)})).to_string();
    let pod = Pod::from_json(json.as_bytes()).unwrap();
    assert_eq!(crate::mutate::needs(&pod, &settings()), crate::mutate::Needs::default());
    assert_eq!(crate::mutate::ephemeral_needs(&pod), crate::mutate::Needs::default());
}

#[test]
fn ids_that_are_longer_than_any_are_refused_and_not_copied() {
    let long = "x".repeat(200_000);
    for key in ["azure.workload.identity/client-id", "azure.workload.identity/tenant-id"] {
        let mut facts = facts();
        facts.service_account = Some(account(&[(key, &long)]));
        let pod =
            labelled("pod", json!({"serviceAccountName": "sa", "containers": containers(50)}));
        let error = run_with(&pod, &settings(), &facts).unwrap_err();
        assert!(
            error.starts_with(&format!("KS223 {key} of ServiceAccount sa has more than 256 bytes")),
            "{error}"
        );
    }
    let mut pod = labelled("pod", json!({"containers": [{"name": "app"}]}));
    pod["metadata"]["annotations"] =
        json!({"keysluice.dev/client-ids": format!("app={}", &long[..257])});
    let error = run(&pod).unwrap_err();
    assert!(error.starts_with("KS209 ") && error.len() < 600, "{error}");
}

#[test]
fn a_patch_that_etcd_could_not_store_is_refused() {
    let mut settings = settings();
    settings.token_endpoint = crate::settings::TokenEndpointText {
        suffix: "identity-binding".into(),
        audience: "api://AKSIdentityBinding".into(),
        proxy: format!("https://{}.svc", "x".repeat(4000)),
        ..Default::default()
    }
    .parse()
    .unwrap();
    let mut pod = labelled("pod", json!({"containers": containers(900)}));
    assert!(
        run_with(&pod, &settings, &facts()).unwrap().1.patch.to_json().len() < STORED_LIMIT_BYTES
    );
    pod["metadata"]["annotations"] =
        json!({"azure.workload.identity/use-identity-binding": "true"});
    assert!(run_with(&pod, &settings, &facts()).unwrap_err().starts_with("KS220 "));
}

#[test]
fn warnings_are_cut_wherever_the_text_comes_from() {
    let mount = json!([{"name": "secrets", "mountPath": "/s", "subPath": "x".repeat(100_000)}]);
    let spec = json!({"containers": [{"name": "app", "volumeMounts": mount}],
        "volumes": [csi_volume("secrets", "kv")]});
    let warnings = run(&labelled("pod", spec)).unwrap().1.warnings;
    assert!(warnings.iter().any(|warning| warning.starts_with("KS252 ")));
    assert!(warnings.iter().all(|warning| warning.len() < 600));
}

#[test]
fn only_a_label_names_a_volume() {
    for (name, is) in [
        ("a", true),
        ("a-1", true),
        ("", false),
        ("-a", false),
        ("a-", false),
        ("A", false),
        ("a.b", false),
        ("ü", false),
    ] {
        assert_eq!(is_label(name), is, "{name}");
    }
    let volume = json!({"name": "azure-workload-identity-reserved-X", "emptyDir": {}});
    let (pod, _) =
        run(&labelled("pod", json!({"containers": [{"name": "app"}], "volumes": [volume]})))
            .unwrap();
    assert_eq!(pod["spec"]["volumes"].as_array().unwrap().len(), 2, "not ours");
}

/// The error for a pod that takes work to read; without optimisation this is a hundred times faster
/// than comparing all with all.
#[expect(clippy::disallowed_methods, reason = "it measures time")]
fn refused_soon(pod: &Value, facts: &Facts, settings: &Settings) -> String {
    let begun = std::time::Instant::now();
    let error = run_with(pod, settings, facts).map(|_| ()).unwrap_err();
    assert!(begun.elapsed() < std::time::Duration::from_secs(10), "{:?}: {error}", begun.elapsed());
    error
}

/// So many names of three letters, each once.
fn names(count: u32) -> impl Iterator<Item = String> {
    let letter = |number: u32| char::from(b'a' + u8::try_from(number % 26).unwrap());
    (0..count).map(move |number| {
        let letters = [number / 17_576, number / 676, number / 26, number].map(letter);
        letters.iter().collect()
    })
}

#[test]
fn annotations_with_tens_of_thousands_of_names_are_read_in_one_pass() {
    let list = names(50_000).collect::<Vec<_>>().join(",");
    let mut pod = labelled("pod", json!({"containers": containers(1000)}));
    pod["metadata"]["annotations"] =
        json!({"keysluice.dev/file.a": "kv://vault-1/secrets/a", "keysluice.dev/containers": list});
    let error = refused_soon(&pod, &facts(), &settings());
    assert!(error.starts_with("KS209 ") && error.contains("keysluice.dev/containers"), "{error}");
    let ids = names(25_000).map(|name| format!("{name}={name}-id")).collect::<Vec<_>>().join(";");
    pod["metadata"]["annotations"] = json!({"keysluice.dev/client-ids": ids,
        "keysluice.dev/managed-identity-endpoint": "true"});
    let error = refused_soon(&pod, &facts(), &settings());
    assert!(error.starts_with("KS2") && error.len() < 1000, "{error}");
    let many = (0..7000).map(|index| format!("{index:08x}-0000-0000-0000-000000000000"));
    pod["metadata"]["annotations"] = json!({
        "keysluice.dev/managed-identity-endpoint": "true",
        "keysluice.dev/managed-identities": many.collect::<Vec<_>>().join(";")});
    let error = refused_soon(&pod, &facts(), &settings());
    assert!(error.contains("keysluice.dev/managed-identities"), "{error}");
}

#[test]
fn more_inline_variables_than_a_plan_has_room_for_cost_no_container_anything() {
    let mut pod = labelled("pod", json!({"containers": containers(1000)}));
    pod["metadata"]["annotations"] = json!({"keysluice.dev/vault": "vault-1"});
    for name in names(5000) {
        pod["metadata"]["annotations"][format!("keysluice.dev/env.{name}")] = json!("secrets/a");
    }
    let error = refused_soon(&pod, &facts(), &settings());
    assert!(error.starts_with("KS214 the pod has more than 1000 files and variables"), "{error}");
}

#[test]
fn a_patch_that_is_too_large_ends_what_makes_it_larger() {
    let text = "$(".repeat(1000);
    let env = |count: usize| -> Value {
        (0..count).map(|index| json!({"name": format!("E{index}"), "value": text})).collect()
    };
    let many: Value =
        (0..1000).map(|index| json!({"name": format!("c{index}"), "env": env(1)})).collect();
    for mode in ["file", "exec"] {
        let mut pod = labelled("pod", json!({"containers": many.clone()}));
        for name in names(500) {
            pod["metadata"]["annotations"][format!("keysluice.dev/env.{name}")] =
                json!("kv://vault-1/secrets/a");
        }
        pod["metadata"]["annotations"]["keysluice.dev/env-mode"] = json!(mode);
        let error = refused_soon(&pod, &facts(), &settings());
        let expected = if mode == "file" { "KS220 " } else { "KS26" };
        assert!(error.starts_with(expected), "{mode}: {error}");
    }
}

#[test]
fn a_volume_with_the_name_of_one_of_ours_is_refused() {
    for name in crate::mutate::names::OWN_VOLUMES {
        let volumes = json!([csi_volume("v", "kv"), {"name": name, "emptyDir": {}}]);
        let pod = labelled("pod", json!({"containers": [{"name": "app"}], "volumes": volumes}));
        let error = run(&pod).map(|_| ()).unwrap_err();
        assert!(error.starts_with("KS206 /spec/volumes/1/name"), "{name}: {error}");
    }
}
