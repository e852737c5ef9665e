//! What the demo prints on the terminal.

use std::io::Write as _;

/// How the story is printed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Teller {
    pub(crate) colored: bool,
    /// Whether steps and details are printed.
    pub(crate) verbose: bool,
}

impl Teller {
    pub(crate) fn chapter(self, text: &str) {
        self.line("\x1b[1;36m", &format!("\n━━ {text}"));
    }

    pub(crate) fn step(self, text: &str) {
        if self.verbose {
            self.line("\x1b[1m", &format!("\n{text}"));
        }
    }

    /// What is run or sent, or what it prints.
    pub(crate) fn command(self, text: &str) {
        self.line("\x1b[2m", &format!("  {text}"));
    }

    pub(crate) fn good(self, text: &str) {
        self.line("\x1b[32m", &format!("  ✓ {text}"));
    }

    pub(crate) fn detail(self, text: &str) {
        for line in text.lines().filter(|_| self.verbose) {
            self.line("\x1b[2m", &format!("  {line}"));
        }
    }

    fn line(self, color: &str, text: &str) {
        let mut out = std::io::stdout().lock();
        // A closed pipe ends the story, not the checks.
        let _ = if self.colored {
            writeln!(out, "{color}{text}\x1b[0m")
        } else {
            writeln!(out, "{text}")
        };
    }
}
