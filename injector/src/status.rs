//! What is known of every file: for `status`, for the reason a gate waits, and for what is worth a log line.

use crate::fault::Fault;
use crate::refresh::Time;
use crate::vault::Object;
use keysluice_plan::Plan;
use serde::Serialize;
use std::sync::Arc;

/// The table, one row per file.
#[derive(Debug)]
pub struct Status {
    plan: Arc<Plan>,
    volumes: Vec<VolumeRow>,
}

#[derive(Debug, Clone, Default)]
struct VolumeRow {
    ready: bool,
    generation: Option<String>,
    files: Vec<FileRow>,
    /// Of the last commit.
    problem: Option<Problem>,
}

#[derive(Debug, Clone, Default)]
struct FileRow {
    version: Option<String>,
    fetched_at: Option<Time>,
    problem: Option<Problem>,
}

#[derive(Debug, Clone)]
struct Problem {
    fault: Fault,
    /// Text at the first failure with this code: later ones differ in request ids only, which is nothing new to a reader.
    first: String,
    at: Time,
}

/// Notes a fault; whether it is news.
fn note(problem: &mut Option<Problem>, fault: &Fault, at: Time) -> bool {
    match problem {
        Some(known) if known.fault.reason == fault.reason => {
            (known.fault, known.at) = (fault.clone(), at);
            false
        }
        _ => {
            *problem = Some(Problem { fault: fault.clone(), first: fault.to_string(), at });
            true
        }
    }
}

impl Status {
    /// Nothing is known but the generations on the volumes.
    pub fn new(plan: Arc<Plan>) -> Self {
        let row = |volume: &keysluice_plan::Volume| VolumeRow {
            files: vec![FileRow::default(); volume.files.len()],
            ..VolumeRow::default()
        };
        let volumes = plan.volumes.iter().map(row).collect();
        Self { plan, volumes }
    }

    /// A generation is visible.
    pub fn committed(&mut self, volume: usize, generation: Option<String>) {
        let row = &mut self.volumes[volume];
        (row.ready, row.generation, row.problem) = (true, generation, None);
    }

    /// A commit failed; whether that is news.
    pub fn commit_failed(&mut self, volume: usize, fault: &Fault, at: Time) -> bool {
        note(&mut self.volumes[volume].problem, fault, at)
    }

    /// A file was fetched; whether it had failed before.
    pub fn fetched(&mut self, volume: usize, file: usize, version: &str, at: Time) -> bool {
        let row = &mut self.volumes[volume].files[file];
        (row.version, row.fetched_at) = (Some(version.to_owned()), Some(at));
        row.problem.take().is_some()
    }

    /// A file failed; whether that is news. What another file failed with already, such as its identity, is none.
    pub fn failed(&mut self, volume: usize, file: usize, fault: &Fault, at: Time) -> bool {
        let mut problems = self.volumes.iter().flat_map(|row| &row.files).filter_map(|file| file.problem.as_ref());
        let known = problems.any(|problem| problem.fault.message == fault.message);
        note(&mut self.volumes[volume].files[file].problem, fault, at) && !known
    }

    /// Version of a file's last fetch.
    pub fn version(&self, volume: usize, file: usize) -> &str {
        self.volumes[volume].files[file].version.as_deref().unwrap_or("unknown")
    }

    /// Why the gate is closed: each distinct problem of the volumes without a generation.
    pub fn reasons(&self) -> Vec<String> {
        let mut reasons: Vec<String> = Vec::new();
        for problem in self.waiting() {
            if !reasons.contains(&problem.first) {
                reasons.push(problem.first.clone());
            }
        }
        reasons
    }

    /// The one fault to end with.
    pub fn fault(&self) -> Option<&Fault> {
        self.waiting().max_by_key(|problem| problem.fault.class).map(|problem| &problem.fault)
    }

    fn waiting(&self) -> impl Iterator<Item = &Problem> {
        let problems = |row: &'_ VolumeRow| row.ready;
        self.volumes
            .iter()
            .filter(move |row| !problems(row))
            .flat_map(|row| row.problem.iter().chain(row.files.iter().filter_map(|file| file.problem.as_ref())))
    }

    /// As one line of JSON.
    pub fn json(&self, ready: bool, now: Time) -> String {
        let volumes: Vec<_> =
            self.plan.volumes.iter().zip(&self.volumes).map(|(volume, row)| report(volume, row, now)).collect();
        let failing = volumes.iter().flat_map(|volume| &volume.files).filter(|file| file.error.is_some()).count()
            + volumes.iter().filter(|volume| volume.error.is_some()).count();
        let report = Report { ready, version: env!("CARGO_PKG_VERSION"), failing, volumes };
        serde_json::to_string(&report).unwrap_or_default()
    }
}

#[derive(Serialize)]
struct Report<'a> {
    ready: bool,
    version: &'static str,
    failing: usize,
    volumes: Vec<VolumeReport<'a>>,
}

#[derive(Serialize)]
struct VolumeReport<'a> {
    name: &'a str,
    directory: &'a str,
    generation: Option<&'a str>,
    error: Option<ErrorReport<'a>>,
    files: Vec<FileReport<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FileReport<'a> {
    path: &'a str,
    object: String,
    version: Option<&'a str>,
    age_seconds: Option<u64>,
    error: Option<ErrorReport<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ErrorReport<'a> {
    code: &'static str,
    message: &'a str,
    hint: &'static str,
    age_seconds: u64,
}

fn report<'a>(volume: &'a keysluice_plan::Volume, row: &'a VolumeRow, now: Time) -> VolumeReport<'a> {
    let age = |at: Time| now.saturating_sub(at).as_secs();
    let error = move |problem: &'a Option<Problem>| {
        problem.as_ref().map(|Problem { fault, at, .. }| ErrorReport {
            code: fault.reason.code,
            message: &fault.message,
            hint: fault.reason.fix,
            age_seconds: age(*at),
        })
    };
    let files = volume.files.iter().zip(&row.files).map(|(file, row)| FileReport {
        path: file.path.as_str(),
        object: Object::of(file).to_string(),
        version: row.version.as_deref(),
        age_seconds: row.fetched_at.map(age),
        error: error(&row.problem),
    });
    VolumeReport {
        name: &volume.name,
        directory: &volume.directory,
        generation: row.generation.as_deref(),
        error: error(&row.problem),
        files: files.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Class;
    use keysluice_plan::reason::{KS404, KS407, KS501};
    use std::time::Duration;

    fn status() -> Status {
        let file = |name: &str| serde_json::json!({"path": name, "mode": "0644", "identity": "a", "vault": "https://kv/", "type": "secret", "name": name});
        let plan = serde_json::json!({"schema": 1,
            "identities": [{"name": "a", "scope": "s/.default", "credential": {"kind": "managedIdentity", "endpoint": "http://i/"}}],
            "volumes": [{"name": "v", "directory": "/mnt/v", "refreshIntervalSeconds": 120, "files": [file("a"), file("b")]}]});
        Status::new(Arc::new(Plan::from_json(&plan.to_string()).unwrap()))
    }

    #[test]
    fn a_repeated_failure_is_no_news_and_another_code_is() {
        let (mut status, at) = (status(), Duration::ZERO);
        let fault = |reason, text: &str| Fault::new(reason, Class::Slow, text);
        assert!(status.failed(0, 0, &fault(KS404, "x 1"), at));
        assert!(!status.failed(0, 0, &fault(KS404, "x 2"), at));
        assert!(status.failed(0, 0, &fault(KS407, "x 3"), at));
        assert!(!status.failed(0, 1, &fault(KS407, "x 3"), at), "the same of another file");
        assert!(status.fetched(0, 0, "v1", at));
        assert!(!status.fetched(0, 0, "v1", at));
    }

    #[test]
    fn reasons_are_distinct_and_end_with_the_first_generation() {
        let (mut status, at) = (status(), Duration::ZERO);
        let fault = Fault::new(KS404, Class::Slow, "same");
        status.failed(0, 0, &fault, at);
        status.failed(0, 1, &fault, at);
        assert_eq!(status.reasons().len(), 1);
        assert_eq!(status.fault(), Some(&fault));
        status.committed(0, None);
        assert_eq!((status.reasons().len(), status.fault()), (0, None));
    }

    #[test]
    fn the_report_has_generation_versions_ages_and_errors() {
        let mut status = status();
        status.fetched(0, 0, "v1", Duration::from_secs(1));
        status.failed(0, 1, &Fault::new(KS404, Class::Slow, "gone"), Duration::from_secs(2));
        status.committed(0, Some("..g".into()));
        status.commit_failed(0, &Fault::new(KS501, Class::Transient, "full"), Duration::from_secs(3));
        let json: serde_json::Value = serde_json::from_str(&status.json(true, Duration::from_secs(5))).unwrap();
        assert_eq!(json["volumes"][0]["generation"], "..g");
        assert_eq!(json["volumes"][0]["files"][0]["version"], "v1");
        assert_eq!(json["volumes"][0]["files"][0]["ageSeconds"], 4);
        assert_eq!(json["volumes"][0]["files"][0]["object"], "secret \"a\" in https://kv/");
        assert_eq!(json["volumes"][0]["files"][1]["error"]["code"], "KS404");
        assert_eq!(json["volumes"][0]["error"]["code"], "KS501");
        assert_eq!((json["failing"].as_u64(), json["ready"].as_bool()), (Some(2), Some(true)));
    }
}
