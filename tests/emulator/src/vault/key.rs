//! Keys: generated, or shown from a JWK.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING,
    EcdsaKeyPair, KeyPair as _,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::Jwk;
use serde_json::{Map, Value, json};

use super::KeyReason;
use crate::seed::KeySeed;
use crate::signing::pem;

/// Members of a JWK that anybody may see.
const PUBLIC_MEMBERS: &[&str] = &["kty", "key_ops", "n", "e", "crv", "x", "y"];

/// The public JWK of a seeded key.
pub(super) fn public_jwk(seed: &KeySeed) -> Result<Map<String, Value>, KeyReason> {
    if let Some(jwk) = &seed.jwk {
        let mut jwk = jwk.clone();
        jwk.retain(|member, _| PUBLIC_MEMBERS.contains(&member.as_str()));
        return if jwk.contains_key("kty") {
            Ok(with_operations(jwk))
        } else {
            Err(KeyReason::NoType)
        };
    }
    match seed.kty.as_deref() {
        Some("RSA" | "RSA-HSM") => rsa(seed.size.unwrap_or(2048), seed.kty.as_deref()),
        Some("EC" | "EC-HSM") => {
            elliptic(seed.crv.as_deref().unwrap_or("P-256"), seed.kty.as_deref())
        }
        Some(other) => Err(KeyReason::Type(other.to_owned())),
        None => Err(KeyReason::NoType),
    }
}

fn rsa(bits: u32, kty: Option<&str>) -> Result<Map<String, Value>, KeyReason> {
    let size = match bits {
        2048 => KeySize::Rsa2048,
        3072 => KeySize::Rsa3072,
        4096 => KeySize::Rsa4096,
        _ => return Err(KeyReason::Size(bits)),
    };
    let pair = KeyPair::generate(size).map_err(|_| KeyReason::Generate)?;
    let public: PublicKeyX509Der<'_> =
        pair.public_key().as_der().map_err(|_| KeyReason::Generate)?;
    let mut jwk = jwk_of(public.as_ref()).ok_or(KeyReason::Generate)?;
    jwk.insert("kty".to_owned(), json!(kty));
    Ok(jwk)
}

fn elliptic(curve: &str, kty: Option<&str>) -> Result<Map<String, Value>, KeyReason> {
    let algorithm = match curve {
        "P-256" => &ECDSA_P256_SHA256_ASN1_SIGNING,
        "P-384" => &ECDSA_P384_SHA384_ASN1_SIGNING,
        "P-521" => &ECDSA_P521_SHA512_ASN1_SIGNING,
        other => return Err(KeyReason::Curve(other.to_owned())),
    };
    let pair = EcdsaKeyPair::generate(algorithm).map_err(|_| KeyReason::Generate)?;
    // Uncompressed: 0x04, then two coordinates of equal length.
    let point = &pair.public_key().as_ref()[1..];
    let (x, y) = point.split_at(point.len() / 2);
    Ok(with_operations(Map::from_iter([
        ("kty".to_owned(), json!(kty)),
        ("crv".to_owned(), json!(curve)),
        ("x".to_owned(), json!(URL_SAFE_NO_PAD.encode(x))),
        ("y".to_owned(), json!(URL_SAFE_NO_PAD.encode(y))),
    ])))
}

/// The JWK of a DER `SubjectPublicKeyInfo`: RSA, P-256 or P-384.
pub(super) fn jwk_of(public_key_info: &[u8]) -> Option<Map<String, Value>> {
    let armoured = pem("PUBLIC KEY", public_key_info);
    let key = DecodingKey::from_rsa_pem(armoured.as_bytes())
        .or_else(|_| DecodingKey::from_ec_pem(armoured.as_bytes()))
        .ok()?;
    match serde_json::to_value(Jwk::from_decoding_key(&key, None).ok()?) {
        Ok(Value::Object(jwk)) => Some(with_operations(jwk)),
        _ => None,
    }
}

fn with_operations(mut jwk: Map<String, Value>) -> Map<String, Value> {
    let operations = match jwk.get("kty").and_then(Value::as_str) {
        Some(kty) if kty.starts_with("RSA") => {
            json!(["encrypt", "decrypt", "sign", "verify", "wrapKey", "unwrapKey"])
        }
        _ => json!(["sign", "verify"]),
    };
    jwk.entry("key_ops").or_insert(operations);
    jwk
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seed(text: &str) -> KeySeed {
        serde_json::from_str(text).unwrap()
    }

    fn length(jwk: &Map<String, Value>, member: &str) -> usize {
        URL_SAFE_NO_PAD.decode(jwk[member].as_str().unwrap()).unwrap().len()
    }

    #[test]
    fn generated_keys_have_coordinates_of_full_length() {
        for (curve, bytes) in [("P-256", 32), ("P-384", 48), ("P-521", 66)] {
            let jwk = public_jwk(&seed(&format!(r#"{{"kty":"EC","crv":"{curve}"}}"#))).unwrap();
            assert_eq!((length(&jwk, "x"), length(&jwk, "y")), (bytes, bytes), "{curve}");
        }
        let jwk = public_jwk(&seed(r#"{"kty":"RSA"}"#)).unwrap();
        assert_eq!((length(&jwk, "n"), jwk["e"].as_str()), (256, Some("AQAB")));
        assert_eq!(jwk["kty"], "RSA");
    }

    #[test]
    fn a_given_jwk_loses_its_private_part() {
        let jwk =
            public_jwk(&seed(r#"{"jwk":{"kty":"EC","crv":"P-256","x":"a","y":"b","d":"canary"}}"#))
                .unwrap();
        assert!(!Value::Object(jwk).to_string().contains("canary"));
    }

    #[test]
    fn an_impossible_key_is_refused() {
        for (text, message) in [
            (r#"{"kty":"DSA"}"#, r#"key type "DSA" is neither RSA nor EC"#),
            (r#"{"kty":"RSA","size":1024}"#, "size 1024 is none of 2048, 3072, 4096"),
            (r#"{"kty":"EC","crv":"P-1"}"#, r#"curve "P-1" is none of P-256, P-384, P-521"#),
            ("{}", "neither `kty` nor a `jwk` with one is given"),
        ] {
            assert_eq!(public_jwk(&seed(text)).unwrap_err().to_string(), message);
        }
    }
}
