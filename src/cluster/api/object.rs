//! One object or one list of any kind, as the API server gives it: for commands that look at a
//! cluster once.

use super::client::{ApiError, Client, OBJECTS};
use serde_json::Value;

/// GETs `path`, as `/apis/storage.k8s.io/v1/csidrivers`; `None` where there is no such object.
pub async fn get(client: &Client, path: &str) -> Result<Option<Value>, ApiError> {
    match client.read(path, OBJECTS).await {
        Ok(body) => Ok(Some(serde_json::from_slice(&body)?)),
        Err(ApiError::Refused { status: 404, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
