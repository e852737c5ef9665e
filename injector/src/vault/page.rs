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
    nbf: Option<i64>,
    exp: Option<i64>,
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
                starts: attributes
                    .as_ref()
                    .and_then(|attributes| u64::try_from(attributes.nbf?).ok()),
                expires: attributes
                    .as_ref()
                    .and_then(|attributes| u64::try_from(attributes.exp?).ok()),
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
mod tests;
