//! What can be wrong with the parameter `templates`.

use super::document::YamlError;
use crate::coded::coded;
use keysluice_plan::{FileModeError, PathError, TemplateError};

coded! {
    /// What is wrong with `templates`, or with one of them.
    #[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
    pub enum TemplateCause {
        /// No YAML document, or no map.
        #[error("{0}")]
        [KS160] Document(#[source] YamlError),
        /// More than the one document that is read.
        #[error("line {line}: a second YAML document begins; write one list")]
        [KS160] Documents {
            /// The line, from 1.
            line: usize,
        },
        /// Longer than the limit.
        #[error("the document is larger than {limit} bytes")]
        [KS160] Size {
            /// The limit.
            limit: usize,
        },
        /// More templates than the limit.
        #[error("there are more than {limit} templates")]
        [KS160] TooMany {
            /// The limit.
            limit: usize,
        },
        /// A field that does not exist; only Keysluice reads `templates`.
        #[error("field {field:?} is unknown")]
        [KS160] Unknown {
            /// The field.
            field: String,
            /// One that looks like it.
            near: Option<&'static str>,
        },
        /// A field holds something else than it should.
        #[error("{field}: {source}")]
        [KS160] Field {
            /// The field.
            field: &'static str,
            /// What is wrong with it.
            source: YamlError,
        },
        /// A field that must be there.
        #[error("{0} is not set")]
        [KS160] Missing(&'static str),
        /// No path below the volume.
        #[error("path: {0}")]
        [KS125] Path(#[source] PathError),
        /// No mode.
        #[error("filePermission {0}")]
        [KS107] Permission(#[source] FileModeError),
        /// `fileOwner` or `fileGroup` is not a number.
        #[error("{field} {value:?} is not a numeric id")]
        [KS137] Id {
            /// The field.
            field: &'static str,
            /// Its value.
            value: String,
        },
        /// The text is not a template.
        #[error("template: {0}")]
        [KS161] Template(#[source] TemplateError),
        /// The template names a file that the class does not make.
        #[error("template: line {line}: file {path:?} is not a file of the volume")]
        [KS162] FileMissing {
            /// The file.
            path: String,
            /// Where it is named.
            line: usize,
            /// One that looks like it.
            near: Option<String>,
        },
        /// The path is that of another file, or of a directory that another file needs.
        #[error("path {path} collides with {other}")]
        [KS128] Collision {
            /// The path.
            path: String,
            /// The other file.
            other: String,
        },
    }
}

impl TemplateCause {
    /// What to do, where the value at hand says more than the reason.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { near: Some(near), .. } => Some(format!("did you mean {near}?")),
            Self::FileMissing { near: Some(near), .. } => Some(format!("did you mean {near:?}?")),
            Self::Path(_) => Some(
                "set path to a relative path such as config/app.env, without \"..\"".to_owned(),
            ),
            Self::Collision { .. } => Some("give the template another path".to_owned()),
            _ => None,
        }
    }
}
