//! The diagnostic log of the vaults, as Azure Monitor stores it: a record of the category
//! `AuditEvent` for each call.
//!
//! Whether `correlationId` is the client's `x-ms-client-request-id` or the service's own
//! `x-ms-request-id` is a matter on which Microsoft's documentation and the service's developers
//! differ: both can be chosen.

use std::collections::VecDeque;
use std::fmt::Write as _;

use http::StatusCode;
use serde_json::{Value, json};

use crate::call::Call;
use crate::emulator::Emulator;
use crate::moment;
use crate::reply::Reply;
use crate::route::{Collection, Operation, Route};
use crate::signing::unverified_claims;
use crate::vault::bearer;

/// The log keeps this many of the newest records.
const KEPT_RECORDS: usize = 10_000;

/// The records, and how they are written.
#[derive(Default)]
pub(crate) struct Diagnostics {
    records: VecDeque<Value>,
    /// Whether `correlationId` is the client's.
    pub(crate) client_correlation: bool,
}

impl Diagnostics {
    /// The records, a line each, oldest first.
    pub(crate) fn lines(&self) -> String {
        self.records.iter().fold(String::new(), |mut text, record| {
            // Writing to a String does not fail.
            let _ = writeln!(text, "{record}");
            text
        })
    }

    /// Forgets the records.
    pub(crate) fn clear(&mut self) {
        self.records.clear();
    }

    /// Adds the record of a call of a vault. A connection that was reset has none.
    pub(crate) fn answered(&mut self, route: &Route<'_>, call: &Call, reply: &Reply) {
        let Route::Vault { vault, operation, .. } = *route else { return };
        let Some(name) = name_of(operation, reply.status) else { return };
        let header = |name: &str| {
            let named = reply.headers.iter().find(|(header, _)| header == name);
            named.and_then(|(_, value)| value.to_str().ok()).unwrap_or_default()
        };
        let own = header("x-ms-request-id");
        let of_client = call.header("x-ms-client-request-id").filter(|_| self.client_correlation);
        let mut properties = json!({
            "clientInfo": call.header("user-agent").unwrap_or_default(),
            "httpStatusCode": reply.status.as_u16(),
            "requestUri": uri_of(call),
            "isRbacAuthorized": reply.status.is_success(),
        });
        if let Some(id) = id_of(operation, reply) {
            properties["id"] = id;
        }
        let record = json!({
            "time": moment::precise(),
            "category": "AuditEvent",
            "operationName": name,
            "resultType": if reply.status.is_success() { "Success" } else { "Failure" },
            "resultSignature": reply.status.canonical_reason().unwrap_or_default(),
            "resultDescription": "",
            "durationMs": "1",
            "callerIpAddress": "127.0.0.1",
            "correlationId": of_client.unwrap_or(own),
            "identity": identity_of(call),
            "properties": properties,
            "resourceId": format!("/SUBSCRIPTIONS/00000000-0000-0000-0000-000000000000\
                /RESOURCEGROUPS/EMULATOR/PROVIDERS/MICROSOFT.KEYVAULT/VAULTS/{}",
                vault.to_ascii_uppercase()),
            "operationVersion": call.parameter("api-version").unwrap_or_default(),
        });
        if self.records.len() == KEPT_RECORDS {
            self.records.pop_front();
        }
        self.records.push_back(record);
    }
}

impl Emulator {
    /// The diagnostic log of the vaults: JSON lines, oldest first.
    pub fn diagnostic_log(&self) -> String {
        self.shared.lock().diagnostics.lines()
    }

    /// Whether `correlationId` of the diagnostic log is what the client sent, or the service's own.
    pub fn set_client_correlation(&self, is_of_client: bool) {
        self.shared.lock().diagnostics.client_correlation = is_of_client;
    }
}

/// `SecretGet`; a call without a valid token is an `Authentication`.
fn name_of(operation: Operation<'_>, status: StatusCode) -> Option<String> {
    if status == StatusCode::UNAUTHORIZED {
        return Some("Authentication".to_owned());
    }
    let (collection, verb) = match operation {
        Operation::Get { collection, .. } => (collection, "Get"),
        Operation::List { collection } => (collection, "List"),
        Operation::Versions { collection, .. } => (collection, "ListVersions"),
        Operation::SetSecret { .. } => (Collection::Secrets, "Set"),
        Operation::Unknown => return None,
    };
    let noun = match collection {
        Collection::Secrets => "Secret",
        Collection::Keys => "Key",
        Collection::Certificates => "Certificate",
    };
    Some(format!("{noun}{verb}"))
}

/// The URI of the object that was answered, with its version.
fn id_of(operation: Operation<'_>, reply: &Reply) -> Option<Value> {
    let is_of_object = matches!(operation, Operation::Get { .. } | Operation::SetSecret { .. });
    let body: Value = serde_json::from_slice(&reply.body).ok().filter(|_| is_of_object)?;
    let id = if body["id"].is_string() { &body["id"] } else { &body["key"]["kid"] };
    Some(id.clone()).filter(Value::is_string)
}

fn uri_of(call: &Call) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(&call.query).finish();
    format!("https://{}{}?{query}", call.authority, call.path)
}

/// The claims of the token that was shown; none where there was no token.
fn identity_of(call: &Call) -> Value {
    let token = call.header("authorization").and_then(bearer);
    let Some(claims) = token.and_then(unverified_claims) else { return json!({}) };
    json!({"claim": {"http://schemas.microsoft.com/identity/claims/objectidentifier":
        claims["oid"], "appid": claims["appid"]}})
}
