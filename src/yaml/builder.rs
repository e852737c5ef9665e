//! The value of a document, from its events.

use super::fault::Fault;
use super::scalar::{self, Scalar};
use granit_parser::{Event, ScalarStyle, Tag};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

/// Most nodes of a document with its aliases written out: what a file can hold without them, and no
/// bomb.
const MAX_NODES: usize = 1 << 22;
/// Most bytes of text that aliases may add.
const MAX_ALIAS_BYTES: usize = 64 << 20;
/// Deepest nesting with aliases written out.
const MAX_DEPTH: usize = 256;

/// A key that stands a second time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RepeatedKey {
    /// Where: `spec.nodeSelector`.
    pub(crate) path: String,
    /// Line of the one that counts, from 1.
    pub(crate) line: usize,
}

/// A boolean or number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Written {
    /// Its text.
    pub(crate) text: String,
    /// Its line, from 1.
    pub(crate) line: usize,
}

/// A document that is being read.
#[derive(Default)]
pub(super) struct Builder {
    pub(super) root: Value,
    open: Vec<Open>,
    anchors: HashMap<usize, Value>,
    nodes: usize,
    alias_bytes: usize,
    pub(super) repeated: Vec<RepeatedKey>,
    pub(super) written: HashMap<String, Written>,
    /// First lines of the document and of the `items` in it, by JSON pointer.
    pub(super) lines: HashMap<String, usize>,
}

/// A collection whose end has not come yet.
struct Open {
    anchor: usize,
    content: Content,
}

enum Content {
    Sequence(Vec<Value>),
    Mapping {
        fields: Map<String, Value>,
        /// Keys of this map itself, not of a merged one.
        own: HashSet<String>,
        key: Option<Key>,
    },
}

enum Key {
    Name(String),
    /// `<<`.
    Merge,
}

impl Builder {
    /// Takes one event in.
    pub(super) fn add(&mut self, event: Event<'_>, line: usize) -> Result<(), Fault> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.scalar(&text, style, anchor, tag.as_deref(), line)?;
            }
            Event::SequenceStart(_, anchor, _) => {
                self.start(anchor, Content::Sequence(Vec::new()), line)?;
            }
            Event::MappingStart(_, anchor, _) => {
                let (fields, own) = (Map::new(), HashSet::new());
                self.start(anchor, Content::Mapping { fields, own, key: None }, line)?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(open) = self.open.pop() else { return Ok(()) };
                let value = match open.content {
                    Content::Sequence(items) => Value::Array(items),
                    Content::Mapping { fields, .. } => Value::Object(fields),
                };
                self.place(value, open.anchor, line)?;
            }
            Event::Alias(anchor) => {
                // Of a collection that is still open there is no value yet.
                let value = self
                    .anchors
                    .get(&anchor)
                    .cloned()
                    .ok_or_else(|| Fault::at(line, "an alias within its own anchor"))?;
                self.count_alias(&value, 0, line)?;
                if !self.is_merge() && self.expects_key() {
                    let name = match value {
                        Value::String(name) => Some(name),
                        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
                        _ => None,
                    };
                    let name = name.ok_or_else(|| Fault::at(line, NOT_A_KEY))?;
                    self.key(Key::Name(name), line);
                } else {
                    self.place(value, 0, line)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        line: usize,
    ) -> Result<(), Fault> {
        self.count_node(line)?;
        let resolved = resolve(text, style, tag)
            .ok_or_else(|| Fault::at(line, "a tag that its value does not fit"))?;
        if self.expects_key() {
            let merge = text == "<<" && style == ScalarStyle::Plain && tag.is_none();
            let name = scalar::to_key(&resolved, text).ok_or_else(|| Fault::at(line, NOT_A_KEY))?;
            if anchor != 0 {
                self.anchors.insert(anchor, Value::String(name.clone()));
            }
            self.key(if merge { Key::Merge } else { Key::Name(name) }, line);
            return Ok(());
        }
        let value = scalar::to_json(&resolved, text);
        let value =
            value.ok_or_else(|| Fault::at(line, "infinity or NaN, which JSON does not have"))?;
        if matches!(resolved, Scalar::Bool(_) | Scalar::Int(_) | Scalar::Float(_)) {
            self.written.insert(self.pointer(), Written { text: text.to_owned(), line });
        }
        self.place(value, anchor, line)
    }

    fn start(&mut self, anchor: usize, content: Content, line: usize) -> Result<(), Fault> {
        self.count_node(line)?;
        if self.expects_key() {
            return Err(Fault::at(line, NOT_A_KEY));
        }
        if matches!(content, Content::Mapping { .. }) && self.may_be_object() {
            self.lines.insert(self.pointer(), line);
        }
        self.open.push(Open { anchor, content });
        Ok(())
    }

    /// Whether the next value is the document or an element of `items`.
    fn may_be_object(&self) -> bool {
        match self.open.as_slice() {
            [] => true,
            [
                ..,
                Open { content: Content::Mapping { key: Some(Key::Name(name)), .. }, .. },
                Open { content: Content::Sequence(_), .. },
            ] => name == "items",
            _ => false,
        }
    }

    fn expects_key(&self) -> bool {
        matches!(self.open.last(), Some(Open { content: Content::Mapping { key: None, .. }, .. }))
    }

    fn is_merge(&self) -> bool {
        matches!(
            self.open.last(),
            Some(Open { content: Content::Mapping { key: Some(Key::Merge), .. }, .. })
        )
    }

    fn key(&mut self, next: Key, line: usize) {
        let repeats = match (&next, self.open.last()) {
            (Key::Name(name), Some(Open { content: Content::Mapping { own, .. }, .. })) => {
                own.contains(name)
            }
            _ => false,
        };
        if let Some(Open { content: Content::Mapping { own, key, .. }, .. }) = self.open.last_mut()
        {
            if let Key::Name(name) = &next {
                own.insert(name.clone());
            }
            *key = Some(next);
        }
        if repeats {
            // What stood there before is gone, with all below it.
            let pointer = self.pointer();
            let below = format!("{pointer}/");
            self.written.retain(|path, _| *path != pointer && !path.starts_with(&below));
            self.repeated.push(RepeatedKey { path: self.path(), line });
        }
    }

    /// A complete value, where the next one belongs.
    fn place(&mut self, value: Value, anchor: usize, line: usize) -> Result<(), Fault> {
        // 0 is the parser's "no anchor".
        if anchor != 0 {
            self.anchors.insert(anchor, value.clone());
        }
        match self.open.last_mut().map(|open| &mut open.content) {
            None => self.root = value,
            Some(Content::Sequence(items)) => items.push(value),
            Some(Content::Mapping { fields, key, .. }) => match key.take() {
                Some(Key::Name(name)) => {
                    fields.insert(name, value);
                }
                Some(Key::Merge) => {
                    return merge(fields, value)
                        .ok_or_else(|| Fault::at(line, "<< merges maps only"));
                }
                None => {}
            },
        }
        Ok(())
    }

    fn count_node(&mut self, line: usize) -> Result<(), Fault> {
        self.nodes += 1;
        let few = self.nodes <= MAX_NODES && self.open.len() <= MAX_DEPTH;
        if few {
            Ok(())
        } else {
            Err(Fault::at(line, "more nodes, or deeper ones, than any manifest has"))
        }
    }

    fn count_alias(&mut self, value: &Value, depth: usize, line: usize) -> Result<(), Fault> {
        self.nodes += 1;
        let depth = depth + 1;
        match value {
            Value::String(text) => self.alias_bytes += text.len(),
            Value::Array(items) => {
                items.iter().try_for_each(|item| self.count_alias(item, depth, line))?;
            }
            Value::Object(fields) => fields.iter().try_for_each(|(key, item)| {
                self.alias_bytes += key.len();
                self.count_alias(item, depth, line)
            })?,
            _ => {}
        }
        let few = self.nodes <= MAX_NODES && self.alias_bytes <= MAX_ALIAS_BYTES;
        let flat = self.open.len() + depth <= 2 * MAX_DEPTH;
        if few && flat {
            Ok(())
        } else {
            Err(Fault::at(line, "aliases that make the document too large"))
        }
    }

    /// Where the next value belongs, as a JSON pointer.
    fn pointer(&self) -> String {
        let mut pointer = String::new();
        for open in &self.open {
            pointer.push('/');
            match &open.content {
                Content::Sequence(items) => pointer += &items.len().to_string(),
                Content::Mapping { key: Some(Key::Name(name)), .. } => {
                    pointer += &name.replace('~', "~0").replace('/', "~1");
                }
                Content::Mapping { .. } => pointer += "<<",
            }
        }
        pointer
    }

    /// The same as a person writes it.
    fn path(&self) -> String {
        let mut path = String::new();
        for open in &self.open {
            match &open.content {
                Content::Sequence(items) => path += &format!("[{}]", items.len()),
                Content::Mapping { key: Some(Key::Name(name)), .. } if path.is_empty() => {
                    path += name;
                }
                Content::Mapping { key: Some(Key::Name(name)), .. } => path = path + "." + name,
                Content::Mapping { .. } => path += ".<<",
            }
        }
        path
    }
}

const NOT_A_KEY: &str = "a key that is null, a list or a map";

/// What kubectl's merge gives: entries of the merged map replace what stands above it, and give way
/// to what follows. Of several maps the first wins.
fn merge(fields: &mut Map<String, Value>, merged: Value) -> Option<()> {
    match merged {
        Value::Object(merged) => fields.extend(merged),
        Value::Array(maps) => {
            for map in maps.into_iter().rev() {
                let Value::Object(map) = map else { return None };
                fields.extend(map);
            }
        }
        _ => return None,
    }
    Some(())
}

/// `None` where an explicit tag does not fit.
fn resolve(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Option<Scalar> {
    // A tag of another namespace, and a lone `!`, make text of anything.
    let name: Option<Cow<'_, str>> =
        tag.map(|tag| tag.suffix_in_namespace("tag:yaml.org,2002:").unwrap_or_default());
    let Some(name) = name else {
        return Some(if style == ScalarStyle::Plain {
            scalar::resolve(text)
        } else {
            Scalar::Text
        });
    };
    let resolved = scalar::resolve(text);
    match (name.as_ref(), &resolved) {
        ("int", Scalar::Int(_))
        | ("float", Scalar::Float(_))
        | ("bool", Scalar::Bool(_))
        | ("null", Scalar::Null) => Some(resolved),
        #[allow(clippy::cast_precision_loss)] // as Go does
        ("float", Scalar::Int(value)) => Some(Scalar::Float(*value as f64)),
        ("int" | "float" | "bool" | "null" | "binary", _) => None,
        _ => Some(Scalar::Text),
    }
}
