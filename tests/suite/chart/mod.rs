//! The Helm chart: what it renders, its values, the manifests beside it.

mod certificates;
pub(crate) mod helm;
pub(crate) mod manifests;
mod messages;
pub(crate) mod monitoring;
mod rendering;
mod set_values;
mod values;
mod workloads;
