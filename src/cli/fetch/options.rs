//! The command line of `fetch`.

use super::assertion::Choice;
use crate::provider_class::RefreshInterval;
use crate::settings::Settings;
use clap::Args;
use std::ffi::OsString;
use std::path::PathBuf;

/// Fetch secrets in a pipeline.
///
/// Exit codes: 0 success, 1 failure at run time, 2 wrong usage, 3 a configuration that can never
/// work; with --exec those of the command, 126 and 127 as a shell has them.
#[derive(Debug, Args)]
pub(in crate::cli) struct Fetch {
    /// What to fetch: `kv://VAULT/secrets/NAME`, perhaps with the name of the variable or file
    /// before it (`DB_PASSWORD=kv://VAULT/secrets/db`). docs/inline.md explains the parameters
    /// behind ?.
    #[arg(value_name = "REFERENCE")]
    pub(super) references: Vec<String>,
    /// Manifest with SecretProviderClasses, and perhaps the ServiceAccount (repeatable; - reads
    /// standard input).
    #[arg(short = 'f', long = "filename", value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,
    /// Vault of references that name none (`secrets/NAME`).
    #[arg(long, env = "KEYSLUICE_VAULT", value_name = "VAULT")]
    pub(super) vault: Option<String>,
    /// Client id of the pipeline's identity, also for classes that name another one [also:
    /// `AZURE_CLIENT_ID`, `AZURESUBSCRIPTION_CLIENT_ID`].
    #[arg(long, env = "KEYSLUICE_CLIENT_ID", value_name = "ID")]
    pub(super) client_id: Option<String>,
    /// Tenant of the pipeline's identity, also for classes that name another one [also:
    /// `AZURE_TENANT_ID`, `AZURESUBSCRIPTION_TENANT_ID`].
    #[arg(long, env = "KEYSLUICE_TENANT_ID", value_name = "ID")]
    pub(super) tenant_id: Option<String>,
    /// Azure cloud by name, or a file with its definition (the JSON of Azure Stack) [also:
    /// AZURE_ENVIRONMENT].
    #[arg(long, env = "KEYSLUICE_CLOUD", value_name = "NAME|FILE")]
    pub(super) cloud: Option<String>,
    /// Where the token of the pipeline comes from; auto takes the first that is there of GitHub
    /// Actions, Azure Pipelines, `KEYSLUICE_ID_TOKEN` and `AZURE_FEDERATED_TOKEN_FILE`.
    #[arg(
        long,
        env = "KEYSLUICE_ASSERTION",
        default_value = "auto",
        value_name = "auto|github|azure-pipelines|file:PATH|env:NAME"
    )]
    pub(super) assertion: Choice,
    /// Audience to request of GitHub Actions; cloud stands for the one that the portal of the cloud
    /// enters into federated credentials.
    #[arg(long, env = "KEYSLUICE_AUDIENCE", default_value = Settings::DEFAULT_AUDIENCE,
        value_name = "AUD")]
    pub(super) audience: String,
    /// Id of the service connection of Azure Pipelines [also:
    /// AZURESUBSCRIPTION_SERVICE_CONNECTION_ID].
    #[arg(long, env = "KEYSLUICE_SERVICE_CONNECTION_ID", value_name = "ID")]
    pub(super) service_connection_id: Option<String>,
    /// How long failures that may pass are tried again, as of a federated credential that is not
    /// known everywhere yet: 30s, 5m.
    #[arg(long, env = "KEYSLUICE_WAIT", default_value = "30s", value_name = "DURATION")]
    pub(super) wait: RefreshInterval,
    /// Writes each object to a file of its name in this directory: all or none.
    #[arg(long, env = "KEYSLUICE_OUT", value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Writes NAME=value lines to this file (mode 0600).
    #[arg(long, env = "KEYSLUICE_DOTENV", value_name = "FILE")]
    pub(super) dotenv: Option<PathBuf>,
    /// Sets variables for the next steps of a job of GitHub Actions.
    #[arg(long, env = "KEYSLUICE_GITHUB_ENV")]
    pub(super) github_env: bool,
    /// Sets outputs of a step of GitHub Actions.
    #[arg(long, env = "KEYSLUICE_GITHUB_OUTPUT")]
    pub(super) github_output: bool,
    /// Starts the command behind -- with the variables in its environment.
    #[arg(long, requires = "command")]
    pub(super) exec: bool,
    /// Program of the injector; without it the one beside this program, else that of the PATH.
    #[arg(long, env = "KEYSLUICE_INJECTOR", value_name = "FILE")]
    pub(super) injector: Option<PathBuf>,
    /// The command and its arguments, for --exec.
    #[arg(last = true, requires = "exec", value_name = "COMMAND")]
    pub(super) command: Vec<OsString>,
}
