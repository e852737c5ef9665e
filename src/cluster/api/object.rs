//! One object or one list of any kind, as the API server gives it: for commands that look at a
//! cluster once.

use super::client::{Client, OBJECTS};
use super::error::ApiError;
use super::watch::escape;
use bytes::Bytes;
use serde_json::Value;

/// Metadata alone, and no fallback to the whole object.
const ONLY_METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
/// Of a page; one that is too large is read again with half as many.
const PAGE: usize = 100;

/// GETs `path`, as `/apis/storage.k8s.io/v1/csidrivers`; `None` where there is no such object.
pub async fn get(client: &Client, path: &str) -> Result<Option<Value>, ApiError> {
    read(client, path, OBJECTS).await
}

/// The same, but of the object only `metadata` leaves the API server.
pub async fn get_metadata(client: &Client, path: &str) -> Result<Option<Value>, ApiError> {
    read(client, path, ONLY_METADATA).await
}

/// POSTs an object to the collection at `path`, and gives the API server's answer.
pub async fn create(client: &Client, path: &str, object: &Value) -> Result<Value, ApiError> {
    let answer = client.create(path, Bytes::from(object.to_string())).await?;
    client.parse(&answer)
}

/// Deletes the object at `path`, if there is one.
pub async fn delete(client: &Client, path: &str) -> Result<(), ApiError> {
    match client.delete(path).await {
        Err(ApiError::Refused { status: 404, .. }) => Ok(()),
        answer => answer,
    }
}

/// Lists the collection at `path` page by page, and gives every object to `each`. A kind that the
/// API server does not have has no objects.
///
/// # Errors
/// [`ApiError::NotAnObject`] names the first item that is not an object; the objects beside it are
/// given all the same.
pub async fn list(
    client: &Client,
    path: &str,
    mut each: impl FnMut(Value),
) -> Result<(), ApiError> {
    let (mut limit, mut next) = (PAGE, String::new());
    let (mut count, mut wrong) = (0, None);
    loop {
        let page = format!("{path}?limit={limit}{next}");
        let body = match client.read_page(&page, OBJECTS).await {
            Err(ApiError::TooLarge) if limit > 1 => {
                limit /= 2;
                continue;
            }
            Err(ApiError::Refused { status: 404, .. }) => return Ok(()),
            body => body?,
        };
        let mut page = client.parse(&body)?;
        // Go writes null for an empty list.
        let items = match page.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) => items,
            Some(Value::Null) => Vec::new(),
            _ => return Err(ApiError::NotAList { path: path.to_owned() }),
        };
        for item in items {
            if item.is_object() {
                each(item);
            } else {
                wrong.get_or_insert(count);
            }
            count += 1;
        }
        match page["metadata"]["continue"].as_str().filter(|token| !token.is_empty()) {
            Some(token) => next = format!("&continue={}", escape(token)),
            None => break,
        }
    }
    match wrong {
        Some(index) => Err(ApiError::NotAnObject { path: path.to_owned(), index }),
        None => Ok(()),
    }
}

async fn read(
    client: &Client,
    path: &str,
    accept: &'static str,
) -> Result<Option<Value>, ApiError> {
    match client.read(path, accept).await {
        Ok(body) => client.parse(&body).map(Some),
        Err(ApiError::Refused { status: 404, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
