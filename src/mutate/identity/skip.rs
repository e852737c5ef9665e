//! Containers that get nothing.

use crate::mutate::limits::MAX_ANNOTATIONS_BYTES;
use crate::mutate::refusal::{Cause, Refusal};
use crate::pod::Pod;

const ANNOTATION: &str = "azure.workload.identity/skip-containers";

/// Names in the list, sorted: it is read once, however many containers there are.
#[derive(Debug, Default)]
pub(super) struct Skipped<'a>(Vec<&'a str>);

impl<'a> Skipped<'a> {
    /// Separated by `;`; blanks do not count.
    pub(super) fn of(pod: &'a Pod<'_>) -> Result<Self, Refusal> {
        let Some(list) = pod.metadata.annotations.find(ANNOTATION) else {
            return Ok(Self::default());
        };
        if list.len() > MAX_ANNOTATIONS_BYTES {
            return Err(
                Cause::AnnotationsSize { of: ANNOTATION, limit: MAX_ANNOTATIONS_BYTES }.into()
            );
        }
        let mut names: Vec<&str> =
            list.split(';').map(str::trim).filter(|name| !name.is_empty()).collect();
        names.sort_unstable();
        Ok(Self(names))
    }

    pub(super) fn contains(&self, container: &str) -> bool {
        !self.0.is_empty() && self.0.binary_search(&container).is_ok()
    }
}
