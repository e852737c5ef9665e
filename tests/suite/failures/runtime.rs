//! The real sidecar, against an emulator with a fault.

use super::case::{Case, NAMESPACE};
use super::patched;
use crate::suite::support::binaries;
use keysluice_demo::{Pod, Reviewed, Stage};
use keysluice_emulator::{Config, Emulator};
use serde_json::Value;
use std::io::Write as _;
use std::time::Duration;

/// The start of a sidecar whose Plan says so; 30 s in a cluster.
const START_TIMEOUT_SECONDS: u64 = 2;
const PATIENCE: Duration = Duration::from_secs(30);
/// What the message of a start says that went on for its whole time.
const GAVE_UP: &str = "(gave up after ";
/// A sidecar that fails is scraped until it ends.
const SCRAPE_INTERVAL: Duration = Duration::from_millis(100);

/// What the sidecar said.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) termination: String,
    /// Everything that it logged.
    pub(super) whole_log: String,
    /// Lines of warnings and errors, each once.
    pub(super) log: String,
    /// The pod that it ran in.
    pub(super) pod: Value,
    /// Names and labels of the series of its metrics that tell of a failure; `None` of one that
    /// ended at once, before a scraper comes.
    pub(super) series: Option<Vec<String>>,
    /// Whether its first generation was complete.
    pub(super) is_ready: bool,
    /// What `status -o json` printed, if it was.
    pub(super) status: Option<String>,
}

pub(super) async fn run(case: &Case) -> Ran {
    let runtime = case.emulator.as_ref().unwrap();
    let stage = Stage::new().unwrap();
    let emulator = Emulator::start(Config::default()).await.unwrap();
    emulator.seed(runtime.seed(&emulator.issuer())).unwrap();
    for fault in &runtime.faults {
        emulator.inject(fault.clone());
    }
    if let Some(names) = &runtime.secrets {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        emulator.allow_secrets(Some(&names));
    }
    let port = emulator.https_port().to_string();
    let mut cloud: Value = serde_json::from_str(&emulator.cloud_json()).unwrap();
    for (field, value) in &runtime.cloud {
        cloud[field.as_str()] = match value.as_str() {
            Some(text) => text.replace("PORT", &port).into(),
            None => value.clone(),
        };
    }
    let path = stage.path().join("cloud.json");
    write(&path, &cloud.to_string());
    let options = ["--cloud".to_owned(), path.display().to_string()];
    let mut pod = patched(&case.manifests_file(), &options).await.expect("a pod with a sidecar");
    let original = pod.clone();
    adapt(&mut pod, case);
    let reviewed = Reviewed { pod, ..empty() };
    let name = "web-0";
    let mut running =
        Pod::start(name, NAMESPACE, &reviewed, &emulator, &binaries(), &stage).unwrap();
    let (mut metrics, mut status) = (String::new(), None);
    let is_ready = if runtime.ready {
        running.wait_until_ready().await.unwrap();
        metrics = scraped(&running).await.unwrap_or_default();
        let said = running.execute(&["status", "-o", "json"]).await.unwrap();
        status = Some(without_times(&String::from_utf8(said.stdout).unwrap()));
        running.sidecar.terminate(PATIENCE).await.unwrap();
        true
    } else {
        while running.sidecar.ensure_running().is_ok() {
            metrics = scraped(&running).await.unwrap_or(metrics);
            tokio::time::sleep(SCRAPE_INTERVAL).await;
        }
        running.sidecar.wait(PATIENCE).await.unwrap_or_else(|error| {
            panic!("{}: the sidecar goes on: {error}: {}", case.name, running.sidecar.log())
        });
        false
    };
    let termination =
        std::fs::read_to_string(stage.path().join(format!("{name}.termination"))).unwrap();
    let plain = |text: &str| plain(text, &emulator, &stage);
    let whole_log = plain(&running.sidecar.log());
    let log = failures(&whole_log);
    Ran {
        termination: plain(&termination),
        log,
        whole_log,
        series: (is_ready || termination.contains(GAVE_UP)).then(|| series(&plain(&metrics))),
        pod: plain_pod(&original, &plain),
        is_ready,
        status: status.map(|status| plain(&status)),
    }
}

/// The metrics of a running sidecar.
async fn scraped(running: &Pod) -> Option<String> {
    let output = running.execute(&["status", "--output", "metrics"]).await.ok()?;
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

/// Series that tell of a failure: calls that had another answer than success, states that are 1
/// where something fails, and that the pod is not ready.
fn series(text: &str) -> Vec<String> {
    let tells = |(name, value): &(&str, &str)| match name.split('{').next().unwrap_or_default() {
        "keysluice_ready" => *value == "0",
        "keysluice_calls_total" => *value != "0" && !name.contains("result=\"succeeded\""),
        "keysluice_secret_syncs_total" => *value != "0" && name.contains("result=\"failed\""),
        family => *value == "1" && (family.ends_with("_failing") || family.ends_with("_warning")),
    };
    let samples = text.lines().filter_map(|line| line.rsplit_once(' '));
    samples.filter(tells).map(|(name, _)| name.to_owned()).collect()
}

/// A status with the same ages in every run.
fn without_times(status: &str) -> String {
    let mut status: Value = serde_json::from_str(status).unwrap();
    let mut open = vec![&mut status];
    while let Some(value) = open.pop() {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    match (name.as_str(), value.is_number()) {
                        ("ageSeconds", true) => *value = 5.into(),
                        ("nextSeconds", true) => *value = 100.into(),
                        _ => open.push(value),
                    }
                }
            }
            Value::Array(values) => open.extend(values),
            _ => {}
        }
    }
    status.to_string()
}

fn empty() -> Reviewed {
    Reviewed { response: Value::Null, patch: Vec::new(), pod: Value::Null }
}

fn write(path: &std::path::Path, text: &str) {
    std::fs::File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
}

/// A shorter start, and the fault of the token.
fn adapt(pod: &mut Value, case: &Case) {
    let runtime = case.emulator.as_ref().unwrap();
    let containers = pod["spec"]["initContainers"].as_array_mut().unwrap();
    let sidecar = containers.iter_mut().find(|one| one["name"] == "keysluice").unwrap();
    for entry in sidecar["env"].as_array_mut().unwrap() {
        if entry["name"] == "KEYSLUICE_PLAN" {
            let text = entry["value"].as_str().unwrap().replace("$$", "$");
            let mut plan: Value = serde_json::from_str(&text).unwrap();
            // One that is to become ready has the time that it takes on a busy machine.
            let seconds = if runtime.ready { 30 } else { START_TIMEOUT_SECONDS };
            plan["startTimeoutSeconds"] = seconds.into();
            entry["value"] = plan.to_string().replace('$', "$$").into();
        }
        let name = entry["name"].as_str().unwrap_or_default().to_owned();
        if let Some(value) = runtime.sidecar_environment.get(&name) {
            entry["value"] = value.as_str().into();
        }
    }
    let Some(seconds) = runtime.token_seconds else { return };
    for volume in pod["spec"]["volumes"].as_array_mut().unwrap() {
        for source in volume["projected"]["sources"].as_array_mut().into_iter().flatten() {
            if source["serviceAccountToken"].is_object() {
                source["serviceAccountToken"]["expirationSeconds"] = seconds.into();
            }
        }
    }
}

/// Warnings and errors of a log, without their times, each once.
fn failures(log: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in log.lines() {
        let Ok(mut line) = serde_json::from_str::<Value>(line) else { continue };
        line.as_object_mut().unwrap().remove("timestamp");
        let text = line.to_string();
        if line["level"] != "info" && !lines.contains(&text) {
            lines.push(text);
        }
    }
    lines.iter().fold(String::new(), |text, line| text + line + "\n")
}

/// Without what differs from run to run.
fn plain(text: &str, emulator: &Emulator, stage: &Stage) -> String {
    let text = text
        .replace(&emulator.https_port().to_string(), "8443")
        .replace(&emulator.http_port().to_string(), "8080")
        .replace(&stage.path().display().to_string(), "ROOT");
    let text = masked(&text, "exp ", char::is_numeric, "TIME");
    let is_id = |c: char| c.is_ascii_hexdigit() || c == '-';
    let text = masked(&text, "x-ms-request-id ", is_id, "ID");
    let text = masked(&text, ";oid=", is_id, "ID");
    let is_time = |c: char| c.is_ascii_digit() || "-:.TZ".contains(c);
    let times = ["Current time: ", "assertion valid from ", "expiry time of assertion "];
    times.iter().fold(text, |text, word| masked(&text, word, is_time, "TIME"))
}

/// The text with what follows a word replaced, as long as it is of these characters.
fn masked(text: &str, word: &str, is_part: impl Fn(char) -> bool, mask: &str) -> String {
    let mut parts = text.split(word);
    let mut masked = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(&is_part);
        masked += word;
        if rest.len() == part.len() {
            masked += part;
        } else {
            masked += mask;
            masked += rest;
        }
    }
    masked
}

fn plain_pod(pod: &Value, plain: &dyn Fn(&str) -> String) -> Value {
    serde_json::from_str(&plain(&pod.to_string())).unwrap()
}
