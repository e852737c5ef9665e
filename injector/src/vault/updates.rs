//! When the objects of a kind were updated, as a list tells it.

use super::client::VaultClient;
use super::list::Page;
use super::object::Object;
use crate::changes::Seen;
use crate::fault::Fault;
use crate::identity::TokenSource;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Entry {
    /// Keys have a `kid` instead.
    #[serde(alias = "kid")]
    id: Option<String>,
    attributes: Option<Attributes>,
}

#[derive(Deserialize)]
struct Attributes {
    updated: Option<i64>,
}

/// How a list of updates ended.
#[derive(Debug)]
pub(crate) enum Updates {
    /// With all that was asked for, or all there is; by lower-case name.
    Known(BTreeMap<String, Seen>),
    /// With more pages than were granted.
    TooMany,
}

impl VaultClient {
    /// The updates of all objects that are listed beside `object`: at most so many pages, and none once `done` says so.
    pub(crate) async fn updates(
        &self,
        object: &Object,
        source: &TokenSource,
        most_pages: usize,
        done: impl Fn(&BTreeMap<String, Seen>) -> bool,
    ) -> Result<Updates, Fault> {
        let (label, mut url) = (format!("list of {} in {}", object.collection(), object.vault()), object.list_url());
        let mut known = BTreeMap::new();
        for _ in 0..most_pages {
            let Page { entries, date, next } = self.page::<Entry>(&url, object.vault(), &label, source).await?;
            known.extend(entries.into_iter().filter_map(|entry| entry.seen(date)));
            match next {
                Some(link) if !done(&known) => url = link,
                _ => return Ok(Updates::Known(known)),
            }
        }
        Ok(Updates::TooMany)
    }
}

impl Entry {
    /// Its name and its update, when the answer says both.
    fn seen(self, date: Option<i64>) -> Option<(String, Seen)> {
        let name = self.id?.trim_end_matches('/').rsplit('/').next()?.to_ascii_lowercase();
        Some((name, Seen { updated: self.attributes?.updated?, date: date? }))
    }
}

/// What the object itself tells of its update.
pub(crate) fn of_object(body: &[u8], date: Option<i64>) -> Option<Seen> {
    #[derive(Deserialize)]
    struct Bundle {
        attributes: Attributes,
    }
    let Bundle { attributes } = serde_json::from_slice(body).ok()?;
    Some(Seen { updated: attributes.updated?, date: date? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn entries_and_objects_tell_of_their_update_or_not() {
        let attributes = json!({"enabled": true, "updated": 5});
        for (entry, date, expected) in [
            (json!({"id": "https://kv/secrets/Db", "attributes": attributes}), Some(9), Some("db")),
            (json!({"kid": "https://kv/keys/sign/", "attributes": attributes}), Some(9), Some("sign")),
            (json!({"id": "https://kv/secrets/db", "attributes": {"enabled": true}}), Some(9), None),
            (json!({"id": "https://kv/secrets/db"}), Some(9), None),
            (json!({"attributes": attributes}), Some(9), None),
            (json!({"id": "https://kv/secrets/db", "attributes": attributes}), None, None),
        ] {
            let seen = serde_json::from_value::<Entry>(entry.clone()).unwrap().seen(date);
            assert_eq!(seen, expected.map(|name| (name.to_owned(), Seen { updated: 5, date: 9 })), "{entry}");
        }
        let body = json!({"value": "x", "attributes": attributes}).to_string();
        assert_eq!(of_object(body.as_bytes(), Some(9)), Some(Seen { updated: 5, date: 9 }));
        assert_eq!(of_object(body.as_bytes(), None), None);
        assert_eq!(of_object(b"{}", Some(9)), None);
    }
}
