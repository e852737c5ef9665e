//! From text to nodes.

use super::expression::Expression;
use super::scan::Parser;
use super::{MAX_TEMPLATE_BYTES, Node, TemplateError, TemplateProblem};

/// The nodes, and the files that literals name.
pub(super) fn parse(text: &str) -> Result<(Vec<Node>, Vec<(String, usize)>), TemplateError> {
    let mut parser = Parser::new(text);
    if text.len() > MAX_TEMPLATE_BYTES {
        return Err(TemplateError { line: 1, problem: TemplateProblem::Size });
    }
    let (nodes, end) = parser.nodes()?;
    match end {
        End::Text => Ok((nodes, parser.files)),
        End::Elif | End::Else | End::Endif => Err(parser.astray(end, "if")),
        End::Endfor => Err(parser.astray(end, "for")),
    }
}

/// What ends a list of nodes. The parser then stands behind the word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Text,
    Elif,
    Else,
    Endif,
    Endfor,
}

impl End {
    fn tag(self) -> &'static str {
        match self {
            Self::Text => "the end",
            Self::Elif => "elif",
            Self::Else => "else",
            Self::Endif => "endif",
            Self::Endfor => "endfor",
        }
    }
}

impl Parser<'_> {
    fn astray(&mut self, end: End, of: &'static str) -> TemplateError {
        self.error(TemplateProblem::Astray { tag: end.tag(), of })
    }

    fn nodes(&mut self) -> Result<(Vec<Node>, End), TemplateError> {
        self.deeper(Self::nodes_inner)
    }

    fn nodes_inner(&mut self) -> Result<(Vec<Node>, End), TemplateError> {
        let mut nodes = Vec::new();
        loop {
            let length = text_length(self.rest());
            let (text, rest) = self.rest().split_at(length);
            let trims_before = rest.get(2..).is_some_and(|rest| rest.starts_with('-'));
            let text = if self.trims { text.trim_start() } else { text };
            let text = if trims_before { text.trim_end() } else { text };
            if !text.is_empty() {
                nodes.push(Node::Text(text.to_owned()));
            }
            self.at += length;
            let Some(open) = rest.get(..2) else { return Ok((nodes, End::Text)) };
            let line = self.line();
            if open == "{#" {
                self.comment()?;
                continue;
            }
            self.at += 2 + usize::from(trims_before);
            if open == "{{" {
                let value = self.expression()?;
                self.close("}}")?;
                nodes.push(Node::Print { value, line });
                continue;
            }
            match self.word() {
                "if" => nodes.push(self.condition(line)?),
                "for" => nodes.push(self.repetition(line)?),
                "elif" => return Ok((nodes, End::Elif)),
                "else" => return self.closed(nodes, End::Else),
                "endif" => return self.closed(nodes, End::Endif),
                "endfor" => return self.closed(nodes, End::Endfor),
                other => return Err(self.error(TemplateProblem::Tag(other.to_owned()))),
            }
        }
    }

    fn closed(&mut self, nodes: Vec<Node>, end: End) -> Result<(Vec<Node>, End), TemplateError> {
        self.close("%}")?;
        Ok((nodes, end))
    }

    fn comment(&mut self) -> Result<(), TemplateError> {
        let Some(end) = self.rest()[2..].find("#}") else {
            return Err(self.error(TemplateProblem::Unclosed { open: "{#", close: "#}" }));
        };
        self.trims = self.rest()[2..2 + end].ends_with('-');
        self.at += 2 + end + 2;
        Ok(())
    }

    fn condition(&mut self, line: usize) -> Result<Node, TemplateError> {
        let (mut branches, mut otherwise) = (Vec::new(), Vec::new());
        let mut condition = Some(self.condition_head()?);
        loop {
            let (nodes, end) = self.nodes()?;
            match (condition.take(), end) {
                (_, End::Text) => {
                    let problem =
                        TemplateProblem::Unclosed { open: "{% if %}", close: "{% endif %}" };
                    return Err(TemplateError { line, problem });
                }
                (_, End::Endfor) => return Err(self.astray(End::Endfor, "for")),
                (None, End::Elif | End::Else) => {
                    return Err(self.astray(end, "if before its else"));
                }
                (None, End::Endif) => otherwise = nodes,
                (Some(test), _) => branches.push((test, nodes)),
            }
            match end {
                End::Elif => condition = Some(self.condition_head()?),
                End::Else => {}
                _ => return Ok(Node::If { branches, otherwise, line }),
            }
        }
    }

    fn condition_head(&mut self) -> Result<Expression, TemplateError> {
        let test = self.expression()?;
        self.close("%}")?;
        Ok(test)
    }

    fn repetition(&mut self, line: usize) -> Result<Node, TemplateError> {
        let path = self.name()?;
        let value = if self.takes(",") { Some(self.name()?) } else { None };
        if !self.takes_word("in") {
            return Err(self.unexpected("in"));
        }
        if !self.takes_word("files") {
            let problem = TemplateProblem::Loop(self.found());
            return Err(self.error(problem));
        }
        if self.takes(".") {
            let is_items = self.takes_word("items") && self.takes("(") && self.takes(")");
            if !is_items {
                return Err(self.unexpected("items()"));
            }
        }
        self.close("%}")?;
        self.loops.push((path.clone(), value.clone()));
        let (body, end) = self.nodes()?;
        self.loops.pop();
        match end {
            End::Endfor => Ok(Node::For { path, value, body, line }),
            End::Text => {
                let problem =
                    TemplateProblem::Unclosed { open: "{% for %}", close: "{% endfor %}" };
                Err(TemplateError { line, problem })
            }
            End::Elif | End::Else | End::Endif => Err(self.astray(end, "if")),
        }
    }

    /// The end of a place or tag.
    fn close(&mut self, close: &'static str) -> Result<(), TemplateError> {
        self.blanks();
        self.trims = self.rest().starts_with('-');
        let dash = usize::from(self.trims);
        if self.rest()[dash..].starts_with(close) {
            self.at += dash + close.len();
            return Ok(());
        }
        if self.rest().is_empty() {
            let open = if close == "}}" { "{{" } else { "{%" };
            return Err(self.error(TemplateProblem::Unclosed { open, close }));
        }
        Err(self.unexpected(if close == "}}" { "}} or a filter" } else { "%}" }))
    }
}

/// How far the text goes, up to what opens a place, a tag or a comment.
fn text_length(rest: &str) -> usize {
    let opens = rest.as_bytes().windows(2).position(|two| matches!(two, b"{{" | b"{%" | b"{#"));
    opens.unwrap_or(rest.len())
}
