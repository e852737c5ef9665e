//! What a pod's rights depend on.

use crate::mutate::{CSI_DRIVER, ReactionRight, has_inline, reaction_right};
use crate::pod::Pod;
use serde_json::Value;
use std::collections::BTreeMap;

pub(super) const CLASS_ATTRIBUTE: &str = "secretProviderClass";
const CSI_VOLUMES_ANNOTATION: &str = "keysluice.dev/csi-volumes";

/// A pod or pod template with Secrets Store CSI volumes that the webhook may serve, or with inline
/// annotations.
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
    /// The attributes of each of these volumes, the name of the class among them.
    pub attributes: Vec<BTreeMap<String, String>>,
    /// Whether the webhook adds volumes for inline annotations.
    pub has_inline: bool,
    /// What the reaction of its pods needs at the API server, or why it cannot work.
    pub reaction: Result<Option<ReactionRight>, String>,
}

impl Workload {
    /// Reads a pod; `None` where it has neither annotations nor such a volume, or leaves the
    /// volumes to the CSI driver.
    pub fn read(owner: &str, namespace: &str, pod: &Value) -> Option<Self> {
        let spec = &pod["spec"];
        let is_left = pod["metadata"]["annotations"][CSI_VOLUMES_ANNOTATION] == "leave";
        let (mut classes, mut attributes) = (Vec::new(), Vec::new());
        for volume in spec["volumes"].as_array().into_iter().flatten().filter(|_| !is_left) {
            let csi = &volume["csi"];
            let class = csi["volumeAttributes"][CLASS_ATTRIBUTE].as_str();
            let class = class.filter(|name| csi["driver"] == CSI_DRIVER && !name.is_empty());
            let Some(class) = class else { continue };
            attributes.push(texts(&csi["volumeAttributes"]));
            if !classes.iter().any(|known| known == class) {
                classes.push(class.to_owned());
            }
        }
        let account = ["serviceAccountName", "serviceAccount"]
            .into_iter()
            .find_map(|field| spec[field].as_str().filter(|name| !name.is_empty()));
        let text = pod.to_string();
        let view = Pod::from_json(text.as_bytes());
        let has_inline = view.as_ref().is_ok_and(has_inline);
        (!classes.is_empty() || has_inline).then(|| Self {
            owner: owner.to_owned(),
            namespace: namespace.to_owned(),
            service_account: account.unwrap_or("default").to_owned(),
            classes,
            attributes,
            has_inline,
            // As the webhook decides it for the same pod.
            reaction: match &view {
                Ok(pod) => reaction_right(pod).map_err(|refusal| refusal.to_string()),
                Err(error) => Err(error.to_string()),
            },
        })
    }
}

/// The texts of a map.
fn texts(map: &Value) -> BTreeMap<String, String> {
    let entries = map.as_object().into_iter().flatten();
    entries.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}
