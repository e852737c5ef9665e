//! The Azure provider's own tables (facts of its unit tests), and the rows it has none for.

#![allow(non_snake_case)] // its names of the same tables

use super::fixtures::{base64, der, pem, pems, pfx};
use super::secret::{SecretFiles, Wanted, produce as produce_secret};
use super::*;
use keysluice_plan::{ObjectEncoding, ObjectFormat};
use serde_json::{Value, json};

pub(super) const PEM: &str = "application/x-pem-file";
pub(super) const PKCS12: &str = "application/x-pkcs12";

pub(super) fn made(
    value: &str,
    kid: bool,
    content_type: Option<&str>,
    wanted: Wanted<'_>,
) -> Result<SecretFiles, ContentError> {
    let mut body = json!({"value": value, "id": "https://kv.vault.azure.net/secrets/c/0123",
        "contentType": content_type});
    if kid {
        body["kid"] = "https://kv.vault.azure.net/keys/c/0123".into();
    }
    produce_secret(body.to_string().as_bytes(), &wanted)
}

pub(super) fn text(made: &SecretFiles, at: usize) -> String {
    String::from_utf8(made.files[at].1.expose().to_vec()).unwrap()
}

fn pfx_as(name: &str, format: ObjectFormat) -> Result<SecretFiles, ContentError> {
    made(&base64(&pfx(name)), true, Some(PKCS12), Wanted { format, ..Wanted::default() })
}

/// A file of the Plan with more fields, or others.
fn file(extra: &Value) -> File {
    let mut json = json!({"path": "p", "mode": "0644", "identity": "a", "vault": "https://v/",
        "type": "secret", "name": "n"});
    json.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    serde_json::from_value(json).unwrap()
}

#[test]
fn TestDecodePKCS12() {
    let cases: &[(&str, &[&str])] = &[
        ("legacy", &["rsa.key", "rsa"]),
        ("default", &["rsa.key", "rsa"]),
        ("legacy-chain", &["leaf.key", "leaf", "intermediate", "root"]),
        ("chain", &["leaf.key", "leaf", "intermediate", "root"]),
        ("chain-named", &["leaf.key", "leaf", "intermediate", "root"]),
        ("without-root", &["leaf.key", "leaf", "intermediate"]),
        ("p521", &["p521.key", "p521"]),
        ("ed25519", &["ed25519.key", "ed25519"]),
        ("keyless", &["leaf", "intermediate", "root"]),
        ("no-password-at-all", &["rsa.key", "rsa"]),
    ];
    for (name, expected) in cases {
        let made = pfx_as(name, ObjectFormat::Pem).unwrap();
        assert_eq!(text(&made, 0), pems(expected), "{name}");
        assert!(made.warnings.is_empty(), "{name}");
    }
    let made = pfx_as("incomplete", ObjectFormat::Pem).unwrap();
    assert_eq!(text(&made, 0), pems(&["leaf.key", "leaf", "root"]), "the order of the file");
    assert!(
        made.warnings[0].starts_with("certificate chain is not complete"),
        "{:?}",
        made.warnings
    );
    let strays = ["leaf2", "leaf", "rsa", "root", "intermediate"];
    let ders = strays.map(der);
    let file = pkcs12::write(Some(&der("leaf.key")), &ders.each_ref().map(Vec::as_slice)).unwrap();
    let made = made_of(&base64(&file));
    assert_eq!(
        text(&made, 0),
        pem("leaf.key") + &pems(&strays),
        "strangers stay, in the order of the file"
    );
    assert_eq!(made.warnings.len(), 1);
}

fn made_of(file: &str) -> SecretFiles {
    made(file, true, Some(PKCS12), Wanted::default()).unwrap()
}

#[test]
fn TestGetContentBytes() {
    use ObjectEncoding::{Base64, Hex, Utf8};
    for (encoding, value, expected) in [
        (Utf8, "test", Ok(&b"test"[..])),
        (Base64, "dGVzdA==", Ok(b"test")),
        (Base64, "dGV\r\nzdA==\n", Ok(b"test")),
        (Base64, "dGVzdA", Err("the value is not standard padded base64")),
        (Base64, "_-8=", Err("the value is not standard padded base64")),
        (Hex, "74657374", Ok(b"test")),
        (Hex, "74657374\n", Err("the value is not hexadecimal")),
    ] {
        let made = made(value, false, None, Wanted { encoding, ..Wanted::default() });
        let bytes = made.as_ref().map(|made| made.files[0].1.expose()).map_err(ToString::to_string);
        assert_eq!(bytes, expected.map_err(str::to_owned), "{encoding:?} {value:?}");
    }
    // Of a certificate and of a key the encoding means nothing.
    let cer = json!({"cer": base64(&der("leaf")), "id": "i/1"});
    let web_key = json!({"key": {"kid": "k/1", "kty": "EC", "crv": "P-256", "x": "AQ", "y": "AQ"}});
    for (kind, body) in [("cert", cer), ("key", web_key)] {
        let made = ["utf-8", "base64", "hex"].map(|encoding| {
            let file = file(&json!({"type": kind, "encoding": encoding}));
            produce(&file, &file.path, body.to_string().as_bytes()).unwrap().files[0]
                .content
                .expose()
                .to_vec()
        });
        assert!(
            made[0].starts_with(b"-----BEGIN ") && made[1] == made[0] && made[2] == made[0],
            "{kind}"
        );
    }
    // After the conversion: PEM is not base64.
    let encoding = Base64;
    let wanted = Wanted { encoding, ..Wanted::default() };
    for (content_type, value) in [(PEM, pem("leaf")), (PKCS12, base64(&pfx("chain")))] {
        assert_eq!(
            made(&value, true, Some(content_type), wanted).unwrap_err(),
            ContentError::Base64
        );
    }
}

#[test]
fn TestGetSecret() {
    let (bundle, file) = (pems(&["leaf", "root", "leaf.key"]), base64(&pfx("chain")));
    let converted = pems(&["leaf.key", "leaf", "intermediate", "root"]);
    let (as_pem, as_pfx) = (ObjectFormat::Pem, ObjectFormat::Pfx);
    for (case, value, kid, content_type, format, expected) in [
        ("a plain secret", " any\r\n", false, None, as_pem, " any\r\n"),
        (
            "the format of a plain secret is nothing",
            "any",
            false,
            Some("text/plain"),
            as_pfx,
            "any",
        ),
        ("a plain secret that says PKCS#12", &file, false, Some(PKCS12), as_pem, &file),
        ("PEM is verbatim, never in another order", &bundle, true, Some(PEM), as_pem, &bundle),
        ("PEM as pfx is PEM", &bundle, true, Some(PEM), as_pfx, &bundle),
        ("PKCS#12 as pfx is its text", &file, true, Some(PKCS12), as_pfx, &file),
        ("PKCS#12 as pem", &file, true, Some(PKCS12), as_pem, &converted),
    ] {
        let made = made(value, kid, content_type, Wanted { format, ..Wanted::default() }).unwrap();
        assert_eq!((made.files.len(), made.version.as_str()), (1, "0123"), "{case}");
        assert_eq!(text(&made, 0), expected, "{case}");
    }
    let binary = Wanted { format: as_pfx, encoding: ObjectEncoding::Base64, ..Wanted::default() };
    assert_eq!(
        made(&file, true, Some(PKCS12), binary).unwrap().files[0].1.expose(),
        pfx("chain"),
        "binary PKCS#12"
    );
}

#[test]
fn TestSplitCertAndKey() {
    let file = base64(&pfx("chain"));
    let chain = pems(&["leaf", "intermediate", "root"]);
    let whole = pem("leaf.key") + &chain;
    let expected = vec![(".crt", chain), (".key", pem("leaf.key")), ("", whole)];
    assert_eq!(split(&file, true, PKCS12, ObjectFormat::Pem), expected);
    let mixed = pems(&["root", "leaf.sec1", "leaf"]);
    let expected =
        vec![(".crt", pems(&["root", "leaf"])), (".key", pem("leaf.sec1")), ("", mixed.clone())];
    assert_eq!(split(&mixed, true, PEM, ObjectFormat::Pem), expected, "labels are kept");
    let expected = vec![(".crt", String::new()), (".key", String::new()), ("", file.clone())];
    assert_eq!(split(&file, true, PKCS12, ObjectFormat::Pfx), expected, "as pfx both are empty");
    assert_eq!(split("plain", false, "text/plain", ObjectFormat::Pem), [("", "plain".to_owned())]);
    assert_eq!(
        split("plain", false, PEM, ObjectFormat::Pem).len(),
        1,
        "PEM that backs no certificate"
    );
    let binary = Wanted {
        format: ObjectFormat::Pfx,
        encoding: ObjectEncoding::Base64,
        split: true,
        ..Wanted::default()
    };
    let made = made(&file, true, Some(PKCS12), binary).unwrap();
    let files: Vec<_> =
        made.files.iter().map(|(suffix, content)| (*suffix, content.expose())).collect();
    assert_eq!(files, [(".crt", &[][..]), (".key", &[]), ("", &pfx("chain"))], "binary as well");
}

/// The endings and texts of a secret and its halves.
fn split(
    value: &str,
    kid: bool,
    content_type: &str,
    format: ObjectFormat,
) -> Vec<(&'static str, String)> {
    let wanted = Wanted { format, split: true, ..Wanted::default() };
    let made = made(value, kid, Some(content_type), wanted).unwrap();
    (0..made.files.len()).map(|at| (made.files[at].0, text(&made, at))).collect()
}

#[test]
fn a_name_with_no_room_for_its_ending_is_an_error_of_the_item() {
    assert_eq!(split_path_lengths(251, "k").unwrap(), [255, 255, 251]);
    assert_eq!(split_path_lengths(255, "").unwrap(), [255], "no certificate, no other file");
    for length in [252, 253, 255] {
        let text = split_path_lengths(length, "k").unwrap_err().fault("secret \"n\"").to_string();
        assert!(
            text.starts_with("KS601 secret \"n\": file name \"aaa")
                && text.contains(".crt\" is too long"),
            "{text}"
        );
    }
}

/// The lengths of the paths that a split certificate gets from a path of this length.
fn split_path_lengths(length: usize, kid: &str) -> Result<Vec<usize>, ContentError> {
    let file = file(&json!({"path": "a".repeat(length), "split": true}));
    let body = json!({"value": pem("leaf"), "id": "i/1", "kid": kid, "contentType": PEM});
    let fetched = produce(&file, &file.path, body.to_string().as_bytes())?;
    Ok(fetched.files.iter().map(|file| file.path.as_str().len()).collect())
}

/// Where the provider says `failed to get objectType:secret, objectName:c, objectVersion:: …`, the
/// code and the object say it.
#[test]
fn TestGetSecretsStoreObjectContent() {
    let error = produce_secret(br#"{"id": "i"}"#, &Wanted::default()).unwrap_err();
    let text = error.fault("secret \"c\" in https://kv.vault.azure.net/").to_string();
    assert!(
        text.starts_with(
            "KS424 secret \"c\" in https://kv.vault.azure.net/: secret value is nil; hint: "
        ),
        "{text}"
    );
}

#[test]
fn TestGetSecretError() {
    let broken = base64(b"no file");
    let password = base64(&pfx("password"));
    let cases: &[(Value, &str, &str)] = &[
        (json!({"id": "i"}), "KS424", "secret value is nil"),
        (json!({"value": "canary"}), "KS424", "secret id is nil"),
        (json!([]), "KS413", "the answer is not a secret"),
        (
            json!({"value": "canary", "id": "i", "kid": "k", "contentType": "text/plain"}),
            "KS423",
            "failed to get certificate. unknown content type 'text/plain'",
        ),
        (
            json!({"value": "canary", "id": "i", "kid": "k"}),
            "KS423",
            "failed to get certificate. unknown content type ''",
        ),
        (
            json!({"value": "canary", "id": "i", "kid": "k", "contentType": PKCS12}),
            "KS426",
            "the certificate cannot be read: it is not a whole PKCS#12 file in DER",
        ),
        (
            json!({"value": broken, "id": "i", "kid": "k", "contentType": PKCS12}),
            "KS426",
            "the certificate cannot be read: it is not a whole PKCS#12 file in DER",
        ),
        (
            json!({"value": password, "id": "i", "kid": "k", "contentType": PKCS12}),
            "KS426",
            "the certificate cannot be read: it has a password, or it is damaged",
        ),
    ];
    for (body, code, expected) in cases {
        let error = produce_secret(body.to_string().as_bytes(), &Wanted::default()).unwrap_err();
        let fault = error.fault("secret \"c\"");
        assert_eq!((error.to_string().as_str(), fault.reason.code), (*expected, *code));
        assert!(!fault.to_string().contains("canary"));
    }
}

#[test]
fn TestGetCertificate() {
    let leaf = base64(&der("leaf"));
    let body = json!({"cer": leaf, "id": "https://kv/certificates/c/0123"});
    let produced = certificate::produce(body.to_string().as_bytes()).unwrap();
    assert_eq!(
        (produced.content.expose(), produced.version.as_str()),
        (pem("leaf").as_bytes(), "0123")
    );
    for (body, expected) in [
        (json!({"id": "i"}), "certificate value is nil"),
        (json!({"cer": leaf}), "certificate id is nil"),
        (json!({"cer": "!", "id": "i"}), "a certificate is not X.509 in DER"),
        (json!("x"), "the answer is not a cert"),
    ] {
        let error = certificate::produce(body.to_string().as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn TestGetCurve() {
    for (curve, problem) in [
        ("P-256", None),
        ("P-384", None),
        ("P-521", None),
        ("P-256K", Some("curve P-256K is not supported")),
    ] {
        let key = json!({"key": {"kid": "k/1", "kty": "EC", "crv": curve, "x": "AQ", "y": "AQ"}});
        let error = key::produce(key.to_string().as_bytes()).err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), problem, "{curve}");
    }
}

#[test]
fn a_json_field_is_taken_from_the_decoded_value() {
    let path = "db.password".parse().unwrap();
    let wanted =
        Wanted { encoding: ObjectEncoding::Base64, json_key: Some(&path), ..Wanted::default() };
    let document = base64(br#"{"db": {"password": "s3cret"}}"#);
    assert_eq!(text(&made(&document, false, None, wanted).unwrap(), 0), "s3cret");
    let error = made(&base64(b"{}"), false, None, wanted).unwrap_err().fault("secret \"c\"");
    assert!(
        error
            .to_string()
            .starts_with("KS427 secret \"c\": jsonKey db.password: there is no such field; hint:"),
        "{error}"
    );
}

#[test]
fn nothing_of_a_secret_is_in_debug() {
    let made = made(&pem("leaf.key"), true, Some(PEM), Wanted { split: true, ..Wanted::default() })
        .unwrap();
    let line = pem("leaf.key").lines().nth(1).unwrap().to_owned();
    assert!(!format!("{made:?}").contains(&line));
}
