//! The key that makes the headers of managed-identity endpoints.

use std::fmt;

/// Random bytes of a webhook's process; all zero for commands that run offline, whose output is to
/// be the same each time.
#[derive(Clone, Copy, Default)]
pub struct EndpointKey([u8; 32]);

impl EndpointKey {
    /// Of these random bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Without the bytes.
impl fmt::Debug for EndpointKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EndpointKey")
    }
}
