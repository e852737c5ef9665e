//! GET of one object, with the token sent at once (no 401 round trip).

use super::challenge::{Challenge, is_parent};
use super::error::{VaultError, VaultErrorKind};
use crate::fault::Fault;
use crate::http::{self, CONCURRENCY, Failure, Http};
use crate::identity::{AccessToken, TokenSource, short};
use crate::throttle::{Throttle, retry_after};
use keysluice_plan::{File, ObjectType};
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use reqwest::{Client, Response};
use secrecy::{ExposeSecret, SecretBox};
use std::sync::Arc;
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

    /// Whether a token for `scope` may go to the vault at all.
    fn check_scope(&self, scope: &str) -> Result<(), VaultError> {
        let host = self.vault.host();
        if is_parent(scope, host) {
            return Ok(());
        }
        Err(VaultError::ForeignScope { scope: scope.to_owned(), host: host.to_owned() })
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
    throttle: Arc<Throttle>,
}

impl VaultClient {
    /// With what others know of waits.
    pub fn new(http: Arc<Http>, throttle: Arc<Throttle>) -> Self {
        Self { http, permits: Semaphore::new(CONCURRENCY), throttle }
    }

    /// The answer's body. After a 401 it tries once more with a new token, unless the challenge is a stranger's.
    pub async fn get(&self, object: &Object, source: &TokenSource) -> Result<SecretBox<Vec<u8>>, Fault> {
        let fault = |error: VaultError| error.fault(&object.to_string());
        let client = self.http.client().map_err(|error| error.fault())?;
        object.check_scope(source.scope()).and_then(|()| self.may_ask(object)).map_err(fault)?;
        let mut token = source.token().await?;
        // An error here would mean the semaphore was closed, which nobody does.
        let _permit = self.permits.acquire().await;
        let mut renewed = false;
        loop {
            let response = self.send(&client, object, &token).await.map_err(fault)?;
            if response.status().as_u16() != 401 {
                return self.read(object, response).await.map_err(fault);
            }
            let challenge = Challenge::parse(response.headers()).map(Box::new);
            if let Some(foreign) = challenge.as_ref().filter(|challenge| !challenge.fits(object.vault.host())) {
                let resource = foreign.resource.clone().unwrap_or_default();
                return Err(fault(VaultError::ForeignChallenge { resource, host: object.vault.host().to_owned() }));
            }
            let body = http::body(response).await.map_err(|failure| fault(failure.into()))?;
            let Some(other) = (if renewed { None } else { source.instead_of(&token).await }) else {
                let (kind, scope) = (VaultErrorKind::parse(body.expose_secret()), source.scope().to_owned());
                return Err(fault(VaultError::Unauthorized { renewed, kind, scope, challenge }));
            };
            (token, renewed) = (other, true);
        }
    }

    fn may_ask(&self, object: &Object) -> Result<(), VaultError> {
        self.throttle.wait(object.vault.as_str()).map_or(Ok(()), |wait| Err(VaultError::Waiting { wait }))
    }

    async fn send(&self, client: &Client, object: &Object, token: &AccessToken) -> Result<Response, VaultError> {
        self.may_ask(object)?;
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
        // A demand of 429 and 503 is about the vault, one of another status about the object.
        let whole_vault = matches!(status, 429 | 503);
        let retry_after = retry_after(response.headers())
            .map(|wait| if whole_vault { self.throttle.note(object.vault.as_str(), wait) } else { wait });
        let request_id = response.headers().get("x-ms-request-id").and_then(|id| id.to_str().ok()).map(short);
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
