//! Certificate and private key of a Secret, in the forms that people have: PEM, and PKCS#12 as
//! binary or, as Key Vault returns it, in base64.

use crate::pki::budget::{Budget, MAX_CERTIFICATES, MAX_KEYS};
use crate::pki::der_reader::SEQUENCE;
use crate::pki::pem;
use crate::pki::pem_contents::{self, Held, PemError, Unusable};
use crate::pki::pem_lenient::{Unreadable, is_pem};
use crate::pki::pkcs12::{self, Contents, Pkcs12Error};
use crate::pki::x509::Certificate;

/// Why a certificate cannot sign. Each text follows the name of the Secret's key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Something else altogether.
    #[error("is neither PEM nor PKCS#12 (binary or in base64)")]
    Form,
    /// A private key alone.
    #[error("has no certificate")]
    NoCertificate,
    /// No private key beside it.
    #[error("has no private key")]
    NoKey,
    /// A password is needed.
    #[error("is encrypted, or damaged: put its password into the key clientcertificatepassword")]
    Encrypted,
    /// The password is of something else.
    #[error("cannot be decrypted: clientcertificatepassword is not its password, or it is damaged")]
    Password,
    /// A private key in a form that is not read.
    #[error("has no private key that can be used: {0}")]
    Unusable(Unreadable),
    /// A block that cannot be read.
    #[error("cannot be read: {0}")]
    Block(Unreadable),
    /// PKCS#12, or an encrypted private key, that cannot be read.
    #[error("cannot be read: {0}")]
    Pkcs12(Pkcs12Error),
    /// More than a token request may cost.
    #[error(
        "holds more than {MAX_KEYS} private keys or {MAX_CERTIFICATES} certificates, or keys that \
        take too long"
    )]
    TooMany,
    /// The key is of another certificate.
    #[error("has no certificate that belongs to the private key")]
    Mismatch,
    /// Entra takes RSA only.
    #[error("has a key that is not RSA, and Entra accepts no other")]
    Algorithm,
    /// The key does not sign.
    #[error("has an RSA key that cannot sign: it needs 2048 to 8192 bits")]
    Unsuitable,
}

/// What `file` holds. An empty password counts as none.
pub(super) fn read(
    file: &[u8],
    password: &str,
    budget: &mut Budget,
) -> Result<Held, CertificateError> {
    if let Some(held) = plain(file, password, budget) {
        return held;
    }
    let text = std::str::from_utf8(file).unwrap_or_default().trim_start_matches('\u{feff}');
    let decoded = pem::decoded(text);
    let held = decoded.and_then(|file| plain(&file, password, budget));
    held.unwrap_or(Err(CertificateError::Form))
}

/// `None` for what is neither PEM nor DER.
fn plain(
    file: &[u8],
    password: &str,
    budget: &mut Budget,
) -> Option<Result<Held, CertificateError>> {
    match std::str::from_utf8(file) {
        Ok(text) if is_pem(text) => Some(of_pem(text, password, budget)),
        _ if file.first() == Some(&SEQUENCE) => Some(of_der(file, password, budget)),
        _ => None,
    }
}

fn of_pem(text: &str, password: &str, budget: &mut Budget) -> Result<Held, CertificateError> {
    pem_contents::read(text, password, budget).map_err(|error| match error {
        PemError::Block(block) => CertificateError::Block(block),
        PemError::TooMany => CertificateError::TooMany,
        PemError::Decryption(error) => undecrypted(error, password),
    })
}

fn of_der(file: &[u8], password: &str, budget: &mut Budget) -> Result<Held, CertificateError> {
    let contents = match pkcs12::read_within(file, password, budget) {
        // A certificate alone, as portals export it.
        Err(Pkcs12Error::Structure) if Certificate::parse(file).is_some() => {
            Contents { certificates: vec![file.to_vec()], ..Contents::default() }
        }
        other => other.map_err(|error| undecrypted(error, password))?,
    };
    Ok(Held { contents, unusable: None })
}

fn undecrypted(error: Pkcs12Error, password: &str) -> CertificateError {
    match error {
        Pkcs12Error::Password if password.is_empty() => CertificateError::Encrypted,
        Pkcs12Error::Password => CertificateError::Password,
        Pkcs12Error::TooMany => CertificateError::TooMany,
        other => CertificateError::Pkcs12(other),
    }
}

impl From<Unusable> for CertificateError {
    fn from(unusable: Unusable) -> Self {
        match unusable {
            Unusable::Encrypted(_) => Self::Encrypted,
            Unusable::Form(problem) => Self::Unusable(problem),
        }
    }
}
