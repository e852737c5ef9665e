//! Bytes that may be secret: growing leaves no copy behind.

use super::{MAX_OUTPUT_BYTES, RenderProblem};
use zeroize::Zeroizing;

/// Output of a template, or a value on the way; prints nothing, zeroised when dropped.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Text(Zeroizing<Vec<u8>>);

impl Text {
    /// Adds bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), RenderProblem> {
        let needed = self.0.len() + bytes.len();
        if needed > MAX_OUTPUT_BYTES {
            return Err(RenderProblem::Size);
        }
        if needed > self.0.capacity() {
            let mut larger = Vec::new();
            let capacity = needed.max(2 * self.0.capacity()).min(MAX_OUTPUT_BYTES);
            larger.try_reserve_exact(capacity).map_err(|_| RenderProblem::Memory)?;
            larger.extend_from_slice(&self.0);
            self.0 = Zeroizing::new(larger);
        }
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    /// Adds one character.
    pub(super) fn push_char(&mut self, char: char) -> Result<(), RenderProblem> {
        self.push(char.encode_utf8(&mut [0; 4]).as_bytes())
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, for whoever zeroises them.
    pub fn into_bytes(self) -> Zeroizing<Vec<u8>> {
        self.0
    }
}

impl From<Zeroizing<Vec<u8>>> for Text {
    fn from(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }
}

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{} bytes]", self.0.len())
    }
}
