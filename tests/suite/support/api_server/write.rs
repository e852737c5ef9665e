//! Creations, JSON patches and deletions, with the API server's optimistic locking.

use super::world::{BINDINGS, CONFIGURATIONS, WORKLOADS, World};
use http::{Method, Request};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::Value;
use std::sync::Mutex;

/// The object as it is afterwards, or status and message of the refusal.
pub(super) async fn answer(
    request: Request<Incoming>,
    resource: &'static str,
    shared: &Mutex<World>,
) -> Result<Value, (u16, &'static str)> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| (400, "no body"))?.to_bytes();
    let parts: Vec<&str> = head.uri.path().split('/').collect();
    let after = |part: &str| {
        parts.iter().position(|one| *one == part).and_then(|at| parts.get(at + 1)).copied()
    };
    let mut world = shared.lock().unwrap();
    if head.method == Method::POST {
        let object: Value = serde_json::from_slice(&body).map_err(|_| (400, "not JSON"))?;
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
        if world.find(resource, text("namespace"), text("name")).is_some() {
            return Err((409, "already exists"));
        }
        world.put(resource, object.clone());
        return Ok(object);
    }
    let of_cluster = [CONFIGURATIONS, WORKLOADS, BINDINGS];
    let namespace = if of_cluster.contains(&resource) { None } else { after("namespaces") };
    let (namespace, name) = (namespace.unwrap_or_default(), after(resource).unwrap_or_default());
    let object = world.find(resource, namespace, name).ok_or((404, "not found"))?;
    let mut changed = object.clone();
    if head.method == Method::DELETE {
        world.delete(resource, namespace, name);
        return Ok(changed);
    }
    let patch: json_patch::Patch =
        serde_json::from_slice(&body).map_err(|_| (400, "no JSON patch"))?;
    let version = "/metadata/resourceVersion";
    if !patch.iter().any(|operation| operation.path().as_str() == version) {
        return Err((422, "the test wants a version in every write"));
    }
    json_patch::patch(&mut changed, &patch).map_err(|_| (422, "the patch does not apply"))?;
    let policy =
        |of: &Value| of["webhooks"][world.kept_loose?]["failurePolicy"].as_str().map(str::to_owned);
    if policy(&changed) != policy(object) {
        return Err((422, "KS722 this entry stays as it is"));
    }
    if changed["metadata"]["resourceVersion"] != object["metadata"]["resourceVersion"] {
        return Err((409, "the object has been modified"));
    }
    world.put(resource, changed.clone());
    Ok(changed)
}
