//! Properties of every pod: review bytes in, response bytes out, the patch applied as the API server does.

use super::reviews::Reviewer;
use keysluice::admission;
use keysluice::mutate::Facts;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
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

/// Everything of `before` stands in `after`: members under their key, list entries in their order; a CSI volume's source apart.
fn survives(before: &Value, after: &Value, path: &str) -> Result<(), String> {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => before.iter().try_for_each(|(key, value)| {
            // In Kubernetes null is absent, and so it may be filled; a mount of a replaced volume becomes read-only.
            let may_change = value.is_null() || (key == "readOnly" && path.contains("/volumeMounts/"));
            match after.get(key) {
                Some(_) if may_change => Ok(()),
                Some(other) => survives(value, other, &format!("{path}/{key}")),
                None if key == "csi" => Ok(()),
                None => Err(format!("{path}/{key} is gone")),
            }
        }),
        (Value::Array(before), Value::Array(after)) => {
            let mut rest = after.iter();
            before.iter().enumerate().try_for_each(|(index, value)| {
                let found = rest.any(|other| survives(value, other, &format!("{path}/{index}")).is_ok());
                found.then_some(()).ok_or_else(|| format!("{path}/{index} is gone"))
            })
        }
        _ if before == after => Ok(()),
        _ => Err(format!("{path} changed from {before} to {after}")),
    }
}

fn unknown_fields() -> impl Strategy<Value = Map<String, Value>> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "\\PC{0,6}".prop_map(Value::from)
    ];
    let value = leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::btree_map("[a-z]{1,4}", inner, 0..3).prop_map(|map| json!(map)),
        ]
    });
    proptest::collection::btree_map("future[A-Z][a-z]{0,5}", value, 0..3).prop_map(|map| map.into_iter().collect())
}

fn with(mut object: Value, fields: Map<String, Value>) -> Value {
    object.as_object_mut().unwrap().extend(fields);
    object
}

const ENV_NAMES: &[&str] =
    &["A", "URL", "AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_AUTHORITY_HOST"];
const ENV_VALUES: &[&str] = &["", "x", "$(AZURE_CLIENT_ID)", "$$(AZURE_TENANT_ID)", "a$(AZURE_AUTHORITY_HOST)b$(A)"];
const VOLUME_NAMES: &[&str] = &["v0", "v1", "v2", "azure-workload-identity-reserved-1", "keysluice-x"];
const PATHS: &[&str] = &["/a", "/b", "/mnt/secrets", "/var/run/secrets/azure", "/var/run/secrets/azure/wi"];

fn optional_list(
    item: impl Strategy<Value = Value>,
    length: std::ops::Range<usize>,
) -> impl Strategy<Value = Option<Value>> {
    prop_oneof![1 => Just(None), 1 => Just(Some(Value::Null)), 6 => proptest::collection::vec(item, length).prop_map(|list| Some(json!(list)))]
}

fn container() -> impl Strategy<Value = Value> {
    let env = (proptest::sample::select(ENV_NAMES), proptest::sample::select(ENV_VALUES), unknown_fields())
        .prop_map(|(name, value, fields)| with(json!({"name": name, "value": value}), fields));
    let mount = (
        proptest::sample::select(VOLUME_NAMES),
        proptest::sample::select(PATHS),
        any::<Option<bool>>(),
        unknown_fields(),
    )
        .prop_map(|(name, path, read_only, fields)| {
            let mut mount = json!({"name": name, "mountPath": path});
            if let Some(read_only) = read_only {
                mount["readOnly"] = json!(read_only);
            }
            with(mount, fields)
        });
    (
        proptest::sample::select(&["app", "side", "istio-proxy", "keysluice"][..]),
        optional_list(env, 0..4),
        optional_list(mount, 0..3),
        any::<bool>(),
        unknown_fields(),
    )
        .prop_map(|(name, env, mounts, native, fields)| {
            let mut container = json!({"name": name});
            for (key, list) in [("env", env), ("volumeMounts", mounts)] {
                if let Some(list) = list {
                    container[key] = list;
                }
            }
            if native {
                container["restartPolicy"] = json!("Always");
            }
            with(container, fields)
        })
}

fn volume() -> impl Strategy<Value = Value> {
    let source = prop_oneof![
        3 => Just(json!({"csi": {"driver": "secrets-store.csi.k8s.io", "readOnly": true, "volumeAttributes": {"secretProviderClass": "kv"}}})),
        1 => Just(json!({"csi": {"driver": "other.csi.k8s.io"}})),
        1 => Just(json!({"emptyDir": {}})),
        1 => Just(json!({"projected": {"sources": [{"configMap": {"name": "c"}}]}})),
    ];
    (proptest::sample::select(VOLUME_NAMES), source, unknown_fields()).prop_map(|(name, source, _)| {
        let mut volume = json!({"name": name});
        volume.as_object_mut().unwrap().extend(source.as_object().unwrap().clone());
        volume
    })
}

pub(crate) fn pod() -> impl Strategy<Value = Value> {
    let names = prop_oneof![Just(json!({"name": "p"})), Just(json!({"generateName": "p-"})), Just(json!({}))];
    let labels = prop_oneof![3 => Just(json!({"azure.workload.identity/use": "true"})), 1 => Just(json!({"app": "x"})), 1 => Just(json!(null))];
    (
        names,
        labels,
        optional_list(container(), 0..3),
        optional_list(container(), 0..3),
        optional_list(volume(), 0..4),
        unknown_fields(),
        unknown_fields(),
    )
        .prop_map(|(mut metadata, labels, init, containers, volumes, of_spec, of_pod)| {
            metadata["labels"] = labels;
            let mut spec = with(json!({}), of_spec);
            for (key, list) in [("initContainers", init), ("containers", containers), ("volumes", volumes)] {
                if let Some(list) = list {
                    spec[key] = list;
                }
            }
            with(json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}), of_pod)
        })
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
        let names: Vec<_> = values.as_array().into_iter().flatten().map(|value| value["name"].to_string()).collect();
        names.iter().collect::<BTreeSet<_>>().len() == names.len()
    };
    unique(&pod["spec"]["volumes"]) && doubled_mount_paths(pod).is_empty()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn everything_unknown_survives_and_nothing_is_removed(pod in pod().prop_filter("valid", is_valid)) {
        if let Some((patched, operations)) = mutate(&pod) {
            for operation in &operations {
                prop_assert!(operation["op"] == "add" || operation["op"] == "replace", "{operation}");
            }
            // A volume or mount of the reserved name that is not the token's is replaced as a whole; everything else survives.
            let is_reserved = |operation: &Value| operation["value"]["name"].as_str().is_some_and(|name| name.starts_with("azure-workload-identity-reserved-"));
            if !operations.iter().any(|operation| operation["op"] == "replace" && is_reserved(operation)) {
                prop_assert_eq!(survives(&pod, &patched, ""), Ok(()));
            }
        }
    }

    #[test]
    fn a_second_run_gives_no_patch_also_after_a_rename(pod in pod().prop_filter("valid", is_valid), name in "[a-z]{1,8}") {
        if let Some((mut patched, _)) = mutate(&pod) {
            let second = mutate(&patched);
            prop_assert_eq!(second.map(|(_, operations)| operations), Some(Vec::new()));
            patched["metadata"]["name"] = json!(name);
            let third = mutate(&patched);
            prop_assert_eq!(third.map(|(_, operations)| operations), Some(Vec::new()));
        }
    }

    #[test]
    fn no_container_ever_mounts_two_volumes_on_one_path(pod in pod().prop_filter("valid", is_valid)) {
        if let Some((patched, _)) = mutate(&pod) {
            prop_assert_eq!(doubled_mount_paths(&patched), BTreeSet::new());
        }
    }

    #[test]
    fn any_bytes_are_answered_or_refused_without_a_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(incoming) = admission::read(&body) {
            let _ = incoming.answer(&Reviewer::new().settings, &Facts::default());
        }
    }
}
