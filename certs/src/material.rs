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
        let mut data = Data::default();
        if let Some(Active { authority, pair }) = &self.active {
            data.put("ca.crt", authority.pem().to_owned());
            data.put("ca.key", authority.key_pem());
            data.put("tls.crt", pair.chain_pem());
            data.put("tls.key", pair.key_pem());
        }
        if let Some(authority) = &self.next {
            data.put("next-ca.crt", authority.pem().to_owned());
            data.put("next-ca.key", authority.key_pem());
        }
        if !self.retired.is_empty() {
            let certificates = self.retired.iter().map(|retired| retired.certificate.pem());
            data.put("old-ca.crt", certificates.collect());
            let until =
                self.retired.iter().filter_map(|retired| retired.until.format(&Rfc3339).ok());
            data.put("old-ca.until", until.map(|line| line + "\n").collect());
        }
        data
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
        match (self.value(certificate), self.value(key)) {
            (None, None) => Ok(None),
            (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
            (None, Some(_)) => Err(MaterialError::Missing { key: certificate }),
            (Some(_), None) => Err(MaterialError::Missing { key }),
        }
    }

    /// A Secret emptied by a tool that keeps its keys is as empty as one without.
    fn value(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name).map(Vec::as_slice).filter(|value| !value.is_empty())
    }

    /// Sets a value.
    pub(crate) fn put(&mut self, key: &str, value: String) {
        self.0.insert(key.to_owned(), value.into_bytes());
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
mod tests;
