//! `keysluice explain`: the webhook's own decision about the pods of a manifest, through the same
//! code, byte for byte.

mod changes;
mod text;
mod totals;
mod version;

use super::Failure;
use super::decision;
use super::manifest_pods::{ManifestPod, pods_of};
use super::misplaced;
use super::options::Options;
use super::rbac_inputs::NeededRights;
use super::reloader;
use super::terminal::{Color, Terminal, tell};
use crate::admission::{Answer, Outcome};
use crate::cluster::manifests::{Document, Manifests, read_documents};
use crate::reason;
use crate::settings::Settings;
use crate::yaml;
use anyhow::anyhow;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use totals::Totals;
use version::{KubernetesVersion, OLDEST};

/// Up to so many workloads are printed in full, more as a summary, unless the command says.
const FEW: usize = 5;

/// Show for each workload of a manifest whether and why its pods are mutated or refused, and what
/// changes in them.
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
    /// text (each workload with every changed item) for up to 5 workloads, summary (a line for each
    /// workload that is mutated or refused, and totals) for more. Others: diff (text with the whole
    /// diff), json for programs, patch (the exact bytes of the JSON patch, one line per pod), pod
    /// (the patched pods).
    #[arg(short = 'o', long, value_name = "FORMAT")]
    output: Option<Output>,
    /// The same as --output summary.
    #[arg(long, conflicts_with = "output")]
    summary: bool,
    /// Kubernetes version of the target cluster, such as 1.29: reports a version that is too old.
    #[arg(long, value_name = "VERSION")]
    kubernetes_version: Option<KubernetesVersion>,
    /// Colours in output for people.
    #[arg(long, default_value = "auto", value_name = "WHEN")]
    color: Color,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Summary,
    Diff,
    Json,
    Patch,
    Pod,
}

/// What was read.
struct Input {
    cluster: Manifests,
    pods: Vec<(ManifestPod, Rc<Document>)>,
    /// Why an object that may make pods is not looked at.
    skipped: Vec<String>,
    totals: Totals,
}

/// The decision about the pods of a workload.
#[derive(Debug)]
struct Explained {
    pod: ManifestPod,
    document: Rc<Document>,
    answer: Answer,
    because: Vec<String>,
    /// Codes of warnings without which a pod would not start.
    failures: Vec<&'static str>,
}

impl Explain {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let settings = self.options.settings()?;
        let mut input = self.read()?;
        let mut totals = std::mem::take(&mut input.totals);
        let output = self.output(input.pods.len());
        if input.pods.is_empty() {
            match output {
                Output::Text | Output::Summary | Output::Diff => {
                    let mut out = std::io::stdout().lock();
                    for text in &input.skipped {
                        writeln!(out, "{text}")?;
                    }
                }
                _ => input.skipped.iter().for_each(|text| tell(text)),
            }
            return Err(Failure::usage(anyhow!(
                "no pod, and no workload with a pod template, in the given files"
            )));
        }
        let skipped = std::mem::take(&mut input.skipped);
        let explained = self.decide(output, input, &settings)?;
        for one in &explained {
            totals.add(one);
        }
        let is_refused = explained.iter().any(Explained::is_refused);
        let mut out = std::io::stdout().lock();
        let is_printed = match output {
            Output::Text | Output::Summary | Output::Diff => {
                self.print(&mut out, output, &explained, &skipped, &totals)?;
                true
            }
            Output::Json | Output::Patch | Output::Pod => {
                // Neither JSON nor a patch nor a pod has a place for it.
                for text in &skipped {
                    tell(text);
                }
                print_for_programs(&mut out, output, &explained)?
            }
        };
        out.flush()?;
        let fails = is_refused || !is_printed;
        Ok(if fails { ExitCode::from(super::FAILED) } else { ExitCode::SUCCESS })
    }

    fn output(&self, workloads: usize) -> Output {
        let default = if self.summary || workloads > FEW { Output::Summary } else { Output::Text };
        self.output.unwrap_or(default)
    }

    fn read(&self) -> Result<Input, Failure> {
        let (cluster, notes) = Manifests::load(&self.objects, self.namespace.as_deref())?;
        for note in &notes {
            tell(&format!("note: {note}"));
        }
        let (pods, skipped, totals) = (Vec::new(), Vec::new(), Totals::default());
        let mut input = Input { cluster, pods, skipped, totals };
        let mut documents = Vec::new();
        for path in &self.files {
            for mut document in read_documents(path)?.documents {
                if let Some(namespace) = &self.namespace {
                    document.default_namespace(namespace);
                }
                for warning in &document.warnings {
                    tell(&format!("warning: {warning}"));
                }
                input.cluster.add(&document);
                documents.push(Rc::new(document));
            }
        }
        let names: HashSet<_> = documents.iter().map(|document| name_of(&document.value)).collect();
        input.totals.objects = documents.len();
        for document in &documents {
            let found = pods_of(document);
            if !found.pods.is_empty() && names_its_maker(&document.value, &names) {
                input.totals.made += 1;
                continue;
            }
            input.totals.skipped += found.skipped.len();
            input.skipped.extend(found.skipped);
            input.pods.extend(found.pods.into_iter().map(|pod| (pod, Rc::clone(document))));
        }
        Ok(input)
    }

    fn decide(
        &self,
        output: Output,
        input: Input,
        settings: &Settings,
    ) -> Result<Vec<Explained>, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let (mut rights, mut answers) = (NeededRights::default(), Vec::new());
        for (pod, document) in &input.pods {
            let decision = decision::decide(pod, document, settings, &input.cluster);
            let answer = runtime.block_on(decision)?;
            rights.add(pod, &answer);
            answers.push(answer);
        }
        let mut explained = Vec::new();
        for ((pod, document), mut answer) in input.pods.into_iter().zip(answers) {
            let (mut warnings, mut failures) = (Vec::new(), Vec::new());
            for verdict in rights.judge(&pod, &answer, input.cluster.rbac()) {
                let code = totals::code_of(&verdict.text);
                let known = reason::find(code).filter(|_| verdict.is_missing);
                failures.extend(known.map(|reason| reason.code));
                warnings.push(verdict.text);
            }
            warnings.extend(misplaced::warning(&pod, &document));
            warnings.extend(reloader::warning(&pod, &document, &answer));
            if let Some(warning) = self.too_old(&answer) {
                failures.push(reason::KS725.code);
                warnings.push(warning);
            }
            match output {
                // Neither a patch nor a pod can say why the command fails.
                Output::Patch | Output::Pod => {
                    for text in warnings.iter().chain(&answer.message) {
                        tell(&format!("{}: {text}", pod.owner));
                    }
                }
                _ => answer.warnings.append(&mut warnings),
            }
            let because = decision::because(&pod, &document, &answer);
            explained.push(Explained { pod, document, answer, because, failures });
        }
        Ok(explained)
    }

    fn too_old(&self, answer: &Answer) -> Option<String> {
        let version = self.kubernetes_version.filter(|version| *version < OLDEST)?;
        (answer.outcome == Outcome::Mutated).then(|| {
            format!(
                "{} Kubernetes {version} is older than {OLDEST}; hint: upgrade the cluster",
                reason::KS725
            )
        })
    }

    fn print(
        &self,
        out: &mut impl Write,
        output: Output,
        explained: &[Explained],
        skipped: &[String],
        totals: &Totals,
    ) -> Result<(), Failure> {
        let terminal = Terminal::stdout(self.color);
        if output == Output::Summary {
            // What is refused stands last, beside the totals.
            for outcome in [Outcome::Mutated, Outcome::Denied] {
                for one in explained.iter().filter(|one| one.answer.outcome == outcome) {
                    write!(out, "{}", text::one_line(one, terminal))?;
                }
            }
        } else {
            let print = if output == Output::Diff { text::diff } else { text::full };
            for one in explained {
                write!(out, "{}", print(one, terminal))?;
            }
        }
        for text in skipped {
            write!(out, "{}", terminal.wrap(&format!("{text}\n"), 4))?;
        }
        if explained.len() > 1 || output == Output::Summary {
            write!(out, "\n{}", terminal.wrap(&totals.text(), 13))?;
            let more = match output {
                Output::Summary => "-o text shows every workload in full; ",
                _ => "",
            };
            let hint = format!("hint: {more}keysluice why CODE explains a code\n");
            write!(out, "{}", terminal.wrap(&hint, 6))?;
        }
        Ok(())
    }
}

impl Explained {
    fn is_refused(&self) -> bool {
        self.answer.outcome == Outcome::Denied || !self.failures.is_empty()
    }
}

/// Kind, namespace and name of an object.
fn name_of(object: &Value) -> (String, String, String) {
    let metadata = &object["metadata"];
    (owned(&object["kind"]), owned(&metadata["namespace"]), owned(&metadata["name"]))
}

fn owned(text: &Value) -> String {
    text.as_str().unwrap_or_default().to_owned()
}

/// Whether the controller that made an object is one of `names`, as in what `kubectl get` prints of
/// pods and Deployments.
fn names_its_maker(object: &Value, names: &HashSet<(String, String, String)>) -> bool {
    let owners = object["metadata"]["ownerReferences"].as_array();
    let mut owners = owners.into_iter().flatten().filter(|owner| owner["controller"] == true);
    let namespace = name_of(object).1;
    owners.any(|owner| {
        names.contains(&(owned(&owner["kind"]), namespace.clone(), owned(&owner["name"])))
    })
}

/// Whether everything could be printed.
fn print_for_programs(
    out: &mut impl Write,
    output: Output,
    explained: &[Explained],
) -> Result<bool, Failure> {
    if output == Output::Json {
        let all: Vec<_> = explained.iter().map(json).collect();
        writeln!(out, "{}", serde_json::to_string_pretty(&all)?)?;
        return Ok(true);
    }
    let mut is_printed = true;
    for one in explained {
        if output == Output::Patch {
            writeln!(out, "{}", String::from_utf8_lossy(one.answer.patch.to_json()))?;
            continue;
        }
        match patched(one) {
            Ok(patched) => write!(out, "---\n{}", yaml::write(&patched))?,
            // The others are printed all the same.
            Err(error) => {
                is_printed = false;
                let code = reason::KS201;
                tell(&format!("{}: {code} cannot be changed: {error}", one.pod.owner));
            }
        }
    }
    Ok(is_printed)
}

fn patched(explained: &Explained) -> Result<Value, json_patch::PatchError> {
    let mut patched = explained.pod.pod.clone();
    json_patch::patch(&mut patched, &explained.answer.patch.to_json_patch())?;
    Ok(patched)
}

fn json(explained: &Explained) -> Value {
    let Explained { pod, document, answer, because, .. } = explained;
    let changes = text::changes_of(explained).into_iter().map(|change| change.text);
    json!({"pod": pod.owner, "location": document.location, "outcome": answer.outcome.as_str(),
        "code": answer.reason.map(|reason| reason.code),
        "message": answer.message, "because": because, "warnings": answer.warnings,
        "changes": changes.collect::<Vec<_>>(), "patch": answer.patch.to_json_patch()})
}
