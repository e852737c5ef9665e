//! The structures of RFC 7292 that a file consists of.

use super::{PKCS7_DATA, X509_CERTIFICATE};
use crate::pki::der_reader::{CONTEXT_0, IMPLICIT_0, OBJECT_ID, OCTET_STRING, Reader, SEQUENCE};

/// The contents of a file, and its `MacData` if there is one.
pub(super) fn safe_and_mac(file: &[u8]) -> Option<(&[u8], Option<Reader<'_>>)> {
    let mut pfx = Reader::new(file).inside(SEQUENCE)?;
    pfx.small().filter(|&version| version == 3)?;
    let mut info = pfx.inside(SEQUENCE)?;
    info.take(OBJECT_ID).filter(|&kind| kind == PKCS7_DATA)?;
    let safe = info.inside(CONTEXT_0)?.take(OCTET_STRING)?;
    Some((safe, if pfx.is_empty() { None } else { Some(pfx.inside(SEQUENCE)?) }))
}

/// A `MacData`.
pub(super) struct Mac<'a> {
    pub(super) algorithm: &'a [u8],
    pub(super) expected: &'a [u8],
    pub(super) salt: &'a [u8],
    pub(super) iterations: u32,
}

/// Reads a `MacData`.
pub(super) fn mac(mut mac: Reader<'_>) -> Option<Mac<'_>> {
    let mut info = mac.inside(SEQUENCE)?;
    let algorithm = info.inside(SEQUENCE)?.take(OBJECT_ID)?;
    let expected = info.take(OCTET_STRING)?;
    let salt = mac.take(OCTET_STRING)?;
    let iterations = if mac.is_empty() { 1 } else { mac.small()? };
    Some(Mac { algorithm, expected, salt, iterations })
}

/// A `ContentInfo` or a `SafeBag`: its kind and its value.
pub(super) fn tagged<'a>(list: &mut Reader<'a>) -> Option<(&'a [u8], Reader<'a>)> {
    let mut one = list.inside(SEQUENCE)?;
    Some((one.take(OBJECT_ID)?, one.inside(CONTEXT_0)?))
}

/// The algorithm and the data of an `EncryptedData`.
pub(super) fn encrypted(mut content: Reader<'_>) -> Option<(Reader<'_>, &[u8])> {
    let mut encrypted = content.inside(SEQUENCE)?;
    encrypted.small()?;
    let mut info = encrypted.inside(SEQUENCE)?;
    info.take(OBJECT_ID)?;
    Some((info.inside(SEQUENCE)?, info.take(IMPLICIT_0)?))
}

/// The algorithm and the data of a `PKCS8ShroudedKeyBag`.
pub(super) fn shrouded_key(mut value: Reader<'_>) -> Option<(Reader<'_>, &[u8])> {
    let mut info = value.inside(SEQUENCE)?;
    Some((info.inside(SEQUENCE)?, info.take(OCTET_STRING)?))
}

/// The DER of a `CertBag`.
pub(super) fn certificate(mut value: Reader<'_>) -> Option<&[u8]> {
    let mut bag = value.inside(SEQUENCE)?;
    bag.take(OBJECT_ID).filter(|&kind| kind == X509_CERTIFICATE)?;
    bag.inside(CONTEXT_0)?.take(OCTET_STRING)
}
