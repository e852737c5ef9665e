//! Prints the secret `SECRET_NAME` of the vault `VAULT_URL`; the argument names the credential.

use azure_identity::{ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId};
use std::env;
use std::error::Error;
use std::process::ExitCode;
// docs: begin
use azure_core::credentials::TokenCredential;
use azure_identity::WorkloadIdentityCredential;
use azure_security_keyvault_secrets::SecretClient;
use std::sync::Arc;

async fn read_secret(
    vault_url: &str,
    name: &str,
    credential: Arc<dyn TokenCredential>,
) -> azure_core::Result<Option<String>> {
    let client = SecretClient::new(vault_url, credential, None)?;
    let secret = client.get_secret(name, None).await?.into_model()?;
    Ok(secret.value)
}
// docs: end

fn credential(kind: &str) -> Result<Arc<dyn TokenCredential>, Box<dyn Error>> {
    match kind {
        "workload" => Ok(WorkloadIdentityCredential::new(None)?),
        "managed" => {
            let id = env::var("IDENTITY_CLIENT_ID").ok().map(UserAssignedId::ClientId);
            let options =
                ManagedIdentityCredentialOptions { user_assigned_id: id, ..Default::default() };
            Ok(ManagedIdentityCredential::new(Some(options))?)
        }
        other => Err(format!("azure_identity has no credential of the kind {other}").into()),
    }
}

async fn run() -> Result<String, Box<dyn Error>> {
    let credential = credential(&env::args().nth(1).unwrap_or_default())?;
    let secret =
        read_secret(&env::var("VAULT_URL")?, &env::var("SECRET_NAME")?, credential).await?;
    Ok(secret.ok_or("the secret has no value")?)
}

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(value) => {
            println!("{value}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error:?}");
            ExitCode::FAILURE
        }
    }
}
