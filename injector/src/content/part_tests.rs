//! Parts of a certificate-backed secret, which the provider has not.

use super::conformance::{PEM, PKCS12, made, text};
use super::fixtures::{base64, der, pem, pems, pfx};
use super::secret::{SecretFiles, Wanted};
use super::{Part, pkcs12};
use proptest::prelude::*;

fn part(part: Part, value: &str, content_type: Option<&str>) -> Result<Vec<u8>, String> {
    let made = made(
        value,
        true,
        content_type,
        Wanted { part: Some(part), split: true, ..Wanted::default() },
    );
    made.map(|made| made.files[0].1.expose().to_vec()).map_err(|error| error.to_string())
}

fn made_part(part: Option<Part>, value: &str) -> SecretFiles {
    made(value, true, Some(PEM), Wanted { part, ..Wanted::default() }).unwrap()
}

#[test]
fn parts_are_the_same_from_pem_and_from_pkcs12() {
    let mixed = pems(&["root", "leaf.sec1", "intermediate", "leaf"]);
    for (value, content_type) in [
        (base64(&pfx("chain")), Some(PKCS12)),
        (mixed, Some(PEM)),
        (base64(&pfx("legacy-chain")), None),
    ] {
        for (wanted, expected) in [
            (Part::Cert, &["leaf"][..]),
            (Part::Chain, &["leaf", "intermediate"]), // without the root
            (Part::Ca, &["intermediate", "root"]),
            (Part::Key, &["leaf.key"]),
        ] {
            let made = part(wanted, &value, content_type).unwrap();
            assert_eq!(String::from_utf8(made).unwrap(), pems(expected), "{wanted:?}");
        }
    }
}

#[test]
fn parts_hold_only_certificates_of_the_leaf_and_the_whole_secret_all() {
    let mixed = pems(&["leaf2", "leaf.key", "rsa", "leaf", "root", "intermediate"]);
    for (wanted, expected, strays) in [
        (Part::Cert, pem("leaf"), None),
        (Part::Key, pem("leaf.key"), None),
        (Part::Chain, pems(&["leaf", "intermediate"]), Some("chain")),
        (Part::Ca, pems(&["intermediate", "root"]), Some("ca")),
    ] {
        let made = made_part(Some(wanted), &mixed);
        let told = strays.map(|part| {
            format!("part {part}: certificates that are not above the leaf are left out: 2")
        });
        assert_eq!(
            (text(&made, 0), &made.warnings),
            (expected, &Vec::from_iter(told)),
            "{wanted:?}"
        );
    }
    let file = made_part(Some(Part::Pfx), &mixed);
    let contents = pkcs12::read(file.files[0].1.expose()).unwrap();
    assert_eq!(
        (contents.certificates, file.warnings.len()),
        (["leaf", "intermediate", "root"].map(der).to_vec(), 1)
    );
    let whole = made_part(None, &mixed);
    assert_eq!((text(&whole, 0), whole.warnings.len()), (mixed, 0));
    let error = part(Part::Ca, &base64(&pfx("incomplete")), Some(PKCS12)).unwrap_err();
    assert_eq!(
        error, "part ca: the secret holds no certificate above the leaf",
        "a root that did not sign it is none"
    );
}

#[test]
fn the_part_pfx_is_the_vaults_file_or_one_of_ours() {
    let file = pfx("chain-named");
    assert_eq!(part(Part::Pfx, &base64(&file), Some(PKCS12)).unwrap(), file);
    let ours = part(
        Part::Pfx,
        &pems(&["root", "rsa.pkcs1", "leaf.key", "leaf", "intermediate"]),
        Some(PEM),
    )
    .unwrap();
    let contents = pkcs12::read(&ours).unwrap();
    assert_eq!(contents.certificates, ["leaf", "intermediate", "root"].map(der));
    assert_eq!(
        contents.keys.iter().map(|key| key.to_vec()).collect::<Vec<_>>(),
        [der("leaf.key")],
        "the leaf's own"
    );
    let without_key = part(Part::Pfx, &pem("leaf"), Some(PEM)).unwrap();
    assert!(pkcs12::read(&without_key).unwrap().keys.is_empty());
}

#[test]
fn a_part_that_is_not_there_is_named() {
    for (wanted, value, expected) in [
        (Part::Key, pem("leaf"), "part key: the secret holds no private key"),
        (Part::Cert, pem("leaf.key"), "part cert: the secret holds no certificate"),
        (Part::Ca, pem("leaf"), "part ca: the secret holds no certificate above the leaf"),
        (
            Part::Chain,
            "plain".to_owned(),
            "the certificate cannot be read: it is not a whole PKCS#12 file in DER",
        ),
        (
            Part::Key,
            "-----BEGIN X".to_owned(),
            "PEM block 1 (X, line 1) has no dashes behind its label",
        ),
    ] {
        assert_eq!(part(wanted, &value, None).unwrap_err(), expected);
    }
    let own = part(Part::Ca, &pem("rsa"), Some(PEM)).unwrap();
    assert_eq!(own, pem("rsa").as_bytes(), "a self-signed certificate is its own authority");
}

/// What `part` makes of a text, as text.
fn told(wanted: Part, value: &str) -> Result<String, String> {
    part(wanted, value, None).map(|bytes| String::from_utf8(bytes).unwrap())
}

#[test]
fn what_stands_before_a_block_is_not_part_of_it_and_other_labels_are_certificates_too() {
    let (leaf, root, key) = (pem("leaf"), pem("root"), pem("leaf.key"));
    let x509 = leaf.replace(" CERTIFICATE-", " X509 CERTIFICATE-");
    let trusted = [der("leaf").as_slice(), &[0x30, 0x03, 0x0C, 0x01, b'x']].concat();
    let trusted = block("TRUSTED CERTIFICATE", &base64(&trusted));
    for (case, value) in [
        ("a byte-order mark", format!("\u{feff}{leaf}{root}{key}")),
        ("several of them", format!("\u{feff}{leaf}\u{feff}{root}\u{feff}{key}")),
        ("blanks", format!("  {}{root}{key}", leaf.replace('\n', "\n  "))),
        ("one line", format!("{leaf}{root}{key}").replace('\n', " ")),
        ("Windows", format!("{leaf}{root}{key}").replace('\n', "\r\n")),
        ("X509", format!("{x509}{root}{key}")),
        ("trusted", format!("{trusted}{root}{key}")),
        ("the issuer first", format!("{root}{leaf}{key}")),
        (
            "the parameters of the curve",
            format!(
                "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC \
                 PARAMETERS-----\n{key}{leaf}"
            ),
        ),
    ] {
        assert_eq!(told(Part::Cert, &value).as_deref(), Ok(leaf.as_str()), "{case}");
        assert_eq!(told(Part::Key, &value).as_deref(), Ok(key.as_str()), "{case}");
    }
}

#[test]
fn a_block_that_begins_and_cannot_be_read_is_named_whatever_part_is_asked_for() {
    let (leaf, root, key) = (pem("leaf"), pem("root"), pem("leaf.key"));
    let line = 1 + root.matches('\n').count();
    let broken = leaf.replacen('M', "!", 1);
    for (value, expected) in [
        (
            format!("{root}{broken}{key}"),
            format!("PEM block 2 (CERTIFICATE, line {line}) is not base64 with padding"),
        ),
        (
            format!("{root}{}{key}", leaf.replace("-----END CERTIFICATE-----", "")),
            format!("PEM block 2 (CERTIFICATE, line {line}) has no END line before the next block"),
        ),
        (
            format!("{root}{leaf}{}", key.replace("-----END PRIVATE KEY-----", "")),
            "PEM block 3 (PRIVATE KEY, line ".to_owned(),
        ),
        (
            format!("{root}-----BEGIN CERTIFICATE-----\nAAEC\n-----END CERTIFICATE-----\n{key}"),
            format!("PEM block 2 (CERTIFICATE, line {line}) is not an X.509 certificate in DER"),
        ),
        (
            format!("{leaf}{root}-----BEGIN PRIVATE KEY-----\nAAEC\n-----END PRIVATE KEY-----\n"),
            "PEM block 3 (PRIVATE KEY, line ".to_owned(),
        ),
        (
            leaf.replace('\n', "\\n"),
            "PEM block 1 (CERTIFICATE, line 1) has its line breaks written as \\n".to_owned(),
        ),
        (
            format!("-----BEGIN PKCS7-----\nAAEC\n-----END PKCS7-----\n{key}"),
            "PEM block 1 (PKCS7, line 1) is PKCS#7".to_owned(),
        ),
    ] {
        for wanted in [Part::Cert, Part::Chain, Part::Ca, Part::Key, Part::Pfx] {
            let text = told(wanted, &value).unwrap_err();
            assert!(text.starts_with(&expected), "{wanted:?}: {text}");
        }
    }
}

#[test]
fn no_part_stands_beside_a_key_that_is_not_its_own() {
    let foreign = "no certificate of the secret belongs to its private key";
    for value in [pems(&["rsa.key", "leaf"]), pems(&["root", "leaf", "rsa.pkcs1", "p384.key"])] {
        for wanted in [Part::Cert, Part::Chain, Part::Ca, Part::Key, Part::Pfx] {
            assert_eq!(told(wanted, &value).unwrap_err(), foreign, "{wanted:?}");
        }
    }
    let (key, leaf) = (der("rsa.key"), der("leaf"));
    let file = base64(&pkcs12::write(Some(&key), &[&leaf]).unwrap());
    for wanted in [Part::Cert, Part::Key, Part::Pfx] {
        assert_eq!(part(wanted, &file, Some(PKCS12)).unwrap_err(), foreign, "PKCS#12, {wanted:?}");
    }
    // A key alone, and certificates alone, are whole.
    assert_eq!(told(Part::Key, &pem("rsa.key")).unwrap(), pem("rsa.key"));
    assert_eq!(told(Part::Cert, &pems(&["root", "leaf"])).unwrap(), pem("leaf"));
    assert_eq!(told(Part::Cert, &pems(&["rsa", "leaf"])).unwrap(), pem("leaf"), "a root beside it");
    let several = told(Part::Cert, &pems(&["leaf", "leaf2", "root"])).unwrap_err();
    assert_eq!(several, "the secret holds no private key, and 2 certificates that may be the leaf");
}

#[test]
fn of_several_pairs_all_parts_are_those_of_the_first_and_it_is_told() {
    let both = pems(&["leaf2", "leaf", "leaf.key", "leaf2.key"]);
    for (wanted, name) in [(Part::Cert, "leaf2"), (Part::Key, "leaf2.key")] {
        let made = made_part(Some(wanted), &both);
        assert_eq!(text(&made, 0), pem(name));
        assert!(
            made.warnings[0].starts_with("2 certificates have a private key here"),
            "{:?}",
            made.warnings
        );
    }
    let twice = pems(&["leaf", "leaf.key", "leaf.sec1"]);
    assert_eq!(told(Part::Key, &twice).unwrap(), pem("leaf.key"), "one key in two forms");
}

fn block(label: &str, body: &str) -> String {
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}

fn ssh(cipher: &str) -> String {
    let cipher = [&[0, 0, 0, u8::try_from(cipher.len()).unwrap()], cipher.as_bytes()].concat();
    let key = [b"openssh-key-v1\0", cipher.as_slice(), b"\0\0\0\0"].concat();
    block("OPENSSH PRIVATE KEY", &base64(&key))
}

#[test]
fn a_key_that_is_encrypted_is_told_as_that() {
    let encrypted = "is an encrypted private key: import it without a password";
    let old = "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAEC";
    for (value, expected) in [
        (block("ENCRYPTED PRIVATE KEY", "AAEC"), encrypted),
        (block("RSA PRIVATE KEY", old), encrypted),
        (block("EC PRIVATE KEY", old), encrypted),
        (block("SSH2 ENCRYPTED PRIVATE KEY", "AAEC"), encrypted),
        (block("PGP MESSAGE", "Version: 1\n\nAAEC\n=abcd"), encrypted),
        (ssh("aes256-ctr"), encrypted),
        (ssh("none"), "is an OpenSSH private key: convert it first (ssh-keygen -p -m PKCS8)"),
        (
            block("DSA PRIVATE KEY", "AAEC"),
            "is a private key of a kind that is not read: import it as PKCS#8",
        ),
        (
            block("PGP PRIVATE KEY BLOCK", "AAEC"),
            "is a private key of a kind that is not read: import it as PKCS#8",
        ),
    ] {
        for (certificates, wanted) in [("", Part::Key), ("leaf", Part::Key), ("leaf", Part::Pfx)] {
            let certificates =
                if certificates.is_empty() { String::new() } else { pem(certificates) };
            let text = told(wanted, &format!("{value}{certificates}")).unwrap_err();
            assert!(text.ends_with(expected) && text.starts_with("PEM block 1 ("), "{text}");
        }
        assert_eq!(told(Part::Cert, &format!("{value}{}", pem("leaf"))).unwrap(), pem("leaf"));
    }
    let made = made(
        &block("ENCRYPTED PRIVATE KEY", "AAEC"),
        false,
        None,
        Wanted { part: Some(Part::Key), ..Wanted::default() },
    );
    let error = made.unwrap_err();
    assert!(
        matches!(&error, crate::content::ContentError::Block(_))
            && error.fault("x").reason.code == "KS426"
    );
}

#[test]
fn more_keys_or_certificates_than_an_answer_may_have_are_refused() {
    let most = pem("p384.key").repeat(16) + &pem("p384");
    assert_eq!(part(Part::Key, &most, None).err(), None);
    let expected = "the secret holds more than 16 private keys or 100 certificates, or keys that \
        take too long";
    for value in [pem("p384.key") + &most, pem("rsa.key").repeat(17), pem("root").repeat(101)] {
        assert_eq!(part(Part::Key, &value, None).unwrap_err(), expected);
    }
    let leaf = der("leaf");
    let file = pkcs12::write(None, &vec![leaf.as_slice(); 101]).unwrap();
    assert_eq!(part(Part::Cert, &base64(&file), Some(PKCS12)).unwrap_err(), expected);
    assert!(made(&base64(&file), true, Some(PKCS12), Wanted::default()).is_err());
}

fn split(value: &str) -> SecretFiles {
    made(value, true, Some(PEM), Wanted { split: true, ..Wanted::default() }).unwrap()
}

#[test]
fn halves_that_leave_something_out_say_so() {
    let (leaf, root, key) = (pem("leaf"), pem("root"), pem("leaf.key"));
    let made = split(&format!("\u{feff}{leaf}{root}{key}"));
    assert_eq!((text(&made, 0), text(&made, 1)), (root.clone(), key.clone()), "as the provider");
    assert_eq!(made.warnings, ["the halves do not hold it: PEM block 1 (CERTIFICATE, line 1)"]);
    let made = split(&format!("{}{key}", leaf.replace(" CERTIFICATE-", " X509 CERTIFICATE-")));
    assert_eq!(
        made.warnings,
        ["the half .key holds it, not .crt: PEM block 1 (X509 CERTIFICATE, line 1)"]
    );
    let made = split(&format!("{leaf}{}{key}", root.replacen('M', "!", 1)));
    assert!(made.warnings[0].contains("PEM block 2 (CERTIFICATE, line "), "{:?}", made.warnings);
    assert!(split(&format!("{leaf}{root}{key}")).warnings.is_empty());
    assert!(split(&pems(&["root", "leaf.sec1", "leaf"])).warnings.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_change_of_a_text_makes_a_part_fail(
        changes in prop::collection::vec(
            (any::<prop::sample::Index>(), "[A-Za-z0-9+/=:\n-]"),
            0..4,
        ),
        order in
            Just(["leaf", "leaf.key", "root", "leaf2", "leaf.sec1", "rsa.pkcs1"]).prop_shuffle(),
    ) {
        let mut text = pems(&order);
        for (at, letter) in changes {
            let at = at.index(text.len());
            text.replace_range(at..=at, &letter);
        }
        for wanted in [Part::Cert, Part::Chain, Part::Key, Part::Ca, Part::Pfx] {
            if let Ok(bytes) = part(wanted, &text, Some(PEM)) {
                let text = std::str::from_utf8(&bytes);
                let whole = if wanted == Part::Pfx {
                    pkcs12::read(&bytes).is_ok()
                } else {
                    text.is_ok_and(|text| !crate::content::pem::blocks(text).is_empty())
                };
                prop_assert!(whole, "{wanted:?}");
            }
        }
    }
}
