//! Azure clouds: the well-known ones and one that the operator defines.
//!
//! A pod or a `SecretProviderClass` can only choose among them; endpoints never come from a
//! manifest.

mod audience;

pub use audience::DEFAULT_AUDIENCE;

use keysluice_plan::{VaultUrl, VaultUrlError};
use serde::Deserialize;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Where one Azure cloud answers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Cloud {
    /// Name, `AzurePublicCloud`.
    pub name: String,
    /// Entra authority with a trailing slash, `https://login.microsoftonline.com/`.
    pub authority: String,
    /// Suffix of vault hosts, with a port where there is one: `vault.azure.net`.
    pub key_vault_suffix: String,
    /// Resource (token audience) of Key Vault, no trailing slash: `https://vault.azure.net`.
    pub key_vault_resource: String,
    /// Base URL of the managed-identity endpoint with a trailing slash, `http://169.254.169.254/`.
    pub managed_identity_endpoint: String,
    /// PEM of the authorities that sign this cloud's certificates, beside the public ones.
    pub trusted_ca: Option<String>,
}

impl Cloud {
    /// URL of the vault `name` in this cloud.
    pub fn vault_url(&self, name: &str) -> Result<VaultUrl, VaultUrlError> {
        format!("https://{name}.{}/", self.key_vault_suffix).parse()
    }

    /// OAuth scope of Key Vault, `https://vault.azure.net/.default`.
    pub fn key_vault_scope(&self) -> String {
        format!("{}/.default", self.key_vault_resource)
    }

    fn known(names: &[&str], authority: &str, suffix: &str) -> Self {
        Self {
            name: names[0].to_owned(),
            authority: authority.to_owned(),
            key_vault_suffix: suffix.to_owned(),
            key_vault_resource: format!("https://{suffix}"),
            managed_identity_endpoint: IMDS.to_owned(),
            trusted_ca: None,
        }
    }

    /// A well-known cloud by go-autorest's names, in any case; empty means the public one.
    pub fn well_known(name: &str) -> Option<Self> {
        WELL_KNOWN
            .iter()
            .find(|(names, ..)| names.iter().any(|known| known.eq_ignore_ascii_case(name)))
            .map(|(names, authority, suffix)| Self::known(names, authority, suffix))
    }

    /// Reads a cloud definition: the JSON that Azure Stack users have (go-autorest's
    /// `Environment`), with two optional additions of ours, `managedIdentityEndpoint` and
    /// `trustedCa` (PEM).
    pub fn from_json(text: &str) -> Result<Self, CloudError> {
        // PowerShell writes a byte order mark.
        let text = text.trim_start_matches('\u{feff}');
        let file: CloudFile = serde_json::from_str(text).map_err(CloudError::Json)?;
        let authority = https_url("activeDirectoryEndpoint", file.active_directory_endpoint)?;
        let resource = match file
            .resource_identifiers
            .and_then(|ids| ids.key_vault)
            // go-autorest's word for a service that the cloud does not have.
            .filter(|id| !id.is_empty() && id != "N/A")
        {
            Some(id) => https_url("resourceIdentifiers.keyVault", id)?,
            None => https_url("keyVaultEndpoint", file.key_vault_endpoint)?,
        };
        let suffix = file.key_vault_dns_suffix.trim_matches('.').to_ascii_lowercase();
        if format!("https://{suffix}/").parse::<VaultUrl>().is_err() {
            let (field, value) = ("keyVaultDNSSuffix", file.key_vault_dns_suffix);
            return Err(CloudError::Field {
                field,
                value,
                expected: "a domain such as vault.azure.net",
            });
        }
        let endpoint = file.managed_identity_endpoint.unwrap_or_else(|| IMDS.to_owned());
        if !endpoint.starts_with("http://") && !endpoint.starts_with("https://") {
            let (field, value) = ("managedIdentityEndpoint", endpoint);
            return Err(CloudError::Field { field, value, expected: "an http:// or https:// URL" });
        }
        Ok(Self {
            name: file.name,
            authority,
            key_vault_suffix: suffix,
            key_vault_resource: resource.trim_end_matches('/').to_owned(),
            managed_identity_endpoint: format!("{}/", endpoint.trim_end_matches('/')),
            trusted_ca: file.trusted_ca.filter(|pem| !pem.is_empty()),
        })
    }
}

const IMDS: &str = "http://169.254.169.254/";

/// Names (the first is canonical), authority, vault suffix; go-autorest `azure/environments.go`.
const WELL_KNOWN: &[(&[&str], &str, &str)] = &[
    (
        &["AzurePublicCloud", "AzureCloud", ""],
        "https://login.microsoftonline.com/",
        "vault.azure.net",
    ),
    (
        &["AzureUSGovernmentCloud", "AzureUSGovernment"],
        "https://login.microsoftonline.us/",
        "vault.usgovcloudapi.net",
    ),
    (&["AzureChinaCloud"], "https://login.chinacloudapi.cn/", "vault.azure.cn"),
    (&["AzureGermanCloud"], "https://login.microsoftonline.de/", "vault.microsoftazure.de"),
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CloudFile {
    name: String,
    active_directory_endpoint: String,
    #[serde(default)]
    key_vault_endpoint: String,
    #[serde(rename = "keyVaultDNSSuffix")]
    key_vault_dns_suffix: String,
    resource_identifiers: Option<ResourceIdentifiers>,
    managed_identity_endpoint: Option<String>,
    trusted_ca: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResourceIdentifiers {
    key_vault: Option<String>,
}

/// Why a cloud definition was refused.
#[derive(Debug, thiserror::Error)]
pub enum CloudError {
    /// Not JSON, or a field is missing.
    #[error("not a cloud definition: {0}")]
    Json(#[source] serde_json::Error),
    /// A field holds something else than it should.
    #[error("{field}: {value:?} is not {expected}")]
    Field {
        /// JSON name of the field.
        field: &'static str,
        /// What it holds.
        value: String,
        /// What it should hold.
        expected: &'static str,
    },
}

/// The clouds a manifest can choose among.
#[derive(Debug, Clone)]
pub struct Clouds {
    default: Cloud,
    /// PEM of authorities of the operator's for all clouds: of a proxy that inspects TLS, or of
    /// private endpoints.
    authorities: String,
    /// Of both, since PEM may be long.
    hash: u64,
}

impl Hash for Clouds {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.hash.hash(state);
    }
}

impl Clouds {
    /// The well-known clouds, and `default` for manifests that name none.
    pub fn new(default: Cloud) -> Self {
        Self { default, authorities: String::new(), hash: 0 }.hashed()
    }

    /// The same clouds, each with these authorities before its own: PEM that ends with a line
    /// break.
    #[must_use]
    pub fn trusting(mut self, authorities: String) -> Self {
        self.authorities = authorities;
        self.default = self.with_authorities(self.default.clone());
        self.hashed()
    }

    fn hashed(mut self) -> Self {
        let mut hasher = DefaultHasher::new();
        (&self.default, &self.authorities).hash(&mut hasher);
        self.hash = hasher.finish();
        self
    }

    fn with_authorities(&self, mut cloud: Cloud) -> Cloud {
        if !self.authorities.is_empty() {
            cloud.trusted_ca.get_or_insert_default().insert_str(0, &self.authorities);
        }
        cloud
    }

    /// All of them, the operator's first.
    pub fn all(&self) -> Vec<Cloud> {
        let well_known = WELL_KNOWN
            .iter()
            .map(|(names, authority, suffix)| Cloud::known(names, authority, suffix))
            .map(|cloud| self.with_authorities(cloud));
        std::iter::once(self.default.clone()).chain(well_known).collect()
    }

    /// The operator's cloud.
    pub fn default_cloud(&self) -> &Cloud {
        &self.default
    }

    /// The cloud named `name`, in any case; the empty name is the operator's. `None` if there is no
    /// such cloud.
    pub fn find(&self, name: &str) -> Option<Cloud> {
        // AzureStackCloud means "the one in the definition file", whatever name that file gives it.
        let operators = name.is_empty()
            || self.default.name.eq_ignore_ascii_case(name)
            || (name.eq_ignore_ascii_case("AzureStackCloud")
                && Cloud::well_known(&self.default.name).is_none());
        if operators {
            return Some(self.default.clone());
        }
        Cloud::well_known(name).map(|cloud| self.with_authorities(cloud))
    }
}

/// The URL in `field` with one slash at its end.
fn https_url(field: &'static str, value: String) -> Result<String, CloudError> {
    if value.starts_with("https://") && value.len() > "https://".len() {
        Ok(format!("{}/", value.trim_end_matches('/')))
    } else {
        Err(CloudError::Field { field, value, expected: "an https:// URL" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_known_clouds_in_any_case() {
        let public = Cloud::well_known("azurecloud").unwrap();
        assert_eq!(public, Cloud::well_known("AzurePublicCloud").unwrap());
        assert_eq!(public.vault_url("kv").unwrap().as_str(), "https://kv.vault.azure.net/");
        assert_eq!(public.key_vault_scope(), "https://vault.azure.net/.default");
        assert_eq!(
            Cloud::well_known("AzureUSGovernmentCloud").unwrap().authority,
            "https://login.microsoftonline.us/"
        );
        assert_eq!(
            Cloud::well_known("AzureChinaCloud").unwrap().authority,
            "https://login.chinacloudapi.cn/"
        );
        assert_eq!(
            Cloud::well_known("AzureGermanCloud").unwrap().authority,
            "https://login.microsoftonline.de/"
        );
        assert_eq!(Cloud::well_known("InvalidCloud"), None);
    }

    #[test]
    fn a_definition_file_is_read_with_ports_and_additions() {
        let cloud = Cloud::from_json(
            r#"{"name":"Emulator","activeDirectoryEndpoint":"https://login.localhost:8443",
                "keyVaultEndpoint":"https://vault.localhost/",
                "keyVaultDNSSuffix":"vault.localhost:8443",
                "managedIdentityEndpoint":"http://127.0.0.1:8080","galleryEndpoint":"ignored"}"#,
        )
        .unwrap();
        assert_eq!(cloud.authority, "https://login.localhost:8443/");
        assert_eq!(cloud.vault_url("kv").unwrap().as_str(), "https://kv.vault.localhost:8443/");
        assert_eq!(cloud.key_vault_scope(), "https://vault.localhost/.default");
        assert_eq!(cloud.managed_identity_endpoint, "http://127.0.0.1:8080/");
        let clouds = Clouds::new(cloud);
        assert_eq!(clouds.find("AzureStackCloud").unwrap().name, "Emulator");
        assert_eq!(clouds.find("azurechinacloud").unwrap().key_vault_suffix, "vault.azure.cn");
        assert!(clouds.find("nowhere").is_none());
    }

    #[test]
    fn a_definition_that_azure_stack_prints_is_read() {
        let cloud = Cloud::from_json(
            "\u{feff}{\"name\":\"AzureStackCloud\",\
             \"activeDirectoryEndpoint\":\"https://adfs.local.azurestack.external/adfs\",\
             \"keyVaultEndpoint\":\"https://vault.local.azurestack.external/\",\
             \"keyVaultDNSSuffix\":\"vault.local.azurestack.external\",\
             \"resourceIdentifiers\":{\"graph\":\"N/A\",\"keyVault\":\"N/A\"}}",
        )
        .unwrap();
        assert_eq!(cloud.key_vault_scope(), "https://vault.local.azurestack.external/.default");
        assert_eq!(cloud.authority, "https://adfs.local.azurestack.external/adfs/");
    }

    #[test]
    fn a_bad_definition_names_its_field() {
        for (json, expected) in [
            ("{", "not a cloud definition"),
            (r#"{"name":"x"}"#, "activeDirectoryEndpoint"),
            (
                r#"{"name":"x","activeDirectoryEndpoint":"http://a/",
                    "keyVaultEndpoint":"https://b","keyVaultDNSSuffix":"c"}"#,
                "activeDirectoryEndpoint: \"http://a/\" is not an https:// URL",
            ),
            (
                r#"{"name":"x","activeDirectoryEndpoint":"https://a/",
                    "keyVaultEndpoint":"https://b","keyVaultDNSSuffix":"c/d"}"#,
                "keyVaultDNSSuffix: \"c/d\"",
            ),
        ] {
            let error = Cloud::from_json(json).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
