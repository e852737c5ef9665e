//! What a check found.

use super::table::Table;

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    /// Name of the check.
    pub(super) check: &'static str,
    pub(super) level: Level,
    /// Where something is to be done.
    pub(super) code: Option<&'static str>,
    /// What is so; after `; hint: ` what to do.
    pub(super) text: String,
    /// What shows more.
    pub(super) details: Vec<Detail>,
    /// What a shell runs to mend it.
    pub(super) commands: Vec<String>,
}

/// What stands below a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Detail {
    /// Of a manifest, or a sentence.
    Line(String),
    Table(Table),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Failed,
    /// Worth knowing; it works.
    Warning,
    /// Not known, for want of a right.
    Skipped,
    Good,
}

/// The check that the API server gives what the caller may read.
pub(super) const API_SERVER: &str = "api-server";

/// Checks whose failures explain those of the checks behind them.
const CAUSES_FIRST: [&str; 14] = [
    API_SERVER,
    "installation",
    "namespace",
    "certificate",
    "replicas",
    "selection",
    "admission",
    "creation",
    "injection",
    "image",
    "network",
    "rights",
    "sidecar",
    "expiry",
];

impl Finding {
    pub(super) fn new(
        check: &'static str,
        level: Level,
        code: &'static str,
        text: impl Into<String>,
    ) -> Self {
        let (code, text) = (Some(code), text.into());
        Self { check, level, code, text, details: Vec::new(), commands: Vec::new() }
    }

    pub(super) fn failed(check: &'static str, code: &'static str, text: impl Into<String>) -> Self {
        Self::new(check, Level::Failed, code, text)
    }

    pub(super) fn warning(
        check: &'static str,
        code: &'static str,
        text: impl Into<String>,
    ) -> Self {
        Self::new(check, Level::Warning, code, text)
    }

    pub(super) fn good(check: &'static str, text: impl Into<String>) -> Self {
        Self { code: None, ..Self::new(check, Level::Good, "", text) }
    }

    pub(super) fn skipped(check: &'static str, text: impl Into<String>) -> Self {
        Self { code: None, ..Self::new(check, Level::Skipped, "", text) }
    }

    /// With a command that mends it.
    pub(super) fn run(mut self, command: impl Into<String>) -> Self {
        self.commands.push(command.into());
        self
    }

    /// With commands that mend it.
    pub(super) fn run_all(mut self, commands: impl IntoIterator<Item = String>) -> Self {
        self.commands.extend(commands);
        self
    }

    /// With lines that show more.
    pub(super) fn show(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.details.extend(lines.into_iter().map(Detail::Line));
        self
    }

    /// With a table, unless it is empty.
    pub(super) fn show_table(mut self, table: Option<Table>) -> Self {
        self.details.extend(table.filter(Table::has_rows).map(Detail::Table));
        self
    }

    /// The text without its hint, and the hint.
    pub(super) fn parts(&self) -> (&str, Option<&str>) {
        match self.text.split_once("; hint: ") {
            Some((text, hint)) => (text, Some(hint)),
            None => (&self.text, None),
        }
    }

    fn rank(&self) -> usize {
        let place = CAUSES_FIRST.iter().position(|check| *check == self.check);
        place.unwrap_or(CAUSES_FIRST.len())
    }
}

/// What was found about one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    /// `Deployment shop/web`.
    pub(super) title: String,
    pub(super) findings: Vec<Finding>,
}

impl Group {
    /// Failures first, and of those the cause of others before them.
    pub(super) fn new(title: impl Into<String>, mut findings: Vec<Finding>) -> Self {
        findings.sort_by_key(|one| (one.level, one.rank()));
        findings.dedup();
        Self { title: title.into(), findings }
    }

    pub(super) fn has_failed(&self) -> bool {
        failed(&self.findings)
    }

    /// Whether there is something to be done.
    pub(super) fn has_trouble(&self) -> bool {
        self.findings.iter().any(|one| matches!(one.level, Level::Failed | Level::Warning))
    }
}

pub(super) fn failed(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.level == Level::Failed)
}

/// The failure that most probably explains the others.
pub(super) fn first_cause(groups: &[Group]) -> Option<(&Group, &Finding)> {
    let failures = groups.iter().flat_map(|group| {
        let failed = group.findings.iter().filter(|one| one.level == Level::Failed);
        failed.map(move |one| (group, one))
    });
    failures.min_by_key(|(_, one)| one.rank())
}
