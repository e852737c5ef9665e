//! One YAML document, read the way the Azure provider reads it (Go's yaml.v3 into strings and one
//! int32).
//!
//! Scalars keep their source text (`0755` stays `0755`), an untagged `null`, `~` or nothing at all
//! leaves a field alone, keys are case-sensitive and must not repeat. A deserialiser that decides
//! on types first would lose the text; so this reads events.

use super::scalar;
use crate::yaml;
use granit_parser::{ErrorKind, Event, ScalarStyle, ScanError, Tag};
use std::borrow::Cow;
use std::collections::HashMap;

/// A parsed document. Nodes refer to each other by position, so an alias costs nothing and a cycle
/// is harmless.
pub(super) struct Document<'t> {
    nodes: Vec<Node<'t>>,
    root: Option<NodeId>,
}

/// Position of a node in its document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NodeId(usize);

struct Node<'t> {
    line: usize,
    content: Content<'t>,
}

enum Content<'t> {
    Scalar { text: Cow<'t, str>, style: Style },
    Sequence(Vec<NodeId>),
    Mapping(Vec<(NodeId, NodeId)>),
}

enum Style {
    Plain,
    /// Quoted, a block, or tagged as a string: a string whatever it looks like.
    Text,
    /// Tagged `!!binary`: base64.
    Binary,
}

/// Why a document, or a part of it, cannot be read; the texts are yaml.v3's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum YamlError {
    /// Not YAML.
    #[error("yaml: line {line}: {message}")]
    Syntax {
        /// Line, from 1.
        line: usize,
        /// The parser's own words.
        message: String,
    },
    /// A value of the wrong kind.
    #[error("yaml: unmarshal errors: line {line}: cannot unmarshal {found} into {into}")]
    Kind {
        /// Line, from 1.
        line: usize,
        /// Tag, and the start of the value of a scalar.
        found: String,
        /// Go's name of what was wanted.
        into: &'static str,
    },
    /// The same key twice.
    #[error(
        "yaml: unmarshal errors: line {line}: mapping key {key:?} already defined at line {first}"
    )]
    DuplicateKey {
        /// Line, from 1.
        line: usize,
        /// The key.
        key: String,
        /// Where it stands first.
        first: usize,
    },
    /// A scalar in base64, `!!binary`.
    #[error("yaml: line {line}: !!binary is not supported here")]
    Binary {
        /// Line, from 1.
        line: usize,
    },
    /// More values than anything that is read here has.
    #[error("yaml: line {line}: the document has more than {limit} values")]
    TooMany {
        /// Line of the first that is too much, from 1.
        line: usize,
        /// The limit.
        limit: usize,
    },
    /// A merge key, `<<`.
    #[error("yaml: line {line}: a merge key (<<) is not supported here")]
    Merge {
        /// Line, from 1.
        line: usize,
    },
}

impl<'t> Document<'t> {
    /// Parses the first document of `text`; anything behind it is ignored, as yaml.v3 does. What
    /// has more than `most_values` scalars, lists, maps and aliases is not read to its end.
    pub(super) fn parse(text: &'t str, most_values: usize) -> Result<Self, YamlError> {
        let mut builder = Builder::default();
        let mut too_many = None;
        let read = yaml::events(text, |event, line| {
            if matches!(event, Event::StreamStart) {
                builder = Builder::default();
            }
            let is_complete = builder.add(event, line);
            if builder.values > most_values && too_many.is_none() {
                too_many = Some(line);
            }
            is_complete || too_many.is_some()
        });
        if let Some(line) = too_many {
            return Err(YamlError::TooMany { line, limit: most_values });
        }
        read.map_err(|error| syntax(&error))?;
        Ok(Self { nodes: builder.nodes, root: builder.root })
    }

    /// The top node; `None` if the document is empty or null.
    pub(super) fn root(&self) -> Option<NodeId> {
        self.root.filter(|root| !self.is_null(*root))
    }

    /// Keys and values of the top mapping; none if the document is empty. `into` is what it is read
    /// into, for the error.
    pub(super) fn fields(&self, into: &'static str) -> Result<Vec<(&str, NodeId)>, YamlError> {
        self.root().map_or_else(|| Ok(Vec::new()), |root| self.fields_of(root, into))
    }

    /// Keys and values of a mapping; none if it is null.
    pub(super) fn fields_of(
        &self,
        id: NodeId,
        into: &'static str,
    ) -> Result<Vec<(&str, NodeId)>, YamlError> {
        let Content::Mapping(pairs) = &self.node(id).content else {
            return if self.is_null(id) { Ok(Vec::new()) } else { Err(self.kind_error(id, into)) };
        };
        let mut first_lines = HashMap::new();
        let mut fields = Vec::new();
        for (key, value) in pairs {
            let line = self.node(*key).line;
            let Content::Scalar { text, style } = &self.node(*key).content else {
                return Err(self.kind_error(*key, "string"));
            };
            if let Some(first) = first_lines.insert(text.as_ref(), line) {
                return Err(YamlError::DuplicateKey { line, key: text.to_string(), first });
            }
            if matches!(style, Style::Plain) && text == "<<" {
                return Err(YamlError::Merge { line });
            }
            if let Some(name) = self.string(*key)? {
                fields.push((name, *value));
            }
        }
        Ok(fields)
    }

    /// The elements of a list; none if it is null.
    pub(super) fn items(&self, id: NodeId) -> Result<&[NodeId], YamlError> {
        match &self.node(id).content {
            Content::Sequence(items) => Ok(items),
            _ if self.is_null(id) => Ok(&[]),
            _ => Err(self.kind_error(id, "[]string")),
        }
    }

    /// The elements of a node that is a list.
    pub(super) fn sequence(&self, id: NodeId) -> Option<&[NodeId]> {
        match &self.node(id).content {
            Content::Sequence(items) => Some(items),
            _ => None,
        }
    }

    /// The source text of a scalar; `None` if it is null.
    pub(super) fn string(&self, id: NodeId) -> Result<Option<&str>, YamlError> {
        match &self.node(id).content {
            Content::Scalar { style: Style::Binary, .. } => {
                Err(YamlError::Binary { line: self.node(id).line })
            }
            Content::Scalar { text, .. } => Ok(Some(text.as_ref()).filter(|_| !self.is_null(id))),
            _ => Err(self.kind_error(id, "string")),
        }
    }

    /// A plain scalar that is a number, fraction dropped; `None` if it is null.
    pub(super) fn int32(&self, id: NodeId) -> Result<Option<i32>, YamlError> {
        let Some(text) = self.string(id).map_err(|error| match error {
            YamlError::Kind { line, found, .. } => YamlError::Kind { line, found, into: "int32" },
            other => other,
        })?
        else {
            return Ok(None);
        };
        let plain = matches!(&self.node(id).content, Content::Scalar { style: Style::Plain, .. });
        let number =
            scalar::integer(text).filter(|_| plain).and_then(|number| i32::try_from(number).ok());
        number.map(Some).ok_or_else(|| self.kind_error(id, "int32"))
    }

    fn node(&self, id: NodeId) -> &Node<'t> {
        &self.nodes[id.0]
    }

    fn is_null(&self, id: NodeId) -> bool {
        let Content::Scalar { text, style: Style::Plain } = &self.node(id).content else {
            return false;
        };
        matches!(text.as_ref(), "" | "~" | "null" | "Null" | "NULL")
    }

    fn kind_error(&self, id: NodeId, into: &'static str) -> YamlError {
        let node = self.node(id);
        let found = match &node.content {
            Content::Sequence(_) => "!!seq".to_owned(),
            Content::Mapping(_) => "!!map".to_owned(),
            Content::Scalar { text, style } => {
                // yaml.v3 shows at most ten bytes of a value.
                let shown = if text.len() > 10 {
                    format!("{}...", text.chars().take(7).collect::<String>())
                } else {
                    text.to_string()
                };
                format!("{} `{shown}`", tag_of(text, style))
            }
        };
        YamlError::Kind { line: node.line, found, into }
    }
}

/// Builds the tree from events, without recursion: nesting is limited by the parser, not by the
/// stack.
#[derive(Default)]
struct Builder<'t> {
    nodes: Vec<Node<'t>>,
    root: Option<NodeId>,
    open: Vec<(NodeId, Option<NodeId>)>,
    anchors: HashMap<usize, NodeId>,
    /// Placed so far, aliases too.
    values: usize,
}

impl<'t> Builder<'t> {
    /// Takes one event in; true at the end of the document.
    fn add(&mut self, event: Event<'t>, line: usize) -> bool {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let style = Style::of(style, tag.as_deref());
                self.place(Node { line, content: Content::Scalar { text, style } }, anchor);
            }
            Event::SequenceStart(_, anchor, _) => {
                let id = self.place(Node { line, content: Content::Sequence(Vec::new()) }, anchor);
                self.open.push((id, None));
            }
            Event::MappingStart(_, anchor, _) => {
                let id = self.place(Node { line, content: Content::Mapping(Vec::new()) }, anchor);
                self.open.push((id, None));
            }
            Event::SequenceEnd | Event::MappingEnd => {
                self.open.pop();
            }
            Event::Alias(anchor) => {
                if let Some(id) = self.anchors.get(&anchor) {
                    self.attach(*id);
                }
            }
            Event::DocumentEnd => return true,
            _ => {}
        }
        false
    }

    fn place(&mut self, node: Node<'t>, anchor: usize) -> NodeId {
        let id = NodeId(self.nodes.len());
        self.nodes.push(node);
        // 0 is the parser's "no anchor".
        if anchor != 0 {
            self.anchors.insert(anchor, id);
        }
        self.attach(id);
        id
    }

    fn attach(&mut self, id: NodeId) {
        self.values += 1;
        let Some((parent, key)) = self.open.last_mut() else {
            self.root = Some(id);
            return;
        };
        match (&mut self.nodes[parent.0].content, key.take()) {
            (Content::Sequence(items), _) => items.push(id),
            (Content::Mapping(pairs), Some(name)) => pairs.push((name, id)),
            (Content::Mapping(_), None) => *key = Some(id),
            (Content::Scalar { .. }, _) => {}
        }
    }
}

impl Style {
    fn of(style: ScalarStyle, tag: Option<&Tag>) -> Self {
        // A lone `!` says nothing.
        let tag = tag.filter(|tag| tag.original() != "!");
        match tag.map(|tag| tag.suffix_in_namespace("tag:yaml.org,2002:")) {
            None if style == ScalarStyle::Plain => Self::Plain,
            Some(Some(name)) if name == "binary" => Self::Binary,
            // `!!int "5"` and its like are resolved from their text, quoted or not.
            Some(Some(name))
                if matches!(name.as_ref(), "int" | "float" | "bool" | "null" | "timestamp") =>
            {
                Self::Plain
            }
            _ => Self::Text,
        }
    }
}

fn syntax(error: &ScanError) -> YamlError {
    // yaml.v3's words where the parser has others.
    let message = match error.kind() {
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => {
            "could not find expected ':'".to_owned()
        }
        kind => kind.to_string(),
    };
    YamlError::Syntax { line: error.marker().line(), message }
}

/// The tag yaml.v3 would name in an error.
fn tag_of(text: &str, style: &Style) -> &'static str {
    match style {
        Style::Plain => scalar::tag(text),
        Style::Binary => "!!binary",
        Style::Text => "!!str",
    }
}

#[cfg(test)]
#[path = "document_tests.rs"]
mod tests;
