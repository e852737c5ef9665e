#![allow(non_snake_case)] // the Azure provider's names of the same tables

use super::*;
use crate::content::budget::Budget;
use crate::content::fixtures::der;
use crate::content::private_key::{convert, public_key};

fn public(name: &str) -> Vec<u8> {
    let budget = &mut Budget::default();
    let key = convert(&der(&format!("{name}.key")), budget).unwrap().unwrap();
    public_key(&key, budget).unwrap().unwrap()
}

/// All orders of the indexes below `count`.
fn permutations(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for shorter in permutations(count - 1) {
        all.extend((0..count).map(|at| [&shorter[..at], &[count - 1], &shorter[at..]].concat()));
    }
    all
}

fn in_any_order(names: &[&str], expected: &[&str]) {
    let ders: Vec<Vec<u8>> = names.iter().map(|name| der(name)).collect();
    let expected: Vec<Vec<u8>> = expected.iter().map(|name| der(name)).collect();
    for order in permutations(names.len()) {
        let given: Vec<_> =
            order.iter().map(|&at| Certificate::parse(&ders[at]).unwrap()).collect();
        let chain = ordered(&given).unwrap().unwrap();
        assert_eq!(
            chain.iter().map(|one| one.der).collect::<Vec<_>>(),
            expected,
            "{names:?} {order:?}"
        );
        let Chain { leaf, above, strays, .. } = Chain::of(&given, &[]).unwrap();
        assert_eq!(strays, 0);
        let all: Vec<_> = [leaf].iter().chain(&above).map(|one| one.der).collect();
        assert_eq!(all, expected, "for parts: {names:?} {order:?}");
    }
}

#[test]
fn TestFetchCertChain() {
    assert_eq!(permutations(3).len(), 6);
    in_any_order(&["root", "intermediate", "leaf"], &["leaf", "intermediate", "root"]);
}

#[test]
fn TestFetchCertChainWithLeafMissingSKI() {
    in_any_order(&["root", "intermediate", "bare"], &["bare", "intermediate", "root"]);
    in_any_order(
        &["root", "intermediate", "intermediate2", "leaf2"],
        &["leaf2", "intermediate2", "intermediate", "root"],
    );
}

#[test]
fn TestFetchCertChainWarning() {
    let (leaf, root) = (der("leaf"), der("root"));
    for given in [[&root, &leaf], [&leaf, &root]] {
        let given: Vec<_> = given.iter().map(|der| Certificate::parse(der).unwrap()).collect();
        assert!(ordered(&given).unwrap().is_none(), "a missing intermediate");
    }
}

#[test]
fn a_part_of_a_chain_and_a_single_certificate_are_whole() {
    in_any_order(&["leaf", "intermediate"], &["leaf", "intermediate"]);
    in_any_order(&["rsa"], &["rsa"]);
}

fn keyed(authority: &'static [u8], subject: &'static [u8]) -> Certificate<'static> {
    Certificate {
        der: subject,
        authority_key_id: authority,
        subject_key_id: subject,
        ..Certificate::default()
    }
}

#[test]
fn chains_that_lead_nowhere_are_refused_in_the_peers_words() {
    let crossed = [keyed(b"b", b"a"), keyed(b"a", b"b")];
    assert_eq!(ordered(&crossed).unwrap_err().to_string(), "no leaf found");
    let cycle = [keyed(b"b", b"leaf"), keyed(b"c", b"b"), keyed(b"b", b"c")];
    assert_eq!(ordered(&cycle).unwrap_err().to_string(), "constructing chain resulted in cycle");
    assert_eq!(ordered(&[]).unwrap_err().to_string(), "no leaf found");
    // For parts the walk ends by itself: a certificate is taken once.
    let Chain { leaf, above, .. } = Chain::of(&cycle, &[]).unwrap();
    assert_eq!((leaf.der, above.len()), (&b"leaf"[..], 2));
    assert_eq!(Chain::of(&[], &[]).unwrap_err(), LeafError::NoCertificate);
    assert_eq!(Chain::of(&crossed, &[]).unwrap_err(), LeafError::Several(0));
    assert_eq!(Chain::of(&cycle, &[b"another".to_vec()]).unwrap_err(), LeafError::OfNoKey);
}

#[test]
fn certificates_that_the_leaf_does_not_lead_to_are_not_above_it() {
    let names = ["leaf2", "leaf", "rsa", "root", "intermediate"];
    let ders: Vec<_> = names.iter().map(|name| der(name)).collect();
    let public = public("leaf");
    for order in permutations(names.len()) {
        let given: Vec<_> =
            order.iter().map(|&at| Certificate::parse(&ders[at]).unwrap()).collect();
        let Chain { leaf, above, strays, .. } =
            Chain::of(&given, std::slice::from_ref(&public)).unwrap();
        assert_eq!((leaf.der, strays), (&ders[1][..], 2), "{order:?}");
        assert_eq!(
            above.iter().map(|one| one.der).collect::<Vec<_>>(),
            [&ders[4], &ders[3]],
            "{order:?}"
        );
    }
    let [leaf, root] = ["leaf", "root"].map(der);
    let given = [&root, &leaf].map(|der| Certificate::parse(der).unwrap());
    let Chain { leaf: found, above, strays, .. } = Chain::of(&given, &[public]).unwrap();
    assert_eq!((found.der, above.len(), strays), (&leaf[..], 0, 1), "the intermediate is missing");
}

#[test]
fn an_issuer_that_is_certified_twice_brings_both_roots_and_a_copy_counts_once() {
    let [leaf, first, second, root, other] = [
        ("leaf", "i", "l"),
        ("i1", "r1", "i"),
        ("i2", "r2", "i"),
        ("r1", "r1", "r1"),
        ("r2", "r2", "r2"),
    ]
    .map(|(name, authority, subject)| {
        let keyed = keyed(authority.as_bytes(), subject.as_bytes());
        Certificate { der: name.as_bytes(), ..keyed }
    });
    let Chain { above, strays, .. } =
        Chain::of(&[other, leaf, first, second, leaf, root, first], &[]).unwrap();
    let above: Vec<_> = above.iter().map(|one| one.der).collect();
    assert_eq!((above, strays), (vec![&b"i1"[..], b"r1", b"i2", b"r2"], 0), "one whole path first");
}

#[test]
fn the_key_says_which_certificate_is_the_leaf() {
    let ders: Vec<_> =
        ["leaf", "leaf2", "intermediate", "root"].iter().map(|name| der(name)).collect();
    let given: Vec<_> = ders.iter().map(|der| Certificate::parse(der).unwrap()).collect();
    for (name, expected) in [("leaf", 0), ("leaf2", 1)] {
        let public = public(name);
        assert_eq!(Chain::of(&given, &[public]).unwrap().leaf.der, ders[expected], "{name}");
    }
}

#[test]
fn certificates_that_are_cut_are_none() {
    let whole = der("leaf");
    for length in 0..whole.len() {
        assert!(Certificate::parse(&whole[..length]).is_none(), "{length}");
    }
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 0xFF;
        let _ = Certificate::parse(&changed);
    }
}
