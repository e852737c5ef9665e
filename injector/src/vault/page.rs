//! One page of a list, read entry by entry.

use super::list::{Listed, Tags};
use crate::changes::Seen;
use keysluice_plan::ObjectName;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};
use std::collections::BTreeSet;
use std::fmt;

/// Key Vault sends no more on a page.
pub(super) const MAX_ENTRIES: usize = 25;

/// How a page ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct End {
    /// How many it had, wanted or not.
    pub(super) entries: usize,
    pub(super) next: Option<String>,
}

/// Why a page is none.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PageError {
    Garbled,
    TooMany,
}

/// Reads `{"value": [...], "nextLink": "..."}`; `date` is that of the answer. Entries without these
/// tags are left out.
pub(super) fn read(
    body: &[u8],
    date: Option<i64>,
    tags: &Tags,
    add: &mut dyn FnMut(Listed),
) -> Result<End, PageError> {
    let mut page = Page { date, tags, add, entries: 0, is_list: false, next: None };
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let read = PageSeed(&mut page).deserialize(&mut deserializer).and_then(|()| deserializer.end());
    match read {
        // An empty page has an empty list. Without one it is somebody else's answer, and no secret
        // is gone.
        Ok(()) if !page.is_list => Err(PageError::Garbled),
        Ok(()) => {
            Ok(End { entries: page.entries, next: page.next.filter(|link| !link.is_empty()) })
        }
        Err(_) if page.entries > MAX_ENTRIES => Err(PageError::TooMany),
        Err(_) => Err(PageError::Garbled),
    }
}

struct Page<'a> {
    date: Option<i64>,
    tags: &'a Tags,
    add: &'a mut dyn FnMut(Listed),
    entries: usize,
    /// Whether it has what every page has.
    is_list: bool,
    next: Option<String>,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum PageField {
    Value,
    NextLink,
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum EntryField {
    /// Keys have a `kid` instead.
    #[serde(alias = "kid")]
    Id,
    Attributes,
    Tags,
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Attributes {
    enabled: Option<bool>,
    created: Option<i64>,
    updated: Option<i64>,
}

/// A seed whose value is read by the visitor that it is.
macro_rules! seed {
    ($seed:ident) => {
        impl<'de> DeserializeSeed<'de> for $seed<'_, '_> {
            type Value = ();

            fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
                deserializer.deserialize_any(self)
            }
        }
    };
}

struct PageSeed<'a, 'b>(&'a mut Page<'b>);
seed!(PageSeed);

impl<'de> Visitor<'de> for PageSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a page of a list")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(field) = map.next_key()? {
            self.0.is_list |= !matches!(field, PageField::Other);
            match field {
                PageField::Value => map.next_value_seed(EntriesSeed(self.0))?,
                PageField::NextLink => self.0.next = map.next_value()?,
                PageField::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

struct EntriesSeed<'a, 'b>(&'a mut Page<'b>);
seed!(EntriesSeed);

impl<'de> Visitor<'de> for EntriesSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("entries of a list")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(EntrySeed(self.0))?.is_some() {}
        Ok(())
    }
}

struct EntrySeed<'a, 'b>(&'a mut Page<'b>);
seed!(EntrySeed);

impl<'de> Visitor<'de> for EntrySeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an entry of a list")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let page = self.0;
        page.entries += 1;
        if page.entries > MAX_ENTRIES {
            return Err(A::Error::custom("too many entries"));
        }
        let (mut name, mut attributes, mut found) = (None, None::<Attributes>, BTreeSet::new());
        while let Some(field) = map.next_key()? {
            match field {
                EntryField::Id => {
                    name = map.next_value_seed(Text(|id: &str| last_segment(id)))?.flatten();
                }
                EntryField::Attributes => attributes = map.next_value()?,
                EntryField::Tags => found = map.next_value_seed(TagsSeed(page.tags))?,
                EntryField::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        if let Some(name) = name.filter(|_| found.len() == page.tags.len()) {
            let updated =
                attributes.as_ref().and_then(|attributes| attributes.updated).zip(page.date);
            (page.add)(Listed {
                name,
                enabled: attributes
                    .as_ref()
                    .map(|attributes| attributes.enabled.unwrap_or_default()),
                created: attributes
                    .as_ref()
                    .and_then(|attributes| attributes.created)
                    .unwrap_or_default(),
                updated: updated.map(|(updated, date)| Seen { updated, date }),
            });
        }
        Ok(())
    }
}

/// A name or version at the end of an id; what can be neither is nothing we could ask for.
fn last_segment(id: &str) -> Option<String> {
    let name = id.trim_end_matches('/').rsplit('/').next()?;
    name.parse::<ObjectName>().is_ok().then(|| name.to_owned())
}

/// Which of the wanted tags an entry has.
struct TagsSeed<'a>(&'a Tags);

impl<'de, 'a> DeserializeSeed<'de> for TagsSeed<'a> {
    type Value = BTreeSet<&'a str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, 'a> Visitor<'de> for TagsSeed<'a> {
    type Value = BTreeSet<&'a str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tags")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(BTreeSet::new())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = BTreeSet::new();
        while let Some(wanted) = map.next_key_seed(Text(|tag: &str| self.0.get_key_value(tag)))? {
            match wanted.flatten() {
                None => drop(map.next_value::<IgnoredAny>()?),
                Some((tag, value)) => {
                    // Of a tag that is there twice the last one counts.
                    if map.next_value_seed(Text(|text: &str| text == value.as_str()))? == Some(true)
                    {
                        found.insert(tag.as_str());
                    } else {
                        found.remove(tag.as_str());
                    }
                }
            }
        }
        Ok(found)
    }
}

/// What a function makes of a text, without a copy of it; `None` for null.
struct Text<F>(F);

impl<'de, T, F: FnOnce(&str) -> T> DeserializeSeed<'de> for Text<F> {
    type Value = Option<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<T>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<T, F: FnOnce(&str) -> T> Visitor<'_> for Text<F> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_unit<E>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Option<T>, E> {
        Ok(Some(self.0(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn listed(body: &[u8], tags: &[(&str, &str)]) -> Result<(Vec<Listed>, End), PageError> {
        let tags = tags.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let mut listed = Vec::new();
        read(body, Some(9), &tags, &mut |entry| listed.push(entry)).map(|end| (listed, end))
    }

    fn names(value: &Value, tags: &[(&str, &str)]) -> Vec<String> {
        let body = json!({"value": value, "nextLink": null}).to_string();
        listed(body.as_bytes(), tags).unwrap().0.into_iter().map(|entry| entry.name).collect()
    }

    #[test]
    fn entries_have_a_name_and_perhaps_the_rest() {
        let listed_one = |name: &str, enabled, created, updated: Option<i64>| {
            let updated = updated.map(|updated| Seen { updated, date: 9 });
            Listed { name: name.to_owned(), enabled, created, updated }
        };
        let body = json!({"nextLink": "https://kv/next", "value": [
            {"id": "https://kv/secrets/db/v1", "attributes": {"enabled": true, "created": 5, "updated": 6}, "x": [{}]},
            {"kid": "https://kv/keys/sign/v2", "attributes": {"enabled": false}, "tags": null},
            {"id": "https://kv/secrets/db/"},
            {"attributes": {"enabled": true}},
            {"id": null},
            {"id": "https://kv/secrets/a_b"},
            {"id": format!("https://kv/secrets/{}", "x".repeat(128))},
        ]});
        let expected = vec![
            listed_one("v1", Some(true), 5, Some(6)),
            listed_one("v2", Some(false), 0, None),
            listed_one("db", None, 0, None),
        ];
        let end = End { entries: 7, next: Some("https://kv/next".to_owned()) };
        assert_eq!(listed(body.to_string().as_bytes(), &[]), Ok((expected, end)));
        assert_eq!(listed(b"{}", &[]), Err(PageError::Garbled), "no page of Key Vault's");
        for empty in [
            json!({"value": null}),
            json!({"nextLink": null}),
            json!({"value": [], "nextLink": ""}),
        ] {
            let end = End { entries: 0, next: None };
            assert_eq!(listed(empty.to_string().as_bytes(), &[]), Ok((Vec::new(), end)), "{empty}");
        }
    }

    #[test]
    fn tags_select_by_name_and_value() {
        let entry = |name: &str, tags: Value| json!({"id": format!("https://kv/secrets/{name}"), "tags": tags});
        let value = json!([
            entry("both", json!({"team": "shop", "tier": "1", "x": {"y": [1]}})),
            entry("team", json!({"team": "shop"})),
            entry("case", json!({"team": "Shop"})),
            entry("none", json!(null)),
            {"id": "https://kv/secrets/bare"},
            entry("null", json!({"team": null})),
        ]);
        assert_eq!(names(&value, &[]).len(), 6);
        assert_eq!(names(&value, &[("team", "shop")]), ["both", "team"]);
        assert_eq!(names(&value, &[("team", "shop"), ("tier", "1")]), ["both"]);
        let twice =
            br#"{"value":[{"id":"x/a","tags":{"t":"1","t":"2"}},{"tags":{"t":"1"},"id":"x/b"}]}"#;
        let found: Vec<_> =
            listed(twice, &[("t", "1")]).unwrap().0.into_iter().map(|entry| entry.name).collect();
        assert_eq!(found, ["b"]);
    }

    #[test]
    fn what_is_no_page_of_key_vaults_is_refused() {
        for (body, expected) in [
            (format!("{{\"value\":[{}{{}}]}}", "{},".repeat(25)), PageError::TooMany),
            (format!("{{\"value\":[{}{{}}]}}", "{},".repeat(349_000)), PageError::TooMany),
            (format!("{{\"value\":[{}0]}}", "0,".repeat(25)), PageError::Garbled),
            (format!("{{\"value\":{}", "[".repeat(500_000)), PageError::Garbled),
            (format!("{{\"x\":{}", "[{\"a\":".repeat(100_000)), PageError::Garbled),
            ("[]".to_owned(), PageError::Garbled),
            ("{\"value\":[]} x".to_owned(), PageError::Garbled),
            (String::new(), PageError::Garbled),
        ] {
            assert_eq!(listed(body.as_bytes(), &[]), Err(expected), "{body:.60}");
        }
        let full = format!("{{\"value\":[{}{{}}]}}", "{},".repeat(24));
        assert_eq!(listed(full.as_bytes(), &[]).unwrap().1.entries, 25);
    }
}
