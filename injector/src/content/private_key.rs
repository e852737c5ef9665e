//! Private keys as PKCS#8, byte for byte as Go's `x509.MarshalPKCS8PrivateKey` writes them: no attributes, curve once.

use super::der::{bit_string, context, integer, octets, sequence};
use super::der_reader::{BIT_STRING, CONTEXT_0, INTEGER, OBJECT_ID, OCTET_STRING, Reader, SEQUENCE};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair,
    Ed25519KeyPair, KeyPair, RsaKeyPair,
};
use zeroize::Zeroizing;

/// 1.2.840.113549.1.1.1 and NULL
pub(super) const RSA: &[u8] = &[0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01, 0x05, 0x00];
/// 1.2.840.10045.2.1
pub(super) const EC: &[u8] = &[0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01];
/// Curves with their object identifiers and the bytes of a coordinate.
pub(super) const P256: (&[u8], usize) = (&[0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07], 32);
pub(super) const P384: (&[u8], usize) = (&[0x06, 0x05, 0x2B, 0x81, 0x04, 0x00, 0x22], 48);
pub(super) const P521: (&[u8], usize) = (&[0x06, 0x05, 0x2B, 0x81, 0x04, 0x00, 0x23], 66);

/// A key in PKCS#8.
pub(super) type Pkcs8 = Zeroizing<Vec<u8>>;

/// From PKCS#1, PKCS#8 or SEC 1; `None` when it is none of them.
pub(super) fn pkcs8(der: &[u8]) -> Option<Pkcs8> {
    let mut key = Reader::new(der).inside(SEQUENCE)?;
    key.take(INTEGER)?;
    let second = key.next()?;
    match second.tag {
        SEQUENCE => {
            let inner = key.take(OCTET_STRING)?;
            let mut algorithm = Reader::new(second.value);
            let id = algorithm.next().filter(|id| id.tag == OBJECT_ID)?;
            match id.whole {
                EC => elliptic(algorithm.next().map(|parameters| parameters.whole), inner),
                // Go writes the NULL that some leave out.
                id if RSA.starts_with(id) => Some(wrap(&sequence(&[RSA]), inner)),
                _ => Some(wrap(second.whole, inner)),
            }
        }
        INTEGER => Some(wrap(&sequence(&[RSA]), der)),
        OCTET_STRING => elliptic(None, der),
        _ => None,
    }
}

/// `SubjectPublicKeyInfo` of a key; `None` for kinds nobody here can compute with. Not by way of rustls: it wants a copy of the
/// key that nobody wipes.
pub(super) fn public_key(key: &Pkcs8) -> Option<Vec<u8>> {
    let curves = [&ECDSA_P256_SHA256_ASN1_SIGNING, &ECDSA_P384_SHA384_ASN1_SIGNING, &ECDSA_P521_SHA512_ASN1_SIGNING];
    let public: Result<PublicKeyX509Der<'_>, _> =
        if let Some(pair) = curves.into_iter().find_map(|curve| EcdsaKeyPair::from_pkcs8(curve, key).ok()) {
            pair.public_key().as_der()
        } else if let Ok(pair) = RsaKeyPair::from_pkcs8(key) {
            pair.public_key().as_der()
        } else {
            Ed25519KeyPair::from_pkcs8_maybe_unchecked(key).ok()?.public_key().as_der()
        };
    Some(public.ok()?.as_ref().to_vec())
}

fn wrap(algorithm: &[u8], inner: &[u8]) -> Pkcs8 {
    let inner = octets(inner);
    sequence(&[&integer(0), algorithm, &inner])
}

/// `ECPrivateKey` (RFC 5915): the number in full width, no curve inside, and the public key, uncompressed, that follows from the
/// number: nothing the source says of it is believed.
fn elliptic(curve: Option<&[u8]>, der: &[u8]) -> Option<Pkcs8> {
    let mut key = Reader::new(der).inside(SEQUENCE)?;
    key.take(INTEGER)?;
    let number = key.take(OCTET_STRING)?;
    let named = curve.filter(|curve| curve.first() == Some(&OBJECT_ID));
    let curve = named.or_else(|| key.optional(CONTEXT_0))?;
    let algorithm = sequence(&[EC, curve]);
    let Some((_, size)) = [P256, P384, P521].into_iter().find(|(oid, _)| *oid == curve) else {
        // Nobody here computes on this curve, so it stays as it is; Go refuses it.
        return Some(wrap(&algorithm, der));
    };
    let significant = &number[number.iter().position(|&byte| byte != 0).unwrap_or(number.len())..];
    let mut padded = Zeroizing::new(vec![0; size]);
    padded[size.checked_sub(significant.len())?..].copy_from_slice(significant);
    let private = |public: &[u8]| wrap(&algorithm, &sequence(&[&integer(1), &octets(&padded), public]));
    let info = public_key(&private(&[]))?;
    let mut info = Reader::new(&info).inside(SEQUENCE)?;
    info.take(SEQUENCE)?;
    let point = info.take(BIT_STRING)?.strip_prefix(&[0])?;
    Some(private(&context(1, &bit_string(point))))
}

#[cfg(test)]
#[allow(non_snake_case)] // the Azure provider's name of the same table
mod tests {
    use super::*;
    use crate::content::fixtures::der;
    use proptest::prelude::*;

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
            let certificate = super::super::x509::Certificate::parse(&certificate).unwrap();
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
        assert_eq!(*pkcs8(&sec1(&[7], &[])).unwrap(), *pkcs8(&sec1(&[&[0; 40][..], &[7]].concat(), &[])).unwrap());
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
        let (version, algorithm, inner) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
        let with = sequence(&[version.whole, algorithm.whole, inner.whole, &context(0, &octets(b"attribute"))]);
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
