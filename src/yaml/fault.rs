//! Why a document is not YAML, in words of ours.

use granit_parser::{ErrorKind, ScanError};

/// What is wrong, and in which line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub(crate) struct Fault {
    /// Line in the file, from 1.
    pub(crate) line: usize,
    /// What is wrong.
    pub(crate) message: String,
    /// Whether the text is a template that was never rendered.
    pub(crate) template: bool,
}

impl Fault {
    pub(super) fn at(line: usize, message: &str) -> Self {
        Self { line, message: message.to_owned(), template: false }
    }
}

impl Fault {
    /// The same, or that the text is a template, if it is one.
    pub(super) fn in_text(self, text: &str) -> Self {
        Self { template: text.contains("{{"), ..self }
    }

    /// What to do about it.
    pub(crate) fn hint(&self) -> &'static str {
        if self.template {
            "{{ makes it a Helm template: render it with helm template"
        } else {
            "correct the file at or near this line"
        }
    }
}

const TAB: &str = "a tab where spaces must indent";

/// What the parser stumbled over.
pub(super) fn syntax(error: &ScanError, text: &str, first_line: usize) -> Fault {
    let (mut line, words) = (error.marker().line().max(1), words(error.kind()));
    // The parser may name the line before it.
    if words == TAB {
        line = tab_from(text, line).unwrap_or(line);
    }
    Fault::at(line + first_line - 1, words).in_text(text)
}

/// This line if it has a tab, else the first line after it that a tab indents.
fn tab_from(text: &str, line: usize) -> Option<usize> {
    let mut lines = text.lines().zip(1..).skip(line - 1);
    let found = lines.find(|(text, number)| {
        let indents = text.trim_start_matches(' ').starts_with('\t');
        indents || *number == line && text.contains('\t')
    });
    found.map(|(_, number)| number)
}

/// The parser's kinds of error, as far as the difference helps.
fn words(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabAtBlockScalarStart
        | ErrorKind::TabInPlainScalar => TAB,
        ErrorKind::UnclosedQuotedScalar => "a quote that is never closed",
        ErrorKind::UnclosedFlowCollection { .. }
        | ErrorKind::UnexpectedEofFlowSequence
        | ErrorKind::UnexpectedEofFlowMapping
        | ErrorKind::UnexpectedEofImplicitFlowMapping => "a bracket that is never closed",
        ErrorKind::ExpectedFlowMappingSeparator | ErrorKind::ExpectedFlowSequenceSeparator => {
            "a comma or a closing bracket is missing"
        }
        ErrorKind::MisplacedFlowCollectionEnd | ErrorKind::MismatchedFlowCollectionEnd { .. } => {
            "a closing bracket that closes nothing"
        }
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => {
            "a line that is not \"key: value\": the colon is missing"
        }
        ErrorKind::MappingValueNotAllowed => {
            "a colon where no key can be; quote a value that holds \": \""
        }
        ErrorKind::InvalidIndentation
        | ErrorKind::ExpectedBlockMappingKey
        | ErrorKind::ExpectedBlockSequenceEntry
        | ErrorKind::InvalidBlockScalarIndent
        | ErrorKind::InvalidQuotedScalarIndent
        | ErrorKind::InvalidFlowScalarIndent
        | ErrorKind::BlockSequenceEntryNotAllowed => {
            "a line that is not indented like those beside it"
        }
        ErrorKind::UnknownAnchor => "an alias (*name) without its anchor (&name)",
        ErrorKind::UnexpectedCharacter { .. } => {
            "a value that begins with a character reserved in YAML; quote it"
        }
        ErrorKind::UnknownQuotedScalarEscape | ErrorKind::InvalidQuotedScalarHexEscape => {
            "an unknown escape within double quotes; use single quotes for a literal backslash"
        }
        ErrorKind::RecursionLimitExceeded => "deeper nesting than any manifest has",
        _ => "this is not YAML",
    }
}
