//! What the Secret holds: CAs and leaf, read with suspicion.

use crate::authority::{CertificateAuthority, readable};
use crate::certificate::Certificate;
use crate::pair::{Pair, PairError};
use crate::policy::later;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// More can only come from something that empties the Secret again and again.
pub(crate) const MAX_RETIRED: usize = 16;

/// `data` of the Secret. `Debug` shows names and lengths: three of the values are private keys.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Data(pub BTreeMap<String, Vec<u8>>);

/// The CAs and the leaf that all replicas share.
#[derive(Debug, Clone)]
pub struct Material {
    /// What is served and who signed it. `None` while a CA made after a loss waits to be known by
    /// every API server.
    pub(crate) active: Option<Active>,
    /// The CA that signs next, once it has been published long enough.
    pub(crate) next: Option<Arc<CertificateAuthority>>,
    /// CAs that sign no more, the latest first.
    pub(crate) retired: Vec<Retired>,
}

#[derive(Debug, Clone)]
pub(crate) struct Active {
    pub(crate) authority: Arc<CertificateAuthority>,
    pub(crate) pair: Arc<Pair>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Retired {
    pub(crate) certificate: Certificate,
    /// When the last leaf it signed is no longer valid anywhere.
    pub(crate) until: OffsetDateTime,
}

/// Why the content of the Secret cannot be used. Each is healed by a new CA.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MaterialError {
    /// There is no Secret, or nothing of ours in it.
    #[error("there are no certificates yet")]
    Empty,
    /// A key of `data` that belongs to one that is there.
    #[error("{key} is missing")]
    Missing {
        /// The key of `data`.
        key: &'static str,
    },
    /// A certificate and its key.
    #[error("{key} cannot be used: {source}")]
    Pair {
        /// The certificate's key of `data`.
        key: &'static str,
        /// What is wrong.
        source: PairError,
    },
    /// A certificate that may not sign, where a CA should be.
    #[error("{key} is not a CA certificate")]
    NoAuthority {
        /// The key of `data`.
        key: &'static str,
    },
    /// The leaf is of another authority.
    #[error("tls.crt is not signed by ca.crt")]
    NotSigned,
    /// The list of retired CAs.
    #[error("old-ca.crt and old-ca.until do not name as many CAs, or cannot be read")]
    Retired,
    /// The only CA has expired.
    #[error("ca.crt expired at {not_after}")]
    Expired {
        /// When.
        not_after: OffsetDateTime,
    },
    /// A clock was wrong when it was made, or is now.
    #[error("ca.crt is valid only from {not_before}; hint: compare the clocks of the nodes")]
    NotYetValid {
        /// When.
        not_before: OffsetDateTime,
    },
}

impl Material {
    /// Reads the Secret: every key must belong to its certificate, the leaf be signed by its CA.
    pub fn parse(data: &Data) -> Result<Self, MaterialError> {
        let next = data.authority("next-ca.crt", "next-ca.key")?.map(Arc::new);
        let leaf = data.both("tls.crt", "tls.key")?;
        let active = match (data.authority("ca.crt", "ca.key")?, leaf) {
            (None, None) => None,
            (Some(_), None) => return Err(MaterialError::Missing { key: "tls.crt" }),
            (None, Some(_)) => return Err(MaterialError::Missing { key: "ca.crt" }),
            (Some(authority), Some((chain, key))) => {
                let pair = Pair::from_pem(chain, key);
                let pair = pair.map_err(|source| MaterialError::Pair { key: "tls.crt", source })?;
                if !pair.certificate().is_signed_by(authority.certificate()) {
                    return Err(MaterialError::NotSigned);
                }
                Some(Active { authority: Arc::new(authority), pair: Arc::new(pair) })
            }
        };
        if active.is_none() && next.is_none() {
            return Err(MaterialError::Empty);
        }
        Ok(Self { active, next, retired: data.retired()? })
    }

    /// As the Secret's data.
    pub fn data(&self) -> Data {
        let mut data = BTreeMap::new();
        let mut put = |key: &str, value: String| data.insert(key.to_owned(), value.into_bytes());
        if let Some(Active { authority, pair }) = &self.active {
            put("ca.crt", authority.pem().to_owned());
            put("ca.key", authority.key_pem());
            put("tls.crt", pair.chain_pem());
            put("tls.key", pair.key_pem());
        }
        if let Some(authority) = &self.next {
            put("next-ca.crt", authority.pem().to_owned());
            put("next-ca.key", authority.key_pem());
        }
        if !self.retired.is_empty() {
            put(
                "old-ca.crt",
                self.retired.iter().map(|retired| retired.certificate.pem()).collect(),
            );
            let until =
                self.retired.iter().filter_map(|retired| retired.until.format(&Rfc3339).ok());
            put("old-ca.until", until.map(|line| line + "\n").collect());
        }
        Data(data)
    }

    /// The CAs API servers should trust now.
    pub fn trusted(&self, now: OffsetDateTime) -> Vec<Certificate> {
        let live = self
            .retired
            .iter()
            .filter(|retired| retired.until > now)
            .map(|retired| &retired.certificate);
        let signing = [self.active.as_ref().map(|active| &active.authority), self.next.as_ref()];
        signing
            .into_iter()
            .flatten()
            .map(|authority| authority.certificate())
            .chain(live)
            .cloned()
            .collect()
    }

    /// Refuses material whose time is not now, unless a successor is there to take over.
    pub(crate) fn timely(
        &self,
        now: OffsetDateTime,
        tolerance: Duration,
    ) -> Result<(), MaterialError> {
        let first = self.active.as_ref().map(|active| &active.authority).or(self.next.as_ref());
        let Some(certificate) = first.map(|authority| authority.certificate()) else {
            return Err(MaterialError::Empty);
        };
        let (not_before, not_after) = (certificate.not_before(), certificate.not_after());
        if not_before > later(now, tolerance) {
            return Err(MaterialError::NotYetValid { not_before });
        }
        let successor = self
            .next
            .as_ref()
            .is_some_and(|next| later(next.certificate().not_after(), tolerance) > now);
        if later(not_after, tolerance) <= now && !successor {
            Err(MaterialError::Expired { not_after })
        } else {
            Ok(())
        }
    }

    pub(crate) fn knows(&self, certificate: &Certificate) -> bool {
        let signing = [self.active.as_ref().map(|active| &active.authority), self.next.as_ref()];
        signing.into_iter().flatten().any(|authority| authority.certificate() == certificate)
            || self.retired.iter().any(|retired| retired.certificate == *certificate)
    }

    /// Whether the certificate bears the name of our CAs.
    pub(crate) fn has_name_of(&self, certificate: &Certificate) -> bool {
        let signing = self.active.as_ref().map(|active| &active.authority).or(self.next.as_ref());
        signing.is_some_and(|authority| authority.certificate().subject() == certificate.subject())
    }

    /// Puts a CA first among the retired.
    pub(crate) fn retire(&mut self, certificate: Certificate, until: OffsetDateTime) {
        self.retired.retain(|retired| retired.certificate != certificate);
        self.retired.insert(0, Retired { certificate, until });
        self.retired.truncate(MAX_RETIRED);
    }
}

/// A certificate and what belongs to it.
type TwoValues<'a> = (&'a [u8], &'a [u8]);

impl Data {
    fn both(
        &self,
        certificate: &'static str,
        key: &'static str,
    ) -> Result<Option<TwoValues<'_>>, MaterialError> {
        // A Secret emptied by a tool that keeps its keys is as empty as one without.
        let value =
            |name: &str| self.0.get(name).map(Vec::as_slice).filter(|value| !value.is_empty());
        match (value(certificate), value(key)) {
            (None, None) => Ok(None),
            (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
            (None, Some(_)) => Err(MaterialError::Missing { key: certificate }),
            (Some(_), None) => Err(MaterialError::Missing { key }),
        }
    }

    fn authority(
        &self,
        certificate: &'static str,
        key: &'static str,
    ) -> Result<Option<CertificateAuthority>, MaterialError> {
        let Some((certificate_pem, key_pem)) = self.both(certificate, key)? else {
            return Ok(None);
        };
        let read = CertificateAuthority::from_pem(certificate_pem, key_pem);
        let authority = read.map_err(|source| MaterialError::Pair { key: certificate, source })?;
        authority.map(Some).ok_or(MaterialError::NoAuthority { key: certificate })
    }

    fn retired(&self) -> Result<Vec<Retired>, MaterialError> {
        let Some((certificates, until)) = self.both("old-ca.crt", "old-ca.until")? else {
            return Ok(Vec::new());
        };
        let until = str::from_utf8(until).map_err(|_| MaterialError::Retired)?;
        let until = until
            .lines()
            .map(|line| OffsetDateTime::parse(line, &Rfc3339))
            .collect::<Result<Vec<_>, _>>();
        let (certificates, until) =
            (readable(certificates), until.map_err(|_| MaterialError::Retired)?);
        if certificates.len() != until.len() {
            return Err(MaterialError::Retired);
        }
        Ok(certificates
            .into_iter()
            .zip(until)
            .map(|(certificate, until)| Retired { certificate, until })
            .collect())
    }
}

impl fmt::Debug for Data {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_map().entries(self.0.iter().map(|(key, value)| (key, value.len()))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::LazyLock;

    static FULL: LazyLock<Material> = LazyLock::new(|| {
        let [old, current, next] =
            [(); 3].map(|()| Arc::new(CertificateAuthority::generate().unwrap()));
        let pair = Pair::new(current.issue(&["a.svc".to_owned()]).unwrap()).unwrap();
        let active = Some(Active { authority: current, pair: Arc::new(pair) });
        let until = OffsetDateTime::from_unix_timestamp(1_900_000_000).unwrap();
        let retired = vec![Retired { certificate: old.certificate().clone(), until }];
        Material { active, next: Some(next), retired }
    });

    type Change<'a> = (&'a str, Option<&'a [u8]>);

    fn with(changes: &[Change<'_>]) -> Result<Material, MaterialError> {
        let mut data = FULL.data();
        for (key, value) in changes {
            match value {
                Some(value) => data.0.insert((*key).to_owned(), value.to_vec()),
                None => data.0.remove(*key),
            };
        }
        Material::parse(&data)
    }

    #[test]
    fn material_survives_the_secret() {
        let read = with(&[]).unwrap();
        assert_eq!(read.data(), FULL.data());
        assert_eq!(read.retired, FULL.retired);
    }

    #[test]
    fn a_secret_that_lost_or_swapped_something_says_what() {
        let other = CertificateAuthority::generate().unwrap();
        let stranger = Pair::new(other.issue(&["a.svc".to_owned()]).unwrap()).unwrap();
        let (chain, key) = (stranger.chain_pem(), stranger.key_pem());
        let other_key = other.key_pem();
        let garbage: Option<&[u8]> = Some(b"garbage");
        let mismatch = |key| MaterialError::Pair { key, source: PairError::Mismatch };
        let cases: &[(&[Change<'_>], MaterialError)] = &[
            (&[("ca.key", None)], MaterialError::Missing { key: "ca.key" }),
            (&[("ca.key", Some(b""))], MaterialError::Missing { key: "ca.key" }),
            (&[("ca.key", None), ("ca.crt", None)], MaterialError::Missing { key: "ca.crt" }),
            (&[("tls.crt", None)], MaterialError::Missing { key: "tls.crt" }),
            (&[("tls.crt", None), ("tls.key", None)], MaterialError::Missing { key: "tls.crt" }),
            (&[("next-ca.crt", None)], MaterialError::Missing { key: "next-ca.crt" }),
            (&[("ca.key", Some(other_key.as_bytes()))], mismatch("ca.crt")),
            (&[("next-ca.key", Some(other_key.as_bytes()))], mismatch("next-ca.crt")),
            (&[("tls.key", Some(key.as_bytes()))], mismatch("tls.crt")),
            (
                &[("ca.crt", garbage)],
                MaterialError::Pair { key: "ca.crt", source: PairError::Certificate },
            ),
            (
                &[("tls.key", garbage)],
                MaterialError::Pair { key: "tls.crt", source: PairError::Key },
            ),
            (
                &[("tls.crt", Some(chain.as_bytes())), ("tls.key", Some(key.as_bytes()))],
                MaterialError::NotSigned,
            ),
            (
                &[("ca.crt", Some(chain.as_bytes())), ("ca.key", Some(key.as_bytes()))],
                MaterialError::NoAuthority { key: "ca.crt" },
            ),
            (&[("old-ca.until", garbage)], MaterialError::Retired),
            (&[("old-ca.crt", garbage)], MaterialError::Retired),
        ];
        for (changes, error) in cases {
            assert_eq!(with(changes).err().as_ref(), Some(error));
        }
    }

    #[test]
    fn a_secret_without_anything_of_ours_is_empty() {
        let foreign = Data([("password".to_owned(), b"x".to_vec())].into());
        let emptied = Data(FULL.data().0.into_keys().map(|key| (key, Vec::new())).collect());
        for data in [Data::default(), foreign, emptied] {
            assert_eq!(Material::parse(&data).err(), Some(MaterialError::Empty));
        }
    }

    #[test]
    fn a_retired_authority_is_trusted_until_its_time() {
        let until = FULL.retired[0].until;
        assert_eq!(FULL.trusted(until - Duration::from_secs(1)).len(), 3);
        assert_eq!(FULL.trusted(until).len(), 2);
    }

    #[test]
    fn no_key_shows_in_debug() {
        let data = FULL.data();
        let shown = format!("{data:?} {FULL:?} {:?}", FULL.active.as_ref().unwrap().pair.leaf());
        for name in ["ca.key", "next-ca.key", "tls.key"] {
            let pem = str::from_utf8(&data.0[name]).unwrap();
            let der = pem::parse(pem).unwrap().into_contents();
            for canary in
                [pem.lines().nth(1).unwrap().to_owned(), format!("{der:?}").replace(['[', ']'], "")]
            {
                assert!(!shown.contains(&canary), "{name} shows in {shown}");
            }
        }
        assert!(!shown.contains("PRIVATE KEY"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_damage_makes_the_parser_panic_or_accept_another_key(
            at in any::<proptest::sample::Index>(), position in any::<proptest::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let mut data = FULL.data();
            let key = at.get(&data.0.keys().cloned().collect::<Vec<_>>()).clone();
            let value = data.0.get_mut(&key).unwrap();
            let index = position.index(value.len());
            value[index] = byte;
            if let Ok(read) = Material::parse(&data) {
                let active = read.active.unwrap();
                let authority = active.authority.certificate();
                prop_assert!(active.pair.certificate().is_signed_by(authority));
            }
        }
    }
}
