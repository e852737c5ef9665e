use super::super::certificate_source::read;
use super::*;
use crate::pki::fixtures::{base64, der, pem, pems, pfx};
use crate::pki::pem_contents::Held;
use crate::pki::pkcs12::Pkcs12Error::{Iterations, Structure};
use CertificateError as Error;

const UNICODE: &str = "p\u{e4}ssw\u{f6}rd \u{1f511}";

fn parse(file: &[u8], password: &str) -> Result<ClientCertificate, Error> {
    let mut budget = Budget::default();
    let Held { contents, unusable } = read(file, password, &mut budget)?;
    match unusable {
        Some(unusable) if contents.keys.is_empty() => Err(unusable.into()),
        _ => ClientCertificate::of(&contents, &mut budget),
    }
}

fn thumbprint(name: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, &der(name)))
}

#[track_caller]
fn signs_as_rsa(case: &str, file: &[u8], password: &str) {
    let certificate = parse(file, password).unwrap_or_else(|error| panic!("{case}: {error}"));
    assert_eq!(certificate.thumbprint, thumbprint("rsa"), "{case}");
}

#[test]
fn an_assertion_has_the_claims_of_its_client_and_is_signed_with_ps256() {
    let both = pems(&["rsa", "rsa.key"]);
    let certificate = parse(both.as_bytes(), "").unwrap();
    let now = Duration::from_secs(1_000_000);
    let audience = "https://login/t/oauth2/v2.0/token";
    let assertion = certificate.assertion("c", audience, now).unwrap();
    let parts: Vec<&str> = assertion.expose().split('.').collect();
    assert_eq!(
        decoded(parts[0]),
        json!({"alg": "PS256", "typ": "JWT", "x5t#S256": thumbprint("rsa")})
    );
    let claims = decoded(parts[1]);
    assert_eq!(claims["aud"], audience);
    assert_eq!((&claims["iss"], &claims["sub"]), (&json!("c"), &json!("c")));
    assert_eq!((&claims["nbf"], &claims["exp"]), (&json!(1_000_000), &json!(1_000_600)));
    let public = der("rsa");
    let info = Certificate::parse(&public).unwrap().public_key;
    let signed = format!("{}.{}", parts[0], parts[1]);
    let signature = URL_SAFE_NO_PAD.decode(parts[2]).unwrap();
    aws_lc_rs::signature::UnparsedPublicKey::new(
        &aws_lc_rs::signature::RSA_PSS_2048_8192_SHA256,
        info,
    )
    .verify(signed.as_bytes(), &signature)
    .unwrap();
    let again = certificate.assertion("c", audience, now).unwrap();
    assert_ne!(again.expose().split('.').nth(1), Some(parts[1]));
    assert!(!format!("{certificate:?}").contains("key"), "{certificate:?}");
}

/// What a part of an assertion says.
fn decoded(part: &str) -> serde_json::Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[test]
fn pkcs12_of_every_tool_signs_in_binary_and_in_base64() {
    for (name, password) in [
        ("default", ""),            // OpenSSL 3: AES-256, MAC SHA-256
        ("legacy", ""),             // OpenSSL 1, Windows: RC2-40, 3DES, MAC SHA-1
        ("3des", ""),               // Key Vault: 3DES, MAC SHA-1
        ("none", ""),               // not encrypted
        ("nomac", ""),              // no MAC
        ("no-password-at-all", ""), // a password of no bytes
        ("password", "secret"),     // with a password, the same
        ("password-legacy", "secret"),
        ("password-nomac", "secret"),
        ("password-chain", "secret"), // with certificates of authorities
        ("password-unicode", UNICODE), // letters beyond ASCII, as UTF-8
        ("password-unicode-legacy", UNICODE), // and as UTF-16
    ] {
        let file = pfx(name);
        signs_as_rsa(name, &file, password);
        let text = base64(&file);
        signs_as_rsa(name, text.as_bytes(), password);
        let lines: Vec<&str> =
            text.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect();
        signs_as_rsa(name, format!("\u{feff}{}\r\n", lines.join("\r\n")).as_bytes(), password);
    }
}

#[test]
fn pem_signs_in_any_order_and_beside_other_certificates_and_keys() {
    for (case, file, password) in [
        ("key last", pems(&["rsa", "rsa.key"]), ""),
        ("key first, PKCS#1", pems(&["rsa.pkcs1", "rsa"]), ""),
        ("behind its chain", pems(&["root", "intermediate", "rsa.key", "rsa"]), ""),
        ("beside another pair", pems(&["leaf", "leaf.key", "rsa", "rsa.key"]), ""),
        ("an encrypted key", pems(&["rsa", "rsa.encrypted"]), "secret"),
        ("an encrypted key, 3DES", pems(&["rsa.encrypted-3des", "rsa"]), "secret"),
        ("a password that is not needed", pems(&["rsa", "rsa.key"]), "secret"),
        ("beside an encrypted key", pems(&["rsa", "rsa.key", "rsa.encrypted"]), ""),
        ("with a byte order mark", format!("\u{feff}{}", pems(&["rsa", "rsa.key"])), ""),
        ("with CRLF", pems(&["rsa", "rsa.key"]).replace('\n', "\r\n"), ""),
        ("in base64", base64(pems(&["rsa", "rsa.key"]).as_bytes()), ""),
    ] {
        signs_as_rsa(case, file.as_bytes(), password);
    }
}

#[test]
fn what_cannot_sign_is_told_apart() {
    let whole = pfx("password");
    let mut damaged = whole.clone();
    damaged[200] ^= 1;
    for (case, file, password, expected) in [
        ("empty", vec![], "", Error::Form),
        ("text", b"canary".to_vec(), "", Error::Form),
        ("base64 of something else", base64(b"canary").into_bytes(), "", Error::Form),
        ("binary", vec![0xFF, 0xFE, 0, 1], "", Error::Form),
        ("cut", whole[..whole.len() - 1].to_vec(), "secret", Error::Pkcs12(Structure)),
        (
            "base64 that is cut",
            base64(&whole).into_bytes()[..400].to_vec(),
            "secret",
            Error::Pkcs12(Structure),
        ),
        ("damaged", damaged, "secret", Error::Password),
        ("no password", whole.clone(), "", Error::Encrypted),
        ("no password, old", pfx("password-legacy"), "", Error::Encrypted),
        ("no password, no MAC", pfx("password-nomac"), "", Error::Encrypted),
        ("wrong password", whole.clone(), "Secret", Error::Password),
        ("wrong password, old", pfx("password-legacy"), "secret ", Error::Password),
        ("wrong password, no MAC", pfx("password-nomac"), "x", Error::Password),
        ("a password for none", pfx("default"), "secret", Error::Password),
        ("iterations", pfx("iterations"), "", Error::Pkcs12(Iterations)),
        ("iterations, a password", pfx("iterations"), "secret", Error::Pkcs12(Iterations)),
        ("a certificate", der("rsa"), "", Error::NoKey),
        ("PKCS#12 without a key", pfx("keyless"), "", Error::NoKey),
        ("PEM without a key", pem("rsa").into_bytes(), "", Error::NoKey),
        ("PEM without a certificate", pem("rsa.key").into_bytes(), "", Error::NoCertificate),
        ("another key", pems(&["leaf", "rsa.key"]).into_bytes(), "", Error::Mismatch),
        ("EC", pems(&["leaf", "leaf.key"]).into_bytes(), "", Error::Algorithm),
        ("EC, PKCS#12", pfx("p384"), "", Error::Algorithm),
        ("Ed25519", pfx("ed25519"), "", Error::Algorithm),
        ("too small", pems(&["rsa1024", "rsa1024.key"]).into_bytes(), "", Error::Unsuitable),
        ("encrypted", pems(&["rsa", "rsa.encrypted"]).into_bytes(), "", Error::Encrypted),
        ("wrong", pems(&["rsa", "rsa.encrypted"]).into_bytes(), "x", Error::Password),
        (
            "old encryption, no password",
            pems(&["rsa", "rsa.encrypted-traditional"]).into_bytes(),
            "",
            Error::Encrypted,
        ),
    ] {
        let error = parse(&file, password).err().unwrap_or_else(|| panic!("{case}"));
        assert_eq!(error, expected, "{case}");
        assert!(!error.to_string().contains("canary"), "{error}");
    }
    for (files, text) in [
        (["rsa", "rsa.encrypted-traditional"], "convert it first (openssl pkcs8 -topk8)"),
        (["rsa", "rsa.encrypted-scrypt"], "1.3.6.1.4.1.11591.4.11, which is not supported"),
    ] {
        let error = parse(pems(&files).as_bytes(), "secret").unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    }
    let junk = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAEC\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let error = parse((pem("rsa") + junk).as_bytes(), "secret").unwrap_err().to_string();
    assert!(error.ends_with(") is not an encrypted private key in DER"), "{error}");
    let cut = pems(&["rsa", "rsa.key"]).replace("-----END CERTIFICATE-----", "");
    let error = parse(cut.as_bytes(), "").unwrap_err().to_string();
    assert!(error.contains("PEM block 1 (CERTIFICATE, line 1) has no END line"), "{error}");
}

#[test]
fn a_small_budget_ends_every_form_before_it_is_computed() {
    for (file, password) in [
        (pfx("password"), "secret"),
        (pfx("password-legacy"), "secret"),
        (pems(&["rsa", "rsa.encrypted"]).into_bytes(), "secret"),
    ] {
        let error = read(&file, password, &mut Budget::of(2_000)).err().unwrap();
        assert_eq!(error, Error::Pkcs12(crate::pki::pkcs12::Pkcs12Error::Iterations));
    }
}
