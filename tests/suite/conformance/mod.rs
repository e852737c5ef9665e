//! What a pod becomes: the peers' cases, public manifests, the guides, `explain`.

mod azure;
mod beside;
mod cases;
mod classes;
mod cluster;
mod ephemeral;
mod explain;
mod explain_forms;
mod extra;
mod field_faults;
mod guides;
mod jwks;
mod migrate;
mod nodes;
mod properties;
mod rbac;
mod reference;
mod token_endpoint;
