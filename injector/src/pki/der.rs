//! The few DER forms that keys and PKCS#12 need (X.690). Everything may hold a secret, so
//! everything is zeroised.

use super::der_reader::{BIT_STRING, CONTEXT_0, INTEGER, OBJECT_ID, OCTET_STRING, SEQUENCE};
use zeroize::Zeroizing;

pub(crate) type Der = Zeroizing<Vec<u8>>;

const SET: u8 = 0x31;

/// Tag, length, value.
fn tlv(tag: u8, parts: &[&[u8]]) -> Der {
    let bytes: usize = parts.iter().map(|part| part.len()).sum();
    let length = bytes.to_be_bytes();
    let significant =
        &length[length.iter().position(|&byte| byte != 0).unwrap_or(length.len() - 1)..];
    // A vector that grows leaves copies behind.
    let mut der = Zeroizing::new(Vec::with_capacity(bytes + 10));
    der.push(tag);
    if bytes >= 0x80 {
        der.push(0x80 | u8::try_from(significant.len()).unwrap_or_default());
    }
    der.extend_from_slice(significant);
    for part in parts {
        der.extend_from_slice(part);
    }
    der
}

/// A sequence of encoded parts.
pub(crate) fn sequence(parts: &[&[u8]]) -> Der {
    tlv(SEQUENCE, parts)
}

/// A set of one encoded part.
pub(crate) fn set(part: &[u8]) -> Der {
    tlv(SET, &[part])
}

/// `[number]` around an encoded part.
pub(crate) fn context(number: u8, part: &[u8]) -> Der {
    tlv(CONTEXT_0 | number, &[part])
}

/// Bytes as an octet string.
pub(crate) fn octets(bytes: &[u8]) -> Der {
    tlv(OCTET_STRING, &[bytes])
}

/// An object identifier from its encoded value.
pub(crate) fn oid(value: &[u8]) -> Der {
    tlv(OBJECT_ID, &[value])
}

/// A number that is not negative.
pub(crate) fn integer(number: u32) -> Der {
    unsigned(&number.to_be_bytes())
}

/// A positive integer from big-endian bytes: no needless zeros, one where the first bit would mean
/// "negative".
pub(crate) fn unsigned(bytes: &[u8]) -> Der {
    let start = bytes.iter().position(|&byte| byte != 0).unwrap_or(bytes.len());
    let value = &bytes[start..];
    let sign: &[u8] = if value.first().is_none_or(|&byte| byte >= 0x80) { &[0] } else { &[] };
    tlv(INTEGER, &[sign, value])
}

/// Whole bytes as a bit string.
pub(crate) fn bit_string(bytes: &[u8]) -> Der {
    tlv(BIT_STRING, &[&[0], bytes])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_take_the_short_and_the_long_form() {
        assert_eq!(tlv(4, &[&[]])[..], [4, 0]);
        assert_eq!(tlv(4, &[&[0; 127]])[..2], [4, 127]);
        assert_eq!(tlv(4, &[&[0; 128]])[..3], [4, 0x81, 128]);
        assert_eq!(tlv(4, &[&[0; 300]])[..4], [4, 0x82, 1, 44]);
    }

    #[test]
    fn integers_are_positive_and_minimal() {
        for (bytes, expected) in [
            (&[][..], &[2, 1, 0][..]),
            (&[0, 0], &[2, 1, 0]),
            (&[0, 1], &[2, 1, 1]),
            (&[0x80], &[2, 2, 0, 0x80]),
            (&[1, 0, 1], &[2, 3, 1, 0, 1]),
        ] {
            assert_eq!(unsigned(bytes)[..], *expected);
        }
    }
}
