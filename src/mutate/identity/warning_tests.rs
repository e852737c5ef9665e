//! What is warned of and what is not, and that neither takes long.

use super::super::testing::{CLIENT, account, facts, labelled, run, run_with, settings};
use crate::provider_class::MAX_WARNINGS;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn annotated(spec: Value, annotations: Value) -> Value {
    let mut pod = labelled("pod", spec);
    pod["metadata"]["annotations"] = annotations;
    pod
}

fn warnings(pod: &Value) -> Vec<String> {
    run(pod).unwrap().1.warnings
}

/// The same where the ServiceAccount names no client id.
fn warnings_without_client_id(pod: &Value) -> Vec<String> {
    let mut facts = facts();
    facts.service_account = Some(account(&[]));
    run_with(pod, &settings(), &facts).unwrap().1.warnings
}

#[test]
fn a_missing_client_id_is_no_matter_where_no_container_lacks_it() {
    let env = json!([{"name": "AZURE_CLIENT_ID", "value": "mine"}]);
    let env_from = json!([{"configMapRef": {"name": "azure"}}]);
    for (container, annotations, warned) in [
        (json!({}), json!({}), true),
        (json!({"env": env}), json!({}), false),
        (json!({}), json!({"keysluice.dev/client-ids": format!("app={CLIENT}")}), false),
        (
            json!({"envFrom": env_from}),
            json!({"keysluice.dev/env-from-wins": "AZURE_CLIENT_ID"}),
            false,
        ),
        (
            json!({"envFrom": env_from}),
            json!({"keysluice.dev/env-from-wins": "AZURE_TENANT_ID"}),
            true,
        ),
        (json!({}), json!({"azure.workload.identity/skip-containers": "app"}), false),
    ] {
        let mut app = json!({"name": "app"});
        app.as_object_mut().unwrap().extend(container.as_object().unwrap().clone());
        let warnings =
            warnings_without_client_id(&annotated(json!({"containers": [app]}), annotations));
        assert_eq!(
            warnings.iter().any(|warning| warning.starts_with("KS250")),
            warned,
            "{warnings:?}"
        );
    }
}

#[test]
fn env_from_is_warned_of_only_where_a_variable_is_injected_over_it() {
    let env: Vec<Value> = [
        "AZURE_CLIENT_ID",
        "AZURE_TENANT_ID",
        "AZURE_FEDERATED_TOKEN_FILE",
        "AZURE_AUTHORITY_HOST",
    ]
    .map(|name| json!({"name": name, "value": "x"}))
    .into();
    let container =
        json!({"name": "app", "env": env, "envFrom": [{"configMapRef": {"name": "azure"}}]});
    let mut pod = labelled("pod", json!({"containers": [container]}));
    assert_eq!(warnings(&pod), [""; 0]);
    pod["spec"]["containers"][0]["env"] = json!(env[..3]);
    assert!(warnings(&pod)[0].starts_with("KS254 container app"));
}

#[test]
fn any_of_the_eight_variables_can_be_left_to_env_from() {
    let container = json!({"name": "app", "envFrom": [{"configMapRef": {"name": "azure"}}]});
    let names = "AZURE_KUBERNETES_TOKEN_PROXY, AZURE_KUBERNETES_CA_FILE,AZURE_AUTHORITY_HOST";
    let (pod, _) = run(&annotated(
        json!({"containers": [container]}),
        json!({"keysluice.dev/env-from-wins": names}),
    ))
    .unwrap();
    let env = pod["spec"]["containers"][0]["env"].as_array().unwrap();
    assert_eq!(env.len(), 3);
}

#[test]
fn identities_of_containers_that_do_not_exist_are_named() {
    let spec = json!({"containers": [{"name": "app"}], "ephemeralContainers": [{"name": "debug"}]});
    let ids = format!("app={CLIENT};debug={CLIENT};gone={CLIENT}");
    let warnings = warnings(&annotated(spec, json!({"keysluice.dev/client-ids": ids})));
    assert!(
        warnings.len() == 1 && warnings[0].starts_with("KS257 the pod has no container gone"),
        "{warnings:?}"
    );
}

#[test]
fn ids_of_containers_that_are_none_are_named() {
    let spec = json!({"containers": [{"name": "app"}, {"name": "b"}]});
    let annotations = json!({"keysluice.dev/client-ids": format!("app=my-identity;b={CLIENT}"),
        "keysluice.dev/tenant-ids": "app=contoso.example;b=contoso"});
    let warnings = warnings(&annotated(spec, annotations));
    let expected = [
        "KS255 container app: the id \"my-identity\" of an annotation is not a GUID",
        "KS255 container b: the id \"contoso\" of an annotation is not a GUID or a domain",
    ];
    assert_eq!(warnings, expected);
}

#[test]
fn a_bad_expiration_says_whose_it_is() {
    let key = "azure.workload.identity/service-account-token-expiration";
    let range = "not valid. Expected value to be between 3600 and 86400";
    for (value, expected) in [
        ("1", format!("token expiration 1 {range}")),
        ("1h", "strconv.ParseInt: parsing \"1h\": invalid syntax".to_owned()),
        (
            "9223372036854775808",
            "strconv.ParseInt: parsing \"9223372036854775808\": value out of range".to_owned(),
        ),
        (
            "-9223372036854775809",
            "strconv.ParseInt: parsing \"-9223372036854775809\": value out of range".to_owned(),
        ),
    ] {
        let error = run(&annotated(json!({"containers": []}), json!({key: value}))).unwrap_err();
        assert!(
            error.starts_with(&format!("KS203 annotation {key} of pod \"pod\": {expected}")),
            "{error}"
        );
        let mut facts = facts();
        facts.service_account = Some(account(&[(key, value)]));
        let error =
            run_with(&labelled("pod", json!({"serviceAccountName": "sa"})), &settings(), &facts)
                .unwrap_err();
        assert!(
            error.starts_with(&format!(
                "KS203 annotation {key} of ServiceAccount \"sa\": {expected}"
            )),
            "{error}"
        );
    }
}

#[test]
fn env_from_is_warned_of_once_and_only_where_a_name_suggests_an_identity() {
    for (sources, warned) in [
        (json!([{"configMapRef": {"name": "app-config"}}]), false),
        (json!([{"secretRef": {"name": "db"}}]), false),
        (
            json!([{"configMapRef": {"name": "app-config"}},
                {"secretRef": {"name": "azure-identity"}}]),
            true,
        ),
        (json!([{"secretRef": {"name": "Workload-Identity"}}]), true),
        (json!([{"prefix": "AZURE_", "configMapRef": {"name": "x"}}]), true),
        (json!([{"prefix": "AZ", "configMapRef": {"name": "x"}}]), true),
        (json!([{"prefix": "DB_", "configMapRef": {"name": "azure"}}]), false),
    ] {
        let containers =
            json!([{"name": "a", "envFrom": sources}, {"name": "b", "envFrom": sources}]);
        let warnings = warnings(&labelled("pod", json!({"containers": containers})));
        assert_eq!(warnings.len(), usize::from(warned), "{sources}: {warnings:?}");
        assert!(
            warnings.iter().all(|warning| warning.starts_with("KS254 container a")),
            "{warnings:?}"
        );
    }
}

/// A list that is walked once for each container makes the first of these 10^9 steps, which take a
/// minute unoptimised; one pass takes a fraction of a second.
#[expect(clippy::disallowed_methods, reason = "it measures time")]
#[test]
fn many_containers_and_long_annotations_do_not_multiply() {
    let containers: Vec<Value> = (0..1_000)
        .map(|index| {
            json!({"name": format!("c{index}"),
            "envFrom": [{"configMapRef": {"name": "x"}}]})
        })
        .collect();
    let spec = json!({"containers": containers});
    let mut client_ids = String::new();
    for index in 0..(200 << 10) / 9 {
        client_ids += &format!("n{index}=x;");
    }
    for annotations in [
        json!({"azure.workload.identity/skip-containers": ";x".repeat(100 << 10)}),
        json!({"keysluice.dev/client-ids": client_ids}),
        json!({"keysluice.dev/env-from-wins": format!("AZURE_CLIENT_ID{}",
            ",AZURE_TENANT_ID".repeat(12 << 10))}),
    ] {
        let pod = annotated(spec.clone(), annotations).to_string();
        let (settings, facts) = (settings(), facts());
        let view = crate::pod::Pod::from_json(pod.as_bytes()).unwrap();
        let begun = Instant::now();
        let context = crate::mutate::Context {
            settings: &settings,
            namespace: "ns",
            uid: "u",
            facts: &facts,
        };
        let mutation = crate::mutate::mutate(&view, context).unwrap();
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
        assert!(mutation.warnings.len() <= MAX_WARNINGS);
    }
}

#[test]
fn annotations_larger_than_the_api_server_takes_are_refused() {
    let large = "x".repeat((256 << 10) + 1);
    for key in [
        "azure.workload.identity/skip-containers",
        "keysluice.dev/after",
        "keysluice.dev/client-ids",
    ] {
        let error = run(&annotated(json!({"containers": []}), json!({key: large}))).unwrap_err();
        assert!(error.starts_with("KS231 annotations ") && error.len() < 300, "{error}");
    }
    assert!(
        run(&annotated(json!({"containers": []}), json!({"other.dev/x": large}))).is_ok(),
        "none of our business"
    );
}

#[test]
fn a_service_account_with_many_slips_of_the_pen_gives_a_few_warnings() {
    let keys: Vec<String> =
        (0..1000).map(|index| format!("azure.workload.identity/x{index}")).collect();
    let mut facts = facts();
    facts.service_account =
        Some(account(&keys.iter().map(|key| (key.as_str(), "x")).collect::<Vec<_>>()));
    let (_, mutation) =
        run_with(&labelled("pod", json!({"containers": []})), &settings(), &facts).unwrap();
    assert_eq!(mutation.warnings.len(), 4);
    assert!(mutation.warnings[3].contains("997 more annotations"), "{:?}", mutation.warnings);
}
