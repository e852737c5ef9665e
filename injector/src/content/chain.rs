//! The order of certificates: leaf, intermediates, root.

use super::ContentError;
use super::x509::Certificate;
use std::collections::BTreeSet;

/// The Azure provider's order, by authority and subject key identifiers alone; `None` when some certificate is not reached.
pub(super) fn ordered<'a>(certificates: &[Certificate<'a>]) -> Result<Option<Vec<Certificate<'a>>>, ContentError> {
    let parent = |of: usize| {
        let issues = |&other: &usize| other != of && certificates[of].names_as_issuer(&certificates[other]);
        (0..certificates.len()).find(issues)
    };
    let parents: Vec<Option<usize>> = (0..certificates.len()).map(parent).collect();
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
pub(super) struct Chain<'a> {
    pub(super) leaf: Certificate<'a>,
    pub(super) above: Vec<Certificate<'a>>,
    /// How many others there are: whoever trusts what is above the leaf must not trust those.
    pub(super) strays: usize,
}

impl<'a> Chain<'a> {
    /// The leaf is the certificate of one of the public keys; without such a key it is one that issued no other.
    pub(super) fn of(certificates: &[Certificate<'a>], public_keys: &[Vec<u8>]) -> Option<Self> {
        let has_key = |certificate: &Certificate<'_>| public_keys.iter().any(|key| key == certificate.public_key);
        let issued_none = |certificate: &Certificate<'_>| {
            let mut others = certificates.iter().filter(|other| other.der != certificate.der);
            !others.any(|other| other.may_be_issued_by(certificate))
        };
        let position = certificates.iter().position(has_key);
        let leaf = certificates[position.or_else(|| certificates.iter().position(issued_none))?];
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
        Some(Self { leaf, above: chain.split_off(1), strays: rest.len() })
    }
}

#[cfg(test)]
#[path = "chain_tests.rs"]
mod tests;
