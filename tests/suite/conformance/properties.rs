//! Properties of every pod: review bytes in, response bytes out, the patch applied as the API
//! server does.

use crate::suite::support::pods::pod;
use crate::suite::support::reviews::Reviewer;
use keysluice::admission;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Mutates once; `None` if the pod is refused.
fn mutate(pod: &Value) -> Option<(Value, Vec<Value>)> {
    match Reviewer::new().attempt(pod) {
        Ok(done) => Some(done),
        Err(message) => {
            assert!(message.starts_with("KS"), "{message}");
            None
        }
    }
}

/// Everything of `before` stands in `after`: members under their key, list entries in their order;
/// a CSI volume's source apart.
fn survives(before: &Value, after: &Value, path: &str) -> Result<(), String> {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            before.iter().try_for_each(|(key, value)| {
                // In Kubernetes null is absent, and so it may be filled; a mount of a replaced
                // volume becomes read-only.
                let may_change =
                    value.is_null() || (key == "readOnly" && path.contains("/volumeMounts/"));
                match after.get(key) {
                    Some(_) if may_change => Ok(()),
                    Some(other) => survives(value, other, &format!("{path}/{key}")),
                    None if key == "csi" => Ok(()),
                    None => Err(format!("{path}/{key} is gone")),
                }
            })
        }
        (Value::Array(before), Value::Array(after)) => {
            let mut rest = after.iter();
            before.iter().enumerate().try_for_each(|(index, value)| {
                let found =
                    rest.any(|other| survives(value, other, &format!("{path}/{index}")).is_ok());
                found.then_some(()).ok_or_else(|| format!("{path}/{index} is gone"))
            })
        }
        _ if before == after => Ok(()),
        _ => Err(format!("{path} changed from {before} to {after}")),
    }
}

/// Pairs of (container, path) that occur twice.
fn doubled_mount_paths(pod: &Value) -> BTreeSet<(String, String)> {
    let mut doubled = BTreeSet::new();
    for field in ["initContainers", "containers"] {
        for (index, container) in pod["spec"][field].as_array().into_iter().flatten().enumerate() {
            let mut seen = BTreeSet::new();
            for mount in container["volumeMounts"].as_array().into_iter().flatten() {
                let path = mount["mountPath"].as_str().unwrap().trim_end_matches('/').to_owned();
                if !seen.insert(path.clone()) {
                    doubled.insert((format!("{field}/{index}/{}", container["name"]), path));
                }
            }
        }
    }
    doubled
}

/// What the API server refuses before any webhook: names and mount paths that occur twice.
pub(crate) fn is_valid(pod: &Value) -> bool {
    let unique = |values: &Value| {
        let names: Vec<_> = values
            .as_array()
            .into_iter()
            .flatten()
            .map(|value| value["name"].to_string())
            .collect();
        names.iter().collect::<BTreeSet<_>>().len() == names.len()
    };
    unique(&pod["spec"]["volumes"]) && doubled_mount_paths(pod).is_empty()
}

/// At least this many cases; `PROPTEST_CASES` asks for more.
pub(crate) fn cases(least: u32) -> ProptestConfig {
    let default = ProptestConfig::default();
    ProptestConfig { cases: default.cases.max(least), failure_persistence: None, ..default }
}

#[test]
fn every_run_tries_the_same_cases() {
    assert_ne!(
        ProptestConfig::default().rng_seed,
        RngSeed::Random,
        "PROPTEST_RNG_SEED is set in .cargo/config.toml"
    );
}

/// What the properties once found, for ever.
#[test]
fn a_skipped_container_that_mounts_the_volume_before_it_is_there_changes_no_second_run() {
    let name = |volume: &str, layout: &str, path: &str, others: bool| {
        let mut containers =
            vec![json!({"name": "app", "volumeMounts": [{"name": volume, "mountPath": path}]})];
        containers.extend(others.then(|| json!({"name": "side"})));
        let annotations = json!({"azure.workload.identity/skip-containers": "app",
            "keysluice.dev/token-layout": layout});
        let labels = json!({"azure.workload.identity/use": "true"});
        json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "p", "labels": labels, "annotations": annotations},
            "spec": {"containers": containers}})
    };
    let reserved = "azure-workload-identity-reserved-148de9c5a7a44d19e56cd9ae1a554b";
    let hashed = "/var/run/secrets/azure/wi/0123456789abcdef0123456789abcd";
    for volume in ["azure-identity-token", reserved] {
        for layout in ["v1.5", "v1.6.0", "v1.6.1"] {
            for path in ["/a", "/var/run/secrets/azure/wi", "/var/run/secrets/azure/tokens", hashed]
            {
                for others in [false, true] {
                    let pod = name(volume, layout, path, others);
                    let (mut patched, _) = mutate(&pod).expect("the pod is let through");
                    let second = mutate(&patched).map(|(_, operations)| operations);
                    assert_eq!(second, Some(Vec::new()), "{volume} {layout} {path} {others}");
                    patched["metadata"]["name"] = json!("renamed");
                    let third = mutate(&patched).map(|(_, operations)| operations);
                    assert_eq!(third, Some(Vec::new()), "{volume} {layout} {path} {others}");
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(1024))]

    #[test]
    fn everything_unknown_survives_and_nothing_is_removed(pod in pod().prop_filter("valid",
        is_valid)) {
        if let Some((patched, operations)) = mutate(&pod) {
            for operation in &operations {
                prop_assert!(operation["op"] == "add" || operation["op"] == "replace",
                    "{operation}");
            }
            // What is replaced as a whole is a volume or mount of the token's, or a token path that
            // nothing serves; everything else survives.
            let is_of_token = |operation: &Value| {
                let name = operation["value"]["name"].as_str().unwrap_or_default();
                name.starts_with("azure-workload-identity-reserved-")
                    || name == "azure-identity-token"
                    || operation["path"].as_str().unwrap().ends_with("/value")
            };
            let is_replaced =
                |operation: &Value| operation["op"] == "replace" && is_of_token(operation);
            if !operations.iter().any(is_replaced) {
                prop_assert_eq!(survives(&pod, &patched, ""), Ok(()));
            }
        }
    }

    #[test]
    fn a_second_run_gives_no_patch_also_after_a_rename(pod in pod().prop_filter("valid", is_valid),
        name in "[a-z]{1,8}") {
        if let Some((mut patched, _)) = mutate(&pod) {
            let second = mutate(&patched);
            prop_assert_eq!(second.map(|(_, operations)| operations), Some(Vec::new()));
            patched["metadata"]["name"] = json!(name);
            let third = mutate(&patched);
            prop_assert_eq!(third.map(|(_, operations)| operations), Some(Vec::new()));
        }
    }

    #[test]
    fn no_container_ever_mounts_two_volumes_on_one_path(pod in pod().prop_filter("valid",
        is_valid)) {
        if let Some((patched, _)) = mutate(&pod) {
            prop_assert_eq!(doubled_mount_paths(&patched), BTreeSet::new());
        }
    }

    #[test]
    fn any_bytes_are_answered_or_refused_without_a_panic(
        body in proptest::collection::vec(any::<u8>(), 0..200)
    ) {
        prop_assert_eq!(answered(&body), Ok(()));
    }

    #[test]
    fn a_spoilt_review_is_answered_or_refused_without_a_panic(pod in pod(),
        is_update in any::<bool>(), spoils in proptest::collection::vec(spoil(), 0..5)) {
        let operation = if is_update { "UPDATE" } else { "CREATE" };
        let mut request = json!({"uid": "u", "operation": operation, "namespace": "ns",
            "object": pod});
        if is_update {
            request["subResource"] = json!("ephemeralcontainers");
            request["oldObject"] = json!({"kind": "Pod"});
        }
        let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": request});
        let mut body = serde_json::to_vec(&review).unwrap();
        prop_assert_eq!(answered(&body), Ok(()));
        for (at, length, text) in &spoils {
            let at = at.index(body.len());
            let end = (at + length).min(body.len());
            body.splice(at..end, text.iter().copied());
        }
        prop_assert_eq!(answered(&body), Ok(()));
    }
}

/// Where, how many bytes go, and what comes there.
fn spoil() -> impl Strategy<Value = (proptest::sample::Index, usize, Vec<u8>)> {
    let tokens = &[
        "", "null", "{}", "[", "]", "}", ",", ":", "\"", "\\u0000", "\\ud800", "1e999", "true",
        "\"a\":1,", "\u{0}", "\u{fc}",
    ][..];
    let text = prop_oneof![
        4 => proptest::sample::select(tokens).prop_map(|token| token.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..4)
    ];
    (any::<proptest::sample::Index>(), 0..12_usize, text)
}

/// What is a review gets an answer that is one, with its uid.
fn answered(body: &[u8]) -> Result<(), String> {
    let Ok(incoming) = admission::read(body) else { return Ok(()) };
    let reviewer = Reviewer::new();
    let facts = reviewer.facts(incoming.namespace(), &incoming.needs(&reviewer.settings));
    let answer = incoming.answer(&reviewer.settings, &facts);
    let review: Value = serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
    let is_whole = review["kind"] == "AdmissionReview" && review["response"]["uid"].is_string();
    if is_whole { Ok(()) } else { Err(review.to_string()) }
}
