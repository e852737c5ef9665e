//! Why a template cannot be read, or cannot be filled.

use super::filter::{FILTERS, Filter};
use super::{MAX_DEPTH, MAX_OUTPUT_BYTES, MAX_STEPS, MAX_TEMPLATE_BYTES};

/// Why a template cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct TemplateError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong there.
    pub problem: TemplateProblem,
}

/// What is wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateProblem {
    /// Larger than the limit.
    #[error("the template is larger than {MAX_TEMPLATE_BYTES} bytes")]
    Size,
    /// Nested deeper than the limit.
    #[error("tags and expressions are nested more than {MAX_DEPTH} deep")]
    Depth,
    /// No end of a place, tag or comment.
    #[error("{open} has no {close}")]
    Unclosed {
        /// What begins it.
        open: &'static str,
        /// What ends it.
        close: &'static str,
    },
    /// Something else than what can stand here.
    #[error("{expected} is expected, found {found}")]
    Unexpected {
        /// What can stand here.
        expected: &'static str,
        /// What does.
        found: String,
    },
    /// A tag that does not exist.
    #[error("there is no tag {0:?}; the tags are if, elif, else, endif, for and endfor")]
    Tag(String),
    /// A tag that has no place here.
    #[error("{tag} is not inside {of}")]
    Astray {
        /// The tag.
        tag: &'static str,
        /// What it belongs to.
        of: &'static str,
    },
    /// A name that stands for nothing.
    #[error(
        "there is no variable {0:?}; a template has files[\"PATH\"], and inside of for the \
         variables of the loop"
    )]
    Variable(String),
    /// A loop over something else.
    #[error("a loop runs over files or files.items() only, found {0}")]
    Loop(String),
    /// A filter that does not exist.
    #[error("there is no filter {0:?}; the filters are {list}", list = filters())]
    Filter(String),
    /// A filter with other arguments than it takes.
    #[error("the filter {filter} takes {takes}")]
    Arguments {
        /// The filter.
        filter: &'static str,
        /// What it takes.
        takes: &'static str,
    },
}

fn filters() -> String {
    FILTERS.iter().map(|(name, ..)| *name).collect::<Vec<_>>().join(", ")
}

/// Why a template cannot be filled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct RenderError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong there.
    pub problem: RenderProblem,
}

/// What cannot be filled; never with a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderProblem {
    /// The volume has no such file.
    #[error("there is no file {0:?}")]
    Missing(String),
    /// A filter that cannot work on the value.
    #[error("the filter {} needs {needs}", filter.name())]
    Value {
        /// The filter.
        filter: Filter,
        /// What it needs.
        needs: &'static str,
    },
    /// Larger than the limit.
    #[error("the output is larger than {MAX_OUTPUT_BYTES} bytes")]
    Size,
    /// More work than the limit.
    #[error("the template takes more than {MAX_STEPS} steps")]
    Steps,
    /// There is no memory for it.
    #[error("there is not enough memory for the output")]
    Memory,
}
