//! Why an answer makes no file.

use super::variable::VariableProblem;
use super::{Pkcs12Error, Unreadable, budget};
use crate::fault::{Class, Fault, FaultKind};
use keysluice_plan::reason::{
    KS421, KS422, KS423, KS424, KS425, KS426, KS427, KS432, KS601, KS671, KS672, KS673, KS674,
};
use keysluice_plan::{ObjectType, Part, PathError};

/// Why an answer makes no file, in the Azure provider's words where it has some (not where Go's
/// libraries speak). They follow our code and the object's name; the provider's `failed to get
/// objectType:…, objectName:…` is not repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// Not the JSON of this kind of object.
    #[error("the answer is not a {}", .0.as_str())]
    Json(ObjectType),
    /// A part is missing.
    #[error("{0} is nil")]
    Missing(&'static str),
    /// `objectEncoding: base64`.
    #[error("the value is not standard padded base64")]
    Base64,
    /// `objectEncoding: hex`.
    #[error("the value is not hexadecimal")]
    Hex,
    /// Certificate-backed secret of an unknown kind.
    #[error("failed to get certificate. unknown content type '{0}'")]
    ContentType(String),
    /// A part of something that has none.
    #[error("an object of type {0} has no parts")]
    Parts(&'static str),
    /// The part that was asked for is not in it.
    #[error("part {}: the secret holds no {what}", part.as_str())]
    NoPart {
        /// What was asked for.
        part: Part,
        /// What is missing.
        what: &'static str,
    },
    /// The secret behind a certificate.
    #[error("the certificate cannot be read: {0}")]
    Pkcs12(Pkcs12Error),
    /// Not X.509.
    #[error("a certificate is not X.509 in DER")]
    Certificate,
    /// A block of PEM that begins and cannot be read, or a private key that cannot be used.
    #[error("{0}")]
    Block(Unreadable),
    /// A key beside certificates of others.
    #[error("no certificate of the secret belongs to its private key")]
    NoPair,
    /// No key tells which it is.
    #[error("the secret holds no private key, and {0} certificates that may be the leaf")]
    SeveralLeaves(usize),
    /// More than one answer may cost.
    #[error(
        "the secret holds more than {} private keys or {} certificates, or keys that take too long",
        budget::MAX_KEYS,
        budget::MAX_CERTIFICATES
    )]
    TooMany,
    /// Every certificate issued another one.
    #[error("no leaf found")]
    NoLeaf,
    /// A certificate above itself.
    #[error("constructing chain resulted in cycle")]
    Cycle,
    /// `jsonKey`.
    #[error("jsonKey {path}: {problem}")]
    JsonField {
        /// The path.
        path: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// A curve without a usual name in `SubjectPublicKeyInfo`.
    #[error("curve {0} is not supported")]
    Curve(String),
    /// A symmetric key.
    #[error("failed to get key. key type '{0}' currently not supported")]
    KeyType(String),
    /// A coordinate or modulus that cannot be.
    #[error("the key's {0} is not valid")]
    KeyField(&'static str),
    /// A value that a file of variables cannot hold.
    #[error("variable {variable}: {problem}")]
    Variable {
        /// Its name.
        variable: String,
        /// What is wrong with the value.
        problem: VariableProblem,
    },
    /// A file beside the one that was asked for.
    #[error("{0}")]
    Path(PathError),
}

impl ContentError {
    /// As code and message.
    pub fn fault(&self, object: &str) -> Fault {
        let (reason, class) = match self {
            Self::Curve(_) | Self::KeyType(_) => (KS421, Class::Slow),
            Self::Base64 | Self::Hex => (KS422, Class::Slow),
            Self::ContentType(_) => (KS423, Class::Slow),
            Self::NoPart { .. } => (KS425, Class::Slow),
            Self::Parts(_) => (KS425, Class::Permanent),
            Self::Pkcs12(_)
            | Self::Certificate
            | Self::Block(_)
            | Self::NoLeaf
            | Self::Cycle
            | Self::NoPair
            | Self::SeveralLeaves(_) => (KS426, Class::Slow),
            Self::TooMany => (KS432, Class::Slow),
            Self::JsonField { .. } => (KS427, Class::Slow),
            Self::Missing(_) | Self::KeyField(_) => (KS424, Class::Slow),
            Self::Path(_) => (KS601, Class::Permanent),
            Self::Variable { problem, .. } => {
                let reason = match problem {
                    VariableProblem::Quote => KS671,
                    VariableProblem::Empty => KS672,
                    VariableProblem::Line => KS673,
                    VariableProblem::CrLf | VariableProblem::Nul | VariableProblem::Binary => KS674,
                };
                (reason, Class::Slow)
            }
            Self::Json(_) => (keysluice_plan::reason::KS413, Class::Transient),
        };
        let kind = match self {
            Self::NoPart { .. } | Self::Parts(_) => FaultKind::NoPart,
            _ => FaultKind::Other,
        };
        Fault::new(reason, class, format_args!("{object}: {self}")).of_kind(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_has_the_code_of_its_cause_and_names_the_object() {
        for (error, code) in [
            (ContentError::KeyType("oct".to_owned()), "KS421"),
            (ContentError::Hex, "KS422"),
            (ContentError::ContentType("text/plain".to_owned()), "KS423"),
            (ContentError::KeyField("modulus"), "KS424"),
            (ContentError::NoLeaf, "KS426"),
        ] {
            let expected = format!("{code} secret \"db\": {error}; hint: ");
            let fault = error.fault("secret \"db\"").to_string();
            assert!(fault.starts_with(&expected), "{fault}");
        }
    }
}
