//! What is wrong with a document, and where.

use std::fmt;

/// Why a document could not be read: the field, what was expected there, and the byte. `Display`
/// says all of it.
#[derive(PartialEq, Eq)]
pub struct JsonError(Box<Details>);

#[derive(PartialEq, Eq)]
struct Details {
    problem: Problem,
    offset: usize,
    /// Innermost first.
    path: Vec<Step>,
}

#[derive(PartialEq, Eq)]
enum Step {
    Field(&'static str),
    Index(usize),
}

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The document ends in the middle of a value.
    #[error("unexpected end of the JSON text")]
    End,
    /// Something else than JSON allows here.
    #[error("invalid JSON, expected {0}")]
    Syntax(&'static str),
    /// Something after the document.
    #[error("invalid JSON, expected nothing more after the value")]
    Trailing,
    /// A control character in a string.
    #[error("control character in a string")]
    ControlCharacter,
    /// A backslash with something that is no escape, or half a surrogate pair.
    #[error("invalid escape in a string")]
    Escape,
    /// Not UTF-8.
    #[error("a string is not UTF-8")]
    Utf8,
    /// Nested deeper than [`super::DEPTH_LIMIT`].
    #[error("nested too deeply")]
    Depth,
    /// More list and map entries than [`super::ENTRY_LIMIT`].
    #[error("more than {} entries of lists and maps", super::ENTRY_LIMIT)]
    Entries,
    /// JSON, but of another type.
    #[error("invalid type: {found}, expected {expected}")]
    Type {
        /// What stands there.
        found: &'static str,
        /// What should.
        expected: &'static str,
    },
    /// A number that does not fit.
    #[error("the number is not a 64-bit integer")]
    Number,
    /// A field occurs twice.
    #[error("duplicate field")]
    Duplicate,
    /// A field that must be there is not.
    #[error("missing field `{0}`")]
    Missing(&'static str),
}

impl JsonError {
    pub(crate) fn new(problem: Problem, offset: usize) -> Self {
        Self(Box::new(Details { problem, offset, path: Vec::new() }))
    }

    /// The same, in a field.
    #[must_use]
    pub(crate) fn in_field(mut self, name: &'static str) -> Self {
        self.0.path.push(Step::Field(name));
        self
    }

    /// The same, in an element of a list.
    #[must_use]
    pub(crate) fn in_element(mut self, index: usize) -> Self {
        self.0.path.push(Step::Index(index));
        self
    }

    /// What is wrong.
    pub fn problem(&self) -> Problem {
        self.0.problem
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.path.iter().rev().enumerate() {
            match step {
                Step::Field(name) if position == 0 => f.write_str(name)?,
                Step::Field(name) => write!(f, ".{name}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        let separator = if self.0.path.is_empty() { "" } else { ": " };
        write!(f, "{separator}{} at byte {}", self.0.problem, self.0.offset)
    }
}

impl fmt::Debug for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JsonError({self})")
    }
}

impl std::error::Error for JsonError {}
