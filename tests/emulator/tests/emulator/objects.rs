//! What can be put into a vault, and what its keys and certificates show.

use serde_json::{Value, json};

use crate::client::{APP, Bench, NARROW_APP, VAULT_RESOURCE, error};
use crate::vault::V;

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
