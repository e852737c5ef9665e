//! Options that `serve`, `explain` and `plan` share: they make the [`Settings`].

use super::Failure;
use super::shared_options::{CloudOption, CsiVolumesOption, SidecarOptions};
use crate::cloud::Cloud;
use crate::provider_class::{Allowlist, RefreshInterval};
use crate::settings::{
    EnvMode, Settings, TokenEndpoint, TokenEndpointText, TokenLayout, ca_bundle, is_proxy,
};
use anyhow::Context as _;
use clap::Args;
use keysluice_plan::LogFormat;
use std::path::Path;

/// Where and who, for every pod.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Tenant for ServiceAccounts and classes that do not name one [also: AZURE_TENANT_ID].
    #[arg(long, env = "KEYSLUICE_TENANT_ID", value_name = "ID")]
    tenant_id: Option<String>,
    #[command(flatten)]
    cloud: CloudOption,
    /// Audience of the projected token; cloud stands for the one that the portal of the cloud
    /// enters into federated credentials.
    #[arg(long, env = "KEYSLUICE_AUDIENCE", default_value = Settings::DEFAULT_AUDIENCE,
        value_name = "AUD")]
    audience: String,
    /// Path of the token in the containers, as in this release of Azure Workload Identity.
    #[arg(
        long,
        env = "KEYSLUICE_TOKEN_LAYOUT",
        default_value = "v1.6.0",
        value_name = "v1.5|v1.6.0|v1.6.1"
    )]
    token_layout: TokenLayout,
    /// Pods with the annotation azure.workload.identity/use-SUFFIX get their token for a custom
    /// token endpoint.
    #[arg(
        long,
        env = "KEYSLUICE_CUSTOM_TOKEN_ENDPOINT_ANNOTATION_SUFFIX",
        default_value = "",
        hide_default_value = true,
        value_name = "SUFFIX"
    )]
    custom_token_endpoint_annotation_suffix: String,
    /// Audience of those tokens; the webhook's own variables define the endpoint
    /// (AZURE_KUBERNETES_TOKEN_PROXY and related ones).
    #[arg(
        long,
        env = "KEYSLUICE_CUSTOM_TOKEN_ENDPOINT_AUDIENCE",
        default_value = "",
        hide_default_value = true,
        value_name = "AUD"
    )]
    custom_token_endpoint_audience: String,
    #[command(flatten)]
    sidecar: SidecarOptions,
    /// Format of the sidecar's log: JSON lines, or text for people.
    #[arg(
        long,
        env = "KEYSLUICE_INJECTOR_LOG_FORMAT",
        default_value = "json",
        value_name = "json|text"
    )]
    injector_log_format: LogFormat,
    /// URL of the HTTP proxy that the sidecar uses for Entra and the vaults, unless the pod sets
    /// one.
    #[arg(
        long,
        env = "KEYSLUICE_INJECTOR_HTTPS_PROXY",
        hide_env_values = true,
        value_name = "URL"
    )]
    injector_https_proxy: Option<String>,
    /// Hosts that the sidecar asks without the proxy, as Go reads them: names, *.domain, host:port,
    /// addresses, CIDR.
    #[arg(long, env = "KEYSLUICE_INJECTOR_NO_PROXY", value_name = "LIST")]
    injector_no_proxy: Option<String>,
    /// PEM of private certificate authorities that the sidecar trusts for Entra and the vaults,
    /// beside the public ones: of a proxy that inspects TLS, or of private endpoints.
    #[arg(long, env = "KEYSLUICE_INJECTOR_CA_BUNDLE", value_name = "PEM")]
    injector_ca_bundle: Option<String>,
    #[command(flatten)]
    csi_volumes: CsiVolumesOption,
    /// How variables of inline annotations get into the containers, unless the pod says: the
    /// kubelet reads them from a file (file, needs Kubernetes 1.35), or the sidecar's program
    /// starts the container's command with them (exec).
    #[arg(long, env = "KEYSLUICE_ENV_MODE", default_value = "file", value_name = "file|exec")]
    env_mode: EnvMode,
    /// Interval at which the sidecar asks the vault, unless the pod or the class sets one: 30s, 2m,
    /// 1h.
    #[arg(long, env = "KEYSLUICE_REFRESH_INTERVAL", default_value = "2m", value_name = "DURATION")]
    refresh_interval: RefreshInterval,
    /// Secrets that back a certificate also make PATH.crt and PATH.key, unless the class sets this
    /// (a flag of the Azure provider).
    #[arg(long, env = "KEYSLUICE_WRITE_CERT_AND_KEY_IN_SEPARATE_FILES")]
    write_cert_and_key_in_separate_files: bool,
    /// Allows pods with the annotation keysluice.dev/managed-identity-endpoint: intercept, in which
    /// the sidecar serves 169.254.169.254 and an init container adds that address (as root, with
    /// the capability `NET_ADMIN`).
    #[arg(long, env = "KEYSLUICE_ALLOW_IMDS_INTERCEPT")]
    allow_imds_intercept: bool,
    /// Vault that classes may name; a trailing * matches any text (repeatable; default: every
    /// vault).
    #[arg(
        long = "allow-vault",
        env = "KEYSLUICE_ALLOW_VAULT",
        value_delimiter = ',',
        value_name = "NAME"
    )]
    allow_vaults: Vec<String>,
    /// Tenant that classes may name (repeatable; default: every tenant).
    #[arg(
        long = "allow-tenant",
        env = "KEYSLUICE_ALLOW_TENANT",
        value_delimiter = ',',
        value_name = "ID"
    )]
    allow_tenants: Vec<String>,
}

impl Options {
    /// The settings they stand for.
    pub(super) fn settings(&self) -> Result<Settings, Failure> {
        let mut settings = Settings::new(cloud(self.cloud.cloud.clone())?);
        if let Some(authorities) = self.ca_bundle()? {
            settings.clouds = settings.clouds.trusting(authorities);
        }
        settings.tenant_id = self.tenant_id.clone().or_else(|| variable("AZURE_TENANT_ID"));
        let cloud = settings.clouds.default_cloud();
        settings.audience = cloud.federation_audience(&self.audience).to_owned();
        settings.token_layout = self.token_layout;
        settings.token_endpoint = self.token_endpoint()?;
        let SidecarOptions { image, cpu_request, cpu_limit } = &self.sidecar;
        if let Some(image) = image {
            settings.injector_image.clone_from(image);
        }
        settings.injector_cpu_request.clone_from(cpu_request);
        settings.injector_cpu_limit.clone_from(cpu_limit);
        settings.log_format = self.injector_log_format;
        settings.https_proxy = self.https_proxy()?;
        settings.no_proxy.clone_from(&self.injector_no_proxy);
        settings.csi_volumes = self.csi_volumes.csi_volumes;
        settings.env_mode = self.env_mode;
        settings.refresh_interval = self.refresh_interval.duration();
        settings.split_certificates = self.write_cert_and_key_in_separate_files;
        settings.allow_intercept = self.allow_imds_intercept;
        settings.limits =
            Allowlist { vaults: self.allow_vaults.clone(), tenants: self.allow_tenants.clone() };
        Ok(settings)
    }

    /// The value may hold a password, so the error does not.
    fn https_proxy(&self) -> Result<Option<String>, Failure> {
        let proxy = self.injector_https_proxy.clone().filter(|proxy| !proxy.is_empty());
        if proxy.as_deref().is_none_or(is_proxy) {
            return Ok(proxy);
        }
        Err(Failure::usage(anyhow::anyhow!(
            "--injector-https-proxy is not the URL of an HTTP proxy, such as \
             http://proxy.example:3128"
        )))
    }

    fn ca_bundle(&self) -> Result<Option<String>, Failure> {
        ca_bundle(self.injector_ca_bundle.as_deref().unwrap_or_default())
            .context("--injector-ca-bundle")
            .map_err(Failure::usage)
    }

    fn token_endpoint(&self) -> Result<Option<TokenEndpoint>, Failure> {
        let text = TokenEndpointText {
            suffix: self.custom_token_endpoint_annotation_suffix.clone(),
            audience: self.custom_token_endpoint_audience.clone(),
            proxy: variable_of_aks("TOKEN_PROXY"),
            sni_name: variable_of_aks("SNI_NAME"),
            ca_data: variable_of_aks("CA_DATA"),
            ca_config_map: variable_of_aks("CA_CONFIGMAP_NAME"),
            ca_signer: variable_of_aks("CA_CTB_SIGNER_NAME"),
            ca_selector: variable_of_aks("CA_CTB_LABEL_SELECTOR"),
        };
        text.parse().map_err(Failure::usage)
    }
}

/// The cloud of this name or file, else of AZURE_ENVIRONMENT.
pub(super) fn cloud(given: Option<String>) -> Result<Cloud, Failure> {
    let name = given.or_else(|| variable("AZURE_ENVIRONMENT")).unwrap_or_default();
    if let Some(cloud) = Cloud::well_known(&name) {
        return Ok(cloud);
    }
    // As go-autorest has it: this name says that the definition stands in a file.
    let stack_file = name
        .eq_ignore_ascii_case("AzureStackCloud")
        .then(|| variable("AZURE_ENVIRONMENT_FILEPATH"))
        .flatten();
    let path = stack_file.unwrap_or(name);
    let text = std::fs::read_to_string(Path::new(&path)).with_context(|| {
        format!(
            "--cloud {path:?} is neither a known cloud (AzurePublicCloud, \
            AzureUSGovernmentCloud, AzureChinaCloud) nor a readable file"
        )
    });
    let cloud =
        Cloud::from_json(&text.map_err(Failure::usage)?).with_context(|| format!("--cloud {path}"));
    cloud.map_err(Failure::usage)
}

/// A variable of the environment that is set to something.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The variable `AZURE_KUBERNETES_name`, empty where it is not set.
fn variable_of_aks(name: &str) -> String {
    variable(&format!("AZURE_KUBERNETES_{name}")).unwrap_or_default()
}
