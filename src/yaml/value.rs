//! One YAML document as the JSON that kubectl makes of it.

use super::builder::{Builder, RepeatedKey, Written};
use super::events::events;
use super::fault::{Fault, syntax};
use granit_parser::Event;
use serde_json::Value;
use std::collections::HashMap;

/// A document.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Parsed {
    /// What it says.
    pub(crate) value: Value,
    /// Keys that stand more than once in one map. The last one counts, as for kubectl.
    pub(crate) repeated: Vec<RepeatedKey>,
    /// Booleans and numbers as they are written, by JSON pointer.
    pub(crate) written: HashMap<String, Written>,
    /// First lines, from 1, of the document and of the `items` in it, by JSON pointer.
    pub(crate) lines: HashMap<String, usize>,
    /// First line of what follows the document in its text; kubectl does not read it, nor say so.
    pub(crate) unread_from: Option<usize>,
}

/// Reads the first document of `text`; line numbers are counted from `first_line`.
pub(crate) fn parse(text: &str, first_line: usize) -> Result<Parsed, Fault> {
    if let Some(line) = tab_indented(text) {
        return Err(
            Fault::at(line + first_line - 1, "a tab where spaces must indent").in_text(text)
        );
    }
    let mut builder = Builder::default();
    let (mut fault, mut done, mut unread_from) = (None, false, None);
    let read = events(text, |event, line| {
        let line = line + first_line - 1;
        match event {
            // A second attempt starts anew.
            Event::StreamStart => (builder, done) = (Builder::default(), false),
            Event::DocumentStart(..) if done => unread_from = Some(line),
            Event::DocumentEnd => done = true,
            event if !done => fault = builder.add(event, line).err(),
            _ => {}
        }
        fault.is_some() || unread_from.is_some()
    });
    if let Some(fault) = fault {
        return Err(fault.in_text(text));
    }
    match read {
        Err(error) if !done => return Err(syntax(&error, text, first_line)),
        Err(error) => unread_from = Some(error.marker().line().max(1) + first_line - 1),
        Ok(()) => {}
    }
    let Builder { root: value, repeated, written, lines, .. } = builder;
    Ok(Parsed { value, repeated, written, lines, unread_from })
}

/// The line of the first token, if a tab indents it: the parser takes that, and no other reader
/// does.
fn tab_indented(text: &str) -> Option<usize> {
    let mut lines =
        text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty() && !line.starts_with('#'));
    lines
        .next()
        .filter(|(line, _)| line.trim_start_matches(' ').starts_with('\t'))
        .map(|(_, line)| line)
}
