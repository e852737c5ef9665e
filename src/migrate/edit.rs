//! From a document and what it is to say to the least edits of its text. Comments, order, quotes
//! and line breaks of everything else stay.

use crate::yaml::{self, Entry, Kind, Node};
use serde_json::{Map, Value, json};

/// Keys that stand first where a map gets them.
const FIRST: [&str; 2] = ["metadata", "serviceAccountName"];

/// One replacement of bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Edit {
    start: usize,
    end: usize,
    text: String,
}

/// The text of a document that says `wanted` instead of `old`; `None` where that takes more than
/// edits of lines, so a person must do it.
pub(super) fn edited(text: &str, old: &Value, wanted: &Value) -> Option<String> {
    let root = yaml::positions(text)?;
    let line_break = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let mut editor = Editor { text, line_break, edits: Vec::new() };
    editor.differ(&root, old, wanted)?;
    let mut edits = editor.edits;
    edits.sort_by_key(|edit| edit.start);
    let mut out = String::with_capacity(text.len() + 256);
    let mut at = 0;
    for edit in edits {
        out += text.get(at..edit.start)?;
        out += &edit.text;
        at = edit.end;
    }
    out += text.get(at..)?;
    Some(out)
}

struct Editor<'t> {
    text: &'t str,
    line_break: &'static str,
    edits: Vec<Edit>,
}

impl Editor<'_> {
    fn differ(&mut self, node: &Node, old: &Value, wanted: &Value) -> Option<()> {
        if old == wanted {
            return Some(());
        }
        match (&node.kind, old, wanted) {
            (Kind::Mapping { is_flow, entries }, Value::Object(old), Value::Object(wanted)) => {
                self.map(node, *is_flow, entries, old, wanted)
            }
            (Kind::Sequence { is_flow, items }, Value::Array(old), Value::Array(wanted)) => {
                self.list(*is_flow, items, old, wanted)
            }
            (Kind::Scalar, _, Value::String(_) | Value::Bool(_) | Value::Number(_)) => {
                let text = yaml::write(wanted).trim_end().to_owned();
                self.replace(node.start, node.end, text);
                Some(())
            }
            _ => None,
        }
    }

    fn map(
        &mut self,
        node: &Node,
        is_flow: bool,
        entries: &[Entry],
        old: &Map<String, Value>,
        wanted: &Map<String, Value>,
    ) -> Option<()> {
        for (key, value) in old {
            let entry = entry_of(entries, key);
            match wanted.get(key) {
                Some(wanted) if wanted == value => {}
                Some(wanted) => self.differ(&entry?.value, value, wanted)?,
                None => self.remove_entry(is_flow, entries, entry?)?,
            }
        }
        let (mut first, mut last) = (Map::new(), Map::new());
        for (key, value) in wanted.iter().filter(|(key, _)| !old.contains_key(*key)) {
            match entry_of(entries, key) {
                // It is there without a value.
                Some(entry) => self.fill(is_flow, entry, value)?,
                None if FIRST.contains(&key.as_str()) => {
                    first.insert(key.clone(), value.clone());
                }
                None => {
                    last.insert(key.clone(), value.clone());
                }
            }
        }
        if is_flow {
            first.extend(last);
            self.insert_into_flow(node, entries, &first);
            return Some(());
        }
        let column = self.column(entries.first()?.key_start);
        let begin = self.line_start(entries.first()?.key_start);
        if self.is_blank(begin, entries.first()?.key_start) {
            self.insert_lines(begin, column, &first);
        } else {
            first.append(&mut last);
            last = first;
        }
        let end = self.line_end(self.content_end(&entries.last()?.value, entries.last()?, column));
        self.insert_lines(end, column, &last);
        Some(())
    }

    fn list(
        &mut self,
        is_flow: bool,
        items: &[Node],
        old: &[Value],
        wanted: &[Value],
    ) -> Option<()> {
        if items.len() != old.len() {
            return None;
        }
        if old.len() == wanted.len() {
            let mut all = items.iter().zip(old.iter().zip(wanted));
            return all.try_for_each(|(item, (old, wanted))| self.differ(item, old, wanted));
        }
        let mut left = wanted.iter().peekable();
        let mut removed = Vec::new();
        for (index, value) in old.iter().enumerate() {
            match left.next_if(|wanted| *wanted == value || has_same_name(wanted, value)) {
                Some(wanted) => self.differ(&items[index], value, wanted)?,
                None if is_flow => removed.push(index),
                None => self.remove_item(&items[index])?,
            }
        }
        self.remove_flow_items(items, &removed);
        left.next().is_none().then_some(())
    }

    fn insert_lines(&mut self, at: usize, column: usize, fields: &Map<String, Value>) {
        if fields.is_empty() {
            return;
        }
        let block = yaml::write(&Value::Object(fields.clone()));
        let mut text = String::new();
        if at > 0 && !self.text[..at].ends_with('\n') {
            text += self.line_break;
        }
        for line in block.lines() {
            if !line.is_empty() {
                text.extend(std::iter::repeat_n(' ', column));
            }
            text += line;
            text += self.line_break;
        }
        if at == self.text.len() && !self.text.ends_with('\n') {
            text.truncate(text.len() - self.line_break.len());
        }
        self.replace(at, at, text);
    }

    fn insert_into_flow(&mut self, node: &Node, entries: &[Entry], fields: &Map<String, Value>) {
        if fields.is_empty() {
            return;
        }
        let fields: Vec<String> =
            fields.iter().map(|(key, value)| format!("{}: {value}", json!(key))).collect();
        let Some(first) = entries.first() else {
            self.replace(node.start + 1, node.start + 1, fields.join(", "));
            return;
        };
        // As the fields beside them: each on a line, or all on one.
        let begin = self.line_start(first.key_start);
        let separator = if begin > node.start && self.is_blank(begin, first.key_start) {
            format!(",{}{}", self.line_break, &self.text[begin..first.key_start])
        } else {
            ", ".to_owned()
        };
        let at = first.key_start;
        let text = fields.into_iter().map(|field| field + &separator).collect();
        self.replace(at, at, text);
    }

    /// Gives a key that has no value one.
    fn fill(&mut self, is_flow: bool, entry: &Entry, value: &Value) -> Option<()> {
        let Kind::Scalar = entry.value.kind else { return None };
        let is_empty = entry.value.start == entry.value.end;
        if is_flow || !value.is_object() {
            if is_empty {
                return None;
            }
            self.replace(entry.value.start, entry.value.end, value.to_string());
            return Some(());
        }
        if !is_empty {
            self.replace(entry.value.start, entry.value.end, String::new());
        }
        let column = self.column(entry.key_start) + 2;
        self.insert_lines(self.line_end(entry.key_end), column, value.as_object()?);
        Some(())
    }

    fn remove_entry(&mut self, is_flow: bool, entries: &[Entry], entry: &Entry) -> Option<()> {
        let index = entries.iter().position(|other| other.key_start == entry.key_start)?;
        if is_flow {
            match (entries.get(index + 1), index.checked_sub(1)) {
                (Some(next), _) => self.replace(entry.key_start, next.key_start, String::new()),
                (None, Some(before)) => {
                    self.replace(entries[before].value.end, entry.value.end, String::new());
                }
                (None, None) => self.replace(entry.key_start, entry.value.end, String::new()),
            }
            return Some(());
        }
        let start = self.line_start(entry.key_start);
        let column = self.column(entry.key_start);
        let end = self.line_end(self.content_end(&entry.value, entry, column));
        self.is_blank(start, entry.key_start).then(|| self.replace(start, end, String::new()))
    }

    fn remove_item(&mut self, item: &Node) -> Option<()> {
        let start = self.line_start(item.start);
        let before = self.text[start..item.start].trim();
        let dash = self.text[start..item.start].find('-')?;
        let end = self.line_end(self.end_of(item, dash));
        (before == "-").then(|| self.replace(start, end, String::new()))
    }

    /// Each goes with the comma behind it, the last ones with the comma before them.
    fn remove_flow_items(&mut self, items: &[Node], removed: &[usize]) {
        let last_kept = (0..items.len()).rfind(|index| !removed.contains(index));
        for index in removed {
            match (last_kept, items.get(index + 1)) {
                (Some(kept), Some(next)) if *index < kept => {
                    self.replace(items[*index].start, next.start, String::new());
                }
                _ => {}
            }
        }
        let Some(last) = items.last().filter(|_| removed.last() == Some(&(items.len() - 1))) else {
            return;
        };
        let start = last_kept.map_or_else(|| items[0].start, |kept| items[kept].end);
        self.replace(start, last.end, String::new());
    }

    fn replace(&mut self, start: usize, end: usize, text: String) {
        self.edits.push(Edit { start, end, text });
    }

    /// Where the content of a value ends, whose key begins at `column`.
    fn content_end(&self, value: &Node, entry: &Entry, column: usize) -> usize {
        let is_empty = value.kind == Kind::Scalar && value.start == value.end;
        if is_empty { entry.key_end } else { self.end_of(value, column) }
    }

    fn end_of(&self, node: &Node, column: usize) -> usize {
        match &node.kind {
            Kind::Mapping { is_flow: false, entries } => match entries.last() {
                Some(last) => self.content_end(&last.value, last, self.column(last.key_start)),
                None => node.end,
            },
            Kind::Sequence { is_flow: false, items } => match items.last() {
                Some(last) => {
                    let start = self.line_start(last.start);
                    let dash = self.text[start..last.start].rfind('-').unwrap_or(column);
                    self.end_of(last, dash)
                }
                None => node.end,
            },
            // Its lines are indented further than what it belongs to.
            Kind::Block => {
                let mut end = self.line_end(node.start);
                let mut at = end;
                for line in self.text[end..].split_inclusive('\n') {
                    at += line.len();
                    if line.trim().is_empty() {
                        continue;
                    }
                    if line.len() - line.trim_start_matches(' ').len() <= column {
                        break;
                    }
                    end = at;
                }
                end - usize::from(self.text[..end].ends_with('\n'))
            }
            _ => node.end,
        }
    }

    fn line_start(&self, at: usize) -> usize {
        self.text[..at].rfind('\n').map_or(0, |line_break| line_break + 1)
    }

    /// Behind the line break.
    fn line_end(&self, at: usize) -> usize {
        self.text[at..].find('\n').map_or(self.text.len(), |line_break| at + line_break + 1)
    }

    fn column(&self, at: usize) -> usize {
        at - self.line_start(at)
    }

    fn is_blank(&self, start: usize, end: usize) -> bool {
        self.text[start..end].trim().is_empty()
    }
}

/// The entry of a key; the last one counts.
fn entry_of<'e>(entries: &'e [Entry], key: &str) -> Option<&'e Entry> {
    entries.iter().rfind(|entry| entry.key == key)
}

fn has_same_name(one: &Value, other: &Value) -> bool {
    one["name"].as_str().is_some_and(|name| other["name"] == name)
}

#[cfg(test)]
#[path = "edit_tests.rs"]
mod tests;
