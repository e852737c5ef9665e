//! Keys from passwords: RFC 7292 appendix B, and what a file may make us compute.

use super::Pkcs12Error;
use crate::pki::budget::{Budget, Spent};
use aws_lc_rs::{digest, hmac, pbkdf2};
use zeroize::{Zeroize, Zeroizing};

/// Counts the iterations for `length` bytes; each digest that they take needs all of them.
pub(super) fn spend(
    budget: &mut Budget,
    iterations: u32,
    digest: Digest,
    length: usize,
) -> Result<(), Pkcs12Error> {
    let blocks = u32::try_from(length.div_ceil(digest.length())).unwrap_or(u32::MAX);
    budget.spend(iterations.saturating_mul(blocks)).map_err(|Spent| Pkcs12Error::Iterations)
}

/// A hash function, for the MAC and the derivation alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Digest {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

/// What a derived key is for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Use {
    Key = 1,
    Vector = 2,
    Mac = 3,
}

impl Digest {
    /// By the identifier of the hash function.
    pub(super) fn of(oid: &[u8]) -> Option<Self> {
        match oid {
            [0x2B, 0x0E, 0x03, 0x02, 0x1A] => Some(Self::Sha1),
            [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, last] => match last {
                1 => Some(Self::Sha256),
                2 => Some(Self::Sha384),
                3 => Some(Self::Sha512),
                _ => None,
            },
            _ => None,
        }
    }

    /// By the identifier of HMAC with it.
    pub(super) fn of_hmac(oid: &[u8]) -> Option<Self> {
        match oid {
            [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x02, last] => match last {
                7 => Some(Self::Sha1),
                9 => Some(Self::Sha256),
                10 => Some(Self::Sha384),
                11 => Some(Self::Sha512),
                _ => None,
            },
            _ => None,
        }
    }

    fn algorithm(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        }
    }

    fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha384 => hmac::HMAC_SHA384,
            Self::Sha512 => hmac::HMAC_SHA512,
        }
    }

    fn pbkdf2(self) -> pbkdf2::Algorithm {
        match self {
            Self::Sha1 => pbkdf2::PBKDF2_HMAC_SHA1,
            Self::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            Self::Sha384 => pbkdf2::PBKDF2_HMAC_SHA384,
            Self::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        }
    }

    /// Bytes of a digest.
    pub(super) fn length(self) -> usize {
        self.algorithm().output_len()
    }

    /// Whether `expected` is the HMAC of `data`.
    pub(super) fn verifies(self, key: &[u8], data: &[u8], expected: &[u8]) -> bool {
        hmac::verify(&hmac::Key::new(self.hmac(), key), data, expected).is_ok()
    }

    /// The HMAC of `data`.
    pub(super) fn mac(self, key: &[u8], data: &[u8]) -> Vec<u8> {
        hmac::sign(&hmac::Key::new(self.hmac(), key), data).as_ref().to_vec()
    }
}

/// RFC 7292, appendix B.2. The password is in UTF-16 with its terminator, or empty.
pub(super) fn pkcs12(
    digest: Digest,
    wanted: Use,
    password: &[u8],
    salt: &[u8],
    iterations: u32,
    length: usize,
) -> Zeroizing<Vec<u8>> {
    let block = digest.algorithm().block_len();
    let mut input = repeated(salt, block);
    input.extend_from_slice(&repeated(password, block));
    let mut output = Zeroizing::new(Vec::with_capacity(length + digest.length()));
    while output.len() < length {
        #[cfg(test)]
        COMPUTED.set(COMPUTED.get() + iterations);
        let mut context = digest::Context::new(digest.algorithm());
        context.update(&vec![wanted as u8; block]);
        context.update(&input);
        let mut hash = context.finish();
        for _ in 1..iterations {
            hash = digest::digest(digest.algorithm(), hash.as_ref());
        }
        output.extend_from_slice(hash.as_ref());
        // Each block of the input becomes itself + the repeated hash + 1.
        for chunk in input.chunks_mut(block) {
            let mut carry = 1_u16;
            for (at, byte) in chunk.iter_mut().enumerate().rev() {
                carry += u16::from(*byte) + u16::from(hash.as_ref()[at % digest.length()]);
                *byte = carry.to_le_bytes()[0];
                carry >>= 8;
            }
        }
    }
    output[length..].zeroize();
    output.truncate(length);
    output
}

/// The bytes, again and again until the last block is full.
fn repeated(bytes: &[u8], block: usize) -> Zeroizing<Vec<u8>> {
    let length = bytes.len().div_ceil(block) * block;
    Zeroizing::new(bytes.iter().copied().cycle().take(length).collect())
}

/// RFC 8018, section 5.2. The password is in UTF-8, so an empty one is empty.
pub(super) fn pbkdf2(
    digest: Digest,
    password: &[u8],
    salt: &[u8],
    iterations: u32,
    length: usize,
) -> Option<Zeroizing<Vec<u8>>> {
    let mut key = Zeroizing::new(vec![0; length]);
    #[cfg(test)]
    COMPUTED
        .set(COMPUTED.get() + iterations * u32::try_from(length.div_ceil(digest.length())).ok()?);
    pbkdf2::derive(digest.pbkdf2(), iterations.try_into().ok()?, salt, password, &mut key);
    Some(key)
}

#[cfg(test)]
thread_local! {
    static COMPUTED: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

/// How many iterations this thread has computed.
#[cfg(test)]
pub(super) fn computed() -> u32 {
    COMPUTED.get()
}
