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
use serde_json::Value;

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
    for line in log.lines().rev() {
        let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
        match (line["code"].as_str(), text(&line["level"])) {
            (Some(code), _) => {
                return parse(&format!("{code} {}", text(&line["message"])), is_ready);
            }
            (None, "info") => return None,
            _ => {}
        }
    }
    None
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
