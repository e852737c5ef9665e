//! Plain secrets; those of certificates are in `conformance`.

use super::*;
use ObjectEncoding::{Base64, Hex, Utf8};
use proptest::prelude::*;
use secrecy::ExposeSecret;

fn decoded(value: &str, encoding: ObjectEncoding) -> Result<Vec<u8>, ContentError> {
    let body = serde_json::json!({"value": value, "id": "https://kv/secrets/db/1"}).to_string();
    produced(&body, ObjectFormat::Pem, encoding)
}

fn produced(
    body: &str,
    format: ObjectFormat,
    encoding: ObjectEncoding,
) -> Result<Vec<u8>, ContentError> {
    let wanted = Wanted { format, encoding, ..Wanted::default() };
    produce(body.as_bytes(), &wanted).map(|made| made.files[0].1.expose().to_vec())
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
    let hex = decode(&Zeroizing::new("41".repeat(37)), Hex).unwrap();
    assert_eq!((hex.expose().len(), hex.0.expose_secret().capacity()), (37, 37));
    let base64 = decode(&Zeroizing::new("QUFB".repeat(37)), Base64).unwrap();
    assert_eq!((base64.expose().len(), base64.0.expose_secret().capacity()), (111, 111));
}

#[test]
fn certificate_backed_secrets_follow_their_content_type() {
    let (pem, pkcs12) =
        (backed(Some("application/x-pem-file")), backed(Some("application/x-pkcs12")));
    assert_eq!(produced(&pem, ObjectFormat::Pfx, Utf8).unwrap(), b"aGk=");
    assert_eq!(produced(&pkcs12, ObjectFormat::Pfx, Utf8).unwrap(), b"aGk=");
    assert_eq!(produced(&pkcs12, ObjectFormat::Pfx, Base64).unwrap(), b"hi");
    let text = produced(&pkcs12, ObjectFormat::Pem, Utf8).unwrap_err().to_string();
    assert_eq!(text, "the certificate cannot be read: it is not a whole PKCS#12 file in DER");
    let plain = backed(Some("text/plain"));
    let text = produced(&plain, ObjectFormat::Pem, Utf8).unwrap_err().to_string();
    assert_eq!(text, "failed to get certificate. unknown content type 'text/plain'");
    assert!(produced(&backed(None), ObjectFormat::Pem, Utf8).is_err());
    let empty = plain.replace(r#""kid":"k""#, r#""kid":"""#);
    let value = produced(&empty, ObjectFormat::Pem, Utf8).unwrap();
    assert_eq!(value, b"aGk=", "an empty kid is none");
}

/// The answer for a secret of a certificate.
fn backed(content_type: Option<&str>) -> String {
    serde_json::json!({"value": "aGk=", "id": "i/1", "kid": "k", "contentType": content_type})
        .to_string()
}

#[test]
fn missing_parts_are_told_in_the_peers_words() {
    for (body, expected) in [
        (r#"{"id":"i"}"#, "secret value is nil"),
        (r#"{"value":"canary"}"#, "secret id is nil"),
        ("{}", "the answer is not a secret"),
        (r#"{"status":"ok"}"#, "the answer is not a secret"),
        ("<html>", "the answer is not a secret"),
        (r#"{"value":5,"id":"i"}"#, "the answer is not a secret"),
        (r#"{"value":"canary","id":"#, "the answer is not a secret"),
        ("", "the answer is not a secret"),
    ] {
        let error = produced(body, ObjectFormat::Pem, Utf8).unwrap_err();
        assert_eq!(error.to_string(), expected, "{body}");
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
        let _ = produce(&body, &Wanted::default());
    }
}
