//! Lists in pages: the versions of an object, the secrets of a vault.

use super::VaultClient;
use super::object::Object;
use crate::changes::Seen;
use crate::fault::{Class, Fault};
use crate::http::PAGE_LIMIT_BYTES;
use crate::identity::TokenSource;
use keysluice_plan::VaultUrl;
use keysluice_plan::reason::{KS402, KS403, KS413, KS416, KS428};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

/// A page has 25 entries, or fewer: 500 versions, or a vault with 10,000 secrets, end long before.
const MOST_PAGES: usize = 1000;

/// What a list tells of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Last segment of its id: a version in a list of versions, a name in a list of secrets.
    pub name: String,
    /// `None` without attributes.
    pub enabled: Option<bool>,
    /// Unix seconds; 0 when the service does not say.
    pub created: i64,
    /// When it was updated, and the answer made.
    pub(crate) updated: Option<Seen>,
    /// Of the newest version, in a list of secrets.
    pub tags: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Body<T> {
    value: Option<Vec<T>>,
    #[serde(rename = "nextLink")]
    next_link: Option<String>,
}

/// One page of a list.
pub(super) struct Page<T> {
    pub(super) entries: Vec<T>,
    /// As of the answer.
    pub(super) date: Option<i64>,
    pub(super) next: Option<String>,
}

#[derive(Deserialize)]
struct Entry {
    /// Keys have a `kid` instead.
    #[serde(alias = "kid")]
    id: Option<String>,
    attributes: Option<Attributes>,
    tags: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct Attributes {
    enabled: Option<bool>,
    created: Option<i64>,
    updated: Option<i64>,
}

impl VaultClient {
    /// All versions of an object, whichever version it names itself.
    pub async fn versions(&self, object: &Object, source: &TokenSource) -> Result<Vec<Listed>, Fault> {
        let label = format!("versions of {}", object.without_version());
        self.list(object.versions_url(), object.vault(), &label, source).await
    }

    /// All secrets of a vault.
    pub async fn secrets(&self, vault: &VaultUrl, source: &TokenSource) -> Result<Vec<Listed>, Fault> {
        self.list(Object::secrets_url(vault), vault, &format!("list of secrets in {vault}"), source).await
    }

    async fn list(
        &self,
        first: String,
        vault: &VaultUrl,
        label: &str,
        source: &TokenSource,
    ) -> Result<Vec<Listed>, Fault> {
        let (mut listed, mut url) = (Vec::new(), first);
        for _ in 0..MOST_PAGES {
            let page: Page<Entry> = self.page(&url, vault, label, source).await?;
            listed.extend(page.entries.into_iter().filter_map(|entry| Listed::of(entry, page.date)));
            match page.next {
                None => return Ok(listed),
                Some(link) => url = link,
            }
        }
        Err(Fault::new(KS428, Class::Slow, format_args!("{label}: more than {MOST_PAGES} pages")))
    }

    /// The page at this URL. A link to the next leads into the same vault.
    pub(super) async fn page<T: DeserializeOwned>(
        &self,
        url: &str,
        vault: &VaultUrl,
        label: &str,
        source: &TokenSource,
    ) -> Result<Page<T>, Fault> {
        let answer = self.ask(url, vault, label, source, PAGE_LIMIT_BYTES).await.map_err(not_listed)?;
        let bytes = answer.body.expose_secret();
        // An empty page has an empty list. Without one it is somebody else's answer, and no secret is gone.
        let list = is_list(bytes).then(|| serde_json::from_slice::<Body<T>>(bytes).ok()).flatten();
        let body =
            list.ok_or_else(|| Fault::new(KS413, Class::Transient, format_args!("{label}: the answer is not a list")))?;
        let next = body.next_link.filter(|link| !link.is_empty());
        // The token goes with it.
        if next.as_ref().is_some_and(|link| !is_within(vault, link)) {
            let message = format_args!("{label}: the next page is not in the vault");
            return Err(Fault::new(KS428, Class::Slow, message));
        }
        Ok(Page { entries: body.value.unwrap_or_default(), date: answer.date, next })
    }
}

impl Listed {
    fn of(entry: Entry, date: Option<i64>) -> Option<Self> {
        let id = entry.id?;
        let updated = entry.attributes.as_ref().and_then(|attributes| attributes.updated);
        let updated = updated.zip(date).map(|(updated, date)| Seen { updated, date });
        let name = id.trim_end_matches('/').rsplit('/').next()?.to_owned();
        let created = entry.attributes.as_ref().and_then(|attributes| attributes.created).unwrap_or_default();
        let enabled = entry.attributes.map(|attributes| attributes.enabled.unwrap_or_default());
        Some(Self { name, enabled, created, updated, tags: entry.tags.unwrap_or_default() })
    }
}

/// Whether a body names what every page has.
fn is_list(body: &[u8]) -> bool {
    [&b"\"value\""[..], b"\"nextLink\""].iter().any(|name| body.windows(name.len()).any(|window| window == *name))
}

/// Another right than that to get.
fn not_listed(mut fault: Fault) -> Fault {
    if fault.reason == KS402 || fault.reason == KS403 {
        fault.reason = KS416;
    }
    fault
}

/// Whether a link leads to the vault's host and port; the service writes the default port as well.
fn is_within(vault: &VaultUrl, link: &str) -> bool {
    let authority = |url: &str| {
        let (scheme, rest) = url.split_at_checked(8)?;
        if !scheme.eq_ignore_ascii_case("https://") {
            return None;
        }
        let authority = rest.split(['/', '?', '#', '\\']).next()?.to_ascii_lowercase();
        Some(authority.strip_suffix(":443").map(str::to_owned).unwrap_or(authority))
    };
    authority(link).is_some_and(|link| Some(link) == authority(vault.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_the_vaults_own_links_are_followed() {
        let cases: &[(&str, &str, bool)] = &[
            (
                "https://kv.vault.azure.net/",
                "https://kv.vault.azure.net:443/secrets?api-version=7.4&$skiptoken=x",
                true,
            ),
            ("https://kv.vault.azure.net/", "HTTPS://KV.vault.azure.net/secrets?x", true),
            ("https://kv.vault.azure.net:443/", "https://kv.vault.azure.net?x", true),
            ("https://kv.vault.localhost:8443/", "https://kv.vault.localhost:8443/secrets", true),
            ("https://kv.vault.localhost:8443/", "https://kv.vault.localhost/secrets", false),
            ("https://kv.vault.azure.net/", "https://kv.vault.azure.net:8443/secrets", false),
            ("https://kv.vault.azure.net/", "http://kv.vault.azure.net/secrets", false),
            ("https://kv.vault.azure.net/", "https://evil.example/secrets", false),
            ("https://kv.vault.azure.net/", "https://kv.vault.azure.net@evil.example/", false),
            ("https://kv.vault.azure.net/", "https://kv.vault.azure.net:443@evil.example/", false),
            ("https://kv.vault.azure.net/", "https://evil.example\\@kv.vault.azure.net/", false),
            ("https://kv.vault.azure.net/", "https://kv.vault.azure.net.evil.example/", false),
            ("https://kv.vault.azure.net/", "/secrets?x", false),
            ("https://kv.vault.azure.net/", "https://ü", false),
        ];
        for (vault, link, expected) in cases {
            assert_eq!(is_within(&vault.parse().unwrap(), link), *expected, "{vault} {link}");
        }
    }

    #[test]
    fn entries_have_a_name_and_perhaps_the_rest() {
        let page = |value: serde_json::Value| {
            let page: Body<Entry> =
                serde_json::from_value(serde_json::json!({"value": value, "nextLink": null})).unwrap();
            page.value.into_iter().flatten().filter_map(|entry| Listed::of(entry, Some(9))).collect::<Vec<_>>()
        };
        let listed = |name: &str, enabled, created, updated: Option<i64>| {
            let updated = updated.map(|updated| Seen { updated, date: 9 });
            Listed { name: name.to_owned(), enabled, created, updated, tags: BTreeMap::new() }
        };
        let entries = page(serde_json::json!([
            {"id": "https://kv/secrets/db/v1", "attributes": {"enabled": true, "created": 5, "updated": 6}},
            {"kid": "https://kv/keys/sign/v2", "attributes": {"enabled": false}},
            {"id": "https://kv/secrets/db"},
            {"attributes": {"enabled": true}},
        ]));
        let expected =
            [listed("v1", Some(true), 5, Some(6)), listed("v2", Some(false), 0, None), listed("db", None, 0, None)];
        assert_eq!(entries, expected);
        assert!(page(serde_json::Value::Null).is_empty());
    }

    proptest! {
        #[test]
        fn no_link_makes_it_fail(link in "\\PC{0,40}") {
            is_within(&"https://kv.vault.azure.net/".parse().unwrap(), &link);
        }
    }
}
