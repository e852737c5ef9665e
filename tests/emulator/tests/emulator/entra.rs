//! Federated credentials, client secrets, and every refusal.

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use keysluice_emulator::TokenClaims;
use serde_json::{Value, json};

use crate::client::{APP, Bench, IDENTITY, OTHER_TENANT, SECRET_APP, TENANT, VAULT_RESOURCE};

fn web() -> TokenClaims {
    TokenClaims::new("shop", "web")
}

/// Status, `error` and the AADSTS code.
async fn refusal(bench: &Bench, tenant: &str, form: &[(&str, String)]) -> (u16, String, u64) {
    let response = bench.post_token(tenant, form).await;
    let status = response.status().as_u16();
    let body: Value = response.json().await.unwrap();
    let code = body["error_codes"][0].as_u64().unwrap();
    let description = body["error_description"].as_str().unwrap();
    assert!(description.starts_with(&format!("AADSTS{code}: ")), "{description}");
    assert!(description.contains(body["trace_id"].as_str().unwrap()), "{description}");
    (status, body["error"].as_str().unwrap().to_owned(), code)
}

#[tokio::test]
async fn a_service_account_token_buys_an_access_token() {
    let bench = Bench::start().await;
    let assertion = bench.emulator.mint(web());
    let response = bench.post_token(TENANT, &Bench::form(APP, VAULT_RESOURCE, &assertion)).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["cache-control"], "no-store, no-cache");
    let body: Value = response.json().await.unwrap();
    assert_eq!(
        (&body["token_type"], &body["expires_in"], &body["ext_expires_in"]),
        (&json!("Bearer"), &json!(3599), &json!(3599))
    );

    let claims: Value =
        jsonwebtoken::dangerous::insecure_decode_claims(body["access_token"].as_str().unwrap())
            .unwrap();
    assert_eq!(claims["aud"], VAULT_RESOURCE);
    assert_eq!(claims["iss"], format!("https://sts.windows.net/{TENANT}/"));
    assert_eq!(
        (&claims["appid"], &claims["tid"], &claims["idtyp"]),
        (&json!(APP), &json!(TENANT), &json!("app"))
    );
}

#[tokio::test]
async fn a_managed_identity_gets_tokens_for_a_day() {
    let bench = Bench::start().await;
    let assertion = bench.emulator.mint(web());
    let response =
        bench.post_token(TENANT, &Bench::form(IDENTITY, VAULT_RESOURCE, &assertion)).await;
    assert_eq!(response.json::<Value>().await.unwrap()["expires_in"], 86399);
}

#[tokio::test]
async fn every_wrong_assertion_has_its_code() {
    let bench = Bench::start().await;
    let now = web().issued_at;
    let mut issuer = web();
    issuer.issuer = Some(bench.emulator.issuer() + "/");
    let mut subject_case = web();
    subject_case.subject = Some("system:serviceaccount:shop:Web".into());
    let mut expired = web();
    (expired.issued_at, expired.not_before, expired.expires) = (now - 7200, now - 7200, now - 1);
    let mut early = web();
    early.not_before = now + 600;
    let mut forged = web();
    forged.forged = true;
    let binding = web().audience("api://AKSIdentityBinding");

    for (what, assertion, code) in [
        ("issuer", bench.emulator.mint(issuer), 700_211),
        ("subject", bench.emulator.mint(TokenClaims::new("shop", "other")), 700_213),
        ("subject case", bench.emulator.mint(subject_case), 7_002_138),
        ("audience", bench.emulator.mint(binding), 700_212),
        ("expired", bench.emulator.mint(expired), 700_024),
        ("not yet valid", bench.emulator.mint(early), 700_024),
        ("forged", bench.emulator.mint(forged), 700_027),
    ] {
        let form = Bench::form(APP, VAULT_RESOURCE, &assertion);
        assert_eq!(
            refusal(&bench, TENANT, &form).await,
            (401, "invalid_client".into(), code),
            "{what}"
        );
    }
    let form = Bench::form(APP, VAULT_RESOURCE, "no token");
    assert_eq!(refusal(&bench, TENANT, &form).await, (400, "invalid_request".into(), 50_027));
    let assertion = bench.emulator.mint(web());
    let form = Bench::form(SECRET_APP, VAULT_RESOURCE, &assertion);
    assert_eq!(refusal(&bench, TENANT, &form).await, (401, "invalid_client".into(), 70_025));
}

#[tokio::test]
async fn every_wrong_request_has_its_code() {
    let bench = Bench::start().await;
    let assertion = bench.emulator.mint(web());
    let good = || Bench::form(APP, VAULT_RESOURCE, &assertion);
    let with = |name: &str, value: &str| -> Vec<(&'static str, String)> {
        let names =
            ["grant_type", "client_id", "scope", "client_assertion_type", "client_assertion"];
        let value_of =
            |field: &str, old: String| if field == name { value.to_owned() } else { old };
        names
            .into_iter()
            .zip(good())
            .map(|(field, (_, old))| (field, value_of(field, old)))
            .collect()
    };
    let invalid_request = || "invalid_request".to_owned();
    for (form, error, code) in [
        (with("grant_type", ""), invalid_request(), 900_144),
        (with("client_id", ""), invalid_request(), 900_144),
        (with("scope", ""), invalid_request(), 900_144),
        (with("client_assertion_type", ""), invalid_request(), 900_144),
        (with("client_assertion_type", "saml"), invalid_request(), 90_023),
        (with("grant_type", "password"), "unsupported_grant_type".into(), 70_003),
        (with("scope", VAULT_RESOURCE), "invalid_scope".into(), 70_011),
        (with("scope", "https://a/.default https://b/.default"), "invalid_scope".into(), 70_011),
        (
            with("client_id", "00000000-0000-4000-a000-000000000000"),
            "unauthorized_client".into(),
            700_016,
        ),
    ] {
        assert_eq!(refusal(&bench, TENANT, &form).await, (400, error, code), "{form:?}");
    }
    let no_tenant = refusal(&bench, "00000000-0000-4000-a000-000000000000", &good()).await;
    assert_eq!(no_tenant, (400, invalid_request(), 90_002));
    let wrong_tenant = refusal(&bench, OTHER_TENANT, &good()).await;
    assert_eq!(wrong_tenant, (400, "unauthorized_client".into(), 700_016));
    let url = format!("{}{TENANT}/oauth2/v2.0/token", bench.emulator.authority());
    let response: Value = bench.client.get(url).send().await.unwrap().json().await.unwrap();
    assert_eq!(response["error_codes"][0], 900_561);
}

#[tokio::test]
async fn a_client_secret_is_compared() {
    let bench = Bench::start().await;
    let form = |secret: Option<&str>| {
        let mut form = Bench::form(SECRET_APP, VAULT_RESOURCE, "");
        form.truncate(3);
        form.extend(secret.map(|secret| ("client_secret", secret.to_owned())));
        form
    };
    assert_eq!(bench.post_token(TENANT, &form(Some("correct horse"))).await.status(), 200);
    assert_eq!(
        refusal(&bench, TENANT, &form(Some("wrong"))).await,
        (401, "invalid_client".into(), 7_000_215)
    );
    assert_eq!(
        refusal(&bench, TENANT, &form(None)).await,
        (401, "invalid_client".into(), 7_000_218)
    );
}

#[tokio::test]
async fn what_real_clients_add_is_let_through() {
    let bench = Bench::start().await;
    let assertion = bench.emulator.mint(web()) + "\n";
    let mut form = Bench::form(APP, VAULT_RESOURCE, &assertion);
    form.push(("claims", r#"{"access_token":{"xms_cc":{"values":["CP1"]}}}"#.into()));
    form.push(("x-client-SKU", "MSAL.JS".into()));
    form.push(("x-ms-lib-capability", "retry-after, h429".into()));
    let url = format!("https://login.microsoftonline.com:{}/{TENANT}", bench.emulator.https_port());
    let url = format!("{url}/oauth2/v2.0/token?client-request-id=1");
    let response = bench.client.post(url).form(&form).send().await.unwrap();
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn a_foreign_issuer_is_trusted_by_its_seeded_keys() {
    let bench = Bench::start().await;
    let issuer = "https://cluster.example";
    let jwks_url = format!("{}/openid/v1/jwks", bench.emulator.issuer());
    let jwks: Value = bench.client.get(jwks_url).send().await.unwrap().json().await.unwrap();
    let app = "44444444-0000-4000-a000-000000000001";
    let seed = json!({"apps": [{
        "clientId": app, "tenantId": TENANT,
        "federatedCredentials": [{"issuer": issuer, "subject": "system:serviceaccount:shop:web",
            "audience": "mine"}]
    }]});
    bench.emulator.seed(serde_json::from_value(seed).unwrap()).unwrap();

    let mut claims = web().audience("mine");
    claims.issuer = Some(issuer.into());
    let assertion = bench.emulator.mint(claims);
    let form = Bench::form(app, VAULT_RESOURCE, &assertion);
    assert_eq!(refusal(&bench, TENANT, &form).await.2, 700_027, "its keys are not known yet");
    let seed = json!({"issuers": [{"issuer": issuer, "jwks": jwks}]});
    bench.emulator.seed(serde_json::from_value(seed).unwrap()).unwrap();
    assert_eq!(bench.post_token(TENANT, &form).await.status(), 200);
}

#[tokio::test]
async fn discovery_names_the_host_that_was_asked() {
    let bench = Bench::start().await;
    let authority = bench.emulator.authority();
    let url = format!("{authority}{TENANT}/v2.0/.well-known/openid-configuration");
    let document: Value = bench.client.get(url).send().await.unwrap().json().await.unwrap();
    assert_eq!(document["issuer"], format!("{authority}{TENANT}/v2.0"));
    assert_eq!(document["token_endpoint"], format!("{authority}{TENANT}/oauth2/v2.0/token"));
}

#[tokio::test]
async fn the_issuer_publishes_the_key_that_signs() {
    let bench = Bench::start().await;
    let issuer = bench.emulator.issuer();
    let url = format!("{issuer}/.well-known/openid-configuration");
    let document: Value = bench.client.get(url).send().await.unwrap().json().await.unwrap();
    assert_eq!(document["issuer"], issuer);
    let jwks_url = document["jwks_uri"].as_str().unwrap();
    let jwks: Value = bench.client.get(jwks_url).send().await.unwrap().json().await.unwrap();
    let token = bench.emulator.mint(web());
    assert_eq!(
        jwks["keys"][0]["kid"].as_str(),
        jsonwebtoken::decode_header(&token).unwrap().kid.as_deref()
    );

    let claims: Value = jsonwebtoken::dangerous::insecure_decode_claims(&token).unwrap();
    assert_eq!(claims["sub"], "system:serviceaccount:shop:web");
    assert_eq!(claims["aud"], json!(["api://AzureADTokenExchange"]));
    assert_eq!(claims["kubernetes.io"]["serviceaccount"]["name"], "web");
}

#[tokio::test]
async fn a_client_certificate_signs_for_its_own_application_and_endpoint() {
    let bench = Bench::start().await;
    let (key, certificate) = rsa_certificate();
    let seed = json!({"apps": [{"clientId": "certified", "tenantId": TENANT,
        "clientCertificates": [certificate.pem()]}]});
    bench.emulator.seed(serde_json::from_value(seed).unwrap()).unwrap();
    let endpoint = format!("{}{TENANT}/oauth2/v2.0/token", bench.emulator.authority());
    let x5t = Some(thumbprint(certificate.der()));
    let sign = |algorithm, x5t: Option<String>, audience: &str, expires: i64| {
        let mut header = jsonwebtoken::Header::new(algorithm);
        header.x5t_s256 = x5t;
        let claims =
            json!({"iss": "certified", "sub": "certified", "aud": audience, "exp": expires});
        jsonwebtoken::encode(&header, &claims, &key).unwrap()
    };
    let later = web().expires;
    for algorithm in [Algorithm::RS256, Algorithm::PS256] {
        let assertion = sign(algorithm, x5t.clone(), &endpoint, later);
        let response =
            bench.post_token(TENANT, &Bench::form("certified", VAULT_RESOURCE, &assertion)).await;
        assert_eq!(response.status(), 200, "{algorithm:?}");
    }
    for (assertion, code) in [
        (sign(Algorithm::PS256, x5t.clone(), "https://login.example/token", later), 700_023),
        (sign(Algorithm::PS256, x5t, &endpoint, 1), 700_024),
        (sign(Algorithm::PS256, None, &endpoint, later), 700_027),
    ] {
        let form = Bench::form("certified", VAULT_RESOURCE, &assertion);
        assert_eq!(refusal(&bench, TENANT, &form).await, (401, "invalid_client".into(), code));
    }
}

fn rsa_certificate() -> (EncodingKey, rcgen::Certificate) {
    let pair = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
    let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
    let key = rcgen::KeyPair::try_from(der.as_ref()).unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["client".to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    (EncodingKey::from_rsa_pem(key.serialize_pem().as_bytes()).unwrap(), certificate)
}

fn thumbprint(der: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der))
}

#[tokio::test]
async fn instance_discovery_leads_to_the_tenant() {
    let bench = Bench::start().await;
    let authority = bench.emulator.authority();
    let endpoint = format!("{authority}{TENANT}/oauth2/v2.0/authorize");
    let url = format!(
        "{authority}common/discovery/instance?api-version=1.1&authorization_endpoint={endpoint}"
    );
    let document: Value = bench.client.get(url).send().await.unwrap().json().await.unwrap();
    let tenant_url = document["tenant_discovery_endpoint"].as_str().unwrap();
    assert_eq!(bench.client.get(tenant_url).send().await.unwrap().status(), 200);
}
