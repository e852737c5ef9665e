//! Annotations below `keysluice.dev/`: typed, unknown ones refused.

pub(super) use super::annotation_table::{
    ADOPT_SECRETS, CSI_VOLUMES, HTTPS_PROXY, KEEP_SECRETS, MANAGED_IDENTITIES,
    MANAGED_IDENTITY_ENDPOINT, ON_CHANGE_OF, ON_CHANGE_SPREAD,
};
pub use super::annotation_table::{Annotation, Annotations, KNOWN};
use super::annotation_values::{Gate, OnMissing};
use super::inline_annotations;
use super::limits::MAX_ANNOTATIONS_BYTES;
use super::refusal::{Cause, Refusal, cut};
use super::served::SecretVolume;
use crate::pod::Pod;
pub(super) use crate::provider_class::Mode;
use crate::settings;
use crate::spelling;

const PREFIX: &str = "keysluice.dev/";

const GATE: &str = "keysluice.dev/gate";

impl Annotations {
    /// Reads and checks them.
    pub fn read(pod: &Pod<'_>) -> Result<Self, Refusal> {
        let mut read = Self::default();
        let (mut has_gate, mut bytes) = (false, 0);
        for (key, value) in pod.metadata.annotations.below(PREFIX) {
            let is_inline = inline_annotations::is_reference(key);
            let known = KNOWN.iter().find(|known| known.key == key);
            if known.is_none() && !is_inline {
                let cause = Cause::UnknownAnnotation { key: cut(key), nearest: nearest(key) };
                return Err(cause.into());
            }
            bytes += key.len() + value.len();
            if bytes > MAX_ANNOTATIONS_BYTES {
                let (of, limit) = (PREFIX, MAX_ANNOTATIONS_BYTES);
                return Err(Cause::AnnotationsSize { of, limit }.into());
            }
            if is_inline {
                read.inline.take(key, value);
                continue;
            }
            let Some(known) = known else { continue };
            has_gate |= key == GATE;
            (known.set)(&mut read, value).ok_or_else(|| Cause::AnnotationValue {
                key: known.key,
                value: cut(if key == HTTPS_PROXY { settings::shown(value) } else { value }),
                expected: known.takes,
            })?;
        }
        if !has_gate && read.waits() {
            read.gate = Gate::Probe;
        }
        if read.waits() && read.gate == Gate::Hook {
            // The kubelet deletes no pod while a postStart hook runs: an unbounded wait must not be
            // a hook.
            let value = "hook".to_owned();
            return Err(Cause::AnnotationValue {
                key: GATE,
                value,
                expected: "probe or none together with on-missing: wait",
            }
            .into());
        }
        Ok(read)
    }

    /// How the secrets come into these volumes: as the pod says, or as all their classes say.
    pub(super) fn mode(&self, volumes: &[SecretVolume<'_>]) -> Mode {
        let is_init = !volumes.is_empty()
            && volumes.iter().all(|volume| volume.plan.mode == Some(Mode::Init));
        let of_classes = if is_init { Mode::Init } else { Mode::Sidecar };
        self.mode.unwrap_or(of_classes)
    }

    /// Whether a start without all secrets waits for as long as it takes.
    pub fn waits(&self) -> bool {
        self.on_missing == Some(OnMissing::Wait)
    }

    /// Whether a start without all secrets ends at a bound: behind an open gate only where the pod
    /// says so.
    pub fn is_bounded(&self) -> bool {
        self.on_missing.map_or(self.gate != Gate::None, |on_missing| on_missing == OnMissing::Fail)
    }

    /// What the annotations give one container instead of the ServiceAccount's value of a variable.
    pub fn of_container(&self, container: &str, variable: &str) -> Option<&str> {
        let map = match variable {
            "AZURE_CLIENT_ID" => &self.client_ids,
            "AZURE_TENANT_ID" => &self.tenant_ids,
            _ => return None,
        };
        map.get(container).map(String::as_str)
    }
}

/// The known annotation closest to `key`, if one is close enough to be meant.
fn nearest(key: &str) -> Option<&'static str> {
    let known: Vec<&'static str> = KNOWN.iter().map(|known| known.key).collect();
    inline_annotations::nearest(key).or_else(|| spelling::nearest(key, &known, 3))
}

#[cfg(test)]
#[path = "annotations_tests.rs"]
mod tests;
