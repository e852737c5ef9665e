//! Strings that borrow from the document, and objects of them.

use super::cursor::Cursor;
use super::error::{JsonError, Problem};
use super::read::Read;
use super::scan::{self, Inside};
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

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All pairs.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, value.as_str()))
    }
}

impl<'a> StringMap<'a> {
    /// Adds a pair, which counts in place of an earlier one of its key.
    pub fn put(&mut self, key: &'a str, value: &'a str) {
        let value = Value { source: value, decoded: None };
        self.0.push((Text(Cow::Borrowed(key)), value));
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Self(Cow::Owned(text))
    }
}

impl<'a> From<Text<'a>> for Value<'a> {
    fn from(Text(text): Text<'a>) -> Self {
        match text {
            Cow::Borrowed(source) => Self { source, decoded: None },
            Cow::Owned(text) => Self { source: "", decoded: Some(Box::new(OnceLock::from(text))) },
        }
    }
}

impl<'a> FromIterator<(Text<'a>, Text<'a>)> for StringMap<'a> {
    fn from_iter<I: IntoIterator<Item = (Text<'a>, Text<'a>)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(key, text)| (key, Value::from(text))).collect())
    }
}

impl Value<'_> {
    fn as_str(&self) -> &str {
        let Some(decoded) = &self.decoded else { return self.source };
        decoded.get_or_init(|| decode(self.source).expect("checked when it was read"))
    }
}

/// Decodes what stands between the quotes.
pub(super) fn decode(source: &str) -> Result<String, JsonError> {
    let mut text = String::with_capacity(source.len());
    let mut rest = Cursor::new(source);
    loop {
        let next = scan::special(rest.bytes, rest.at);
        text.push_str(&source[rest.at..next]);
        rest.at = next;
        if next == source.len() {
            return Ok(text);
        }
        // A text may be nothing but escapes: the next special byte is not looked for between two.
        while rest.bytes.get(rest.at) == Some(&b'\\') {
            if let Some(plain) = scan::short_escape(rest.bytes, rest.at) {
                text.push(char::from(plain));
                rest.at += 2;
            } else {
                text.push(rest.long_escape()?);
            }
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

    /// What stands between the quotes, checked to decode, and whether there is an escape in it.
    #[inline]
    fn string_source(&mut self, expected: &'static str) -> Result<(&'a str, bool), JsonError> {
        if self.peek()? != b'"' {
            return Err(self.wrong_type(expected));
        }
        match self.plain_string() {
            Some(text) => Ok((text, false)),
            None => self.escaped_string(self.at + 1).map(|source| (source, true)),
        }
    }

    /// A string without escapes at the current byte; anything else is still to be read.
    #[expect(clippy::inline_always, reason = "the call would cost as much as a short string")]
    #[inline(always)]
    fn plain_string(&mut self) -> Option<&'a str> {
        if self.bytes.get(self.at) != Some(&b'"') {
            return None;
        }
        let start = self.at + 1;
        let end = scan::special(self.bytes, start);
        if self.bytes.get(end) != Some(&b'"') {
            return None;
        }
        self.at = end + 1;
        self.text.get(start..end)
    }

    /// What stands between the quotes of a string with escapes, checked to decode.
    #[inline(never)]
    pub(super) fn escaped_string(&mut self, start: usize) -> Result<&'a str, JsonError> {
        let end = self.check_rest_of_string(scan::special(self.bytes, start))?;
        self.at = end + 1;
        self.between(start, end)
    }

    /// Checks escapes and surrogates from the first special byte on; gives the index of the closing
    /// quote.
    fn check_rest_of_string(&mut self, first: usize) -> Result<usize, JsonError> {
        let mut escapes = scan::Escapes::default();
        let mut at = first;
        // Behind the last escape that was looked at: one beyond the basic plane has two letters.
        let mut checked = first;
        while let Some(block) = self.bytes.get(at..).and_then(<[u8]>::first_chunk) {
            let Inside { ends, mut letters } = escapes.inside(block);
            if ends != 0 {
                letters &= (1 << ends.trailing_zeros()) - 1;
            }
            while letters != 0 {
                let letter = at + letters.trailing_zeros() as usize;
                let is_short = scan::SHORT_ESCAPES[usize::from(self.bytes[letter])] != 0;
                if !is_short && letter > checked {
                    self.at = letter - 1;
                    self.long_escape()?;
                    checked = self.at;
                }
                letters &= letters - 1;
            }
            if ends != 0 {
                self.at = at + ends.trailing_zeros() as usize;
                return self.end_of_string();
            }
            at += block.len();
        }
        self.at = checked.max(at - usize::from(escapes.is_pending()));
        loop {
            while self.bytes.get(self.at) == Some(&b'\\') {
                self.escape()?;
            }
            self.at = scan::special(self.bytes, self.at);
            if self.bytes.get(self.at) != Some(&b'\\') {
                return self.end_of_string();
            }
        }
    }

    /// The quote at the current byte.
    fn end_of_string(&self) -> Result<usize, JsonError> {
        match self.bytes.get(self.at) {
            Some(b'"') => Ok(self.at),
            Some(_) => Err(self.error(Problem::ControlCharacter)),
            None => Err(self.error(Problem::End)),
        }
    }

    /// The character that the escape at the current byte stands for, two escapes for one beyond the
    /// basic plane.
    fn escape(&mut self) -> Result<char, JsonError> {
        if let Some(plain) = scan::short_escape(self.bytes, self.at) {
            self.at += 2;
            return Ok(char::from(plain));
        }
        self.long_escape()
    }

    /// An escape of more than two bytes.
    fn long_escape(&mut self) -> Result<char, JsonError> {
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
    // A call of its own: in each of dozens of readers it would make them too large.
    #[inline(never)]
    fn read_into(&mut self, cursor: &mut Cursor<'a>) -> Result<(), JsonError> {
        match cursor.plain_string() {
            Some(text) => self.0 = Cow::Borrowed(text),
            None => return self.read_any(cursor),
        }
        Ok(())
    }
}

impl<'a> Text<'a> {
    /// With escapes, behind blanks, or not a string.
    #[cold]
    fn read_any(&mut self, cursor: &mut Cursor<'a>) -> Result<(), JsonError> {
        self.0 = cursor.string("a string")?;
        Ok(())
    }
}

impl<'a> Read<'a> for StringMap<'a> {
    fn read_into(&mut self, cursor: &mut Cursor<'a>) -> Result<(), JsonError> {
        cursor.members("an object of strings", |cursor| {
            if cursor.peek()? != b'"' {
                return Err(cursor.error(Problem::Syntax("a key in quotes")));
            }
            let key = Text(cursor.string("a key")?);
            cursor.colon()?;
            let (source, is_escaped) = match cursor.peek()? {
                b'n' => cursor.literal(b"null").map(|()| ("", false))?,
                _ => cursor.string_source("a string")?,
            };
            cursor.count_entry()?;
            self.0.push((key, Value { source, decoded: is_escaped.then(Box::default) }));
            Ok(())
        })
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Pieces of a string: plain, escaped, wrong.
    fn piece() -> impl Strategy<Value = &'static str> {
        let plain = proptest::sample::select(&["a", "bcd", "é", "0123456789"][..]);
        let escapes = [r"\n", r#"\""#, r"\\", r"\/", r"\u0041", r"\u00e9", r"\ud83d\ude00"];
        let wrong = [r"\x", r"\ud83d", r"\ude00", r"\u00g0", "\u{1}", "\"", "\\"];
        prop_oneof![
            40 => plain,
            60 => proptest::sample::select(escapes.to_vec()),
            1 => proptest::sample::select(wrong.to_vec()),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn long_texts_read_as_serde_json_reads_them(
            pieces in proptest::collection::vec(piece(), 0..80),
            behind in 0_usize..130,
        ) {
            let json = format!("\"{}\"{}", pieces.concat(), " ".repeat(behind));
            let ours = crate::json::from_slice::<Text<'_>>(json.as_bytes());
            let theirs = serde_json::from_str::<String>(&json);
            prop_assert_eq!(ours.as_deref().ok(), theirs.as_deref().ok(), "{}", json);
        }
    }
}
