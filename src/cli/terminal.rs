//! How text for people is laid out: colours, and the width at which lines are wrapped.

use clap::ValueEnum;
use std::ffi::OsStr;
use std::io::{IsTerminal, Write as _};
use std::os::fd::AsFd;
use terminal_size::{Width, terminal_size_of};

/// Lines are not made narrower than this.
const MIN_WIDTH: usize = 40;

/// Escape sequences of a terminal, or nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    pub(super) bold: &'static str,
    pub(super) added: &'static str,
    pub(super) removed: &'static str,
    pub(super) doubtful: &'static str,
    pub(super) reset: &'static str,
}

impl Style {
    pub(super) const PLAIN: Self =
        Self { bold: "", added: "", removed: "", doubtful: "", reset: "" };
    pub(super) const COLORED: Self = Self {
        bold: "\x1b[1m",
        added: "\x1b[32m",
        removed: "\x1b[31m",
        doubtful: "\x1b[33m",
        reset: "\x1b[0m",
    };
}

/// Whether text is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    Auto,
    Always,
    Never,
}

/// What is known of where text goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terminal {
    pub(super) style: Style,
    /// In columns; `None` where lines stay whole.
    width: Option<usize>,
}

impl Terminal {
    /// Standard output.
    pub(super) fn stdout(color: Color) -> Self {
        Self::of(&std::io::stdout(), color)
    }

    /// Standard error.
    pub(super) fn stderr() -> Self {
        Self::of(&std::io::stderr(), Color::Auto)
    }

    fn of(stream: &(impl AsFd + IsTerminal), color: Color) -> Self {
        let is_colored = match color {
            Color::Always => true,
            Color::Never => false,
            // https://no-color.org: set to anything but nothing.
            Color::Auto => {
                let forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
                obeys_escapes(stream) && !forbidden
            }
        };
        let style = if is_colored { Style::COLORED } else { Style::PLAIN };
        Self { style, width: width_of(stream) }
    }

    /// The lines of `text` behind `prefix`, wrapped to what the prefix leaves of the width.
    pub(super) fn wrap_behind(&self, prefix: &str, text: &str, indent: usize) -> String {
        let columns = prefix.chars().count();
        let width = self.width.map(|width| width.saturating_sub(columns));
        let wrapped = Self { width, ..*self }.wrap(text, indent);
        wrapped.lines().fold(String::new(), |text, line| text + prefix + line + "\n")
    }

    /// Whether a line fits.
    pub(super) fn fits(&self, line: &str) -> bool {
        self.width.is_none_or(|width| columns_of(line) <= width)
    }

    /// The lines of `text`, those that are too long broken at blanks; what continues a line begins
    /// with `indent` blanks. A word that is too long stays whole, as does what stands between
    /// backticks and fits into a line.
    pub(super) fn wrap(&self, text: &str, indent: usize) -> String {
        let Some(width) = self.width else { return text.to_owned() };
        let mut wrapped = String::with_capacity(text.len() + text.len() / 16);
        for line in text.split_inclusive('\n') {
            wrap_line(line, indent, width, &mut wrapped);
        }
        wrapped
    }
}

/// Prints a line to standard error, with the program's name before it.
pub(super) fn tell(text: &str) {
    eprintln!("{}", Terminal::stderr().wrap(&format!("keysluice: {text}"), 2));
}

/// Says on a terminal what is being done, in one line that is written over; an empty text ends it.
pub(super) fn progress(text: &str) {
    let mut stderr = std::io::stderr();
    if obeys_escapes(&stderr) {
        let columns = width_of(&stderr).unwrap_or(MIN_WIDTH) - 1;
        let line: String = printable(text).chars().take(columns).collect();
        let _ = write!(stderr, "\r\x1b[K{line}").and_then(|()| stderr.flush());
    }
}

/// Whether escape sequences do something where text goes: a terminal that is not `dumb`.
fn obeys_escapes(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && !is_dumb(std::env::var_os("TERM").as_deref())
}

fn is_dumb(term: Option<&OsStr>) -> bool {
    term.is_some_and(|name| name == "dumb")
}

/// A text of the cluster in one line, without what a terminal obeys: control characters and those
/// that change the direction of writing.
pub(super) fn printable(text: &str) -> String {
    let line = text.strip_suffix('\n').unwrap_or(text);
    let end = &text[line.len()..];
    line.replace(is_obeyed, " ") + end
}

fn is_obeyed(character: char) -> bool {
    character.is_control() || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A terminal's width, else what `COLUMNS` says, as clap's help has it.
fn width_of(stream: &impl AsFd) -> Option<usize> {
    let width = match terminal_size_of(stream) {
        Some((Width(width), _)) => Some(usize::from(width)),
        None => std::env::var("COLUMNS").ok()?.parse().ok(),
    };
    width.filter(|width| *width > 0).map(|width| width.max(MIN_WIDTH))
}

fn wrap_line(line: &str, indent: usize, width: usize, wrapped: &mut String) {
    let (mut column, mut is_empty) = (0, true);
    for (index, word) in words(line, width.saturating_sub(indent)).into_iter().enumerate() {
        let columns = columns_of(word);
        // Blanks at the start of a line are its own indentation.
        if index > 0 {
            let fits = column + 1 + columns <= width;
            if !fits && !is_empty && !word.is_empty() {
                wrapped.truncate(wrapped.trim_end_matches(' ').len());
                wrapped.push('\n');
                wrapped.extend(std::iter::repeat_n(' ', indent));
                column = indent;
            } else {
                wrapped.push(' ');
                column += 1;
            }
        }
        wrapped.push_str(word);
        column += columns;
        is_empty &= word.is_empty();
    }
}

/// The text between blanks; a command between backticks is one word, if it has no more columns than
/// this.
fn words(line: &str, most: usize) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        let end = match command_end(rest).filter(|end| columns_of(&rest[..*end]) <= most) {
            Some(end) => end,
            None => rest.find(' ').unwrap_or(rest.len()),
        };
        words.push(&rest[..end]);
        match rest.get(end + 1..) {
            Some(next) => rest = next,
            None => return words,
        }
    }
}

/// Where the word ends that begins here, if a blank between backticks belongs to it.
fn command_end(text: &str) -> Option<usize> {
    let start = text.find('`').filter(|at| text.find(' ').is_some_and(|blank| blank > *at))?;
    let length = text[start + 1..].find('`')?;
    let closed = start + 1 + length + 1;
    Some(text[closed..].find(' ').map_or(text.len(), |blank| closed + blank))
}

/// Columns that a word takes: escape sequences take none.
fn columns_of(word: &str) -> usize {
    let (mut columns, mut is_escape) = (0, false);
    for character in word.chars() {
        match character {
            _ if is_escape => is_escape = character != 'm',
            '\x1b' => is_escape = true,
            '\n' => {}
            _ => columns += 1,
        }
    }
    columns
}

/// For tests of what is printed.
#[cfg(test)]
impl Terminal {
    pub(super) const PLAIN: Self = Self { style: Style::PLAIN, width: None };

    pub(super) fn of_width(width: usize) -> Self {
        Self { style: Style::PLAIN, width: Some(width) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrap(text: &str, indent: usize) -> String {
        Terminal::of_width(20).wrap(text, indent)
    }

    #[test]
    fn lines_are_broken_at_blanks_and_what_continues_them_is_indented() {
        assert_eq!(
            wrap("  because  one two three four\n", 4),
            "  because  one two\n    three four\n"
        );
        assert_eq!(wrap("short\nlines stay\n", 4), "short\nlines stay\n");
        assert_eq!(
            wrap("a https://x.example/too/long/to/fit b", 2),
            "a\n  https://x.example/too/long/to/fit\n  b"
        );
        let colored = "\x1b[1mseventeen letters\x1b[0m abc";
        assert_eq!(wrap(colored, 0), "\x1b[1mseventeen letters\x1b[0m\nabc");
        assert_eq!(Terminal::PLAIN.wrap(&"word ".repeat(99), 2), "word ".repeat(99));
        assert_eq!(wrap("a word `two words` end", 2), "a word `two words`\n  end");
        assert_eq!(wrap("a long word `two words`", 2), "a long word\n  `two words`");
        assert_eq!(
            wrap("x `a command that is too long` y", 2),
            "x `a command that is\n  too long` y"
        );
        assert_eq!(wrap("one ` alone, and some more", 2), "one ` alone, and\n  some more");
        assert_eq!(
            Terminal::of_width(20).wrap_behind("  | ", "one two three four\n", 2),
            "  | one two three\n  |   four\n"
        );
        for line in wrap(&"some words more ".repeat(20), 3).lines() {
            assert!(line.chars().count() <= 20, "{line:?}");
        }
    }

    #[test]
    fn a_terminal_without_escape_sequences_is_known_by_its_name() {
        for (term, expected) in
            [(Some("dumb"), true), (Some("xterm-256color"), false), (None, false)]
        {
            assert_eq!(is_dumb(term.map(OsStr::new)), expected, "{term:?}");
        }
    }

    #[test]
    fn a_file_has_neither_colours_nor_a_width() {
        let file = tempfile::tempfile().unwrap();
        let terminal = Terminal::of(&file, Color::Auto);
        assert!(terminal.style.bold.is_empty());
        assert!(!Terminal::of(&file, Color::Always).style.bold.is_empty());
    }
}
