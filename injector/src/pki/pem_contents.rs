//! The certificates and private keys of PEM text.

use super::budget::{Budget, MAX_CERTIFICATES, MAX_KEYS, Spent};
use super::der_reader::Reader;
use super::pem::PRIVATE_KEY;
use super::pem_lenient::{self, Block, Unreadable};
use super::pkcs12::{self, Contents, Pkcs12Error};
use super::private_key::{Pkcs8, convert};
use super::x509::Certificate;

/// What a text holds.
#[derive(Default)]
pub(crate) struct Held {
    pub(crate) contents: Contents,
    /// The first private key that is not among the keys, and why.
    pub(crate) unusable: Option<Unusable>,
}

/// Why a private key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// It has a password, and none was given.
    Encrypted(Unreadable),
    /// Its form is not read.
    Form(Unreadable),
}

/// Why a text cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PemError {
    /// A block begins that cannot be read.
    Block(Unreadable),
    /// More keys or certificates than there may be, or keys that take too long.
    TooMany,
    /// A private key cannot be decrypted.
    Decryption(Pkcs12Error),
}

const ENCRYPTED: &str = "is an encrypted private key: import it without a password";
const OLD_ENCRYPTION: &str =
    "is a private key in OpenSSL's own encryption: convert it first (openssl pkcs8 -topk8)";
const SSH: &str = "is an OpenSSH private key: convert it first (ssh-keygen -p -m PKCS8)";
const OTHER_KEY: &str = "is a private key of a kind that is not read: import it as PKCS#8";

/// Reads a text. A block that is neither a key nor a certificate, such as the parameters of a
/// curve, is not looked at. An empty password counts as none.
pub(crate) fn read(text: &str, password: &str, budget: &mut Budget) -> Result<Held, PemError> {
    let Held { contents: Contents { mut keys, mut certificates }, mut unusable } = Held::default();
    for block in pem_lenient::blocks(text).map_err(PemError::Block)? {
        match Kind::of(&block, !password.is_empty()) {
            Kind::Certificate if certificates.len() == MAX_CERTIFICATES => {
                return Err(PemError::TooMany);
            }
            Kind::Certificate => {
                let der = Reader::new(&block.der).next().map(|certificate| certificate.whole);
                let der = der.filter(|der| Certificate::parse(der).is_some()).ok_or_else(|| {
                    PemError::Block(block.at.is("is not an X.509 certificate in DER"))
                });
                certificates.push(der?.to_vec());
            }
            Kind::Key | Kind::EncryptedKey if keys.len() == MAX_KEYS => {
                return Err(PemError::TooMany);
            }
            Kind::Key => keys.push(key(&block, budget)?),
            Kind::EncryptedKey => {
                let key = pkcs12::read_key(&block.der, password, budget);
                keys.push(key.map_err(|error| match error {
                    Pkcs12Error::Structure => {
                        PemError::Block(block.at.is("is not an encrypted private key in DER"))
                    }
                    other => PemError::Decryption(other),
                })?);
            }
            Kind::Unusable(why) => unusable = unusable.or(Some(why)),
            Kind::Unreadable(problem) => return Err(PemError::Block(block.at.is(problem))),
            Kind::Other => {}
        }
    }
    Ok(Held { contents: Contents { keys, certificates }, unusable })
}

fn key(block: &Block<'_>, budget: &mut Budget) -> Result<Pkcs8, PemError> {
    let key = convert(&block.der, budget).map_err(|Spent| PemError::TooMany)?;
    key.ok_or_else(|| PemError::Block(block.at.is("is not a private key in DER")))
}

/// What is to be made of a block.
enum Kind {
    Certificate,
    Key,
    /// To be decrypted.
    EncryptedKey,
    /// A private key; an error only for who needs it.
    Unusable(Unusable),
    /// It may hold certificates.
    Unreadable(&'static str),
    Other,
}

impl Kind {
    fn of(block: &Block<'_>, has_password: bool) -> Self {
        match block.at.label {
            _ if block.is_certificate() => Self::Certificate,
            "ENCRYPTED PRIVATE KEY" if has_password => Self::EncryptedKey,
            _ if block.encrypted && has_password => Self::form(block, OLD_ENCRYPTION),
            _ if block.encrypted => Self::encrypted(block),
            PRIVATE_KEY | "RSA PRIVATE KEY" | "EC PRIVATE KEY" => Self::Key,
            "OPENSSH PRIVATE KEY" if is_encrypted_ssh(&block.der) && !has_password => {
                Self::encrypted(block)
            }
            "OPENSSH PRIVATE KEY" => Self::form(block, SSH),
            "PGP PRIVATE KEY BLOCK" => Self::form(block, OTHER_KEY),
            label if label.ends_with("ENCRYPTED PRIVATE KEY") && !has_password => {
                Self::encrypted(block)
            }
            label if label.ends_with("PRIVATE KEY") => Self::form(block, OTHER_KEY),
            "PKCS7" | "PKCS #7 SIGNED DATA" | "CMS" => Self::Unreadable(
                "is PKCS#7: import its certificates as PEM (openssl pkcs7 -print_certs)",
            ),
            label if label.contains("CERTIFICATE") && !label.contains("REQUEST") => {
                Self::Unreadable("is a certificate of a kind that is not read: import it as X.509")
            }
            _ => Self::Other,
        }
    }

    fn form(block: &Block<'_>, problem: &'static str) -> Self {
        Self::Unusable(Unusable::Form(block.at.is(problem)))
    }

    fn encrypted(block: &Block<'_>) -> Self {
        Self::Unusable(Unusable::Encrypted(block.at.is(ENCRYPTED)))
    }
}

/// `openssh-key-v1`, a zero, and the cipher's name with its length.
fn is_encrypted_ssh(der: &[u8]) -> bool {
    let cipher = der.strip_prefix(b"openssh-key-v1\0");
    cipher.is_none_or(|cipher| !cipher.starts_with(b"\0\0\0\x04none"))
}
