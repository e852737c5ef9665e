//! What is tried in each language, and what comes of it.

/// One run of a client.
#[derive(Debug)]
pub(super) struct Case {
    /// The SDK's name of the credential.
    pub(super) credential: &'static str,
    /// The argument of the client.
    pub(super) argument: &'static str,
    pub(super) environment: Environment,
}

/// What of the injected variables the client has, and what is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Environment {
    /// As the webhook injects it.
    Injected,
    /// As injected, without the variables of workload identity.
    AppService,
    /// Neither, but the variable that names another address of IMDS.
    Imds,
    /// None, and the pod has the address of IMDS.
    Intercepted,
    /// The token file is that of another ServiceAccount.
    Stranger,
    /// The secret does not exist.
    Absent,
    /// As `AppService`, and the client asks for an identity that the pod does not have.
    OtherIdentity,
}

impl Environment {
    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::Injected => "as injected",
            Self::AppService => "the two of the endpoint alone",
            Self::Imds => "AZURE_POD_IDENTITY_AUTHORITY_HOST alone",
            Self::Intercepted => "none, in a pod with `intercept`",
            Self::Stranger => "as injected; token of another ServiceAccount",
            Self::Absent => "as injected; a secret that does not exist",
            Self::OtherIdentity => "the two of the endpoint; an unknown identity",
        }
    }
}

/// What has to come of a case.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The secret, with a token that the client requested from Entra.
    Entra,
    /// The secret, with a token of the sidecar's endpoint.
    Sidecar,
    /// No secret, and an error with this text.
    Refused(&'static str),
    /// No secret: the SDK knows no other address of IMDS than 169.254.169.254.
    Ignored,
}

pub(super) struct Language {
    /// The name of its client.
    pub(super) name: &'static str,
    /// In the order of [`CASES`].
    pub(super) outcomes: [Outcome; 10],
}

const fn case(credential: &'static str, argument: &'static str, environment: Environment) -> Case {
    Case { credential, argument, environment }
}

pub(super) const CASES: [Case; 10] = [
    case("WorkloadIdentityCredential", "workload", Environment::Injected),
    case("ManagedIdentityCredential", "managed", Environment::Injected),
    case("ManagedIdentityCredential", "managed", Environment::AppService),
    case("ManagedIdentityCredential", "managed", Environment::Imds),
    case("DefaultAzureCredential", "default", Environment::Injected),
    case("DefaultAzureCredential", "default", Environment::AppService),
    case("WorkloadIdentityCredential", "workload", Environment::Stranger),
    case("WorkloadIdentityCredential", "workload", Environment::Absent),
    case("ManagedIdentityCredential", "managed", Environment::OtherIdentity),
    // The last: from then on the address of IMDS answers.
    case("ManagedIdentityCredential", "managed", Environment::Intercepted),
];

const NO_CREDENTIAL: &str = "AADSTS700213";
const NO_SECRET: &str = "was not found in this key vault";
const NO_IDENTITY: &str = "No User Assigned or Delegated Managed Identity found";
/// The SDK for Rust has a text of its own for each answer 400.
const NOT_ASSIGNED: &str = "The requested identity has not been assigned to this resource";
pub(super) const NO_TYPE: &str = "azure_identity has no credential of the kind default";

/// Of an error, what the table shows.
pub(super) const SHOWN: [&str; 5] = [NO_CREDENTIAL, NO_SECRET, NO_IDENTITY, NOT_ASSIGNED, NO_TYPE];

/// What most SDKs do: they differ in a managed identity beside the injected variables, and at
/// another address of IMDS.
const fn usual(managed_as_injected: Outcome, other_imds: Outcome) -> [Outcome; 10] {
    [
        Outcome::Entra,
        managed_as_injected,
        Outcome::Sidecar,
        other_imds,
        Outcome::Entra,
        Outcome::Sidecar,
        Outcome::Refused(NO_CREDENTIAL),
        Outcome::Refused(NO_SECRET),
        Outcome::Refused(NO_IDENTITY),
        Outcome::Sidecar,
    ]
}

pub(super) const PYTHON: Language =
    Language { name: "python", outcomes: usual(Outcome::Sidecar, Outcome::Sidecar) };

pub(super) const NODE: Language =
    Language { name: "node", outcomes: usual(Outcome::Entra, Outcome::Sidecar) };

pub(super) const GO: Language =
    Language { name: "go", outcomes: usual(Outcome::Sidecar, Outcome::Ignored) };

pub(super) const JAVA: Language =
    Language { name: "java", outcomes: usual(Outcome::Entra, Outcome::Sidecar) };

pub(super) const RUST: Language = Language {
    name: "rust",
    outcomes: [
        Outcome::Entra,
        Outcome::Sidecar,
        Outcome::Sidecar,
        Outcome::Ignored,
        Outcome::Refused(NO_TYPE),
        Outcome::Refused(NO_TYPE),
        Outcome::Refused(NO_CREDENTIAL),
        Outcome::Refused(NO_SECRET),
        Outcome::Refused(NOT_ASSIGNED),
        Outcome::Sidecar,
    ],
};
