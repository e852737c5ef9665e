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
            text.strip_prefix("https://").ok_or_else(|| VaultUrlError::Scheme(shown(text)))?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) =
            authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
        let port_ok = port.is_none_or(|port| {
            port.parse::<u16>().is_ok_and(|port| port > 0) && !port.starts_with('+')
        });
        if host.len() > 253 || !host.split('.').all(is_label) || !port_ok {
            return Err(VaultUrlError::Form(shown(text)));
        }
        Ok(Self(format!("https://{}/", authority.to_ascii_lowercase())))
    }
}

/// The text without a user and password, for errors.
fn shown(text: &str) -> String {
    let Some((before, host)) = text.rsplit_once('@') else { return text.to_owned() };
    let scheme = ["https://", "http://"].into_iter().find(|scheme| before.starts_with(scheme));
    format!("{}***@{host}", scheme.unwrap_or_default())
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

    #[test]
    fn an_error_does_not_show_a_password() {
        for (bad, shown) in [
            ("https://u:secret@kv.example/", "\"https://***@kv.example/\""),
            ("https://u:se@cret@kv.example/", "\"https://***@kv.example/\""),
            ("https://u:se/cret@kv.example/", "\"https://***@kv.example/\""),
            ("http://u:secret@kv.example/", "\"http://***@kv.example/\""),
            ("secret@kv.example", "\"***@kv.example\""),
            ("https://kv.example/secrets", "\"https://kv.example/secrets\""),
        ] {
            let error = bad.parse::<VaultUrl>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("vault URL {shown} must ")), "{error}");
        }
    }
}
