//! Proof that the emulator is honest: Microsoft's `azure_identity` and
//! `azure_security_keyvault_secrets`, unmodified, exchange a ServiceAccount token and read a secret
//! from it, with the verification of the challenge's resource on.
#![cfg(test)]

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use azure_core::cloud::{CloudConfiguration, CustomConfiguration};
use azure_core::http::{ClientOptions, Transport};
use azure_identity::{ClientAssertionCredentialOptions, WorkloadIdentityCredential,
    WorkloadIdentityCredentialOptions};
use azure_security_keyvault_secrets::{SecretClient, SecretClientOptions};
use keysluice_emulator::{CallKind, Config, Counts, Emulator};
use serde_json::json;
use tempfile::NamedTempFile;

const TENANT: &str = "99999999-0000-4000-a000-000000000001";
const CLIENT: &str = "11111111-0000-4000-a000-000000000001";

#[tokio::test]
async fn the_sdk_reads_a_secret_below_localhost() {
    let emulator = emulator().await;
    let vault = emulator.vault_url("shop");
    let client = SdkClient::new(&emulator, "web", &emulator.authority(), &vault);
    assert_eq!(client.secret("db-password").await.unwrap(), "s3cret");
    assert_eq!(emulator.counts(), Counts { connections: 2, ..one_of_each() });
}

#[tokio::test]
async fn the_sdk_reads_a_secret_below_the_public_names() {
    let emulator = emulator().await;
    let port = emulator.https_port();
    let authority = format!("https://login.microsoftonline.com:{port}/");
    let client = SdkClient::new(&emulator, "web", &authority,
        &format!("https://shop.vault.azure.net:{port}/"));
    assert_eq!(client.secret("db-password").await.unwrap(), "s3cret");
    assert_eq!(emulator.counts(), Counts { connections: 2, ..one_of_each() });
}

#[tokio::test]
async fn the_sdk_asks_for_a_token_once() {
    let emulator = emulator().await;
    let client = SdkClient::new(&emulator, "web", &emulator.authority(),
        &emulator.vault_url("shop"));
    for _ in 0..3 {
        assert_eq!(client.secret("db-password").await.unwrap(), "s3cret");
    }
    let counts = emulator.counts();
    assert_eq!((counts.tokens, counts.status_401, counts.secret_gets), (1, 1, 3));
}

#[tokio::test]
async fn the_sdk_reports_the_codes_of_a_refusal() {
    let emulator = emulator().await;
    let (authority, vault) = (emulator.authority(), emulator.vault_url("shop"));
    let stranger = SdkClient::new(&emulator, "stranger", &authority, &vault);
    let error = stranger.secret("db-password").await.unwrap_err();
    assert!(error.contains("AADSTS700213"), "{error}");

    let client = SdkClient::new(&emulator, "web", &authority, &vault);
    let error = client.secret("absent").await.unwrap_err();
    assert!(error.contains("SecretNotFound"), "{error}");
    let requests = emulator.requests();
    let mut reads = requests.iter().filter(|one| one.kind == CallKind::SecretGet);
    assert!(reads.any(|one| one.status == Some(404)));
}

/// One token, one challenge, one GET.
fn one_of_each() -> Counts {
    Counts { tokens: 1, status_401: 1, secret_gets: 1, peak_in_flight: 1, ..Counts::default() }
}

async fn emulator() -> Emulator {
    let seed = json!({
        "apps": [{
            "clientId": CLIENT, "tenantId": TENANT,
            "federatedCredentials": [{"subject": "system:serviceaccount:shop:web"}]
        }],
        "vaults": [{
            "name": "shop", "tenantId": TENANT, "secrets": {"db-password": "s3cret"},
            "roles": [{"clientId": CLIENT, "secrets": ["get"]}]
        }]
    });
    let seed = serde_json::from_value(seed).unwrap();
    Emulator::start(Config { seed, ..Config::default() }).await.unwrap()
}

/// The SDK's client, with the file its credential reads.
struct SdkClient {
    secrets: SecretClient,
    _token: NamedTempFile,
}

impl SdkClient {
    fn new(emulator: &Emulator, service_account: &str, authority: &str, vault: &str) -> Self {
        let token =
            emulator.mint_token("shop", service_account, "api://AzureADTokenExchange",
                Duration::from_secs(3600));
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(token.as_bytes()).unwrap();

        let mut cloud = CustomConfiguration::default();
        cloud.authority_host = authority.to_owned();
        let client_options = ClientOptions {
            transport: Some(Transport::new(Arc::new(http_client(emulator)))),
            cloud: Some(Arc::new(CloudConfiguration::Custom(cloud))),
            ..ClientOptions::default()
        };
        let credential = WorkloadIdentityCredential::new(Some(WorkloadIdentityCredentialOptions {
            credential_options: ClientAssertionCredentialOptions {
                client_options: client_options.clone(),
            },
            client_id: Some(CLIENT.to_owned()),
            tenant_id: Some(TENANT.to_owned()),
            token_file_path: Some(file.path().to_owned()),
        }))
        .unwrap();
        let options = SecretClientOptions { client_options, ..SecretClientOptions::default() };
        Self { secrets: SecretClient::new(vault, credential, Some(options)).unwrap(), _token: file }
    }

    async fn secret(&self, name: &str) -> Result<String, String> {
        let response = self.secrets.get_secret(name,
            None).await.map_err(|error| format!("{error:?}"))?;
        Ok(response.into_model().map_err(|error| error.to_string())?.value.unwrap_or_default())
    }
}

/// Trusts the emulator's authority alone; the names lead to loopback.
fn http_client(emulator: &Emulator) -> reqwest::Client {
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let authority = reqwest::Certificate::from_pem(emulator.ca_pem().as_bytes()).unwrap();
    let names = ["login.localhost", "shop.vault.localhost", "login.microsoftonline.com",
        "shop.vault.azure.net"];
    names
        .into_iter()
        .fold(reqwest::Client::builder(), |client, name| client.resolve(name, local))
        .tls_certs_only([authority])
        .no_proxy()
        .build()
        .unwrap()
}
