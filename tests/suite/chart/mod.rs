//! The Helm chart: what it renders, its values, the manifests beside it.

mod manifests;
mod rendering;
mod values;
