//! Fills a template.

use super::expression::{Expression, LoopFlag};
use super::filter::Filter;
use super::{MAX_STEPS, Node, RenderError, RenderProblem, Text};
use zeroize::Zeroizing;

/// So many bytes of a value count as one more step.
const BYTES_PER_STEP: usize = 1024;

/// Goes through the nodes; `paths` and `read` as in [`super::Template::render`].
pub(super) fn render(
    nodes: &[Node],
    paths: &[&str],
    read: &mut dyn FnMut(&str) -> Option<Zeroizing<Vec<u8>>>,
) -> Result<Text, RenderError> {
    let mut renderer =
        Renderer { paths, read, scopes: Vec::new(), steps: 0, out: Text::default(), line: 1 };
    match renderer.all(nodes) {
        Ok(()) => Ok(renderer.out),
        Err(problem) => Err(RenderError { line: renderer.line, problem }),
    }
}

struct Renderer<'r> {
    paths: &'r [&'r str],
    read: &'r mut dyn FnMut(&str) -> Option<Zeroizing<Vec<u8>>>,
    scopes: Vec<Scope<'r>>,
    steps: usize,
    out: Text,
    /// Of the node under way.
    line: usize,
}

/// A loop under way.
struct Scope<'r> {
    path_name: &'r str,
    value_name: Option<&'r str>,
    path: &'r str,
    is_first: bool,
    is_last: bool,
}

/// What an expression comes to.
enum Value {
    Text(Text),
    Flag(bool),
    /// There is no such file.
    Missing(String),
}

impl Value {
    fn is_true(&self) -> bool {
        match self {
            Self::Text(text) => !text.as_bytes().is_empty(),
            Self::Flag(flag) => *flag,
            Self::Missing(_) => false,
        }
    }

    fn text(self) -> Result<Text, RenderProblem> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Flag(flag) => owned(if flag { "true" } else { "false" }),
            Self::Missing(path) => Err(RenderProblem::Missing(path)),
        }
    }
}

fn owned(text: &str) -> Result<Text, RenderProblem> {
    let mut owned = Text::default();
    owned.push(text.as_bytes())?;
    Ok(owned)
}

impl<'r> Renderer<'r> {
    fn step(&mut self) -> Result<(), RenderProblem> {
        self.steps += 1;
        if self.steps > MAX_STEPS { Err(RenderProblem::Steps) } else { Ok(()) }
    }

    fn all(&mut self, nodes: &'r [Node]) -> Result<(), RenderProblem> {
        nodes.iter().try_for_each(|node| self.node(node))
    }

    fn node(&mut self, node: &'r Node) -> Result<(), RenderProblem> {
        self.step()?;
        match node {
            Node::Text(text) => self.out.push(text.as_bytes()),
            Node::Print { value, line } => {
                self.line = *line;
                let text = self.value(value)?.text()?;
                self.out.push(text.as_bytes())
            }
            Node::If { branches, otherwise, line } => {
                for (test, nodes) in branches {
                    self.line = *line;
                    if self.value(test)?.is_true() {
                        return self.all(nodes);
                    }
                }
                self.all(otherwise)
            }
            Node::For { path, value, body, line } => {
                self.line = *line;
                let last = self.paths.len().saturating_sub(1);
                for (index, each) in self.paths.iter().enumerate() {
                    self.step()?;
                    self.scopes.push(Scope {
                        path_name: path,
                        value_name: value.as_deref(),
                        path: each,
                        is_first: index == 0,
                        is_last: index == last,
                    });
                    self.all(body)?;
                    self.scopes.pop();
                }
                Ok(())
            }
        }
    }

    fn value(&mut self, expression: &'r Expression) -> Result<Value, RenderProblem> {
        self.step()?;
        let value = self.value_of(expression)?;
        if let Value::Text(text) = &value {
            self.steps += text.as_bytes().len() / BYTES_PER_STEP;
        }
        Ok(value)
    }

    fn value_of(&mut self, expression: &'r Expression) -> Result<Value, RenderProblem> {
        Ok(match expression {
            Expression::Literal(text) => Value::Text(owned(text)?),
            Expression::Variable(name) => self.variable(name)?,
            Expression::Loop(flag) => {
                let of_loop = self.scopes.last();
                Value::Flag(of_loop.is_some_and(|scope| match flag {
                    LoopFlag::First => scope.is_first,
                    LoopFlag::Last => scope.is_last,
                }))
            }
            Expression::File(path) => {
                let path = self.value(path)?.text()?;
                self.file(&String::from_utf8_lossy(path.as_bytes()))
            }
            Expression::Filtered(value, filter, arguments) => match (self.value(value)?, filter) {
                (Value::Missing(_), Filter::Default) => Value::Text(owned(&arguments[0])?),
                (value, filter) => Value::Text(filter.apply(value.text()?.as_bytes(), arguments)?),
            },
            Expression::Not(value) => Value::Flag(!self.value(value)?.is_true()),
            Expression::And(all) => Value::Flag(!self.has(all, false)?),
            Expression::Or(all) => Value::Flag(self.has(all, true)?),
            Expression::Equal(left, right) => {
                let (left, right) = (self.value(left)?.text()?, self.value(right)?.text()?);
                Value::Flag(left == right)
            }
            Expression::Defined(value) => {
                Value::Flag(!matches!(self.value(value)?, Value::Missing(_)))
            }
        })
    }

    /// Whether one of these is true, or false; those behind it are left alone.
    fn has(&mut self, all: &'r [Expression], wanted: bool) -> Result<bool, RenderProblem> {
        for each in all {
            if self.value(each)?.is_true() == wanted {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn variable(&mut self, name: &str) -> Result<Value, RenderProblem> {
        let named = self.scopes.iter().rev().find_map(|scope| {
            if scope.value_name == Some(name) {
                return Some((scope.path, true));
            }
            (scope.path_name == name).then_some((scope.path, false))
        });
        Ok(match named {
            Some((path, true)) => self.file(path),
            Some((path, false)) => Value::Text(owned(path)?),
            None => Value::Missing(name.to_owned()),
        })
    }

    fn file(&mut self, path: &str) -> Value {
        let bytes = if self.paths.contains(&path) { (self.read)(path) } else { None };
        bytes.map_or_else(|| Value::Missing(path.to_owned()), |bytes| Value::Text(bytes.into()))
    }
}
