//! The diagnostic log of the vaults.

use reqwest::Method;
use serde_json::Value;

use crate::client::{APP, Bench, NARROW_APP, VAULT_RESOURCE};

const SENT: &str = "6f1d1c2e-8a4b-4f0e-9b7a-3c2d00000007";

async fn records(bench: &Bench) -> Vec<Value> {
    let text = bench.client.get(bench.control("diagnostics")).send().await.unwrap();
    let text = text.text().await.unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Reads a path of the vault with the id; what the record says, and the service's own id.
async fn read(bench: &Bench, token: &str, path: &str) -> (Value, String) {
    let request = bench.vault(path).bearer_auth(token).header("x-ms-client-request-id", SENT);
    let response = request.header("user-agent", "agent/1").send().await.unwrap();
    let own = response.headers()["x-ms-request-id"].to_str().unwrap().to_owned();
    (records(bench).await.pop().unwrap(), own)
}

#[tokio::test]
async fn a_call_of_a_vault_is_a_record_as_azure_monitor_has_it() {
    let bench = Bench::start().await;
    let token = bench.access_token(APP, VAULT_RESOURCE).await;
    let (record, own) = read(&bench, &token, "secrets/db-password?api-version=7.6").await;
    assert_eq!(
        (record["category"].as_str(), record["operationName"].as_str()),
        (Some("AuditEvent"), Some("SecretGet"))
    );
    assert_eq!(record["identity"]["claim"]["appid"], APP);
    let properties = &record["properties"];
    assert_eq!(
        (&properties["clientInfo"], &properties["httpStatusCode"]),
        (&"agent/1".into(), &200.into())
    );
    let vault = bench.emulator.vault_url("shop");
    assert_eq!(properties["requestUri"], format!("{vault}secrets/db-password?api-version=7.6"));
    let id = properties["id"].as_str().unwrap();
    let version = id.strip_prefix(&format!("{vault}secrets/db-password/")).unwrap();
    assert_eq!(version.len(), 32, "{id}");
    assert_eq!(record["correlationId"], own, "the service's own, unless it is told otherwise");

    let body = serde_json::json!({"clientCorrelation": true});
    let told = bench.client.request(Method::PUT, bench.control("diagnostics")).json(&body);
    assert_eq!(told.send().await.unwrap().status(), 204);
    let (record, _) = read(&bench, &token, "secrets?api-version=7.6").await;
    assert_eq!(
        (&record["operationName"], &record["correlationId"]),
        (&"SecretList".into(), &SENT.into())
    );
    assert!(record["properties"]["id"].is_null());

    let text = bench.emulator.diagnostic_log();
    assert!(text.lines().count() == 2 && !text.contains("s3cret") && !text.contains(&token));
    bench.client.delete(bench.control("diagnostics")).send().await.unwrap();
    assert_eq!(bench.emulator.diagnostic_log(), "");
}

#[tokio::test]
async fn refused_calls_are_in_the_log_too() {
    let bench = Bench::start().await;
    let token = bench.access_token(NARROW_APP, VAULT_RESOURCE).await;
    for (token, path, operation, status) in [
        (&*token, "keys/signing?api-version=7.6", "KeyGet", 403),
        ("none", "secrets/db-password?api-version=7.6", "Authentication", 401),
    ] {
        let (record, _) = read(&bench, token, path).await;
        assert_eq!(record["operationName"], operation);
        assert_eq!(record["properties"]["httpStatusCode"], status);
        assert_eq!(record["resultType"], "Failure");
        assert!(record["properties"]["id"].is_null());
    }
}
