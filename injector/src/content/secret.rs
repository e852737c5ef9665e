//! Secrets: the value as it is, or decoded.

use super::{Content, ContentError, Produced, version_of};
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use keysluice_plan::{ObjectEncoding, ObjectFormat, ObjectType};
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

/// What Go's `base64.StdEncoding` takes: padding required, trailing bits ignored.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

#[derive(Deserialize)]
struct Bundle {
    value: Option<Value>,
    id: Option<String>,
    /// Only certificate-backed secrets have one.
    kid: Option<String>,
    #[serde(rename = "contentType")]
    content_type: Option<String>,
}

/// No `Debug`; zeroised.
struct Value(Zeroizing<String>);

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

/// The file's bytes. No newline is added and nothing is trimmed.
pub(super) fn produce(body: &[u8], format: ObjectFormat, encoding: ObjectEncoding) -> Result<Produced, ContentError> {
    let bundle: Bundle = serde_json::from_slice(body).map_err(|_| ContentError::Json(ObjectType::Secret))?;
    let Value(value) = bundle.value.ok_or(ContentError::Missing("secret value"))?;
    let id = bundle.id.ok_or(ContentError::Missing("secret id"))?;
    if bundle.kid.is_some() {
        match (bundle.content_type.as_deref(), format) {
            (Some("application/x-pem-file"), _) | (Some("application/x-pkcs12"), ObjectFormat::Pfx) => {}
            (Some("application/x-pkcs12"), ObjectFormat::Pem) => {
                return Err(ContentError::Unsupported("a certificate in PKCS#12 form (application/x-pkcs12) as PEM"));
            }
            (other, _) => {
                return Err(ContentError::ContentType(crate::identity::short(other.unwrap_or_default())));
            }
        }
    }
    Ok(Produced { content: decode(value, encoding)?, version: version_of(&id) })
}

fn decode(mut value: Zeroizing<String>, encoding: ObjectEncoding) -> Result<Content, ContentError> {
    match encoding {
        ObjectEncoding::Utf8 => Ok(Content::new(std::mem::take(&mut *value).into_bytes())),
        ObjectEncoding::Base64 => {
            let mut plain = Zeroizing::new(Vec::with_capacity(value.len()));
            plain.extend(value.bytes().filter(|byte| !matches!(byte, b'\r' | b'\n')));
            let mut bytes = Zeroizing::new(vec![0; base64::decoded_len_estimate(plain.len())]);
            let length = BASE64.decode_slice(&*plain, &mut bytes).map_err(|_| ContentError::Base64)?;
            bytes.truncate(length);
            Ok(Content::new(std::mem::take(&mut *bytes)))
        }
        ObjectEncoding::Hex => {
            let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            let (pairs, rest) = value.as_bytes().as_chunks::<2>();
            // A vector that grows, or is dropped on an error, leaves a copy behind.
            let mut bytes = Zeroizing::new(Vec::with_capacity(pairs.len()));
            for &[high, low] in pairs {
                bytes.push(digit(high).zip(digit(low)).map(|(high, low)| high << 4 | low).ok_or(ContentError::Hex)?);
            }
            let whole = rest.is_empty().then(|| Content::new(std::mem::take(&mut *bytes)));
            whole.ok_or(ContentError::Hex)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ObjectEncoding::{Base64, Hex, Utf8};
    use proptest::prelude::*;
    use secrecy::ExposeSecret;

    fn decoded(value: &str, encoding: ObjectEncoding) -> Result<Vec<u8>, ContentError> {
        let body = serde_json::json!({"value": value, "id": "https://kv/secrets/db/1"}).to_string();
        produce(body.as_bytes(), ObjectFormat::Pem, encoding).map(|fetched| fetched.content.expose().to_vec())
    }

    #[test]
    fn values_are_verbatim_or_strictly_decoded() {
        for (value, encoding, expected) in [
            ("  a\r\nß\0 ", Utf8, Ok("  a\r\nß\0 ".as_bytes().to_vec())),
            ("", Utf8, Ok(vec![])),
            ("aGVs\r\nbG8=\n", Base64, Ok(b"hello".to_vec())),
            ("aGVsbG9=", Base64, Ok(b"hello".to_vec())),
            ("", Base64, Ok(vec![])),
            ("aGVsbG8", Base64, Err(ContentError::Base64)),
            (" aGVsbG8=", Base64, Err(ContentError::Base64)),
            ("_-8=", Base64, Err(ContentError::Base64)),
            ("48656C6c6f", Hex, Ok(b"Hello".to_vec())),
            ("0x48", Hex, Err(ContentError::Hex)),
            ("48\n", Hex, Err(ContentError::Hex)),
            ("486", Hex, Err(ContentError::Hex)),
            ("4g", Hex, Err(ContentError::Hex)),
        ] {
            assert_eq!(decoded(value, encoding), expected, "{value:?} {encoding:?}");
        }
    }

    #[test]
    fn decoding_copies_nothing_into_a_buffer_that_grows() {
        let value = |text: String| Zeroizing::new(text);
        let hex = decode(value("41".repeat(37)), Hex).unwrap();
        assert_eq!((hex.expose().len(), hex.0.expose_secret().capacity()), (37, 37));
        let base64 = decode(value("QUFB".repeat(37)), Base64).unwrap();
        assert_eq!((base64.expose().len(), base64.0.expose_secret().capacity()), (111, 111));
    }

    #[test]
    fn certificate_backed_secrets_follow_their_content_type() {
        let body = |kind: serde_json::Value| {
            serde_json::json!({"value": "aGk=", "id": "i/1", "kid": "k", "contentType": kind}).to_string()
        };
        let produced = |kind: serde_json::Value, format, encoding| {
            produce(body(kind).as_bytes(), format, encoding).map(|fetched| fetched.content.expose().to_vec())
        };
        let pkcs12 = serde_json::json!("application/x-pkcs12");
        assert_eq!(produced("application/x-pem-file".into(), ObjectFormat::Pfx, Utf8).unwrap(), b"aGk=");
        assert_eq!(produced(pkcs12.clone(), ObjectFormat::Pfx, Utf8).unwrap(), b"aGk=");
        assert_eq!(produced(pkcs12.clone(), ObjectFormat::Pfx, Base64).unwrap(), b"hi");
        let text = produced(pkcs12, ObjectFormat::Pem, Utf8).unwrap_err().to_string();
        assert!(text.contains("not supported by this version"), "{text}");
        let text = produced("text/plain".into(), ObjectFormat::Pem, Utf8).unwrap_err().to_string();
        assert_eq!(text, "failed to get certificate. unknown content type 'text/plain'");
        assert!(produced(serde_json::Value::Null, ObjectFormat::Pem, Utf8).is_err());
    }

    #[test]
    fn missing_parts_are_told_in_the_peers_words() {
        let error = |body: &str| produce(body.as_bytes(), ObjectFormat::Pem, Utf8).unwrap_err().to_string();
        assert_eq!(error(r#"{"id":"i"}"#), "secret value is nil");
        assert_eq!(error(r#"{"value":"canary"}"#), "secret id is nil");
        for body in ["<html>", r#"{"value":5,"id":"i"}"#, r#"{"value":"canary","id":"#, ""] {
            assert_eq!(error(body), "the answer is not a secret");
        }
    }

    proptest! {
        #[test]
        fn encodings_give_back_what_was_encoded(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let hex = bytes.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
            prop_assert_eq!(decoded(&hex, Hex).unwrap(), bytes.clone());
            let text = base64::engine::general_purpose::STANDARD.encode(&bytes);
            prop_assert_eq!(decoded(&text, Base64).unwrap(), bytes);
        }

        #[test]
        fn any_body_is_an_answer_or_an_error(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = produce(&body, ObjectFormat::Pem, Utf8);
        }
    }
}
