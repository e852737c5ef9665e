//! All checks together: the installation, then each workload.

use super::finding::{API_SERVER, Finding, Group, Level};
use super::pre::Unknown;
use super::snapshot::{ELSEWHERE, Scope, Snapshot, name, text};
use super::workload::Judged;
use super::{events, installation, pods, rights, sidecar};
use crate::admission::Outcome;
use crate::cli::misspelt;
use crate::cli::rbac_inputs::account_of;
use crate::cluster::manifests::Manifests;
use crate::mutate::{CLIENT_ID_ANNOTATION, Note, USE_LABEL};
use crate::reason;
use crate::settings::Settings;
use serde_json::json;
use std::collections::BTreeMap;

/// What is found about the installation and what could not be read.
pub(super) fn installation_group(snapshot: &Snapshot) -> Group {
    let namespace = snapshot.namespace_of(Scope::Installation).unwrap_or_default();
    let mut findings = installation::installation(snapshot);
    findings.extend(not_read(snapshot));
    findings.extend(not_checked(snapshot));
    Group::new(format!("Installation {namespace}/{}", snapshot.installation_name()), findings)
}

/// What is found about a workload; `None` where Keysluice has nothing to do with it, unless it was
/// asked for by name.
pub(super) fn workload_group(
    snapshot: &Snapshot,
    judged: &Judged<'_>,
    cluster: &Manifests,
    settings: &Settings,
    is_asked_for: bool,
) -> Option<Group> {
    let mut findings = selection(snapshot, judged);
    let is_ours = !findings.is_empty()
        || !judged.answer.notes.contains(&Note::NotSelected)
        || is_served(judged)
        || judged.answer.outcome == Outcome::Denied;
    if !is_ours && !is_asked_for {
        return None;
    }
    findings.extend(admission(snapshot, judged, settings));
    findings.extend(account(snapshot, judged));
    findings.extend(events::creation(snapshot, judged));
    findings.extend(pods::pods(snapshot, judged, &settings.audience));
    findings.extend(rights::rights(snapshot, judged, cluster));
    if is_asked_for {
        findings.extend(pods::state(snapshot, judged));
    }
    if is_ours && !findings.iter().any(|one| one.level == Level::Failed) {
        findings.extend(running(judged));
    }
    Some(Group::new(judged.workload.title.clone(), findings))
}

/// Whether it is a pod with a sidecar: the webhook has replaced the volumes that had selected it.
fn is_served(judged: &Judged<'_>) -> bool {
    sidecar::plan_of(judged.workload.object).is_some()
}

fn selection(snapshot: &Snapshot, judged: &Judged<'_>) -> Vec<Finding> {
    const CHECK: &str = "selection";
    let Some(text) = &judged.misplaced else { return Vec::new() };
    let is_selected = !judged.answer.notes.contains(&Note::NotSelected);
    let level = if is_selected { Level::Warning } else { Level::Failed };
    let finding = Finding::new(CHECK, level, reason::KS814.code, text.clone());
    vec![finding.run_all(label_command(snapshot, judged))]
}

/// What the webhook answers to a pod of the workload.
fn admission(snapshot: &Snapshot, judged: &Judged<'_>, settings: &Settings) -> Vec<Finding> {
    const CHECK: &str = "admission";
    let answer = &judged.answer;
    let mut findings = Vec::new();
    match (answer.outcome, answer.reason) {
        (Outcome::Denied, Some(reason)) => {
            let message = answer.message.clone().unwrap_or_default();
            let commands = commands(snapshot, judged, settings, reason.code);
            findings.push(coded(CHECK, Level::Failed, reason.code, &message).run_all(commands));
        }
        _ if judged.misplaced.is_some() => {}
        _ if is_served(judged) && answer.notes.contains(&Note::NotSelected) => {
            findings.push(Finding::good(CHECK, "the webhook has added the sidecar"));
        }
        _ => {
            let notes = answer.notes.iter().map(ToString::to_string);
            findings.extend(notes.map(|note| Finding::good(CHECK, note)));
        }
    }
    for warning in &answer.warnings {
        let code = events::code_in(warning).unwrap_or(reason::KS201.code);
        findings.push(coded(CHECK, Level::Warning, code, warning));
    }
    findings
}

/// What mends a refusal, or shows more of it.
fn commands(
    snapshot: &Snapshot,
    judged: &Judged<'_>,
    settings: &Settings,
    code: &str,
) -> Vec<String> {
    let namespace = &snapshot.namespace;
    let (_, account) = account_of(&judged.pod);
    let annotate = format!(
        "kubectl -n {namespace} annotate serviceaccount {account} {CLIENT_ID_ANNOTATION}=CLIENT_ID"
    );
    match code {
        "KS105" => vec![annotate],
        "KS202" => {
            vec![format!("kubectl -n {namespace} create serviceaccount {account}"), annotate]
        }
        "KS207" => vec!["kubectl get secretproviderclass --all-namespaces".to_owned()],
        _ => {
            let tenant = settings.tenant_id.as_ref();
            vec![format!(
                "kubectl -n {namespace} get {},serviceaccount,secretproviderclass --output yaml | \
                 keysluice explain -f - -n {namespace}{}",
                text(&judged.workload.object["kind"]).to_ascii_lowercase(),
                tenant.map(|tenant| format!(" --tenant-id {tenant}")).unwrap_or_default()
            )]
        }
    }
}

/// Sets the label where it selects the pods.
fn label_command(snapshot: &Snapshot, judged: &Judged<'_>) -> Option<String> {
    let field = judged.pod.pointer.trim_start_matches('/');
    if field.is_empty() {
        return None;
    }
    let label = json!({"metadata": {"labels": {USE_LABEL: "true"}}});
    let patch = field.rsplit('/').fold(label, |inner, part| json!({part: inner}));
    Some(format!(
        "kubectl -n {} patch {} --type merge --patch '{patch}'",
        snapshot.namespace,
        judged.workload.reference()
    ))
}

/// The message without the code before it, which is printed anyway.
fn coded(check: &'static str, level: Level, code: &'static str, message: &str) -> Finding {
    let mut text = message.strip_prefix(code).unwrap_or(message).trim_start().to_owned();
    if let (false, Some(reason)) = (text.contains("; hint: "), reason::find(code)) {
        text += &format!("; hint: {}", reason.fix);
    }
    Finding::new(check, level, code, text)
}

/// Annotations of the ServiceAccount that were meant to name its identity.
fn account(snapshot: &Snapshot, judged: &Judged<'_>) -> Vec<Finding> {
    let (namespace, own_name) = account_of(&judged.pod);
    let accounts = snapshot.list(Scope::Workloads, "serviceaccounts");
    let Some(account) = accounts.iter().find(|one| name(one) == own_name) else {
        return Vec::new();
    };
    let Some((written, meant)) = misspelt::annotation(account) else { return Vec::new() };
    let value = account["metadata"]["annotations"][written].as_str().unwrap_or_default();
    let text = format!(
        "ServiceAccount {namespace}/{own_name} has the annotation {written}, which has no effect; \
         hint: the annotation is {meant}"
    );
    vec![Finding::failed("selection", reason::KS256.code, text).run(format!(
        "kubectl -n {namespace} annotate serviceaccount {own_name} {meant}={value} {written}-"
    ))]
}

fn running(judged: &Judged<'_>) -> Option<Finding> {
    let count = judged.live.len();
    (count > 0).then(|| Finding::good("pods", format!("{count} pod(s) without trouble")))
}

/// What the caller may not read, one line each.
fn not_checked(snapshot: &Snapshot) -> Vec<Finding> {
    let lists = snapshot.unknown();
    let lists = lists.filter(|(source, why)| source.purpose != ELSEWHERE && why.forbidden);
    let mut findings: Vec<Finding> = lists
        .map(|(source, _)| {
            let place = match snapshot.namespace_of(source.scope) {
                Some(namespace) => format!(" in namespace {namespace}"),
                None => String::new(),
            };
            skipped(source.purpose, &format!("needs list {}{place}", source.resource))
        })
        .collect();
    let logs = snapshot.logs.values().filter_map(|log| log.as_ref().err());
    if logs.into_iter().any(|unknown| unknown.forbidden) {
        let needs = format!("needs get pods/log in namespace {}", snapshot.namespace);
        findings.push(skipped("the log of sidecars", &needs));
    }
    findings.extend(status_not_checked(snapshot));
    if snapshot.namespace_object.as_ref().is_err_and(|unknown| unknown.forbidden) {
        let needs = format!("needs get namespaces {}", snapshot.namespace);
        findings.push(skipped("whether the webhook selects the namespace", &needs));
    }
    findings
}

fn skipped(what: &str, why: &str) -> Finding {
    Finding::skipped("rights-of-caller", format!("not checked: {what}: {why}"))
}

/// What the caller may read and the API server did not give: one finding for each reason.
fn not_read(snapshot: &Snapshot) -> Vec<Finding> {
    let lists = snapshot.unknown().map(|(source, why)| (source.purpose.to_owned(), why));
    let logs = snapshot
        .logs
        .iter()
        .filter_map(|(pod, log)| Some((format!("the log of pod {pod}"), log.as_ref().err()?)));
    let namespace = snapshot.namespace_object.as_ref().err();
    let namespace = namespace.map(|why| (format!("namespace {}", snapshot.namespace), why));
    let others = snapshot.unread.iter().map(|(what, why)| (what.clone(), why));
    let mut by_reason: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (what, why) in lists.chain(logs).chain(namespace).chain(others) {
        let all = by_reason.entry(&why.message).or_default();
        if !why.forbidden && !all.contains(&what) {
            all.push(what);
        }
    }
    by_reason.retain(|_, what| !what.is_empty());
    let findings = by_reason.into_iter().map(|(why, what)| {
        let (why, hint) = why.split_once("; hint: ").unwrap_or((why, reason::KS705.fix));
        let why = why.strip_prefix(reason::KS705.code).unwrap_or(why).trim_start();
        let text = format!("{why}: not checked: {}; hint: {hint}", what.join("; "));
        Finding::failed(API_SERVER, reason::KS705.code, text)
    });
    findings.collect()
}

/// Why sidecars were not asked for their status, once.
fn status_not_checked(snapshot: &Snapshot) -> Option<Finding> {
    const WHAT: &str = "not checked: what sidecars say of themselves (status)";
    let mut unknown =
        snapshot.statuses.iter().filter_map(|(pod, status)| Some((pod, status.as_ref().err()?)));
    let (pod, Unknown { forbidden, message }) = unknown.next()?;
    let text = match (forbidden, unknown.count()) {
        (true, _) => {
            format!("{WHAT}: needs get and create pods/exec in namespace {}", snapshot.namespace)
        }
        (false, 0) => format!("{WHAT}: pod {pod}: {message}"),
        (false, more) => format!("{WHAT}: pod {pod}: {message}; {more} more likewise"),
    };
    Some(Finding::skipped("rights-of-caller", text))
}

#[cfg(test)]
mod tests {
    use super::super::snapshot::SOURCES;
    use super::*;
    use std::time::SystemTime;

    fn unknown(forbidden: bool, message: &str) -> Unknown {
        Unknown { forbidden, message: message.to_owned() }
    }

    fn found(snapshot: &Snapshot) -> Vec<(Level, String)> {
        let findings = not_read(snapshot).into_iter().chain(not_checked(snapshot));
        findings.map(|one| (one.level, one.text)).collect()
    }

    #[test]
    fn only_what_may_not_be_read_is_not_a_failure() {
        let mut snapshot = Snapshot::new("shop", SystemTime::UNIX_EPOCH);
        snapshot.add(&SOURCES[0], Err(unknown(true, "the API server answered 403: no")));
        snapshot.add(&SOURCES[3], Err(unknown(false, "the API server answered 500: no; hint: x")));
        snapshot.add(&SOURCES[22], Err(unknown(false, "no answer; hint: x")));
        snapshot.namespace_object = Err(unknown(false, "the API server answered 500: no; hint: x"));
        snapshot.logs.insert("web-0".to_owned(), Err(unknown(false, "KS705 a plug-in; hint: y")));
        snapshot.unread.push(("roles".to_owned(), unknown(false, "an item")));
        let found = found(&snapshot);
        let levels: Vec<Level> = found.iter().map(|(level, _)| *level).collect();
        let expected = [Level::Failed; 4].into_iter().chain([Level::Skipped]).collect::<Vec<_>>();
        assert_eq!(levels, expected, "{found:?}");
        for expected in [
            "the API server answered 500: no: not checked: whether the Secrets Store CSI driver \
             is installed; namespace shop; hint: x",
            "no answer: not checked: whether what is missing is in another namespace; hint: x",
            "a plug-in: not checked: the log of pod web-0; hint: y",
            "not checked: the webhook's entries and certificate, and other webhooks: needs list \
             mutatingwebhookconfigurations",
        ] {
            assert!(found.iter().any(|(_, text)| text == expected), "{expected}: {found:?}");
        }
        let item = found.iter().any(|(_, text)| text.starts_with("an item: not checked: roles; "));
        assert!(item, "{found:?}");
    }
}
