//! Pods that are evicted and workloads whose template is patched, as API server 1.37 answers.

use std::collections::BTreeMap;

use http::{StatusCode, header};
use serde_json::{Value, json};

use super::{body_of, status};
use crate::call::Call;
use crate::reply::Reply;

/// Namespace, resource (`deployments`) and name.
type Place = (String, String, String);

/// Workloads, pods, and what may be done with them.
#[derive(Debug, Default)]
pub(crate) struct Workloads {
    objects: BTreeMap<Place, Value>,
    /// uid by namespace and name.
    pub(crate) pods: BTreeMap<(String, String), String>,
    /// Names of evicted pods, in order.
    pub(crate) evicted: Vec<String>,
    /// How many pods a budget lets be evicted; `None` where there is no budget.
    pub(crate) budget: Option<u32>,
    /// Whether the right to evict and to patch is missing.
    pub(crate) is_forbidden: bool,
    /// How many writes come after somebody else's.
    pub(crate) contended: u32,
    /// How many patches changed something.
    pub(crate) writes: u64,
    version: u64,
}

impl Workloads {
    pub(crate) fn put(&mut self, place: [&str; 3], mut object: Value) {
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.objects.insert(place.map(str::to_owned).into(), object);
    }

    pub(crate) fn get(&self, place: [&str; 3]) -> Option<Value> {
        self.objects.get(&Place::from(place.map(str::to_owned))).cloned()
    }

    /// The answer to POST of an eviction.
    pub(crate) fn evict(&mut self, namespace: &str, name: &str, call: &Call) -> Reply {
        let Some(body) = read(call) else { return unauthorized() };
        if self.is_forbidden {
            return forbidden(namespace, name, "create", "pods/eviction", "");
        }
        let key = (namespace.to_owned(), name.to_owned());
        let Some(uid) = self.pods.get(&key) else {
            return status(404, "NotFound", &format!("pods \"{name}\" not found"));
        };
        let is_eviction = body["kind"] == "Eviction" && body["apiVersion"] == "policy/v1";
        if !is_eviction || body["metadata"]["name"] != name {
            return status(400, "BadRequest", "name in URL does not match name in Eviction object");
        }
        let wanted = &body["deleteOptions"]["preconditions"]["uid"];
        if !wanted.is_null() && wanted != uid {
            let message = format!(
                "Operation cannot be fulfilled on pods \"{name}\": the UID in the precondition \
                 (UID in precondition: {wanted}) does not match the UID in record ({uid})"
            );
            return status(409, "Conflict", &message);
        }
        match &mut self.budget {
            Some(0) => return over_budget(),
            Some(allowed) => *allowed -= 1,
            None => {}
        }
        self.pods.remove(&key);
        self.evicted.push(name.to_owned());
        Reply::json(
            StatusCode::CREATED,
            &json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
                "code": 201}),
        )
    }

    /// The answer to a merge patch.
    pub(crate) fn patch(&mut self, place: [&str; 3], call: &Call) -> Reply {
        let Some(body) = read(call) else { return unauthorized() };
        let [namespace, resource, name] = place;
        if self.is_forbidden {
            return forbidden(namespace, name, "patch", resource, "apps");
        }
        let Some(object) = self.objects.get_mut(&Place::from(place.map(str::to_owned))) else {
            let message = format!("{resource}.apps \"{name}\" not found");
            return status(404, "NotFound", &message);
        };
        let wanted = &body["metadata"]["resourceVersion"];
        if self.contended > 0 && !wanted.is_null() {
            self.contended -= 1;
            self.version += 1;
            object["metadata"]["resourceVersion"] = self.version.to_string().into();
        }
        if !wanted.is_null() && *wanted != object["metadata"]["resourceVersion"] {
            let message = format!(
                "Operation cannot be fulfilled on {resource}.apps \"{name}\": the object has been \
                 modified; please apply your changes to the latest version and try again"
            );
            return status(409, "Conflict", &message);
        }
        let before = object.clone();
        merge(object, &body);
        if *object != before {
            self.version += 1;
            self.writes += 1;
            object["metadata"]["resourceVersion"] = self.version.to_string().into();
        }
        Reply::json(StatusCode::OK, object)
    }
}

fn read(call: &Call) -> Option<Value> {
    let is_token = call.header("authorization").is_some_and(|value| value.starts_with("Bearer ey"));
    serde_json::from_slice(&call.body).ok().filter(|_| is_token)
}

fn unauthorized() -> Reply {
    status(401, "Unauthorized", "Unauthorized")
}

fn forbidden(namespace: &str, name: &str, verb: &str, resource: &str, group: &str) -> Reply {
    let kind = resource.split('/').next().unwrap_or_default();
    let message = format!(
        "{kind} \"{name}\" is forbidden: User \"system:serviceaccount:{namespace}:web\" cannot \
         {verb} resource \"{resource}\" in API group \"{group}\" in the namespace \"{namespace}\""
    );
    status(403, "Forbidden", &message)
}

/// Without `Retry-After`, as the API server does where the budget is used up.
fn over_budget() -> Reply {
    let message = "Cannot evict pod as it would violate the pod's disruption budget.";
    let mut body = body_of(429, "TooManyRequests", message);
    body["details"] = json!({"causes": [{"reason": "DisruptionBudget",
        "message": "The disruption budget web needs 2 healthy pods and has 2 currently"}]});
    Reply::json(StatusCode::TOO_MANY_REQUESTS, &body).with(header::CACHE_CONTROL, "no-cache")
}

/// RFC 7386.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let Value::Object(into) = target else { return };
    for (key, value) in fields {
        if value.is_null() {
            into.remove(key);
        } else {
            merge(into.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}
