//! Who serves a pod: exactly one.

use serde_json::Value;

const AUDIENCE: &str = "api://AzureADTokenExchange";
const DRIVER: &str = "secrets-store.csi.k8s.io";

/// One token volume for Entra, and one variable in each container that leads to it.
pub(crate) fn with_one_identity(pod: &Value) -> Result<&'static str, String> {
    let tokens: Vec<&Value> = list(pod, "volumes").filter(|volume| is_token(volume)).collect();
    let [token] = tokens[..] else {
        return Err(format!("{} token volumes: {}", tokens.len(), pod["spec"]["volumes"]));
    };
    for container in list(pod, "containers") {
        let all = |list: &str| container[list].as_array().into_iter().flatten();
        let files: Vec<&str> = all("env")
            .filter(|variable| variable["name"] == "AZURE_FEDERATED_TOKEN_FILE")
            .filter_map(|variable| variable["value"].as_str())
            .collect();
        let mounts: Vec<&str> = all("volumeMounts")
            .filter(|mount| mount["name"] == token["name"])
            .filter_map(|mount| mount["mountPath"].as_str())
            .collect();
        let leads =
            matches!((&files[..], &mounts[..]), ([file], [mount]) if file.starts_with(mount));
        if !leads {
            return Err(format!("files {files:?}, mounts {mounts:?} in {container}"));
        }
    }
    Ok("one token")
}

/// The same, for as long as nobody has been installed yet that serves pods.
pub(crate) fn with_one_identity_or_none(pod: &Value) -> Result<&'static str, String> {
    if list(pod, "volumes").any(is_token) { with_one_identity(pod) } else { Ok("nobody") }
}

/// By the driver or by one sidecar.
pub(crate) fn by_driver_or_sidecar(pod: &Value) -> Result<&'static str, String> {
    let volumes = list(pod, "volumes").filter(|volume| volume["csi"]["driver"] == DRIVER).count();
    let sidecars = list(pod, "initContainers").filter(|one| one["name"] == "keysluice").count();
    match (volumes, sidecars) {
        (1, 0) => Ok("the driver"),
        (0, 1) => Ok("a sidecar"),
        _ => Err(format!("{volumes} volumes of the driver, {sidecars} sidecars: {}", pod["spec"])),
    }
}

fn list<'a>(pod: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    pod["spec"][name].as_array().into_iter().flatten()
}

fn is_token(volume: &Value) -> bool {
    let sources = volume["projected"]["sources"].as_array().into_iter().flatten();
    sources.into_iter().any(|source| source["serviceAccountToken"]["audience"] == AUDIENCE)
}
