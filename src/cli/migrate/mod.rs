//! `keysluice migrate`: manifests of other injectors as those of Keysluice, and a report.

mod input;
mod live;
mod output;
mod review;

use super::options::Options;
use super::{FAILED, Failure};
use crate::migrate::{Choices, Migration, Object, Section};
use anyhow::anyhow;
use clap::Args;
use input::{File, Input};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

/// Turn manifests of the Secrets Store CSI driver, AAD Pod Identity, akv2k8s and Vault Agent into
/// those of Keysluice, with a report of what is left to do. Inputs are never changed.
#[derive(Debug, Args)]
pub(super) struct Migrate {
    /// Manifest or directory (repeatable; - reads standard input).
    #[arg(short = 'f', long = "filename", num_args = 1.., value_name = "FILE",
        conflicts_with_all = ["all_namespaces", "kubeconfig"])]
    files: Vec<PathBuf>,
    /// Reads all namespaces of a live cluster; nothing is changed there, and no Secret is read.
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
    /// With files: namespace of objects that do not name one. Without: reads this namespace of a
    /// live cluster.
    #[arg(short = 'n', long, value_name = "NS", value_parser = super::object_name)]
    namespace: Option<String>,
    /// Kubeconfig of the API server to ask; without it, the API server of the cluster in which the
    /// command runs.
    #[arg(long, env = "KEYSLUICE_KUBECONFIG", value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Directory for the new manifests and REPORT.md, which must not exist or be empty. Without it,
    /// manifests go to standard output and the report to standard error.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Prints the report alone; ends with 1 if a person must do something that the new manifests
    /// do not.
    #[arg(long, conflicts_with = "out")]
    check: bool,
    /// Key Vault that has the secrets of Vault: secret/data/shop/db is its secret shop-db.
    #[arg(long, value_name = "NAME")]
    vault: Option<String>,
    /// The object that a path of Vault means (repeatable).
    #[arg(long = "map", value_name = "PATH=kv://VAULT/secrets/NAME", value_parser = mapping)]
    paths: Vec<(String, String)>,
    #[command(flatten)]
    options: Options,
}

impl Migrate {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let is_live = self.files.is_empty();
        if is_live && !self.all_namespaces && self.namespace.is_none() {
            return Err(Failure::usage(anyhow!(
                "nothing to read; hint: name files with -f, a namespace of a live cluster with -n, \
                 or all with -A"
            )));
        }
        if let Some(directory) = &self.out {
            output::check(directory).map_err(Failure::usage)?;
        }
        let input = if is_live { self.live()? } else { Input::read(&self.files)? };
        let namespace = self.namespace.as_deref().filter(|_| !is_live).unwrap_or_default();
        let choices =
            Choices { vault: self.vault.clone(), paths: self.paths.iter().cloned().collect() };
        let objects = input.objects.iter();
        let objects = objects
            .map(|(document, pods)| Object::new(document.value.clone(), pods.clone(), namespace));
        let mut migration = Migration::of(objects.collect(), &choices);
        for (owner, text) in &input.unread {
            migration.report.add(Section::NotRead, owner, text.clone());
        }
        let mut settings = self.options.settings()?;
        let review = review::of(&mut migration, &input, &mut settings, namespace)?;
        let files = output::files(&input.files, &mut migration);
        migration.guide(&review.hosts, review.roles.is_some());
        self.write(&input, files, &migration, review.roles)?;
        Ok(if migration.report.is_open() { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
    }

    fn write(
        &self,
        input: &Input,
        mut files: Vec<(String, String)>,
        migration: &Migration,
        roles: Option<String>,
    ) -> Result<(), Failure> {
        let report = migration.report.print();
        let mut out = std::io::stdout().lock();
        if self.check {
            out.write_all(report.as_bytes())?;
            out.flush()?;
            return Ok(());
        }
        files.extend(output::additions(migration));
        files.extend(roles.map(|roles| ("keysluice-roles.yaml".to_owned(), roles)));
        if let Some(directory) = &self.out {
            files.extend(output::backup(input));
            files.push(("REPORT.md".to_owned(), report));
            output::write(directory, &files)?;
            writeln!(
                out,
                "{} files in {}; read REPORT.md first",
                files.len(),
                directory.display()
            )?;
        } else {
            for (name, text) in &files {
                let separator = if text.starts_with("---") { "" } else { "---\n" };
                let end = if text.ends_with('\n') { "" } else { "\n" };
                write!(out, "# {name}\n{separator}{text}{end}")?;
            }
            eprint!("{report}");
        }
        out.flush()?;
        Ok(())
    }

    fn live(&self) -> Result<Input, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let entered = runtime.enter();
        let client = crate::cluster::api::Client::connect(self.kubeconfig.as_deref())
            .map_err(Failure::usage)?;
        drop(entered);
        let documents = runtime.block_on(live::read(&client, self.namespace.as_deref()))?;
        Ok(Input::of_live(documents))
    }
}

fn mapping(text: &str) -> Result<(String, String), String> {
    let (path, reference) = text.split_once('=').unwrap_or_default();
    if path.is_empty() || !reference.starts_with("kv://") {
        return Err("not PATH=kv://VAULT/secrets/NAME".to_owned());
    }
    Ok((path.to_owned(), reference.to_owned()))
}
