//! `WWW-Authenticate` of a 401: which tenant and resource the vault wants, and whether it may want
//! that.

use crate::redact::short;
use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

/// What a vault asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Challenge {
    /// `https://login.microsoftonline.com/TENANT`
    pub authorization: Option<String>,
    /// `https://vault.azure.net`
    pub resource: Option<String>,
}

impl Challenge {
    /// Reads the first `Bearer` challenge; parameters may be separated by commas or blanks.
    pub fn parse(headers: &HeaderMap) -> Option<Self> {
        let values =
            headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let bearer = values
            .filter_map(|value| value.split_once(' '))
            .find(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let mut challenge = Self::default();
        for (name, value) in parameters(bearer?.1) {
            match name.to_ascii_lowercase().as_str() {
                "authorization" | "authorization_uri" => {
                    challenge.authorization = Some(short(value));
                }
                "resource" => challenge.resource = Some(short(value)),
                "scope" if challenge.resource.is_none() => {
                    challenge.resource =
                        Some(short(value.strip_suffix("/.default").unwrap_or(value)));
                }
                _ => {}
            }
        }
        Some(challenge)
    }

    /// Whether it says what a vault says: another service's `Bearer` has a realm only.
    pub fn is_a_vaults(&self) -> bool {
        self.authorization.is_some() || self.resource.is_some()
    }

    /// Whether the resource is a parent domain of the vault's host, the rule of every Azure SDK:
    /// without it a stranger's server could have us fetch a token for somebody else's service. No
    /// resource is no demand.
    pub fn fits(&self, vault_host: &str) -> bool {
        self.resource.as_ref().is_none_or(|resource| is_parent(resource, vault_host))
    }
}

/// Whether the URL's host is a parent domain of the vault's.
pub(super) fn is_parent(url: &str, vault_host: &str) -> bool {
    let Some(host) = host(url) else { return false };
    let parent =
        vault_host.len().checked_sub(host.len()).filter(|&at| vault_host.is_char_boundary(at));
    let parent = parent.map(|at| vault_host.split_at(at));
    parent.is_some_and(|(label, rest)| label.ends_with('.') && rest.eq_ignore_ascii_case(host))
}

/// Host of a URL, without port.
fn host(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("https://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.split(':').next()?;
    (!host.is_empty() && !authority.contains('@')).then_some(host)
}

/// `name="value"` or `name=value` pairs.
fn parameters(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches([' ', ',', '\t']);
        let (name, after) = rest.split_once('=')?;
        let (value, tail) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_at(after.find([',', ' ']).unwrap_or(after.len())),
        };
        rest = tail;
        Some((name.trim(), value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(value: &str) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        headers.insert(WWW_AUTHENTICATE, value.parse().unwrap());
        Challenge::parse(&headers)
    }

    #[test]
    fn recorded_challenges_are_read() {
        let expected = Challenge {
            authorization: Some("https://login.windows.net/t".to_owned()),
            resource: Some("https://vault.azure.net".to_owned()),
        };
        for text in [
            "Bearer authorization=\"https://login.windows.net/t\", \
             resource=\"https://vault.azure.net\"",
            "bearer authorization_uri=\"https://login.windows.net/t\" \
             scope=\"https://vault.azure.net/.default\"",
            r"Bearer authorization=https://login.windows.net/t,resource=https://vault.azure.net",
        ] {
            assert_eq!(parse(text).as_ref(), Some(&expected), "{text}");
        }
        let long = parse(&format!(
            r#"Bearer authorization="https://eyJcanary", resource="https://{}""#,
            "x".repeat(9000)
        ));
        let Challenge { authorization, resource } = long.unwrap();
        assert_eq!(
            (authorization.as_deref(), resource.unwrap().chars().count()),
            (Some("[token]"), 301)
        );
        assert_eq!(parse("Basic realm=\"x\""), None);
    }

    fn fits(resource: &str, host: &str) -> bool {
        Challenge { authorization: None, resource: Some(resource.to_owned()) }.fits(host)
    }

    #[test]
    fn only_a_parent_domain_of_the_vault_fits() {
        assert!(fits("https://vault.azure.net", "kv.vault.azure.net"));
        assert!(fits("https://vault.localhost:8443/", "kv.vault.localhost"));
        for resource in [
            "https://evil.example",
            "https://graph.microsoft.com",
            "https://kv.vault.azure.net",
            "https://ult.azure.net",
            "https://",
            "http://vault.azure.net",
            "https://vault.azure.net@evil.example",
            "x",
        ] {
            assert!(!fits(resource, "kv.vault.azure.net"), "{resource}");
        }
        assert!(Challenge::default().fits("kv.vault.azure.net"));
    }

    proptest! {
        #[test]
        fn no_header_makes_the_parser_fail(text in "[ -~]{0,80}", host in "[a-z.]{0,20}") {
            if let Some(challenge) = parse(&format!("Bearer {text}")) {
                challenge.fits(&host);
            }
        }
    }
}
