//! `keysluice fetch`: secrets for a job of a pipeline, without a Plan to make first.
//!
//! References and classes become a Plan, the pipeline's own token the assertion, and
//! `keysluice-injector once` fetches. What it wrote goes into files, variables of the job, or the
//! environment of a command.

mod assertion;
mod error;
mod http;
mod injector;
mod names;
mod options;
mod output_file;
mod outputs;
mod private;
mod values;
mod wanted;

use super::options::{cloud, variable};
use super::{FAILED, Failure, NEVER, USAGE, plan};
use crate::provider_class::{Allowlist, Context, TokenProxyUse};
use crate::settings::Settings;
use anyhow::{Context as _, anyhow};
use assertion::{Source, Surroundings};
use error::{Cause, FetchError, Kind};
use injector::{Ended, Run, Signals};
use keysluice_plan::Plan;
pub(super) use options::Fetch;
use outputs::Fetched;
use private::PrivateDirectory;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use values::{MaskStyle, Target};
use wanted::{Place, Resolved, Wanted};

/// What the operator's cloud says of its Entra.
#[derive(Clone, Copy)]
struct Entra<'a> {
    trusted_ca: Option<&'a str>,
    /// Of the assertion.
    audience: &'a str,
}

impl Fetch {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        self.perform().map_err(|failure| match failure.error.downcast_ref::<FetchError>() {
            Some(error) => Failure { code: exit_code(error.kind()), ..failure },
            None => failure,
        })
    }

    fn perform(&self) -> Result<ExitCode, Failure> {
        let runner_files = self.runner_files()?;
        let (classes, account) = plan::read(self.files.iter())?;
        if !self.files.is_empty() && classes.is_empty() {
            return Err(Failure::usage(anyhow!("no SecretProviderClass in the given files")));
        }
        let cloud = cloud(self.cloud.clone())?;
        let trusted_ca = cloud.trusted_ca.clone();
        let audience = cloud.federation_audience(&self.audience).to_owned();
        let settings = Settings::new(cloud);
        let client_id =
            given(self.client_id.as_ref(), ["AZURE_CLIENT_ID", "AZURESUBSCRIPTION_CLIENT_ID"]);
        let tenant_id =
            given(self.tenant_id.as_ref(), ["AZURE_TENANT_ID", "AZURESUBSCRIPTION_TENANT_ID"]);
        let limits = Allowlist::default();
        let wanted = Wanted {
            references: &self.references,
            vault: self.vault.as_deref(),
            classes: plan::azure_or_none(&classes)?,
            context: Context {
                clouds: &settings.clouds,
                client_id: client_id.as_deref(),
                tenant_id: tenant_id.as_deref(),
                limits: &limits,
                service_principal: None,
                split_certificates: false,
                token_proxy: TokenProxyUse::Unavailable,
            },
            account: (account.client_id.as_deref(), account.tenant_id.as_deref()),
        };
        let resolved = wanted.resolve()?;
        for (class, plan) in &resolved.classes {
            plan::warn(class, plan);
        }
        let targets = self.targets();
        if !targets.is_empty() {
            let paths = resolved.paths();
            let paths = paths.iter().map(String::as_str);
            resolved.names.of(paths, targets.contains(&Target::Runner))?;
        }
        outputs::check(self.dotenv.as_deref(), &runner_files)?;
        let entra = Entra { trusted_ca: trusted_ca.as_deref(), audience: &audience };
        self.fetch(&resolved, entra, &targets, &runner_files)
    }

    /// The files of the runner that are written; checks which outputs are wanted.
    fn runner_files(&self) -> Result<Vec<PathBuf>, FetchError> {
        if self.out.is_none() && self.targets().is_empty() {
            return Err(Cause::Usage("no output is given").into());
        }
        if self.dotenv.is_some() && is_true("GITLAB_CI") {
            return Err(Cause::DotenvOnGitlab.into());
        }
        let env = self.github_env.then_some(("--github-env", "GITHUB_ENV"));
        let output = self.github_output.then_some(("--github-output", "GITHUB_OUTPUT"));
        let named = [env, output].into_iter().flatten();
        named.map(|(option, variable)| outputs::named_by_runner(option, variable)).collect()
    }

    fn targets(&self) -> Vec<Target> {
        let command = self.exec.then_some(Target::Command);
        let dotenv = self.dotenv.as_ref().map(|_| Target::Dotenv);
        let runner = (self.github_env || self.github_output).then_some(Target::Runner);
        [command, dotenv, runner].into_iter().flatten().collect()
    }

    fn mask_style(&self) -> Option<MaskStyle> {
        if self.github_env || self.github_output || is_true("GITHUB_ACTIONS") {
            Some(MaskStyle::Github)
        } else {
            is_true("TF_BUILD").then_some(MaskStyle::AzurePipelines)
        }
    }

    fn fetch(
        &self,
        resolved: &Resolved<'_>,
        entra: Entra<'_>,
        targets: &[Target],
        runner_files: &[PathBuf],
    ) -> Result<ExitCode, Failure> {
        let private = PrivateDirectory::new(|name| std::env::var_os(name))?;
        let directory = match &self.out {
            Some(out) => prepare(out)?,
            None => private.join("out"),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let ended = runtime.block_on(async {
            // From here on a signal ends the run in order: nothing is left behind.
            let mut signals = Signals::new()?;
            let ended = self.run_injector(resolved, entra, (&private, &directory), &mut signals);
            let ended = ended.await?;
            if ended != Ended::Done {
                return Ok(Err(ended));
            }
            let handed = self.hand_on(&directory, resolved, targets, runner_files)?;
            // One that came meanwhile.
            let late = tokio::time::timeout(Duration::ZERO, signals.next()).await.ok();
            Ok::<_, Failure>(late.map_or(Ok(handed), |signal| Err(Ended::Signal(signal))))
        })?;
        drop(private);
        match ended {
            Ok(None) | Err(Ended::Done) => Ok(ExitCode::SUCCESS),
            Ok(Some(command)) => {
                let (code, error) = outputs::become_command(command);
                Err(Failure { code, error: anyhow!("{error}") })
            }
            Err(Ended::Failed(code)) => Ok(ExitCode::from(code)),
            Err(Ended::Signal(signal)) => {
                let message = format!("ended by signal {}", signal.as_raw());
                Err(Failure { code: FAILED, error: anyhow!(message) })
            }
        }
    }

    async fn run_injector(
        &self,
        resolved: &Resolved<'_>,
        entra: Entra<'_>,
        (private, directory): (&PrivateDirectory, &Path),
        signals: &mut Signals,
    ) -> Result<Ended, Failure> {
        let until = injector::deadline(self.wait.duration());
        let own_token = private.join("token");
        let mut made = self.plan(resolved, directory, &own_token)?;
        let source =
            wanted::is_federated(&made).then(|| self.source(entra.audience)).transpose()?;
        if let Some(Source::File(path)) = &source {
            let token_file = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            made = self.plan(resolved, directory, &token_file)?;
        }
        if let Some(source) = &source {
            eprintln!("assertion: {}", source.describe());
        }
        let client = match &source {
            Some(Source::Service(_)) => Some(http::Client::new(entra.trusted_ca)?),
            _ => None,
        };
        let plan_file = private.join("plan.json");
        let run = Run {
            program: injector::program(self.injector.as_deref()),
            plan: &made,
            plan_file: &plan_file,
            token_file: &own_token,
            termination_log: &private.join("termination-log"),
            source: source.as_ref(),
            client: client.as_ref(),
            until,
        };
        Ok(run.run(signals).await?)
    }

    fn plan(
        &self,
        resolved: &Resolved<'_>,
        directory: &Path,
        token_file: &Path,
    ) -> Result<Plan, FetchError> {
        resolved.plan(Place {
            directory: &directory.display().to_string(),
            token_file: &token_file.display().to_string(),
            is_for_others: self.out.is_some(),
        })
    }

    fn source(&self, audience: &str) -> Result<Source, FetchError> {
        let around = Surroundings {
            variable: &variable,
            audience,
            service_connection: self.service_connection_id.as_deref(),
        };
        Source::choose(&self.assertion, &around)
    }

    /// Masks first; then whatever is wanted. Gives the command that is to be started.
    fn hand_on(
        &self,
        directory: &Path,
        resolved: &Resolved<'_>,
        targets: &[Target],
        runner_files: &[PathBuf],
    ) -> Result<Option<std::process::Command>, FetchError> {
        let style = self.mask_style();
        if style.is_none() && targets.is_empty() {
            return Ok(None);
        }
        let files: Vec<Fetched> = outputs::read(directory)?;
        if let Some(style) = style {
            outputs::mask(&files, style)?;
        }
        if targets.is_empty() {
            return Ok(None);
        }
        let variables = outputs::variables(files, &resolved.names, targets)?;
        if let Some(path) = &self.dotenv {
            outputs::dotenv(path, &variables)?;
        }
        for path in runner_files {
            outputs::runner_file(path, &variables)?;
        }
        Ok(self.exec.then(|| outputs::command(&self.command, &variables)))
    }
}

fn exit_code(kind: Kind) -> u8 {
    match kind {
        Kind::Usage => USAGE,
        Kind::Never => NEVER,
        Kind::Failed => FAILED,
    }
}

/// The option, else the first of the variables that is set.
fn given(option: Option<&String>, names: [&str; 2]) -> Option<String> {
    let option = option.cloned().filter(|value| !value.trim().is_empty());
    option.or_else(|| names.into_iter().find_map(variable)).map(|value| value.trim().to_owned())
}

fn is_true(name: &str) -> bool {
    variable(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// The absolute path of the output directory. A new one is for this user alone.
fn prepare(out: &Path) -> Result<PathBuf, Failure> {
    let path = absolute_directory(out).map_err(|error| FetchError::output(out, error))?;
    let text = path.to_str().context("the path of --out is not UTF-8").map_err(Failure::usage)?;
    // The Plan takes no `..`, and no link is to be followed later.
    Ok(std::fs::canonicalize(text).map_err(|error| FetchError::output(out, error))?)
}

fn absolute_directory(path: &Path) -> std::io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    if !path.is_dir() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
    }
    let mode = std::fs::metadata(&path)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let path = path.display();
        eprintln!(
            "warning: other users may read the files in {path}, its mode is {mode:04o}; hint: \
             chmod 0700 {path}"
        );
    }
    Ok(path)
}
