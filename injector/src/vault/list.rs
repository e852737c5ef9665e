//! Lists in pages: the versions of an object, the secrets of a vault.
//!
//! An entry is judged while its page is read, and only what is wanted of it is kept: what a vault
//! sends costs no more memory than its text, and as much as Key Vault can have.

#![allow(clippy::disallowed_methods, reason = "this room seeds the hash of names")]

use super::VaultClient;
use super::client::Asked;
use super::object::Object;
use super::page;
use crate::calls::Call;
use crate::changes::Seen;
use crate::clock::{Time, since_boot};
use crate::fault::{Class, Fault, FaultKind};
use crate::http::PAGE_LIMIT_BYTES;
use crate::identity::TokenSource;
use keysluice_plan::VaultUrl;
use keysluice_plan::reason::{KS412, KS413, KS416, KS428};
use secrecy::ExposeSecret;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// 25,000 entries in full pages; 500 versions, or a vault with 10,000 secrets, end long before.
const MAX_PAGES: usize = 1000;
const MAX_ENTRIES: usize = 25_000;
/// For all pages of a list together.
const MAX_TIME: Duration = Duration::from_secs(300);
/// A link is the list's URL and a token for the place in it.
const MAX_LINK_BYTES: usize = 8 * 1024;

/// What a list tells of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Last segment of its id: a version in a list of versions, a name in a list of secrets.
    pub name: String,
    /// `None` without attributes.
    pub enabled: Option<bool>,
    /// Unix seconds; 0 when the service does not say.
    pub created: i64,
    /// When it becomes active by its attribute; seconds since 1970.
    pub(crate) starts: Option<u64>,
    /// When it expires by its attribute; seconds since 1970.
    pub(crate) expires: Option<u64>,
    /// When it was updated, and the answer made.
    pub(crate) updated: Option<Seen>,
}

/// Which tags an entry must have, and with which values.
pub(crate) type Tags = BTreeMap<String, String>;

impl VaultClient {
    /// All versions of an object, whichever version it names itself.
    pub async fn versions(
        &self,
        object: &Object,
        source: &TokenSource,
    ) -> Result<Vec<Listed>, Fault> {
        let label = format!("versions of {}", object.without_version());
        let mut listed = Vec::new();
        let mut walk = Walk::new(object.versions_url());
        while let Some(url) = walk.next.take() {
            let end = self
                .page(&url, object.vault(), &label, source, &Tags::new(), |entry| {
                    listed.push(entry);
                })
                .await?;
            walk.turn(end, object.vault(), &label)?;
        }
        Ok(listed)
    }

    /// The secrets of a vault that have these tags and that `keep` takes.
    pub async fn secrets(
        &self,
        vault: &VaultUrl,
        source: &TokenSource,
        tags: &BTreeMap<String, String>,
        keep: impl Fn(&Listed) -> bool,
    ) -> Result<Vec<Listed>, Fault> {
        let label = format!("list of secrets in {vault}");
        let mut listed = Vec::new();
        let mut walk = Walk::new(Object::secrets_url(vault));
        while let Some(url) = walk.next.take() {
            let page = self.page(&url, vault, &label, source, tags, |entry| {
                if keep(&entry) {
                    listed.push(entry);
                }
            });
            let end = page.await?;
            walk.turn(end, vault, &label)?;
        }
        Ok(listed)
    }

    /// The page at this URL; `add` gets its entries that have the tags.
    pub(super) async fn page(
        &self,
        url: &str,
        vault: &VaultUrl,
        label: &str,
        source: &TokenSource,
        tags: &Tags,
        mut add: impl FnMut(Listed),
    ) -> Result<page::End, Fault> {
        let _one_of_few = self.pages.acquire().await.ok();
        let asked = Asked { call: Call::List, limit_bytes: PAGE_LIMIT_BYTES };
        let answer = self.ask(url, vault, label, source, asked).await.map_err(not_listed)?;
        page::read(answer.body.expose_secret(), answer.date, tags, &mut add).map_err(|error| {
            match error {
                page::PageError::Garbled => Fault::new(
                    KS413,
                    Class::Transient,
                    format_args!("{label}: the answer is not a list"),
                ),
                page::PageError::TooMany => {
                    too_large(label, &format!("more than {} entries on a page", page::MAX_ENTRIES))
                }
            }
        })
    }
}

fn too_large(label: &str, what: &str) -> Fault {
    Fault::new(KS428, Class::Slow, format_args!("{label}: {what}")).of_kind(FaultKind::BadList)
}

/// The way from page to page.
pub(super) struct Walk {
    /// Where the next page is.
    pub(super) next: Option<String>,
    started: Time,
    pages: usize,
    entries: usize,
    /// Hashes of the links so far.
    seen: BTreeSet<u64>,
    hasher: RandomState,
}

impl Walk {
    pub(super) fn new(first: String) -> Self {
        let (hasher, mut seen) = (RandomState::new(), BTreeSet::new());
        seen.insert(hasher.hash_one(&first));
        Self { next: Some(first), started: since_boot(), pages: 0, entries: 0, seen, hasher }
    }

    /// On to the next page, if there is one. A link to it leads into the same vault, and not to
    /// where we were.
    pub(super) fn turn(
        &mut self,
        end: page::End,
        vault: &VaultUrl,
        label: &str,
    ) -> Result<(), Fault> {
        self.pages += 1;
        self.entries += end.entries;
        if self.entries > MAX_ENTRIES {
            return Err(too_large(label, &format!("more than {MAX_ENTRIES} entries")));
        }
        let Some(link) = end.next else { return Ok(()) };
        if self.pages >= MAX_PAGES {
            return Err(too_large(label, &format!("more than {MAX_PAGES} pages")));
        }
        // The token goes with it.
        if !is_within(vault, &link) {
            return Err(too_large(label, "the next page is not in the vault"));
        }
        if link.len() > MAX_LINK_BYTES {
            return Err(too_large(label, &format!("a link of more than {MAX_LINK_BYTES} bytes")));
        }
        if !self.seen.insert(self.hasher.hash_one(&link)) {
            return Err(too_large(label, "the next page is one that was read before"));
        }
        if since_boot().saturating_sub(self.started) > MAX_TIME {
            let message = format_args!("{label}: not at its end within {} s", MAX_TIME.as_secs());
            return Err(Fault::new(KS412, Class::Transient, message));
        }
        self.next = Some(link);
        Ok(())
    }
}

/// Another right than that to get.
fn not_listed(mut fault: Fault) -> Fault {
    if fault.kind == FaultKind::Forbidden {
        fault.reason = KS416;
    }
    fault
}

/// Whether a link leads to the vault's host and port; the service writes the default port as well.
fn is_within(vault: &VaultUrl, link: &str) -> bool {
    authority(link).is_some_and(|link| Some(link) == authority(vault.as_str()))
}

/// Host and port of an https URL, the port only if it is not the default one.
fn authority(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_at_checked(8)?;
    if !scheme.eq_ignore_ascii_case("https://") {
        return None;
    }
    let authority = rest.split(['/', '?', '#', '\\']).next()?.to_ascii_lowercase();
    Some(authority.strip_suffix(":443").map(str::to_owned).unwrap_or(authority))
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

    fn end(entries: usize, next: &str) -> page::End {
        page::End { entries, next: Some(next.to_owned()) }
    }

    fn link(page: usize) -> String {
        format!("https://kv.vault.azure.net/secrets?page={page}")
    }

    /// At which page a walk fails, and how.
    fn walk(end: &dyn Fn(usize) -> page::End) -> Option<(usize, Fault)> {
        let vault = "https://kv.vault.azure.net/".parse().unwrap();
        let mut walk = Walk::new(link(0));
        (1..2 * MAX_PAGES)
            .find_map(|page| walk.turn(end(page), &vault, "list").err().map(|fault| (page, fault)))
    }

    #[test]
    fn a_list_has_an_end() {
        let cases: &[(&dyn Fn(usize) -> page::End, usize, &str)] = &[
            (&|page| end(0, &link(page)), MAX_PAGES, "more than 1000 pages"),
            (&|page| end(26, &link(page)), 962, "more than 25000 entries"),
            (&|page| end(1, &link(page % 7)), 7, "was read before"),
            (&|_| end(1, &link(0)), 1, "was read before"),
            (
                &|page| end(1, &format!("{}{}", link(page), "x".repeat(MAX_LINK_BYTES))),
                1,
                "a link of more than 8192",
            ),
            (&|_| end(1, "https://evil.example/"), 1, "not in the vault"),
        ];
        for (next, pages, expected) in cases {
            let (page, fault) = walk(next).unwrap();
            assert!(
                page == *pages && fault.reason == KS428 && fault.message.contains(expected),
                "{page} {fault}"
            );
        }
        assert!(
            walk(&|page| page::End { entries: 1, next: (page < 900).then(|| link(page)) })
                .is_none()
        );
    }

    proptest! {
        #[test]
        fn no_link_makes_it_fail(link in "\\PC{0,40}") {
            is_within(&"https://kv.vault.azure.net/".parse().unwrap(), &link);
        }
    }
}
