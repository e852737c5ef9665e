//! The token proxy of AKS identity bindings: takes token requests in the place of Entra.

use serde::{Deserialize, Serialize};

/// Where the sidecar, and no other container, has its token for the proxy and the proxy's
/// authority.
pub const TOKEN_PROXY_DIRECTORY: &str = "/var/run/secrets/keysluice.dev-token-proxy";
/// The token there.
pub const TOKEN_PROXY_TOKEN: &str = "token";
/// The authority there.
pub const TOKEN_PROXY_CA: &str = "ca.crt";

/// Where token requests go, and how the connection is checked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenProxy {
    /// `https://kubernetes.default.svc.cluster.local`; the path of the token request is appended.
    pub url: String,
    /// Name in the TLS handshake and in the certificate; absent means the URL's host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// Absolute path, in the sidecar, of PEM of the authorities that alone are trusted. Without
    /// `ca_file` and `ca`, those that are trusted for Entra are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
    /// The same as PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
}

impl TokenProxy {
    /// The URL without its user and password, for messages.
    pub fn shown(&self) -> &str {
        self.url.rsplit_once('@').map_or(&self.url, |(_, host)| host)
    }

    /// What is wrong with it: the rules of the Azure SDKs for `AZURE_KUBERNETES_TOKEN_PROXY` and
    /// its companions.
    pub fn problem(&self) -> Option<&'static str> {
        let rest = self.url.strip_prefix("https://").unwrap_or_default();
        let host = rest.split('/').next().unwrap_or_default();
        if host.is_empty() {
            return Some("is not an https URL with a host");
        }
        if host.contains('@') || rest.contains(['?', '#']) {
            return Some("has a user, a query or a fragment");
        }
        let is_printable = self.url.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_printable || rest.contains(['"', '<', '>', '\\', '^', '`', '{', '|', '}']) {
            return Some("has characters that a URL does not have");
        }
        if self.server_name.as_deref().is_some_and(|name| !is_host_name(name)) {
            return Some("has a TLS server name that is not a host name");
        }
        if self.ca.is_some() && self.ca_file.is_some() {
            return Some("has authorities both as a file and as data");
        }
        None
    }
}

fn is_host_name(name: &str) -> bool {
    (1..=253).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(url: &str) -> TokenProxy {
        TokenProxy { url: url.to_owned(), server_name: None, ca_file: None, ca: None }
    }

    #[test]
    fn the_rules_are_those_of_the_sdks() {
        for url in ["https://kubernetes.default.svc", "https://[fd00::1]:443/a/b/"] {
            assert_eq!(proxy(url).problem(), None, "{url}");
        }
        for (url, expected) in [
            ("", "not an https URL"),
            ("http://kubernetes.default.svc", "not an https URL"),
            ("https:///path", "not an https URL"),
            ("https://user@host", "a user"),
            ("https://host/a?b", "a query"),
            ("https://host#", "a fragment"),
            ("https://ho st", "characters"),
            ("https://host/{a}", "characters"),
        ] {
            let problem = proxy(url).problem();
            assert!(problem.is_some_and(|text| text.contains(expected)), "{url}: {problem:?}");
            assert!(!proxy(url).shown().contains("user"), "{url}");
        }
        let named = TokenProxy { server_name: Some("a b".to_owned()), ..proxy("https://h") };
        assert!(named.problem().unwrap().contains("server name"));
        let (ca, ca_file) = (Some("x".to_owned()), Some("/x".to_owned()));
        let both = TokenProxy { ca_file, ca, ..proxy("https://h") };
        assert!(both.problem().unwrap().contains("both"));
    }
}
