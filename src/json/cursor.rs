//! A position in a JSON text, and the steps that move it.

use super::error::{JsonError, Problem};
use super::read::Read;
use super::string::decode;
use super::{DEPTH_LIMIT, ENTRY_LIMIT, scan};

/// A position in a JSON text.
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    pub(super) text: &'a str,
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    pub(super) depth: u32,
    /// Entries of lists and maps that were kept.
    entries: u32,
}

impl<'a> Cursor<'a> {
    /// At the start of a text.
    pub fn new(text: &'a str) -> Self {
        Self { text, bytes: text.as_bytes(), at: 0, depth: 0, entries: 0 }
    }

    /// The text between two places, which are next to ASCII characters.
    #[inline]
    pub(super) fn between(&self, start: usize, end: usize) -> Result<&'a str, JsonError> {
        self.text.get(start..end).ok_or_else(|| JsonError::new(Problem::Utf8, start))
    }

    /// Reads a value.
    pub fn value<T: Read<'a>>(&mut self) -> Result<T, JsonError> {
        T::read(self)
    }

    /// Reads over a default value; null leaves it, as Go does.
    #[inline]
    pub fn value_or_null<T: Read<'a>>(&mut self, value: &mut T) -> Result<(), JsonError> {
        if self.peek()? == b'n' {
            return self.literal(b"null");
        }
        value.read_into(self)
    }

    /// Calls `member` with each key; it must read or skip the value.
    #[inline]
    pub fn object(
        &mut self,
        mut member: impl FnMut(&[u8], &mut Self) -> Result<(), JsonError>,
    ) -> Result<(), JsonError> {
        let mut decoded = Vec::new();
        self.members("an object", |cursor| {
            let key = cursor.key(&mut decoded)?;
            member(key, cursor)
        })
    }

    /// Calls `member` at each key; it must read key and value.
    #[inline]
    pub(super) fn members(
        &mut self,
        expected: &'static str,
        mut member: impl FnMut(&mut Self) -> Result<(), JsonError>,
    ) -> Result<(), JsonError> {
        self.enter(b'{', expected)?;
        if self.peek()? != b'}' {
            loop {
                member(self)?;
                match self.peek()? {
                    b',' => self.at += 1,
                    b'}' => break,
                    _ => return Err(self.error(Problem::Syntax("a comma or }"))),
                }
            }
        }
        self.at += 1;
        self.depth -= 1;
        Ok(())
    }

    /// Calls `element` with the index of each element; it must read or skip it.
    #[inline]
    pub fn array(
        &mut self,
        mut element: impl FnMut(usize, &mut Self) -> Result<(), JsonError>,
    ) -> Result<(), JsonError> {
        self.enter(b'[', "a list")?;
        if self.peek()? == b']' {
            self.at += 1;
            self.depth -= 1;
            return Ok(());
        }
        for index in 0.. {
            element(index, self).map_err(|error| error.in_element(index))?;
            match self.peek()? {
                b',' => self.at += 1,
                b']' => break,
                _ => return Err(self.error(Problem::Syntax("a comma or ]"))),
            }
        }
        self.at += 1;
        self.depth -= 1;
        Ok(())
    }

    /// The source text of the next value, which is only checked to be JSON.
    pub fn raw(&mut self) -> Result<&'a [u8], JsonError> {
        self.peek()?;
        let start = self.at;
        self.skip()?;
        Ok(&self.bytes[start..self.at])
    }

    /// Checks that nothing but blanks follows.
    pub fn end(&mut self) -> Result<(), JsonError> {
        self.step_over_blanks();
        if self.at < self.bytes.len() { Err(self.error(Problem::Trailing)) } else { Ok(()) }
    }

    /// Counts an entry that is kept: three bytes of text may become half a KiB in memory.
    #[inline]
    pub(super) fn count_entry(&mut self) -> Result<(), JsonError> {
        self.entries += 1;
        if self.entries > ENTRY_LIMIT { Err(self.error(Problem::Entries)) } else { Ok(()) }
    }

    /// The next byte that is no blank, not yet taken.
    #[inline]
    pub(super) fn peek(&mut self) -> Result<u8, JsonError> {
        match self.bytes.get(self.at) {
            Some(byte) if *byte > b' ' => Ok(*byte),
            _ => self.peek_after_blanks(),
        }
    }

    #[cold]
    fn peek_after_blanks(&mut self) -> Result<u8, JsonError> {
        self.step_over_blanks();
        self.bytes.get(self.at).copied().ok_or_else(|| self.error(Problem::End))
    }

    fn step_over_blanks(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.bytes.get(self.at) {
            self.at += 1;
        }
    }

    #[inline]
    pub(super) fn enter(&mut self, bracket: u8, expected: &'static str) -> Result<(), JsonError> {
        if self.peek()? != bracket {
            return Err(self.wrong_type(expected));
        }
        self.at += 1;
        self.depth += 1;
        if self.depth > DEPTH_LIMIT { Err(self.error(Problem::Depth)) } else { Ok(()) }
    }

    /// A key as it stands there, and its colon; only one with escapes is `decoded`.
    #[inline]
    fn key<'k>(&mut self, decoded: &'k mut Vec<u8>) -> Result<&'k [u8], JsonError>
    where
        'a: 'k,
    {
        match self.short_key() {
            Some(key) => Ok(key),
            None => self.any_key(decoded),
        }
    }

    /// A key of at most 15 bytes, without escapes and blanks: nearly all are.
    #[inline]
    fn short_key(&mut self) -> Option<&'a [u8]> {
        // The quotes, the key and the colon: one check of the bounds for all of it.
        let text: &[u8; 18] = self.bytes.get(self.at..)?.first_chunk()?;
        let (b'"', inside) = text.split_first()? else { return None };
        let length = scan::short_string(inside.first_chunk()?)?;
        if inside.get(length + 1) != Some(&b':') {
            return None;
        }
        self.at += length + 3;
        inside.get(..length)
    }

    #[inline(never)]
    fn any_key<'k>(&mut self, decoded: &'k mut Vec<u8>) -> Result<&'k [u8], JsonError>
    where
        'a: 'k,
    {
        let start = self.open_string("a key in quotes")?;
        let end = scan::special(self.bytes, start);
        if self.bytes.get(end) == Some(&b'"') {
            self.at = end + 1;
            self.colon()?;
            return Ok(&self.bytes[start..end]);
        }
        *decoded = decode(self.escaped_string(start)?)?.into_bytes();
        self.colon()?;
        Ok(decoded)
    }

    #[inline]
    pub(super) fn colon(&mut self) -> Result<(), JsonError> {
        if self.peek()? != b':' {
            return Err(self.error(Problem::Syntax("a colon")));
        }
        self.at += 1;
        Ok(())
    }

    /// Steps over an opening quote; gives the index behind it.
    #[inline]
    pub(super) fn open_string(&mut self, expected: &'static str) -> Result<usize, JsonError> {
        if self.peek()? != b'"' {
            return Err(self.error(Problem::Syntax(expected)));
        }
        self.at += 1;
        Ok(self.at)
    }

    pub(super) fn literal(&mut self, word: &'static [u8]) -> Result<(), JsonError> {
        if !self.bytes[self.at..].starts_with(word) {
            let short =
                self.bytes.len() - self.at < word.len() && word.starts_with(&self.bytes[self.at..]);
            return Err(self.error(if short { Problem::End } else { Problem::Syntax("a value") }));
        }
        self.at += word.len();
        Ok(())
    }

    /// The problem, at the current byte.
    #[cold]
    pub(super) fn error(&self, problem: Problem) -> JsonError {
        JsonError::new(problem, self.at)
    }

    /// Marks the field at the current byte as seen; refuses one that was there before.
    #[inline]
    pub(crate) fn once(&self, seen: &mut u32, bit: u32) -> Result<(), JsonError> {
        if *seen & bit != 0 {
            return Err(self.error(Problem::Duplicate));
        }
        *seen |= bit;
        Ok(())
    }

    /// A value of another type stands at the current byte, or no value at all.
    #[cold]
    pub(super) fn wrong_type(&self, expected: &'static str) -> JsonError {
        let found = match self.bytes.get(self.at) {
            Some(b'"') => "string",
            Some(b'{') => "map",
            Some(b'[') => "sequence",
            Some(b't' | b'f') => "boolean",
            Some(b'n') => "null",
            Some(b'-' | b'0'..=b'9') => "number",
            Some(_) => return self.error(Problem::Syntax("a value")),
            None => return self.error(Problem::End),
        };
        self.error(Problem::Type { found, expected })
    }
}
