//! Key Vault: challenge, access tokens, roles, and reading a secret.

use keysluice_emulator::TokenClaims;
use serde_json::{Value, json};

use crate::client::{
    APP, Bench, IDENTITY, NARROW_APP, OTHER_TENANT, TENANT, VAULT_RESOURCE, error,
};

pub(crate) const V: &str = "api-version=7.4";

#[tokio::test]
async fn a_call_without_token_is_challenged() {
    let bench = Bench::start().await;
    let response = bench.vault(&format!("secrets/db-password?{V}")).send().await.unwrap();
    assert_eq!(response.status(), 401);
    let authority = bench.emulator.authority();
    assert_eq!(
        response.headers()["www-authenticate"],
        format!(
            r#"Bearer authorization="{authority}{TENANT}", resource="https://vault.localhost""#
        )
    );
    let body: Value = response.json().await.unwrap();
    assert_eq!(
        error(&body),
        ("Unauthorized", "", "AKV10000: Request is missing a Bearer or PoP token.")
    );

    let url =
        format!("https://shop.vault.azure.net:{}/secrets/db-password", bench.emulator.https_port());
    let response = bench.client.get(url).send().await.unwrap();
    assert_eq!(
        response.headers()["www-authenticate"],
        format!(
            "Bearer authorization=\"https://login.microsoftonline.com/{TENANT}\", \
             resource=\"https://vault.azure.net\""
        )
    );
}

#[tokio::test]
async fn a_secret_is_read_whole() {
    let bench = Bench::start().await;
    let token = bench.access_token(APP, VAULT_RESOURCE).await;
    let request =
        bench.vault(&format!("secrets/DB-password/?{V}")).header("x-ms-client-request-id", "7");
    let response = request.bearer_auth(&token).send().await.unwrap();
    for (name, value) in [
        ("x-ms-client-request-id", "7"),
        ("x-ms-keyvault-region", "emulator"),
        ("cache-control", "no-cache"),
        ("expires", "-1"),
        ("content-type", "application/json; charset=utf-8"),
    ] {
        assert_eq!(response.headers()[name], value);
    }
    let mut body: Value = response.json().await.unwrap();
    let id = body["id"].take();
    let (base, version) = id.as_str().unwrap().rsplit_once('/').unwrap();
    assert_eq!(base, format!("{}secrets/db-password", bench.emulator.vault_url("shop")));
    assert!(
        version.len() == 32 && version.bytes().all(|byte| b"0123456789abcdef".contains(&byte)),
        "{version}"
    );
    let created = body["attributes"]["created"].as_i64().unwrap();
    assert_eq!(
        body,
        json!({
            "id": null, "value": "s3cret", "contentType": "text/plain", "tags": {"team": "shop"},
            "attributes": {
                "enabled": true, "created": created, "updated": created,
                "recoveryLevel": "Recoverable+Purgeable",
                "recoverableDays": 90
            }
        })
    );
}

#[tokio::test]
async fn an_access_token_is_verified() {
    let bench = Bench::start().await;
    let path = format!("secrets/db-password?{V}");
    let wrong_audience = bench.access_token(APP, "https://vault.azure.net").await;
    let slash = bench.access_token(APP, "https://vault.localhost/").await;
    let good = bench.access_token(APP, VAULT_RESOURCE).await;
    let tampered = good.clone() + "x";
    bench.emulator.set_token_lifetime(Some(std::time::Duration::ZERO));
    let expired = bench.access_token(APP, VAULT_RESOURCE).await;
    for (token, message) in [
        (wrong_audience.as_str(), "AKV10022: "),
        (&slash, "AKV10022: "),
        (&tampered, "AKV10046: "),
        (&expired, "[TokenExpired] "),
        (&bench.emulator.mint(TokenClaims::new("shop", "web")), "AKV10046: "),
        ("no token", "AKV10001: "),
    ] {
        let response = bench.vault(&path).bearer_auth(token).send().await.unwrap();
        assert_eq!(response.status(), 401);
        assert!(response.headers().contains_key("www-authenticate"));
        let body: Value = response.json().await.unwrap();
        assert!(error(&body).2.starts_with(message), "{body}");
    }

    let seed = json!({"vaults": [{"name": "shop", "tenantId": OTHER_TENANT}]});
    bench.emulator.seed(serde_json::from_value(seed).unwrap()).unwrap();
    let (status, body) = bench.get(&good, &path).await;
    assert!(status == 401 && error(&body).2.starts_with("AKV10032: "), "{body}");
}

#[tokio::test]
async fn the_same_vault_answers_in_the_public_domain_with_its_audience() {
    let bench = Bench::start().await;
    let token = bench.access_token(APP, "https://vault.azure.net").await;
    let url = format!(
        "https://shop.vault.azure.net:{}//secrets/db-password/?{V}",
        bench.emulator.https_port()
    );
    let body: Value =
        bench.client.get(url).bearer_auth(token).send().await.unwrap().json().await.unwrap();
    assert_eq!(body["value"], "s3cret");
    assert!(body["id"].as_str().unwrap().starts_with("https://shop.vault.azure.net:"), "{body}");
}

#[tokio::test]
async fn a_role_decides_before_existence() {
    let bench = Bench::start().await;
    let narrow = bench.access_token(NARROW_APP, VAULT_RESOURCE).await;
    assert_eq!(bench.get(&narrow, &format!("secrets/db-password?{V}")).await.0, 200);
    assert_eq!(bench.get(&narrow, &format!("secrets/db-password/versions?{V}")).await.0, 200);
    let identity = bench.access_token(IDENTITY, VAULT_RESOURCE).await;
    for (token, path, action) in [
        (&narrow, "secrets/history", "secrets/getSecret/action"),
        (&narrow, "secrets/absent", "secrets/getSecret/action"),
        (&narrow, "secrets", "secrets/readMetadata/action"),
        (&narrow, "keys/rsa", "keys/read"),
        (&identity, "certificates/web", "certificates/read"),
        (&identity, "secrets/db-password/versions", "secrets/readMetadata/action"),
    ] {
        let (status, body) = bench.get(token, &format!("{path}?{V}")).await;
        let (code, inner, message) = error(&body);
        assert_eq!((status, code, inner), (403, "Forbidden", "ForbiddenByRbac"), "{path}");
        assert!(
            message.contains(&format!("Action: 'Microsoft.KeyVault/vaults/{action}'")),
            "{message}"
        );
    }
    bench.emulator.revoke("shop", NARROW_APP).unwrap();
    assert_eq!(bench.get(&narrow, &format!("secrets/db-password?{V}")).await.0, 403);
}

#[tokio::test]
async fn what_is_absent_disabled_or_misspelt_has_its_code() {
    let bench = Bench::start().await;
    let token = bench.access_token(APP, VAULT_RESOURCE).await;
    for (path, status, code, inner) in [
        ("secrets/absent?api-version=7.4", 404, "SecretNotFound", ""),
        (
            "secrets/db-password/00000000000000000000000000000000?api-version=7.4",
            404,
            "SecretNotFound",
            "",
        ),
        ("secrets/absent/versions?api-version=7.4", 404, "SecretNotFound", ""),
        ("keys/absent?api-version=7.4", 404, "KeyNotFound", ""),
        ("certificates/absent?api-version=7.4", 404, "CertificateNotFound", ""),
        ("secrets/disabled?api-version=7.4", 403, "Forbidden", "SecretDisabled"),
        ("secrets/under_score?api-version=7.4", 400, "BadParameter", ""),
        ("secrets/db-password", 400, "BadParameter", ""),
        ("secrets/db-password?api-version=1.0", 400, "BadParameter", ""),
        ("secrets?api-version=7.4&maxresults=26", 400, "BadParameter", ""),
        ("secrets?api-version=7.4&maxresults=0", 400, "BadParameter", ""),
        ("secrets?api-version=7.4&$skiptoken=!", 400, "BadParameter", ""),
        ("storage?api-version=7.4", 405, "MethodNotAllowed", ""),
    ] {
        let (found, body) = bench.get(&token, path).await;
        let (found_code, found_inner, _) = error(&body);
        assert_eq!((found, found_code, found_inner), (status, code, inner), "{path}");
    }
    let url = bench.emulator.vault_url("absent") + "secrets/a";
    assert_eq!(bench.client.get(url).send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn every_listed_version_of_the_api_is_taken_also_with_an_encoded_key() {
    let bench = Bench::start().await;
    let token = bench.access_token(APP, VAULT_RESOURCE).await;
    for version in [
        "2016-10-01",
        "7.0",
        "7.6",
        "7.6-preview.2",
        "2025-07-01",
        "2026-04-01",
        "2026-03-01-preview",
    ] {
        let (status, _) =
            bench.get(&token, &format!("secrets/db-password/?api%2Dversion={version}")).await;
        assert_eq!(status, 200, "{version}");
    }
}

#[tokio::test]
async fn an_expired_secret_is_still_given() {
    let bench = Bench::start().await;
    let token = bench.access_token(APP, VAULT_RESOURCE).await;
    let (_, body) = bench.get(&token, &format!("secrets/expired?{V}")).await;
    assert_eq!((&body["value"], &body["attributes"]["exp"]), (&json!("old"), &json!(1)));
}
