//! JSON pointers, written part by part: `("/spec/volumes/", index)`.

use super::write;

/// A pointer or a part of one: a constant text without anything that JSON escapes, a number, or
/// several.
pub(crate) trait Path {
    /// Appends it, as it stands inside a JSON string.
    fn append_to(&self, json: &mut Vec<u8>);
}

impl Path for &'static str {
    #[inline]
    fn append_to(&self, json: &mut Vec<u8>) {
        debug_assert!(!self.contains(['"', '\\']) && !self.contains(char::is_control), "{self}");
        json.extend_from_slice(self.as_bytes());
    }
}

impl Path for usize {
    fn append_to(&self, json: &mut Vec<u8>) {
        write::append_number(json, *self);
    }
}

impl<A: Path, B: Path> Path for (A, B) {
    fn append_to(&self, json: &mut Vec<u8>) {
        self.0.append_to(json);
        self.1.append_to(json);
    }
}

impl<A: Path, B: Path, C: Path> Path for (A, B, C) {
    fn append_to(&self, json: &mut Vec<u8>) {
        self.0.append_to(json);
        self.1.append_to(json);
        self.2.append_to(json);
    }
}

impl<A: Path, B: Path, C: Path, D: Path> Path for (A, B, C, D) {
    fn append_to(&self, json: &mut Vec<u8>) {
        self.0.append_to(json);
        self.1.append_to(json);
        self.2.append_to(json);
        self.3.append_to(json);
    }
}
