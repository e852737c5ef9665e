//! Where the nodes of a document stand in its text, for edits that leave the rest of it alone.

use granit_parser::{Event, Parser, ScalarStyle, StructureStyle};

/// A node and its place in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    /// Where it begins, behind its anchor and its tag.
    pub(crate) start: usize,
    /// Where it ends; of a block collection or a block scalar this says nothing.
    pub(crate) end: usize,
    pub(crate) kind: Kind,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Plain or quoted.
    Scalar,
    /// `|` or `>`.
    Block,
    Alias,
    Sequence {
        is_flow: bool,
        items: Vec<Node>,
    },
    Mapping {
        is_flow: bool,
        entries: Vec<Entry>,
    },
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_start: usize,
    pub(crate) key_end: usize,
    pub(crate) value: Node,
}

/// The first document of `text`; `None` where it cannot be told: broken text, keys that are not
/// scalars.
pub(crate) fn positions(text: &str) -> Option<Node> {
    let options = granit_parser::options! {
        emit_comments: false,
        block_scalar_eof_without_line_feed: true,
        bom_inside_document_as_content: true,
    };
    let mut open: Vec<Open> = Vec::new();
    for next in Parser::new_from_str_with_options(text, options) {
        let (event, span) = next.ok()?;
        let (start, end) = (span.start.byte_offset()?, span.end.byte_offset()?);
        let complete = match event {
            Event::Scalar(text, style, ..) => {
                if let Some(Open { key: key @ None, node, .. }) = open.last_mut()
                    && matches!(node.kind, Kind::Mapping { .. })
                {
                    *key = Some((text.into_owned(), start, end));
                    continue;
                }
                let is_block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
                let kind = if is_block { Kind::Block } else { Kind::Scalar };
                Node { start, end, kind }
            }
            Event::Alias(_) => Node { start, end, kind: Kind::Alias },
            Event::SequenceStart(style, ..) => {
                let is_flow = style == StructureStyle::Flow;
                let kind = Kind::Sequence { is_flow, items: Vec::new() };
                open.push(Open::of(Node { start, end, kind }));
                continue;
            }
            Event::MappingStart(style, ..) => {
                let is_flow = style == StructureStyle::Flow;
                let kind = Kind::Mapping { is_flow, entries: Vec::new() };
                open.push(Open::of(Node { start, end, kind }));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let mut node = open.pop()?.node;
                node.end = end;
                node
            }
            Event::DocumentEnd => return None,
            _ => continue,
        };
        let Some(parent) = open.last_mut() else { return Some(complete) };
        parent.take(complete)?;
    }
    None
}

/// A collection whose end has not come yet.
struct Open {
    node: Node,
    key: Option<(String, usize, usize)>,
}

impl Open {
    fn of(node: Node) -> Self {
        Self { node, key: None }
    }

    /// `None` where the node is a key.
    fn take(&mut self, value: Node) -> Option<()> {
        match &mut self.node.kind {
            Kind::Sequence { items, .. } => items.push(value),
            Kind::Mapping { entries, .. } => {
                let (key, key_start, key_end) = self.key.take()?;
                entries.push(Entry { key, key_start, key_end, value });
            }
            _ => {}
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_where_they_are_written() {
        let text = "é: &a 'x'\nlist:\n- {b: [1, 2]}\n- |\n  # text\nlast: *a\n";
        let Some(Node { kind: Kind::Mapping { is_flow: false, entries }, .. }) = positions(text)
        else {
            panic!()
        };
        assert_eq!(&text[entries[0].value.start..entries[0].value.end], "'x'");
        assert_eq!(&text[entries[2].key_start..entries[2].key_end], "last");
        let Kind::Sequence { items, .. } = &entries[1].value.kind else { panic!() };
        assert_eq!(&text[items[0].start..items[0].end], "{b: [1, 2]}");
        assert_eq!((&items[1].kind, &entries[2].value.kind), (&Kind::Block, &Kind::Alias));
        assert_eq!(positions("{a: 1}: b"), None);
        assert_eq!(positions("a: [1"), None);
        assert_eq!(positions(""), None);
    }
}
