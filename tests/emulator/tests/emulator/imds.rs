//! The instance metadata service.

use serde_json::{Value, json};

use crate::client::{Bench, IDENTITY, OTHER_IDENTITY, VAULT_RESOURCE};

async fn ask(bench: &Bench, path: &str, metadata: Option<&str>) -> (u16, Value) {
    let mut request = bench.client.get(format!("{}{path}", bench.emulator.imds_url()));
    if let Some(metadata) = metadata {
        request = request.header("Metadata", metadata);
    }
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

fn path(rest: &str) -> String {
    format!("metadata/identity/oauth2/token?api-version=2018-02-01&resource={VAULT_RESOURCE}{rest}")
}

#[tokio::test]
async fn an_identity_is_chosen_by_any_of_its_ids() {
    let bench = Bench::start().await;
    for choice in [
        format!("&client_id={IDENTITY}"),
        "&object_id=33333333-0000-4000-a000-000000000001".into(),
        "&msi_res_id=/subscriptions/S/id/one".into(),
    ] {
        let (status, body) = ask(&bench, &path(&choice), Some("true")).await;
        assert_eq!((status, &body["client_id"]), (200, &json!(IDENTITY)), "{choice}");
    }
    let (_, body) = ask(&bench, &path(&format!("&client_id={OTHER_IDENTITY}")), Some("true")).await;
    assert_eq!(body["client_id"], OTHER_IDENTITY);
    assert_eq!(bench.emulator.counts().imds, 4);
}

#[tokio::test]
async fn every_member_of_the_answer_is_a_string_and_the_token_opens_the_vault() {
    let bench = Bench::start().await;
    let (_, body) = ask(&bench, &path(&format!("&client_id={IDENTITY}")), Some("true")).await;
    let members: Vec<&str> = body.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        members,
        [
            "access_token",
            "client_id",
            "expires_in",
            "expires_on",
            "ext_expires_in",
            "not_before",
            "refresh_token",
            "resource",
            "token_type"
        ]
    );
    assert!(body.as_object().unwrap().values().all(Value::is_string), "{body}");
    assert_eq!(body["expires_in"], "86399");
    let token = body["access_token"].as_str().unwrap();
    assert_eq!(bench.get(token, "secrets/db-password?api-version=7.4").await.0, 200);
}

#[tokio::test]
async fn the_path_takes_a_slash_and_any_case_in_front() {
    let bench = Bench::start().await;
    for front in ["metadata/identity/oauth2/token/", "Metadata/identity/oauth2/token"] {
        let rest = format!(
            "{front}?api-version=2019-08-01&resource={VAULT_RESOURCE}&client_id={IDENTITY}"
        );
        assert_eq!(ask(&bench, &rest, Some("true")).await.0, 200, "{front}");
    }
    assert_eq!(ask(&bench, "metadata/Identity/oauth2/token", Some("true")).await.0, 404);
}

#[tokio::test]
async fn every_wrong_request_has_its_error() {
    let bench = Bench::start().await;
    let base = "metadata/identity/oauth2/token";
    for (path, metadata, error) in [
        (path(&format!("&client_id={IDENTITY}")), None, "bad_request_102"),
        (path(&format!("&client_id={IDENTITY}")), Some("1"), "bad_request_102"),
        (format!("{base}?resource=x&client_id={IDENTITY}"), Some("true"), "invalid_request"),
        (
            format!("{base}?api-version=2018-02-01&client_id={IDENTITY}"),
            Some("true"),
            "invalid_resource",
        ),
        (path("&client_id=00000000-0000-4000-a000-000000000000"), Some("true"), "invalid_request"),
        (path(""), Some("true"), "invalid_request"),
    ] {
        let (status, body) = ask(&bench, &path, metadata).await;
        assert_eq!((status, &body["error"]), (400, &json!(error)), "{path}");
    }
    let (_, body) =
        ask(&bench, &path("&client_id=00000000-0000-4000-a000-000000000000"), Some("true")).await;
    assert_eq!(body["error_description"], "Identity not found");
}

#[tokio::test]
async fn the_only_identity_needs_no_choice() {
    let seed =
        json!({"apps": [{"clientId": IDENTITY, "tenantId": "t", "kind": "managedIdentity"}]});
    let bench = Bench::with(seed).await;
    let (status, body) = ask(&bench, &path(""), Some("true")).await;
    assert_eq!((status, &body["client_id"]), (200, &json!(IDENTITY)));
}
