//! Private keys as PKCS#8, byte for byte as Go's `x509.MarshalPKCS8PrivateKey` writes them: no
//! attributes, curve once.

use super::budget::{Budget, Spent};
use super::der::{bit_string, context, integer, octets, sequence, unsigned};
use super::der_reader::{
    BIT_STRING, CONTEXT_0, CONTEXT_1, INTEGER, OBJECT_ID, OCTET_STRING, Reader, SEQUENCE,
};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair,
};
use zeroize::Zeroizing;

/// 1.2.840.113549.1.1.1 and NULL
pub(crate) const RSA: &[u8] =
    &[0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01, 0x05, 0x00];
/// 1.2.840.10045.2.1
pub(crate) const EC: &[u8] = &[0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01];
/// Curves with their object identifiers and the bytes of a coordinate.
pub(crate) const P256: (&[u8], usize) =
    (&[0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07], 32);
pub(crate) const P384: (&[u8], usize) = (&[0x06, 0x05, 0x2B, 0x81, 0x04, 0x00, 0x22], 48);
pub(crate) const P521: (&[u8], usize) = (&[0x06, 0x05, 0x2B, 0x81, 0x04, 0x00, 0x23], 66);

/// A curve that can be computed on, and what a public key costs.
struct Curve {
    oid: (&'static [u8], usize),
    signing: &'static EcdsaSigningAlgorithm,
    units: u32,
}

const CURVES: [Curve; 3] = [
    Curve { oid: P256, signing: &ECDSA_P256_SHA256_ASN1_SIGNING, units: 500 },
    Curve { oid: P384, signing: &ECDSA_P384_SHA384_ASN1_SIGNING, units: 5_000 },
    Curve { oid: P521, signing: &ECDSA_P521_SHA512_ASN1_SIGNING, units: 15_000 },
];
const ED25519_UNITS: u32 = 200;

/// A key in PKCS#8.
pub(crate) type Pkcs8 = Zeroizing<Vec<u8>>;

/// From PKCS#1, PKCS#8 or SEC 1; `None` when it is none of them.
pub(crate) fn convert(der: &[u8], budget: &mut Budget) -> Result<Option<Pkcs8>, Spent> {
    let Some((source, inner)) = source(der) else { return Ok(None) };
    Ok(match source {
        Source::Elliptic(curve) => elliptic(curve, inner, budget)?,
        Source::Other(algorithm) => Some(wrap(algorithm, inner)),
        Source::Rsa => Some(wrap(&sequence(&[RSA]), inner)),
    })
}

/// In which form a key is.
enum Source<'a> {
    /// With the parameters that stand beside it.
    Elliptic(Option<&'a [u8]>),
    Rsa,
    Other(&'a [u8]),
}

fn source(der: &[u8]) -> Option<(Source<'_>, &[u8])> {
    let mut key = Reader::new(der).inside(SEQUENCE)?;
    key.take(INTEGER)?;
    let second = key.next()?;
    match second.tag {
        SEQUENCE => {
            let inner = key.take(OCTET_STRING)?;
            let mut algorithm = Reader::new(second.value);
            let id = algorithm.next().filter(|id| id.tag == OBJECT_ID)?;
            let source = match id.whole {
                EC => Source::Elliptic(algorithm.next().map(|parameters| parameters.whole)),
                // Go writes the NULL that some leave out.
                id if RSA.starts_with(id) => Source::Rsa,
                _ => Source::Other(second.whole),
            };
            Some((source, inner))
        }
        INTEGER => Some((Source::Rsa, der)),
        OCTET_STRING => Some((Source::Elliptic(None), der)),
        _ => None,
    }
}

/// `SubjectPublicKeyInfo` of a key that [`convert`] made; `None` where it does not follow from the
/// key. That of a known curve was computed there, that of RSA stands in the key.
pub(crate) fn public_key(key: &Pkcs8, budget: &mut Budget) -> Result<Option<Vec<u8>>, Spent> {
    if let Some(public) = written_public_key(key) {
        return Ok(Some(public));
    }
    budget.spend(ED25519_UNITS)?;
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(key).ok();
    Ok(pair.and_then(|pair| Some(pair.public_key().as_der().ok()?.as_ref().to_vec())))
}

/// `AlgorithmIdentifier` of a key in PKCS#8.
pub(crate) fn algorithm(key: &Pkcs8) -> Option<&[u8]> {
    let mut key = Reader::new(key).inside(SEQUENCE)?;
    key.take(INTEGER)?;
    key.next().map(|algorithm| algorithm.whole)
}

/// What a key of PKCS#8 wraps.
pub(crate) fn inner(key: &Pkcs8) -> Option<&[u8]> {
    let mut parts = Reader::new(key).inside(SEQUENCE)?;
    parts.take(INTEGER)?;
    parts.take(SEQUENCE)?;
    parts.take(OCTET_STRING)
}

fn written_public_key(key: &Pkcs8) -> Option<Vec<u8>> {
    let algorithm = algorithm(key)?;
    let mut inner = Reader::new(inner(key)?).inside(SEQUENCE)?;
    inner.take(INTEGER)?;
    if algorithm == sequence(&[RSA]).as_slice() {
        let (modulus, exponent) = (inner.take(INTEGER)?, inner.take(INTEGER)?);
        let public = sequence(&[&unsigned(modulus), &unsigned(exponent)]);
        return Some(sequence(&[algorithm, &bit_string(&public)]).to_vec());
    }
    if Reader::new(algorithm).inside(SEQUENCE)?.next()?.whole != EC {
        return None;
    }
    inner.take(OCTET_STRING)?;
    inner.optional(CONTEXT_0);
    let point = Reader::new(inner.optional(CONTEXT_1)?).take(BIT_STRING)?.strip_prefix(&[0])?;
    Some(sequence(&[algorithm, &bit_string(point)]).to_vec())
}

/// The public point of a number on a curve, as `SubjectPublicKeyInfo` has it. Not by way of rustls:
/// it needs a copy of the key that is never wiped.
fn point(curve: &Curve, key: &Pkcs8) -> Option<Vec<u8>> {
    let pair = EcdsaKeyPair::from_pkcs8(curve.signing, key).ok()?;
    let info: PublicKeyX509Der<'_> = pair.public_key().as_der().ok()?;
    let mut info = Reader::new(info.as_ref()).inside(SEQUENCE)?;
    info.take(SEQUENCE)?;
    info.take(BIT_STRING)?.strip_prefix(&[0]).map(<[u8]>::to_vec)
}

fn wrap(algorithm: &[u8], inner: &[u8]) -> Pkcs8 {
    let inner = octets(inner);
    sequence(&[&integer(0), algorithm, &inner])
}

/// `ECPrivateKey` (RFC 5915): the number in full width, no curve inside, and the public key,
/// uncompressed, that follows from the number: nothing the source says of it is believed.
fn elliptic(curve: Option<&[u8]>, der: &[u8], budget: &mut Budget) -> Result<Option<Pkcs8>, Spent> {
    let Some((curve, number)) = curve_and_number(curve, der) else { return Ok(None) };
    let algorithm = sequence(&[EC, curve]);
    let Some(known) = CURVES.iter().find(|known| known.oid.0 == curve) else {
        // This program does not compute on this curve, so it stays as it is; Go refuses it.
        return Ok(Some(wrap(&algorithm, der)));
    };
    budget.spend(known.units)?;
    Ok(on_curve(known, &algorithm, number))
}

fn curve_and_number<'a>(curve: Option<&'a [u8]>, der: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let mut key = Reader::new(der).inside(SEQUENCE)?;
    key.take(INTEGER)?;
    let number = key.take(OCTET_STRING)?;
    let named = curve.filter(|curve| curve.first() == Some(&OBJECT_ID));
    Some((named.or_else(|| key.optional(CONTEXT_0))?, number))
}

fn on_curve(curve: &Curve, algorithm: &[u8], number: &[u8]) -> Option<Pkcs8> {
    let significant = &number[number.iter().position(|&byte| byte != 0).unwrap_or(number.len())..];
    let mut padded = Zeroizing::new(vec![0; curve.oid.1]);
    let start = padded.len().checked_sub(significant.len())?;
    padded[start..].copy_from_slice(significant);
    let private =
        |public: &[u8]| wrap(algorithm, &sequence(&[&integer(1), &octets(&padded), public]));
    let point = point(curve, &private(&[]))?;
    Some(private(&context(1, &bit_string(&point))))
}

#[cfg(test)]
#[allow(non_snake_case)] // the Azure provider's name of the same table
mod tests {
    use super::*;
    use crate::pki::fixtures::der;
    use proptest::prelude::*;

    fn pkcs8(der: &[u8]) -> Option<Pkcs8> {
        convert(der, &mut Budget::default()).unwrap()
    }

    fn public_key(key: &Pkcs8) -> Option<Vec<u8>> {
        super::public_key(key, &mut Budget::default()).unwrap()
    }

    fn is_converted(name: &str, units: u32) -> Result<bool, Spent> {
        convert(&der(name), &mut Budget::of(units)).map(|key| key.is_some())
    }

    #[test]
    fn a_key_costs_before_it_is_computed() {
        for (name, units) in [
            ("leaf.sec1", 500),
            ("p384.sec1-no-public", 5_000),
            ("p521.key", 15_000),
            ("rsa.key", 0),
        ] {
            assert_eq!(is_converted(name, units), Ok(true), "{name}");
            if units > 0 {
                assert_eq!(is_converted(name, units - 1), Err(Spent), "{name}");
            }
        }
        let key = pkcs8(&der("ed25519.key")).unwrap();
        assert!(super::public_key(&key, &mut Budget::of(0)).is_err());
    }

    #[test]
    fn an_rsa_key_of_any_size_has_its_public_key() {
        let modulus = [0xC1; 2048];
        let numbers = [&modulus[..], &[1, 0, 1], &[5]].map(unsigned);
        let key = sequence(&[&integer(0), &numbers[0], &numbers[1], &numbers[2]]);
        let expected =
            sequence(&[&sequence(&[RSA]), &bit_string(&sequence(&[&numbers[0], &numbers[1]]))]);
        assert_eq!(public_key(&pkcs8(&key).unwrap()).unwrap(), *expected);
    }

    #[test]
    fn TestParsePrivateKey() {
        for (kind, source, expected) in [
            ("PKCS8", "rsa.key", "rsa.key"),
            ("PKCS1", "rsa.pkcs1", "rsa.key"),
            ("EC", "leaf.sec1", "leaf.key"),
            ("EC without its public key", "leaf.sec1-no-public", "leaf.key"),
            ("EC P-384", "p384.sec1-no-public", "p384.key"),
            ("EC P-521", "p521.sec1-no-public", "p521.key"),
            ("Ed25519", "ed25519.key", "ed25519.key"),
        ] {
            assert_eq!(*pkcs8(&der(source)).unwrap(), der(expected), "{kind}");
        }
    }

    #[test]
    fn a_key_knows_the_public_key_of_its_certificate() {
        for name in ["rsa", "leaf", "p384", "p521", "ed25519"] {
            let key = pkcs8(&der(&format!("{name}.key"))).unwrap();
            let certificate = der(name);
            let certificate = crate::pki::x509::Certificate::parse(&certificate).unwrap();
            assert_eq!(public_key(&key).unwrap(), certificate.public_key, "{name}");
        }
    }

    /// `ECPrivateKey` with this number, the curve inside, and what follows it.
    fn sec1(number: &[u8], rest: &[u8]) -> Vec<u8> {
        sequence(&[&integer(1), &octets(number), &context(0, P256.0), rest]).to_vec()
    }

    fn number_of(name: &str) -> Vec<u8> {
        let key = der(name);
        let mut parts = Reader::new(&key).inside(SEQUENCE).unwrap();
        parts.take(INTEGER).unwrap();
        parts.take(OCTET_STRING).unwrap().to_vec()
    }

    #[test]
    fn a_number_has_the_width_of_its_curve_and_the_public_key_follows_from_it() {
        let (number, expected) = (number_of("leaf.sec1"), der("leaf.key"));
        let foreign = context(1, &bit_string(&[&[4][..], &[7; 64]].concat()));
        let compressed = context(1, &bit_string(&[&[2][..], &[7; 32]].concat()));
        for (case, source) in [
            ("as it is", sec1(&number, &[])),
            ("a needless zero", sec1(&[&[0][..], &number].concat(), &[])),
            ("somebody else's public key", sec1(&number, &foreign)),
            ("a compressed public key", sec1(&number, &compressed)),
        ] {
            assert_eq!(*pkcs8(&source).unwrap(), expected, "{case}");
            let no_parameters = wrap(&sequence(&[EC]), &source);
            assert_eq!(*pkcs8(&no_parameters).unwrap(), expected, "{case}, the curve only inside");
            let null = wrap(&sequence(&[EC, &[5, 0]]), &source);
            assert_eq!(*pkcs8(&null).unwrap(), expected, "{case}, NULL as parameters");
        }
        assert_eq!(
            *pkcs8(&sec1(&[7], &[])).unwrap(),
            *pkcs8(&sec1(&[&[0; 40][..], &[7]].concat(), &[])).unwrap()
        );
        let nowhere = sequence(&[&integer(1), &octets(&number)]);
        assert!(pkcs8(&wrap(&sequence(&[EC, &[5, 0]]), &nowhere)).is_none(), "no curve");
        for number in [&[][..], &[0; 32], &[0xFF; 32], &[1; 33]] {
            assert!(pkcs8(&sec1(number, &[])).is_none(), "{number:?} is no number of the curve");
        }
    }

    #[test]
    fn a_curve_nobody_computes_on_stays_as_it_is() {
        let p256k: &[u8] = &[0x06, 0x05, 0x2B, 0x81, 0x04, 0x00, 0x0A];
        let inner = sequence(&[&integer(1), &octets(&[7; 32])]);
        let key = wrap(&sequence(&[EC, p256k]), &inner);
        assert_eq!(*pkcs8(&key).unwrap(), *key);
    }

    #[test]
    fn an_rsa_key_gets_the_null_that_was_left_out() {
        let (with, inner) = (der("rsa.key"), der("rsa.pkcs1"));
        let without = wrap(&sequence(&[&RSA[..RSA.len() - 2]]), &inner);
        assert_eq!(*pkcs8(&without).unwrap(), with);
        assert_eq!(*pkcs8(&with).unwrap(), with);
    }

    #[test]
    fn attributes_are_left_out() {
        let key = der("ed25519.key");
        let mut parts = Reader::new(&key).inside(SEQUENCE).unwrap();
        let (version, algorithm, inner) =
            (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
        let with = sequence(&[
            version.whole,
            algorithm.whole,
            inner.whole,
            &context(0, &octets(b"attribute")),
        ]);
        assert_eq!(*pkcs8(&with).unwrap(), key);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_fail(at in 0_usize..1200, change: u8, cut in 0_usize..1300) {
            for name in ["rsa.pkcs1", "leaf.sec1-no-public", "p521.key"] {
                let mut der = der(name);
                let at = at % der.len();
                der[at] ^= change;
                der.truncate(cut);
                if let Some(key) = pkcs8(&der) {
                    let _ = public_key(&key);
                }
            }
        }
    }
}
