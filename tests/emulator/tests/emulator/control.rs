//! The control interface over HTTP.

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{APP, Bench, TENANT, VAULT_RESOURCE};

const DB: &str = "secrets/db-password?api-version=7.4";

async fn call(bench: &Bench, method: Method, path: &str, body: Option<Value>) -> (u16, String) {
    let mut request = bench.client.request(method, bench.control(path));
    if let Some(body) = body {
        request = request.json(&body);
    }
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

#[tokio::test]
async fn a_minted_token_buys_an_access_token() {
    let bench = Bench::start().await;
    let path = "token?namespace=shop&serviceAccount=web\
        &audience=api%3A%2F%2FAzureADTokenExchange&lifetimeSeconds=600";
    let (status, assertion) = call(&bench, Method::GET, path, None).await;
    assert_eq!(status, 200);
    assert_eq!(
        bench.post_token(TENANT, &Bench::form(APP, VAULT_RESOURCE, &assertion)).await.status(),
        200
    );
    let claims: Value = jsonwebtoken::dangerous::insecure_decode_claims(&assertion).unwrap();
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 600);
    let (status, error) = call(&bench, Method::GET, "token?namespace=shop", None).await;
    assert_eq!(
        (status, error.as_str()),
        (400, r#"{"error":"the query parameter serviceAccount is missing or malformed"}"#)
    );
}

#[tokio::test]
async fn a_vault_changes_while_it_runs() {
    let bench = Bench::start().await;
    let token = bench.access_token(APP, VAULT_RESOURCE).await;
    let (_, answer) =
        call(&bench, Method::PUT, "vaults/shop/secrets/db-password", Some("rotated".into())).await;
    let version =
        serde_json::from_str::<Value>(&answer).unwrap()["version"].as_str().unwrap().to_owned();
    let (_, body) = bench.get(&token, DB).await;
    assert!(
        body["value"] == "rotated" && body["id"].as_str().unwrap().ends_with(&version),
        "{body}"
    );

    for (method, path, body, status) in [
        (Method::POST, "vaults/shop/objects/db-password/disable", None, 403),
        (Method::POST, "vaults/shop/objects/db-password/enable", None, 200),
        (Method::DELETE, "vaults/shop/roles/11111111-0000-4000-a000-000000000001", None, 403),
        (
            Method::POST,
            "vaults/shop/roles",
            Some(json!({"clientId": APP, "secrets": ["get"]})),
            200,
        ),
        (Method::PUT, "vaults/shop/objects/db-password/tags", Some(json!({"a": "b"})), 200),
        (Method::DELETE, "vaults/shop/objects/db-password", None, 404),
    ] {
        assert_eq!(call(&bench, method, path, body).await, (204, String::new()), "{path}");
        assert_eq!(bench.get(&token, DB).await.0, status, "{path}");
    }
    let (status, _) =
        call(&bench, Method::PUT, "vaults/shop/keys/new", Some(json!({"kty": "EC"}))).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn seed_faults_delay_and_counts_are_reached() {
    let bench = Bench::start().await;
    let token = bench.access_token(APP, VAULT_RESOURCE).await;
    let fault =
        json!({"kind": "secretGet", "effect": {"status": 429, "retryAfterSeconds": 1}, "times": 1});
    assert_eq!(call(&bench, Method::POST, "faults", Some(fault.clone())).await.0, 204);
    let (_, faults) = call(&bench, Method::GET, "faults", None).await;
    assert_eq!(serde_json::from_str::<Value>(&faults).unwrap()[0]["effect"], fault["effect"]);
    assert_eq!(bench.get(&token, DB).await.0, 429);
    assert_eq!(call(&bench, Method::PUT, "delay", Some(json!({"milliseconds": 1}))).await.0, 204);
    assert_eq!(
        call(&bench, Method::PUT, "token-lifetime", Some(json!({"seconds": 90}))).await.0,
        204
    );
    assert_eq!(
        call(&bench, Method::PUT, "lists", Some(json!({"pageSize": 2, "emptyPages": true})))
            .await
            .0,
        204
    );
    let seed = json!({"vaults": [{"name": "shop", "tenantId": TENANT, "secrets": {"more": "x"}}]});
    assert_eq!(call(&bench, Method::POST, "seed", Some(seed)).await.0, 204);
    assert_eq!(bench.get(&token, "secrets/more?api-version=7.4").await.0, 200);

    let (_, counts) = call(&bench, Method::GET, "counts", None).await;
    let counts: Value = serde_json::from_str(&counts).unwrap();
    assert_eq!(
        (&counts["tokens"], &counts["secretGets"], &counts["status429"]),
        (&json!(1), &json!(2), &json!(1))
    );
    let (_, requests) = call(&bench, Method::GET, "requests", None).await;
    let mut first: Value = serde_json::from_str::<Value>(&requests).unwrap()[0].take();
    assert!(first.as_object_mut().unwrap().remove("atMs").unwrap().is_u64());
    assert_eq!(
        first,
        json!({
            "kind": "token", "method": "POST", "host": "login.localhost",
            "path": format!("/{TENANT}/oauth2/v2.0/token"),
            "status": 200
        })
    );
    assert_eq!(call(&bench, Method::DELETE, "counts", None).await.0, 204);
    assert_eq!(bench.emulator.counts().tokens, 0);
}

#[tokio::test]
async fn the_cloud_definition_leads_here() {
    let bench = Bench::start().await;
    let (_, definition) = call(&bench, Method::GET, "cloud", None).await;
    assert_eq!(definition, bench.emulator.cloud_json());
    let definition: Value = serde_json::from_str(&definition).unwrap();
    assert_eq!(
        definition,
        json!({
            "name": "KeysluiceEmulator",
            "activeDirectoryEndpoint": bench.emulator.authority(),
            "keyVaultEndpoint": "https://vault.localhost/",
            "keyVaultDNSSuffix": format!("vault.localhost:{}", bench.emulator.https_port()),
            "managedIdentityEndpoint": format!("http://127.0.0.1:{}/", bench.emulator.http_port()),
            "trustedCa": bench.emulator.ca_pem(),
        })
    );
}

#[tokio::test]
async fn a_mistake_is_named() {
    let bench = Bench::start().await;
    for (method, path, body, status, message) in [
        (
            Method::PUT,
            "vaults/none/secrets/a",
            Some(json!("x")),
            400,
            "vault \\\"none\\\" does not exist",
        ),
        (Method::PUT, "vaults/shop/secrets/a_b", Some(json!("x")), 400, "is not 1 to 127 letters"),
        (
            Method::PUT,
            "vaults/shop/secrets/a",
            Some(json!({"valeu": "x"})),
            400,
            "unknown field `valeu`",
        ),
        (
            Method::POST,
            "faults",
            Some(json!({"effect": {"staus": 1}})),
            400,
            "not the expected JSON",
        ),
        (
            Method::POST,
            "vaults/shop/objects/absent/disable",
            None,
            404,
            "nothing here has the name \\\"absent\\\"",
        ),
        (Method::GET, "nothing", None, 404, "no such control path"),
    ] {
        let (found, text) = call(&bench, method, path, body).await;
        assert!(found == status && text.contains(message), "{path}: {found} {text}");
    }
    assert_eq!(bench.emulator.requests().len(), 0);
}
