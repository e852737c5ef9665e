//! When the objects of a kind were updated, as a list tells it.

use super::client::VaultClient;
use super::lifetime::Lifetime;
use super::list::{Tags, Walk};
use super::object::Object;
use crate::changes::Seen;
use crate::fault::Fault;
use crate::identity::TokenSource;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// How a list of updates ended.
#[derive(Debug)]
pub(crate) enum Updates {
    /// With all that was asked for, or all there is; by lower-case name.
    Known(BTreeMap<String, Seen>),
    /// With more pages than were granted.
    TooMany,
}

impl VaultClient {
    /// The updates of the `wanted` among the objects that are listed beside `object`: at most so
    /// many pages, and none once all are known.
    pub(crate) async fn updates(
        &self,
        object: &Object,
        source: &TokenSource,
        most_pages: usize,
        wanted: &BTreeSet<String>,
    ) -> Result<Updates, Fault> {
        let label = format!("list of {} in {}", object.collection(), object.vault());
        let (mut known, mut walk) = (BTreeMap::new(), Walk::new(object.list_url()));
        for _ in 0..most_pages {
            let Some(url) = walk.next.take() else { return Ok(Updates::Known(known)) };
            let tags = Tags::new();
            let page = self.page(&url, object.vault(), &label, source, &tags, |entry| {
                let name = entry.name.to_ascii_lowercase();
                if let Some(seen) = entry.updated.filter(|_| wanted.contains(&name)) {
                    known.insert(name, seen);
                }
            });
            let end = page.await?;
            walk.turn(end, object.vault(), &label)?;
            if known.len() == wanted.len() {
                return Ok(Updates::Known(known));
            }
        }
        Ok(if walk.next.is_some() { Updates::TooMany } else { Updates::Known(known) })
    }
}

/// What the object itself tells of its update, and when it may be used by its attributes.
pub(crate) fn of_object(body: &[u8], date: Option<i64>) -> (Option<Seen>, Lifetime) {
    #[derive(Deserialize)]
    struct Attributes {
        updated: Option<i64>,
        nbf: Option<i64>,
        exp: Option<i64>,
    }
    #[derive(Deserialize)]
    struct Bundle {
        attributes: Attributes,
    }
    let Ok(Bundle { attributes }) = serde_json::from_slice(body) else {
        return (None, Lifetime::default());
    };
    let seen = attributes.updated.zip(date).map(|(updated, date)| Seen { updated, date });
    (seen, Lifetime::of(attributes.nbf, attributes.exp, date))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn objects_tell_of_their_update_or_not() {
        let attributes = json!({"enabled": true, "updated": 5, "nbf": 6, "exp": 7});
        let body = json!({"value": "x", "attributes": attributes}).to_string();
        let seen = Seen { updated: 5, date: 9 };
        for (date, seen) in [(Some(9), Some(seen)), (None, None)] {
            let lifetime = Lifetime::of(Some(6), Some(7), date);
            assert_eq!(of_object(body.as_bytes(), date), (seen, lifetime));
        }
        let body = json!({"attributes": {"updated": 5, "exp": -1}}).to_string();
        assert_eq!(of_object(body.as_bytes(), Some(9)).0, Some(seen));
        assert_eq!(of_object(body.as_bytes(), Some(9)).1.ends(), None);
        assert_eq!(of_object(b"{}", Some(9)), (None, Lifetime::default()));
    }
}
