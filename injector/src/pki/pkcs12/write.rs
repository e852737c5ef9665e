//! Writes PKCS#12 without a password: certificates in the clear, the key in AES-256, SHA-256 as
//! MAC. Java finds a key in no other kind of bag. Salts follow from the key, so that the same
//! content gives the same file, and no refresh rewrites it.

use super::derive::{self, Digest, Use};
use super::password::NONE;
use super::{BAG, CERTIFICATE_BAG, PKCS7_DATA, SHROUDED_KEY_BAG, X509_CERTIFICATE};
use crate::pki::der::{Der, context, integer, octets, oid, sequence, set};
use aws_lc_rs::cipher::{AES_256, EncryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey};
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use aws_lc_rs::iv::FixedLength;

const ITERATIONS: u32 = 2048;
/// 1.2.840.113549.1.9.21: which certificate belongs to which key.
const LOCAL_KEY_ID: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x09, 0x15];
const SHA256: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
const HMAC_SHA256: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x02, 0x09];
const PBES2: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x05, 0x0D];
const PBKDF2: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x05, 0x0C];
const AES_256_CBC: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2A];
const NULL: &[u8] = &[5, 0];

/// The file; `None` if the cipher fails, which it has no reason to. The first certificate is that
/// of the key.
pub(crate) fn write(key: Option<&[u8]>, certificates: &[&[u8]]) -> Option<Der> {
    let leaf_id =
        digest(&SHA1_FOR_LEGACY_USE_ONLY, certificates.first().copied().unwrap_or_default());
    let attributes = set(&sequence(&[&oid(LOCAL_KEY_ID), &set(&octets(leaf_id.as_ref()))]));
    let bags = certificates.iter().enumerate().map(|(index, der)| {
        let value = sequence(&[&oid(X509_CERTIFICATE), &context(0, &octets(der))]);
        bag(CERTIFICATE_BAG, &value, if index == 0 && key.is_some() { &attributes } else { &[] })
    });
    let bags: Vec<Der> = bags.collect();
    let bags: Vec<&[u8]> = bags.iter().map(|bag| bag.as_slice()).collect();
    let certificates = data(&sequence(&bags));
    let keys = match key {
        None => Der::default(),
        Some(key) => data(&sequence(&[&bag(SHROUDED_KEY_BAG, &shrouded(key)?, &attributes)])),
    };
    let safe = sequence(&[&certificates, &keys]);
    let salt = salt(&safe, b"mac");
    let mac_key = derive::pkcs12(
        Digest::Sha256,
        Use::Mac,
        NONE[0].utf16,
        &salt,
        ITERATIONS,
        Digest::Sha256.length(),
    );
    let mac = octets(&Digest::Sha256.mac(&mac_key, &safe));
    let mac = sequence(&[&sequence(&[&oid(SHA256), NULL]), &mac]);
    let mac = sequence(&[&mac, &octets(&salt), &integer(ITERATIONS)]);
    Some(sequence(&[&integer(3), &data(&safe), &mac]))
}

fn bag(kind: u8, value: &[u8], attributes: &[u8]) -> Der {
    sequence(&[&oid(&[BAG, &[kind]].concat()), &context(0, value), attributes])
}

/// `ContentInfo` of plain data.
fn data(content: &[u8]) -> Der {
    sequence(&[&oid(PKCS7_DATA), &context(0, &octets(content))])
}

/// `EncryptedPrivateKeyInfo` with PBES2.
fn shrouded(key: &[u8]) -> Option<Der> {
    let (salt, vector) = (salt(key, b"key"), salt(key, b"iv"));
    let derived = derive::pbkdf2(Digest::Sha256, NONE[0].utf8, &salt, ITERATIONS, 32)?;
    let secret = encrypted(key, &derived, vector)?;
    let function = sequence(&[&oid(HMAC_SHA256), NULL]);
    let derivation =
        sequence(&[&oid(PBKDF2), &sequence(&[&octets(&salt), &integer(ITERATIONS), &function])]);
    let encryption = sequence(&[&oid(AES_256_CBC), &octets(&vector)]);
    let algorithm = sequence(&[&oid(PBES2), &sequence(&[&derivation, &encryption])]);
    Some(sequence(&[&algorithm, &octets(&secret)]))
}

/// AES-256 in CBC mode, in place: without room for the padding the vector would move, and leave the
/// key behind.
pub(super) fn encrypted(plain: &[u8], key: &[u8], vector: [u8; 16]) -> Option<Der> {
    let cipher =
        PaddedBlockEncryptingKey::cbc_pkcs7(UnboundCipherKey::new(&AES_256, key).ok()?).ok()?;
    let mut secret = Der::new(Vec::with_capacity(plain.len() + 16));
    secret.extend_from_slice(plain);
    cipher
        .less_safe_encrypt(&mut *secret, EncryptionContext::Iv128(FixedLength::from(vector)))
        .ok()?;
    Some(secret)
}

/// Sixteen bytes that look random and follow from the content.
fn salt(content: &[u8], purpose: &[u8]) -> [u8; 16] {
    let mac = Digest::Sha256.mac(purpose, content);
    mac.first_chunk().copied().unwrap_or_default()
}
