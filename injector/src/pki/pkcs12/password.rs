//! A password as the two kinds of key derivation take it.

use zeroize::Zeroizing;

/// One spelling of a password.
#[derive(Clone, Copy)]
pub(super) struct Password<'a> {
    /// For the derivation of PKCS#12: big-endian UTF-16, with two zero bytes at its end.
    pub(super) utf16: &'a [u8],
    /// For PBKDF2.
    pub(super) utf8: &'a [u8],
}

/// None, as PKCS#12 writes an empty one, and as no bytes at all.
pub(super) const NONE: [Password<'_>; 2] =
    [Password { utf16: &[0, 0], utf8: &[] }, Password { utf16: &[], utf8: &[] }];

/// Calls `read` with the spellings of `password`.
pub(super) fn given<T>(password: &str, read: impl FnOnce(&[Password<'_>]) -> T) -> T {
    if password.is_empty() {
        return read(&NONE);
    }
    // A vector that grows leaves copies behind.
    let mut utf16 = Zeroizing::new(Vec::with_capacity(password.len() * 2 + 2));
    for unit in password.encode_utf16().chain([0]) {
        utf16.extend_from_slice(&unit.to_be_bytes());
    }
    read(&[Password { utf16: &utf16, utf8: password.as_bytes() }])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_beyond_the_first_plane_are_two_units() {
        given("a\u{e9}\u{1f511}", |spellings| {
            let [one] = spellings else { panic!("{} spellings", spellings.len()) };
            let expected = [0, b'a', 0, 0xE9, 0xD8, 0x3D, 0xDD, 0x11, 0, 0];
            assert_eq!((one.utf16, one.utf8), (&expected[..], "a\u{e9}\u{1f511}".as_bytes()));
        });
        given("", |spellings| assert_eq!(spellings.len(), 2));
    }
}
