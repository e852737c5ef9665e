//! Keys and certificates of a certificate-backed secret, whichever form the vault keeps them in, and what is made of them.

use super::chain::{self, Chain};
use super::pem::{self, CERTIFICATE, PRIVATE_KEY};
use super::private_key::{Pkcs8, pkcs8, public_key};
use super::x509::Certificate;
use super::{Content, ContentError, pkcs12};
use keysluice_plan::Part;

/// In the order of the source.
pub(super) struct Bundle {
    keys: Vec<Pkcs8>,
    certificates: Vec<Vec<u8>>,
}

pub(super) const INCOMPLETE: &str = "certificate chain is not complete due to missing intermediate/root certificates in the cert from key vault; the certificates keep their order";

impl Bundle {
    /// From a PKCS#12 file.
    pub(super) fn of_pkcs12(file: &[u8]) -> Result<Self, ContentError> {
        let pkcs12::Contents { keys, certificates } = pkcs12::read(file).map_err(ContentError::Pkcs12)?;
        Ok(Self { keys, certificates })
    }

    /// From PEM text; blocks of other kinds, and keys that are encrypted, are not looked at.
    pub(super) fn of_pem(text: &str) -> Self {
        let blocks = pem::blocks(text);
        let (certificates, others): (Vec<_>, Vec<_>) = blocks.into_iter().partition(pem::Block::is_certificate);
        let is_key =
            |block: &&pem::Block<'_>| matches!(block.label, PRIVATE_KEY | "RSA PRIVATE KEY" | "EC PRIVATE KEY");
        Self {
            keys: others.iter().filter(is_key).filter_map(|block| pkcs8(&block.der)).collect(),
            certificates: certificates.into_iter().map(|block| block.der.to_vec()).collect(),
        }
    }

    fn certificates(&self) -> Result<Vec<Certificate<'_>>, ContentError> {
        let parsed = self.certificates.iter().map(|der| Certificate::parse(der));
        parsed.collect::<Option<_>>().ok_or(ContentError::Certificate)
    }

    /// What the Azure provider makes of PKCS#12: keys, then the certificates as a chain, or in their order with a warning.
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
        let all = keys_and_certificates.chain(certificates.iter().map(|certificate| (CERTIFICATE, certificate.der)));
        let bytes = self.keys.iter().map(|key| key.len()).chain(self.certificates.iter().map(Vec::len)).sum();
        let mut text = pem::buffer(bytes, self.keys.len() + self.certificates.len());
        all.for_each(|(label, der)| pem::append(&mut text, label, der));
        Content::text(text)
    }

    /// One part; of the certificates only those that belong to the leaf.
    pub(super) fn part(&self, part: Part, warnings: &mut Vec<String>) -> Result<Content, ContentError> {
        let missing = |what| ContentError::NoPart { part, what };
        let certificates = self.certificates()?;
        let publics: Vec<Option<Vec<u8>>> = self.keys.iter().map(public_key).collect();
        let known: Vec<Vec<u8>> = publics.iter().flatten().cloned().collect();
        let chain = Chain::of(&certificates, &known);
        let key = || {
            let of_leaf = |public: &Option<Vec<u8>>| {
                chain.as_ref().is_some_and(|chain| public.as_deref() == Some(chain.leaf.public_key))
            };
            self.keys.get(publics.iter().position(of_leaf).unwrap_or_default())
        };
        if part == Part::Key {
            return Ok(self.text(std::slice::from_ref(key().ok_or_else(|| missing("private key"))?), &[]));
        }
        let Chain { leaf, above, strays } = chain.as_ref().ok_or_else(|| missing("certificate"))?;
        if *strays > 0 && part != Part::Cert {
            let part = part.as_str();
            warnings.push(format!("part {part}: certificates that are not above the leaf are left out: {strays}"));
        }
        match part {
            Part::Cert => Ok(self.text(&[], &[*leaf])),
            Part::Chain => {
                let below_root: Vec<_> = above.iter().filter(|one| !one.is_self_issued()).copied().collect();
                Ok(self.text(&[], &[&[*leaf], below_root.as_slice()].concat()))
            }
            // Who trusts a self-signed certificate trusts the certificate itself.
            Part::Ca if above.is_empty() && leaf.is_self_issued() => Ok(self.text(&[], &[*leaf])),
            Part::Ca if above.is_empty() => Err(missing("certificate above the leaf")),
            Part::Ca => Ok(self.text(&[], above)),
            Part::Pfx | Part::Key => {
                let ders: Vec<&[u8]> = [leaf].into_iter().chain(above).map(|certificate| certificate.der).collect();
                let file = pkcs12::write(key().map(|key| key.as_slice()), &ders);
                Ok(Content::from(file.ok_or_else(|| missing("key that can be encrypted"))?))
            }
        }
    }
}
