//! Names of identities, and of what declares them.

use super::{Grant, Key, Scope, written};
use crate::provider_class::hex;
use crate::rights::{Place, shortened};
use sha2::{Digest as _, Sha256};

/// Of a federated credential, which is named like its identity.
const MAX_BYTES: usize = 120;

/// The identity or credential of a ServiceAccount: `shop_web`. A namespace has no underscore, so no
/// other account has the name; a dot, which Azure does not take, gives way to a digest.
pub(super) fn of_account((namespace, name): &Place) -> String {
    let plain = format!("{namespace}_{name}");
    if !name.contains('.') {
        return shortened(plain, MAX_BYTES);
    }
    let digest = hex(&Sha256::digest(&plain)[..4]);
    shortened(format!("{}-{digest}", plain.replace('.', "-")), MAX_BYTES)
}

/// As people are told.
pub(super) fn described(key: &Key) -> String {
    match key {
        Key::New(place) => format!("identity of ServiceAccount {}", written(place)),
        Key::Existing(client_id) => format!("identity {client_id}"),
    }
}

/// Label in Terraform; it begins with a letter.
pub(super) fn label(key: &Key) -> String {
    match key {
        Key::New(place) => format!("id_{}", of_account(place)),
        Key::Existing(client_id) => format!("id_{client_id}"),
    }
}

/// Symbol in Bicep, which has no hyphens: each is written as two underscores.
pub(super) fn symbol(label: &str) -> String {
    label.replace('-', "__")
}

/// Label of a role assignment.
pub(super) fn of_grant(identity: &Key, grant: &Grant) -> String {
    let scope = match &grant.scope {
        Scope::Vault => "vault".to_owned(),
        Scope::Object(collection, name) => format!("{collection}_{}", name.to_ascii_lowercase()),
    };
    format!("{}_{}_{scope}", label(identity), grant.vault)
}

/// Variable of a vault in a shell: `VAULT_MY_VAULT`.
pub(super) fn variable(vault: &str) -> String {
    format!("VAULT_{}", vault.to_ascii_uppercase().replace('-', "_"))
}

pub(super) fn subject((namespace, name): &Place) -> String {
    format!("system:serviceaccount:{namespace}:{name}")
}
