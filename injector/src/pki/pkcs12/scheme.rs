//! The encryptions of PKCS#12: its own of 1996 (3DES, RC2) and PBES2 (AES, 3DES).

use super::Pkcs12Error;
use super::cipher::Cipher;
use super::derive::{self, Digest, Use, spend};
use super::password::Password;
use crate::pki::budget::Budget;
use crate::pki::der_reader::{OBJECT_ID, OCTET_STRING, Reader, SEQUENCE};
use zeroize::Zeroizing;

/// 1.2.840.113549.1.12.1, and one byte.
const PBE: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x0C, 0x01];
const PBES2: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x05, 0x0D];
const PBKDF2: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x05, 0x0C];
const DES_EDE3_CBC: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x03, 0x07];
/// 2.16.840.1.101.3.4.1, and one byte.
const AES: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01];

/// What an `AlgorithmIdentifier` and the password come to.
struct Scheme {
    cipher: Cipher,
    key: Zeroizing<Vec<u8>>,
    vector: Zeroizing<Vec<u8>>,
}

/// The plain text, without padding. The reader stands within the `AlgorithmIdentifier`.
pub(super) fn decrypt(
    algorithm: Reader<'_>,
    data: &[u8],
    password: Password<'_>,
    budget: &mut Budget,
) -> Result<Zeroizing<Vec<u8>>, Pkcs12Error> {
    let Scheme { cipher, key, vector } = scheme(algorithm, password, budget)?;
    let mut plain = Zeroizing::new(data.to_vec());
    cipher.decrypt(&key, &vector, &mut plain).ok_or(Pkcs12Error::Structure)?;
    let padding = plain.last().copied().unwrap_or_default();
    let length =
        plain.len().checked_sub(usize::from(padding)).filter(|_| (1..=16).contains(&padding));
    let length = length.filter(|&length| plain[length..].iter().all(|&byte| byte == padding));
    plain.truncate(length.ok_or(Pkcs12Error::Password)?);
    Ok(plain)
}

fn scheme(
    mut algorithm: Reader<'_>,
    password: Password<'_>,
    budget: &mut Budget,
) -> Result<Scheme, Pkcs12Error> {
    let id = algorithm.take(OBJECT_ID).ok_or(Pkcs12Error::Structure)?;
    let parameters = algorithm.inside(SEQUENCE).ok_or(Pkcs12Error::Structure);
    if id == PBES2 {
        return pbes2(parameters?, password, budget);
    }
    let (cipher, length) = match id.strip_prefix(PBE) {
        Some([3]) => (Cipher::TripleDes, 24),
        Some([4]) => (Cipher::TripleDes, 16),
        Some([5]) => (Cipher::Rc2(128), 16),
        Some([6]) => (Cipher::Rc2(40), 5),
        _ => return Err(Pkcs12Error::algorithm(id)),
    };
    let mut parameters = parameters?;
    let (salt, iterations) =
        parameters.take(OCTET_STRING).zip(parameters.small()).ok_or(Pkcs12Error::Structure)?;
    let mut derived = |wanted, length: usize| {
        spend(budget, iterations, Digest::Sha1, length)?;
        Ok(derive::pkcs12(Digest::Sha1, wanted, password.utf16, salt, iterations, length))
    };
    Ok(Scheme { cipher, key: derived(Use::Key, length)?, vector: derived(Use::Vector, 8)? })
}

fn pbes2(
    mut parameters: Reader<'_>,
    password: Password<'_>,
    budget: &mut Budget,
) -> Result<Scheme, Pkcs12Error> {
    let ((derivation, mut parameters), mut encryption) =
        derivation_and_encryption(&mut parameters).ok_or(Pkcs12Error::Structure)?;
    let id = encryption.take(OBJECT_ID).ok_or(Pkcs12Error::Structure)?;
    if derivation != PBKDF2 {
        return Err(Pkcs12Error::algorithm(derivation));
    }
    let (cipher, length) = match (id, id.strip_prefix(AES)) {
        (_, Some([2])) => (Cipher::Aes128, 16),
        (_, Some([22])) => (Cipher::Aes192, 24),
        (_, Some([42])) => (Cipher::Aes256, 32),
        (DES_EDE3_CBC, _) => (Cipher::TripleDes, 24),
        _ => return Err(Pkcs12Error::algorithm(id)),
    };
    let vector = encryption.take(OCTET_STRING).ok_or(Pkcs12Error::Structure)?;
    let (salt, iterations) =
        parameters.take(OCTET_STRING).zip(parameters.small()).ok_or(Pkcs12Error::Structure)?;
    // The length of the key may stand here; it can only be the cipher's.
    parameters.optional(crate::pki::der_reader::INTEGER);
    let digest = match parameters.inside(SEQUENCE).and_then(|mut function| function.take(OBJECT_ID))
    {
        None => Digest::Sha1,
        Some(id) => Digest::of_hmac(id).ok_or_else(|| Pkcs12Error::algorithm(id))?,
    };
    spend(budget, iterations, digest, length)?;
    let key = derive::pbkdf2(digest, password.utf8, salt, iterations, length);
    let key = key.ok_or(Pkcs12Error::Structure)?;
    Ok(Scheme { cipher, key, vector: Zeroizing::new(vector.to_vec()) })
}

/// Of the parameters of PBES2: the key derivation with its own parameters, and the encryption.
fn derivation_and_encryption<'a>(
    parameters: &mut Reader<'a>,
) -> Option<((&'a [u8], Reader<'a>), Reader<'a>)> {
    let (mut derivation, encryption) = (parameters.inside(SEQUENCE)?, parameters.inside(SEQUENCE)?);
    Some(((derivation.take(OBJECT_ID)?, derivation.inside(SEQUENCE)?), encryption))
}
