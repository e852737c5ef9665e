//! What the API server sends, borrowed from its bytes: of each object only what a cache keeps.

use crate::mutate::may_be_ours;
use crate::pod::Text;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, de};
use serde_json::value::RawValue;
use std::fmt;

/// Ends the initial events of a streamed list.
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// One line of a watch.
#[derive(Debug)]
pub(super) struct Event<'a> {
    pub(super) kind: EventKind,
    pub(super) item: Item<'a>,
}

/// An object, as far as it can be read. Whoever may create a class decides what stands in it, and
/// one that we cannot read must not keep us from all others.
#[derive(Debug)]
pub(super) enum Item<'a> {
    Readable(Object<'a>),
    Unreadable(Outline),
}

/// What is left of an object that has a field of another type than it should.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outline {
    pub(super) namespace: String,
    /// Empty if that cannot be read either.
    pub(super) name: String,
    pub(super) resource_version: String,
}

/// What happened to the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum EventKind {
    Added,
    Modified,
    Deleted,
    /// Nothing but a resource version to resume from.
    Bookmark,
    /// The object is a Status.
    Error,
    /// Newer than we are.
    #[serde(other)]
    Unknown,
}

/// An object of the API. Nothing of a Status is read here: a tenant's object may have fields of the
/// same names.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Object<'a> {
    #[serde(borrow)]
    pub(super) metadata: Metadata<'a>,
    /// As it stands; absent where only metadata was asked for.
    #[serde(borrow)]
    pub(super) spec: Option<&'a RawValue>,
}

/// What stands in place of an object where the API server refuses.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Status<'a> {
    #[serde(borrow)]
    pub(super) kind: Text<'a>,
    pub(super) code: u16,
    #[serde(borrow)]
    pub(super) message: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Metadata<'a> {
    #[serde(borrow)]
    pub(super) namespace: Text<'a>,
    #[serde(borrow)]
    pub(super) name: Text<'a>,
    #[serde(borrow)]
    pub(super) resource_version: Text<'a>,
    #[serde(borrow)]
    annotations: Option<Annotations<'a>>,
}

/// Those that matter; an object may have 30,000 others.
#[derive(Debug, Default)]
struct Annotations<'a>(Vec<(Text<'a>, Text<'a>)>);

/// One page of a list. Its items are read one at a time: what is borrowed of all of them could take
/// ten times the page.
#[derive(Debug)]
pub(super) struct Page<'a> {
    pub(super) metadata: PageMetadata<'a>,
    items: Vec<Option<&'a RawValue>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PageMetadata<'a> {
    #[serde(borrow)]
    pub(super) resource_version: Text<'a>,
    /// Where the next page begins; absent or empty on the last one.
    #[serde(borrow, rename = "continue")]
    pub(super) next: Text<'a>,
}

impl<'a> Event<'a> {
    /// Fails only on what is no event at all.
    pub(super) fn read(line: &'a [u8]) -> serde_json::Result<Self> {
        // Nearly every line is this, in one pass.
        if let Ok(Line { kind, object }) = serde_json::from_slice::<Line<Object<'_>>>(line) {
            return Ok(Self { kind, item: Item::Readable(object) });
        }
        let Line { kind, object } = serde_json::from_slice::<Line<Option<&RawValue>>>(line)?;
        Ok(Self { kind, item: Item::from(object) })
    }
}

impl<'a> Status<'a> {
    /// What an error event says.
    pub(super) fn of_event(line: &'a [u8]) -> Self {
        serde_json::from_slice::<Line<Self>>(line).map(|line| line.object).unwrap_or_default()
    }
}

impl<'a> Page<'a> {
    /// Fails only on what is no list at all.
    pub(super) fn read(body: &'a [u8]) -> serde_json::Result<Self> {
        let List { metadata, items } = serde_json::from_slice::<List<'_>>(body)?;
        Ok(Self { metadata, items: items.unwrap_or_default() })
    }

    /// Its objects.
    pub(super) fn items(&self) -> impl Iterator<Item = Item<'a>> {
        self.items.iter().map(|item| Item::from(*item))
    }
}

impl<'a> Item<'a> {
    /// Fails only on what is no JSON.
    pub(super) fn read(body: &'a [u8]) -> serde_json::Result<Self> {
        serde_json::from_slice::<&RawValue>(body).map(|raw| Self::from(Some(raw)))
    }

    /// Namespace and name.
    pub(super) fn name(&self) -> (&str, &str) {
        match self {
            Self::Readable(object) => (&object.metadata.namespace, &object.metadata.name),
            Self::Unreadable(outline) => (&outline.namespace, &outline.name),
        }
    }

    /// Whether this bookmark ends the initial events of a streamed list.
    pub(super) fn ends_initial_events(&self) -> bool {
        let Self::Readable(object) = self else { return false };
        object.annotations().any(|annotation| annotation == (INITIAL_EVENTS_END, "true"))
    }

    pub(super) fn resource_version(&self) -> &str {
        match self {
            Self::Readable(object) => &object.metadata.resource_version,
            Self::Unreadable(outline) => &outline.resource_version,
        }
    }
}

impl<'a> From<Option<&'a RawValue>> for Item<'a> {
    fn from(raw: Option<&'a RawValue>) -> Self {
        let Some(raw) = raw else { return Self::Unreadable(Outline::default()) };
        serde_json::from_str(raw.get())
            .map_or_else(|_| Self::Unreadable(Outline::of(raw)), Self::Readable)
    }
}

impl Outline {
    /// Each field on its own: one that is no string leaves the others readable.
    fn of(object: &RawValue) -> Self {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Outer<'a> {
            #[serde(borrow)]
            metadata: Option<&'a RawValue>,
        }
        #[derive(Default, Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        struct Inner<'a> {
            #[serde(borrow)]
            namespace: Option<&'a RawValue>,
            #[serde(borrow)]
            name: Option<&'a RawValue>,
            #[serde(borrow)]
            resource_version: Option<&'a RawValue>,
        }
        let outer = serde_json::from_str::<Outer<'_>>(object.get()).unwrap_or_default();
        let inner = outer
            .metadata
            .and_then(|metadata| serde_json::from_str::<Inner<'_>>(metadata.get()).ok());
        let Inner { namespace, name, resource_version } = inner.unwrap_or_default();
        Self {
            namespace: text_of(namespace),
            name: text_of(name),
            resource_version: text_of(resource_version),
        }
    }
}

/// A text of an object, if it is one.
fn text_of(raw: Option<&RawValue>) -> String {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
}

impl Object<'_> {
    /// Its annotations, if any.
    pub(super) fn annotations(&self) -> impl Iterator<Item = (&str, &str)> {
        self.metadata
            .annotations
            .iter()
            .flat_map(|read| &read.0)
            .map(|(key, value)| (&**key, &**value))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Annotations<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnnotationsVisitor;
        impl<'de> Visitor<'de> for AnnotationsVisitor {
            type Value = Annotations<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(key) = map.next_key::<Text<'de>>()? {
                    // Also of the others the value is a string, or the object is not what it seems.
                    let value = map.next_value::<Option<Text<'de>>>()?.unwrap_or_default();
                    if may_be_ours(&key) || &*key == INITIAL_EVENTS_END {
                        pairs.push((key, value));
                    }
                }
                Ok(Annotations(pairs))
            }
            fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
                Ok(Annotations::default())
            }
        }
        deserializer.deserialize_map(AnnotationsVisitor)
    }
}

/// A line of a watch with one or the other reading of its object.
#[derive(Deserialize)]
struct Line<T> {
    #[serde(rename = "type")]
    kind: EventKind,
    #[serde(default)]
    object: T,
}

#[derive(Deserialize)]
struct List<'a> {
    #[serde(borrow)]
    metadata: PageMetadata<'a>,
    #[serde(borrow)]
    items: Option<Vec<Option<&'a RawValue>>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_nulls_and_unknown_types_are_read_past() {
        let line = r#"{"type":"ADDED","new":[{}],"object":{"kind":"PartialObjectMetadata",
            "metadata":{"name":"a","namespace":"n","annotations":null,
            "managedFields":[{"f:x":{}}],"resourceVersion":"7"},"status":{"x":1}}}"#;
        let event = Event::read(line.as_bytes()).unwrap();
        let Item::Readable(object) = &event.item else { panic!("{event:?}") };
        assert_eq!(
            (event.kind, &*object.metadata.name, object.annotations().count()),
            (EventKind::Added, "a", 0)
        );
        assert_eq!(
            Event::read(br#"{"type":"SURPRISE","object":{}}"#).unwrap().kind,
            EventKind::Unknown
        );
        let page = Page::read(br#"{"metadata":{"resourceVersion":"1"},"items":null}"#).unwrap();
        assert!(page.items().next().is_none() && page.metadata.next.is_empty());
    }

    #[test]
    fn fields_of_a_status_mean_nothing_on_an_object() {
        for fields in [
            r#""code":"x","message":1"#,
            r#""code":410,"message":"gone""#,
            r#""status":[],"kind":{}"#,
        ] {
            let line =
                format!(r#"{{"type":"ADDED","object":{{{fields},"metadata":{{"name":"a"}}}}}}"#);
            let event = Event::read(line.as_bytes()).unwrap();
            assert!(
                matches!(&event.item, Item::Readable(object) if &*object.metadata.name == "a"),
                "{event:?}"
            );
        }
        let refusal = br#"{"type":"ERROR",
            "object":{"kind":"Status","metadata":{},"code":410,"message":"gone"}}"#;
        assert_eq!(Event::read(refusal).unwrap().kind, EventKind::Error);
        let status = Status::of_event(refusal);
        assert_eq!((status.code, &*status.message), (410, "gone"));
    }

    #[test]
    fn of_an_unreadable_object_the_name_is_known_as_far_as_it_is_one() {
        for (object, namespace, name, version) in [
            (
                r#"{"metadata":{"name":"a","namespace":"n","resourceVersion":"7",
                    "annotations":{"x":1}}}"#,
                "n",
                "a",
                "7",
            ),
            (r#"{"metadata":{"name":"a","namespace":[],"resourceVersion":7}}"#, "", "a", ""),
            (r#"{"metadata":{"name":{"name":"a"}}}"#, "", "", ""),
            (r#"{"metadata":"a"}"#, "", "", ""),
            ("[1]", "", "", ""),
            ("null", "", "", ""),
        ] {
            let outline = Outline {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
                resource_version: version.to_owned(),
            };
            let line = format!(r#"{{"type":"ADDED","object":{object}}}"#);
            let event = Event::read(line.as_bytes()).unwrap();
            assert!(matches!(&event.item, Item::Unreadable(read) if *read == outline), "{event:?}");
            let list =
                format!(r#"{{"metadata":{{"resourceVersion":"9"}},"items":[{{}},{object},{{}}]}}"#);
            let page = Page::read(list.as_bytes()).unwrap();
            let items: Vec<_> = page.items().collect();
            assert!(matches!(&items[1], Item::Unreadable(read) if *read == outline), "{page:?}");
            assert!(matches!((&items[0], &items[2]), (Item::Readable(_), Item::Readable(_))));
        }
    }
}
