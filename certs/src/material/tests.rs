use super::*;
use proptest::prelude::*;
use std::sync::LazyLock;

static FULL: LazyLock<Material> = LazyLock::new(|| {
    let [old, current, next] =
        [(); 3].map(|()| Arc::new(CertificateAuthority::generate().unwrap()));
    let pair = Pair::new(current.issue(&["a.svc".to_owned()]).unwrap()).unwrap();
    let active = Some(Active { authority: current, pair: Arc::new(pair) });
    let until = OffsetDateTime::from_unix_timestamp(1_900_000_000).unwrap();
    let retired = vec![Retired { certificate: old.certificate().clone(), until }];
    Material { active, next: Some(next), retired }
});

type Change<'a> = (&'a str, Option<&'a [u8]>);

fn with(changes: &[Change<'_>]) -> Result<Material, MaterialError> {
    let mut data = FULL.data();
    for (key, value) in changes {
        match value {
            Some(value) => data.0.insert((*key).to_owned(), value.to_vec()),
            None => data.0.remove(*key),
        };
    }
    Material::parse(&data)
}

#[test]
fn material_survives_the_secret() {
    let read = with(&[]).unwrap();
    assert_eq!(read.data(), FULL.data());
    assert_eq!(read.retired, FULL.retired);
}

#[test]
fn a_secret_that_lost_or_swapped_something_says_what() {
    let other = CertificateAuthority::generate().unwrap();
    let stranger = Pair::new(other.issue(&["a.svc".to_owned()]).unwrap()).unwrap();
    let (chain, key) = (stranger.chain_pem(), stranger.key_pem());
    let other_key = other.key_pem();
    let garbage: Option<&[u8]> = Some(b"garbage");
    let mismatch = |key| MaterialError::Pair { key, source: PairError::Mismatch };
    let cases: &[(&[Change<'_>], MaterialError)] = &[
        (&[("ca.key", None)], MaterialError::Missing { key: "ca.key" }),
        (&[("ca.key", Some(b""))], MaterialError::Missing { key: "ca.key" }),
        (&[("ca.key", None), ("ca.crt", None)], MaterialError::Missing { key: "ca.crt" }),
        (&[("tls.crt", None)], MaterialError::Missing { key: "tls.crt" }),
        (&[("tls.crt", None), ("tls.key", None)], MaterialError::Missing { key: "tls.crt" }),
        (&[("next-ca.crt", None)], MaterialError::Missing { key: "next-ca.crt" }),
        (&[("ca.key", Some(other_key.as_bytes()))], mismatch("ca.crt")),
        (&[("next-ca.key", Some(other_key.as_bytes()))], mismatch("next-ca.crt")),
        (&[("tls.key", Some(key.as_bytes()))], mismatch("tls.crt")),
        (
            &[("ca.crt", garbage)],
            MaterialError::Pair { key: "ca.crt", source: PairError::Certificate },
        ),
        (&[("tls.key", garbage)], MaterialError::Pair { key: "tls.crt", source: PairError::Key }),
        (
            &[("tls.crt", Some(chain.as_bytes())), ("tls.key", Some(key.as_bytes()))],
            MaterialError::NotSigned,
        ),
        (
            &[("ca.crt", Some(chain.as_bytes())), ("ca.key", Some(key.as_bytes()))],
            MaterialError::NoAuthority { key: "ca.crt" },
        ),
        (&[("old-ca.until", garbage)], MaterialError::Retired),
        (&[("old-ca.crt", garbage)], MaterialError::Retired),
    ];
    for (changes, error) in cases {
        assert_eq!(with(changes).err().as_ref(), Some(error));
    }
}

#[test]
fn a_secret_without_anything_of_ours_is_empty() {
    let foreign = Data([("password".to_owned(), b"x".to_vec())].into());
    let emptied = Data(FULL.data().0.into_keys().map(|key| (key, Vec::new())).collect());
    for data in [Data::default(), foreign, emptied] {
        assert_eq!(Material::parse(&data).err(), Some(MaterialError::Empty));
    }
}

#[test]
fn a_retired_authority_is_trusted_until_its_time() {
    let until = FULL.retired[0].until;
    assert_eq!(FULL.trusted(until - Duration::from_secs(1)).len(), 3);
    assert_eq!(FULL.trusted(until).len(), 2);
}

#[test]
fn no_key_shows_in_debug() {
    let data = FULL.data();
    let shown = format!("{data:?} {FULL:?} {:?}", FULL.active.as_ref().unwrap().pair.leaf());
    for name in ["ca.key", "next-ca.key", "tls.key"] {
        let pem = str::from_utf8(&data.0[name]).unwrap();
        let der = pem::parse(pem).unwrap().into_contents();
        for canary in
            [pem.lines().nth(1).unwrap().to_owned(), format!("{der:?}").replace(['[', ']'], "")]
        {
            assert!(!shown.contains(&canary), "{name} shows in {shown}");
        }
    }
    assert!(!shown.contains("PRIVATE KEY"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_damage_makes_the_parser_panic_or_accept_another_key(
        at in any::<proptest::sample::Index>(), position in any::<proptest::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut data = FULL.data();
        let key = at.get(&data.0.keys().cloned().collect::<Vec<_>>()).clone();
        let value = data.0.get_mut(&key).unwrap();
        let index = position.index(value.len());
        value[index] = byte;
        if let Ok(read) = Material::parse(&data) {
            let active = read.active.unwrap();
            let authority = active.authority.certificate();
            prop_assert!(active.pair.certificate().is_signed_by(authority));
        }
    }
}
