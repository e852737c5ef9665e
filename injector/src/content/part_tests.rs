//! Parts of a certificate-backed secret, which the provider has not.

use super::conformance::{PEM, PKCS12, made, text};
use super::fixtures::{base64, der, pem, pems, pfx};
use super::secret::{Made, Wanted};
use super::{Part, pkcs12};
use proptest::prelude::*;

fn part(part: Part, value: &str, content_type: Option<&str>) -> Result<Vec<u8>, String> {
    let made = made(value, true, content_type, Wanted { part: Some(part), split: true, ..Wanted::default() });
    made.map(|made| made.files[0].1.expose().to_vec()).map_err(|error| error.to_string())
}

#[test]
fn parts_are_the_same_from_pem_and_from_pkcs12() {
    let mixed = pems(&["root", "leaf.sec1", "intermediate", "leaf"]);
    for (value, content_type) in
        [(base64(&pfx("chain")), Some(PKCS12)), (mixed, Some(PEM)), (base64(&pfx("legacy-chain")), None)]
    {
        let text = |wanted| String::from_utf8(part(wanted, &value, content_type).unwrap()).unwrap();
        assert_eq!(text(Part::Cert), pem("leaf"));
        assert_eq!(text(Part::Chain), pems(&["leaf", "intermediate"]), "without the root");
        assert_eq!(text(Part::Ca), pems(&["intermediate", "root"]));
        assert_eq!(text(Part::Key), pem("leaf.key"));
    }
}

#[test]
fn parts_hold_only_certificates_of_the_leaf_and_the_whole_secret_all() {
    let text = |made: &Made| text(made, 0);
    let mixed = pems(&["leaf2", "leaf.key", "rsa", "leaf", "root", "intermediate"]);
    let made = |part| self::made(&mixed, true, Some(PEM), Wanted { part, ..Wanted::default() }).unwrap();
    for (wanted, expected, strays) in [
        (Part::Cert, pem("leaf"), None),
        (Part::Key, pem("leaf.key"), None),
        (Part::Chain, pems(&["leaf", "intermediate"]), Some("chain")),
        (Part::Ca, pems(&["intermediate", "root"]), Some("ca")),
    ] {
        let made = made(Some(wanted));
        let told = strays.map(|part| format!("part {part}: certificates that are not above the leaf are left out: 2"));
        assert_eq!((text(&made), &made.warnings), (expected, &Vec::from_iter(told)), "{wanted:?}");
    }
    let pfx = made(Some(Part::Pfx));
    let contents = pkcs12::read(pfx.files[0].1.expose()).unwrap();
    assert_eq!((contents.certificates, pfx.warnings.len()), (["leaf", "intermediate", "root"].map(der).to_vec(), 1));
    let whole = made(None);
    assert_eq!((text(&whole), whole.warnings.len()), (mixed.clone(), 0));
    let error = part(Part::Ca, &base64(&self::pfx("incomplete")), Some(PKCS12)).unwrap_err();
    assert_eq!(error, "part ca: the secret holds no certificate above the leaf", "a root that did not sign it is none");
}

#[test]
fn the_part_pfx_is_the_vaults_file_or_one_of_ours() {
    let file = pfx("chain-named");
    assert_eq!(part(Part::Pfx, &base64(&file), Some(PKCS12)).unwrap(), file);
    let ours = part(Part::Pfx, &pems(&["root", "rsa.pkcs1", "leaf.key", "leaf", "intermediate"]), Some(PEM)).unwrap();
    let contents = pkcs12::read(&ours).unwrap();
    assert_eq!(contents.certificates, ["leaf", "intermediate", "root"].map(der));
    assert_eq!(contents.keys.iter().map(|key| key.to_vec()).collect::<Vec<_>>(), [der("leaf.key")], "the leaf's own");
    let without_key = part(Part::Pfx, &pem("leaf"), Some(PEM)).unwrap();
    assert!(pkcs12::read(&without_key).unwrap().keys.is_empty());
}

#[test]
fn a_part_that_is_not_there_is_named() {
    for (wanted, value, expected) in [
        (Part::Key, pem("leaf"), "part key: the secret holds no private key"),
        (Part::Cert, pem("leaf.key"), "part cert: the secret holds no certificate"),
        (Part::Ca, pem("leaf"), "part ca: the secret holds no certificate above the leaf"),
        (Part::Chain, "plain".to_owned(), "the certificate cannot be read: it is not a whole PKCS#12 file in DER"),
        (Part::Key, "-----BEGIN X".to_owned(), "PEM block 1 (X, line 1) has no dashes behind its label"),
    ] {
        assert_eq!(part(wanted, &value, None).unwrap_err(), expected);
    }
    let own = part(Part::Ca, &pem("rsa"), Some(PEM)).unwrap();
    assert_eq!(own, pem("rsa").as_bytes(), "a self-signed certificate is its own authority");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_change_of_a_text_makes_a_part_fail(
        changes in prop::collection::vec((any::<prop::sample::Index>(), "[A-Za-z0-9+/=:\n-]"), 0..4),
        order in Just(["leaf", "leaf.key", "root", "leaf2", "leaf.sec1", "rsa.pkcs1"]).prop_shuffle(),
    ) {
        let mut text = pems(&order);
        for (at, letter) in changes {
            let at = at.index(text.len());
            text.replace_range(at..=at, &letter);
        }
        for wanted in [Part::Cert, Part::Chain, Part::Key, Part::Ca, Part::Pfx] {
            if let Ok(bytes) = part(wanted, &text, Some(PEM)) {
                let blocks = std::str::from_utf8(&bytes).map_or(0, |text| crate::content::pem::blocks(text).len());
                let whole = if wanted == Part::Pfx { pkcs12::read(&bytes).is_ok() } else { blocks > 0 };
                prop_assert!(whole, "{wanted:?}");
            }
        }
    }
}
