//! What the sidecar of a pod says: its termination message, its own status, its log.

use super::advice::{self, Subject};
use super::events::code_in;
use super::finding::{Finding, Level};
use super::snapshot::{Snapshot, name, named, text};
use super::status::Failing;
use crate::mutate::SIDECAR;
use crate::plan;
use crate::reason;
use keysluice_plan::{PLAN_ENV, Plan};
use serde::Deserialize;
use serde_json::Value;
use std::borrow::Cow;

const CHECK: &str = "sidecar";
/// The reason that comes with another one.
const WRAPPERS: [&str; 2] = ["KS603", "KS604"];
/// A sidecar that cannot reach something has one of these.
const NETWORK: [&str; 6] = ["KS312", "KS409", "KS411", "KS412", "KS410", "KS440"];

/// The Plan of a pod's sidecar.
pub(super) fn plan_of(pod: &Value) -> Option<Plan> {
    let container = named(&pod["spec"]["initContainers"], SIDECAR);
    let value = named(&container["env"], PLAN_ENV);
    plan::from_variable(value["value"].as_str()?)
}

/// What a pod's sidecar failed with; whether the pod works in spite of it.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    code: &'static str,
    message: String,
    /// What it is about, if the sidecar told its state.
    about: Option<String>,
    is_ready: bool,
}

/// What the sidecar warns of while it works: an object that is expired or not active yet.
const WARNINGS: [&str; 2] = ["KS419", "KS420"];
/// How the line ends that takes such a warning back.
const VALID_AGAIN: &str = ": valid again";

/// The objects of a pod that its sidecar serves although they are expired or not active yet.
pub(super) fn warnings(snapshot: &Snapshot, pod: &Value, subject: &Subject<'_>) -> Vec<Finding> {
    let all = match (snapshot.statuses.get(name(pod)), snapshot.logs.get(name(pod))) {
        (Some(Ok(status)), _) => status.warnings(),
        (_, Some(Ok(log))) => warnings_of_log(log),
        _ => return Vec::new(),
    };
    WARNINGS.into_iter().filter_map(|code| warning(code, &all, subject)).collect()
}

/// One finding for all objects with a code.
fn warning(
    code: &'static str,
    all: &[(&'static str, String)],
    subject: &Subject<'_>,
) -> Option<Finding> {
    let mut messages = all.iter().filter(|(of, _)| *of == code).map(|(_, message)| message);
    let (first, more) = (messages.next()?, messages.count());
    let more = if more == 0 { String::new() } else { format!(" and {more} more like it") };
    let fix = reason::find(code).map(|reason| reason.fix).unwrap_or_default();
    let text = format!("the sidecar says: {first}{more}; hint: {fix}");
    let finding = Finding::warning(CHECK, code, text);
    Some(finding.run_all(advice::commands(code, first, subject)))
}

/// The warnings of a log that still hold; the last one about an object counts.
fn warnings_of_log(log: &str) -> Vec<(&'static str, String)> {
    let mut all: Vec<(&'static str, String)> = Vec::new();
    for line in log.lines().filter_map(Line::read) {
        let message = &*line.message;
        let code = WARNINGS.into_iter().find(|code| line.code.as_deref() == Some(code));
        let object = match code {
            Some(_) => message.rsplit_once(": ").map(|(object, _)| object),
            None => message.strip_suffix(VALID_AGAIN),
        };
        let Some(object) = object else { continue };
        all.retain(|(_, message)| message.rsplit_once(": ").is_none_or(|(of, _)| of != object));
        all.extend(code.map(|code| (code, message.to_owned())));
    }
    all
}

/// The failures of a pod's sidecar, interpreted.
pub(super) fn failures(snapshot: &Snapshot, pod: &Value, subject: &Subject<'_>) -> Vec<Finding> {
    said(snapshot, pod).into_iter().map(|said| interpreted(said, subject)).collect()
}

fn interpreted(said: Said, subject: &Subject<'_>) -> Finding {
    let Said { code, message, about, is_ready } = said;
    let level = if is_ready { Level::Warning } else { Level::Failed };
    let fix = reason::find(code).map(|reason| reason.fix).unwrap_or_default();
    let about = about.map(|about| format!(" ({about})")).unwrap_or_default();
    let text = format!("the sidecar says: {message}{about}; hint: {fix}");
    let finding =
        Finding::new(CHECK, level, code, text).show_table(advice::comparison(subject, &message));
    finding.run_all(advice::commands(code, &message, subject))
}

/// Whether the failure is one of the network.
pub(super) fn is_blocked(snapshot: &Snapshot, pod: &Value) -> bool {
    said(snapshot, pod).iter().any(|said| NETWORK.contains(&said.code) && !said.is_ready)
}

/// What tells most: the message of a sidecar that ended, else its own status, else its log.
fn said(snapshot: &Snapshot, pod: &Value) -> Vec<Said> {
    let status = named(&pod["status"]["initContainerStatuses"], SIDECAR);
    let is_running = is_running(pod);
    let is_ready = is_running && (status["ready"] == true || status["started"] == true);
    let ends = ["state", "lastState"].map(|state| text(&status[state]["terminated"]["message"]));
    let ended = ends.into_iter().find(|message| !message.is_empty());
    // What ended before is of the past once it works.
    if let Some(message) = ended.filter(|_| !is_ready) {
        return message.lines().next().and_then(|line| parse(line, is_ready)).into_iter().collect();
    }
    if let Some(Ok(status)) = snapshot.statuses.get(name(pod)) {
        let failing = status.failing().into_iter();
        return failing
            .map(|Failing { code, message, about }| Said {
                code,
                message,
                about: Some(about),
                is_ready: status.is_ready(),
            })
            .collect();
    }
    let log = snapshot.logs.get(name(pod)).and_then(|log| log.as_ref().ok());
    log.and_then(|log| from_log(log, is_ready)).into_iter().collect()
}

/// Whether there is a sidecar to ask.
pub(super) fn is_running(pod: &Value) -> bool {
    let status = named(&pod["status"]["initContainerStatuses"], SIDECAR);
    !status["state"]["running"].is_null()
}

/// The last failure of a log that no success follows.
fn from_log(log: &str, is_ready: bool) -> Option<Said> {
    for line in log.lines().rev().filter_map(Line::read) {
        match line.code.as_deref() {
            Some(code) if WARNINGS.contains(&code) => {}
            Some(code) => return parse(&format!("{code} {}", line.message), is_ready),
            None if line.level == "info" => return None,
            None => {}
        }
    }
    None
}

/// A line of the log, in either format.
#[derive(Debug, Deserialize)]
struct Line<'l> {
    #[serde(borrow)]
    level: Cow<'l, str>,
    #[serde(borrow)]
    code: Option<Cow<'l, str>>,
    #[serde(borrow)]
    message: Cow<'l, str>,
}

impl<'l> Line<'l> {
    fn read(line: &'l str) -> Option<Self> {
        serde_json::from_str(line).ok().or_else(|| Self::of_text(line))
    }

    /// `2026-03-01T12:00:00.000012Z warn  KS404 secret "db" is not there hint="create it"`
    fn of_text(line: &'l str) -> Option<Self> {
        const HINT: &str = " hint=\"";
        let (time, rest) = line.split_once(' ')?;
        let (level, rest) = rest.split_once(' ')?;
        let is_line = time.ends_with('Z') && ["info", "warn", "error"].contains(&level);
        let message = rest.trim_start();
        let message = message.rfind(HINT).map_or(message, |at| &message[..at]);
        let code = code_in(message).filter(|code| message.starts_with(&format!("{code} ")));
        let message = code.map_or(message, |code| message[code.len()..].trim_start());
        let (level, code) = (level.into(), code.map(Cow::Borrowed));
        is_line.then(|| Self { level, code, message: message.into() })
    }
}

/// `KS303 Entra refused …`, or the same behind the reason that it comes with.
fn parse(message: &str, is_ready: bool) -> Option<Said> {
    let first = code_in(message)?;
    let inner = WRAPPERS.contains(&first).then(|| {
        let rest = message.split_once(first).map_or("", |(_, rest)| rest);
        let code = code_in(rest)?;
        let at = rest.find(code)?;
        Some((code, rest.get(at + code.len()..)?.trim().to_owned()))
    });
    let (code, message) = inner
        .flatten()
        .unwrap_or_else(|| (first, message.trim_start_matches(first).trim().to_owned()));
    Some(Said { code, message, about: None, is_ready })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn outcome(log: &str) -> Option<(&'static str, String)> {
        from_log(log, true).map(|said| (said.code, said.message))
    }

    #[test]
    fn the_last_failure_of_a_log_counts_unless_it_passed() {
        let failed = r#"{"level":"warn","code":"KS404","message":"secret db"}"#;
        let good = r#"{"level":"info","message":"generation 2"}"#;
        let expected = Some(("KS404", "secret db".to_owned()));
        assert_eq!(outcome(failed), expected);
        assert_eq!(outcome(&format!("{good}\n{failed}\nnot JSON\n")), expected);
        assert_eq!(outcome(&format!("{failed}\n{good}\n")), None);
        assert_eq!(outcome(""), None);
        let failed =
            "2026-03-01T12:00:00.000012Z warn  KS404 secret db hint=\"look for \\\"db\\\"\"";
        let good = "2026-03-01T12:00:00.000012Z info  file db: works again";
        assert_eq!(outcome(&format!("{good}\n{failed}\nno line at all KS404\n")), expected);
        assert_eq!(outcome(&format!("{failed}\n{good}\n")), None);
    }

    #[test]
    fn a_warning_of_an_object_holds_until_it_is_valid_again_or_another_comes() {
        let (db, api) = ("secret \"db\" in https://kv/", "secret \"api\" in https://kv/");
        let expired = format!("{db}: expired at 2026-01-01T00:00:00Z");
        let [early, late, other] = [
            ("KS420", format!("{db}: not active until 2027-01-01T00:00:00Z")),
            ("KS419", expired.clone()),
            ("KS419", format!("{api}: expired at 2026-01-01T00:00:00Z")),
        ]
        .map(|(code, message)| json!({"level": "warn", "code": code, "message": message}));
        let [valid_db, valid_api] = [db, api]
            .map(|object| json!({"level": "info", "message": format!("{object}: valid again")}));
        for (log, expected) in [
            (format!("{early}\n{late}"), &[("KS419", expired.clone())][..]),
            (format!("{late}\n{other}\n{valid_api}"), &[("KS419", expired)]),
            (format!("{early}\n{valid_db}\nnot JSON"), &[]),
        ] {
            assert_eq!(warnings_of_log(&log), expected, "{log}");
        }
        assert_eq!(warnings_of_log(&format!("{late}\n{other}\n{valid_db}")).len(), 1);
        // They are no failures, and hide none.
        let failed = r#"{"level":"warn","code":"KS404","message":"secret db"}"#;
        assert_eq!(outcome(&format!("{failed}\n{late}")), outcome(failed));
        assert_eq!(outcome(&late.to_string()), None);
    }

    #[test]
    fn the_reason_behind_another_is_the_one() {
        let said = parse("KS603 not ready within 30 s: KS402 secret db: 403", false).unwrap();
        assert_eq!((said.code, said.message.as_str()), ("KS402", "secret db: 403"));
        let said = parse("KS603 not ready within 30 s", false).unwrap();
        assert_eq!((said.code, said.message.as_str()), ("KS603", "not ready within 30 s"));
        assert_eq!(parse("out of memory", false), None);
    }
}
