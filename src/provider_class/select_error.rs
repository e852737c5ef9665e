//! What can be wrong with the parameter `select`.

use super::document::YamlError;
use crate::coded::coded;
use keysluice_plan::{FileModeError, PathError};

coded! {
    /// What is wrong with `select`, or with one of its selections.
    #[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
    pub enum SelectCause {
        /// No YAML document, or no map.
        #[error("{0}")]
        [KS138] Document(#[source] YamlError),
        /// More than the one document that is read.
        #[error("line {line}: a second YAML document begins; write one list")]
        [KS138] Documents {
            /// The line, from 1.
            line: usize,
        },
        /// Longer than the limit.
        #[error("the document is larger than {limit} bytes")]
        [KS138] Size {
            /// The limit.
            limit: usize,
        },
        /// More selections than the limit.
        #[error("there are more than {limit} selections")]
        [KS138] TooMany {
            /// The limit.
            limit: usize,
        },
        /// A field that does not exist; nobody else reads `select`, so it cannot be meant for
        /// another.
        #[error("field {field:?} is unknown")]
        [KS138] Unknown {
            /// The field.
            field: String,
            /// One that looks like it.
            near: Option<&'static str>,
        },
        /// A field holds something else than it should.
        #[error("{field}: {source}")]
        [KS138] Field {
            /// The field.
            field: &'static str,
            /// What is wrong with it.
            source: YamlError,
        },
        /// No beginning of a secret's name.
        #[error("namePrefix {0:?} is not made of letters, digits and hyphens, or is too long")]
        [KS138] Prefix(String),
        /// No path below the volume.
        #[error("directory: {0}")]
        [KS125] Directory(#[source] PathError),
        /// The directory is a file of an object.
        #[error("directory {directory} is a file of {of}")]
        [KS128] Occupied {
            /// The directory, or one above it.
            directory: String,
            /// `objects[N]` or `templates[N]`.
            of: String,
        },
        /// No mode.
        #[error("filePermission {0}")]
        [KS107] Permission(#[source] FileModeError),
        /// Neither pem nor pfx.
        #[error("invalid objectFormat: {0}, should be PEM or PFX")]
        [KS123] Format(String),
        /// No encoding that exists.
        #[error("invalid objectEncoding: {0}, should be hex, base64 or utf-8")]
        [KS124] Encoding(String),
        /// `fileOwner` or `fileGroup` is no number.
        #[error("{field} {value:?} is not a numeric id")]
        [KS137] Id {
            /// The field.
            field: &'static str,
            /// Its value.
            value: String,
        },
    }
}

impl SelectCause {
    /// The error of a field that holds something else.
    pub(super) fn field(field: &'static str) -> impl FnOnce(YamlError) -> Self {
        move |source| Self::Field { field, source }
    }
}
