//! `docs/metrics.md`: of the webhook as it serves them, of the sidecar as its table has them.

use crate::suite::support::check_page;
use crate::suite::support::metrics::Sample;
use keysluice::admission::{Answer, Outcome};
use keysluice::cluster::CacheStatus;
use keysluice::metrics::{CertificateChange, Metrics, PlanAnswer, Shed};
use keysluice::patch::Patch;
use keysluice::reason;
use keysluice_plan::metrics::{
    CALL_RESULTS, CALL_SERVICES, Metric, REACTION_RESULTS, SIDECAR_METRICS, SYNC_RESULTS,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

/// The page but for its rows.
const PAGE: &str = include_str!("../../data/metrics-page.md");

/// The text of a webhook in which everything happened once.
fn everything() -> String {
    let metrics = Metrics::new("1.2.3");
    let reviewed = |outcome, reason| {
        let (body, warnings, notes) = (Vec::new(), Vec::new(), Vec::new());
        let patch = Patch::default();
        let answer = Answer { body, outcome, reason, message: None, warnings, notes, patch };
        metrics.review(&answer, Duration::from_micros(30));
    };
    reviewed(Outcome::Mutated, None);
    reviewed(Outcome::Unchanged, None);
    reviewed(Outcome::Denied, Some(reason::KS207));
    metrics.refused(400, "KS701");
    for limit in [Shed::Memory, Shed::Reviews, Shed::Turns, Shed::Lookups, Shed::Handshakes] {
        metrics.shed(limit);
    }
    for answer in [PlanAnswer::Changed, PlanAnswer::Unchanged, PlanAnswer::Refused] {
        metrics.plan(answer, "");
    }
    for event in [
        CertificateChange::Served,
        CertificateChange::Stored,
        CertificateChange::Published,
        CertificateChange::PathStored,
        CertificateChange::PathPublished,
        CertificateChange::Overtaken,
        CertificateChange::Failed,
    ] {
        metrics.certificate_change(event);
    }
    let caches = ["serviceaccounts", "secretproviderclasses", "csidrivers"].map(|name| {
        CacheStatus { name, synced: true, objects: 1, age: Duration::ZERO, trouble: None }
    });
    metrics.text(&caches)
}

/// One family of the text.
#[derive(Debug, Default)]
struct Family<'t> {
    kind: &'t str,
    help: &'t str,
    labels: BTreeMap<&'t str, BTreeSet<&'t str>>,
    samples: usize,
}

fn families(text: &str) -> Vec<(&str, Family<'_>)> {
    let mut families: Vec<(&str, Family<'_>)> = Vec::new();
    for line in text.lines() {
        if let Some(line) = line.strip_prefix("# HELP keysluice_") {
            let (name, help) = line.split_once(' ').unwrap();
            families.push((name, Family { help, ..Family::default() }));
        } else if let Some(line) = line.strip_prefix("# TYPE keysluice_") {
            families.last_mut().unwrap().1.kind = line.split_once(' ').unwrap().1;
        } else if !line.starts_with('#') {
            let family = &mut families.last_mut().unwrap().1;
            family.samples += 1;
            for (label, value) in Sample::read(line).labels {
                family.labels.entry(label).or_default().insert(value);
            }
        }
    }
    families
}

fn row(page: &mut String, name: &str, kind: &str, labels: &[&str], help: &str) {
    let suffix = match kind {
        "counter" => "_total",
        "info" => "_info",
        _ => "",
    };
    let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
    let help = help.trim_end_matches('.');
    writeln!(page, "| `keysluice_{name}{suffix}` | {kind} | {} | {help} |", labels.join(", "))
        .unwrap();
}

#[test]
fn every_metric_is_documented() {
    let text = everything();
    let served = families(&text);
    let (mut webhook, mut sidecar, mut label_rows) = (String::new(), String::new(), String::new());
    let mut values = BTreeMap::<&str, BTreeSet<&str>>::new();
    for (name, family) in &served {
        assert!(family.samples > 0, "{name} is not in the text: add it to everything()");
        let labels: Vec<&str> = family.labels.keys().copied().collect();
        row(&mut webhook, name, family.kind, &labels, family.help);
        for (label, of_label) in &family.labels {
            values.entry(label).or_default().extend(of_label);
        }
    }
    for Metric { name, kind, labels, help } in SIDECAR_METRICS {
        row(&mut sidecar, name, kind, labels, help);
    }
    for (label, of_label) in [
        ("service", CALL_SERVICES.map(|(service, _)| service).into()),
        ("kind", CALL_SERVICES.map(|(_, kind)| kind).into()),
        ("result", [&CALL_RESULTS[..], &SYNC_RESULTS, &REACTION_RESULTS].concat()),
    ] {
        values.entry(label).or_default().extend(of_label);
    }
    for (label, text) in [
        ("reason", "a [reason code](reasons.md), or empty"),
        ("code", "a [reason code](reasons.md); empty where nothing fails"),
        ("status", "an HTTP status of 400 or more"),
        ("version", "the version of the program"),
        ("volume", "name of a volume of the pod"),
        ("path", "path of a file in the volume, as the class or the annotation names it"),
        ("object", "type, name and vault of the object, such as `secret \"db\" in https://…/`"),
        ("secret", "name of a Kubernetes Secret that the pod makes"),
    ] {
        values.remove(label);
        writeln!(label_rows, "| `{label}` | {text} |").unwrap();
    }
    for (label, of_label) in values {
        let names: Vec<String> = of_label.iter().map(|value| format!("`{value}`")).collect();
        assert!(names.len() < 30, "{label} is not bounded");
        writeln!(label_rows, "| `{label}` | {} |", names.join(", ")).unwrap();
    }
    let page = PAGE
        .replace("WEBHOOK\n", &webhook)
        .replace("SIDECAR\n", &sidecar)
        .replace("LABELS\n", &label_rows);
    check_page("metrics.md", &page);
}

/// A label with a value for each pod, user or address would grow without end.
#[test]
fn labels_of_the_webhook_name_nothing_of_a_request() {
    let text = everything();
    for (name, family) in families(&text) {
        for label in family.labels.keys() {
            assert!(
                ["outcome", "reason", "status", "limit", "event", "cache", "version"]
                    .contains(label),
                "{name}: {label}"
            );
        }
    }
}
