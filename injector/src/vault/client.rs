//! GET of one object, with the token sent at once (no 401 round trip).

use super::challenge::Challenge;
use super::error::{VaultError, VaultErrorKind};
use super::retry;
use crate::fault::Fault;
use crate::http::{self, CONCURRENCY, Failure, Http};
use crate::identity::{AccessToken, TokenSource};
use keysluice_plan::{File, ObjectType};
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use reqwest::{Client, Response};
use secrecy::{ExposeSecret, SecretBox};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

/// The widest supported version (all clouds, private endpoints, emulators).
const API_VERSION: &str = "7.4";

/// Which object; files that share it share one GET.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Object {
    vault: keysluice_plan::VaultUrl,
    kind: ObjectType,
    name: keysluice_plan::ObjectName,
    version: Option<keysluice_plan::ObjectVersion>,
    identity: String,
}

impl Object {
    /// The object a file comes from.
    pub fn of(file: &File) -> Self {
        Self {
            vault: file.vault.clone(),
            kind: file.object_type,
            name: file.name.clone(),
            version: file.version.clone(),
            identity: file.identity.clone(),
        }
    }

    /// Name of the identity that fetches it.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    fn url(&self) -> String {
        let collection = match self.kind {
            ObjectType::Secret => "secrets",
            ObjectType::Key => "keys",
            ObjectType::Cert => "certificates",
        };
        let version = self.version.as_ref().map(|version| format!("/{version}")).unwrap_or_default();
        format!("{}{collection}/{}{version}?api-version={API_VERSION}", self.vault, self.name)
    }
}

/// `secret "db" in https://kv.vault.azure.net/`, the way every message names an object.
impl std::fmt::Display for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?}", self.kind.as_str(), self.name.as_str())?;
        if let Some(version) = &self.version {
            write!(f, " version {version}")?;
        }
        write!(f, " in {}", self.vault)
    }
}

/// Asks vaults, at most [`CONCURRENCY`] requests at once.
#[derive(Debug)]
pub struct VaultClient {
    http: Arc<Http>,
    permits: Semaphore,
    throttle: Mutex<retry::ThrottleState>,
}

impl VaultClient {
    /// With what an earlier run was told to wait.
    pub fn new(http: Arc<Http>, throttle: retry::ThrottleState) -> Self {
        Self { http, permits: Semaphore::new(CONCURRENCY), throttle: Mutex::new(throttle) }
    }

    /// What vaults told us to wait, to be kept for the next run.
    pub fn throttle_state(&self) -> retry::ThrottleState {
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The answer's body. A 401 drops the token and tries once more with a new one, unless the challenge is a stranger's.
    pub async fn get(&self, object: &Object, source: &TokenSource) -> Result<SecretBox<Vec<u8>>, Fault> {
        let fault = |error: VaultError| error.fault(&object.to_string());
        let client = self.http.client().map_err(|error| error.fault())?;
        let mut token = source.token().await?;
        // An error here would mean the semaphore was closed, which nobody does.
        let _permit = self.permits.acquire().await;
        let mut second = false;
        loop {
            let response = self.send(&client, object, &token).await.map_err(fault)?;
            if response.status().as_u16() != 401 {
                return self.read(object, response).await.map_err(fault);
            }
            let challenge = Challenge::parse(response.headers());
            if let Some(foreign) = challenge.as_ref().filter(|challenge| !challenge.fits(object.vault.host())) {
                let resource = foreign.resource.clone().unwrap_or_default();
                return Err(fault(VaultError::ForeignChallenge { resource, host: object.vault.host().to_owned() }));
            }
            let body = http::body(response).await.map_err(|failure| fault(failure.into()))?;
            if second {
                let (kind, scope) = (VaultErrorKind::parse(body.expose_secret()), source.scope().to_owned());
                return Err(fault(VaultError::Unauthorized { kind, scope, challenge }));
            }
            second = true;
            source.reject(&token).await;
            token = source.token().await?;
        }
    }

    async fn send(&self, client: &Client, object: &Object, token: &AccessToken) -> Result<Response, VaultError> {
        let now = SystemTime::now();
        let wait = self.throttle.lock().unwrap_or_else(PoisonError::into_inner).wait(object.vault.as_str(), now);
        if let Some(wait) = wait {
            return Err(VaultError::Waiting { wait });
        }
        let bearer = Zeroizing::new(format!("Bearer {}", token.expose()));
        let mut header = HeaderValue::from_str(&bearer).unwrap_or_else(|_| HeaderValue::from_static("Bearer"));
        header.set_sensitive(true);
        let request = client.get(object.url()).header(ACCEPT, "application/json").header(AUTHORIZATION, header);
        request.send().await.map_err(|error| Failure::of_request(&error).into())
    }

    async fn read(&self, object: &Object, response: Response) -> Result<SecretBox<Vec<u8>>, VaultError> {
        let status = response.status().as_u16();
        if status == 200 {
            return Ok(http::body(response).await?);
        }
        let retry_after = retry::after(response.headers());
        if let (429 | 503, Some(wait)) = (status, retry_after) {
            let mut throttle = self.throttle.lock().unwrap_or_else(PoisonError::into_inner);
            throttle.note(object.vault.as_str(), wait, SystemTime::now());
        }
        let request_id = response.headers().get("x-ms-request-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
        // The status tells enough if the body breaks off.
        let kind =
            http::body(response).await.map(|body| VaultErrorKind::parse(body.expose_secret())).unwrap_or_default();
        Err(VaultError::Refused { status, kind, request_id, retry_after })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_and_names_follow_the_object() {
        let mut file: File = serde_json::from_value(serde_json::json!({
            "path": "db", "mode": "0644", "identity": "a", "vault": "https://kv.vault.azure.net", "type": "secret", "name": "db"
        }))
        .unwrap();
        let object = Object::of(&file);
        assert_eq!(object.url(), "https://kv.vault.azure.net/secrets/db?api-version=7.4");
        assert_eq!(object.to_string(), "secret \"db\" in https://kv.vault.azure.net/");
        file.object_type = ObjectType::Key;
        file.version = Some("0123".parse().unwrap());
        let object = Object::of(&file);
        assert_eq!(object.url(), "https://kv.vault.azure.net/keys/db/0123?api-version=7.4");
        assert_eq!(object.to_string(), "key \"db\" version 0123 in https://kv.vault.azure.net/");
    }
}
