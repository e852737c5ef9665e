//! JSON, read in one pass and written in one: a cursor over the bytes that visits what is wanted
//! and skips the rest; the writer is [`write`].
//!
//! A pod is mostly fields that no decision needs, so what is skipped is what costs: `serde_json`
//! walks them token by token through generic code. [`Cursor`] borrows every string that has no
//! escape, skips without recursion, and says in its errors which field was wrong and what was
//! expected there. [`view!`] declares a struct and its reader at once.
//!
//! Of what is read it accepts what `serde_json` accepts (a property test and the fuzz target
//! `cursor` compare them); of what is skipped, only where it ends is found out: [`Cursor::skip`]. A
//! key that occurs twice is refused in a [`view!`] (the API server never sends one), and the last
//! one wins in a [`StringMap`], as in Go.

mod cursor;
mod error;
mod pointer;
mod read;
mod scan;
mod skip;
mod string;
mod view;
mod with_serde;
pub(crate) mod write;

pub use cursor::Cursor;
pub use error::{JsonError, Problem};
pub(crate) use pointer::Path;
pub use read::{Given, Present, Quantity, Read};
pub(crate) use scan::contains;
pub use string::{StringMap, Text};
pub(crate) use view::view;

/// Deepest nesting; the deepest field of a pod is a dozen levels down.
pub const DEPTH_LIMIT: u32 = 127;

/// Most entries of lists and maps that are kept of one document: what a stranger's megabytes may
/// take of our memory is bounded.
pub const ENTRY_LIMIT: u32 = 20_000;

/// Reads a whole document.
///
/// # Errors
/// [`JsonError`] where it is no JSON, or not a `T`.
pub fn from_slice<'a, T: Read<'a>>(bytes: &'a [u8]) -> Result<T, JsonError> {
    // All of it at once: what is skipped too, and in less time than string by string.
    let text = std::str::from_utf8(bytes)
        .map_err(|error| JsonError::new(Problem::Utf8, error.valid_up_to()))?;
    let mut cursor = Cursor::new(text);
    let value = cursor.value()?;
    cursor.end()?;
    Ok(value)
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod view_tests;
