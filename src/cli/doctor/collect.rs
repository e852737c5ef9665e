//! Reads the cluster, with the rights of the caller.

#![allow(clippy::disallowed_methods, reason = "this room asks for the time")]

use super::access;
use super::pre::{Fact, Unknown, items, unknown};
use super::sidecar;
use super::snapshot::{ELSEWHERE, SOURCES, Scope, Snapshot, Source, installation, name, named};
use super::status::Status;
use crate::cli::terminal::progress;
use crate::cluster::api::{ApiError, Client, ContainerName, ExecError, exec, get, list};
use crate::mutate::SIDECAR;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};
use tokio::time::{Instant, timeout};

/// An API server that answers none of so many first lists is not asked for more.
const MAX_UNANSWERED: usize = 3;
/// Sidecars whose log is read.
const MAX_LOGS: usize = 20;
/// A warning about a vault object comes once per version.
const LOG_LINES: usize = 200;
/// Sidecars that are asked for their status: in all, and of one workload.
const MAX_STATUSES: usize = 10;
const MAX_OF_WORKLOAD: usize = 2;
const STATUS_COMMAND: [&str; 4] = ["/keysluice-injector", "status", "-o", "json"];
const MAX_STATUS_BYTES: usize = 512 << 10;
/// How long one answer may take, and all of them.
const ONE_STATUS: Duration = Duration::from_secs(5);
const ALL_STATUSES: Duration = Duration::from_secs(20);

/// Reads what the checks look at, but not what sidecars say.
///
/// # Errors
/// Where the API server cannot be reached, or answers none of the first questions.
pub(super) async fn snapshot(client: &Client, namespace: &str) -> Result<Snapshot, ApiError> {
    let mut snapshot = Snapshot::new(namespace, SystemTime::now());
    get(client, "/version").await.or_else(refused)?;
    let mut unanswered = Some(0);
    for source in SOURCES.iter().filter(|source| source.purpose != ELSEWHERE) {
        progress(&format!("reading {} …", source.resource));
        match (read(client, &mut snapshot, source).await, &mut unanswered) {
            (Err(error), Some(count)) => {
                *count += 1;
                if *count == MAX_UNANSWERED {
                    progress("");
                    return Err(error);
                }
            }
            (Err(_), None) => {}
            (Ok(()), _) => unanswered = None,
        }
        if source.resource == "mutatingwebhookconfigurations" {
            snapshot.installation = installation(snapshot.list(source.scope, source.resource));
        }
    }
    let path = format!("/api/v1/namespaces/{namespace}");
    snapshot.namespace_object = get(client, &path).await.map_err(|error| explained(&error));
    snapshot.issuer = issuer(client).await.unwrap_or_else(|unknown| {
        snapshot.unread.push(("the issuer of the cluster".to_owned(), unknown));
        None
    });
    progress("");
    Ok(snapshot)
}

/// Reads where else in the cluster there are ServiceAccounts and classes.
pub(super) async fn elsewhere(client: &Client, snapshot: &mut Snapshot) {
    for source in SOURCES.iter().filter(|source| source.purpose == ELSEWHERE) {
        progress(&format!("reading {} …", source.resource));
        // What it did not give is in the snapshot.
        let _ = read(client, snapshot, source).await;
    }
    progress("");
}

/// Adds the objects of a source, or why there are none.
///
/// # Errors
/// Where the API server did not give what the caller may read.
async fn read(client: &Client, snapshot: &mut Snapshot, source: &Source) -> Result<(), ApiError> {
    let path = match snapshot.namespace_of(source.scope) {
        Some(namespace) => format!("{}/namespaces/{namespace}/{}", source.root, source.resource),
        None => format!("{}/{}", source.root, source.resource),
    };
    let version = source.root.trim_start_matches("/apis/").trim_start_matches("/api/");
    let mut objects = Vec::new();
    let listed = list(client, &path, |mut object| {
        object["kind"] = json!(source.kind);
        object["apiVersion"] = json!(version);
        objects.push(object);
    });
    match listed.await {
        Ok(()) => snapshot.add(source, Ok(objects)),
        // The other objects of the list are checked.
        Err(error @ ApiError::NotAnObject { .. }) => {
            snapshot.unread.push((source.purpose.to_owned(), explained(&error)));
            snapshot.add(source, Ok(objects));
        }
        Err(error) => {
            let unknown = explained(&error);
            let is_forbidden = unknown.forbidden;
            snapshot.add(source, Err(unknown));
            if !is_forbidden {
                return Err(error);
            }
        }
    }
    Ok(())
}

/// Why something is not known, and what to do.
fn explained(error: &ApiError) -> Unknown {
    let mut unknown = unknown(error);
    if let Some(hint) = error.hint() {
        unknown.message += &format!("; hint: {hint}");
    }
    unknown
}

/// Asks the sidecars of these pods, a list for each workload, for their status, and reads the end
/// of the log of those that do not give it. `is_exec_wanted` says whether a command may be run.
pub(super) async fn sidecars(
    client: &Client,
    snapshot: &mut Snapshot,
    workloads: &[Vec<String>],
    is_exec_wanted: bool,
) {
    if is_exec_wanted {
        statuses(client, snapshot, workloads).await;
    }
    let silent: Vec<String> = workloads
        .iter()
        .flatten()
        .filter(|pod| !snapshot.statuses.get(*pod).is_some_and(Result::is_ok))
        .cloned()
        .collect();
    logs(client, snapshot, &silent).await;
    progress("");
}

/// A few of each workload: their sidecars have the same Plan.
async fn statuses(client: &Client, snapshot: &mut Snapshot, workloads: &[Vec<String>]) {
    let pods = snapshot.list(Scope::Workloads, "pods");
    let running: BTreeSet<&str> =
        pods.iter().filter(|one| sidecar::is_running(one)).map(name).collect();
    let chosen: Vec<String> = workloads
        .iter()
        .flat_map(|pods| {
            pods.iter().filter(|pod| running.contains(pod.as_str())).take(MAX_OF_WORKLOAD)
        })
        .take(MAX_STATUSES)
        .cloned()
        .collect();
    if chosen.is_empty() {
        return;
    }
    progress("reading rights …");
    // Older API servers ask for `get` where a WebSocket is opened, newer ones for `create` as well.
    let verbs = ["get", "create"];
    if let Err(unknown) = access::require(client, &snapshot.namespace, &verbs, "exec").await {
        snapshot.statuses.insert(chosen[0].clone(), Err(unknown));
        return;
    }
    let end = Instant::now() + ALL_STATUSES;
    for pod in chosen {
        progress(&format!("asking the sidecar of {pod} …"));
        let patience = ONE_STATUS.min(end.saturating_duration_since(Instant::now()));
        // Of those that are left the log is read.
        if patience.is_zero() {
            break;
        }
        let status = status(client, &snapshot.namespace, &pod, patience).await;
        snapshot.statuses.insert(pod, status);
    }
}

async fn status(client: &Client, namespace: &str, pod: &str, patience: Duration) -> Fact<Status> {
    let container = ContainerName { namespace, pod, container: SIDECAR };
    let asked = exec(client, container, &STATUS_COMMAND, MAX_STATUS_BYTES);
    match timeout(patience, asked).await {
        Err(_) => {
            let message = format!("no answer within {:.0} s", patience.as_secs_f32());
            Err(Unknown { forbidden: false, message })
        }
        Ok(Err(ExecError::Api(error))) => Err(unknown(&error)),
        Ok(Err(error)) => Err(Unknown { forbidden: false, message: error.to_string() }),
        Ok(Ok(output)) => Status::read(&output).ok_or_else(|| Unknown {
            forbidden: false,
            message: "the container prints something else than a status".to_owned(),
        }),
    }
}

/// The end of what these sidecars wrote.
async fn logs(client: &Client, snapshot: &mut Snapshot, pods: &[String]) {
    let all = snapshot.list(Scope::Workloads, "pods");
    let with_log: BTreeSet<&str> = all.iter().filter(|one| has_run(one)).map(name).collect();
    let pods = pods.iter().filter(|pod| with_log.contains(pod.as_str()));
    let names: Vec<String> = pods.take(MAX_LOGS).cloned().collect();
    for pod in names {
        progress("reading logs …");
        let path = format!(
            "/api/v1/namespaces/{}/pods/{pod}/log?container={SIDECAR}&tailLines={LOG_LINES}",
            snapshot.namespace
        );
        let log = match client.document(&path).await {
            // The container has none yet, or the pod is gone.
            Err(ApiError::Refused { status: 400 | 404, .. }) => continue,
            Err(error) => Err(explained(&error)),
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        };
        snapshot.logs.insert(pod, log);
    }
}

/// Whether a pod's sidecar has a log.
fn has_run(pod: &Value) -> bool {
    let has_sidecar =
        items(&pod["spec"]["initContainers"]).iter().any(|one| one["name"] == SIDECAR);
    let status = named(&pod["status"]["initContainerStatuses"], SIDECAR);
    has_sidecar
        && (status["restartCount"].as_i64().is_some_and(|count| count > 0)
            || !status["state"]["running"].is_null()
            || !status["state"]["terminated"].is_null())
}

/// What tokens of this cluster name as their issuer. Few users may read it.
async fn issuer(client: &Client) -> Fact<Option<String>> {
    let read = client.document("/.well-known/openid-configuration").await;
    let document = read.and_then(|bytes| Ok(serde_json::from_slice::<Value>(&bytes)?));
    match document {
        Ok(document) => Ok(document["issuer"].as_str().map(str::to_owned)),
        Err(ApiError::Refused { status: 403 | 404, .. }) => Ok(None),
        Err(error) => Err(explained(&error)),
    }
}

/// What may not be read is the matter of the checks; without any answer there is nothing to check.
fn refused(error: ApiError) -> Result<Option<Value>, ApiError> {
    match error {
        ApiError::Refused { status: 403, .. } => Ok(None),
        error => Err(error),
    }
}

#[cfg(test)]
mod tests;
