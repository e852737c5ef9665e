use super::*;
use serde_json::{Value, json};

const APP: &str = "11111111-1111-1111-1111-111111111111";
const OID: &str = "22222222-2222-2222-2222-222222222222";
const POD: &str = "6f1d1c2e-8a4b-4f0e-9b7a-3c2d1e0f9a8b";
const CALL: &str = "6f1d1c2e-8a4b-4f0e-9b7a-3c2d00000007";
const VERSION: &str = "4c39bacace9a49b2bd542ce61bd6f312";

fn agent() -> String {
    format!("keysluice-injector/0.1.0 (pod {POD}; call 7)")
}

fn uri(path: &str) -> String {
    format!("https://Shop-KV.vault.azure.net:443/{path}")
}

/// As a storage account and an event hub have it.
fn stored() -> Value {
    json!({"time": "2026-11-29T12:00:00.1234567Z", "category": "AuditEvent",
        "operationName": "SecretGet", "resultType": "Success", "resultSignature": "OK",
        "correlationId": CALL, "callerIpAddress": "10.0.0.7", "durationMs": "9",
        "identity": {"claim": {"appid": APP, "iss": "x",
            "http://schemas.microsoft.com/identity/claims/objectidentifier": OID}},
        "properties": {"id": uri(&format!("secrets/DB/{VERSION}")), "clientInfo": agent(),
            "requestUri": uri("secrets/DB?api-version=7.6"), "httpStatusCode": 200}})
}

fn read(record: &Value) -> Result<Event, NoEvent> {
    Event::read(record.to_string().as_bytes())
}

/// Reads the record with another value of a field.
fn read_changed(field: &str, value: Value) -> Result<Event, NoEvent> {
    let mut record = stored();
    record[field] = value;
    read(&record)
}

#[test]
fn all_forms_of_a_record_tell_the_same() {
    let claims = json!({"claim": {"appid": APP, "oid": OID}});
    let resource_specific = json!({"TimeGenerated": "2026-11-29T12:00:00.1234567Z",
        "OperationName": "SecretGet", "CorrelationId": CALL, "CallerIpAddress": "10.0.0.7",
        "HttpStatusCode": 200, "Identity": claims.to_string(), "ClientInfo": agent(),
        "Id": uri(&format!("secrets/DB/{VERSION}")), "TableName": "PrimaryResult",
        "RequestUri": uri("secrets/DB?api-version=7.6"), "Type": "AZKVAuditLogs"});
    let mut as_object = resource_specific.clone();
    as_object["Identity"] = claims;
    as_object["HttpStatusCode"] = "200".into();
    // A union of both tables has the columns of both.
    as_object["id_s"] = "".into();
    as_object["httpStatusCode_d"] = Value::Null;
    as_object["identity_claim_appid_g"] = Value::Null;
    let diagnostics = json!({"TimeGenerated": "2026-11-29T12:00:00.1234567Z",
        "Category": "AuditEvent", "OperationName": "SecretGet", "CorrelationId": CALL,
        "CallerIPAddress": "10.0.0.7", "httpStatusCode_d": 200.0, "clientInfo_s": agent(),
        "identity_claim_appid_g": APP, "identity_claim_oid_g": OID,
        "id_s": uri(&format!("secrets/DB/{VERSION}")),
        "requestUri_s": uri("secrets/DB?api-version=7.6")});
    let expected = read(&stored()).unwrap();
    assert_eq!(
        expected,
        Event {
            time: micros("2026-11-29T12:00:00.123456Z").unwrap(),
            operation: "SecretGet".into(),
            vault: "shop-kv.vault.azure.net".into(),
            object: Some(ObjectName { kind: "secrets", name: "db".into() }),
            version: Some(VERSION.into()),
            is_pinned: false,
            status: 200,
            app: APP.parse().ok(),
            principal: OID.parse().ok(),
            address: "10.0.0.7".into(),
            correlation: CALL.parse().ok(),
            request: RequestId::of_user_agent(&agent()),
        }
    );
    for form in [resource_specific, as_object, diagnostics] {
        assert_eq!(read(&form).unwrap(), expected, "{form}");
    }
}

#[test]
fn an_object_is_known_by_its_id_or_by_the_request() {
    let vault = "shop-kv.vault.azure.net".to_owned();
    let db = "secrets/db".to_owned();
    for (id, request, expected) in [
        ("", uri("secrets/db?x=1"), (vault.clone(), db.clone(), None, false)),
        ("", uri("/secrets//db/?x=1"), (vault.clone(), db.clone(), None, false)),
        ("", uri("secrets/db/0123"), (vault.clone(), db.clone(), Some("0123".into()), true)),
        ("", uri("secrets/db/versions?x"), (vault.clone(), db.clone(), None, false)),
        ("", uri("secrets?maxresults=25"), (vault.clone(), String::new(), None, false)),
        ("", uri("deletedsecrets/db"), (vault.clone(), String::new(), None, false)),
        (
            "https://shop-kv.vault.azure.net/",
            uri("keys/k"),
            (vault.clone(), "keys/k".into(), None, false),
        ),
        (
            "https://shop-kv.vault.azure.net/",
            String::new(),
            (vault.clone(), String::new(), None, false),
        ),
        ("", uri("secrets/a%1b[31m"), (vault, String::new(), None, false)),
        ("http://x/secrets/db", String::new(), (String::new(), String::new(), None, false)),
    ] {
        let properties = json!({"id": id, "requestUri": request, "httpStatusCode": 404});
        let event = read_changed("properties", properties).unwrap();
        let object = event.object.map(|object| format!("{}/{}", object.kind, object.name));
        let found = (event.vault, object.unwrap_or_default(), event.version, event.is_pinned);
        assert_eq!(found, expected, "{id} {request}");
    }
}

#[test]
fn what_is_no_record_is_told_apart() {
    let other = NoEvent::Malformed("not a record of a diagnostic log");
    for (field, value, expected) in [
        ("category", json!("AzurePolicyEvaluationDetails"), NoEvent::OtherCategory),
        ("time", json!("yesterday"), NoEvent::Malformed("no time")),
        ("operationName", Value::Null, NoEvent::Malformed("no operationName")),
        ("properties", json!("text"), other),
    ] {
        assert_eq!(read_changed(field, value), Err(expected), "{field}");
    }
    for text in ["{}x", "{\"time\":}", "{\"time\":\"\u{1}\"}"] {
        assert_eq!(Event::read(text.as_bytes()), Err(other), "{text}");
    }
    // Fields of other types are as good as absent.
    for (field, value) in [
        ("identity", json!(7)),
        ("identity", json!("no JSON")),
        ("identity", json!([])),
        ("properties", Value::Null),
        ("callerIpAddress", json!({})),
        ("correlationId", json!(true)),
    ] {
        assert!(read_changed(field, value.clone()).is_ok(), "{field} {value}");
    }
}

#[test]
fn nothing_that_a_terminal_obeys_leaves_a_record() {
    let mut record = stored();
    for field in ["operationName", "callerIpAddress"] {
        record[field] = "a\u{1b}[31m\u{9b}\u{202e}b\nc".into();
    }
    record["properties"]["id"] = "https://a\u{1b}[2J/secrets/b".into();
    record["properties"]["requestUri"] = "".into();
    let event = read(&record).unwrap();
    assert_eq!((&*event.operation, &*event.address), ("a?[31m??b?c", "a?[31m??b?c"));
    assert_eq!(event.vault, "a?[2j");
}

#[test]
fn the_newest_version_is_what_a_request_without_one_gets() {
    let versioned = format!("secrets/db/{VERSION}");
    for (operation, request, status, expected) in [
        ("SecretGet", "secrets/db", 200, true),
        ("SecretSet", "secrets/db", 200, true),
        ("SecretGet", &versioned, 200, false),
        ("SecretGet", "secrets/db", 403, false),
        ("SecretListVersions", "secrets/db", 200, false),
    ] {
        let mut record = stored();
        record["operationName"] = operation.into();
        record["properties"]["requestUri"] = uri(request).into();
        record["properties"]["httpStatusCode"] = status.into();
        let shows_newest = read(&record).unwrap().shows_newest();
        assert_eq!(shows_newest, expected, "{operation} {request} {status}");
    }
}
