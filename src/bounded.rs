//! Text of a bounded length made of values of any length.

use std::fmt::{self, Display, Write};

/// The text of `value`, cut behind `limit_bytes`: what follows is neither formatted nor allocated.
pub(crate) fn bounded(value: impl Display, limit_bytes: usize) -> String {
    let mut text = Bounded { text: String::new(), limit_bytes };
    // The only error is the end of the room.
    let _ = write!(text, "{value}");
    text.text
}

/// The beginning of a text of any length.
pub(crate) fn shortened(text: &str, limit_bytes: usize) -> &str {
    let end = (0..=limit_bytes.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or_default()]
}

struct Bounded {
    text: String,
    limit_bytes: usize,
}

impl Write for Bounded {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        let room = self.limit_bytes.saturating_sub(self.text.len());
        if piece.len() <= room {
            self.text.push_str(piece);
            return Ok(());
        }
        self.text.push_str(shortened(piece, room));
        self.text.push('…');
        // Nothing that comes later fits behind the ellipsis.
        self.limit_bytes = 0;
        Err(fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_at_a_character_and_says_so() {
        assert_eq!(bounded("abc", 3), "abc");
        assert_eq!(bounded("abcd", 3), "abc…");
        assert_eq!(bounded("aüü", 4), "aü…");
        assert_eq!(bounded(format_args!("{}-{}", "ab", "cd"), 3), "ab-…");
        assert!(bounded("x".repeat(1 << 20), 100).capacity() < 300);
    }

    #[test]
    fn a_text_is_cut_between_two_characters() {
        assert_eq!((shortened("aé", 2), shortened("aé", 3), shortened("", 5)), ("a", "aé", ""));
    }
}
