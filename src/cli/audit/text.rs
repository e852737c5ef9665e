//! The report for people. Its names were cleaned when they were read.

use crate::audit::{Calls, Log, OldVersion, Report, Stranger, Unused};
use std::fmt::Write as _;

/// Callers that are shown; JSON has all of them.
const SHOWN_STRANGERS: usize = 20;
/// What a column holds of a version.
const SHOWN_VERSION: usize = 12;

/// The report.
pub(super) fn of(report: &Report) -> String {
    let mut text = log(&report.log);
    if let Some(nothing) = nothing(&report.log) {
        // What follows would say of no record that it has no fault.
        return text + "\n" + nothing + "\n";
    }
    if report.log.pods == 0 {
        text += "\nThe record and the cluster hold no pod: no call can be attributed to a pod, and \
            the grants of pods are not known.\n";
    }
    text += "\nWho called what\n";
    text += &table(
        &["WORKLOAD", "OBJECT", "OPERATION", "VERSION", "CALLS", "FAILED", "FIRST", "LAST"],
        report.calls.iter().map(calls),
        "no call is of a pod that is known",
    );
    text += &unused(&report.unused, report.log.pods > 0);
    text += "\nOld versions\n";
    text += &table(
        &["WORKLOAD", "OBJECT", "VERSION", "PODS", "LAST READ", "NEWEST", "SEEN SINCE"],
        report.old_versions.iter().map(old_version),
        "no workload last read a version that the log shows to be old",
    );
    text += "\nNot attributed\n";
    text += &table(
        &["CALLS", "FAILED", "CLIENT ID", "ADDRESS", "REASON", "IDENTITY OF", "LAST"],
        report.unattributed.iter().take(SHOWN_STRANGERS).map(stranger),
        "every call is of a pod that is known",
    );
    let more = report.unattributed.len().saturating_sub(SHOWN_STRANGERS);
    if more > 0 {
        let _ = writeln!(text, "  and {more} other caller(s); --output json has all");
    }
    text
}

/// That no record counts, and why.
fn nothing(log: &Log) -> Option<&'static str> {
    let totals = &log.totals;
    if totals.attributed + totals.unattributed > 0 {
        return None;
    }
    Some(if totals.records == 0 {
        "The log holds no record: nothing is known of calls, grants and versions."
    } else if totals.outside_period > 0 {
        "The log holds no call between --since and --until: nothing is known of calls, grants and \
         versions in this time."
    } else {
        "The log holds no record of the category AuditEvent: nothing is known of calls, grants and \
         versions."
    })
}

fn log(log: &Log) -> String {
    let mut text = format!("{} record(s)", log.totals.records);
    if let (Some(first), Some(last)) = (log.first, log.last) {
        let _ = write!(text, " from {first} to {last}");
    }
    let _ = write!(
        text,
        "\n  {} attributed to {} known pod(s), {} of them with an identity of the pod\n  {} not \
         attributed\n",
        log.totals.attributed, log.pods, log.totals.checked, log.totals.unattributed
    );
    for (count, what) in [
        (log.totals.other_category, "of another category than AuditEvent"),
        (log.totals.outside_period, "outside --since and --until"),
        (log.totals.left_out, "in no row below, as there are too many rows"),
    ] {
        if count > 0 {
            let _ = writeln!(text, "  {count} {what}");
        }
    }
    if let Some(first) = &log.first_malformed {
        let _ = writeln!(
            text,
            "  {} malformed, the first in {}, line {}: {}",
            log.totals.malformed, first.file, first.line, first.problem
        );
    }
    if log.pods_left_out > 0 {
        let _ = writeln!(text, "  {} pod(s) left out, as there are too many", log.pods_left_out);
    }
    text
}

fn calls(row: &Calls) -> Vec<String> {
    let version = row.version.as_deref().map(short).unwrap_or_default();
    let pinned = if row.pinned { " (pinned)" } else { "" };
    vec![
        row.workload.clone(),
        row.object.clone(),
        row.operation.clone(),
        format!("{version}{pinned}"),
        row.calls.to_string(),
        row.failed.to_string(),
        row.first.to_string(),
        row.last.to_string(),
    ]
}

fn unused(unused: &Unused, has_pods: bool) -> String {
    let Unused { days, covered_days, .. } = unused;
    let mut text = format!("\nGrants without use in {days} day(s)\n");
    if !unused.is_shown() {
        let _ = writeln!(
            text,
            "  The log covers {covered_days} day(s): it does not show that a grant was unused for \
             {days}."
        );
    }
    let rows = unused.objects.iter().map(|one| {
        let last = one.last_use.map_or_else(|| "not in the log".to_owned(), |at| at.to_string());
        vec![one.workload.clone(), one.object.clone(), last]
    });
    let none = if has_pods {
        "every object of the pods' classes and annotations was used"
    } else {
        "no pod is known"
    };
    text += &table(&["WORKLOAD", "OBJECT", "LAST USE"], rows, none);
    if unused.selections > 0 {
        let _ = writeln!(
            text,
            "  {} set(s) of objects by prefix or tag are not judged",
            unused.selections
        );
    }
    if let Some(assignments) = &unused.role_assignments {
        text += "\nRole assignments without use\n";
        let rows = assignments.iter().map(|one| {
            let last = match (one.last_use, one.not_judged) {
                (Some(at), _) => at.to_string(),
                (None, true) => "a group: not judged".to_owned(),
                (None, false) => "not in the log".to_owned(),
            };
            vec![one.principal.clone(), one.role.clone(), one.scope.clone(), last]
        });
        text += &table(
            &["PRINCIPAL", "ROLE", "SCOPE", "LAST USE"],
            rows,
            "every role assignment of Key Vault was used",
        );
    }
    text
}

fn old_version(row: &OldVersion) -> Vec<String> {
    let pinned = if row.pinned { " (pinned)" } else { "" };
    vec![
        row.workload.clone(),
        row.object.clone(),
        format!("{}{pinned}", short(&row.version)),
        row.pods.to_string(),
        row.last_read.to_string(),
        short(&row.newest),
        row.newest_since.to_string(),
    ]
}

fn stranger(row: &Stranger) -> Vec<String> {
    vec![
        row.calls.to_string(),
        row.failed.to_string(),
        row.app_id.clone().unwrap_or_else(|| "none".to_owned()),
        row.address.clone(),
        row.text.to_owned(),
        row.identity_of.join(", "),
        row.last.to_string(),
    ]
}

fn short(version: &str) -> String {
    version.chars().take(SHOWN_VERSION).collect()
}

/// Rows below their headings, each column as wide as its widest cell.
fn table(headings: &[&str], rows: impl Iterator<Item = Vec<String>>, otherwise: &str) -> String {
    let rows: Vec<Vec<String>> = rows.collect();
    if rows.is_empty() {
        return format!("  {otherwise}\n");
    }
    let widths: Vec<usize> = headings
        .iter()
        .enumerate()
        .map(|(column, heading)| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.max().unwrap_or_default().max(heading.len())
        })
        .collect();
    let heading = headings.iter().map(|heading| (*heading).to_owned()).collect();
    let mut text = String::new();
    for row in std::iter::once(&heading).chain(&rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "  {cell:<width$}", width = *width);
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}
