//! The canonical failures: each directory of `tests/data/failures` has the manifests of one, what
//! goes wrong in the cluster or in Azure, and what the commands and the sidecar must say of it.
//!
//! `UPDATE=1` writes the expected texts anew.

mod case;
mod cluster;
mod output;
mod page;
mod probe;
mod runtime;
mod status;
mod webhook;

use crate::suite::support::{binaries, data};
use case::{Case, PodState};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Failures of issue 16 that have a directory.
const FEWEST: usize = 30;

/// What one failure looks like from everywhere.
#[derive(Debug, Default)]
struct Seen {
    /// Name of the file below the failure's directory, and its text.
    texts: Vec<(&'static str, String)>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_canonical_failure_is_diagnosed_as_expected() {
    keysluice_demo::install_crypto_provider();
    // Built before the clock of any case runs.
    let _ = binaries();
    let only = std::env::var("FAILURE").ok();
    let mut cases = cases();
    assert!(cases.len() >= FEWEST, "{} failures", cases.len());
    cases.retain(|case| only.as_ref().is_none_or(|name| case.name.contains(name.as_str())));
    let mut running = tokio::task::JoinSet::new();
    let (mut wrong, mut waiting) = (Vec::new(), cases.into_iter());
    // A few at a time: each has an emulator, an API server and a sidecar.
    running.extend_with(&mut waiting, 4);
    while let Some(outcome) = running.join_next().await {
        let (case, seen) = outcome.unwrap();
        wrong.extend(compare(&case, &seen));
        running.extend_with(&mut waiting, 1);
    }
    assert!(wrong.is_empty(), "UPDATE=1 writes them anew:\n{}", wrong.join("\n"));
}

/// Starts the next few cases.
trait ExtendWith {
    fn extend_with(&mut self, waiting: &mut std::vec::IntoIter<Case>, count: usize);
}

impl ExtendWith for tokio::task::JoinSet<(Case, Seen)> {
    fn extend_with(&mut self, waiting: &mut std::vec::IntoIter<Case>, count: usize) {
        for case in waiting.by_ref().take(count) {
            self.spawn(async move {
                let seen = look(&case).await;
                (case, seen)
            });
        }
    }
}

/// Runs everything that may say something about a failure.
async fn look(case: &Case) -> Seen {
    let mut seen = Seen::default();
    seen.texts.push(("expected.explain.txt", explain(&case.manifests_file()).await));
    let pod = match case.pod {
        PodState::Mutated => patched(&case.earlier_file(), &[]).await,
        PodState::AsWritten | PodState::None => None,
    };
    let mut sidecar = None;
    if case.emulator.is_some() {
        let ran = runtime::run(case).await;
        seen.texts.push(("expected.termination.txt", ran.termination.clone()));
        seen.texts.push(("expected.log.txt", ran.log.clone()));
        sidecar = Some(ran);
    }
    let said = webhook::ask(case).await;
    let of_sidecar = sidecar.as_ref().map(|ran| ran.series.as_ref());
    let series = of_sidecar.into_iter().flatten().flatten().chain(&said.series);
    let metric = series.fold(String::new(), |text, series| text + series + "\n");
    let silence = if of_sidecar == Some(None) { "ended-at-once" } else { said.silence };
    let metric = if metric.is_empty() { webhook::none(silence) } else { metric };
    seen.texts.extend([("expected.apply.txt", said.apply), ("expected.metric.txt", metric)]);
    let doctor = cluster::doctor(case, pod, sidecar.as_ref()).await;
    seen.texts.push(("expected.doctor.txt", doctor));
    seen
}

/// The differences from the expected texts; with `UPDATE=1` those are written.
fn compare(case: &Case, seen: &Seen) -> Vec<String> {
    let mut wrong = Vec::new();
    for (file, text) in &seen.texts {
        let path = case.directory.join(file);
        if std::env::var_os("UPDATE").is_some() {
            let mut created = std::fs::File::create(&path).unwrap();
            std::io::Write::write_all(&mut created, text.as_bytes()).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        if expected != *text {
            wrong.push(format!("{}/{file}:\n--- expected\n{expected}--- found\n{text}", case.name));
        }
    }
    wrong
}

fn cases() -> Vec<Case> {
    let mut directories: Vec<PathBuf> = std::fs::read_dir(data().join("failures"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    directories.sort();
    directories.iter().map(|directory| Case::read(directory)).collect()
}

/// What `explain` says of manifests, without the patch.
async fn explain(manifests: &str) -> String {
    let arguments = explain_arguments(manifests, "json", &[]);
    let (_, json, error) = keysluice(&arguments, &[]).await;
    let list: Value = serde_json::from_str(&json).unwrap_or_default();
    let mut text = String::new();
    for one in list.as_array().into_iter().flatten() {
        text +=
            &format!("{}: {}\n", one["pod"].as_str().unwrap(), one["outcome"].as_str().unwrap());
        text += &one["message"].as_str().map(|it| format!("error: {it}\n")).unwrap_or_default();
        for (field, title) in [("because", "because"), ("warnings", "warning")] {
            for line in one[field].as_array().into_iter().flatten() {
                text += &format!("{title}: {}\n", line.as_str().unwrap());
            }
        }
    }
    text += &error;
    text.replace(manifests, "manifests.yaml")
}

/// The pod as the webhook leaves it, unless it is refused.
async fn patched(manifests: &str, options: &[String]) -> Option<Value> {
    let arguments = explain_arguments(manifests, "pod", options);
    let (_, pod, _) = keysluice(&arguments, &[]).await;
    serde_saphyr::from_str(pod.trim_start_matches("---\n")).ok()
}

fn explain_arguments(manifests: &str, output: &str, options: &[String]) -> Vec<String> {
    let tenant = keysluice_demo::TENANT;
    let arguments =
        ["explain", "-o", output, "-f", manifests, "-n", case::NAMESPACE, "--tenant-id", tenant];
    arguments.map(str::to_owned).into_iter().chain(options.iter().cloned()).collect()
}

/// Runs `keysluice` beside the servers of this process.
async fn keysluice(arguments: &[String], variables: &[(&str, &Path)]) -> (i32, String, String) {
    let mut command = tokio::process::Command::new(binaries().keysluice);
    command.env_clear().env("LANG", "C.UTF-8").args(arguments);
    command.envs(variables.iter().copied());
    let output = command.output().await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}
