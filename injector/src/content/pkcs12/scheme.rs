//! The encryptions of PKCS#12: its own of 1996 (3DES, RC2) and PBES2 (AES, 3DES).

use super::derive::{self, Digest, Use, spend};
use super::{Pkcs12Error, des, rc2};
use crate::content::budget::Budget;
use crate::content::der_reader::{OBJECT_ID, OCTET_STRING, Reader, SEQUENCE};
use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, DecryptingKey, DecryptionContext, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use zeroize::Zeroizing;

/// 1.2.840.113549.1.12.1, and one byte.
const PBE: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x0C, 0x01];
const PBES2: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x05, 0x0D];
const PBKDF2: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x05, 0x0C];
const DES_EDE3_CBC: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x03, 0x07];
/// 2.16.840.1.101.3.4.1, and one byte.
const AES: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01];

/// A cipher in CBC mode.
#[derive(Clone, Copy)]
enum Cipher {
    Aes128,
    Aes192,
    Aes256,
    TripleDes,
    /// With the bits of its key that count.
    Rc2(u16),
}

impl Cipher {
    fn decrypt(self, key: &[u8], vector: &[u8], data: &mut [u8]) -> Option<()> {
        let mut aes = |algorithm| {
            let key = DecryptingKey::cbc(UnboundCipherKey::new(algorithm, key).ok()?).ok()?;
            let context = DecryptionContext::Iv128(FixedLength::try_from(vector).ok()?);
            key.decrypt(data, context).is_ok().then_some(())
        };
        match self {
            Self::Aes128 => aes(&AES_128),
            Self::Aes192 => aes(&AES_192),
            Self::Aes256 => aes(&AES_256),
            Self::TripleDes => {
                let cipher = des::Triple::new(key);
                cbc(vector, data, |block| cipher.decrypt(block))
            }
            Self::Rc2(bits) => {
                let cipher = rc2::Rc2::new(key, bits);
                cbc(vector, data, |block| cipher.decrypt(block))
            }
        }
    }
}

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
    password: &[u8],
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
    password: &[u8],
    budget: &mut Budget,
) -> Result<Scheme, Pkcs12Error> {
    let id = algorithm.take(OBJECT_ID).ok_or(Pkcs12Error::Structure)?;
    let parameters = algorithm.inside(SEQUENCE).ok_or(Pkcs12Error::Structure);
    if id == PBES2 {
        return pbes2(parameters?, budget);
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
        Ok(derive::pkcs12(Digest::Sha1, wanted, password, salt, iterations, length))
    };
    Ok(Scheme { cipher, key: derived(Use::Key, length)?, vector: derived(Use::Vector, 8)? })
}

fn pbes2(mut parameters: Reader<'_>, budget: &mut Budget) -> Result<Scheme, Pkcs12Error> {
    let mut parts = || {
        let (mut derivation, mut encryption) =
            (parameters.inside(SEQUENCE)?, parameters.inside(SEQUENCE)?);
        Some((
            derivation.take(OBJECT_ID)?,
            derivation.inside(SEQUENCE)?,
            encryption.take(OBJECT_ID)?,
            encryption,
        ))
    };
    let (derivation, mut parameters, id, mut encryption) = parts().ok_or(Pkcs12Error::Structure)?;
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
    parameters.optional(crate::content::der_reader::INTEGER);
    let digest = match parameters.inside(SEQUENCE).and_then(|mut function| function.take(OBJECT_ID))
    {
        None => Digest::Sha1,
        Some(id) => Digest::of_hmac(id).ok_or_else(|| Pkcs12Error::algorithm(id))?,
    };
    spend(budget, iterations, digest, length)?;
    let key = derive::pbkdf2(digest, salt, iterations, length).ok_or(Pkcs12Error::Structure)?;
    Ok(Scheme { cipher, key, vector: Zeroizing::new(vector.to_vec()) })
}

/// Cipher block chaining over blocks of eight bytes.
fn cbc(vector: &[u8], data: &mut [u8], mut decrypt: impl FnMut(u64) -> u64) -> Option<()> {
    let mut before = u64::from_be_bytes(vector.try_into().ok()?);
    let (blocks, rest) = data.as_chunks_mut::<8>();
    for block in blocks {
        let secret = u64::from_be_bytes(*block);
        *block = (decrypt(secret) ^ before).to_be_bytes();
        before = secret;
    }
    rest.is_empty().then_some(())
}
