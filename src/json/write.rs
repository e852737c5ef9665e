//! Writing JSON: what [`Serialize`] gives, as `serde_json` writes it, with strings looked at 16
//! bytes at a time.
//!
//! A patch is mostly paths, names and values without an escape; byte by byte through a table they
//! cost more than all the rest of it.

use super::scan;
use serde::Serialize;
use serde::ser::{self, Impossible, SerializeMap, SerializeSeq, SerializeStruct};
use std::fmt;

/// Appends `value` to `json`.
///
/// # Errors
/// Where the value is of a kind that nothing of ours is: bytes, tuples, enum variants with content,
/// map keys that are no strings.
pub(crate) fn append(
    json: &mut Vec<u8>,
    value: &(impl Serialize + ?Sized),
) -> Result<(), WriteError> {
    value.serialize(Writer(json))
}

/// Appends a string with its quotes.
#[inline]
pub(crate) fn append_string(json: &mut Vec<u8>, text: &str) {
    json.push(b'"');
    append_inside(json, text);
    json.push(b'"');
}

/// Appends what stands between the quotes of a string.
pub(crate) fn append_inside(json: &mut Vec<u8>, text: &str) {
    // Looked at where it is written: before a block of quotes, the last bytes are part of a whole
    // block too.
    const BEHIND: [u8; 16] = [b'"'; 16];
    let start = json.len();
    json.reserve(text.len() + BEHIND.len());
    json.extend_from_slice(text.as_bytes());
    json.extend_from_slice(&BEHIND);
    let end = scan::special(json, start);
    json.truncate(end);
    if end - start < text.len() {
        append_escaped(json, &text.as_bytes()[end - start..]);
    }
}

/// Appends a number.
pub(crate) fn append_number(json: &mut Vec<u8>, mut number: usize) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b"0123456789"[number % 10];
        number /= 10;
        if number == 0 {
            break;
        }
    }
    json.extend_from_slice(&digits[start..]);
}

#[cold]
fn append_escaped(json: &mut Vec<u8>, mut rest: &[u8]) {
    while let Some(&byte) = rest.first() {
        let short = match byte {
            b'"' | b'\\' => Some(byte),
            b'\n' => Some(b'n'),
            b'\r' => Some(b'r'),
            b'\t' => Some(b't'),
            0x08 => Some(b'b'),
            0x0c => Some(b'f'),
            _ => None,
        };
        match short {
            Some(letter) => json.extend_from_slice(&[b'\\', letter]),
            None => json.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
        }
        let next = scan::special(rest, 1);
        json.extend_from_slice(&rest[1..next]);
        rest = &rest[next..];
    }
}

/// A kind of value that is never written.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct WriteError(String);

impl ser::Error for WriteError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

fn unsupported<T>(kind: &str) -> Result<T, WriteError> {
    Err(WriteError(format!("{kind} cannot be written")))
}

/// Writes one value.
struct Writer<'a>(&'a mut Vec<u8>);

/// Writes the members of a list or an object.
struct Members<'a> {
    json: &'a mut Vec<u8>,
    is_first: bool,
    end: u8,
}

impl<'a> Writer<'a> {
    fn open(self, start: u8, end: u8) -> Members<'a> {
        self.0.push(start);
        Members { json: self.0, is_first: true, end }
    }

    /// Numbers: rare, and as `serde_json` has them.
    fn number(self, value: impl Serialize) -> Result<(), WriteError> {
        serde_json::to_writer(self.0, &value).map_err(ser::Error::custom)
    }
}

impl Members<'_> {
    fn separate(&mut self) {
        if !std::mem::take(&mut self.is_first) {
            self.json.push(b',');
        }
    }

    fn close(self) {
        self.json.push(self.end);
    }
}

macro_rules! numbers {
    ($($name:ident($type:ty))*) => {$(
        fn $name(self, value: $type) -> Result<(), WriteError> {
            self.number(value)
        }
    )*};
}

impl<'a> ser::Serializer for Writer<'a> {
    type Ok = ();
    type Error = WriteError;
    type SerializeSeq = Members<'a>;
    type SerializeMap = Members<'a>;
    type SerializeStruct = Members<'a>;
    type SerializeTuple = Members<'a>;
    type SerializeTupleStruct = Impossible<(), WriteError>;
    type SerializeTupleVariant = Impossible<(), WriteError>;
    type SerializeStructVariant = Impossible<(), WriteError>;

    numbers! {
        serialize_i8(i8) serialize_i16(i16) serialize_i32(i32) serialize_i64(i64)
        serialize_u8(u8) serialize_u16(u16) serialize_u32(u32) serialize_u64(u64)
        serialize_f32(f32) serialize_f64(f64)
    }

    fn serialize_bool(self, value: bool) -> Result<(), WriteError> {
        self.0.extend_from_slice(if value { b"true" } else { b"false" });
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<(), WriteError> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), WriteError> {
        append_string(self.0, value);
        Ok(())
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<(), WriteError> {
        unsupported("bytes")
    }

    fn serialize_none(self) -> Result<(), WriteError> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), WriteError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), WriteError> {
        self.0.extend_from_slice(b"null");
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), WriteError> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), WriteError> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), WriteError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), WriteError> {
        unsupported(name)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Members<'a>, WriteError> {
        Ok(self.open(b'[', b']'))
    }

    fn serialize_tuple(self, _: usize) -> Result<Members<'a>, WriteError> {
        Ok(self.open(b'[', b']'))
    }

    fn serialize_tuple_struct(
        self,
        name: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleStruct, WriteError> {
        unsupported(name)
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, WriteError> {
        unsupported(name)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Members<'a>, WriteError> {
        Ok(self.open(b'{', b'}'))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Members<'a>, WriteError> {
        Ok(self.open(b'{', b'}'))
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, WriteError> {
        unsupported(name)
    }
}

impl SerializeSeq for Members<'_> {
    type Ok = ();
    type Error = WriteError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), WriteError> {
        self.separate();
        append(self.json, value)
    }

    fn end(self) -> Result<(), WriteError> {
        self.close();
        Ok(())
    }
}

impl ser::SerializeTuple for Members<'_> {
    type Ok = ();
    type Error = WriteError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), WriteError> {
        SerializeSeq::serialize_element(self, value)
    }

    fn end(self) -> Result<(), WriteError> {
        SerializeSeq::end(self)
    }
}

impl SerializeMap for Members<'_> {
    type Ok = ();
    type Error = WriteError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), WriteError> {
        self.separate();
        let start = self.json.len();
        append(self.json, key)?;
        if self.json.get(start) == Some(&b'"') {
            Ok(())
        } else {
            unsupported("a key that is not a string")
        }
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), WriteError> {
        self.json.push(b':');
        append(self.json, value)
    }

    fn end(self) -> Result<(), WriteError> {
        self.close();
        Ok(())
    }
}

impl SerializeStruct for Members<'_> {
    type Ok = ();
    type Error = WriteError;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), WriteError> {
        self.separate();
        // The name of a field, without an escape.
        self.json.push(b'"');
        self.json.extend_from_slice(key.as_bytes());
        self.json.extend_from_slice(b"\":");
        append(self.json, value)
    }

    fn end(self) -> Result<(), WriteError> {
        self.close();
        Ok(())
    }
}

#[cfg(test)]
#[path = "write_tests.rs"]
mod tests;
