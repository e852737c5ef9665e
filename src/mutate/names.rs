//! Names that the webhook reads and writes in pods.

/// The label a pod opts in with.
pub const USE_LABEL: &str = "azure.workload.identity/use";
/// ServiceAccount annotation: client id.
pub const CLIENT_ID_ANNOTATION: &str = "azure.workload.identity/client-id";
/// ServiceAccount annotation: tenant id.
pub const TENANT_ID_ANNOTATION: &str = "azure.workload.identity/tenant-id";
/// Annotation of pod and ServiceAccount: lifetime of the token in seconds.
pub(super) const EXPIRATION_ANNOTATION: &str =
    "azure.workload.identity/service-account-token-expiration";

/// Driver of the CSI volumes that the webhook replaces.
pub const CSI_DRIVER: &str = "secrets-store.csi.k8s.io";
/// Name of the sidecar container.
pub const SIDECAR: &str = "keysluice";
/// The program in the sidecar's image.
pub(super) const BINARY: &str = "/keysluice-injector";
/// Name of the init container that adds the address of IMDS to the pod's loopback interface.
pub(super) const INTERCEPTOR: &str = "keysluice-intercept";
/// Name of its private volume.
pub const RUN_VOLUME: &str = "keysluice-run";
/// Name of the volume with what the sidecar needs at the API server.
pub const API_VOLUME: &str = "keysluice-api";
/// Name of the volume with the files of inline annotations.
pub(super) const INLINE_VOLUME: &str = "keysluice-inline";
/// Name of the volume with the variables of inline annotations.
pub(super) const ENV_VOLUME: &str = "keysluice-env";
/// Name of the volume with the variables of a class.
pub(super) const ENV_FROM_VOLUME: &str = "keysluice-env-from";
/// Name of the volume with the program that starts commands with variables.
pub(super) const PROGRAM_VOLUME: &str = "keysluice-exec";
/// What the names of volumes with the Secret of a service principal begin with.
pub(super) const PRINCIPAL_VOLUME_PREFIX: &str = "keysluice-principal-";
/// All names of our own volumes.
pub(super) const OWN_VOLUMES: [&str; 8] = [
    RUN_VOLUME,
    API_VOLUME,
    PLAN_VOLUME,
    INLINE_VOLUME,
    ENV_VOLUME,
    ENV_FROM_VOLUME,
    PROGRAM_VOLUME,
    TOKEN_PROXY_VOLUME,
];
/// Name of the volume with the sidecar's token for the token proxy of AKS identity bindings.
pub(super) const TOKEN_PROXY_VOLUME: &str = "keysluice-token-proxy";
/// Where the sidecar, and no other container, has it.
pub(super) const API_DIRECTORY: &str = "/var/run/secrets/keysluice.dev";
/// Name of the volume with the sidecar's token for the webhook.
pub const PLAN_VOLUME: &str = "keysluice-plan";
/// Where the sidecar, and no other container, has it.
pub(super) const PLAN_DIRECTORY: &str = "/var/run/secrets/keysluice.dev-plan";
/// Pod annotation: names of the Secrets that its sidecar writes, which the guard reads.
pub const SYNCED_ANNOTATION: &str = "keysluice.dev/synced-secrets";
/// Pod annotation: the right that its reaction needs, which the guard reads.
pub const REACTION_RIGHT_ANNOTATION: &str = "keysluice.dev/reaction-right";
/// On a pod: the port of its sidecar for metrics.
pub(super) const METRICS_PORT: &str = "keysluice.dev/metrics-port";

/// Full path of the token where nothing else is said.
pub const TOKEN_FILE: &str = "/var/run/secrets/azure/wi/token/azure-identity-token";
/// What the names of token volumes begin with.
pub(super) const TOKEN_VOLUME_PREFIX: &str = "azure-workload-identity-reserved-";

/// Names of all variables, in order: four that every container gets, four of the custom token
/// endpoint.
pub(super) const VARIABLES: [&str; 8] = [
    CLIENT_ID_VARIABLE,
    "AZURE_TENANT_ID",
    TOKEN_FILE_VARIABLE,
    "AZURE_AUTHORITY_HOST",
    "AZURE_KUBERNETES_TOKEN_PROXY",
    "AZURE_KUBERNETES_SNI_NAME",
    "AZURE_KUBERNETES_CA_FILE",
    "AZURE_KUBERNETES_CA_DATA",
];
/// What all of them begin with.
pub(super) const VARIABLE_PREFIX: &str = "AZURE_";
pub(super) const CLIENT_ID_VARIABLE: &str = "AZURE_CLIENT_ID";
pub(super) const TOKEN_FILE_VARIABLE: &str = "AZURE_FEDERATED_TOKEN_FILE";
