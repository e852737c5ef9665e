//! The page about the canonical failures, made of their directories: where each of them shows.

use super::case::Case;
use super::cases;
use crate::suite::support::check_page;
use std::collections::BTreeSet;

const HEAD: &str = "\
# Known failures

What users meet, and where each failure shows. A test runs every one of them: `kubectl apply` of
the manifests as the webhook answers it, the creation of the pod, the real sidecar against an
emulator of Entra and Key Vault, and `keysluice doctor`. The table is generated from what they said.

- **apply**: warnings of [`kubectl apply`](where-it-shows.md) of the workload
- **event**: the refusal of the pod, in an event of its controller
- **log**: warnings and errors of the sidecar; where the pod does not start, the last one is its
  termination message
- **metric**: series of the webhook or of the sidecar that tell of it; their [names](metrics.md)
  begin with `keysluice_`
- **doctor**: what [`keysluice doctor`](doctor.md) finds

`keysluice why CODE` explains a code. Where the API server does not reach the webhook, its own
metric counts that: `apiserver_admission_webhook_rejection_count` with
`error_type=\"calling_webhook_error\"`, which the [alert](monitoring.md) `KeysluiceCallsFailing`
watches. Failures of other parts of the cluster show in their own metrics.

| failure | apply | event | log | metric | doctor |
| --- | --- | --- | --- | --- | --- |
";

#[test]
fn the_page_of_failures_has_a_row_for_each() {
    let rows: String = cases().iter().map(row).collect();
    check_page("failures.md", &format!("{HEAD}{rows}"));
}

fn row(case: &Case) -> String {
    let cells = [
        codes(&text(case, "apply"), &[""]),
        // What is not applied makes no pod.
        if case.applied { codes(&text(case, "explain"), &["error: "]) } else { BTreeSet::new() },
        codes(&text(case, "log"), &[""]),
        families(&text(case, "metric")),
        codes(&text(case, "doctor"), &["× ", "‼ "]),
    ];
    format!("| {} | {} |\n", case.title, cells.map(shown).join(" | "))
}

fn text(case: &Case, column: &str) -> String {
    let path = case.directory.join(format!("expected.{column}.txt"));
    std::fs::read_to_string(path).unwrap_or_default()
}

/// The first code of each line that begins with one of these; of a line of the log, its own.
fn codes(text: &str, starts: &[&str]) -> BTreeSet<String> {
    let lines = text.lines().filter(|line| starts.iter().any(|start| line.starts_with(start)));
    lines.filter_map(first_code).map(str::to_owned).collect()
}

fn first_code(line: &str) -> Option<&str> {
    const FIELD: &str = "\"code\":\"";
    match line.find(FIELD) {
        Some(at) => line[at + FIELD.len()..].split('"').next(),
        None => line.split(|c: char| !c.is_ascii_alphanumeric()).find(is_code),
    }
}

fn is_code(word: &&str) -> bool {
    let number = word.strip_prefix("KS").unwrap_or_default();
    number.len() == 3 && number.chars().all(|c| c.is_ascii_digit())
}

/// Names of metrics, without their common beginning.
fn families(text: &str) -> BTreeSet<String> {
    let series = text.lines().filter_map(|line| line.strip_prefix("keysluice_"));
    series.filter_map(|line| line.split('{').next()).map(|name| format!("`{name}`")).collect()
}

fn shown(cell: BTreeSet<String>) -> String {
    let text = cell.into_iter().collect::<Vec<_>>().join(", ");
    if text.is_empty() { "–".to_owned() } else { text }
}
