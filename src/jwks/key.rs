//! The public key of a PEM block: RSA and EC, alone, within a private key or a certificate.

use super::der::{
    BIT_STRING, EXPLICIT, NULL, OBJECT_ID, OCTET_STRING, Reader, SEQUENCE, write, write_unsigned,
};
use super::pem::Block;

/// 1.2.840.113549.1.1.1
const RSA: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01];
/// 1.2.840.10045.2.1
const EC: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01];
/// An uncompressed point.
const UNCOMPRESSED: u8 = 4;

const BROKEN: &str = "it is cut off, or not what its label says";
const ENCRYPTED: &str = "it is protected by a password";
const OTHER_KEY: &str = "it is neither an RSA key nor an EC key";
const OTHER_CURVE: &str = "its curve is not P-256, P-384 or P-521";
const COMPRESSED: &str = "its point is compressed, which tokens do not use";
const NO_PUBLIC_PART: &str = "it holds the private part alone; give the public key \
    (openssl pkey -in FILE -pubout)";

/// A curve that tokens are signed on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Curve {
    pub(super) name: &'static str,
    pub(super) algorithm: &'static str,
    id: &'static [u8],
    bytes: usize,
}

const CURVES: [Curve; 3] = [
    Curve {
        name: "P-256",
        algorithm: "ES256",
        id: &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07],
        bytes: 32,
    },
    Curve { name: "P-384", algorithm: "ES384", id: &[0x2B, 0x81, 0x04, 0x00, 0x22], bytes: 48 },
    Curve { name: "P-521", algorithm: "ES512", id: &[0x2B, 0x81, 0x04, 0x00, 0x23], bytes: 66 },
];

/// What the set says of a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PublicKey {
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    /// Both coordinates, one after the other.
    Ec {
        curve: &'static Curve,
        point: Vec<u8>,
    },
}

/// The key of a block; `None` where its label says that it holds none.
pub(super) fn of_block(block: &Block<'_>) -> Result<Option<PublicKey>, &'static str> {
    if block.is_encrypted || block.label == "ENCRYPTED PRIVATE KEY" {
        return Err(ENCRYPTED);
    }
    let mut der = Reader::new(&block.der);
    match block.label {
        "PUBLIC KEY" => spki(&mut der),
        "RSA PUBLIC KEY" => der.enter(SEQUENCE).ok_or(BROKEN).and_then(rsa),
        "RSA PRIVATE KEY" => der.enter(SEQUENCE).ok_or(BROKEN).and_then(rsa_private),
        "EC PRIVATE KEY" => der.enter(SEQUENCE).ok_or(BROKEN).and_then(|key| ec_private(key, None)),
        "PRIVATE KEY" => pkcs8(der.enter(SEQUENCE).ok_or(BROKEN)?),
        "CERTIFICATE" => certificate(der.enter(SEQUENCE).ok_or(BROKEN)?),
        "DSA PRIVATE KEY" | "OPENSSH PRIVATE KEY" => Err(OTHER_KEY),
        _ => return Ok(None),
    }
    .map(Some)
}

/// `SEQUENCE { SEQUENCE { algorithm, parameters }, BIT STRING }`
fn spki(der: &mut Reader<'_>) -> Result<PublicKey, &'static str> {
    let mut spki = der.enter(SEQUENCE).ok_or(BROKEN)?;
    let mut algorithm = spki.enter(SEQUENCE).ok_or(BROKEN)?;
    let id = algorithm.take(OBJECT_ID).ok_or(BROKEN)?;
    let bits = spki.bits().ok_or(BROKEN)?;
    match id {
        RSA => rsa(Reader::new(bits).enter(SEQUENCE).ok_or(BROKEN)?),
        EC => ec(curve(algorithm)?, bits),
        _ => Err(OTHER_KEY),
    }
}

fn rsa(mut key: Reader<'_>) -> Result<PublicKey, &'static str> {
    let (modulus, exponent) = (key.unsigned().ok_or(BROKEN)?, key.unsigned().ok_or(BROKEN)?);
    if modulus.is_empty() || exponent.is_empty() {
        return Err(BROKEN);
    }
    Ok(PublicKey::Rsa { modulus: modulus.to_vec(), exponent: exponent.to_vec() })
}

/// `SEQUENCE { version, modulus, exponent, … }`
fn rsa_private(mut key: Reader<'_>) -> Result<PublicKey, &'static str> {
    key.unsigned().ok_or(BROKEN)?;
    rsa(key)
}

/// `SEQUENCE { 1, OCTET STRING, [0] curve, [1] BIT STRING }`
fn ec_private(
    mut key: Reader<'_>,
    known: Option<&'static Curve>,
) -> Result<PublicKey, &'static str> {
    key.unsigned().ok_or(BROKEN)?;
    key.take(OCTET_STRING).ok_or(BROKEN)?;
    let own = if key.peek() == Some(EXPLICIT[0]) {
        Some(curve(key.enter(EXPLICIT[0]).ok_or(BROKEN)?)?)
    } else {
        None
    };
    let curve = own.or(known).ok_or(OTHER_CURVE)?;
    let mut public = key.enter(EXPLICIT[1]).ok_or(NO_PUBLIC_PART)?;
    ec(curve, public.bits().ok_or(BROKEN)?)
}

/// `SEQUENCE { version, SEQUENCE { algorithm, parameters }, OCTET STRING }`
fn pkcs8(mut key: Reader<'_>) -> Result<PublicKey, &'static str> {
    key.unsigned().ok_or(BROKEN)?;
    let mut algorithm = key.enter(SEQUENCE).ok_or(BROKEN)?;
    let id = algorithm.take(OBJECT_ID).ok_or(BROKEN)?;
    let mut inner = key.enter(OCTET_STRING).ok_or(BROKEN)?;
    match id {
        RSA => rsa_private(inner.enter(SEQUENCE).ok_or(BROKEN)?),
        EC => ec_private(inner.enter(SEQUENCE).ok_or(BROKEN)?, Some(curve(algorithm)?)),
        _ => Err(OTHER_KEY),
    }
}

/// `SEQUENCE { SEQUENCE { [0] version, serial, signature, issuer, validity, subject, SPKI, … } … }`
fn certificate(mut certificate: Reader<'_>) -> Result<PublicKey, &'static str> {
    let mut content = certificate.enter(SEQUENCE).ok_or(BROKEN)?;
    if content.peek() == Some(EXPLICIT[0]) {
        content.any().ok_or(BROKEN)?;
    }
    for _ in ["serial", "signature", "issuer", "validity", "subject"] {
        content.any().ok_or(BROKEN)?;
    }
    spki(&mut content)
}

fn curve(mut parameters: Reader<'_>) -> Result<&'static Curve, &'static str> {
    let id = parameters.take(OBJECT_ID).ok_or(OTHER_CURVE)?;
    CURVES.iter().find(|curve| curve.id == id).ok_or(OTHER_CURVE)
}

fn ec(curve: &'static Curve, point: &[u8]) -> Result<PublicKey, &'static str> {
    match point.split_first() {
        Some((&UNCOMPRESSED, point)) if point.len() == 2 * curve.bytes => {
            Ok(PublicKey::Ec { curve, point: point.to_vec() })
        }
        Some((2 | 3, _)) => Err(COMPRESSED),
        _ => Err(BROKEN),
    }
}

impl PublicKey {
    /// The key as SubjectPublicKeyInfo, which its id is the digest of.
    pub(super) fn to_spki(&self) -> Vec<u8> {
        let (algorithm, bits) = match self {
            Self::Rsa { modulus, exponent } => {
                let algorithm = write(SEQUENCE, &[&write(OBJECT_ID, &[RSA]), &write(NULL, &[])]);
                let numbers = [write_unsigned(modulus), write_unsigned(exponent)].concat();
                (algorithm, write(SEQUENCE, &[&numbers]))
            }
            Self::Ec { curve, point } => {
                let (key, curve) = (write(OBJECT_ID, &[EC]), write(OBJECT_ID, &[curve.id]));
                (write(SEQUENCE, &[&key, &curve]), [&[UNCOMPRESSED], &point[..]].concat())
            }
        };
        write(SEQUENCE, &[&algorithm, &write(BIT_STRING, &[&[0], &bits])])
    }
}
