//! The order of certificates: leaf, intermediates, root.

use super::ContentError;
use super::x509::Certificate;
use std::collections::BTreeSet;

/// The Azure provider's order, by authority and subject key identifiers alone; `None` when some
/// certificate is not reached.
pub(super) fn ordered<'a>(
    certificates: &[Certificate<'a>],
) -> Result<Option<Vec<Certificate<'a>>>, ContentError> {
    let parents = certificates.iter().enumerate().map(|(index, certificate)| {
        let mut others = certificates.iter().enumerate();
        let issuer =
            others.find(|(other, issuer)| *other != index && certificate.names_as_issuer(issuer));
        issuer.map(|(other, _)| other)
    });
    let parents: Vec<Option<usize>> = parents.collect();
    let leaf = (0..certificates.len()).find(|index| !parents.contains(&Some(*index)));
    let mut next = Some(leaf.ok_or(ContentError::NoLeaf)?);
    let mut chain = Vec::new();
    while let Some(index) = next {
        if chain.len() == certificates.len() {
            return Err(ContentError::Cycle);
        }
        chain.push(certificates[index]);
        next = parents[index];
    }
    Ok((chain.len() == certificates.len()).then_some(chain))
}

/// The leaf, and the certificates above it as far as they are there, nearest first.
#[derive(Debug)]
pub(super) struct Chain<'a> {
    pub(super) leaf: Certificate<'a>,
    pub(super) above: Vec<Certificate<'a>>,
    /// How many others there are: whoever trusts what is above the leaf must not trust those.
    pub(super) strays: usize,
    /// Of how many keys a certificate is there; the leaf is that of the first.
    pub(super) pairs: usize,
}

/// Why no certificate is known to be the leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LeafError {
    /// There is none at all.
    NoCertificate,
    /// There are private keys, and no certificate is of one of them.
    OfNoKey,
    /// There is no private key, and several certificates have issued none of the others, or (0) all
    /// of them have.
    Several(usize),
}

/// The certificate of one of the public keys, and of how many of them there is one.
fn of_key<'a>(
    certificates: &[Certificate<'a>],
    public_keys: &[Vec<u8>],
) -> Result<(Certificate<'a>, usize), LeafError> {
    let paired = certificates
        .iter()
        .filter(|certificate| public_keys.iter().any(|key| key == certificate.public_key));
    let mut paired: Vec<_> = paired.collect();
    let leaf = **paired.first().ok_or(LeafError::OfNoKey)?;
    paired.sort_unstable_by_key(|certificate| certificate.public_key);
    paired.dedup_by_key(|certificate| certificate.public_key);
    Ok((leaf, paired.len()))
}

/// Where no key tells: the one that issued no other. Roots that stand beside it have issued none
/// either.
pub(super) fn by_structure<'a>(
    certificates: &[Certificate<'a>],
) -> Result<Certificate<'a>, LeafError> {
    let issued_none = certificates.iter().filter(|certificate| {
        let mut others = certificates.iter().filter(|other| other.der != certificate.der);
        !others.any(|other| other.may_be_issued_by(certificate))
    });
    let mut seen = BTreeSet::new();
    let leaves: Vec<_> = issued_none.filter(|leaf| seen.insert(leaf.der)).collect();
    let issued: Vec<_> = leaves.iter().copied().filter(|leaf| !leaf.is_self_issued()).collect();
    match (leaves.as_slice(), issued.as_slice()) {
        ([one], _) | (_, [one]) => Ok(**one),
        (several, []) | (_, several) => Err(LeafError::Several(several.len())),
    }
}

impl<'a> Chain<'a> {
    /// The leaf is the certificate of one of the public keys; where there is no key at all it is
    /// the one that issued no other.
    pub(super) fn of(
        certificates: &[Certificate<'a>],
        public_keys: &[Vec<u8>],
    ) -> Result<Self, LeafError> {
        if certificates.is_empty() {
            return Err(LeafError::NoCertificate);
        }
        let (leaf, pairs) = match public_keys {
            [] => (by_structure(certificates)?, 0),
            keys => of_key(certificates, keys)?,
        };
        Ok(Self { pairs, ..Self::above(leaf, certificates) })
    }

    /// What is above a leaf.
    pub(super) fn above(leaf: Certificate<'a>, certificates: &[Certificate<'a>]) -> Self {
        let (mut known, mut rest) = (BTreeSet::from([leaf.der]), certificates.to_vec());
        rest.retain(|other| known.insert(other.der));
        let (mut chain, mut last) = (vec![leaf], leaf);
        while let Some(position) = rest.iter().position(|other| last.may_be_issued_by(other)) {
            last = rest.remove(position);
            chain.push(last);
        }
        // Behind one path to a root the rest of the others: an issuer may be certified twice.
        let mut at = 0;
        while let Some(&one) = chain.get(at) {
            chain.extend(rest.extract_if(.., |other| one.may_be_issued_by(other)));
            at += 1;
        }
        Self { leaf, above: chain.split_off(1), strays: rest.len(), pairs: 0 }
    }
}

#[cfg(test)]
#[path = "chain_tests.rs"]
mod tests;
