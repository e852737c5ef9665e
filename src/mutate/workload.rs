//! What a workload shows and its pods do not: labels and annotations in the wrong place.

use super::names::USE_LABEL;
use crate::reason;

const PREFIX: &str = "keysluice.dev/";

/// The warning for the first annotation of ours on a workload that its pod template does not have.
pub fn misplaced_annotation<'k>(
    kind: &str,
    of_workload: impl IntoIterator<Item = &'k str>,
    is_on_pod: impl Fn(&str) -> bool,
) -> Option<String> {
    let mut keys = of_workload.into_iter();
    let key = keys.find(|key| key.starts_with(PREFIX) && !is_on_pod(key))?;
    Some(format!(
        "{} annotation {key} is on the {kind} itself, not on its pod template, and has no effect; \
         hint: {}",
        reason::KS291,
        reason::KS291.fix
    ))
}

/// Where the key of the opt-in label is, for a pod that the label does not select.
#[derive(Debug, Default)]
pub struct LabelPlaces {
    /// Its value as a label of the pod, as it is written.
    pub value: Option<String>,
    /// Whether it is an annotation of the pod.
    pub is_pod_annotation: bool,
    /// The key of a label of the pod that was meant to be it.
    pub misspelt: Option<String>,
    /// Whether it is a label of the workload itself.
    pub is_workload_label: bool,
    /// Whether it is an annotation of the workload itself.
    pub is_workload_annotation: bool,
}

impl LabelPlaces {
    /// Says where it is instead, without a code. `kind` is the workload's; `None` for a bare pod.
    pub fn text(&self, kind: Option<&str>) -> Option<String> {
        let of_pod = if kind.is_some() { "the pod template" } else { "the pod" };
        let place = if let Some(value) = &self.value {
            format!("{value} here, not \"true\"")
        } else if self.is_pod_annotation {
            format!("an annotation of {of_pod} here, not a label")
        } else if let Some(key) = &self.misspelt {
            format!("spelled {key:?} among the labels of {of_pod}")
        } else {
            let field = if self.is_workload_label {
                "labels"
            } else if self.is_workload_annotation {
                "annotations"
            } else {
                return None;
            };
            format!("among the {field} of the {}, not of its pod template", kind?)
        };
        Some(format!(
            "{USE_LABEL} is {place}; hint: make it a label of the pod: {USE_LABEL}: \"true\""
        ))
    }
}
