//! Why nothing was fetched, or not handed on.

#![allow(unreachable_pub, reason = "the method of `coded!` is public")]

use crate::coded::coded;
use crate::inline::{InlineCause, InlineError};
use crate::provider_class::ClassError;
use crate::reason::{KS152, KS153};
use keysluice_plan::{PlanError, VariableNameError};
use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why `fetch` failed. `Display` gives code, message and hint.
#[derive(Debug)]
pub(super) struct FetchError(Box<Cause>);

/// What the exit code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Wrong usage.
    Usage,
    /// A configuration that never works.
    Never,
    /// Failed at run time.
    Failed,
}

coded! {
    /// The causes.
    #[derive(Debug, thiserror::Error)]
    pub(super) enum Cause {
        /// Nothing to fetch, or nowhere to.
        #[error("{0}")]
        [KS790] Usage(&'static str),
        /// A reference on the command line.
        #[error("reference {}: {}", source.key(), source.cause())]
        [= source] Reference {
            /// Why.
            source: InlineError,
        },
        /// A reference without a vault.
        #[error("reference {reference:?} names no vault, and --vault is not given")]
        [KS153] NoVault {
            /// The reference.
            reference: String,
        },
        /// Two references to one file.
        #[error("{reference} and {other} both make the file {path}")]
        [KS794] SameFile {
            /// One reference.
            reference: String,
            /// The other.
            other: String,
            /// The file.
            path: String,
        },
        /// A class.
        #[error("SecretProviderClass {class}: {source}")]
        [= source] Class {
            /// Namespace and name.
            class: String,
            /// Why.
            source: ClassError,
        },
        /// The identity of the pipeline.
        #[error("{what} is not given{place}")]
        [KS799] Identity {
            /// Client id or tenant id.
            what: &'static str,
            /// Where it is needed.
            place: String,
        },
        /// Two files at one path, or anything else that a Plan cannot have.
        #[error("{source}")]
        [KS794] Plan {
            /// Why.
            source: PlanError,
        },
        /// Not the name of a variable.
        #[error("{path}: {source}")]
        [KS794] Name {
            /// The object's file.
            path: String,
            /// Why.
            source: VariableNameError,
        },
        /// A name that no object may have here.
        #[error("{path}: {name} cannot be set: {problem}")]
        [KS794] Refused {
            /// The object's file.
            path: String,
            /// The name.
            name: String,
            /// Why.
            problem: &'static str,
        },
        /// Two variables of one name.
        #[error("{path} and {other} both make the variable {name}")]
        [KS794] Twice {
            /// One file.
            path: String,
            /// The other.
            other: String,
            /// The name.
            name: String,
        },
        /// A value that no variable can have.
        #[error("{name}: the value {problem}")]
        [KS795] Value {
            /// The variable.
            name: String,
            /// What is wrong with it.
            problem: &'static str,
        },
        /// No assertion.
        #[error("{0}")]
        [KS791] Assertion(String),
        /// The token service.
        #[error("{service} at {host}: {problem}")]
        [KS792] TokenService {
            /// Whose.
            service: &'static str,
            /// Its host.
            host: String,
            /// What happened.
            problem: String,
        },
        /// The injector.
        #[error("{program}: {error}")]
        [KS793] Injector {
            /// The program.
            program: String,
            /// What the system says.
            #[source]
            error: io::Error,
        },
        /// An output.
        #[error("{path}: {error}")]
        [KS796] Output {
            /// The file.
            path: PathBuf,
            /// What the system says.
            #[source]
            error: io::Error,
        },
        /// Certificate authorities that cannot be used.
        #[error("{origin}: {problem}")]
        [KS796] Authorities {
            /// What names them.
            origin: String,
            /// What is wrong with them.
            problem: String,
        },
        /// A file that the runner names.
        #[error("{option} needs the variable {variable}, which GitHub Actions sets")]
        [KS796] NoRunnerFile {
            /// The option.
            option: &'static str,
            /// The variable.
            variable: &'static str,
        },
        /// A dotenv file on GitLab.
        #[error("--dotenv on GitLab")]
        [KS797] DotenvOnGitlab,
        /// The command.
        #[error("command {command:?}: {error}")]
        [KS798] Command {
            /// Its name.
            command: String,
            /// What the system says.
            #[source]
            error: io::Error,
        },
    }
}

impl FetchError {
    /// That a file could not be read or written.
    pub(super) fn output(path: impl Into<PathBuf>, error: io::Error) -> Self {
        Cause::Output { path: path.into(), error }.into()
    }

    pub(super) fn kind(&self) -> Kind {
        match &*self.0 {
            Cause::Usage(_) | Cause::DotenvOnGitlab => Kind::Usage,
            Cause::TokenService { .. }
            | Cause::Value { .. }
            | Cause::Output { .. }
            | Cause::Command { .. } => Kind::Failed,
            _ => Kind::Never,
        }
    }
}

impl From<Cause> for FetchError {
    fn from(cause: Cause) -> Self {
        Self(Box::new(cause))
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (cause, reason) = (&*self.0, self.0.reason());
        match cause {
            // Their text has code and hint.
            Cause::Class { .. } => write!(f, "{cause}"),
            Cause::Reference { source } => match source.cause() {
                InlineCause::Class { source: class } => {
                    write!(f, "{class} (reference {})", source.key())
                }
                InlineCause::UnknownKey { nearest: Some(nearest), .. } => {
                    write!(f, "{reason} {cause}; hint: did you mean {nearest}?")
                }
                _ => write!(f, "{reason} {cause}; hint: {}", hint_of_reference(reason)),
            },
            Cause::NoVault { .. } => {
                write!(f, "{reason} {cause}; hint: {}", hint_of_reference(reason))
            }
            _ => write!(f, "{reason} {cause}; hint: {}", reason.fix),
        }
    }
}

/// What the reason says of annotations is said of the command line here.
fn hint_of_reference(reason: keysluice_plan::reason::Reason) -> &'static str {
    if reason == KS152 {
        "write kv://VAULT/secrets/NAME, with keys or certificates instead of secrets for other \
         objects, and perhaps the variable or file before it: DB_PASSWORD=kv://VAULT/secrets/db"
    } else if reason == KS153 {
        "write kv://VAULT/secrets/NAME, or name the vault with --vault"
    } else {
        reason.fix
    }
}

impl std::error::Error for FetchError {}
