//! How text for people is laid out: colours, and the width at which lines are wrapped.

use clap::ValueEnum;
use std::io::IsTerminal;
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
                stream.is_terminal() && !forbidden
            }
        };
        let style = if is_colored { Style::COLORED } else { Style::PLAIN };
        Self { style, width: width_of(stream) }
    }

    /// The lines of `text`, those that are too long broken at blanks; what continues a line begins
    /// with `indent` blanks. A word that is too long stays whole.
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

/// A terminal's width, else what `COLUMNS` says, as clap's help has it.
fn width_of(stream: &impl AsFd) -> Option<usize> {
    let columns = || std::env::var("COLUMNS").ok()?.parse().ok();
    let width = match terminal_size_of(stream) {
        Some((Width(width), _)) => Some(usize::from(width)),
        None => columns(),
    };
    width.filter(|width| *width > 0).map(|width| width.max(MIN_WIDTH))
}

fn wrap_line(line: &str, indent: usize, width: usize, wrapped: &mut String) {
    let (mut column, mut is_empty) = (0, true);
    for (index, word) in line.split(' ').enumerate() {
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

/// Columns that a word takes: escape sequences take none.
fn columns_of(word: &str) -> usize {
    let mut is_escape = false;
    let is_shown = |character: &char| {
        let was_escape = is_escape;
        is_escape = if was_escape { *character != 'm' } else { *character == '\x1b' };
        !was_escape && !is_escape && *character != '\n'
    };
    word.chars().filter(is_shown).count()
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

    #[test]
    fn lines_are_broken_at_blanks_and_what_continues_them_is_indented() {
        let wrap = |text: &str, indent| Terminal::of_width(20).wrap(text, indent);
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
        for line in wrap(&"some words more ".repeat(20), 3).lines() {
            assert!(line.chars().count() <= 20, "{line:?}");
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
