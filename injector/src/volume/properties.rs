//! Any history of generations.

use super::tests::{commit, generations, mode, names};
use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn content() -> impl Strategy<Value = BTreeMap<String, (u32, Vec<u8>)>> {
    let path = prop_oneof!["[ab]", "[cd]/[ef]", "[cd]/g/[hi]"];
    prop::collection::btree_map(
        path,
        (0_u32..0o1000, prop::collection::vec(any::<u8>(), 0..20)),
        0..5,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// After any history the volume shows exactly the last generation, and an equal one is not
    /// rewritten.
    #[test]
    fn the_volume_shows_exactly_what_was_committed(
        history in prop::collection::vec(content(), 1..6),
        restart: bool,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let mut volume = Volume::open(directory.path()).unwrap();
        for files in history {
            let list: Vec<_> = files
                .iter()
                .map(|(path, (mode, bytes))| (path.as_str(), *mode, Some(bytes.as_slice())))
                .collect();
            commit(&mut volume, &list);
            if restart {
                volume = Volume::open(directory.path()).unwrap();
                prop_assert_eq!(generations(directory.path()), 1);
            }
            let visible: BTreeSet<_> = names(directory.path())
                .into_iter()
                .filter(|name| !name.starts_with(".."))
                .collect();
            let expected: BTreeSet<_> =
                files.keys().map(|path| path.split('/').next().unwrap().to_owned()).collect();
            prop_assert_eq!(visible, expected);
            for (path, (wanted, _)) in &files {
                prop_assert_eq!(mode(&directory.path().join(path)), *wanted);
            }
            prop_assert!(!commit(&mut volume, &list));
        }
    }
}
