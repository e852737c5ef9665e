//! Stepping over a value that nobody needs: checked to be JSON, without recursion.

use super::cursor::Cursor;
use super::error::{JsonError, Problem};
use super::{DEPTH_LIMIT, scan};

impl Cursor<'_> {
    /// Steps over the next value.
    pub fn skip(&mut self) -> Result<(), JsonError> {
        // One bit for each open bracket, the innermost lowest: 1 is an object. The depth limit makes them fit.
        let mut brackets: u128 = 0;
        let outside = self.depth;
        loop {
            // In the order of what pods hold; a jump table would be mispredicted each time.
            let first = self.peek()?;
            if first == b'"' {
                self.skip_string()?;
            } else if first == b'{' || first == b'[' {
                self.at += 1;
                self.depth += 1;
                if self.depth > DEPTH_LIMIT {
                    return Err(self.error(Problem::Depth));
                }
                let is_object = first == b'{';
                brackets = brackets << 1 | u128::from(is_object);
                if self.peek()? != (if is_object { b'}' } else { b']' }) {
                    if is_object {
                        self.skip_key()?;
                    }
                    continue;
                }
                // Empty: closed below.
            } else {
                self.skip_scalar(first)?;
            }
            loop {
                if self.depth == outside {
                    return Ok(());
                }
                let is_object = brackets & 1 == 1;
                match self.peek()? {
                    b',' => {
                        self.at += 1;
                        if is_object {
                            self.skip_key()?;
                        }
                        break;
                    }
                    b'}' if is_object => {}
                    b']' if !is_object => {}
                    _ => return Err(self.error(Problem::Syntax("a comma or a closing bracket"))),
                }
                self.at += 1;
                self.depth -= 1;
                brackets >>= 1;
            }
        }
    }

    #[inline]
    fn skip_scalar(&mut self, first: u8) -> Result<(), JsonError> {
        match first {
            b't' => self.literal(b"true"),
            b'f' => self.literal(b"false"),
            b'n' => self.literal(b"null"),
            b'-' | b'0'..=b'9' => self.skip_number(),
            _ => Err(self.error(Problem::Syntax("a value"))),
        }
    }

    #[inline]
    fn skip_key(&mut self) -> Result<(), JsonError> {
        if self.peek()? != b'"' {
            return Err(self.error(Problem::Syntax("a key in quotes")));
        }
        self.skip_string()?;
        self.colon()
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
                Some(b'\\') => self.skip_escape()?,
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
        let digits = self.bytes.get(start..start + 4).ok_or_else(|| self.error(Problem::End))?;
        let mut value = 0;
        for digit in digits {
            let digit = char::from(*digit).to_digit(16).ok_or_else(|| self.error(Problem::Escape))?;
            value = value << 4 | u16::try_from(digit).unwrap_or_default();
        }
        Ok(value)
    }

    /// Steps over a number; whether it is an integer.
    pub(super) fn skip_number(&mut self) -> Result<(), JsonError> {
        let digit = |at: usize| self.bytes.get(at).is_some_and(u8::is_ascii_digit);
        let expect_digits = |mut at: usize| {
            if !digit(at) {
                let problem = if at >= self.bytes.len() { Problem::End } else { Problem::Syntax("a digit") };
                return Err(JsonError::new(problem, at));
            }
            while digit(at) {
                at += 1;
            }
            Ok(at)
        };
        let mut at = self.at + usize::from(self.bytes.get(self.at) == Some(&b'-'));
        // A leading zero stands alone.
        at = if self.bytes.get(at) == Some(&b'0') { at + 1 } else { expect_digits(at)? };
        if digit(at) {
            return Err(JsonError::new(Problem::Syntax("no digit after a leading zero"), at));
        }
        if self.bytes.get(at) == Some(&b'.') {
            at = expect_digits(at + 1)?;
        }
        if matches!(self.bytes.get(at), Some(b'e' | b'E')) {
            at += 1;
            at = expect_digits(at + usize::from(matches!(self.bytes.get(at), Some(b'+' | b'-'))))?;
        }
        self.at = at;
        Ok(())
    }
}
