//! What can be read: one implementation a type.

use super::cursor::Cursor;
use super::error::{JsonError, Problem};
use super::string::Text;
use std::borrow::Cow;

/// A value that a [`Cursor`] can read.
pub trait Read<'a>: Default {
    /// Reads it at the cursor, over a value that is still the default.
    ///
    /// In place: a struct that comes back in a `Result` is copied once a level.
    ///
    /// # Errors
    /// [`JsonError`] where it is no JSON, or not of this type.
    fn read_into(&mut self, cursor: &mut Cursor<'a>) -> Result<(), JsonError>;

    /// Reads it at the cursor.
    ///
    /// # Errors
    /// As [`Read::read_into`].
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, JsonError> {
        let mut value = Self::default();
        value.read_into(cursor)?;
        Ok(value)
    }
}

/// A value is present; its content is skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Present;

/// A value, and whether the document has one: what is absent or null reads as the default.
#[derive(Debug, Clone, Default)]
pub struct Given<T> {
    /// Whether it is there.
    pub is_given: bool,
    /// The value.
    pub value: T,
}

impl<T> std::ops::Deref for Given<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<'a, T: Read<'a>> Read<'a> for Given<T> {
    fn read_into(&mut self, cursor: &mut Cursor<'a>) -> Result<(), JsonError> {
        self.is_given = true;
        self.value.read_into(cursor)
    }
}

/// A Kubernetes quantity in its source text: a JSON string or number.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Quantity<'a>(pub Text<'a>);

impl<'a, T: Read<'a>> Read<'a> for Option<T> {
    #[inline]
    fn read_into(&mut self, cursor: &mut Cursor<'a>) -> Result<(), JsonError> {
        if cursor.peek()? == b'n' {
            return cursor.literal(b"null");
        }
        self.insert(T::default()).read_into(cursor)
    }
}

impl<'a, T: Read<'a>> Read<'a> for Vec<T> {
    /// A null element reads as the default, as in Go.
    fn read_into(&mut self, cursor: &mut Cursor<'a>) -> Result<(), JsonError> {
        cursor.array(|index, cursor| {
            cursor.count_entry()?;
            // Half a KiB to begin with, or one element, then four times that: growing in steps
            // would copy them several times.
            let first = (512 / size_of::<T>().max(1)).max(1);
            if index == 0 {
                self.reserve_exact(first);
            } else if index == first {
                self.reserve_exact(3 * first);
            }
            self.push(T::default());
            cursor.value_or_null(&mut self[index])
        })
    }
}

impl<'a> Read<'a> for bool {
    fn read_into(&mut self, cursor: &mut Cursor<'a>) -> Result<(), JsonError> {
        *self = match cursor.peek()? {
            b't' => cursor.literal(b"true").map(|()| true)?,
            b'f' => cursor.literal(b"false").map(|()| false)?,
            _ => return Err(cursor.wrong_type("a boolean")),
        };
        Ok(())
    }
}

impl<'a> Read<'a> for i64 {
    fn read_into(&mut self, cursor: &mut Cursor<'a>) -> Result<(), JsonError> {
        let start = cursor.number("an integer")?;
        *self = cursor
            .between(start, cursor.at)?
            .parse()
            .map_err(|_| JsonError::new(Problem::Number, start))?;
        Ok(())
    }
}

impl<'a> Read<'a> for Quantity<'a> {
    fn read_into(&mut self, cursor: &mut Cursor<'a>) -> Result<(), JsonError> {
        if cursor.peek()? == b'"' {
            return self.0.read_into(cursor);
        }
        let start = cursor.number("a quantity")?;
        self.0 = Text(Cow::Borrowed(cursor.between(start, cursor.at)?));
        Ok(())
    }
}

impl<'a> Read<'a> for Present {
    fn read_into(&mut self, cursor: &mut Cursor<'a>) -> Result<(), JsonError> {
        cursor.skip()
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
