//! Keys: the public half, from a JSON web key to `SubjectPublicKeyInfo` in PEM.

use super::der::{Der, bit_string, sequence, unsigned};
use super::private_key::{EC, P256, P384, P521, RSA};
use super::{Content, ContentError, Produced, pem, version_of};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keysluice_plan::ObjectType;
use serde::Deserialize;

#[derive(Deserialize)]
struct Bundle {
    /// Without the field it is somebody else's answer; `null` is one of the vault's.
    key: Nullable,
}

#[derive(Deserialize)]
struct Nullable(Option<JsonWebKey>);

#[derive(Deserialize)]
struct JsonWebKey {
    kid: Option<String>,
    #[serde(default)]
    kty: String,
    #[serde(default)]
    crv: String,
    #[serde(default)]
    n: String,
    #[serde(default)]
    e: String,
    #[serde(default)]
    x: String,
    #[serde(default)]
    y: String,
}

/// The file's bytes.
pub(super) fn produce(body: &[u8]) -> Result<Produced, ContentError> {
    let bundle: Bundle =
        serde_json::from_slice(body).map_err(|_| ContentError::Json(ObjectType::Key))?;
    let key = bundle.key.0.ok_or(ContentError::Missing("key value"))?;
    let kid = key.kid.as_deref().ok_or(ContentError::Missing("key id"))?;
    let version = version_of(kid);
    let der = match key.kty.as_str() {
        "RSA" | "RSA-HSM" => rsa(&key)?,
        "EC" | "EC-HSM" => ec(&key)?,
        other => return Err(ContentError::KeyType(crate::redact::short(other))),
    };
    let mut text = pem::buffer(der.len(), 1);
    pem::append(&mut text, "PUBLIC KEY", &der);
    Ok(Produced { content: Content::text(text), version })
}

fn rsa(key: &JsonWebKey) -> Result<Der, ContentError> {
    let (modulus, exponent) = (field("n", &key.n)?, field("e", &key.e)?);
    let public = sequence(&[&unsigned(&modulus), &unsigned(&exponent)]);
    Ok(sequence(&[&sequence(&[RSA]), &bit_string(&public)]))
}

fn ec(key: &JsonWebKey) -> Result<Der, ContentError> {
    let (curve, size) = match key.crv.as_str() {
        "P-256" => P256,
        "P-384" => P384,
        "P-521" => P521,
        other => return Err(ContentError::Curve(crate::redact::short(other))),
    };
    let mut point = vec![4];
    for (name, text) in [("x", &key.x), ("y", &key.y)] {
        let coordinate = field(name, text)?;
        let start = coordinate.iter().position(|&byte| byte != 0).unwrap_or(coordinate.len());
        let significant = &coordinate[start..];
        // Coordinates have a fixed width (SEC 1, 2.3.3); some encoders drop leading zeros.
        let padding = size.checked_sub(significant.len()).map(|missing| vec![0; missing]);
        point.extend(padding.ok_or(ContentError::KeyField(name))?);
        point.extend_from_slice(significant);
    }
    Ok(sequence(&[&sequence(&[EC, curve]), &bit_string(&point)]))
}

fn field(name: &'static str, text: &str) -> Result<Vec<u8>, ContentError> {
    let bytes =
        URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok().filter(|bytes| !bytes.is_empty());
    bytes.ok_or(ContentError::KeyField(name))
}

#[cfg(test)]
mod tests {
    use super::super::der_reader::Reader;
    use super::*;
    use proptest::prelude::*;

    fn produced(key: &serde_json::Value) -> Result<String, ContentError> {
        let body = serde_json::json!({"key": key}).to_string();
        produce(body.as_bytes())
            .map(|fetched| String::from_utf8(fetched.content.expose().to_vec()).unwrap())
    }

    include!("key_vectors.rs");

    #[test]
    fn keys_match_openssl() {
        for (mut key, expected) in vectors() {
            let kind = key["kty"].as_str().unwrap().trim_end_matches("-HSM").to_owned();
            for kind in [kind.clone(), kind + "-HSM"] {
                key["kty"] = kind.into();
                assert_eq!(produced(&key).unwrap(), expected, "{key}");
            }
        }
    }

    #[test]
    fn other_kinds_are_refused_in_the_peers_words() {
        for (key, expected) in [
            (
                serde_json::json!({"kid":"k/1","kty":"EC","crv":"P-256K","x":"AQ","y":"AQ"}),
                "curve P-256K is not supported",
            ),
            (
                serde_json::json!({"kid":"k/1","kty":"oct"}),
                "failed to get key. key type 'oct' currently not supported",
            ),
            (
                serde_json::json!({"kid":"k/1","kty":"oct-HSM"}),
                "failed to get key. key type 'oct-HSM' currently not supported",
            ),
            (serde_json::json!({"kty":"RSA"}), "key id is nil"),
            (serde_json::Value::Null, "key value is nil"),
            (
                serde_json::json!({"kid":"k/1","kty":"RSA","n":"!","e":"AQAB"}),
                "the key's n is not valid",
            ),
            (
                serde_json::json!({"kid":"k/1","kty":"EC","crv":"P-256","x":"AQ","y":""}),
                "the key's y is not valid",
            ),
        ] {
            assert_eq!(produced(&key).unwrap_err().to_string(), expected);
        }
    }

    /// An EC key with this x-coordinate.
    fn with_coordinate(x: &[u8]) -> serde_json::Value {
        let x = URL_SAFE_NO_PAD.encode(x);
        serde_json::json!({"kid": "k/1", "kty": "EC", "crv": "P-256", "x": x, "y": "AQ"})
    }

    #[test]
    fn a_coordinate_that_is_too_long_is_refused_and_a_short_one_padded() {
        let too_long = with_coordinate(&[1; 33]);
        assert_eq!(produced(&too_long).unwrap_err(), ContentError::KeyField("x"));
        let mut padded = [0; 32];
        padded[31] = 7;
        let (short, padded) = (with_coordinate(&[7]), with_coordinate(&padded));
        assert_eq!(produced(&short).unwrap(), produced(&padded).unwrap());
    }

    proptest! {
        #[test]
        fn any_body_is_an_answer_or_an_error(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = produce(&body);
        }

        #[test]
        fn any_web_key_is_one_block_or_an_error(
            kind in "(RSA|EC|oct)(-HSM)?",
            curve in "P-(256|384|521|256K|)",
            numbers in prop::collection::vec("[A-Za-z0-9_-]{0,90}=?|!", 4),
        ) {
            let [n, e, x, y] = numbers.try_into().unwrap();
            let key = serde_json::json!({"kid": "k/1", "kty": kind, "crv": curve, "n": n, "e": e,
                "x": x, "y": y});
            if let Ok(text) = produced(&key) {
                let blocks = pem::blocks(&text);
                let whole = Reader::new(&blocks[0].der).next().unwrap().whole;
                prop_assert_eq!((blocks.len(), whole.len()), (1, blocks[0].der.len()));
            }
        }
    }
}
