//! One place of a JSON document, read by a visitor that keeps only what is meant to stand there.

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// What is read in a place. Anything that it does not expect is read past.
pub(super) trait Place<'de>: Sized {
    /// What is made of it.
    type Read;

    /// A string; `None` if it does not belong here.
    fn text(self, _text: &str) -> Option<Self::Read> {
        None
    }

    /// A list.
    fn list<A: SeqAccess<'de>>(self, mut list: A) -> Result<Option<Self::Read>, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    /// An object.
    fn object<A: MapAccess<'de>>(self, mut object: A) -> Result<Option<Self::Read>, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

/// What stands in a place.
pub(super) enum Found<T> {
    Null,
    Read(T),
    /// Something of another kind; with its text if it is a number or a boolean.
    Other(&'static str, Option<String>),
}

/// A string, and nothing else.
pub(super) struct Scalar;

impl Place<'_> for Scalar {
    type Read = String;

    fn text(self, text: &str) -> Option<String> {
        Some(text.to_owned())
    }
}

/// Reads a place wherever `serde` wants a seed.
pub(super) struct Seed<P>(pub(super) P);

impl<'de, P: Place<'de>> DeserializeSeed<'de> for Seed<P> {
    type Value = Found<P::Read>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, P: Place<'de>> Visitor<'de> for Seed<P> {
    type Value = Found<P::Read>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Found::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Found::Other("a boolean", Some(value.to_string())))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Found::Other("a number", Some(value.to_string())))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Found::Other("a number", Some(value.to_string())))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        let text = serde_json::Number::from_f64(value).map(|number| number.to_string());
        Ok(Found::Other("a number", text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(self.0.text(text).map_or(Found::Other("a string", None), Found::Read))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        Ok(self.0.list(list)?.map_or(Found::Other("a list", None), Found::Read))
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Self::Value, A::Error> {
        Ok(self.0.object(object)?.map_or(Found::Other("an object", None), Found::Read))
    }
}
