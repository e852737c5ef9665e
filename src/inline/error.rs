//! Why an inline annotation is refused.

use crate::bounded::bounded;
use crate::coded::coded;
use crate::provider_class::{ClassCause, ClassError, TemplateCause};
use keysluice_plan::reason::Reason;
use keysluice_plan::{ObjectNameError, PathError, RelativePath, VariableNameError};
use std::fmt;

/// Of a key or value that a message shows.
const MAX_SHOWN_BYTES: usize = 300;

/// Why an annotation is refused. `Display` gives code, message and hint, as the user reads it.
#[derive(Debug)]
pub struct InlineError(Box<(String, InlineCause)>);

coded! {
    /// The causes.
    #[derive(Debug, thiserror::Error)]
    pub enum InlineCause {
        /// Not a reference.
        #[error("{value} is not a reference to a vault object: {problem}")]
        [KS152] Form {
            /// The value in quotes, or that it is not shown.
            value: String,
            /// What is wrong with it.
            problem: String,
        },
        /// The name of the object.
        #[error("{source}")]
        [KS152] ObjectName {
            /// Why.
            source: ObjectNameError,
        },
        /// Neither the reference nor the pod names a vault.
        #[error("{value:?} names no vault, and keysluice.dev/vault is not set")]
        [KS153] VaultMissing {
            /// The value.
            value: String,
        },
        /// A word of the query that nobody reads.
        #[error("{key:?} is not a query parameter; known are: {known}")]
        [KS154] UnknownKey {
            /// The word.
            key: String,
            /// The words.
            known: String,
            /// What it may mean.
            nearest: Option<&'static str>,
        },
        /// A value of the query.
        #[error("{key} {value:?} {problem}")]
        [KS155] Value {
            /// The word.
            key: &'static str,
            /// Its value.
            value: String,
            /// What is wrong with it.
            problem: String,
        },
        /// Words that do not go together, or not with the object.
        #[error("{problem}")]
        [KS156] Together {
            /// Which.
            problem: String,
        },
        /// The name of a variable.
        #[error("{source}")]
        [KS157] VariableName {
            /// Why.
            source: VariableNameError,
        },
        /// A variable of Keysluice or of the identity.
        #[error("{name} is a variable that the webhook or the sidecar sets")]
        [KS157] Reserved {
            /// The variable.
            name: String,
        },
        /// The name of a file.
        #[error("{source}")]
        [KS158] FileName {
            /// Why.
            source: PathError,
        },
        /// Two annotations for one place.
        #[error("{path} is the file of annotation {other} too, or a directory above or below it")]
        [KS158] Collision {
            /// The path.
            path: RelativePath,
            /// The other annotation.
            other: String,
        },
        /// A key that the API server refuses.
        #[error("the name has {length} characters behind the slash, Kubernetes allows {limit}")]
        [KS158] KeyLength {
            /// How many.
            length: usize,
            /// What is possible.
            limit: usize,
        },
        /// The text of a template, or a file that it names.
        #[error("{source}")]
        [= source] Template {
            /// Why.
            source: TemplateCause,
        },
        /// The vault, by the rules of a class.
        #[error("{}", source.cause())]
        [= source] Vault {
            /// The error.
            source: ClassError,
        },
        /// What the rules of a class say too.
        #[error("{source}")]
        [= source] Class {
            /// The error, with its code and hint.
            source: ClassError,
        },
        /// An object of a class that cannot be a variable.
        #[error("SecretProviderClass {class}: {problem}")]
        [KS267] OfClass {
            /// The class.
            class: String,
            /// What is wrong.
            problem: String,
        },
    }
}

impl InlineCause {
    /// Who writes the secret itself instead of a reference must not find it in a log.
    pub(super) fn form(value: &str, problem: impl Into<String>) -> Self {
        let is_meant = value.is_empty()
            || ["kv://", "secrets/", "keys/", "certificates/"]
                .iter()
                .any(|start| value.starts_with(start))
            || value.starts_with("https://") && value.contains(".vault.") && !value.contains('@');
        let value = if is_meant {
            format!("{:?}", cut(value))
        } else {
            "the value (not shown: it may be a secret)".to_owned()
        };
        Self::Form { value, problem: problem.into() }
    }
}

impl From<TemplateCause> for InlineCause {
    fn from(source: TemplateCause) -> Self {
        Self::Template { source }
    }
}

impl InlineError {
    /// Of an annotation.
    pub(crate) fn new(key: &str, cause: InlineCause) -> Self {
        Self(Box::new((bounded(key, MAX_SHOWN_BYTES), cause)))
    }

    /// The code with its general explanation.
    pub fn reason(&self) -> Reason {
        self.0.1.reason()
    }

    /// What was read: an annotation, or a reference on a command line.
    pub(crate) fn key(&self) -> &str {
        &self.0.0
    }

    /// Why it is refused.
    pub fn cause(&self) -> &InlineCause {
        &self.0.1
    }
}

/// A copy for a message.
pub(super) fn cut(text: &str) -> String {
    bounded(text, MAX_SHOWN_BYTES)
}

impl fmt::Display for InlineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, cause) = &*self.0;
        match cause {
            InlineCause::Class { source } => write!(f, "{source} (annotation {key})"),
            InlineCause::Vault { source } => {
                let (reason, hint) = (self.reason(), vault_hint(source.cause()));
                write!(f, "{reason} annotation {key}: {cause}; hint: {hint}")
            }
            InlineCause::UnknownKey { nearest: Some(nearest), .. } => {
                let reason = self.reason();
                write!(f, "{reason} annotation {key}: {cause}; hint: did you mean {nearest}?")
            }
            InlineCause::Template { source } => {
                let (reason, hint) = (self.reason(), template_hint(source));
                write!(f, "{reason} annotation {key}: {cause}; hint: {hint}")
            }
            cause => {
                let reason = self.reason();
                write!(f, "{reason} annotation {key}: {cause}; hint: {}", reason.fix)
            }
        }
    }
}

/// What to write instead; the fields of a class do not exist here.
fn vault_hint(cause: &ClassCause) -> String {
    match cause {
        ClassCause::VaultForbidden { .. } => {
            "use a vault that the operator allows (--allow-vault)".to_owned()
        }
        _ => "write kv://VAULT/…, or keysluice.dev/vault: VAULT, with the name of the vault, or \
              its host in the operator's cloud"
            .to_owned(),
    }
}

fn template_hint(cause: &TemplateCause) -> String {
    let of_annotations = match cause {
        TemplateCause::FileMissing { .. } => {
            "write the NAME of an annotation keysluice.dev/file.NAME, or its ?path="
        }
        TemplateCause::TooMany { .. } => {
            "remove templates, or write one that makes the content of several"
        }
        _ => cause.reason().fix,
    };
    cause.hint().unwrap_or_else(|| of_annotations.to_owned())
}

impl std::error::Error for InlineError {}
