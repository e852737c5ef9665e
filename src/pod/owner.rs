//! Owners of a pod.

use crate::json::{Text, view};

view! {
    /// An entry of `metadata.ownerReferences`.
    pub struct OwnerReference<'a> {
        /// `apps/v1`
        "apiVersion" api_version: Text<'a>,
        /// `ReplicaSet`
        "kind" kind: Text<'a>,
        /// Its name.
        "name" name: Text<'a>,
        /// Its uid.
        "uid" uid: Text<'a>,
        /// Whether it creates the pod again.
        "controller" controller: Option<bool>,
    }
}
