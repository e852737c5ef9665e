//! Stepping over a value that is not needed, without recursion and without looking at every part of
//! it.
//!
//! Scalars and strings are checked. Of an object or a list only the end is looked for: strings are
//! told from brackets, and brackets counted. What is wrong with its inside is not found; nothing of
//! it is used, and the API server, which wrote it, will read it again.

use super::cursor::Cursor;
use super::error::{JsonError, Problem};
use super::scan::{self, BracketScanner, Brackets};

impl Cursor<'_> {
    /// Steps over the next value.
    #[inline]
    pub fn skip(&mut self) -> Result<(), JsonError> {
        match self.peek()? {
            b'"' => self.skip_string(),
            b'{' | b'[' => self.skip_brackets(),
            b't' => self.literal(b"true"),
            b'f' => self.literal(b"false"),
            b'n' => self.literal(b"null"),
            b'-' | b'0'..=b'9' => self.skip_number(),
            _ => Err(self.error(Problem::Syntax("a value"))),
        }
    }

    /// Steps over an object or a list; at its opening bracket.
    fn skip_brackets(&mut self) -> Result<(), JsonError> {
        // Empty ones are frequent.
        if let Some(b'}' | b']') = self.bytes.get(self.at + 1) {
            self.at += 2;
            return Ok(());
        }
        let mut nesting = Nesting::default();
        let mut rest = self.bytes.get(self.at..).unwrap_or_default();
        while let Some((block, after)) = rest.split_first_chunk() {
            if let Some(length) = nesting.end_in(block) {
                self.at = self.bytes.len() - rest.len() + length;
                return Ok(());
            }
            rest = after;
        }
        // What follows the text is blank.
        let mut last = [b' '; 64];
        last[..rest.len()].copy_from_slice(rest);
        let end = nesting.end_in(&last);
        self.at = self.bytes.len() - rest.len() + end.unwrap_or(rest.len());
        if end.is_some() { Ok(()) } else { Err(self.error(Problem::End)) }
    }

    /// Steps over a string; at its opening quote.
    #[inline]
    pub(super) fn skip_string(&mut self) -> Result<(), JsonError> {
        let end = scan::special(self.bytes, self.at + 1);
        if self.bytes.get(end) == Some(&b'"') {
            self.at = end + 1;
            return Ok(());
        }
        self.at = end;
        self.skip_rest_of_string()
    }

    #[inline(never)]
    fn skip_rest_of_string(&mut self) -> Result<(), JsonError> {
        loop {
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    while self.bytes.get(self.at) == Some(&b'\\') {
                        self.skip_escape()?;
                        while scan::short_escape(self.bytes, self.at).is_some() {
                            self.at += 2;
                        }
                    }
                }
                Some(_) => return Err(self.error(Problem::ControlCharacter)),
                None => return Err(self.error(Problem::End)),
            }
            self.at = scan::special(self.bytes, self.at);
        }
    }

    fn skip_escape(&mut self) -> Result<(), JsonError> {
        match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => {
                self.hex(self.at + 2)?;
                self.at += 6;
            }
            Some(_) => return Err(self.error(Problem::Escape)),
            None => return Err(self.error(Problem::End)),
        }
        Ok(())
    }

    /// The four hexadecimal digits at `start`.
    pub(super) fn hex(&self, start: usize) -> Result<u16, JsonError> {
        let digits: &[u8; 4] = self
            .bytes
            .get(start..)
            .and_then(<[u8]>::first_chunk)
            .ok_or_else(|| self.error(Problem::End))?;
        let values = digits.map(|digit| u16::from(scan::HEX_DIGITS[usize::from(digit)]));
        if values.iter().any(|value| *value > 15) {
            return Err(self.error(Problem::Escape));
        }
        Ok(values.iter().fold(0, |number, value| number << 4 | value))
    }

    /// Steps over a number; whether it is an integer.
    pub(super) fn skip_number(&mut self) -> Result<(), JsonError> {
        let mut at = self.at + usize::from(self.bytes.get(self.at) == Some(&b'-'));
        // A leading zero stands alone.
        at = if self.bytes.get(at) == Some(&b'0') { at + 1 } else { self.digits(at)? };
        if self.is_digit(at) {
            return Err(JsonError::new(Problem::Syntax("no digit after a leading zero"), at));
        }
        if self.bytes.get(at) == Some(&b'.') {
            at = self.digits(at + 1)?;
        }
        if matches!(self.bytes.get(at), Some(b'e' | b'E')) {
            at += 1;
            at = self.digits(at + usize::from(matches!(self.bytes.get(at), Some(b'+' | b'-'))))?;
        }
        self.at = at;
        Ok(())
    }

    /// Where the digits end that begin here; there must be one.
    fn digits(&self, mut at: usize) -> Result<usize, JsonError> {
        if !self.is_digit(at) {
            let problem =
                if at >= self.bytes.len() { Problem::End } else { Problem::Syntax("a digit") };
            return Err(JsonError::new(problem, at));
        }
        while self.is_digit(at) {
            at += 1;
        }
        Ok(at)
    }

    fn is_digit(&self, at: usize) -> bool {
        self.bytes.get(at).is_some_and(u8::is_ascii_digit)
    }
}

/// How many brackets are open, block by block.
#[derive(Default)]
struct Nesting {
    scanner: BracketScanner,
    open: u32,
}

impl Nesting {
    /// Length of the text up to the bracket that closes the first one, if that is in this block.
    #[expect(clippy::inline_always, reason = "constants stay in registers between the blocks")]
    #[inline(always)]
    fn end_in(&mut self, block: &[u8; 64]) -> Option<usize> {
        let Brackets { opening, mut closing } = self.scanner.next(block);
        if self.open <= closing.count_ones() {
            // It may end here: at the closing bracket that makes as many, itself included, as there
            // are opening ones before it.
            let mut closed = 0;
            while closing != 0 {
                let position = closing.trailing_zeros();
                closed += 1;
                if self.open + (opening & ((1 << position) - 1)).count_ones() == closed {
                    return Some(position as usize + 1);
                }
                closing &= closing - 1;
            }
            self.open = self.open + opening.count_ones() - closed;
        } else {
            self.open = self.open + opening.count_ones() - closing.count_ones();
        }
        None
    }
}
