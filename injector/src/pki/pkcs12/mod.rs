//! PKCS#12 (RFC 7292): without a password the form of the secret behind a certificate, with one
//! what people export.
//!
//! A stranger wrote it: every length is checked, nothing recurses, and the iterations of all key
//! derivations together are bounded. "Without a password" has two spellings in the field, an empty
//! one with a terminator and no bytes at all.

mod cipher;
mod derive;
mod password;
mod scheme;
mod structure;
mod write;

pub(crate) use write::write;

use super::budget::{Budget, MAX_CERTIFICATES, MAX_KEYS, MAX_UNITS, Spent};
use super::der_reader::{OCTET_STRING, Reader, SEQUENCE, dotted};
use super::private_key::{self, Pkcs8};
use derive::{Digest, Use};
use password::{Password, given};
use scheme::decrypt;
use structure::Mac;
use zeroize::Zeroizing;

/// What a file holds: keys as PKCS#8, certificates as DER, each in the order of the file.
#[derive(Default)]
pub(crate) struct Contents {
    pub(crate) keys: Vec<Zeroizing<Vec<u8>>>,
    pub(crate) certificates: Vec<Vec<u8>>,
}

impl Contents {
    /// Adds a key as PKCS#8; `None` where it is none.
    fn add_key(&mut self, der: &[u8], budget: &mut Budget) -> Result<Option<()>, Pkcs12Error> {
        if self.keys.len() == MAX_KEYS {
            return Err(Pkcs12Error::TooMany);
        }
        let key = private_key::convert(der, budget).map_err(|Spent| Pkcs12Error::Iterations)?;
        Ok(key.map(|key| self.keys.push(key)))
    }
}

/// Why a file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Pkcs12Error {
    /// Not the structure.
    #[error("it is not a whole PKCS#12 file in DER")]
    Structure,
    /// The MAC, or the padding, says so.
    #[error("it has a password, or it is damaged")]
    Password,
    /// By its object identifier.
    #[error("it uses the algorithm {0}, which is not supported")]
    Algorithm(String),
    /// A denial of service.
    #[error("it asks for more than {} iterations of its key derivation", MAX_UNITS)]
    Iterations,
    /// More keys or certificates than an answer may have.
    #[error("it holds more than {MAX_KEYS} private keys or {MAX_CERTIFICATES} certificates")]
    TooMany,
}

impl Pkcs12Error {
    fn algorithm(oid: &[u8]) -> Self {
        Self::Algorithm(dotted(oid))
    }
}

const PKCS7_DATA: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x07, 0x01];
const PKCS7_ENCRYPTED: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x07, 0x06];
const X509_CERTIFICATE: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x09, 0x16, 0x01];
/// 1.2.840.113549.1.12.10.1, and one byte for the kind of bag.
const BAG: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x0C, 0x0A, 0x01];
const KEY_BAG: u8 = 1;
const SHROUDED_KEY_BAG: u8 = 2;
const CERTIFICATE_BAG: u8 = 3;
const NESTED_BAG: u8 = 6;

/// Reads a file without a password.
#[cfg(test)]
pub(crate) fn read(file: &[u8]) -> Result<Contents, Pkcs12Error> {
    read_within(file, "", &mut Budget::default())
}

/// Reads a file within what is left of its budget; an empty password counts as none.
pub(crate) fn read_within(
    file: &[u8],
    password: &str,
    budget: &mut Budget,
) -> Result<Contents, Pkcs12Error> {
    let (safe, mac) = structure::safe_and_mac(file).ok_or(Pkcs12Error::Structure)?;
    given(password, |spellings| match mac {
        Some(mac) => read_safe(safe, verified(safe, mac, spellings, budget)?, budget),
        None => read_unverified(safe, spellings, budget),
    })
}

/// Without a MAC the padding tells whether the password is right.
fn read_unverified(
    safe: &[u8],
    passwords: &[Password<'_>],
    budget: &mut Budget,
) -> Result<Contents, Pkcs12Error> {
    let mut outcome = Err(Pkcs12Error::Password);
    for &password in passwords {
        outcome = read_safe(safe, password, budget);
        if !matches!(outcome, Err(Pkcs12Error::Password)) {
            break;
        }
    }
    outcome
}

/// A private key that is encrypted on its own (`EncryptedPrivateKeyInfo` of PKCS#8).
pub(crate) fn read_key(
    der: &[u8],
    password: &str,
    budget: &mut Budget,
) -> Result<Pkcs8, Pkcs12Error> {
    let (algorithm, data) =
        structure::shrouded_key(Reader::new(der)).ok_or(Pkcs12Error::Structure)?;
    given(password, |spellings| {
        let plain = decrypt(algorithm, data, spellings[0], budget)?;
        let key = private_key::convert(&plain, budget).map_err(|Spent| Pkcs12Error::Iterations)?;
        key.ok_or(Pkcs12Error::Password)
    })
}

/// The password for which the MAC is right.
fn verified<'p>(
    safe: &[u8],
    mac: Reader<'_>,
    passwords: &[Password<'p>],
    budget: &mut Budget,
) -> Result<Password<'p>, Pkcs12Error> {
    let Mac { algorithm, expected, salt, iterations } =
        structure::mac(mac).ok_or(Pkcs12Error::Structure)?;
    let digest = Digest::of(algorithm).ok_or_else(|| Pkcs12Error::algorithm(algorithm))?;
    for &password in passwords {
        derive::spend(budget, iterations, digest, digest.length())?;
        let utf16 = password.utf16;
        let key = derive::pkcs12(digest, Use::Mac, utf16, salt, iterations, digest.length());
        if digest.verifies(&key, safe, expected) {
            return Ok(password);
        }
    }
    Err(Pkcs12Error::Password)
}

fn read_safe(
    safe: &[u8],
    password: Password<'_>,
    budget: &mut Budget,
) -> Result<Contents, Pkcs12Error> {
    let mut contents = Contents::default();
    let mut infos = Reader::new(safe).inside(SEQUENCE).ok_or(Pkcs12Error::Structure)?;
    while !infos.is_empty() {
        let (kind, mut content) = structure::tagged(&mut infos).ok_or(Pkcs12Error::Structure)?;
        match kind {
            PKCS7_DATA => {
                let bags = content.take(OCTET_STRING).ok_or(Pkcs12Error::Structure)?;
                read_bags(bags, password, &mut contents, budget)?;
            }
            PKCS7_ENCRYPTED => {
                let (algorithm, data) =
                    structure::encrypted(content).ok_or(Pkcs12Error::Structure)?;
                let bags = decrypt(algorithm, data, password, budget)?;
                read_bags(&bags, password, &mut contents, budget)?;
            }
            // Enveloped for somebody's public key.
            other => return Err(Pkcs12Error::algorithm(other)),
        }
    }
    Ok(contents)
}

fn read_bags(
    bags: &[u8],
    password: Password<'_>,
    contents: &mut Contents,
    budget: &mut Budget,
) -> Result<(), Pkcs12Error> {
    // A wrong password whose padding happens to be right ends here.
    let mut bags = Reader::new(bags).inside(SEQUENCE).ok_or(Pkcs12Error::Password)?;
    while !bags.is_empty() {
        let (id, mut value) = structure::tagged(&mut bags).ok_or(Pkcs12Error::Structure)?;
        match id.strip_prefix(BAG) {
            Some([KEY_BAG]) => {
                let key = value.next().ok_or(Pkcs12Error::Structure)?;
                contents.add_key(key.whole, budget)?.ok_or(Pkcs12Error::Structure)?;
            }
            Some([SHROUDED_KEY_BAG]) => {
                let (algorithm, data) =
                    structure::shrouded_key(value).ok_or(Pkcs12Error::Structure)?;
                let key = decrypt(algorithm, data, password, budget)?;
                contents.add_key(&key, budget)?.ok_or(Pkcs12Error::Password)?;
            }
            Some([CERTIFICATE_BAG]) => {
                let certificate = structure::certificate(value).ok_or(Pkcs12Error::Structure)?;
                if contents.certificates.len() == MAX_CERTIFICATES {
                    return Err(Pkcs12Error::TooMany);
                }
                contents.certificates.push(certificate.to_vec());
            }
            Some([NESTED_BAG]) => return Err(Pkcs12Error::algorithm(id)),
            // Revocation lists and secrets of other systems are nothing a file of ours would hold.
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
