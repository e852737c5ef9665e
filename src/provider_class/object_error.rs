//! What can be wrong with one object, one selection, one secret object. Where the Azure provider
//! refuses the same, its words are in ours.

use super::document::YamlError;
use super::object::is_invisible;
use crate::coded::coded;
use keysluice_plan::{
    FileModeError, JsonPathError, MOST_VERSIONS, ObjectNameError, ObjectVersionError, PathError,
    RelativePath,
};

coded! {
    /// What is wrong with one element of `objects`.
    #[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
    pub enum ObjectCause {
        /// The element is not a string.
        #[error("failed to yaml unmarshal objects, error: {0}")]
        [KS106] NotString(#[source] YamlError),
        /// Its text is not a YAML map.
        #[error("unmarshal failed for keyVaultObjects at index {index}, error: {source}")]
        [KS121] Document {
            /// Position in `array`, from 0.
            index: usize,
            /// What is wrong with it.
            source: YamlError,
        },
        /// A field of it holds something else than a scalar, or history is no number.
        #[error("{field}: unmarshal failed for keyVaultObjects at index {index}, error: {source}")]
        [KS121] Field {
            /// Position in `array`, from 0.
            index: usize,
            /// The field.
            field: &'static str,
            /// What is wrong with it.
            source: YamlError,
        },
        /// Neither pem nor pfx.
        #[error("invalid objectFormat: {0}, should be PEM or PFX")]
        [KS123] Format(String),
        /// pfx on a key or a certificate.
        #[error("PFX format only supported for objectType: secret")]
        [KS123] FormatType,
        /// Encoding on a key or a certificate.
        #[error("objectEncoding only supported for objectType: secret")]
        [KS124] EncodingType,
        /// No encoding that exists.
        #[error("invalid objectEncoding: {0}, should be hex, base64 or utf-8")]
        [KS124] Encoding(String),
        /// The alias, or the name without one, is no path below the volume.
        #[error("{field}: {source}")]
        [KS125] Path {
            /// `objectAlias` or `objectName`.
            field: &'static str,
            /// What is wrong with it.
            source: PathError,
        },
        /// No mode; the peer writes the file with mode 0000.
        #[error("filePermission {0}")]
        [KS107] Permission(#[source] FileModeError),
        /// Neither secret, key nor cert.
        #[error("Invalid vaultObjectTypes. Should be secret, key, or cert")]
        [KS122] Type,
        /// Not a name of a vault object.
        #[error("objectName: {source}")]
        [KS126] Name {
            /// What is wrong with it.
            source: ObjectNameError,
            /// The name.
            value: String,
        },
        /// An alias, and no name.
        #[error("objectName is missing")]
        [KS126] NameMissing {
            /// A field that looks as if it were meant.
            near: Option<String>,
        },
        /// Neither name nor alias; the provider misses the path.
        #[error("objectName: {source}")]
        [KS125] NameAndAliasMissing {
            /// The provider's words.
            source: PathError,
            /// A field that looks as if it were meant.
            near: Option<String>,
        },
        /// A value that a guide told the reader to fill in.
        #[error("{field} still holds a placeholder: {value:?}")]
        [KS108] Placeholder {
            /// The field.
            field: &'static str,
            /// What it holds.
            value: String,
        },
        /// No version of a vault object.
        #[error("objectVersion: {0}")]
        [KS127] Version(#[source] ObjectVersionError),
        /// Two objects on one path, or a file where another needs a directory; the peer lets the
        /// last
        /// one win.
        #[error("path {path} collides with path {other} of objects[{other_index}]")]
        [KS128] Collision {
            /// Path of this object.
            path: RelativePath,
            /// Path of the earlier one.
            other: String,
            /// Position of the earlier one.
            other_index: usize,
        },
        /// A file beside a split certificate, on the path of another object.
        #[error(
            "if it backs a certificate, its file {path} collides with path {other} of \
             objects[{other_index}]"
        )]
        [KS143] HalfCollision {
            /// Path of the file.
            path: RelativePath,
            /// Path of the other object.
            other: String,
            /// Position of the other object.
            other_index: usize,
        },
        /// More versions than the limit.
        #[error("objectVersionHistory: {0} versions are more than {MOST_VERSIONS}")]
        [KS130] History(u32),
        /// `optional` is no boolean.
        #[error("{field} {value:?} is neither true nor false")]
        [KS110] Flag {
            /// The field.
            field: &'static str,
            /// Its value.
            value: String,
        },
        /// `jsonKey` is no path.
        #[error("{0}")]
        [KS135] JsonKey(#[source] JsonPathError),
        /// `jsonKey` on a key or a certificate.
        #[error("jsonKey: an object of type {0} is not a JSON document")]
        [KS135] JsonKeyType(&'static str),
        /// `jsonKey` and `parts`.
        #[error("jsonKey and parts exclude each other: a certificate is not a JSON document")]
        [KS135] JsonKeyOfParts,
        /// A part that does not exist.
        #[error("parts: {0:?} is not cert, chain, key, ca or pfx")]
        [KS136] PartUnknown(String),
        /// The same part twice.
        #[error("parts: {0} is there twice")]
        [KS136] PartTwice(&'static str),
        /// `parts` on a key.
        #[error("parts: an object of type key has none")]
        [KS136] PartsType,
        /// `fileOwner` or `fileGroup` is no number.
        #[error("{field} {value:?} is not a numeric id")]
        [KS137] Id {
            /// The field.
            field: &'static str,
            /// Its value.
            value: String,
        },
        /// An error of the provider, with what it puts before it.
        #[error(
            "failed to get objectType:{object_type}, objectName:{name}, objectVersion:{version}: \
             {source}"
        )]
        [= source] Wrapped {
            /// `objectType` as it is written.
            object_type: String,
            /// `objectName` as it is written.
            name: String,
            /// `objectVersion` as it is written.
            version: String,
            /// The error.
            source: Box<ObjectCause>,
        },
    }
}

coded! {
    /// What is wrong with one element of `secretObjects`.
    #[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
    pub enum SecretObjectCause {
        /// No `secretName`.
        #[error("secret name is empty")]
        [KS131] NameEmpty,
        /// No `type`.
        #[error("secret type is empty")]
        [KS131] TypeEmpty,
        /// No `data`.
        #[error("data is empty")]
        [KS131] DataEmpty,
        /// An element of `data` names no file.
        #[error("data[{0}]: object name in secretObjects.data is empty")]
        [KS131] ObjectNameEmpty(usize),
        /// An element of `data` names no key.
        #[error("data[{0}]: key in secretObjects.data is empty")]
        [KS131] KeyEmpty(usize),
        /// No such file in the volume.
        #[error("data[{index}]: file matching objectName {object_name} not found in the pod")]
        [KS132] FileMissing {
            /// Position in `data`, from 0.
            index: usize,
            /// The path it names.
            object_name: String,
        },
        /// A key that a TLS Secret does not have.
        #[error(
            "data[{index}]: failed to get cert data from file {object_name}, err: key '{key}' is \
             not \
             supported. Only 'tls.key', 'tls.crt' and 'ca.crt' are supported"
        )]
        [KS133] TlsKey {
            /// Position in `data`, from 0.
            index: usize,
            /// The path it names.
            object_name: String,
            /// The key.
            key: String,
        },
        /// No object can have this name.
        #[error("secretName {0:?} is not a name of an object")]
        [KS148] Name(String),
        /// Two entries make one Secret.
        #[error("secretName {0:?} is used twice in the class")]
        [KS148] NameTwice(String),
        /// A key that no Secret has.
        #[error("data[{index}]: key {key:?} is not a key of a Secret")]
        [KS148] Key {
            /// Position in `data`, from 0.
            index: usize,
            /// The key.
            key: String,
        },
        /// Two elements make one key.
        #[error("data[{index}]: key {key:?} is used twice in the Secret")]
        [KS148] KeyTwice {
            /// Position in `data`, from 0.
            index: usize,
            /// The key.
            key: String,
        },
        /// A label or annotation that the API server does not take.
        #[error("{0}")]
        [KS148] Label(String),
        /// A label or annotation that marks the Secrets of Keysluice.
        #[error("{field}: {key:?} is reserved for Keysluice")]
        [KS148] Reserved {
            /// `labels` or `annotations`.
            field: &'static str,
            /// Its key.
            key: String,
        },
        /// A type that Kubernetes or Helm trusts.
        #[error("a Secret of type {0:?} is never made from files")]
        [KS149] Type(String),
        /// The API server refuses the Secret without this key.
        #[error("a Secret of type {secret_type} has no key {key}")]
        [KS151] KeyMissing {
            /// Its type.
            secret_type: String,
            /// What it lacks.
            key: &'static str,
        },
    }
}

impl ObjectCause {
    /// The error of a field that holds something else.
    pub(super) fn field(index: usize, field: &'static str) -> impl FnOnce(YamlError) -> Self {
        move |source| Self::Field { index, field, source }
    }
    /// What to do, where the value at hand says more than the reason.
    pub(super) fn hint(&self) -> Option<String> {
        match self {
            Self::NotString(_) => Some(
                "write \"- |\" before the object: every element of array is a \
                    string"
                    .to_owned(),
            ),
            Self::Field { field: "objectVersionHistory", .. } => {
                Some(format!("write a number up to {MOST_VERSIONS}, without quotes"))
            }
            Self::Document { source: YamlError::DuplicateKey { key, .. }, .. } => {
                Some(format!("delete one {key}, or begin the next object with \"- |\""))
            }
            Self::NameMissing { near } | Self::NameAndAliasMissing { near, .. } => {
                Some(of_missing_name(near.as_deref()))
            }
            Self::Name { value, .. } if value.contains('*') => Some(
                "there are no wildcards: the parameter select takes all secrets with a namePrefix \
                 or tags"
                    .to_owned(),
            ),
            Self::Name { value, .. } if value.contains('_') => {
                Some(format!("Key Vault has no underscores in names: {}?", value.replace('_', "-")))
            }
            Self::Name { value, .. } => unseen("objectName", value),
            Self::Wrapped { object_type, source, .. } if matches!(**source, Self::Type) => {
                of_type(object_type)
            }
            Self::Wrapped { source, .. } => source.hint(),
            _ => None,
        }
    }
}

/// An invisible character, made visible.
fn unseen(field: &str, value: &str) -> Option<String> {
    let hidden = value.chars().find(|c| is_invisible(*c) || (c.is_whitespace() && *c != ' '))?;
    let code = hidden as u32;
    Some(format!(
        "{field} {value:?} holds the invisible character U+{code:04X}: type it anew instead of \
         copying it"
    ))
}

/// What an unknown type was meant to be.
fn of_type(value: &str) -> Option<String> {
    if let Some(hint) = unseen("objectType", value) {
        return Some(hint);
    }
    let meant = match value.to_ascii_lowercase().as_str() {
        "certificate" | "certificates" | "certs" | "cer" => "cert",
        other => crate::spelling::nearest(other, &["secret", "key", "cert"], 1)?,
    };
    Some(format!("did you mean {meant}? Write secret, key or cert, in lower case"))
}

fn of_missing_name(near: Option<&str>) -> String {
    match near {
        Some(near) => format!("objectName is not set; did you mean objectName for {near:?}?"),
        None => "objectName is not set: write objectName: NAME, as the vault shows it".to_owned(),
    }
}
