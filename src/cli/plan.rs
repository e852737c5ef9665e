//! `keysluice plan`: a Plan for pipelines, from the same classes that pods use.

use super::Failure;
use super::options::Options;
use crate::cluster::manifests::{read_documents, unquoted};
use crate::mutate::{ServiceAccount, TOKEN_FILE};
use crate::plan;
use crate::provider_class::{
    ClassPlan, Context, ProviderClass, check_provider, check_secret_objects, resolve,
};
use crate::reason;
use crate::spelling::nearest;
use anyhow::{Context as _, anyhow};
use clap::Args;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

/// Turn SecretProviderClasses into a Plan.
#[derive(Debug, Args)]
pub(super) struct PlanCommand {
    /// Manifest with SecretProviderClasses, and perhaps the ServiceAccount (repeatable; - reads
    /// standard input).
    #[arg(short = 'f', long = "filename", required = true, num_args = 1.., value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Manifest of the ServiceAccount whose annotations give client and tenant id.
    #[arg(long, env = "KEYSLUICE_SERVICE_ACCOUNT_FILE", value_name = "FILE")]
    service_account_file: Option<PathBuf>,
    /// Directory below which each class gets a directory of its name.
    #[arg(long, env = "KEYSLUICE_PLAN_ROOT", default_value = "/mnt/keysluice", value_name = "DIR")]
    root: PathBuf,
    /// File with the federated token (a pipeline's OIDC token, or a projected ServiceAccount
    /// token).
    #[arg(long, env = "KEYSLUICE_TOKEN_FILE", default_value = TOKEN_FILE, value_name = "FILE")]
    token_file: String,
    #[command(flatten)]
    options: Options,
}

impl PlanCommand {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let settings = self.options.settings()?;
        let (classes, account) = read(self.files.iter().chain(&self.service_account_file))?;
        if classes.is_empty() {
            return Err(Failure::usage(anyhow!("no SecretProviderClass in the given files")));
        }
        let azure = azure(&classes)?;
        let tenant = account.tenant_id.as_deref().filter(|tenant| !tenant.trim().is_empty());
        let context = Context {
            clouds: &settings.clouds,
            client_id: account.client_id.as_deref(),
            tenant_id: tenant.or(settings.tenant_id.as_deref()),
            limits: &settings.limits,
            service_principal: None,
            split_certificates: settings.split_certificates,
            token_proxy: settings.token_proxy_use(),
        };
        let (mut plan, token_proxy) = (plan::empty(true), settings.token_proxy());
        for class in azure {
            let resolved = resolve(class, &BTreeMap::new(), &context)
                .with_context(|| format!("SecretProviderClass {}/{}", class.namespace, class.name))
                .map_err(Failure::never)?;
            warn(class, &resolved);
            let target = plan::Target {
                name: &class.name,
                directory: self.root.join(&class.name).display().to_string(),
                token_file: &self.token_file,
                token_proxy: token_proxy.as_ref(),
                refresh_interval: resolved.refresh_interval.unwrap_or(settings.refresh_interval),
            };
            plan::add_volume(&mut plan, &resolved, target);
        }
        plan.check()?;
        writeln!(std::io::stdout().lock(), "{}", serde_json::to_string_pretty(&plan)?)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The classes of all files, and the last ServiceAccount.
pub(super) fn read<'p>(
    paths: impl Iterator<Item = &'p PathBuf>,
) -> Result<(Vec<ProviderClass>, ServiceAccount), Failure> {
    let (mut classes, mut account) = (Vec::new(), ServiceAccount::default());
    for path in paths {
        for document in read_documents(path)?.documents {
            for warning in &document.warnings {
                eprintln!("warning: {warning}");
            }
            let kind = document.value["kind"].as_str();
            if let Some(kind @ ("SecretProviderClass" | "ServiceAccount")) = kind
                && let Some(fault) = unquoted(&document, &["/metadata"])
            {
                return Err(Failure::never(anyhow!("{} {kind}: {fault}", reason::KS736)));
            }
            match kind {
                Some("SecretProviderClass") => {
                    let class = ProviderClass::from_value(&document.value);
                    let class = class.with_context(|| document.origin.clone());
                    classes.push(class.map_err(Failure::never)?);
                }
                Some("ServiceAccount") => account = service_account(&document.value),
                _ => {}
            }
        }
    }
    Ok((classes, account))
}

/// What is doubtful about a class, or has no effect in a pipeline.
pub(super) fn warn(class: &ProviderClass, resolved: &ClassPlan) {
    for warning in &resolved.warnings {
        eprintln!("warning: {} {}", warning.reason, warning.text);
    }
    for warning in of_secret_objects(class, resolved) {
        eprintln!("warning: {warning}");
    }
    if resolved.files.iter().any(|file| file.owner.is_some())
        || resolved.selections.iter().any(|set| set.owner.is_some())
        || resolved.templates.iter().any(|made| made.owner.is_some())
    {
        eprintln!(
            "warning: {} class {}: fileOwner is not checked here: files belong to the user that \
             runs the injector",
            reason::KS218,
            class.name
        );
    }
}

/// The same, where there may be no class at all.
pub(super) fn azure_or_none(classes: &[ProviderClass]) -> Result<Vec<&ProviderClass>, Failure> {
    if classes.is_empty() { Ok(Vec::new()) } else { azure(classes) }
}

/// The classes that are ours. Another provider's beside them are named; one without a provider, or
/// with a misspelt one, is an error.
fn azure(classes: &[ProviderClass]) -> Result<Vec<&ProviderClass>, Failure> {
    let (azure, others): (Vec<_>, Vec<_>) = classes.iter().partition(|class| class.is_azure());
    for other in others {
        let is_meant = azure.is_empty() || nearest(other.provider.trim(), &["azure"], 1).is_some();
        match check_provider(other) {
            Err(error) if is_meant || other.provider.is_empty() => {
                return Err(Failure::never(error));
            }
            Err(error) => eprintln!("warning: not in the Plan: {error}"),
            Ok(()) => {}
        }
    }
    Ok(azure)
}

/// What a pipeline does not get of a class, and what is wrong with it.
fn of_secret_objects(class: &ProviderClass, plan: &ClassPlan) -> Vec<String> {
    if class.secret_objects.is_empty() {
        return Vec::new();
    }
    let synced = format!(
        "class {}: secretObjects have no effect in a pipeline: the files are there, the Kubernetes \
         Secrets are not",
        class.name
    );
    let wrong =
        check_secret_objects(&class.secret_objects, plan).err().map(|error| error.to_string());
    [synced].into_iter().chain(wrong).collect()
}

fn service_account(object: &serde_json::Value) -> ServiceAccount {
    let annotations = object["metadata"]["annotations"].as_object().into_iter().flatten();
    ServiceAccount::from_annotations(
        annotations.filter_map(|(key, value)| Some((key.as_str(), value.as_str()?))),
    )
}
