//! What the demo prints on the terminal.

use std::io::Write as _;

/// How the story is printed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Teller {
    pub(crate) colored: bool,
}

impl Teller {
    pub(crate) fn chapter(self, text: &str) {
        self.line("\x1b[1;36m", &format!("\n━━ {text}"));
    }

    pub(crate) fn step(self, text: &str) {
        self.line("\x1b[1m", &format!("\n{text}"));
    }

    pub(crate) fn good(self, text: &str) {
        self.line("\x1b[32m", &format!("  ✓ {text}"));
    }

    pub(crate) fn detail(self, text: &str) {
        for line in text.lines() {
            self.line("\x1b[2m", &format!("  {line}"));
        }
    }

    pub(crate) fn line(self, color: &str, text: &str) {
        let mut out = std::io::stdout().lock();
        // A closed pipe ends the story, not the checks.
        let _ = if self.colored {
            writeln!(out, "{color}{text}\x1b[0m")
        } else {
            writeln!(out, "{text}")
        };
    }
}
