//! `keysluice explain`: the webhook's own decision about the pods of a manifest, through the same
//! code, byte for byte.

use super::Failure;
use super::decision;
use super::manifest_pods::{ManifestPod, pods_of};
use super::misplaced;
use super::options::Options;
use super::rbac_inputs::NeededRights;
use super::reloader;
use super::yaml_diff::{self, Style};
use crate::admission::{Answer, Outcome};
use crate::cluster::manifests::{Manifests, read_documents};
use crate::reason;
use crate::yaml;
use anyhow::anyhow;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use std::fmt;
use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::str::FromStr;

/// Show for each pod of a manifest whether and why it is mutated, and the exact patch.
#[derive(Debug, Args)]
pub(super) struct Explain {
    /// Manifest with pods or workloads; ServiceAccounts and classes in it count too (repeatable; -
    /// reads standard input).
    #[arg(short = 'f', long = "filename", required = true, num_args = 1.., value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Additional manifests that represent the cluster: files or directories (repeatable).
    #[arg(long = "objects", env = "KEYSLUICE_OBJECTS", value_delimiter = ',', value_name = "PATH")]
    objects: Vec<PathBuf>,
    /// Namespace of objects that do not name one, as with kubectl -n NS apply.
    #[arg(short = 'n', long, value_name = "NS")]
    namespace: Option<String>,
    /// text for people, json for programs, patch (the exact bytes of the JSON patch, one line per
    /// pod), pod (the patched pods).
    #[arg(short = 'o', long, default_value = "text", value_name = "FORMAT")]
    output: Output,
    /// Kubernetes version of the target cluster, such as 1.29: reports a version that is too old.
    #[arg(long, value_name = "VERSION")]
    kubernetes_version: Option<KubernetesVersion>,
    /// Colours in text output.
    #[arg(long, default_value = "auto", value_name = "WHEN")]
    color: Color,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
    Patch,
    Pod,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

impl Explain {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let settings = self.options.settings()?;
        let (mut cluster, notes) = Manifests::load(&self.objects, self.namespace.as_deref())?;
        for note in &notes {
            eprintln!("keysluice: note: {note}");
        }
        let (mut pods, mut skipped) = (Vec::new(), Vec::new());
        for path in &self.files {
            for mut document in read_documents(path)?.documents {
                if let Some(namespace) = &self.namespace {
                    document.default_namespace(namespace);
                }
                for warning in &document.warnings {
                    eprintln!("keysluice: warning: {warning}");
                }
                cluster.add(&document);
                let found = pods_of(&document);
                skipped.extend(found.skipped);
                let document = Rc::new(document);
                pods.extend(found.pods.into_iter().map(|pod| (pod, Rc::clone(&document))));
            }
        }
        let mut out = std::io::stdout().lock();
        for text in &skipped {
            // Neither JSON nor a patch nor a pod has a place for it.
            match self.output {
                Output::Text => writeln!(out, "{text}")?,
                _ => eprintln!("keysluice: {text}"),
            }
        }
        if pods.is_empty() {
            out.flush()?;
            return Err(Failure::usage(anyhow!(
                "no pod, and no workload with a pod template, in the given files"
            )));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let mut refused = false;
        let (mut explained, mut answers) = (Vec::new(), Vec::new());
        let mut rights = NeededRights::default();
        for (pod, document) in &pods {
            let answer = runtime.block_on(decision::decide(pod, document, &settings, &cluster))?;
            rights.add(pod, &answer);
            answers.push(answer);
        }
        for ((pod, document), mut answer) in pods.iter().zip(answers) {
            for verdict in rights.judge(pod, &answer, cluster.rbac()) {
                refused |= verdict.is_missing;
                self.warn(pod, &mut answer, verdict.text);
            }
            if let Some(warning) = misplaced::warning(pod, document) {
                self.warn(pod, &mut answer, warning);
            }
            if let Some(warning) = reloader::warning(pod, document, &answer) {
                self.warn(pod, &mut answer, warning);
            }
            if let Some(version) = self.kubernetes_version.filter(|version| *version < OLDEST)
                && answer.outcome == Outcome::Mutated
            {
                refused = true;
                let warning = format!(
                    "{} Kubernetes {version} is older than {OLDEST}; hint: upgrade the cluster",
                    reason::KS725
                );
                self.warn(pod, &mut answer, warning);
            }
            refused |= answer.outcome == Outcome::Denied;
            // Neither a patch nor a pod can say why the command fails.
            if let (Output::Patch | Output::Pod, Some(message)) = (self.output, &answer.message) {
                eprintln!("keysluice: {}: {message}", pod.owner);
            }
            let because = decision::because(pod, document, &answer);
            match self.output {
                Output::Text => write!(out, "{}", text(pod, &answer, &because, self.style()))?,
                Output::Json => explained.push(summary(pod, &answer, &because)),
                Output::Patch => {
                    writeln!(out, "{}", String::from_utf8_lossy(answer.patch.to_json()))?;
                }
                Output::Pod => match patched(pod, &answer) {
                    Ok(patched) => write!(out, "---\n{}", yaml::write(&patched))?,
                    // The others are printed all the same.
                    Err(error) => {
                        refused = true;
                        eprintln!(
                            "keysluice: {}: {} cannot be changed: {error}",
                            pod.owner,
                            reason::KS201
                        );
                    }
                },
            }
        }
        if self.output == Output::Json {
            writeln!(out, "{}", serde_json::to_string_pretty(&explained)?)?;
        }
        out.flush()?;
        Ok(if refused { ExitCode::from(super::FAILED) } else { ExitCode::SUCCESS })
    }

    /// Neither a patch nor a pod has a place for a warning.
    fn warn(&self, pod: &ManifestPod, answer: &mut Answer, warning: String) {
        match self.output {
            Output::Text | Output::Json => answer.warnings.push(warning),
            Output::Patch | Output::Pod => eprintln!("keysluice: {}: {warning}", pod.owner),
        }
    }

    fn style(&self) -> Style {
        let colored = match self.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
            }
        };
        if colored { Style::COLORED } else { Style::PLAIN }
    }
}

/// The chart asks for the same.
const OLDEST: KubernetesVersion = KubernetesVersion { major: 1, minor: 30 };

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct KubernetesVersion {
    major: u32,
    minor: u32,
}

/// As `kubectl version` or a cloud writes it: `1.29`, `v1.30.4-gke.1`, `1.29+`.
impl FromStr for KubernetesVersion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number =
            |part: Option<&str>| part.and_then(|part| part.trim_end_matches('+').parse().ok());
        let mut parts = text.trim_start_matches('v').split('.');
        let (major, minor) = (number(parts.next()), number(parts.next()));
        let version = major.zip(minor).map(|(major, minor)| Self { major, minor });
        version.ok_or_else(|| "not a version of Kubernetes; hint: write it as 1.30".to_owned())
    }
}

impl fmt::Display for KubernetesVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}

fn patched(pod: &ManifestPod, answer: &Answer) -> Result<Value, json_patch::PatchError> {
    let mut patched = pod.pod.clone();
    json_patch::patch(&mut patched, &answer.patch.to_json_patch())?;
    Ok(patched)
}

fn summary(pod: &ManifestPod, answer: &Answer, because: &[String]) -> Value {
    json!({"pod": pod.owner, "outcome": answer.outcome.as_str(),
        "code": answer.reason.map(|reason| reason.code),
        "message": answer.message, "because": because, "warnings": answer.warnings,
        "patch": answer.patch.to_json_patch()})
}

fn text(pod: &ManifestPod, answer: &Answer, because: &[String], style: Style) -> String {
    let mut text = format!("{}{}{}: ", style.bold, pod.owner, style.reset);
    text += &match answer.outcome {
        Outcome::Mutated => format!("{}mutated{}\n", style.added, style.reset),
        Outcome::Unchanged => "let through unchanged\n".to_owned(),
        Outcome::Denied => format!("{}refused{}\n", style.removed, style.reset),
    };
    for note in because {
        text += &format!("  because  {note}\n");
    }
    if let Some(message) = &answer.message {
        text += &format!("  error    {message}\n");
    }
    for warning in &answer.warnings {
        text += &format!("  warning  {warning}\n");
    }
    if let (Outcome::Mutated, Ok(after)) = (answer.outcome, patched(pod, answer)) {
        text.push('\n');
        text += &yaml_diff::diff(&pod.pod, &after, style);
        text.push('\n');
    }
    text
}
