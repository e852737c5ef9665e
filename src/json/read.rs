//! What can be read: one implementation a type.

use super::cursor::Cursor;
use super::error::{JsonError, Problem};
use super::string::Text;
use std::borrow::Cow;

/// A value that a [`Cursor`] can read.
pub trait Read<'a>: Sized {
    /// Reads it at the cursor.
    ///
    /// # Errors
    /// [`JsonError`] where it is no JSON, or not of this type.
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, JsonError>;
}

/// A value is present; its content is skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Present;

/// A Kubernetes quantity in its source text: a JSON string or number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quantity<'a>(pub Text<'a>);

impl<'a, T: Read<'a>> Read<'a> for Option<T> {
    #[inline]
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, JsonError> {
        if cursor.peek()? == b'n' {
            cursor.literal(b"null")?;
            return Ok(None);
        }
        T::read(cursor).map(Some)
    }
}

impl<'a, T: Read<'a> + Default> Read<'a> for Vec<T> {
    /// A null element reads as the default, as in Go.
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, JsonError> {
        let mut list = Vec::new();
        cursor.array(|_, cursor| {
            cursor.count_entry()?;
            if list.is_empty() {
                // Half a KiB to begin with, or one element: growing in steps would copy them
                // several times.
                list.reserve_exact((512 / size_of::<T>().max(1)).max(1));
            }
            list.push(cursor.value_or_default()?);
            Ok(())
        })?;
        Ok(list)
    }
}

impl<'a> Read<'a> for bool {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, JsonError> {
        match cursor.peek()? {
            b't' => cursor.literal(b"true").map(|()| true),
            b'f' => cursor.literal(b"false").map(|()| false),
            _ => Err(cursor.wrong_type("a boolean")),
        }
    }
}

impl<'a> Read<'a> for i64 {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, JsonError> {
        let start = cursor.number("an integer")?;
        cursor
            .between(start, cursor.at)?
            .parse()
            .map_err(|_| JsonError::new(Problem::Number, start))
    }
}

impl<'a> Read<'a> for Quantity<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, JsonError> {
        if cursor.peek()? == b'"' {
            return Text::read(cursor).map(Self);
        }
        let start = cursor.number("a quantity")?;
        Ok(Self(Text(Cow::Borrowed(cursor.between(start, cursor.at)?))))
    }
}

impl<'a> Read<'a> for Present {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, JsonError> {
        cursor.skip().map(|()| Self)
    }
}

impl Cursor<'_> {
    /// Steps over a number; gives where it starts.
    fn number(&mut self, expected: &'static str) -> Result<usize, JsonError> {
        if !matches!(self.peek()?, b'-' | b'0'..=b'9') {
            return Err(self.wrong_type(expected));
        }
        let start = self.at;
        self.skip_number()?;
        Ok(start)
    }
}
