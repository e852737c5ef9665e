//! Texts by number: what a log repeats is held once. Their count is bounded.

use std::collections::HashMap;
use std::rc::Rc;

/// Of each kind of text. One has at most 400 bytes.
const MAX_NAMES: usize = 100_000;

/// What is given for the texts beyond the bound.
pub(super) const OTHERS: u32 = u32::MAX;

/// Texts and their numbers.
#[derive(Debug, Default)]
pub(super) struct Names {
    numbers: HashMap<Rc<str>, u32>,
    texts: Vec<Rc<str>>,
}

impl Names {
    /// The number of a text; [`OTHERS`] once there are too many.
    pub(super) fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        if self.texts.len() >= MAX_NAMES {
            return OTHERS;
        }
        let number = u32::try_from(self.texts.len()).unwrap_or(OTHERS);
        let text: Rc<str> = text.into();
        self.texts.push(Rc::clone(&text));
        self.numbers.insert(text, number);
        number
    }

    /// The text of a number.
    pub(super) fn text(&self, number: u32) -> &str {
        usize::try_from(number)
            .ok()
            .and_then(|index| self.texts.get(index))
            .map_or("(others)", |text| text)
    }
}

/// A text without anything that a terminal obeys or that changes the direction of writing: letters,
/// digits, printable ASCII and blanks stay.
pub(super) fn plain(text: &str, limit: usize) -> String {
    text.chars()
        .map(|char| match char {
            ' ' => char,
            _ if char.is_ascii_graphic() || char.is_alphanumeric() => char,
            _ => '?',
        })
        .take(limit)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_of_every_script_stay_and_nothing_that_a_terminal_obeys() {
        let text = "Größe 名前\u{1b}[31m\u{9b}\u{202e}\u{200b}\n\t\u{7f}";
        assert_eq!(plain(text, 100), "Größe 名前?[31m??????");
        assert_eq!(plain("abcdef", 3), "abc");
    }

    #[test]
    fn texts_have_one_number_and_too_many_have_none() {
        let mut names = Names::default();
        for _ in 0..2 {
            for number in 0..MAX_NAMES {
                let expected = u32::try_from(number).unwrap();
                assert_eq!(names.number(&number.to_string()), expected);
            }
        }
        assert_eq!((names.number("more"), names.number("7")), (OTHERS, 7));
        assert_eq!((names.text(7), names.text(OTHERS)), ("7", "(others)"));
    }
}
