use super::*;

const RSA: &str = include_str!("../../tests/data/jwks/rsa-public.pem");
const EXPECTED: &str = include_str!("../../tests/data/jwks/expected.json");
const PEMS: [&str; 5] = [
    RSA,
    include_str!("../../tests/data/jwks/ecpub-prime256v1.pem"),
    include_str!("../../tests/data/jwks/ecpub-secp384r1.pem"),
    include_str!("../../tests/data/jwks/ecpub-secp521r1.pem"),
    include_str!("../../tests/data/jwks/certificate.pem"),
];

fn set(text: &str) -> String {
    write(&keys_of("k.pem", text).unwrap())
}

fn error(text: &str) -> String {
    keys_of("k.pem", text).unwrap_err().to_string()
}

fn pem(label: &str, der: &[u8]) -> String {
    let base64 = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, der);
    format!("-----BEGIN {label}-----\n{base64}\n-----END {label}-----\n")
}

fn der_of(text: &str) -> Vec<u8> {
    pem::blocks("k.pem", text).unwrap()[0].der.to_vec()
}

#[test]
fn the_set_is_that_of_azwi_byte_for_byte() {
    assert_eq!(set(&PEMS.concat()), EXPECTED);
    let windows = PEMS.concat().replace('\n', "\r\n");
    assert_eq!(set(&format!("\u{FEFF}{windows}")), EXPECTED);
}

#[test]
fn a_private_key_gives_the_set_of_its_public_key() {
    for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384] {
        let pair = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let public = set(&pem("PUBLIC KEY", &rcgen::PublicKeyData::subject_public_key_info(&pair)));
        let private = pair.serialize_pem();
        assert_eq!(set(&private), public);
        // The key within it, as `openssl ecparam -genkey` writes it, has no curve of its own here.
        let inner = key_within(&pair.serialize_der());
        assert!(error(&pem("EC PRIVATE KEY", &inner)).contains("its curve is not P-256"));
    }
}

/// The `OCTET STRING` of a PKCS#8 key.
fn key_within(der: &[u8]) -> Vec<u8> {
    let mut key = der::Reader::new(der).enter(der::SEQUENCE).unwrap();
    key.unsigned().unwrap();
    key.any().unwrap();
    key.take(der::OCTET_STRING).unwrap().to_vec()
}

#[test]
fn rsa_keys_of_pkcs_1_and_pkcs_8_give_one_set() {
    let mut spki = der::Reader::new(&der_of(RSA)).enter(der::SEQUENCE).map(|mut spki| {
        let algorithm = spki.any().unwrap().to_vec();
        (algorithm, spki.bits().unwrap().to_vec())
    });
    let (algorithm, public) = spki.take().unwrap();
    assert_eq!(set(&pem("RSA PUBLIC KEY", &public)), set(RSA));
    // A private key begins with its version and the two public numbers.
    let mut numbers = der::Reader::new(&public).enter(der::SEQUENCE).unwrap();
    let numbers = [numbers.any().unwrap(), numbers.any().unwrap()].concat();
    let version = der::write_unsigned(&[]);
    let private = der::write(der::SEQUENCE, &[&version, &numbers, &der::write_unsigned(&[7])]);
    assert_eq!(set(&pem("RSA PRIVATE KEY", &private)), set(RSA));
    let wrapped = der::write(der::OCTET_STRING, &[&private]);
    let pkcs8 = der::write(der::SEQUENCE, &[&version, &algorithm, &wrapped]);
    assert_eq!(set(&pem("PRIVATE KEY", &pkcs8)), set(RSA));
}

#[test]
fn what_is_not_a_key_is_named_without_its_content() {
    let encrypted = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: \
        AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    let ed25519 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap().serialize_pem();
    let cut = pem("PUBLIC KEY", &der_of(RSA)[..90]);
    for (text, expected) in [
        ("", "KS755 k.pem: no key in it, and no PEM block; hint: "),
        ("AAAA", "KS755 k.pem: no key in it, and no PEM block"),
        (
            "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----",
            "KS755 k.pem: no key in it (it holds CERTIFICATE REQUEST)",
        ),
        (
            "\n-----BEGIN PUBLIC KEY-----\nAAAA\n",
            "KS755 k.pem, line 2: a PEM block that never ends",
        ),
        (
            "-----BEGIN PUBLIC KEY-----\n!secret\n-----END PUBLIC KEY-----",
            "KS755 k.pem, line 1: a PEM block that is not base64",
        ),
        (encrypted, "KS756 k.pem: block 1 (RSA PRIVATE KEY): it is protected by a password"),
        (&ed25519, "KS756 k.pem: block 1 (PRIVATE KEY): it is neither an RSA key nor an EC key"),
        (&cut, "KS756 k.pem: block 1 (PUBLIC KEY): it is cut off, or not what its label says"),
    ] {
        let error = error(text);
        assert!(error.starts_with(expected), "{error}");
        assert!(!error.contains("secret") && !error.contains("AAAA"), "{error}");
    }
}
