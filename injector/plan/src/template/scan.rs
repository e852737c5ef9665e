//! The words and symbols of a template.

use super::{MAX_DEPTH, TemplateError, TemplateProblem};

/// Where the parser is.
pub(super) struct Parser<'t> {
    pub(super) text: &'t str,
    pub(super) at: usize,
    /// Whether the blanks that follow are left out: `-}}` or `-%}` came before.
    pub(super) trims: bool,
    depth: usize,
    /// Up to where lines are counted, and how many.
    counted: (usize, usize),
    /// The variables of the loops around.
    pub(super) loops: Vec<(String, Option<String>)>,
    pub(super) files: Vec<(String, usize)>,
}

impl<'t> Parser<'t> {
    /// At the beginning.
    pub(super) fn new(text: &'t str) -> Self {
        let (loops, files) = (Vec::new(), Vec::new());
        Self { text, at: 0, trims: false, depth: 0, counted: (0, 1), loops, files }
    }

    pub(super) fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    /// The line, counted from 1. Never asked for an earlier place than before.
    pub(super) fn line(&mut self) -> usize {
        let (from, line) = self.counted;
        let new = &self.text.as_bytes()[from.min(self.at)..self.at];
        self.counted = (self.at, line + new.split(|byte| *byte == b'\n').count() - 1);
        self.counted.1
    }

    pub(super) fn error(&mut self, problem: TemplateProblem) -> TemplateError {
        TemplateError { line: self.line(), problem }
    }

    pub(super) fn deeper<T>(
        &mut self,
        parse: impl FnOnce(&mut Self) -> Result<T, TemplateError>,
    ) -> Result<T, TemplateError> {
        if self.depth == MAX_DEPTH {
            return Err(self.error(TemplateProblem::Depth));
        }
        self.depth += 1;
        let parsed = parse(self)?;
        self.depth -= 1;
        Ok(parsed)
    }

    /// A string in single or double quotes, with the escapes `\n`, `\r`, `\t`, `\\`, `\'`, `\"`.
    pub(super) fn literal(&mut self) -> Result<Option<String>, TemplateError> {
        self.blanks();
        let Some(quote) = self.rest().chars().next().filter(|char| ['"', '\''].contains(char))
        else {
            return Ok(None);
        };
        let unclosed = TemplateProblem::Unclosed { open: "a string", close: "end" };
        let unclosed = self.error(unclosed);
        let (mut text, mut chars) = (String::new(), self.rest()[1..].char_indices());
        while let Some((at, char)) = chars.next() {
            match char {
                char if char == quote => {
                    self.at += 1 + at + 1;
                    return Ok(Some(text));
                }
                '\\' => match chars.next() {
                    Some((_, 'n')) => text.push('\n'),
                    Some((_, 'r')) => text.push('\r'),
                    Some((_, 't')) => text.push('\t'),
                    Some((_, char @ ('\\' | '\'' | '"'))) => text.push(char),
                    _ => {
                        let expected = "\\n, \\r, \\t, \\\\ or a quote behind a backslash";
                        return Err(self.unexpected(expected));
                    }
                },
                char => text.push(char),
            }
        }
        Err(unclosed)
    }

    pub(super) fn blanks(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    /// Goes behind `symbol` if it is next.
    pub(super) fn takes(&mut self, symbol: &str) -> bool {
        self.blanks();
        let is_next = self.rest().starts_with(symbol);
        self.at += if is_next { symbol.len() } else { 0 };
        is_next
    }

    pub(super) fn takes_word(&mut self, word: &str) -> bool {
        let before = self.at;
        let is_next = self.word() == word;
        if !is_next {
            self.at = before;
        }
        is_next
    }

    /// The next word, or nothing.
    pub(super) fn word(&mut self) -> &'t str {
        self.blanks();
        let rest = self.rest();
        let length = rest
            .find(|char: char| !char.is_ascii_alphanumeric() && char != '_')
            .unwrap_or(rest.len());
        let length = if rest.starts_with(|char: char| char.is_ascii_digit()) { 0 } else { length };
        self.at += length;
        &rest[..length]
    }

    pub(super) fn name(&mut self) -> Result<String, TemplateError> {
        match self.word() {
            "" => Err(self.unexpected("a name")),
            name => Ok(name.to_owned()),
        }
    }

    /// What stands here, for messages.
    pub(super) fn found(&mut self) -> String {
        self.blanks();
        let rest = self.rest();
        let line = rest.lines().next().unwrap_or_default();
        match line.char_indices().nth(20) {
            _ if rest.is_empty() => "the end".to_owned(),
            Some((end, _)) => format!("{:?}…", &line[..end]),
            None => format!("{line:?}"),
        }
    }

    pub(super) fn unexpected(&mut self, expected: &'static str) -> TemplateError {
        let found = self.found();
        self.error(TemplateProblem::Unexpected { expected, found })
    }
}
