//! What the emulator knows at start: tenants, applications and vaults, as read from a JSON file.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Everything to add to an emulator. Applications of the same client id are replaced; objects of
/// the same name get a new version.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Seed {
    /// Tenants that exist although no application or vault names them.
    pub tenants: Vec<String>,
    /// Issuers beside the emulator's own, with their keys, so that nothing is ever fetched.
    pub issuers: Vec<IssuerSeed>,
    /// Applications and managed identities.
    pub apps: Vec<AppSeed>,
    /// Key vaults.
    pub vaults: Vec<VaultSeed>,
}

/// A foreign token issuer, for instance a real cluster's API server.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IssuerSeed {
    /// The exact `iss` of its tokens.
    pub issuer: String,
    /// Its key set, as `{issuer}/openid/v1/jwks` gives it.
    pub jwks: jsonwebtoken::jwk::JwkSet,
}

/// An identity of Entra.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AppSeed {
    /// Client id, a GUID.
    pub client_id: String,
    /// Tenant id, a GUID.
    pub tenant_id: String,
    /// Object id; generated if missing.
    pub object_id: Option<String>,
    /// Application or managed identity.
    #[serde(default)]
    pub kind: AppKind,
    /// ARM resource id of a managed identity, what `msi_res_id` selects.
    pub resource_id: Option<String>,
    /// Allows the client-secret grant.
    pub client_secret: Option<SecretValue>,
    /// Certificates, PEM, whose keys may sign client assertions.
    #[serde(default)]
    pub client_certificates: Vec<String>,
    /// Trusted external tokens.
    #[serde(default)]
    pub federated_credentials: Vec<FederatedCredentialSeed>,
}

/// What kind of identity an [`AppSeed`] is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AppKind {
    /// App registration: access tokens live about an hour.
    #[default]
    Application,
    /// User-assigned managed identity: answers at IMDS too, access tokens live about a day.
    ManagedIdentity,
}

/// One trust between an identity and a token issuer.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FederatedCredentialSeed {
    /// Exact issuer; the emulator's own if missing.
    pub issuer: Option<String>,
    /// Exact, case-sensitive subject, `system:serviceaccount:NAMESPACE:NAME`.
    pub subject: String,
    /// Exact audience; `api://AzureADTokenExchange` if missing.
    pub audience: Option<String>,
}

/// A key vault.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VaultSeed {
    /// Name, the first label of its host.
    pub name: String,
    /// Tenant whose tokens it takes.
    pub tenant_id: String,
    /// Secrets by name; a plain string is a secret with that value.
    #[serde(default)]
    pub secrets: BTreeMap<String, SecretSeed>,
    /// Keys by name.
    #[serde(default)]
    pub keys: BTreeMap<String, KeySeed>,
    /// Certificates by name.
    #[serde(default)]
    pub certificates: BTreeMap<String, CertificateSeed>,
    /// Who may do what.
    #[serde(default)]
    pub roles: Vec<RoleSeed>,
}

/// A secret, or one earlier version of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(remote = "Self", rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SecretSeed {
    /// Value of the newest version. Without it, `versions` holds them all.
    pub value: Option<SecretValue>,
    /// `contentType`.
    pub content_type: Option<String>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// Enabled unless `Some(false)`.
    pub enabled: Option<bool>,
    /// `nbf`, Unix seconds.
    pub not_before: Option<i64>,
    /// `exp`, Unix seconds.
    pub expires: Option<i64>,
    /// Created and updated at, Unix seconds; now if missing.
    pub created: Option<i64>,
    /// Version id, 32 lower-case hex digits; generated if missing.
    pub version: Option<String>,
    /// Earlier versions, oldest first.
    pub versions: Vec<SecretSeed>,
}

impl SecretSeed {
    /// An enabled secret with this value and nothing else.
    pub fn new(value: impl Into<SecretValue>) -> Self {
        Self { value: Some(value.into()), ..Self::default() }
    }
}

/// A key: generated, or the public part of a given JWK.
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct KeySeed {
    /// `RSA` or `EC`; needed unless there is a `jwk`.
    pub kty: Option<String>,
    /// Size of an RSA key in bits: 2048 (default), 3072 or 4096.
    pub size: Option<u32>,
    /// Curve of an EC key: `P-256` (default), `P-384` or `P-521`.
    pub crv: Option<String>,
    /// A JWK to show instead of a generated key. Private parts are dropped.
    pub jwk: Option<serde_json::Map<String, serde_json::Value>>,
    /// Created and updated at, Unix seconds; now if missing.
    pub created: Option<i64>,
    /// Enabled unless `Some(false)`.
    pub enabled: Option<bool>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
}

impl fmt::Debug for KeySeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kty, size, crv, jwk: _, created, enabled, tags } = self;
        f.debug_struct("KeySeed")
            .field("kty", kty)
            .field("size", size)
            .field("crv", crv)
            .field("created", created)
            .field("enabled", enabled)
            .field("tags", tags)
            .finish_non_exhaustive()
    }
}

/// A certificate with the secret that holds its key and chain. Without `cer` and `secret`, a
/// self-signed EC certificate is made.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CertificateSeed {
    /// The leaf, base64 of its DER. Taken from a PEM `secret` if missing.
    pub cer: Option<String>,
    /// Value of the secret behind it: PEM, or base64 of a PKCS#12 file.
    pub secret: Option<SecretValue>,
    /// `application/x-pem-file` or `application/x-pkcs12`; guessed from `secret` if missing.
    pub content_type: Option<String>,
    /// Common name and DNS name of a certificate made here.
    pub subject: Option<String>,
    /// Created and updated at, Unix seconds; now if missing.
    pub created: Option<i64>,
    /// Enabled unless `Some(false)`.
    pub enabled: Option<bool>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
}

/// Permissions of one identity on one vault, or on some objects of it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RoleSeed {
    /// Client id of the identity.
    pub client_id: String,
    /// On secrets.
    #[serde(default)]
    pub secrets: Vec<Permission>,
    /// On keys.
    #[serde(default)]
    pub keys: Vec<Permission>,
    /// On certificates.
    #[serde(default)]
    pub certificates: Vec<Permission>,
    /// Only on objects of these names. Such a role cannot list the vault.
    pub objects: Option<Vec<String>>,
}

/// One data-plane permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Permission {
    /// Read an object.
    Get,
    /// List objects or versions.
    List,
    /// Write a secret.
    Set,
}

/// A value that no `Debug` shows.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct SecretValue(String);

impl SecretValue {
    /// The value itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl<T: Into<String>> From<T> for SecretValue {
    fn from(value: T) -> Self {
        Self(value.into())
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl<'de> Deserialize<'de> for SecretSeed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StringOrObject)
    }
}

/// An untagged enum would lose the name of an unknown field in its error.
struct StringOrObject;

impl<'de> Visitor<'de> for StringOrObject {
    type Value = SecretSeed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a secret value or an object with one")
    }

    fn visit_str<E>(self, value: &str) -> Result<SecretSeed, E> {
        Ok(SecretSeed::new(value))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SecretSeed, A::Error> {
        // The inherent function that `remote = "Self"` derives, not the trait's.
        SecretSeed::deserialize(MapAccessDeserializer::new(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_a_string_or_an_object() {
        let vault: VaultSeed = serde_json::from_str(
            r#"{"name":"v","tenantId":"t","secrets":{"a":"x","b":{"versions":["old",{"value":"new",
                "enabled":false}]}}}"#,
        )
        .unwrap();
        assert_eq!(vault.secrets["a"], SecretSeed::new("x"));
        assert_eq!(vault.secrets["b"].versions[0], SecretSeed::new("old"));
        assert_eq!(vault.secrets["b"].versions[1].enabled, Some(false));
    }

    #[test]
    fn an_unknown_field_is_named() {
        for seed in [
            r#"{"vault":[]}"#,
            r#"{"vaults":[{"name":"v","tenantId":"t","vault":1}]}"#,
            r#"{"vaults":[{"name":"v","tenantId":"t","secrets":{"a":{"vault":1}}}]}"#,
        ] {
            let error = serde_json::from_str::<Seed>(seed).unwrap_err().to_string();
            assert!(error.contains("unknown field `vault`"), "{error}");
        }
    }

    #[test]
    fn no_value_is_in_debug() {
        let seed: Seed = serde_json::from_str(
            r#"{"apps":[{"clientId":"c","tenantId":"t","clientSecret":"canary"}],
                "vaults":[{"name":"v","tenantId":"t","secrets":{"a":"canary"},
                "certificates":{"c":{"secret":"canary"}},
                    "keys":{"k":{"jwk":{"d":"canary"}}}}]}"#,
        )
        .unwrap();
        assert!(!format!("{seed:?}").contains("canary"));
    }
}
