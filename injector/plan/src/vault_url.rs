//! The URL of a vault.

use crate::names::string_type;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Base URL of a vault: `https://HOST[:PORT]/`, lower-case host, nothing after it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VaultUrl(String);

string_type!(VaultUrl, VaultUrlError);

impl VaultUrl {
    /// Host without port.
    pub fn host(&self) -> &str {
        let rest = &self.0["https://".len()..self.0.len() - 1];
        rest.split_once(':').map_or(rest, |(host, _)| host)
    }
}

/// Why a vault URL was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VaultUrlError {
    /// Not https.
    #[error("vault URL {0:?} must start with https://")]
    Scheme(String),
    /// Something else than a host and a port.
    #[error("vault URL {0:?} must be https://HOST[:PORT]/ and nothing more")]
    Form(String),
}

impl FromStr for VaultUrl {
    type Err = VaultUrlError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest =
            text.strip_prefix("https://").ok_or_else(|| VaultUrlError::Scheme(text.to_owned()))?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) =
            authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
        let port_ok = port.is_none_or(|port| {
            port.parse::<u16>().is_ok_and(|port| port > 0) && !port.starts_with('+')
        });
        if host.len() > 253 || !host.split('.').all(is_label) || !port_ok {
            return Err(VaultUrlError::Form(text.to_owned()));
        }
        Ok(Self(format!("https://{}/", authority.to_ascii_lowercase())))
    }
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vault_urls_are_normalised_or_refused() {
        let url = "https://My-Vault.vault.localhost:8443".parse::<VaultUrl>().unwrap();
        assert_eq!(
            (url.as_str(), url.host()),
            ("https://my-vault.vault.localhost:8443/", "my-vault.vault.localhost")
        );
        for bad in [
            "http://a/",
            "https:///",
            "https://a/b",
            "https://a@b/",
            "https://a:0/",
            "https://a:99999/",
            "https://-a/",
            "https://a?x",
            "a",
        ] {
            assert!(bad.parse::<VaultUrl>().is_err(), "{bad}");
        }
    }
}
