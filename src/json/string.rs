//! Strings that borrow from the document, and objects of them.

use super::cursor::Cursor;
use super::error::{JsonError, Problem};
use super::read::Read;
use super::scan;
use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::sync::OnceLock;

/// A string that borrows from the document where JSON has no escape in it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Text<'a>(pub(super) Cow<'a, str>);

/// A JSON object of strings (labels, annotations, attributes), in document order; null reads as the
/// empty string, as in Go.
///
/// A value with escapes is decoded when somebody asks for it: nobody asks for
/// `last-applied-configuration`, half of many pods.
#[derive(Clone, Debug, Default)]
pub struct StringMap<'a>(Vec<(Text<'a>, Value<'a>)>);

#[derive(Clone, Debug)]
struct Value<'a> {
    /// Between the quotes; checked.
    source: &'a str,
    /// `None` where the source is the value itself.
    decoded: Option<Box<OnceLock<String>>>,
}

impl StringMap<'_> {
    /// The value of `key`; the last one where a key is repeated, as in Go.
    pub fn find(&self, key: &str) -> Option<&str> {
        self.0.iter().rev().find(|(name, _)| &**name == key).map(|(_, value)| value.as_str())
    }

    /// The pairs whose key begins with `prefix`; the other values are not even decoded.
    pub fn below(&self, prefix: &str) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.0.iter().filter(move |(name, _)| name.starts_with(prefix));
        pairs.map(|(name, value)| (&**name, value.as_str()))
    }

    /// All pairs.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, value.as_str()))
    }
}

impl<'a> FromIterator<(Text<'a>, Text<'a>)> for StringMap<'a> {
    fn from_iter<I: IntoIterator<Item = (Text<'a>, Text<'a>)>>(pairs: I) -> Self {
        let value = |Text(text)| match text {
            Cow::Borrowed(source) => Value { source, decoded: None },
            Cow::Owned(text) => Value { source: "", decoded: Some(Box::new(OnceLock::from(text))) },
        };
        Self(pairs.into_iter().map(|(key, text)| (key, value(text))).collect())
    }
}

impl Value<'_> {
    fn as_str(&self) -> &str {
        let Some(decoded) = &self.decoded else { return self.source };
        decoded.get_or_init(|| decode(self.source).expect("checked when it was read"))
    }
}

/// Decodes what stands between the quotes.
fn decode(source: &str) -> Result<String, JsonError> {
    let mut text = String::with_capacity(source.len());
    let mut rest = Cursor::new(source);
    loop {
        let next = scan::special(rest.bytes, rest.at);
        text.push_str(&source[rest.at..next]);
        rest.at = next;
        if next == source.len() {
            return Ok(text);
        }
        text.push(rest.escape()?);
        while let Some(plain) = scan::short_escape(rest.bytes, rest.at) {
            text.push(char::from(plain));
            rest.at += 2;
        }
    }
}

impl<'a> Cursor<'a> {
    /// A string; at anything else, the error says what was expected.
    #[inline]
    pub(super) fn string(&mut self, expected: &'static str) -> Result<Cow<'a, str>, JsonError> {
        let (source, is_escaped) = self.string_source(expected)?;
        if is_escaped { decode(source).map(Cow::Owned) } else { Ok(Cow::Borrowed(source)) }
    }

    /// A string with escapes; at its opening quote.
    #[cold]
    pub(super) fn escaped_string(&mut self) -> Result<Cow<'a, str>, JsonError> {
        self.string("a string")
    }

    /// What stands between the quotes, checked to decode, and whether there is an escape in it.
    #[inline]
    fn string_source(&mut self, expected: &'static str) -> Result<(&'a str, bool), JsonError> {
        if self.peek()? != b'"' {
            return Err(self.wrong_type(expected));
        }
        let start = self.at + 1;
        let mut end = scan::special(self.bytes, start);
        let is_escaped = self.bytes.get(end) == Some(&b'\\');
        if self.bytes.get(end) != Some(&b'"') {
            end = self.check_rest_of_string(end)?;
        }
        self.at = end + 1;
        Ok((self.between(start, end)?, is_escaped))
    }

    /// Checks escapes and surrogates from the first special byte on; gives the index of the closing
    /// quote.
    #[inline(never)]
    fn check_rest_of_string(&mut self, end: usize) -> Result<usize, JsonError> {
        self.at = end;
        loop {
            match self.bytes.get(self.at) {
                Some(b'"') => return Ok(self.at),
                Some(b'\\') => {
                    self.escape()?;
                    while scan::short_escape(self.bytes, self.at).is_some() {
                        self.at += 2;
                    }
                }
                Some(_) => return Err(self.error(Problem::ControlCharacter)),
                None => return Err(self.error(Problem::End)),
            }
            self.at = scan::special(self.bytes, self.at);
        }
    }

    /// The character that the escape at the current byte stands for, two escapes for one beyond the
    /// basic plane.
    fn escape(&mut self) -> Result<char, JsonError> {
        if let Some(plain) = scan::short_escape(self.bytes, self.at) {
            self.at += 2;
            return Ok(char::from(plain));
        }
        match self.bytes.get(self.at + 1) {
            Some(b'u') => self.unicode_escape(),
            Some(_) => Err(self.error(Problem::Escape)),
            None => Err(self.error(Problem::End)),
        }
    }

    fn unicode_escape(&mut self) -> Result<char, JsonError> {
        let first = self.hex(self.at + 2)?;
        if let Some(character) = char::from_u32(first.into()) {
            self.at += 6;
            return Ok(character);
        }
        let mut units = [first, 0];
        let mut length = 1;
        if (0xd800..0xdc00).contains(&first) {
            if self.bytes.get(self.at + 6..self.at + 8) != Some(b"\\u") {
                return Err(self.error(Problem::Escape));
            }
            units[1] = self.hex(self.at + 8)?;
            length = 2;
        }
        let mut characters = char::decode_utf16(units[..length].iter().copied());
        let Some(Ok(character)) = characters.next() else {
            return Err(self.error(Problem::Escape));
        };
        if characters.next().is_some() {
            return Err(self.error(Problem::Escape));
        }
        self.at += 6 * length;
        Ok(character)
    }
}

impl<'a> Read<'a> for Text<'a> {
    #[inline]
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, JsonError> {
        cursor.string("a string").map(Self)
    }
}

impl<'a> Read<'a> for StringMap<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, JsonError> {
        let mut pairs = Vec::new();
        cursor.object_of_text(|key, cursor| {
            let (source, is_escaped) = match cursor.peek()? {
                b'n' => cursor.literal(b"null").map(|()| ("", false))?,
                _ => cursor.string_source("a string")?,
            };
            cursor.count_entry()?;
            pairs.push((key, Value { source, decoded: is_escaped.then(Box::default) }));
            Ok(())
        })?;
        Ok(Self(pairs))
    }
}

impl<'a> Cursor<'a> {
    /// As [`Cursor::object`], with keys that matter whatever they are.
    fn object_of_text(
        &mut self,
        mut member: impl FnMut(Text<'a>, &mut Self) -> Result<(), JsonError>,
    ) -> Result<(), JsonError> {
        self.enter(b'{', "an object of strings")?;
        let mut first = true;
        while self.next_member(&mut first)? {
            if self.peek()? != b'"' {
                return Err(self.error(Problem::Syntax("a key in quotes")));
            }
            let key = Text(self.string("a key")?);
            self.colon()?;
            member(key, self)?;
        }
        Ok(())
    }
}

impl Deref for Text<'_> {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
