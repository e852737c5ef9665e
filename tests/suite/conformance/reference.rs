//! The identity mutation once more, slow and plain, written from the specification alone; any pod
//! must come out the same.

use crate::suite::conformance::properties::{cases, is_valid};
use crate::suite::support::pods::pod;
use crate::suite::support::reviews::{CLIENT, Reviewer};
use proptest::prelude::*;
use serde_json::{Value, json};

const PREFIX: &str = "azure-workload-identity-reserved-";
const MOUNT: &str = "/var/run/secrets/azure/wi";
const AUDIENCE: &str = "api://AzureADTokenExchange";

/// Where the token is: of the pod, or of a new one.
struct Place {
    /// Position among the volumes, if it is there.
    index: Option<usize>,
    name: String,
    mount: String,
    /// Path in the volume.
    token: &'static str,
}

/// The pod as it should be; `None` if it should be refused.
fn expected(pod: &Value) -> Option<Value> {
    let mut pod = pod.clone();
    if pod["metadata"]["labels"]["azure.workload.identity/use"] != "true" {
        return Some(pod);
    }
    let annotation =
        |key: &str| pod["metadata"]["annotations"][key].as_str().unwrap_or_default().to_owned();
    let seconds = match &*annotation("azure.workload.identity/service-account-token-expiration") {
        "" => 3600,
        text => text.parse::<i64>().ok().filter(|seconds| (3600..=86400).contains(seconds))?,
    };
    let skip = annotation("azure.workload.identity/skip-containers");
    let env_from_wins = annotation("keysluice.dev/env-from-wins");
    let layout = annotation("keysluice.dev/token-layout");
    // The sidecar's name, with what a sidecar's Plan may hide in.
    let all = ["initContainers", "containers"]
        .into_iter()
        .flat_map(|field| pod["spec"][field].as_array().cloned().unwrap_or_default());
    let sidecars: Vec<Value> = all.filter(|container| container["name"] == "keysluice").collect();
    if !sidecars.is_empty() && (sidecars.len() > 1 || sidecars[0]["envFrom"].is_array()) {
        return None;
    }
    let skips = |container: &Value| skip.split(';').any(|name| name.trim() == container["name"]);
    let place = place(&pod, &layout, &skips)?;
    for field in ["initContainers", "containers"] {
        for container in
            pod["spec"].get_mut(field).and_then(Value::as_array_mut).into_iter().flatten()
        {
            if skips(container) {
                continue;
            }
            environment(container, &place, &layout, &env_from_wins);
            mount(container, &place)?;
        }
    }
    let mut volumes = pod["spec"]["volumes"].as_array().cloned().unwrap_or_default();
    let token = json!({"path": place.token, "expirationSeconds": seconds, "audience": AUDIENCE});
    let volume =
        json!({"name": place.name, "projected": {"sources": [{"serviceAccountToken": token}]}});
    match place.index {
        None => volumes.push(volume),
        // A token in its place for another audience, or with something beside it, is another
        // webhook's.
        Some(index) => {
            let sources =
                volumes[index]["projected"]["sources"].as_array().cloned().unwrap_or_default();
            let found = sources.iter().map(|source| &source["serviceAccountToken"]);
            let found = found.into_iter().find(|found| found["path"] == place.token);
            let is_of_another =
                found.is_some_and(|found| found["audience"] != AUDIENCE || sources.len() > 1);
            let is_right = found.is_some_and(|found| found["expirationSeconds"] == seconds);
            if !is_of_another && !is_right {
                volumes[index] = volume;
            }
        }
    }
    pod["spec"]["volumes"] = json!(volumes);
    Some(pod)
}

/// A volume of the reserved name if there is one already, else one of v1.5 if it is mounted as v1.5
/// does or not at all, else named after the pod.
fn place(pod: &Value, layout: &str, skips: &dyn Fn(&Value) -> bool) -> Option<Place> {
    let volumes = pod["spec"]["volumes"].as_array().cloned().unwrap_or_default();
    let containers: Vec<Value> = ["initContainers", "containers"]
        .into_iter()
        .flat_map(|field| pod["spec"][field].as_array().cloned().unwrap_or_default())
        .collect();
    let paths = |name: &str, skipped: bool| -> Vec<String> {
        let containers = containers.iter().filter(|container| skips(container) == skipped);
        let mounts = containers.flat_map(|container| {
            container["volumeMounts"].as_array().cloned().unwrap_or_default()
        });
        let mounts = mounts.filter(|mount| mount["name"] == name);
        mounts.map(|mount| mount["mountPath"].as_str().unwrap().to_owned()).collect()
    };
    let paths_of = |name: &str| paths(name, false);
    let tokens = "/var/run/secrets/azure/tokens".to_owned();
    if let Some(index) =
        volumes.iter().position(|volume| volume["name"].as_str().unwrap().starts_with(PREFIX))
    {
        let name = volumes[index]["name"].as_str().unwrap().to_owned();
        let hashed = format!("{MOUNT}/0123456789abcdef0123456789abcd");
        let mount = if paths_of(&name).contains(&hashed) { hashed } else { MOUNT.to_owned() };
        return Some(Place {
            index: Some(index),
            name,
            mount,
            token: "token/azure-identity-token",
        });
    }
    if let Some(index) = volumes.iter().position(|volume| volume["name"] == "azure-identity-token")
    {
        let sources =
            volumes[index]["projected"]["sources"].as_array().cloned().unwrap_or_default();
        let is_token = sources
            .iter()
            .any(|source| source["serviceAccountToken"]["path"] == "azure-identity-token");
        let (paths, of_skipped) =
            (paths_of("azure-identity-token"), paths("azure-identity-token", true));
        // What an earlier run adds beside a skipped container that mounted the name already.
        let is_added = || {
            let mut found = sources.iter().map(|source| &source["serviceAccountToken"]);
            layout == "v1.5"
                && found.any(|found| {
                    found["path"] == "azure-identity-token" && found["audience"] == AUDIENCE
                })
        };
        let is_unmounted = paths.is_empty() && (of_skipped.is_empty() || is_added());
        if is_token && (is_unmounted || paths.contains(&tokens) || of_skipped.contains(&tokens)) {
            let name = "azure-identity-token".to_owned();
            return Some(Place {
                index: Some(index),
                name,
                mount: tokens,
                token: "azure-identity-token",
            });
        }
        if layout == "v1.5" {
            return None;
        }
    }
    let hash = hash_of(pod);
    let (name, mount, token) = match layout {
        "v1.5" => ("azure-identity-token".to_owned(), tokens, "azure-identity-token"),
        "v1.6.1" => {
            (format!("{PREFIX}{hash}"), format!("{MOUNT}/{hash}"), "token/azure-identity-token")
        }
        _ => (format!("{PREFIX}{hash}"), MOUNT.to_owned(), "token/azure-identity-token"),
    };
    Some(Place { index: None, name, mount, token })
}

/// The names of the generator, hashed with another implementation (`printf NAME | sha256sum | cut
/// -c1-30`).
fn hash_of(pod: &Value) -> &'static str {
    match (pod["metadata"]["name"].as_str(), pod["metadata"]["generateName"].as_str()) {
        (Some("p"), _) => "148de9c5a7a44d19e56cd9ae1a554b",
        (None, Some("p-")) => "a400ab493a78f1fd18fe82e2d689e9",
        _ => "7ae265465cf68a19ccd3c91d70dc31",
    }
}

fn environment(container: &mut Value, place: &Place, layout: &str, env_from_wins: &str) {
    let mut entries = container["env"].as_array().cloned().unwrap_or_default();
    let before = entries.clone();
    let token_file = format!("{}/{}", place.mount, place.token);
    for (name, value) in [
        ("AZURE_CLIENT_ID", CLIENT),
        ("AZURE_TENANT_ID", "cluster-tenant"),
        ("AZURE_FEDERATED_TOKEN_FILE", &*token_file),
        ("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.com/"),
    ] {
        if let Some(entry) = entries.iter_mut().find(|entry| entry["name"] == name) {
            if name == "AZURE_FEDERATED_TOKEN_FILE"
                && has_stale_path(&entry["value"], container, place, layout)
            {
                entry["value"] = json!(value);
            }
            continue;
        }
        if container["envFrom"].is_array()
            && env_from_wins.split(',').any(|left| left.trim() == name)
        {
            continue;
        }
        let refers = |entry: &Value| {
            // `$$` is an escape: take it away, and what is left expands.
            entry["value"]
                .as_str()
                .unwrap_or_default()
                .replace("$$", "")
                .contains(&format!("$({name})"))
        };
        let index = entries.iter().position(refers).unwrap_or(entries.len());
        entries.insert(index, json!({"name": name, "value": value}));
    }
    if entries != before {
        container["env"] = json!(entries);
    }
}

/// Whether this is the path that our layout injects, the volume is found in the other layout, and
/// no mount has a file at the path.
fn has_stale_path(path: &Value, container: &Value, place: &Place, layout: &str) -> bool {
    let Some(path) = path
        .as_str()
        .filter(|_| place.index.is_some() && place.token == "token/azure-identity-token")
    else {
        return false;
    };
    let plain = format!("{MOUNT}/token/azure-identity-token");
    let hashed = format!("{MOUNT}/0123456789abcdef0123456789abcd/token/azure-identity-token");
    let is_injected = match layout {
        "v1.5" => false,
        "v1.6.1" => place.mount == MOUNT && path == hashed,
        _ => place.mount != MOUNT && path == plain,
    };
    let serves = |mount: &Value| {
        let at = mount["mountPath"].as_str().unwrap();
        let is_token = mount["name"] == *place.name;
        path == at
            || if is_token {
                path == format!("{at}/{}", place.token)
            } else {
                path.starts_with(&format!("{at}/"))
            }
    };
    is_injected && !container["volumeMounts"].as_array().into_iter().flatten().any(serves)
}

fn mount(container: &mut Value, place: &Place) -> Option<()> {
    let wanted = json!({"name": place.name, "mountPath": place.mount, "readOnly": true});
    let mut mounts = container["volumeMounts"].as_array().cloned().unwrap_or_default();
    if mounts.iter().any(|mount| mount["mountPath"] == *place.mount && mount["name"] != *place.name)
    {
        return None;
    }
    let of_token = |mount: &Value| mount["name"] == *place.name;
    let in_place =
        mounts.iter().position(|mount| of_token(mount) && mount["mountPath"] == *place.mount);
    match in_place.or_else(|| mounts.iter().position(of_token)) {
        Some(index) => {
            let found = &mounts[index];
            let is_whole = found["subPath"].as_str().unwrap_or_default().is_empty();
            if found["mountPath"] == *place.mount && found["readOnly"] == true && is_whole {
                return Some(());
            }
            mounts[index] = wanted;
        }
        None => mounts.push(wanted),
    }
    container["volumeMounts"] = json!(mounts);
    Some(())
}

fn has_no_secrets(pod: &Value) -> bool {
    !pod.to_string().contains("secrets-store.csi.k8s.io")
}

proptest! {
    #![proptest_config(cases(2048))]

    #[test]
    fn any_pod_comes_out_as_the_reference_says(pod in pod().prop_filter("valid",
        is_valid).prop_filter("identity alone", has_no_secrets)) {
        prop_assert_eq!(Reviewer::new().attempt(&pod).ok().map(|(pod, _)| pod), expected(&pod));
    }
}
