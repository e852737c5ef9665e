//! Private keys as PKCS#8, the way Go's `x509.MarshalPKCS8PrivateKey` writes them: no attributes, curve once.

use super::der::{bit_string, context, integer, octets, sequence};
use super::der_reader::{BIT_STRING, CONTEXT_0, CONTEXT_1, INTEGER, OBJECT_ID, OCTET_STRING, Reader, SEQUENCE};
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
            if id.whole == EC {
                elliptic(Some(algorithm.next()?.whole), inner)
            } else {
                Some(wrap(second.whole, inner))
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

/// `ECPrivateKey` (RFC 5915): number in full width, no curve inside, always the public key.
fn elliptic(curve: Option<&[u8]>, der: &[u8]) -> Option<Pkcs8> {
    let mut key = Reader::new(der).inside(SEQUENCE)?;
    key.take(INTEGER)?;
    let number = key.take(OCTET_STRING)?;
    let inner_curve = key.optional(CONTEXT_0);
    let public = key.optional(CONTEXT_1).and_then(|inner| Reader::new(inner).take(BIT_STRING)).map(<[u8]>::to_vec);
    let curve = curve.or(inner_curve)?;
    let algorithm = sequence(&[EC, curve]);
    let size = [P256, P384, P521].into_iter().find(|(oid, _)| *oid == curve).map_or(number.len(), |(_, size)| size);
    let mut padded = Zeroizing::new(vec![0; size.saturating_sub(number.len())]);
    padded.extend_from_slice(number);
    let private = |public: Option<&[u8]>| {
        let public = public.map(|bits| context(1, &bit_string(bits.get(1..).unwrap_or_default()))).unwrap_or_default();
        wrap(&algorithm, &sequence(&[&integer(1), &octets(&padded), &public]))
    };
    if let Some(public) = public {
        return Some(private(Some(&public)));
    }
    let info = public_key(&private(None))?;
    let mut info = Reader::new(&info).inside(SEQUENCE)?;
    info.take(SEQUENCE)?;
    Some(private(Some(info.take(BIT_STRING)?)))
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

    #[test]
    fn a_number_that_lost_its_zeros_gets_them_back() {
        let public = [&[0][..], &[4; 65]].concat();
        let short = sequence(&[
            &integer(1),
            &octets(&[7]),
            &context(0, P256.0),
            &context(1, &super::super::der::bit_string(&public[1..])),
        ]);
        let key = pkcs8(&short).unwrap();
        let mut outer = Reader::new(&key).inside(SEQUENCE).unwrap();
        outer.take(INTEGER).unwrap();
        outer.take(SEQUENCE).unwrap();
        let mut inner = Reader::new(outer.take(OCTET_STRING).unwrap()).inside(SEQUENCE).unwrap();
        inner.take(INTEGER).unwrap();
        let number = inner.take(OCTET_STRING).unwrap();
        assert_eq!((number.len(), number[31]), (32, 7));
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
