//! What a sidecar says of itself: the JSON that `keysluice-injector status` prints.
//! The container is a tenant's, so every field may be missing or anything.

use super::events::code_in;
use super::finding::Finding;
use super::pre::items;
use super::snapshot::text;
use super::table::Table;
use crate::reason;
use keysluice_plan::civil_date;
use serde_json::Value;
use std::time::SystemTime;

/// Of a message, what is printed.
const MAX_CHARACTERS: usize = 2000;
/// Rows of a table.
const MAX_ROWS: usize = 20;
/// Of the things that have one error, those that are named.
const MAX_NAMED: usize = 3;
const DAY: u64 = 24 * 3600;
const SOON_SECONDS: u64 = 7 * DAY;

/// The answer of one sidecar.
#[derive(Debug)]
pub(super) struct Status(Value);

/// An error that persists.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failing {
    pub(super) code: &'static str,
    pub(super) message: String,
    /// `files a, b; 20s ago`.
    pub(super) about: String,
}

impl Status {
    /// Reads what was printed; `None` where that is something else.
    pub(super) fn read(output: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(output).ok()?;
        let is_status = value["ready"].is_boolean() && value["volumes"].is_array();
        is_status.then_some(Self(value))
    }

    /// Whether the files are there.
    pub(super) fn is_ready(&self) -> bool {
        self.0["ready"] == true
    }

    /// Each code once, with the first message that has it.
    pub(super) fn failing(&self) -> Vec<Failing> {
        let mut found: Vec<(&'static str, &Value, Vec<String>)> = Vec::new();
        for (what, error) in self.errors() {
            let Some(code) = code_in(text(&error["code"])) else { continue };
            match found.iter_mut().find(|(known, ..)| *known == code) {
                Some((.., all)) => all.push(what),
                None => found.push((code, error, vec![what])),
            }
        }
        found.into_iter().map(|(code, error, all)| Failing::new(code, error, &all)).collect()
    }

    /// All errors with what they are about.
    fn errors(&self) -> Vec<(String, &Value)> {
        let mut errors = Vec::new();
        for volume in items(&self.0["volumes"]) {
            errors.push((format!("volume {}", short(&volume["name"])), &volume["error"]));
            for file in items(&volume["files"]) {
                errors.push((format!("file {}", short(&file["path"])), &file["error"]));
            }
        }
        for secret in items(&self.0["secrets"]) {
            errors.push((format!("Secret {}", short(&secret["name"])), &secret["error"]));
        }
        errors.push(("the reaction to changed files".to_owned(), &self.0["reaction"]["error"]));
        errors.push(("the current Plan".to_owned(), &self.0["plan"]["error"]));
        errors.retain(|(_, error)| error.is_object());
        errors
    }

    /// What the sidecar serves, for who asked about it: with ages, times and results.
    pub(super) fn summary(&self) -> Finding {
        let state = if self.is_ready() { "ready" } else { "not ready" };
        let mut parts = vec![format!("the sidecar is {state}")];
        let version = short(&self.0["version"]);
        if !version.is_empty() {
            parts[0] += &format!(" (version {version})");
        }
        let reaction = &self.0["reaction"];
        if let Some(count) = reaction["count"].as_u64() {
            let failed = reaction["failed"].as_u64().unwrap_or_default();
            let last = reaction["ageSeconds"].as_u64();
            let last = last.map(|age| format!(", the last {} ago", duration(age)));
            let last = last.unwrap_or_default();
            parts.push(format!("reactions to changed files: {count}, {failed} failed{last}"));
        }
        if let Some(age) = self.0["plan"]["ageSeconds"].as_u64() {
            parts.push(format!("the webhook confirmed its Plan {} ago", duration(age)));
        }
        let (files, more_files) = self.files();
        let (secrets, more_secrets) = self.secrets();
        let mut finding = Finding::good("sidecar", parts.join("; ")).show_table(Some(files));
        finding = finding.show(more(more_files)).show_table(Some(secrets));
        finding.show(more(more_secrets))
    }

    /// The files, and how many more there are.
    fn files(&self) -> (Table, usize) {
        let mut table = Table::new(&["file", "object", "as in the vault", "asked again", "error"]);
        let volumes = items(&self.0["volumes"]).iter();
        let mut files = volumes.flat_map(|volume| items(&volume["files"]));
        for file in files.by_ref().take(MAX_ROWS) {
            table.add([
                short(&file["path"]),
                short(&file["object"]),
                ago(&file["ageSeconds"]),
                file["nextSeconds"].as_u64().map(in_future).unwrap_or_default(),
                short(&file["error"]["code"]),
            ]);
        }
        (table, files.count())
    }

    fn secrets(&self) -> (Table, usize) {
        let mut table = Table::new(&["Secret", "as it should be", "written", "failed", "error"]);
        let mut secrets = items(&self.0["secrets"]).iter();
        for secret in secrets.by_ref().take(MAX_ROWS) {
            table.add([
                short(&secret["name"]),
                ago(&secret["ageSeconds"]),
                secret["written"].as_u64().unwrap_or_default().to_string(),
                secret["failed"].as_u64().unwrap_or_default().to_string(),
                short(&secret["error"]["code"]),
            ]);
        }
        (table, secrets.count())
    }

    /// What it warns of while it serves an object: codes and messages, each once.
    pub(super) fn warnings(&self) -> Vec<(&'static str, String)> {
        let volumes = items(&self.0["volumes"]).iter();
        let files = volumes.flat_map(|volume| items(&volume["files"]));
        let mut all = Vec::new();
        for warning in files.map(|file| &file["warning"]) {
            let Some(code) = code_in(text(&warning["code"])) else { continue };
            let message: String = text(&warning["message"]).chars().take(MAX_CHARACTERS).collect();
            if !all.contains(&(code, message.clone())) {
                all.push((code, message));
            }
        }
        all
    }

    /// Objects that expire soon.
    pub(super) fn expiring(&self, now: SystemTime) -> Option<Finding> {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let volumes = items(&self.0["volumes"]).iter();
        let files = volumes.flat_map(|volume| items(&volume["files"]));
        let mut told: Vec<String> = Vec::new();
        for file in files {
            let Some(end) = file["expiresAt"].as_u64() else { continue };
            if end <= now || end > now.saturating_add(SOON_SECONDS) {
                continue;
            }
            let (year, month, day) = civil_date(end / DAY);
            let one = format!("{} expires on {year}-{month:02}-{day:02}", short(&file["object"]));
            if !told.contains(&one) {
                told.push(one);
            }
        }
        if told.is_empty() {
            return None;
        }
        let text = format!("{}; hint: {}", listed(&told), reason::KS818.fix);
        Some(Finding::warning("expiry", reason::KS818.code, text))
    }
}

impl Failing {
    fn new(code: &'static str, error: &Value, all: &[String]) -> Self {
        let message: String = text(&error["message"]).chars().take(MAX_CHARACTERS).collect();
        let age = error["ageSeconds"].as_u64();
        let age = age.map(|age| format!("; {} ago", duration(age))).unwrap_or_default();
        Self { code, message, about: format!("{}{age}", listed(all)) }
    }
}

fn listed(all: &[String]) -> String {
    let named = all.iter().take(MAX_NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match all.len().saturating_sub(MAX_NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

fn more(count: usize) -> Option<String> {
    (count > 0).then(|| format!("and {count} more"))
}

/// A name or a path.
fn short(value: &Value) -> String {
    text(value).chars().take(100).collect()
}

fn ago(seconds: &Value) -> String {
    seconds.as_u64().map_or_else(|| "never".to_owned(), |age| format!("{} ago", duration(age)))
}

fn in_future(seconds: u64) -> String {
    format!("in {}", duration(seconds))
}

/// The two largest units: `45s`, `3m20s`, `2d3h`.
fn duration(seconds: u64) -> String {
    let units = [(DAY, 'd'), (3600, 'h'), (60, 'm'), (1, 's')];
    let first = units.iter().position(|(size, _)| seconds >= *size).unwrap_or(units.len() - 1);
    let mut rest = seconds;
    let mut text = String::new();
    for (size, unit) in units.iter().skip(first).take(2) {
        if rest >= *size || text.is_empty() {
            text += &format!("{}{unit}", rest / size);
        }
        rest %= size;
    }
    text
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
