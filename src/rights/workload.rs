//! What a pod's rights depend on.

use crate::mutate::{CSI_DRIVER, ReactionRight, reaction_right};
use crate::pod::Pod;
use serde_json::Value;

const CSI_VOLUMES_ANNOTATION: &str = "keysluice.dev/csi-volumes";

/// A pod or pod template with Secrets Store CSI volumes that the webhook may serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// `Deployment app/web`
    pub owner: String,
    /// Its namespace.
    pub namespace: String,
    /// Its ServiceAccount.
    pub service_account: String,
    /// The classes of its volumes.
    pub classes: Vec<String>,
    /// What the reaction of its pods needs at the API server, or why it cannot work.
    pub reaction: Result<Option<ReactionRight>, String>,
}

impl Workload {
    /// Reads a pod; `None` where it has no such volume, or leaves them to the CSI driver.
    pub fn read(owner: &str, namespace: &str, pod: &Value) -> Option<Self> {
        if pod["metadata"]["annotations"][CSI_VOLUMES_ANNOTATION] == "leave" {
            return None;
        }
        let spec = &pod["spec"];
        let mut classes = Vec::new();
        for volume in spec["volumes"].as_array().into_iter().flatten() {
            let csi = &volume["csi"];
            let class = csi["volumeAttributes"]["secretProviderClass"].as_str();
            if let Some(class) =
                class.filter(|name| csi["driver"] == CSI_DRIVER && !name.is_empty())
                && !classes.iter().any(|known| known == class)
            {
                classes.push(class.to_owned());
            }
        }
        let account = ["serviceAccountName", "serviceAccount"]
            .into_iter()
            .find_map(|field| spec[field].as_str().filter(|name| !name.is_empty()));
        (!classes.is_empty()).then(|| Self {
            owner: owner.to_owned(),
            namespace: namespace.to_owned(),
            service_account: account.unwrap_or("default").to_owned(),
            classes,
            reaction: reaction_of(pod),
        })
    }
}

/// As the webhook decides it for the same pod.
fn reaction_of(pod: &Value) -> Result<Option<ReactionRight>, String> {
    let text = pod.to_string();
    let pod = Pod::from_json(text.as_bytes()).map_err(|error| error.to_string())?;
    reaction_right(&pod).map_err(|refusal| refusal.to_string())
}
