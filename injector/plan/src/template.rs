//! A text with places that are filled from the files of a volume: a small subset of Jinja.
//!
//! ```text
//! DATABASE_URL=postgres://app:{{ files["db-password"] | urlencode }}@db/app
//! {% for path, value in files.items() %}{{ path | env }}={{ value | dotenv }}
//! {% endfor %}
//! ```
//!
//! A template knows nothing but the files: no time, network, other files or other templates. It has
//! no functions and no recursion. Output and work are bounded.

mod error;
mod escape;
mod expression;
mod filter;
mod parse;
mod render;
mod scan;
#[cfg(test)]
mod tests;
mod text;

pub use error::{RenderError, RenderProblem, TemplateError, TemplateProblem};
pub use filter::FILTERS;
pub use text::Text;

use expression::Expression;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use zeroize::Zeroizing;

/// Longest text of a template, in bytes.
pub const MAX_TEMPLATE_BYTES: usize = 32 * 1024;
/// Most templates of a volume.
pub const MOST_TEMPLATES: usize = 16;
/// Most bytes that a template writes, and that a value has on the way.
pub const MAX_OUTPUT_BYTES: usize = 1024 * 1024;
/// Most nodes and filters that one rendering works through.
const MAX_STEPS: usize = 100_000;
/// Deepest nesting of tags and expressions.
const MAX_DEPTH: usize = 24;

/// A template that was read without an error.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Template {
    text: String,
    nodes: Vec<Node>,
    /// Each file that is named by a literal, with the line.
    files: Vec<(String, usize)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    Text(String),
    Print { value: Expression, line: usize },
    If { branches: Vec<(Expression, Vec<Node>)>, otherwise: Vec<Node>, line: usize },
    For { path: String, value: Option<String>, body: Vec<Node>, line: usize },
}

impl Template {
    /// The files that the template names, each with its line, counted from 1.
    pub fn files(&self) -> impl Iterator<Item = (&str, usize)> {
        self.files.iter().map(|(path, line)| (path.as_str(), *line))
    }

    /// Whether it may read each file of the volume.
    pub fn has_loop(&self) -> bool {
        fn is_or_has(nodes: &[Node]) -> bool {
            nodes.iter().any(|node| match node {
                Node::For { .. } => true,
                Node::If { branches, otherwise, .. } => {
                    branches.iter().any(|(_, nodes)| is_or_has(nodes)) || is_or_has(otherwise)
                }
                Node::Text(_) | Node::Print { .. } => false,
            })
        }
        is_or_has(&self.nodes)
    }

    /// The text it was read from.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Fills the places. `paths` are all files that there are, in the order of loops; `read`
    /// answers with what one of them holds, `None` where it is not there.
    ///
    /// # Errors
    /// [`RenderError`] with the line and what cannot be filled there; never a value.
    pub fn render(
        &self,
        paths: &[&str],
        read: &mut dyn FnMut(&str) -> Option<Zeroizing<Vec<u8>>>,
    ) -> Result<Text, RenderError> {
        render::render(&self.nodes, paths, read)
    }
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        let (nodes, files) = parse::parse(text)?;
        Ok(Self { text: text.to_owned(), nodes, files })
    }
}

impl TryFrom<String> for Template {
    type Error = TemplateError;

    fn try_from(text: String) -> Result<Self, TemplateError> {
        text.parse()
    }
}

impl From<Template> for String {
    fn from(template: Template) -> Self {
        template.text
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}
