//! What the reading of one answer may cost. Its content may be hostile: who may write a secret
//! decides what is to be computed.
//!
//! One unit is one iteration of a key derivation, less than a microsecond; key operations count as
//! many as last as long.

/// Of all derivations and key operations of an answer together: OpenSSL writes 2,048 iterations for
/// each of three derivations, careful tools up to 600,000. It is a second or two, beside the one
/// thread and once for all files of the object.
pub(crate) const MAX_UNITS: u32 = 2_000_000;
/// Private keys of an answer.
pub(crate) const MAX_KEYS: usize = 16;
/// Certificates of an answer.
pub(crate) const MAX_CERTIFICATES: usize = 100;

/// What is left: everything is counted before it is computed.
pub(crate) struct Budget(u32);

impl Default for Budget {
    fn default() -> Self {
        Self(MAX_UNITS)
    }
}

/// It is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spent;

impl Budget {
    #[cfg(test)]
    pub(crate) fn of(units: u32) -> Self {
        Self(units)
    }

    /// Takes so much.
    pub(crate) fn spend(&mut self, units: u32) -> Result<(), Spent> {
        self.0 = self.0.checked_sub(units).ok_or(Spent)?;
        Ok(())
    }
}
