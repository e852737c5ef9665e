//! Lists in pages.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::body::Body;
use super::error::VaultError;
use super::object::{Object, Objects, Version};
use crate::call::Call;
use crate::reply::Reply;

/// Default and largest page.
const PAGE: usize = 25;

/// A page of the newest versions of all objects.
pub(super) fn objects<T: Body>(objects: &Objects<T>, vault: &str, call: &Call) -> Result<Reply, VaultError> {
    let path = T::COLLECTION.path();
    let items = objects
        .iter()
        .map(|object| {
            let id = format!("{vault}/{path}/{}", object.name);
            (object.name.to_ascii_lowercase(), item(object.newest(), id))
        })
        .collect();
    page(items, path, call)
}

/// A page of the versions of one object, by version id: the service promises no order.
pub(super) fn versions<T: Body>(object: &Object<T>, vault: &str, call: &Call) -> Result<Reply, VaultError> {
    let path = format!("{}/{}", T::COLLECTION.path(), object.name);
    let mut items: Vec<_> = object
        .versions
        .iter()
        .map(|version| (version.id.clone(), item(version, format!("{vault}/{path}/{}", version.id))))
        .collect();
    items.sort_by(|(left, _), (right, _)| left.cmp(right));
    page(items, &format!("{path}/versions"), call)
}

fn item<T: Body>(version: &Version<T>, id: String) -> Map<String, Value> {
    let mut item = version.body.item(id);
    item.insert("attributes".to_owned(), version.attributes.json());
    if !version.tags.is_empty() {
        item.insert("tags".to_owned(), json!(version.tags));
    }
    item
}

/// The items behind the cursor that `$skiptoken` carries. `items` are sorted by their cursor.
fn page(items: Vec<(String, Map<String, Value>)>, path: &str, call: &Call) -> Result<Reply, VaultError> {
    let size = match call.parameter("maxresults") {
        None => PAGE,
        Some(text) => text.parse().ok().filter(|size| (1..=PAGE).contains(size)).ok_or(VaultError::MaxResults)?,
    };
    let after = call.parameter("$skiptoken").map(cursor).transpose()?;
    let mut rest = items.into_iter().skip_while(|(key, _)| after.as_ref().is_some_and(|after| key <= after)).peekable();
    let (mut value, mut last) = (Vec::new(), String::new());
    for (key, item) in rest.by_ref().take(size) {
        value.push(item);
        last = key;
    }
    let next_link = rest.peek().is_some().then(|| {
        format!(
            "https://{}/{path}?api-version={}&$skiptoken={}&maxresults={size}",
            with_port(&call.authority),
            call.parameter("api-version").unwrap_or_default(),
            URL_SAFE_NO_PAD.encode(&last),
        )
    });
    Ok(Reply::json(StatusCode::OK, &json!({"value": value, "nextLink": next_link})))
}

fn cursor(token: &str) -> Result<String, VaultError> {
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| VaultError::SkipToken)?;
    String::from_utf8(bytes).map_err(|_| VaultError::SkipToken)
}

/// The service writes its port into links, the default one too.
fn with_port(authority: &str) -> String {
    if authority.contains(':') { authority.to_owned() } else { format!("{authority}:443") }
}
