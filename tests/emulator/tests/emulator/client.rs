//! A small client of the emulator and the world it meets.

use std::net::{Ipv4Addr, SocketAddr};

use keysluice_emulator::{Config, Emulator, Seed, TokenClaims};
use reqwest::{Client, RequestBuilder, Response};
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Value, json};

pub(crate) const TENANT: &str = "99999999-0000-4000-a000-000000000001";
pub(crate) const OTHER_TENANT: &str = "99999999-0000-4000-a000-000000000002";
/// May do everything.
pub(crate) const APP: &str = "11111111-0000-4000-a000-000000000001";
/// May get one secret.
pub(crate) const NARROW_APP: &str = "11111111-0000-4000-a000-000000000002";
/// Has a client secret and no federated credential.
pub(crate) const SECRET_APP: &str = "11111111-0000-4000-a000-000000000003";
pub(crate) const IDENTITY: &str = "22222222-0000-4000-a000-000000000001";
pub(crate) const OTHER_IDENTITY: &str = "22222222-0000-4000-a000-000000000002";
pub(crate) const VAULT_RESOURCE: &str = "https://vault.localhost";

/// A running emulator and a client that trusts and resolves it.
pub(crate) struct Bench {
    pub(crate) emulator: Emulator,
    pub(crate) client: Client,
}

impl Bench {
    pub(crate) async fn start() -> Self {
        Self::with(world()).await
    }

    pub(crate) async fn with(seed: Value) -> Self {
        let seed: Seed = serde_json::from_value(seed).unwrap();
        let emulator = Emulator::start(Config { seed, ..Config::default() }).await.unwrap();
        let client = client(&emulator);
        Self { emulator, client }
    }

    /// The form of a good token request.
    pub(crate) fn form<'a>(
        client_id: &'a str,
        resource: &str,
        assertion: &'a str,
    ) -> Vec<(&'a str, String)> {
        vec![
            ("grant_type", "client_credentials".to_owned()),
            ("client_id", client_id.to_owned()),
            ("scope", format!("{resource}/.default")),
            (
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer".to_owned(),
            ),
            ("client_assertion", assertion.to_owned()),
        ]
    }

    pub(crate) async fn post_token(&self, tenant: &str, form: &[(&str, String)]) -> Response {
        let url = format!("{}{tenant}/oauth2/v2.0/token", self.emulator.authority());
        self.client.post(url).form(form).send().await.unwrap()
    }

    /// An access token by the whole federated way.
    pub(crate) async fn access_token(&self, client_id: &str, resource: &str) -> String {
        let assertion = self.emulator.mint(TokenClaims::new("shop", "web"));
        let response = self.post_token(TENANT, &Self::form(client_id, resource, &assertion)).await;
        assert_eq!(response.status(), 200);
        let body: Value = response.json().await.unwrap();
        body["access_token"].as_str().unwrap().to_owned()
    }

    /// A request of the vault `shop`.
    pub(crate) fn vault(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.emulator.vault_url("shop")))
    }

    pub(crate) async fn get(&self, token: &str, path: &str) -> (u16, Value) {
        let response = self.vault(path).bearer_auth(token).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    pub(crate) fn control(&self, path: &str) -> String {
        format!("{}control/{path}", self.emulator.imds_url())
    }
}

pub(crate) fn client(emulator: &Emulator) -> Client {
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(emulator.ca_pem().as_bytes()).unwrap()).unwrap();
    let tls = rustls::ClientConfig::builder_with_provider(
        rustls::crypto::aws_lc_rs::default_provider().into(),
    )
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_root_certificates(roots)
    .with_no_client_auth();
    Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .resolve("login.localhost", local)
        .resolve("login.microsoftonline.com", local)
        .resolve("oidc.localhost", local)
        .resolve("shop.vault.localhost", local)
        .resolve("absent.vault.localhost", local)
        .resolve("shop.vault.azure.net", local)
        .build()
        .unwrap()
}

fn world() -> Value {
    let web = json!([{"subject": "system:serviceaccount:shop:web"}]);
    json!({
        "tenants": [OTHER_TENANT],
        "apps": [
            {"clientId": APP, "tenantId": TENANT, "federatedCredentials": web},
            {"clientId": NARROW_APP, "tenantId": TENANT, "federatedCredentials": web},
            {"clientId": SECRET_APP, "tenantId": TENANT, "clientSecret": "correct horse"},
            {
                "clientId": IDENTITY, "tenantId": TENANT,
                "objectId": "33333333-0000-4000-a000-000000000001",
                "kind": "managedIdentity", "resourceId": "/subscriptions/s/id/one",
                "federatedCredentials": web
            },
            {"clientId": OTHER_IDENTITY, "tenantId": TENANT, "kind": "managedIdentity"},
        ],
        "vaults": [{
            "name": "Shop", "tenantId": TENANT,
            "secrets": {
                "db-password": {"value": "s3cret", "contentType": "text/plain",
                    "tags": {"team": "shop"}},
                "history": {"versions": ["one", "two", "three"]},
                "disabled": {"value": "hidden", "enabled": false},
                "expired": {"value": "old", "expires": 1, "notBefore": 0},
            },
            "keys": {"rsa": {"kty": "RSA"}, "ec": {"kty": "EC", "crv": "P-521", "enabled": false}},
            "certificates": {"web": {"subject": "web.example"}},
            "roles": [
                {
                    "clientId": APP, "secrets": ["get", "list", "set"], "keys": ["get", "list"],
                    "certificates": ["get", "list"]
                },
                {"clientId": NARROW_APP, "secrets": ["get", "list"], "objects": ["db-password"]},
                {"clientId": IDENTITY, "secrets": ["get"]},
            ],
        }],
    })
}

/// Code, inner code and message of a Key Vault error.
pub(crate) fn error(body: &Value) -> (&str, &str, &str) {
    (
        body["error"]["code"].as_str().unwrap_or_default(),
        body["error"]["innererror"]["code"].as_str().unwrap_or_default(),
        body["error"]["message"].as_str().unwrap_or_default(),
    )
}
