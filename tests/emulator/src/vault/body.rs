//! The three kinds of objects and how each is written on the wire.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

use super::object::Version;
use crate::route::Collection;
use crate::seed::SecretValue;

/// A secret. `certificate`: it holds the key and chain of the certificate of the same name and
/// version.
#[derive(Clone)]
pub(super) struct SecretBody {
    pub(super) value: SecretValue,
    pub(super) content_type: Option<String>,
    pub(super) certificate: bool,
}

/// The public part of a key.
#[derive(Clone)]
pub(super) struct KeyBody {
    pub(super) jwk: Map<String, Value>,
    pub(super) certificate: bool,
}

/// The leaf of a certificate.
#[derive(Clone)]
pub(super) struct CertificateBody {
    pub(super) der: Vec<u8>,
    pub(super) content_type: String,
    pub(super) subject: Option<String>,
}

/// A kind of object.
pub(super) trait Body: Sized {
    const COLLECTION: Collection;

    /// What GET answers. `vault` is the vault's URL without a slash.
    fn bundle(&self, vault: &str, name: &str, version: &Version<Self>) -> Map<String, Value>;

    /// What a list tells; `id` is the object's, with or without version.
    fn item(&self, id: String) -> Map<String, Value>;

    /// Whether GET refuses a disabled version: the service gives away a disabled key's public part.
    fn is_hidden_when_disabled() -> bool {
        true
    }
}

/// `https://shop.vault.azure.net/secrets/db/0123…`
fn id(vault: &str, collection: Collection, name: &str, version: &str) -> String {
    format!("{vault}/{}/{name}/{version}", collection.path())
}

impl Body for SecretBody {
    const COLLECTION: Collection = Collection::Secrets;

    fn bundle(&self, vault: &str, name: &str, version: &Version<Self>) -> Map<String, Value> {
        let mut bundle = self.item(id(vault, Self::COLLECTION, name, &version.id));
        bundle.insert("value".to_owned(), json!(self.value.expose()));
        if self.certificate {
            bundle.insert("kid".to_owned(), json!(id(vault, Collection::Keys, name, &version.id)));
        }
        bundle
    }

    fn item(&self, id: String) -> Map<String, Value> {
        let mut item = Map::from_iter([("id".to_owned(), json!(id))]);
        if let Some(content_type) = &self.content_type {
            item.insert("contentType".to_owned(), json!(content_type));
        }
        if self.certificate {
            item.insert("managed".to_owned(), json!(true));
        }
        item
    }
}

impl Body for KeyBody {
    const COLLECTION: Collection = Collection::Keys;

    fn bundle(&self, vault: &str, name: &str, version: &Version<Self>) -> Map<String, Value> {
        let mut key = self.jwk.clone();
        key.insert("kid".to_owned(), json!(id(vault, Self::COLLECTION, name, &version.id)));
        let mut bundle = Map::from_iter([("key".to_owned(), Value::Object(key))]);
        if self.certificate {
            bundle.insert("managed".to_owned(), json!(true));
        }
        bundle
    }

    fn item(&self, id: String) -> Map<String, Value> {
        let mut item = Map::from_iter([("kid".to_owned(), json!(id))]);
        if self.certificate {
            item.insert("managed".to_owned(), json!(true));
        }
        item
    }

    fn is_hidden_when_disabled() -> bool {
        false
    }
}

impl Body for CertificateBody {
    const COLLECTION: Collection = Collection::Certificates;

    fn bundle(&self, vault: &str, name: &str, version: &Version<Self>) -> Map<String, Value> {
        let mut bundle = self.item(id(vault, Self::COLLECTION, name, &version.id));
        bundle.insert("kid".to_owned(), json!(id(vault, Collection::Keys, name, &version.id)));
        bundle.insert("sid".to_owned(), json!(id(vault, Collection::Secrets, name, &version.id)));
        bundle.insert("cer".to_owned(), json!(STANDARD.encode(&self.der)));
        bundle.insert(
            "policy".to_owned(),
            json!({
                "id": format!("{vault}/certificates/{name}/policy"),
                "key_props": {"exportable": true, "reuse_key": false},
                "secret_props": {"contentType": self.content_type},
                "x509_props": {"subject": self.subject.as_ref().map(|name| format!("CN={name}"))},
                "issuer": {"name": "Unknown"},
            }),
        );
        bundle
    }

    fn item(&self, id: String) -> Map<String, Value> {
        let sha1 = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &self.der);
        Map::from_iter([
            ("id".to_owned(), json!(id)),
            ("x5t".to_owned(), json!(URL_SAFE_NO_PAD.encode(sha1))),
        ])
    }
}
