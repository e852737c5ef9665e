//! Keys and certificates of a certificate-backed secret, whichever form the vault keeps them in,
//! and what is made of them.

use super::budget::{Budget, Spent};
use super::chain::{self, Chain, LeafError};
use super::der_reader::{Reader, SEQUENCE};
use super::pem::{self, CERTIFICATE, PRIVATE_KEY};
use super::pkcs12::{self, Pkcs12Error};
use super::private_key::{Pkcs8, algorithm, public_key};
use super::x509::Certificate;
use super::{Content, ContentError};
use crate::pki::pem_contents::{self, Held, PemError, Unusable};
use crate::pki::pem_lenient::Unreadable;
use keysluice_plan::Part;

/// In the order of the source.
pub(super) struct Bundle {
    keys: Vec<Pkcs8>,
    /// Of each key, where it is known.
    publics: Vec<Option<Vec<u8>>>,
    certificates: Vec<Vec<u8>>,
    /// Why a private key that is there is not among the keys.
    unusable: Option<Unreadable>,
}

pub(super) const INCOMPLETE: &str = "certificate chain is not complete due to missing \
    intermediate/root certificates in the cert from key vault; the certificates keep their order";

impl Bundle {
    /// From a PKCS#12 file.
    pub(super) fn of_pkcs12(file: &[u8], budget: &mut Budget) -> Result<Self, ContentError> {
        let contents = pkcs12::read_within(file, "", budget).map_err(|error| match error {
            Pkcs12Error::TooMany => ContentError::TooMany,
            other => ContentError::Pkcs12(other),
        })?;
        Self::new(contents.keys, contents.certificates, None, budget)
    }

    fn new(
        keys: Vec<Pkcs8>,
        certificates: Vec<Vec<u8>>,
        unusable: Option<Unreadable>,
        budget: &mut Budget,
    ) -> Result<Self, ContentError> {
        let publics = keys.iter().map(|key| public_key(key, budget)).collect::<Result<_, _>>();
        Ok(Self {
            publics: publics.map_err(|Spent| ContentError::TooMany)?,
            keys,
            certificates,
            unusable,
        })
    }

    /// From PEM text. A block that is neither a key nor a certificate, such as the parameters of a
    /// curve, is not looked at.
    pub(super) fn of_pem(text: &str, budget: &mut Budget) -> Result<Self, ContentError> {
        let Held { contents, unusable } =
            pem_contents::read(text, "", budget).map_err(|error| match error {
                PemError::Block(block) => ContentError::Block(block),
                PemError::TooMany => ContentError::TooMany,
                PemError::Decryption(error) => ContentError::Pkcs12(error),
            })?;
        let unusable = unusable.map(|(Unusable::Encrypted(block) | Unusable::Form(block))| block);
        Self::new(contents.keys, contents.certificates, unusable, budget)
    }

    fn certificates(&self) -> Result<Vec<Certificate<'_>>, ContentError> {
        let parsed = self.certificates.iter().map(|der| Certificate::parse(der));
        parsed.collect::<Option<_>>().ok_or(ContentError::Certificate)
    }

    /// What the Azure provider makes of PKCS#12: keys, then the certificates as a chain, or in
    /// their order with a warning.
    pub(super) fn pem(&self, warnings: &mut Vec<String>) -> Result<Content, ContentError> {
        let certificates = self.certificates()?;
        let ordered = if certificates.is_empty() { None } else { chain::ordered(&certificates)? };
        if ordered.is_none() && !certificates.is_empty() {
            warnings.push(INCOMPLETE.to_owned());
        }
        Ok(self.text(&self.keys, ordered.as_ref().unwrap_or(&certificates)))
    }

    fn text(&self, keys: &[Pkcs8], certificates: &[Certificate<'_>]) -> Content {
        let keys_and_certificates = keys.iter().map(|key| (PRIVATE_KEY, key.as_slice()));
        let all = keys_and_certificates
            .chain(certificates.iter().map(|certificate| (CERTIFICATE, certificate.der)));
        let bytes = self
            .keys
            .iter()
            .map(|key| key.len())
            .chain(self.certificates.iter().map(Vec::len))
            .sum();
        let mut text = pem::buffer(bytes, self.keys.len() + self.certificates.len());
        all.for_each(|(label, der)| pem::append(&mut text, label, der));
        Content::text(text)
    }

    /// One part; of the certificates only those that belong to the leaf.
    pub(super) fn part(
        &self,
        part: Part,
        warnings: &mut Vec<String>,
    ) -> Result<Content, ContentError> {
        if part == Part::Key && (self.certificates.is_empty() || self.keys.is_empty()) {
            return Ok(self.text(
                std::slice::from_ref(self.keys.first().ok_or_else(|| self.no_key(part))?),
                &[],
            ));
        }
        let certificates = self.certificates()?;
        let chain = self.chain(&certificates, part)?;
        let Chain { leaf, above, strays, pairs } = &chain;
        if *pairs > 1 {
            warnings.push(format!(
                "{pairs} certificates have a private key here; the parts are those of the first"
            ));
        }
        if part == Part::Key {
            let key = self.key_of(leaf).ok_or_else(|| self.no_key(part))?;
            return Ok(self.text(std::slice::from_ref(key), &[]));
        }
        if *strays > 0 && part != Part::Cert {
            let part = part.as_str();
            warnings.push(format!(
                "part {part}: certificates that are not above the leaf are left out: {strays}"
            ));
        }
        match part {
            Part::Cert => Ok(self.text(&[], &[*leaf])),
            Part::Chain => {
                let below_root: Vec<_> =
                    above.iter().filter(|one| !one.is_self_issued()).copied().collect();
                Ok(self.text(&[], &[&[*leaf], below_root.as_slice()].concat()))
            }
            // Who trusts a self-signed certificate trusts the certificate itself.
            Part::Ca if above.is_empty() && leaf.is_self_issued() => Ok(self.text(&[], &[*leaf])),
            Part::Ca if above.is_empty() => {
                Err(ContentError::NoPart { part, what: "certificate above the leaf" })
            }
            Part::Ca => Ok(self.text(&[], above)),
            Part::Pfx | Part::Key => {
                if self.keys.is_empty() && self.unusable.is_some() {
                    return Err(self.no_key(part));
                }
                let ders: Vec<&[u8]> =
                    [leaf].into_iter().chain(above).map(|certificate| certificate.der).collect();
                let key = self.key_of(leaf).map(|key| key.as_slice());
                let what = "key that can be encrypted";
                let file = pkcs12::write(key, &ders).ok_or(ContentError::NoPart { part, what })?;
                Ok(Content::from(file))
            }
        }
    }

    /// The private key of a certificate; one of its algorithm where none is known to be its own.
    fn key_of(&self, leaf: &Certificate<'_>) -> Option<&Pkcs8> {
        let own = self.publics.iter().position(|public| public.as_deref() == Some(leaf.public_key));
        match own {
            Some(own) => self.keys.get(own),
            None => self.keys.iter().find(|key| is_of_algorithm(key, leaf)),
        }
    }

    /// Whether the file may stand as it is: where it has keys and certificates, one is of the
    /// other.
    pub(super) fn check_pair(&self) -> Result<(), ContentError> {
        if self.keys.is_empty() || self.certificates.is_empty() {
            return Ok(());
        }
        self.chain(&self.certificates()?, Part::Pfx).map(drop)
    }

    /// The leaf is the certificate of the private key; where the key's public half is not known,
    /// one of its algorithm and curve.
    fn chain<'a>(
        &self,
        certificates: &[Certificate<'a>],
        part: Part,
    ) -> Result<Chain<'a>, ContentError> {
        let known: Vec<Vec<u8>> = self.publics.iter().flatten().cloned().collect();
        let found = if known.is_empty() && !self.keys.is_empty() {
            chain::by_structure(certificates).and_then(|leaf| {
                let fits = self.keys.iter().any(|key| is_of_algorithm(key, &leaf));
                fits.then(|| Chain::above(leaf, certificates)).ok_or(LeafError::OfNoKey)
            })
        } else {
            Chain::of(certificates, &known)
        };
        found.map_err(|error| match error {
            LeafError::NoCertificate => ContentError::NoPart { part, what: "certificate" },
            LeafError::OfNoKey => ContentError::NoPair,
            LeafError::Several(0) => ContentError::NoLeaf,
            LeafError::Several(count) => ContentError::SeveralLeaves(count),
        })
    }

    fn no_key(&self, part: Part) -> ContentError {
        let unusable = self.unusable.clone().map(ContentError::Block);
        unusable.unwrap_or(ContentError::NoPart { part, what: "private key" })
    }
}

/// Whether a key and a certificate are of one algorithm and curve.
fn is_of_algorithm(key: &Pkcs8, certificate: &Certificate<'_>) -> bool {
    let mut info = Reader::new(certificate.public_key);
    let of_certificate =
        info.inside(SEQUENCE).and_then(|mut info| info.next()).map(|algorithm| algorithm.whole);
    of_certificate.is_some() && of_certificate == algorithm(key)
}
