//! All checks together: the installation, then each workload.

use super::finding::{Finding, Group, Level};
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

/// What is found about the installation and what could not be read.
pub(super) fn installation_group(snapshot: &Snapshot) -> Group {
    let namespace = snapshot.namespace_of(Scope::Installation).unwrap_or_default();
    let mut findings = installation::installation(snapshot);
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
    let lists = snapshot.unknown().filter(|(source, _)| source.purpose != ELSEWHERE);
    let mut findings: Vec<Finding> = lists
        .map(|(source, Unknown { forbidden, message })| {
            let place = match snapshot.namespace_of(source.scope) {
                Some(namespace) => format!(" in namespace {namespace}"),
                None => String::new(),
            };
            let why = if *forbidden {
                format!("needs list {}{place}", source.resource)
            } else {
                message.clone()
            };
            Finding::skipped("rights-of-caller", format!("not checked: {}: {why}", source.purpose))
        })
        .collect();
    let logs = snapshot.logs.values().filter_map(|log| log.as_ref().err());
    if logs.into_iter().any(|unknown| unknown.forbidden) {
        findings.push(Finding::skipped(
            "rights-of-caller",
            format!(
                "not checked: the log of sidecars: needs get pods/log in namespace {}",
                snapshot.namespace
            ),
        ));
    }
    findings.extend(status_not_checked(snapshot));
    if snapshot.namespace_object.as_ref().is_err_and(|unknown| unknown.forbidden) {
        findings.push(Finding::skipped(
            "rights-of-caller",
            format!(
                "not checked: whether the webhook selects the namespace: needs get namespaces {}",
                snapshot.namespace
            ),
        ));
    }
    findings
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
