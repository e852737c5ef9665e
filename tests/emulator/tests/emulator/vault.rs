//! Key Vault: challenge, access tokens, roles, objects, versions and lists.

use std::collections::BTreeSet;

use keysluice_emulator::seed::{CertificateSeed, SecretSeed};
use keysluice_emulator::{ListShape, TokenClaims};
use serde_json::{Value, json};

use crate::client::{
    APP, Bench, IDENTITY, NARROW_APP, OTHER_TENANT, TENANT, VAULT_RESOURCE, error,
};

const V: &str = "api-version=7.4";

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
            r#"Bearer authorization="https://login.microsoftonline.com/{TENANT}", resource="https://vault.azure.net""#
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
async fn the_newest_version_counts_even_when_disabled() {
    let bench = Bench::start().await;
    let token = bench.access_token(APP, VAULT_RESOURCE).await;
    let (_, newest) = bench.get(&token, &format!("secrets/history?{V}")).await;
    assert_eq!(newest["value"], "three");
    let (_, list) = bench.get(&token, &format!("secrets/history/versions?{V}")).await;
    let mut values = BTreeSet::new();
    for item in list["value"].as_array().unwrap() {
        assert_eq!(item.get("value"), None);
        let version = item["id"].as_str().unwrap().rsplit_once('/').unwrap().1;
        let (_, body) = bench.get(&token, &format!("secrets/history/{version}?{V}")).await;
        values.insert(body["value"].as_str().unwrap().to_owned());
    }
    assert_eq!(values, BTreeSet::from(["one".into(), "two".into(), "three".into()]));

    assert!(bench.emulator.disable("shop", "history"));
    let (status, body) = bench.get(&token, &format!("secrets/history?{V}")).await;
    assert_eq!((status, error(&body).1), (403, "SecretDisabled"));
    let four = bench.emulator.set_secret("shop", "history", "four");
    let (_, body) = bench.get(&token, &format!("secrets/history?{V}")).await;
    assert_eq!(body["value"], "four");
    assert!(body["id"].as_str().unwrap().ends_with(&four));
    assert!(bench.emulator.delete("shop", "history"));
    assert_eq!(bench.get(&token, &format!("secrets/history?{V}")).await.0, 404);
}

#[tokio::test]
async fn an_expired_secret_is_still_given() {
    let bench = Bench::start().await;
    let token = bench.access_token(APP, VAULT_RESOURCE).await;
    let (_, body) = bench.get(&token, &format!("secrets/expired?{V}")).await;
    assert_eq!((&body["value"], &body["attributes"]["exp"]), (&json!("old"), &json!(1)));
}

#[tokio::test]
async fn lists_come_in_pages_of_25() {
    let bench = Bench::start().await;
    let token = bench.access_token(APP, VAULT_RESOURCE).await;
    let mut expected =
        BTreeSet::from(["db-password", "disabled", "expired", "history", "web"].map(str::to_owned));
    for number in 0..55 {
        let name = format!("Bulk-{number}");
        bench.emulator.put_secret("shop", &name, SecretSeed::new("x")).unwrap();
        expected.insert(name);
    }
    assert_eq!(expected.len(), 60);

    for (first, sizes) in [("", vec![25, 25, 10]), ("&maxresults=20", vec![20, 20, 20])] {
        let mut next = Some(format!("{}secrets?{V}{first}", bench.emulator.vault_url("shop")));
        let (mut pages, mut names) = (Vec::new(), BTreeSet::new());
        while let Some(url) = next {
            let body: Value = bench
                .client
                .get(url)
                .bearer_auth(&token)
                .send()
                .await
                .unwrap()
                .json()
                .await
                .unwrap();
            let items = body["value"].as_array().unwrap();
            pages.push(items.len());
            names.extend(
                items.iter().map(|item| {
                    item["id"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()
                }),
            );
            next = body["nextLink"].as_str().map(str::to_owned);
        }
        assert_eq!((pages, names), (sizes, expected.clone()));
    }
    assert_eq!(bench.emulator.counts().lists, 6);
}

#[tokio::test]
async fn pages_can_be_short_and_empty_and_lead_elsewhere() {
    let bench = Bench::start().await;
    let token = bench.access_token(APP, VAULT_RESOURCE).await;
    let first = format!("{}secrets?{V}", bench.emulator.vault_url("shop"));
    bench.emulator.set_lists(ListShape { page_size: Some(2), empty_pages: true, next_host: None });
    let (mut next, mut pages) = (Some(first.clone()), Vec::new());
    while let Some(url) = next {
        let body: Value =
            bench.client.get(url).bearer_auth(&token).send().await.unwrap().json().await.unwrap();
        pages.push(body["value"].as_array().unwrap().len());
        next = body["nextLink"].as_str().map(str::to_owned);
    }
    assert_eq!(pages, [2, 0, 2, 0, 1]);
    let next_host = Some("stranger.example".to_owned());
    bench.emulator.set_lists(ListShape { page_size: Some(2), empty_pages: false, next_host });
    let body: Value =
        bench.client.get(first).bearer_auth(&token).send().await.unwrap().json().await.unwrap();
    assert!(
        body["nextLink"].as_str().unwrap().starts_with("https://stranger.example:443/secrets?")
    );
}

#[tokio::test]
async fn certificates_and_keys_have_versions_with_their_times() {
    let bench = Bench::start().await;
    let token = bench.access_token(APP, VAULT_RESOURCE).await;
    for created in [1000, 2000] {
        let seed = CertificateSeed { created: Some(created), ..CertificateSeed::default() };
        bench.emulator.set_certificate("shop", "twice", seed).unwrap();
    }
    for collection in ["certificates", "secrets", "keys"] {
        let (status, body) = bench.get(&token, &format!("{collection}/twice/versions?{V}")).await;
        assert_eq!(status, 200, "{body}");
        let mut times: Vec<_> = body["value"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["attributes"]["created"].as_i64())
            .collect();
        times.sort_unstable();
        assert_eq!(times, [Some(1000), Some(2000)], "{collection}");
    }
}

#[tokio::test]
async fn a_secret_is_set_by_those_who_may() {
    let bench = Bench::start().await;
    let url = bench.emulator.vault_url("shop") + "secrets/new?" + V;
    let put = |token: String, body: Value| {
        bench.client.put(url.clone()).bearer_auth(token).json(&body).send()
    };
    let token = bench.access_token(APP, VAULT_RESOURCE).await;
    let body =
        json!({"value": "v", "contentType": "c", "tags": {"a": "b"}, "attributes": {"exp": 9}});
    let answer: Value = put(token.clone(), body).await.unwrap().json().await.unwrap();
    let (_, read) = bench.get(&token, &format!("secrets/new?{V}")).await;
    assert_eq!(answer, read);
    assert_eq!(
        (&read["value"], &read["attributes"]["exp"], &read["tags"]),
        (&json!("v"), &json!(9), &json!({"a": "b"}))
    );

    assert_eq!(put(token, json!({"contentType": "c"})).await.unwrap().status(), 400);
    let narrow = bench.access_token(NARROW_APP, VAULT_RESOURCE).await;
    assert_eq!(put(narrow, json!({"value": "v"})).await.unwrap().status(), 403);
}

#[tokio::test]
async fn a_key_shows_its_public_part_also_when_disabled() {
    let bench = Bench::start().await;
    let token = bench.access_token(APP, VAULT_RESOURCE).await;
    let (_, rsa) = bench.get(&token, &format!("keys/rsa?{V}")).await;
    assert_eq!((&rsa["key"]["kty"], &rsa["key"]["e"]), (&json!("RSA"), &json!("AQAB")));
    assert!(rsa["key"]["kid"].as_str().unwrap().contains("/keys/rsa/"));
    assert_eq!(rsa["key"].get("d"), None);
    let (status, ec) = bench.get(&token, &format!("keys/ec?{V}")).await;
    assert_eq!(
        (status, &ec["key"]["crv"], &ec["attributes"]["enabled"]),
        (200, &json!("P-521"), &json!(false))
    );
    let (_, list) = bench.get(&token, &format!("keys?{V}")).await;
    let managed: Vec<_> =
        list["value"].as_array().unwrap().iter().filter(|item| item["managed"] == true).collect();
    assert!(
        managed.len() == 1 && managed[0]["kid"].as_str().unwrap().ends_with("/keys/web"),
        "{list}"
    );
}

#[tokio::test]
async fn a_certificate_is_three_objects_of_one_version() {
    let bench = Bench::start().await;
    let token = bench.access_token(APP, VAULT_RESOURCE).await;
    let (_, certificate) = bench.get(&token, &format!("certificates/web?{V}")).await;
    let (_, secret) = bench.get(&token, &format!("secrets/web?{V}")).await;
    let (_, key) = bench.get(&token, &format!("keys/web?{V}")).await;
    assert_eq!(certificate["sid"], secret["id"]);
    assert_eq!((&certificate["kid"], &secret["kid"]), (&key["key"]["kid"], &key["key"]["kid"]));
    assert_eq!(
        (&secret["managed"], &secret["contentType"]),
        (&json!(true), &json!("application/x-pem-file"))
    );
    assert_eq!((&key["managed"], &key["key"]["crv"]), (&json!(true), &json!("P-256")));
    assert_eq!(certificate["x5t"].as_str().unwrap().len(), 27);

    let pem = secret["value"].as_str().unwrap();
    assert!(pem.contains("PRIVATE KEY"));
    let seed = json!({"secret": pem, "subject": "web.example"});
    bench.emulator.set_certificate("shop", "copy", serde_json::from_value(seed).unwrap()).unwrap();
    let (_, copy) = bench.get(&token, &format!("certificates/copy?{V}")).await;
    assert_eq!((&copy["cer"], &copy["x5t"]), (&certificate["cer"], &certificate["x5t"]));

    assert!(bench.emulator.disable("shop", "web"));
    let (status, body) = bench.get(&token, &format!("certificates/web?{V}")).await;
    assert_eq!((status, error(&body).1), (403, "CertificateDisabled"));
}

#[tokio::test]
async fn a_pkcs12_certificate_needs_its_leaf() {
    let bench = Bench::start().await;
    let seed = |value: Value| serde_json::from_value(value).unwrap();
    let refused = bench
        .emulator
        .set_certificate("shop", "pfx", seed(json!({"secret": "MIIabc="})))
        .unwrap_err();
    assert_eq!(
        refused.to_string(),
        "vault \"Shop\": certificate \"pfx\": `secret` holds no PEM certificate; hint: give \
         `cer`, the base64 DER of the leaf"
    );
    let token = bench.access_token(APP, VAULT_RESOURCE).await;
    let (_, web) = bench.get(&token, &format!("certificates/web?{V}")).await;
    bench
        .emulator
        .set_certificate("shop", "pfx", seed(json!({"secret": "MIIabc=", "cer": web["cer"]})))
        .unwrap();
    let (_, secret) = bench.get(&token, &format!("secrets/pfx?{V}")).await;
    assert_eq!(
        (&secret["value"], &secret["contentType"]),
        (&json!("MIIabc="), &json!("application/x-pkcs12"))
    );
}
