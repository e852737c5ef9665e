//! The order of certificates: leaf, intermediates, root.

use super::ContentError;
use super::x509::Certificate;

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

/// The leaf, and the certificates above it as far as they are there, nearest first; the others follow in their order.
pub(super) struct Chain<'a> {
    pub(super) leaf: Certificate<'a>,
    pub(super) above: Vec<Certificate<'a>>,
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
        let mut rest = certificates.to_vec();
        let leaf = rest.remove(position.or_else(|| certificates.iter().position(issued_none))?);
        let (mut above, mut last) = (Vec::new(), leaf);
        while let Some(position) = rest.iter().position(|other| last.may_be_issued_by(other)) {
            last = rest.remove(position);
            above.push(last);
        }
        above.extend(rest);
        Some(Self { leaf, above })
    }
}

#[cfg(test)]
#[path = "chain_tests.rs"]
mod tests;
