//! What stands between `{{` and `}}`, and behind `if`.

use super::filter::Filter;
use super::scan::Parser;
use super::{MAX_DEPTH, TemplateError, TemplateProblem};

/// A value to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expression {
    Literal(String),
    /// A variable of a loop.
    Variable(String),
    /// Whether the loop is at its first or last file.
    Loop(LoopFlag),
    /// The file at the path that the expression gives.
    File(Box<Expression>),
    Filtered(Box<Expression>, Filter, Vec<String>),
    Not(Box<Expression>),
    /// Lists, because a chain may be as long as the template, and a nest of pairs needs the stack.
    And(Vec<Expression>),
    Or(Vec<Expression>),
    Equal(Box<Expression>, Box<Expression>),
    Defined(Box<Expression>),
}

impl Expression {
    fn negated_if(self, is_negated: bool) -> Self {
        if is_negated { Self::Not(Box::new(self)) } else { self }
    }
}

/// A question about the innermost loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LoopFlag {
    First,
    Last,
}

impl Parser<'_> {
    pub(super) fn expression(&mut self) -> Result<Expression, TemplateError> {
        self.deeper(Self::or)
    }

    fn or(&mut self) -> Result<Expression, TemplateError> {
        let first = self.and()?;
        let mut all = vec![first];
        while self.takes_word("or") {
            all.push(self.and()?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Expression::Or(all) })
    }

    fn and(&mut self) -> Result<Expression, TemplateError> {
        let first = self.not()?;
        let mut all = vec![first];
        while self.takes_word("and") {
            all.push(self.not()?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Expression::And(all) })
    }

    fn not(&mut self) -> Result<Expression, TemplateError> {
        if self.takes_word("not") {
            return Ok(Expression::Not(Box::new(self.deeper(Self::not)?)));
        }
        let left = self.filtered()?;
        if self.takes_word("is") {
            let is_negated = self.takes_word("not");
            if !self.takes_word("defined") {
                return Err(self.unexpected("defined"));
            }
            return Ok(Expression::Defined(Box::new(left)).negated_if(is_negated));
        }
        let is_negated = self.takes("!=");
        if is_negated || self.takes("==") {
            let equal = Expression::Equal(Box::new(left), Box::new(self.filtered()?));
            return Ok(equal.negated_if(is_negated));
        }
        Ok(left)
    }

    fn filtered(&mut self) -> Result<Expression, TemplateError> {
        let mut value = self.primary()?;
        let mut filters = 0;
        while self.takes("|") {
            filters += 1;
            if filters > MAX_DEPTH {
                return Err(self.error(TemplateProblem::Depth));
            }
            let name = self.name()?;
            let Some(filter) = Filter::named(&name) else {
                return Err(self.error(TemplateProblem::Filter(name)));
            };
            let mut arguments = Vec::new();
            if self.takes("(") {
                while !self.takes(")") {
                    arguments.push(self.argument()?);
                    if !self.takes(",") && !self.rest().trim_start().starts_with(')') {
                        return Err(self.unexpected("a comma or )"));
                    }
                }
            }
            if let Err(takes) = filter.check(&arguments) {
                let filter = filter.name();
                return Err(self.error(TemplateProblem::Arguments { filter, takes }));
            }
            value = Expression::Filtered(Box::new(value), filter, arguments);
        }
        Ok(value)
    }

    fn argument(&mut self) -> Result<String, TemplateError> {
        self.blanks();
        let digits = self.rest().bytes().take_while(u8::is_ascii_digit).count();
        if digits > 0 {
            let number = self.rest()[..digits].to_owned();
            self.at += digits;
            return Ok(number);
        }
        self.literal()?.ok_or_else(|| self.unexpected("a string or a number"))
    }

    fn primary(&mut self) -> Result<Expression, TemplateError> {
        if let Some(text) = self.literal()? {
            return Ok(Expression::Literal(text));
        }
        if self.takes("(") {
            let inner = self.expression()?;
            return if self.takes(")") { Ok(inner) } else { Err(self.unexpected(")")) };
        }
        let before = self.at;
        match self.word() {
            "files" => self.file(),
            "loop" if !self.loops.is_empty() && self.takes(".") => match self.word() {
                "first" => Ok(Expression::Loop(LoopFlag::First)),
                "last" => Ok(Expression::Loop(LoopFlag::Last)),
                _ => Err(self.unexpected("loop.first or loop.last")),
            },
            "" => Err(self.unexpected("a value such as files[\"PATH\"] or \"text\"")),
            name if self.is_variable(name) => Ok(Expression::Variable(name.to_owned())),
            name => {
                let problem = TemplateProblem::Variable(name.to_owned());
                self.at = before;
                Err(self.error(problem))
            }
        }
    }

    fn is_variable(&self, name: &str) -> bool {
        self.loops.iter().any(|(path, value)| path == name || value.as_deref() == Some(name))
    }

    /// What follows `files`: `.name` or `["PATH"]`.
    fn file(&mut self) -> Result<Expression, TemplateError> {
        let line = self.line();
        let path = if self.takes("[") {
            let path = self.expression()?;
            if !self.takes("]") {
                return Err(self.unexpected("]"));
            }
            path
        } else if self.takes(".") {
            let name = self.name()?;
            if self.rest().starts_with('-') && !self.rest()[1..].starts_with(['}', '%']) {
                return Err(self.unexpected("files[\"PATH\"] for a path with other characters"));
            }
            Expression::Literal(name)
        } else {
            return Err(self.unexpected("files[\"PATH\"]"));
        };
        if let Expression::Literal(path) = &path {
            self.files.push((path.clone(), line));
        }
        Ok(Expression::File(Box::new(path)))
    }
}
