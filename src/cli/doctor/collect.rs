//! Reads the cluster: GETs alone, with the rights of the caller.

#![allow(clippy::disallowed_methods, reason = "this room asks for the time")]

use super::pre::{Unknown, items};
use super::snapshot::{ELSEWHERE, SOURCES, Scope, Snapshot, Source, installation, name, named};
use crate::cluster::api::{ApiError, Client, get, list};
use crate::mutate::SIDECAR;
use serde_json::{Value, json};
use std::io::{IsTerminal as _, Write as _};
use std::time::SystemTime;

/// Sidecars whose log is read.
const MAX_LOGS: usize = 20;
/// A warning about a vault object comes once per version.
const LOG_LINES: usize = 200;

/// Reads what the checks look at; `pods` names one pod, if only that is asked about.
///
/// # Errors
/// Where the API server cannot be reached.
pub(super) async fn snapshot(client: &Client, namespace: &str) -> Result<Snapshot, ApiError> {
    let mut snapshot = Snapshot::new(namespace, SystemTime::now());
    get(client, "/version").await.or_else(refused)?;
    for source in SOURCES.iter().filter(|source| source.purpose != ELSEWHERE) {
        progress(source.resource);
        read(client, &mut snapshot, source).await;
        if source.resource == "mutatingwebhookconfigurations" {
            snapshot.installation = installation(snapshot.list(source.scope, source.resource));
        }
    }
    let path = format!("/api/v1/namespaces/{namespace}");
    snapshot.namespace_object = get(client, &path).await.map_err(|error| unknown(&error));
    snapshot.issuer = issuer(client).await;
    logs(client, &mut snapshot).await;
    progress("");
    Ok(snapshot)
}

/// Reads where else in the cluster there are ServiceAccounts and classes.
pub(super) async fn elsewhere(client: &Client, snapshot: &mut Snapshot) {
    for source in SOURCES.iter().filter(|source| source.purpose == ELSEWHERE) {
        progress(source.resource);
        read(client, snapshot, source).await;
    }
    progress("");
}

async fn read(client: &Client, snapshot: &mut Snapshot, source: &Source) {
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
    let listed = listed.await.map_err(|error| unknown(&error));
    snapshot.add(source, listed.map(|()| objects));
}

/// The end of what each sidecar wrote.
async fn logs(client: &Client, snapshot: &mut Snapshot) {
    let pods = snapshot.list(Scope::Workloads, "pods");
    let with_sidecar = pods.iter().filter(|pod| has_run(pod)).take(MAX_LOGS);
    let names: Vec<String> = with_sidecar.map(|pod| name(pod).to_owned()).collect();
    for pod in names {
        progress("logs");
        let path = format!(
            "/api/v1/namespaces/{}/pods/{pod}/log?container={SIDECAR}&tailLines={LOG_LINES}",
            snapshot.namespace
        );
        let log = client.document(&path).await.map_err(|error| unknown(&error));
        let log = log.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
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
async fn issuer(client: &Client) -> Option<String> {
    let document = client.document("/.well-known/openid-configuration").await.ok()?;
    let document: Value = serde_json::from_slice(&document).ok()?;
    document["issuer"].as_str().map(str::to_owned)
}

/// A refusal is the matter of the checks; without any answer there is nothing to check.
fn refused(error: ApiError) -> Result<Option<Value>, ApiError> {
    match error {
        ApiError::Refused { status, .. } if status != 401 => Ok(None),
        error => Err(error),
    }
}

fn unknown(error: &ApiError) -> Unknown {
    let forbidden = matches!(error, ApiError::Refused { status: 401 | 403, .. });
    Unknown { forbidden, message: error.to_string() }
}

/// One line that is written over; an empty text ends it.
fn progress(what: &str) {
    let mut stderr = std::io::stderr();
    if stderr.is_terminal() {
        let text = if what.is_empty() { String::new() } else { format!("reading {what} …") };
        let _ = write!(stderr, "\r\x1b[K{text}").and_then(|()| stderr.flush());
    }
}
