//! The part of a Kubernetes API server that a sidecar uses: PATCH of a Secret, as a merge patch or
//! by server-side apply with field managers; eviction of a pod; a merge patch of a workload.
//!
//! It answers as API server 1.37 does: what a manager leaves out goes if no other manager has it, a
//! value of another manager is a conflict, type and immutable content do not change, owners unite
//! by uid, and an identical apply keeps `resourceVersion`.

mod fields;
mod stored;
mod workloads;

pub use stored::Stored;

use std::collections::{BTreeMap, BTreeSet};

use http::StatusCode;
use serde_json::{Value, json};

use crate::call::Call;
use crate::reply::Reply;
use stored::Refused;

pub(crate) use workloads::Workloads;

/// The Secrets, and who may write them.
#[derive(Debug, Default)]
pub(crate) struct Kubernetes {
    /// By namespace and name.
    pub(crate) secrets: BTreeMap<(String, String), Stored>,
    /// Names that may be written; `None` for all.
    pub(crate) writable: Option<BTreeSet<String>>,
    /// How many objects were made.
    made: u64,
    /// How many patches changed something.
    pub(crate) writes: u64,
    /// Everything else.
    pub(crate) workloads: Workloads,
    version: u64,
}

impl Kubernetes {
    /// Puts a Secret there as another program does, with this field manager.
    pub(crate) fn put(&mut self, namespace: &str, name: &str, manager: &str, object: &Value) {
        self.version += 1;
        self.made += 1;
        let stored = Stored::new(namespace, name, self.made, self.version);
        let key = (namespace.to_owned(), name.to_owned());
        let stored = self.secrets.entry(key).or_insert(stored);
        // With force nothing is refused but a change of the type, a mistake of the test.
        let _ = stored.apply(manager, true, object);
        stored.version = self.version;
    }

    /// The answer to a patch of the Secret.
    pub(crate) fn answer(&mut self, namespace: &str, name: &str, call: &Call) -> Reply {
        let Ok(body) = serde_json::from_slice::<Value>(&call.body) else {
            return status(400, "BadRequest", "the object provided is unrecognized");
        };
        if !call.header("authorization").is_some_and(|value| value.starts_with("Bearer ey")) {
            return status(401, "Unauthorized", "Unauthorized");
        }
        if self.writable.as_ref().is_some_and(|names| !names.contains(name)) {
            let message = format!(
                "secrets \"{name}\" is forbidden: User \"system:serviceaccount:{namespace}:web\" \
                 cannot patch resource \"secrets\" in API group \"\" in the namespace \
                 \"{namespace}\""
            );
            return status(403, "Forbidden", &message);
        }
        let is_apply = call.header("content-type") == Some("application/apply-patch+yaml");
        let key = (namespace.to_owned(), name.to_owned());
        let exists = self.secrets.contains_key(&key);
        if !exists {
            if !is_apply {
                return status(404, "NotFound", &format!("secrets \"{name}\" not found"));
            }
            if !body["metadata"]["uid"].is_null() {
                return status(409, "Conflict", "Precondition failed: UID in precondition");
            }
            self.made += 1;
            let stored = Stored::new(namespace, name, self.made, self.version);
            self.secrets.insert(key.clone(), stored);
        }
        let Some(stored) = self.secrets.get_mut(&key) else {
            return status(404, "NotFound", "gone");
        };
        let before = stored.clone();
        let result = if is_apply {
            let force = call.parameter("force") == Some("true");
            let manager = call.parameter("fieldManager").unwrap_or_default();
            stored.check(&body, exists).and_then(|()| stored.apply(manager, force, &body))
        } else {
            stored.merge(&body);
            Ok(())
        };
        if let Err(Refused { code, reason, message, field }) = result {
            *stored = before;
            if !exists {
                self.secrets.remove(&key);
            }
            let mut reply = body_of(code, reason, &message);
            if let Some(field) = field {
                reply["details"] =
                    json!({"causes": [{"reason": "FieldValueInvalid", "field": field}]});
            }
            return Reply::json(status_code(code), &reply);
        }
        if *stored != before || !exists {
            self.version += 1;
            self.writes += 1;
            stored.version = self.version;
        }
        let code = if exists { StatusCode::OK } else { StatusCode::CREATED };
        Reply::json(code, &stored.object())
    }
}

/// An error of the API server.
pub(crate) fn status(code: u16, reason: &str, message: &str) -> Reply {
    Reply::json(status_code(code), &body_of(code, reason, message))
}

fn status_code(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn body_of(code: u16, reason: &str, message: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
        "reason": reason, "message": message})
}
