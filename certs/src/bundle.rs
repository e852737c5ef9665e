//! `caBundle` and path as published, and since when each CA was seen.

use crate::authority::readable;
use crate::certificate::Certificate;
use crate::path::{ServicePath, plain};
use crate::store::ResourceVersion;
use std::time::Duration;

/// `caBundle` and path of every entry of a webhook configuration, as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    entries: Vec<Vec<Certificate>>,
    paths: Vec<EntryPath>,
    /// Of the configuration; a patch is refused when it is no longer this.
    pub version: ResourceVersion,
}

impl Published {
    /// From the PEM of each entry; an entry without one, or with none that can be read, is empty.
    pub fn read<'a>(entries: impl IntoIterator<Item = &'a [u8]>, version: ResourceVersion) -> Self {
        Self { entries: entries.into_iter().map(readable).collect(), paths: Vec::new(), version }
    }

    /// With the path that each entry names.
    #[must_use]
    pub fn naming(self, paths: impl IntoIterator<Item = EntryPath>) -> Self {
        Self { paths: paths.into_iter().collect(), ..self }
    }

    /// Whether any entry has a CA: without one no API server can call.
    pub fn has_certificates(&self) -> bool {
        self.entries.iter().any(|entry| !entry.is_empty())
    }

    /// What the entries name.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.paths.iter().map(|entry| entry.path.as_str())
    }

    /// Whether there are entries and each names this path.
    pub fn all_name(&self, path: &str) -> bool {
        !self.paths.is_empty() && self.paths().all(|named| named == path)
    }

    /// The path that every entry names, if it is one of ours.
    pub(crate) fn common_path(&self) -> Option<ServicePath> {
        let first = self.paths().next().filter(|first| self.all_name(first))?;
        first.parse().ok()
    }

    /// Whether there is an entry that names another path and may be changed.
    pub(crate) fn would_replace(&self, path: &str) -> bool {
        self.paths.iter().any(|entry| entry.is_replaceable && entry.path != path)
    }

    /// Whether there is an entry at all.
    pub fn has_entries(&self) -> bool {
        !self.entries.is_empty()
    }

    /// Whether every entry has it: only then every request is verified with it.
    pub fn trusts(&self, certificate: &Certificate) -> bool {
        !self.entries.is_empty() && self.entries.iter().all(|entry| entry.contains(certificate))
    }

    /// Whether any entry has it.
    pub fn mentions(&self, certificate: &Certificate) -> bool {
        self.entries.iter().any(|entry| entry.contains(certificate))
    }

    /// Whether every entry has exactly these, in any order.
    pub fn is(&self, wanted: &[Certificate]) -> bool {
        self.entries.iter().all(|entry| {
            entry.len() == wanted.len() && wanted.iter().all(|one| entry.contains(one))
        })
    }

    /// Every certificate of any entry, once.
    pub fn certificates(&self) -> Vec<Certificate> {
        let mut all = Vec::new();
        for certificate in self.entries.iter().flatten() {
            if !all.contains(certificate) {
                all.push(certificate.clone());
            }
        }
        all
    }
}

/// The path that one entry names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryPath {
    path: String,
    is_replaceable: bool,
}

impl EntryPath {
    /// A path, as the API server calls it where there is none, and whether the webhook may write
    /// another one.
    pub fn new(path: &str, is_replaceable: bool) -> Self {
        Self { path: plain(path), is_replaceable }
    }

    /// Whether the webhook may write another one.
    pub fn is_replaceable(&self) -> bool {
        self.is_replaceable
    }
}

/// Since when this process has seen each CA published. Kept in memory, on the monotonic clock: a
/// time that another replica wrote down would be as wrong as that replica's clock.
#[derive(Debug, Clone, Default)]
pub struct Sightings(Vec<(Certificate, Duration)>);

impl Sightings {
    /// Notes what is published at `uptime`; what is not, is forgotten.
    pub fn note(&mut self, published: &Published, uptime: Duration) {
        self.0.retain(|(certificate, _)| published.trusts(certificate));
        for certificate in published.certificates() {
            if published.trusts(&certificate) && self.since(&certificate).is_none() {
                self.0.push((certificate, uptime));
            }
        }
    }

    /// Uptime at which this CA was first seen, if it has been published since.
    pub fn since(&self, certificate: &Certificate) -> Option<Duration> {
        self.0.iter().find(|(seen, _)| seen == certificate).map(|(_, since)| *since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CertificateAuthority;

    fn authorities() -> [CertificateAuthority; 2] {
        [CertificateAuthority::generate().unwrap(), CertificateAuthority::generate().unwrap()]
    }

    fn published(entries: &[&str]) -> Published {
        Published::read(entries.iter().map(|entry| entry.as_bytes()), ResourceVersion::from("1"))
    }

    #[test]
    fn an_authority_is_trusted_only_when_every_entry_has_it() {
        let [a, b] = authorities();
        let both = format!("{}{}", a.pem(), b.pem());
        let read = published(&[&both, a.pem()]);
        assert!(
            read.trusts(a.certificate())
                && !read.trusts(b.certificate())
                && read.mentions(b.certificate())
        );
        assert!(
            !published(&[]).trusts(a.certificate()),
            "a configuration without entries trusts no authority"
        );
    }

    #[test]
    fn the_order_in_an_entry_does_not_matter_but_a_missing_entry_does() {
        let [a, b] = authorities();
        let wanted = [a.certificate().clone(), b.certificate().clone()];
        let (forward, backward) =
            (format!("{}{}", a.pem(), b.pem()), format!("{}{}", b.pem(), a.pem()));
        assert!(published(&[&forward, &backward]).is(&wanted));
        assert!(!published(&[&forward, ""]).is(&wanted));
        assert!(!published(&[&forward, a.pem()]).is(&wanted));
    }

    #[test]
    fn a_sighting_counts_from_the_last_time_the_authority_came() {
        let [a, b] = authorities();
        let mut sightings = Sightings::default();
        for (uptime, bundle) in [(1, a.pem()), (2, a.pem()), (3, b.pem()), (4, a.pem())] {
            sightings.note(&published(&[bundle]), Duration::from_secs(uptime));
            let expected = match uptime {
                1 | 2 => Some(1),
                3 => None,
                _ => Some(4),
            };
            assert_eq!(sightings.since(a.certificate()), expected.map(Duration::from_secs));
        }
    }
}
