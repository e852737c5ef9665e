//! References to Secrets and to `ConfigMap`s.

use crate::json::{Text, view};

view! {
    /// A reference to a Secret; the name is empty where there is none.
    pub struct SecretName<'a> {
        /// Its name.
        "name" name: Text<'a>,
        /// Whether the pod also starts without it.
        "optional" optional: Option<bool>,
    }

    /// A key of a Secret; the name is empty where there is none.
    pub struct SecretKeyRef<'a> {
        /// Name of the Secret.
        "name" name: Text<'a>,
        /// The key.
        "key" key: Text<'a>,
        /// Whether the container also starts without it.
        "optional" optional: Option<bool>,
    }

    /// A ConfigMap that is projected, or read into the environment.
    pub struct ConfigMapSource<'a> {
        /// Its name.
        "name" name: Text<'a>,
    }
}
