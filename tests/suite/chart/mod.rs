//! The Helm chart: what it renders, its values, the manifests beside it.

mod certificates;
mod helm;
mod manifests;
mod messages;
mod monitoring;
mod rendering;
mod set_values;
mod values;
mod workloads;
