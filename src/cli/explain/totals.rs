//! How many workloads end how.

use super::Explained;
use crate::admission::Outcome;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Counts over all workloads of the input.
#[derive(Debug, Default)]
pub(super) struct Totals {
    workloads: usize,
    mutated: usize,
    unchanged: usize,
    refused: usize,
    refusals: Counts,
    /// Why workloads are let through unchanged.
    reasons: Counts,
    warnings: Counts,
    /// Warnings without which a pod would not start.
    failures: Counts,
    /// Objects that may make pods but were not looked at.
    pub(super) skipped: usize,
    /// Objects that another object of the input makes.
    pub(super) made: usize,
    /// All objects that were read.
    pub(super) objects: usize,
}

/// How often each text occurs.
type Counts = BTreeMap<String, usize>;

impl Totals {
    pub(super) fn add(&mut self, explained: &Explained) {
        let answer = &explained.answer;
        self.workloads += 1;
        match answer.outcome {
            Outcome::Mutated => self.mutated += 1,
            Outcome::Unchanged => {
                self.unchanged += 1;
                count(&mut self.reasons, explained.because.first().map_or("", String::as_str));
            }
            Outcome::Denied => {
                self.refused += 1;
                count(&mut self.refusals, answer.reason.map_or("", |reason| reason.code));
            }
        }
        for warning in &answer.warnings {
            count(&mut self.warnings, code_of(warning));
        }
        for code in &explained.failures {
            count(&mut self.failures, code);
        }
    }

    /// Lines for people.
    pub(super) fn text(&self) -> String {
        let workloads = if self.workloads == 1 { "workload" } else { "workloads" };
        let mut text = format!(
            "{} {workloads} in {} objects: {} mutated, {} unchanged, {} refused",
            self.workloads, self.objects, self.mutated, self.unchanged, self.refused
        );
        if !self.refusals.is_empty() {
            text += &format!(": {}", listed(&self.refusals));
        }
        text.push('\n');
        // Writing to a string cannot fail.
        for (reason, count) in &self.reasons {
            let _ = writeln!(text, "  unchanged  {count}: {reason}");
        }
        if !self.failures.is_empty() {
            let _ = writeln!(text, "  would fail {}", listed(&self.failures));
        }
        if !self.warnings.is_empty() {
            let _ = writeln!(text, "  warnings   {}", listed(&self.warnings));
        }
        if self.skipped > 0 {
            let _ = writeln!(text, "  skipped    {}: see above", self.skipped);
        }
        if self.made > 0 {
            let what = "made by another object of the input, which is looked at instead";
            let _ = writeln!(text, "  skipped    {}: {what}", self.made);
        }
        text
    }
}

fn count(counts: &mut Counts, text: &str) {
    *counts.entry(text.to_owned()).or_default() += 1;
}

/// `KS112 x5, KS207 x1`, the most frequent first.
fn listed(counts: &Counts) -> String {
    let mut counts: Vec<_> = counts.iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let counts: Vec<_> = counts.iter().map(|(code, count)| format!("{code} x{count}")).collect();
    counts.join(", ")
}

/// The code with which a message begins.
pub(super) fn code_of(message: &str) -> &str {
    message.split(' ').next().unwrap_or_default()
}
