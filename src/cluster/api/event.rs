//! What the API server sends, borrowed from its bytes: of each object only what a cache keeps.

use crate::admission::pod::{StringMap, Text};
use serde::Deserialize;
use serde_json::value::RawValue;

/// One line of a watch.
#[derive(Debug, Deserialize)]
pub(super) struct Event<'a> {
    #[serde(rename = "type")]
    pub(super) kind: EventKind,
    #[serde(borrow, default)]
    pub(super) object: Object<'a>,
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

/// An object, or the Status that an error event carries in its place.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Object<'a> {
    #[serde(borrow)]
    pub(super) metadata: Metadata<'a>,
    /// As it stands; absent where only metadata was asked for.
    #[serde(borrow)]
    pub(super) spec: Option<&'a RawValue>,
    /// Of a Status.
    pub(super) code: Option<u16>,
    /// Of a Status.
    #[serde(borrow)]
    pub(super) message: Option<Text<'a>>,
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
    pub(super) annotations: Option<StringMap<'a>>,
}

/// One page of a list.
#[derive(Debug, Deserialize)]
pub(super) struct Page<'a> {
    #[serde(borrow)]
    pub(super) metadata: PageMetadata<'a>,
    #[serde(borrow, default)]
    pub(super) items: Option<Vec<Object<'a>>>,
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

impl Object<'_> {
    /// Whether this bookmark ends the initial events of a streamed list.
    pub(super) fn ends_initial_events(&self) -> bool {
        let annotations = self.metadata.annotations.as_ref();
        annotations.and_then(|annotations| annotations.find("k8s.io/initial-events-end")) == Some("true")
    }

    /// Its annotations, if any.
    pub(super) fn annotations(&self) -> impl Iterator<Item = (&str, &str)> {
        self.metadata.annotations.iter().flat_map(StringMap::iter)
    }
}

/// Cuts a stream of chunks into lines; a line within one chunk is not copied.
#[derive(Debug, Default)]
pub(super) struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    /// An object is at most about 3 MiB in the API server's store; more than this is no event.
    const LIMIT_BYTES: usize = 8 << 20;
    /// A buffer that one large object made larger than this is given back.
    const KEEP_BYTES: usize = 16 << 10;

    /// Calls `each` with every line that is complete now. What is left when the stream breaks off was never an event.
    pub(super) fn feed<E: From<LineTooLong>>(
        &mut self,
        chunk: &[u8],
        mut each: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut pieces = chunk.split(|byte| *byte == b'\n');
        // `split` gives at least one piece; the last has no end yet.
        let rest = pieces.next_back().unwrap_or_default();
        for piece in pieces {
            if self.partial.is_empty() {
                each_line(piece, &mut each)?;
            } else {
                self.partial.extend_from_slice(piece);
                let line = std::mem::take(&mut self.partial);
                each_line(&line, &mut each)?;
                if line.capacity() <= Self::KEEP_BYTES {
                    self.partial = line;
                    self.partial.clear();
                }
            }
        }
        if self.partial.len() + rest.len() > Self::LIMIT_BYTES {
            return Err(LineTooLong.into());
        }
        self.partial.extend_from_slice(rest);
        Ok(())
    }
}

fn each_line<E>(line: &[u8], each: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
    if line.iter().all(u8::is_ascii_whitespace) { Ok(()) } else { each(line) }
}

/// No newline for more than 8 MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LineTooLong;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(chunks: &[&[u8]]) -> Vec<String> {
        let (mut splitter, mut read) = (Lines::default(), Vec::new());
        for chunk in chunks {
            let fed: Result<(), LineTooLong> = splitter.feed(chunk, |line| {
                read.push(String::from_utf8_lossy(line).into_owned());
                Ok(())
            });
            fed.unwrap();
        }
        read
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_where_chunks_are_cut(text in "[ab\n]{0,60}", cuts in prop::collection::vec(0usize..60, 0..8)) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &text.as_bytes()[pair[0]..pair[1]]).collect();
            let complete = text.rsplit_once('\n').map_or("", |(complete, _)| complete);
            let expected: Vec<_> = complete.split('\n').filter(|line| !line.is_empty()).map(str::to_owned).collect();
            prop_assert_eq!(lines(&chunks), expected);
        }
    }

    #[test]
    fn a_line_without_an_end_is_refused_at_the_limit() {
        let (mut splitter, chunk) = (Lines::default(), vec![b'x'; 1 << 20]);
        let fed = |splitter: &mut Lines| splitter.feed(&chunk, |_| Ok::<(), LineTooLong>(()));
        for _ in 0..8 {
            assert_eq!(fed(&mut splitter), Ok(()));
        }
        assert_eq!(fed(&mut splitter), Err(LineTooLong));
    }

    #[test]
    fn unknown_fields_nulls_and_unknown_types_are_read_past() {
        let line = r#"{"type":"ADDED","new":[{}],"object":{"kind":"PartialObjectMetadata","metadata":{"name":"a","namespace":"n",
            "annotations":null,"managedFields":[{"f:x":{}}],"resourceVersion":"7"},"status":{"x":1}}}"#;
        let event: Event<'_> = serde_json::from_str(line).unwrap();
        assert_eq!(
            (event.kind, &*event.object.metadata.name, event.object.annotations().count()),
            (EventKind::Added, "a", 0)
        );
        let event: Event<'_> = serde_json::from_str(r#"{"type":"SURPRISE","object":{}}"#).unwrap();
        assert_eq!(event.kind, EventKind::Unknown);
        let page: Page<'_> = serde_json::from_str(r#"{"metadata":{"resourceVersion":"1"},"items":null}"#).unwrap();
        assert!(page.items.is_none() && page.metadata.next.is_empty());
    }
}
