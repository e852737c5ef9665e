//! The contract between the webhook and the sidecar: the [`Plan`] and the reason codes of the
//! sidecar.
//!
//! The webhook resolves a `SecretProviderClass` into a Plan and hands it to the sidecar as one JSON
//! value in the environment. A Plan never holds a secret. No I/O: types, and the calendar for the
//! timestamps of both programs. Both parse at the edge and never meet a raw string again. An
//! unknown field is an error, so an old sidecar never half-understands a newer webhook.

mod calendar;
mod check;
mod json_path;
mod kubernetes;
mod layout;
mod log_format;
mod managed_identity;
pub mod metrics;
mod names;
mod plan;
mod reaction;
pub mod reason;
mod request_id;
mod source;
mod template;
mod token_proxy;
mod variable;
mod vault_url;

pub use calendar::civil_date;
pub use check::PlanError;
pub use json_path::{JsonPath, JsonPathError, JsonStep};
pub use kubernetes::{
    CLASS_ANNOTATION, DRIVER_LABEL, KEEP_ANNOTATION, Kubernetes, MANAGED_LABEL, Owner, SecretKey,
    SyncedSecret, is_label, is_object_name, is_secret_key,
};
pub use layout::{
    CERT_AND_KEY, Collision, EntryPaths, FileIndex, Layout, PathSet, check_selection_directory,
};
pub use log_format::{LogFormat, LogFormatError};
pub use managed_identity::{
    ENDPOINT_PATH, EndpointIdentity, IMDS_ADDRESS, IMDS_PORT, LOWEST_ENDPOINT_PORT,
    MOST_ENDPOINT_IDENTITIES, ManagedIdentityEndpoint,
};
pub use names::{
    FileMode, FileModeError, ObjectName, ObjectNameError, ObjectVersion, ObjectVersionError,
    PathError, RelativePath,
};
pub use plan::{
    Credential, File, Identity, LONGEST_WAIT_SECONDS, MOST_VERSIONS, ObjectEncoding, ObjectFormat,
    ObjectType, PLAN_ENV, Part, Plan, PlanSchema, Selection, TemplateFile, Volume,
};
pub use reaction::{
    CONTAINER_ENV, ROLLOUT_ANNOTATION, Reaction, ReactionAction, ReactionSignal, WorkloadReference,
    WorkloadResource, is_loopback_url,
};
pub use request_id::{CLIENT_REQUEST_ID, Guid, GuidError, POD_UID_ENV, RequestId};
pub use source::{MAX_UPDATE_BYTES, PlanProblem, PlanRequest, PlanUpdate, Source};
pub use template::{
    FILTERS, MAX_OUTPUT_BYTES, MAX_TEMPLATE_BYTES, MOST_TEMPLATES, RenderError, RenderProblem,
    Template, TemplateError, TemplateProblem, Text,
};
pub use token_proxy::{TOKEN_PROXY_CA, TOKEN_PROXY_DIRECTORY, TOKEN_PROXY_TOKEN, TokenProxy};
pub use variable::{VariableName, VariableNameError};
pub use vault_url::{VaultUrl, VaultUrlError};
