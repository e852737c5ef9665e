//! Why a `SecretProviderClass` is refused. Where the Azure provider refuses the same, its words are
//! in ours.

use super::document::YamlError;
pub use super::object_error::{ObjectCause, SecretObjectCause};
use super::refresh_interval::RefreshIntervalError;
pub use super::select_error::SelectCause;
pub use super::template_error::TemplateCause;
use crate::coded::coded;
use keysluice_plan::VaultUrlError;
use keysluice_plan::reason::Reason;
use std::fmt;

/// What is missing is not something else.
fn not(found: &str, expected: &str) -> String {
    if found == "missing" { String::new() } else { format!(", not {expected}") }
}

/// Why a class is refused. `Display` gives code, message and hint, as the user reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassError(Box<ClassCause>);

coded! {
    /// The causes.
    #[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
    pub enum ClassCause {
        /// A field of the manifest is missing or of the wrong type.
        #[error("{field} is {found}{}", not(found, expected))]
        [KS101] Manifest {
            /// Path of the field, `spec.secretObjects[0].data`.
            field: String,
            /// What is there.
            found: &'static str,
            /// What should be.
            expected: &'static str,
        },
        /// The parameter `mode` has another value than it takes.
        #[error("mode {0:?} is not sidecar or init")]
        [KS101] Mode(String),
        /// An object of another kind or group.
        #[error("the manifest is {what}, not a SecretProviderClass of secrets-store.csi.x-k8s.io")]
        [KS101] OtherKind {
            /// Its `kind` and `apiVersion`, as far as they differ.
            what: String,
        },
        /// A parameter is not a string; the API server refuses the object for the same reason.
        #[error("parameters.{name} is {found}, not a string")]
        [KS102] ParameterType {
            /// The parameter.
            name: String,
            /// What is there.
            found: &'static str,
            /// The value as text, if it is a number or a boolean.
            value: Option<String>,
        },
        /// More text than any class needs.
        #[error("spec has more than {limit} bytes")]
        [KS147] SpecSize {
            /// The limit.
            limit: usize,
        },
        /// More parameters, secret objects, data and labels than any class needs.
        #[error("spec has more than {limit} entries in parameters and secretObjects")]
        [KS147] Entries {
            /// The limit.
            limit: usize,
        },
        /// No provider.
        #[error("provider not set in {namespace}/{name}")]
        [KS109] ProviderMissing {
            /// Namespace of the class.
            namespace: String,
            /// Name of the class.
            name: String,
        },
        /// Another provider's class.
        #[error("provider {provider:?} of {namespace}/{name} is not azure")]
        [KS109] ProviderForeign {
            /// Namespace of the class.
            namespace: String,
            /// Name of the class.
            name: String,
            /// Its provider.
            provider: String,
        },
        /// No parameters.
        #[error("parameters not set in {namespace}/{name}")]
        [KS134] ParametersMissing {
            /// Namespace of the class.
            namespace: String,
            /// Name of the class.
            name: String,
        },
        /// A flag is no boolean.
        #[error(
            "failed to parse {flag} flag, error: strconv.ParseBool: parsing {value:?}: invalid \
             syntax"
        )]
        [KS110] Flag {
            /// The parameter.
            flag: &'static str,
            /// Its value.
            value: String,
        },
        /// More than one identity mode.
        #[error(
            "only one identity mode can be enabled at a time: usePodIdentity, \
             useVMManagedIdentity, \
             or useAzureTokenProxy"
        )]
        [KS111] IdentityModes,
        /// `usePodIdentity`: its node component does not exist any more.
        #[error("usePodIdentity: AAD Pod Identity (NMI) is retired and not supported")]
        [KS112] PodIdentity,
        /// `useAzureTokenProxy`, and the operator has not set up the token proxy.
        #[error(
            "useAzureTokenProxy: the token proxy of AKS identity bindings is not set up here"
        )]
        [KS113] TokenProxy,
        /// No vault.
        #[error("keyvaultName is not provided")]
        [KS103] VaultMissing {
            /// A parameter that looks as if it were meant.
            near: Option<String>,
        },
        /// No tenant, neither in the class nor around it.
        #[error("tenantId is not provided")]
        [KS104] TenantMissing {
            /// A parameter that looks as if it were meant.
            near: Option<String>,
        },
        /// No client id, neither in the class nor around it.
        #[error(
            "clientID is not provided, and the ServiceAccount has no annotation \
             azure.workload.identity/client-id"
        )]
        [KS105] ClientMissing {
            /// A parameter that looks as if it were meant.
            near: Option<String>,
        },
        /// A Secret that cannot exist.
        #[error("nodePublishSecretRef: {secret:?} is not a name of a Secret")]
        [KS163] PrincipalName {
            /// The name.
            secret: String,
        },
        /// A value that a guide told the reader to fill in.
        #[error("{field} still holds a placeholder: {value:?}")]
        [KS108] Placeholder {
            /// Parameter or annotation.
            field: &'static str,
            /// What it holds.
            value: String,
        },
        /// A tenant that is neither an id nor a domain.
        #[error(
            "invalid tenantID: {value:?} has other characters than letters, digits, hyphens and \
             dots"
        )]
        [KS114] TenantForm {
            /// The tenant.
            value: String,
        },
        /// The operator does not allow this tenant.
        #[error("tenantID {value:?} is not among the tenants that the operator allows")]
        [KS115] TenantForbidden {
            /// The tenant.
            value: String,
        },
        /// No such cloud.
        #[error(
            "cloudName {value} is not valid, error: autorest/azure: There is no cloud environment \
             matching the name {upper:?}",
            upper = value.to_uppercase()
        )]
        [KS116] Cloud {
            /// The name.
            value: String,
        },
        /// Vault name of the wrong length.
        #[error(
            "failed to get vault: Invalid vault name: {value:?}, must be between 3 and 24 chars"
        )]
        [KS117] VaultLength {
            /// The name.
            value: String,
        },
        /// Vault name with other characters.
        #[error(
            "failed to get vault: Invalid vault name: {value:?}, must match [-a-zA-Z0-9]{{3,24}}"
        )]
        [KS117] VaultCharacters {
            /// The name.
            value: String,
        },
        /// Vault name that is no host name.
        #[error("failed to get vault: {0}")]
        [KS117] VaultUrl(#[source] VaultUrlError),
        /// No URL of a vault.
        #[error("vaultUrl: {0}")]
        [KS139] VaultUrlForm(#[source] VaultUrlError),
        /// A URL outside the vaults' domain.
        #[error("vaultUrl {url:?} is not below {suffix}, the vaults' domain of {cloud}")]
        [KS139] VaultForeign {
            /// The URL.
            url: String,
            /// The domain.
            suffix: String,
            /// The cloud.
            cloud: String,
        },
        /// A name and a URL that disagree.
        #[error("keyvaultName {name:?} and vaultUrl {url:?} name different vaults")]
        [KS139] VaultTwice {
            /// The name.
            name: String,
            /// The URL.
            url: String,
        },
        /// The operator does not allow this vault.
        #[error("{field} {value:?} is not among the vaults that the operator allows")]
        [KS118] VaultForbidden {
            /// `keyvaultName` or `vaultUrl`.
            field: &'static str,
            /// The name.
            value: String,
        },
        /// A refresh interval that cannot be.
        #[error("{parameter}: {source}")]
        [KS119] Interval {
            /// `refreshInterval` or `syncInterval`.
            parameter: &'static str,
            /// What is wrong with it.
            source: RefreshIntervalError,
        },
        /// The `objects` document cannot be read.
        #[error("objects: failed to yaml unmarshal objects, error: {0}")]
        [KS106] Objects(#[source] YamlError),
        /// The `objects` document, aliases written out, is too large to be meant.
        #[error("objects: the document is larger than {limit} bytes")]
        [KS120] ObjectsSize {
            /// The limit.
            limit: usize,
        },
        /// More objects than a Plan holds.
        #[error("objects: {what} has more than {limit} elements")]
        [KS120] ObjectsCount {
            /// `array`, or the document with all that is nested in it.
            what: &'static str,
            /// The limit.
            limit: usize,
        },
        /// One object is wrong.
        #[error("objects[{index}]: {source}")]
        [= source] Object {
            /// Position in `array`, from 0.
            index: usize,
            /// What is wrong with it.
            source: ObjectCause,
        },
        /// A selection is wrong.
        #[error("{place}: {source}")]
        [= source] Select {
            /// `select`, or `select[N]`.
            place: String,
            /// What is wrong with it.
            source: SelectCause,
        },
        /// A template is wrong.
        #[error("{place}: {source}")]
        [= source] Template {
            /// `templates`, or `templates[N]`.
            place: String,
            /// What is wrong with it.
            source: TemplateCause,
        },
        /// What a parameter can get wrong, in an object or a selection.
        #[error("{place}: {}", source.cause())]
        [= source] Within {
            /// `objects[N]`, `select` or `select[N]`.
            place: String,
            /// What is wrong.
            source: ClassError,
        },
        /// One secret object is wrong.
        #[error("secretObjects[{index}]: {source}")]
        [= source] SecretObject {
            /// Position in `secretObjects`, from 0.
            index: usize,
            /// What is wrong with it.
            source: SecretObjectCause,
        },
    }
}

impl ClassError {
    /// The code with its general explanation.
    pub fn reason(&self) -> Reason {
        self.cause().reason()
    }

    /// The cause, for tests.
    pub fn cause(&self) -> &ClassCause {
        &self.0
    }
}

impl From<ClassCause> for ClassError {
    fn from(cause: ClassCause) -> Self {
        Self(Box::new(cause))
    }
}

impl fmt::Display for ClassError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}; hint: {}", self.reason(), self.cause(), self.hint())
    }
}

impl std::error::Error for ClassError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // The message already holds the whole chain.
        None
    }
}
