//! Any pod, as far as it matters to us: names, paths and annotations that we know, and fields that
//! nobody knows.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

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
    proptest::collection::btree_map("future[A-Z][a-z]{0,5}", value, 0..3)
        .prop_map(|map| map.into_iter().collect())
}

fn with(mut object: Value, fields: Map<String, Value>) -> Value {
    object.as_object_mut().unwrap().extend(fields);
    object
}

const ENV_NAMES: &[&str] = &[
    "A",
    "URL",
    "AZURE_CLIENT_ID",
    "AZURE_TENANT_ID",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_AUTHORITY_HOST",
];
const ENV_VALUES: &[&str] = &[
    "",
    "x",
    "$(AZURE_CLIENT_ID)",
    "$$(AZURE_TENANT_ID)",
    "a$(AZURE_AUTHORITY_HOST)b$(A)",
    "/var/run/secrets/azure/wi/token/azure-identity-token",
    "/var/run/secrets/azure/wi/0123456789abcdef0123456789abcd/token/azure-identity-token",
    "/var/run/secrets/azure/tokens/azure-identity-token",
];
const VOLUME_NAMES: &[&str] = &[
    "v0",
    "v1",
    "v2",
    "azure-workload-identity-reserved-1",
    "azure-identity-token",
    "keysluice-x",
    NEW_RESERVED,
];
/// What the volume of a pod called `p` is named, which a mount may name before it is there.
const NEW_RESERVED: &str = "azure-workload-identity-reserved-148de9c5a7a44d19e56cd9ae1a554b";
const PATHS: &[&str] = &[
    "/a",
    "/b",
    "/mnt/secrets",
    "/var/run/secrets/azure",
    "/var/run/secrets/azure/wi",
    "/var/run/secrets/azure/wi/0123456789abcdef0123456789abcd",
    "/var/run/secrets/azure/wi/token/azure-identity-token",
    "/var/run/secrets/azure/tokens",
];

fn optional_list(
    item: impl Strategy<Value = Value>,
    length: std::ops::Range<usize>,
) -> impl Strategy<Value = Option<Value>> {
    prop_oneof![1 => Just(None), 1 => Just(Some(Value::Null)),
        6 => proptest::collection::vec(item, length).prop_map(|list| Some(json!(list)))]
}

fn container() -> impl Strategy<Value = Value> {
    let value = prop_oneof![
        4 => proptest::sample::select(ENV_VALUES).prop_map(|value| json!({"value": value})),
        1 => Just(json!({"valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}))
    ];
    let env = (proptest::sample::select(ENV_NAMES), value, unknown_fields()).prop_map(
        |(name, mut value, fields)| {
            value["name"] = json!(name);
            with(value, fields)
        },
    );
    let mount = (
        proptest::sample::select(VOLUME_NAMES),
        proptest::sample::select(PATHS),
        any::<Option<bool>>(),
        proptest::option::weighted(0.2, proptest::sample::select(&["", "token"][..])),
        unknown_fields(),
    )
        .prop_map(|(name, path, read_only, sub_path, fields)| {
            let mut mount = json!({"name": name, "mountPath": path});
            if let Some(sub_path) = sub_path {
                mount["subPath"] = json!(sub_path);
            }
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
        any::<bool>(),
        unknown_fields(),
    )
        .prop_map(|(name, env, mounts, env_from, native, fields)| {
            let mut container = json!({"name": name});
            if env_from {
                container["envFrom"] = json!([{"configMapRef": {"name": "azure"}}]);
            }
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
        3 => Just(json!({"csi": {"driver": "secrets-store.csi.k8s.io", "readOnly": true,
            "volumeAttributes": {"secretProviderClass": "kv"}}})),
        1 => Just(json!({"csi": {"driver": "other.csi.k8s.io"}})),
        1 => Just(json!({"emptyDir": {}})),
        1 => Just(json!({"projected": {"sources": [{"configMap": {"name": "c"}}]}})),
        4 => token_sources().prop_map(|sources| json!({"projected": {"sources": sources}})),
    ];
    (proptest::sample::select(VOLUME_NAMES), source, unknown_fields()).prop_map(
        |(name, source, _)| {
            let mut volume = json!({"name": name});
            volume.as_object_mut().unwrap().extend(source.as_object().unwrap().clone());
            volume
        },
    )
}

/// A token, as an earlier run or another webhook projects it, or somebody else; perhaps an
/// authority beside it.
fn token_sources() -> impl Strategy<Value = Vec<Value>> {
    let paths = &["token/azure-identity-token", "azure-identity-token", "other"][..];
    let audiences = &[
        "api://AzureADTokenExchange",
        "api://AzureADTokenExchange",
        "api://AKSIdentityBinding",
    ][..];
    let token = (
        proptest::sample::select(paths),
        proptest::sample::select(audiences),
        proptest::sample::select(vec![json!(3600), json!(4800), json!(null)]),
    );
    (token, proptest::bool::weighted(0.2)).prop_map(|((path, audience, seconds), has_ca)| {
        let token = json!({"path": path, "audience": audience, "expirationSeconds": seconds});
        let ca = has_ca.then(|| json!({"configMap": {"name": "kube-root-ca.crt"}}));
        std::iter::once(json!({"serviceAccountToken": token})).chain(ca).collect()
    })
}

/// What a pod says about its identity; most pods say nothing.
fn annotations() -> impl Strategy<Value = Value> {
    let one = |key: &'static str, values: &'static [&'static str]| {
        proptest::option::weighted(
            0.3,
            proptest::sample::select(values).prop_map(move |value| (key, value)),
        )
    };
    let some = (
        one(
            "azure.workload.identity/skip-containers",
            &["app", "side ;app;", ";;", " keysluice;istio-proxy", ""],
        ),
        one(
            "azure.workload.identity/service-account-token-expiration",
            &["4800", "86400", "", "3599", "1h"],
        ),
        one("keysluice.dev/token-layout", &["v1.5", "v1.6.0", "v1.6.1"]),
        one(
            "keysluice.dev/env-from-wins",
            &["AZURE_CLIENT_ID", "AZURE_TENANT_ID, AZURE_AUTHORITY_HOST"],
        ),
    );
    let some = some.prop_map(|(skip, expiration, layout, env_from)| {
        [skip, expiration, layout, env_from]
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.to_owned(), json!(value)))
            .collect()
    });
    prop_oneof![1 => Just(Value::Null), 4 => some.prop_map(Value::Object)]
}

const RESERVED: &str = "azure-workload-identity-reserved-1";

/// Gives every container a token mount and a token path, not always of one release: as webhooks
/// leave a pod that run one after another.
fn inject(pod: &mut Value, mount_path: &str, token_file: &str, sources: &[Value]) {
    let volumes = list(&mut pod["spec"]["volumes"]);
    volumes.retain(|volume| volume["name"] != RESERVED);
    volumes.push(json!({"name": RESERVED, "projected": {"sources": sources}}));
    for field in ["initContainers", "containers"] {
        for container in
            pod["spec"].get_mut(field).and_then(Value::as_array_mut).into_iter().flatten()
        {
            let mounts = list(&mut container["volumeMounts"]);
            mounts.retain(|mount| mount["name"] != RESERVED && mount["mountPath"] != mount_path);
            mounts.push(json!({"name": RESERVED, "mountPath": mount_path, "readOnly": true}));
            let env = list(&mut container["env"]);
            env.retain(|entry| entry["name"] != "AZURE_FEDERATED_TOKEN_FILE");
            env.push(json!({"name": "AZURE_FEDERATED_TOKEN_FILE", "value": token_file}));
        }
    }
}

fn list(value: &mut Value) -> &mut Vec<Value> {
    if !value.is_array() {
        *value = json!([]);
    }
    value.as_array_mut().unwrap()
}

/// A pod as somebody writes it, or as other webhooks leave it.
pub(crate) fn pod() -> impl Strategy<Value = Value> {
    let injected = (
        proptest::sample::select(&PATHS[4..6]),
        proptest::sample::select(&ENV_VALUES[5..]),
        token_sources(),
    );
    (written(), proptest::option::weighted(0.25, injected)).prop_map(|(mut pod, injected)| {
        if let Some((mount_path, token_file, sources)) = injected {
            inject(&mut pod, mount_path, token_file, &sources);
        }
        pod
    })
}

fn written() -> impl Strategy<Value = Value> {
    let names = prop_oneof![
        Just(json!({"name": "p"})),
        Just(json!({"generateName": "p-"})),
        Just(json!({}))
    ];
    let labels = prop_oneof![3 => Just(json!({"azure.workload.identity/use": "true"})),
        1 => Just(json!({"app": "x"})), 1 => Just(json!(null))];
    (
        names,
        (labels, annotations()),
        optional_list(container(), 0..3),
        optional_list(container(), 0..3),
        optional_list(volume(), 0..4),
        proptest::option::weighted(0.2, container()),
        unknown_fields(),
        unknown_fields(),
    )
        .prop_map(
            |(
                mut metadata,
                (labels, annotations),
                init,
                containers,
                volumes,
                ephemeral,
                of_spec,
                of_pod,
            )| {
                metadata["labels"] = labels;
                metadata["annotations"] = annotations;
                let mut spec = with(json!({}), of_spec);
                for (key, list) in
                    [("initContainers", init), ("containers", containers), ("volumes", volumes)]
                {
                    if let Some(list) = list {
                        spec[key] = list;
                    }
                }
                if let Some(container) = ephemeral {
                    spec["ephemeralContainers"] = json!([container]);
                }
                with(
                    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}),
                    of_pod,
                )
            },
        )
}
