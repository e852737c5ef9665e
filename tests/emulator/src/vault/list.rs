//! Lists in pages, in the shapes that the service allows itself.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::body::Body;
use super::error::VaultError;
use super::object::{Object, Objects, Version};
use crate::call::Call;
use crate::reply::Reply;

/// Default and largest page.
const PAGE: usize = 25;
/// Begins a cursor that leads to an empty page first.
const EMPTY_FIRST: char = '\u{1}';

/// How lists are cut. The service promises neither full pages nor that a page with a `nextLink` has
/// entries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ListShape {
    /// Most entries of a page, whatever was asked for.
    pub page_size: Option<usize>,
    /// Whether an empty page stands between two pages.
    pub empty_pages: bool,
    /// Host of every `nextLink`, instead of the vault's: what a machine in the middle would write.
    pub next_host: Option<String>,
}

/// A page of the newest versions of all objects.
pub(super) fn objects<T: Body>(
    objects: &Objects<T>,
    vault: &str,
    call: &Call,
    shape: &ListShape,
) -> Result<Reply, VaultError> {
    let path = T::COLLECTION.path();
    let items = objects
        .iter()
        .map(|object| {
            let id = format!("{vault}/{path}/{}", object.name);
            (object.name.to_ascii_lowercase(), item(object.newest(), id))
        })
        .collect();
    page(items, path, call, shape)
}

/// A page of the versions of one object, by version id: the service promises no order.
pub(super) fn versions<T: Body>(
    object: &Object<T>,
    vault: &str,
    call: &Call,
    shape: &ListShape,
) -> Result<Reply, VaultError> {
    let path = format!("{}/{}", T::COLLECTION.path(), object.name);
    let mut items: Vec<_> = object
        .versions
        .iter()
        .map(|version| {
            (version.id.clone(), item(version, format!("{vault}/{path}/{}", version.id)))
        })
        .collect();
    items.sort_by(|(left, _), (right, _)| left.cmp(right));
    page(items, &format!("{path}/versions"), call, shape)
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
fn page(
    items: Vec<(String, Map<String, Value>)>,
    path: &str,
    call: &Call,
    shape: &ListShape,
) -> Result<Reply, VaultError> {
    let size = match call.parameter("maxresults") {
        None => PAGE,
        Some(text) => text
            .parse()
            .ok()
            .filter(|size| (1..=PAGE).contains(size))
            .ok_or(VaultError::MaxResults)?,
    };
    let after = call.parameter("$skiptoken").map(cursor).transpose()?;
    let link = |cursor: &str| {
        let authority = shape.next_host.as_ref().unwrap_or(&call.authority);
        format!(
            "https://{}/{path}?api-version={}&$skiptoken={}&maxresults={size}",
            with_port(authority),
            call.parameter("api-version").unwrap_or_default(),
            URL_SAFE_NO_PAD.encode(cursor),
        )
    };
    if let Some(after) = after.as_ref().and_then(|after| after.strip_prefix(EMPTY_FIRST)) {
        return Ok(Reply::json(StatusCode::OK, &json!({"value": [], "nextLink": link(after)})));
    }
    let length = shape.page_size.map_or(size, |most| size.min(most.max(1)));
    let mut rest = items
        .into_iter()
        .skip_while(|(key, _)| after.as_ref().is_some_and(|after| key <= after))
        .peekable();
    let (mut value, mut last) = (Vec::new(), String::new());
    for (key, item) in rest.by_ref().take(length) {
        value.push(item);
        last = key;
    }
    let next_link = rest.peek().is_some().then(|| {
        if shape.empty_pages {
            last.insert(0, EMPTY_FIRST);
        }
        link(&last)
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
