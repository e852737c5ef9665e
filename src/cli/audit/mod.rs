//! `keysluice audit`: joins the diagnostic log of vaults with the pods that called them, and writes
//! down which pods there are.

mod cluster;
mod error;
mod files;
mod record;
mod text;

use super::{FAILED, Failure, object_name};
use crate::audit::{Ledger, Period, Pods, Report, micros};
use anyhow::anyhow;
use clap::{Args, Subcommand, ValueEnum};
use cluster::ClusterOptions;
use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

/// Print who read what from Key Vault, which grants are unused and which workloads use an old
/// version: joins diagnostic logs with the pods of a cluster and of a record. Only reads.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct Audit {
    #[command(subcommand)]
    action: Option<Action>,
    /// Diagnostic log of Key Vault, or a directory of such files (- reads standard input): JSON
    /// lines, an object with records, or rows of AZKVAuditLogs or AzureDiagnostics as JSON.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// File that `keysluice audit record` wrote (repeatable).
    #[arg(long, value_name = "FILE")]
    record: Vec<PathBuf>,
    #[command(flatten)]
    cluster: ClusterOptions,
    /// Counts records from this time on: 2026-11-01, or 2026-11-01T12:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<i64>,
    /// Counts records before this time.
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<i64>,
    /// A grant is unused if the log shows no use of it in so many days before its last record.
    #[arg(long, value_name = "DAYS", default_value_t = 30,
        value_parser = clap::value_parser!(u32).range(1..=36_500))]
    unused: u32,
    /// Role assignments to look at too: what `az role assignment list --all -o json` printed.
    #[arg(long, value_name = "FILE")]
    grants: Option<PathBuf>,
    /// Ends with 1 if the report has one of these (repeatable, or separated by commas).
    #[arg(long, value_name = "FINDING", value_delimiter = ',')]
    fail_on: Vec<Finding>,
    /// table for people, json for programs.
    #[arg(short = 'o', long, default_value = "table", value_name = "FORMAT")]
    output: Output,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Write a line of JSON for each pod with a sidecar, so that its calls are known as its own
    /// after it has ended.
    Record(record::Record),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
}

/// What a report may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Finding {
    Unused,
    OldVersions,
    Unattributed,
    OtherIdentity,
    Malformed,
}

impl Audit {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        if let Some(Action::Record(record)) = self.action {
            return record.run();
        }
        self.check_period()?;
        let grants = self.grants.as_deref().map(files::assignments).transpose()?;
        let pods = self.pods()?;
        let logs = files::logs(&self.files)?;
        if !logs.compressed.is_empty() {
            let named = error::named(&logs.compressed);
            eprintln!("keysluice: warning: {named}; hint: {}", error::GUNZIP);
        }
        let period = Period { since: self.since, until: self.until };
        let mut ledger = Ledger::new(pods, period);
        for path in &logs.all {
            files::read_log(path, &mut ledger)?;
        }
        let totals = ledger.totals();
        if let Some(first) = ledger.first_malformed()
            && totals.malformed == totals.records
        {
            return Err(files::no_record(first).into());
        }
        let report = ledger.report(self.unused, grants.as_deref());
        let mut out = std::io::stdout().lock();
        match self.output {
            Output::Table => out.write_all(text::of(&report).as_bytes())?,
            Output::Json => writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?,
        }
        out.flush()?;
        if self.fail_on.contains(&Finding::Unused) && !report.unused.is_shown() {
            let (days, covered) = (report.unused.days, report.unused.covered_days);
            eprintln!(
                "keysluice: note: --fail-on unused has no effect: the log covers {covered} day(s), \
                 and a grant is unused after {days}; hint: give a longer log, or set --unused"
            );
        }
        let found = findings(&report);
        let has_failed = self.fail_on.iter().any(|finding| found.contains(finding));
        Ok(if has_failed { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
    }

    fn check_period(&self) -> Result<(), Failure> {
        match (self.since, self.until) {
            (Some(since), Some(until)) if until <= since => Err(Failure::usage(anyhow!(
                "--until is not after --since: no time is between them"
            ))),
            _ => Ok(()),
        }
    }

    /// The pods of the records and of the cluster.
    fn pods(&self) -> Result<Pods, Failure> {
        if self.record.is_empty() && !self.cluster.is_given() {
            return Err(Failure::usage(anyhow!(
                "no pods to join the log with; hint: name a file of keysluice audit record with \
                 --record, a namespace of a live cluster with -n, or all with -A"
            )));
        }
        let mut pods = Pods::default();
        // What runs is first: a record has the same pods.
        if self.cluster.is_given() {
            pods.have_cluster(self.cluster.namespace());
            self.cluster.each(|pod, is_running| pods.add(pod, is_running))?;
        }
        for path in &self.record {
            let skipped = files::read_record(path, |pod| pods.add(pod, false))?;
            if skipped > 0 {
                let path = path.display();
                eprintln!("keysluice: warning: {path}: {skipped} line(s) are not of a record");
            }
        }
        Ok(pods)
    }
}

fn findings(report: &Report) -> BTreeSet<Finding> {
    let unused = &report.unused;
    let mut assignments = unused.role_assignments.iter().flatten();
    let has_unused =
        unused.is_shown() && (!unused.objects.is_empty() || assignments.any(|one| !one.not_judged));
    let has_other_identity = report.unattributed.iter().any(|one| one.reason == "other-identity");
    [
        (Finding::Unused, has_unused),
        (Finding::OldVersions, !report.old_versions.is_empty()),
        (Finding::Unattributed, report.log.totals.unattributed > 0),
        (Finding::OtherIdentity, has_other_identity),
        (Finding::Malformed, report.log.totals.malformed > 0),
    ]
    .into_iter()
    .filter_map(|(finding, is_there)| is_there.then_some(finding))
    .collect()
}

/// A date, or a time with its zone.
fn time(text: &str) -> Result<i64, String> {
    let time = micros(text).or_else(|| micros(&format!("{text}T00:00:00Z")));
    time.ok_or_else(|| {
        "not a date such as 2026-11-01, or a time such as \
                        2026-11-01T12:00:00Z"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Moment;

    #[test]
    fn times_are_dates_or_have_a_zone() {
        for (text, expected) in [
            ("2026-11-01", Some("2026-11-01T00:00:00Z")),
            ("2026-11-01T12:00:00Z", Some("2026-11-01T12:00:00Z")),
            ("2026-11-01T12:00:00+02:00", Some("2026-11-01T10:00:00Z")),
            ("2026-11-01T12:00:00", None),
            ("2026-13-01", None),
            ("7d", None),
            ("", None),
        ] {
            let read = time(text).ok().map(|time| Moment(time).to_string());
            assert_eq!(read.as_deref(), expected, "{text}");
        }
    }
}
