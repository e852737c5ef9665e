//! Text of a bounded length made of values of any length.

use crate::log::shortened;
use std::fmt::{self, Display, Write};

/// The text of `value`, cut behind `limit_bytes`: what follows is neither formatted nor allocated.
pub(crate) fn bounded(value: impl Display, limit_bytes: usize) -> String {
    let mut text = Bounded { text: String::new(), limit_bytes };
    // The only error is the end of the room.
    let _ = write!(text, "{value}");
    text.text
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
}
