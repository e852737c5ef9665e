//! `keysluice migrate`: manifests of other injectors as those of Keysluice, and a report.

mod input;
mod live;
mod output;
mod review;

use super::options::Options;
use super::{FAILED, Failure};
use crate::cli::input_options::InputOptions;
use crate::migrate::{Choices, Migration, Object, Section};
use clap::Args;
use input::{File, Input};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

/// Turn manifests of the Secrets Store CSI driver, AAD Pod Identity, akv2k8s and Vault Agent into
/// those of Keysluice, with a report of what is left to do. Inputs are never changed.
#[derive(Debug, Args)]
pub(super) struct Migrate {
    #[command(flatten)]
    input: InputOptions,
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
        let is_live = self.input.is_live()?;
        if let Some(directory) = &self.out {
            output::check(directory).map_err(Failure::usage)?;
        }
        let input = if is_live { self.live()? } else { Input::read(&self.input.files)? };
        let namespace = self.input.namespace.as_deref().filter(|_| !is_live).unwrap_or_default();
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
        let (runtime, client) = self.input.connect()?;
        let documents = runtime.block_on(live::read(&client, self.input.namespace.as_deref()))?;
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
