//! Which versions a history has.

use crate::vault::Listed;
use keysluice_plan::ObjectVersion;
use std::cmp::Reverse;

/// The newest `count` enabled versions that are not newer than `start`, newest first; `None` when `start` is none of them.
pub(super) fn latest(listed: Vec<Listed>, start: Option<&str>, count: u32) -> Option<Vec<ObjectVersion>> {
    let mut versions: Vec<Listed> = listed.into_iter().filter(|version| version.enabled == Some(true)).collect();
    // The service promises no order; of two within a second it is at least always the same.
    versions.sort_unstable_by(|a, b| (Reverse(a.created), &a.name).cmp(&(Reverse(b.created), &b.name)));
    let first = match start {
        None => 0,
        Some(start) => versions.iter().position(|version| version.name.eq_ignore_ascii_case(start))?,
    };
    let names = versions.into_iter().skip(first).filter_map(|version| version.name.parse().ok());
    Some(names.take(usize::try_from(count).unwrap_or(usize::MAX)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn listed(name: &str, enabled: Option<bool>, created: i64) -> Listed {
        Listed { name: name.to_owned(), enabled, created, tags: BTreeMap::new() }
    }

    #[test]
    #[allow(non_snake_case)] // the Azure provider's name of the same table
    fn TestGetLatestNKeyVaultObjects() {
        let versions = || {
            vec![
                listed("v2", Some(true), 20),
                listed("off", Some(false), 50),
                listed("v4", Some(true), 40),
                listed("bare", None, 60),
                listed("v1", Some(true), 10),
                listed("v3", Some(true), 30),
            ]
        };
        let cases: &[(&str, Option<&str>, u32, Option<&[&str]>)] = &[
            ("sorts by created, newest first, without disabled ones", None, 10, Some(&["v4", "v3", "v2", "v1"])),
            ("N means N", None, 2, Some(&["v4", "v3"])),
            ("N of exactly N", None, 4, Some(&["v4", "v3", "v2", "v1"])),
            ("starts at the named version", Some("v3"), 2, Some(&["v3", "v2"])),
            ("fewer than N gives all", Some("v2"), 5, Some(&["v2", "v1"])),
            ("names are compared without case", Some("V1"), 5, Some(&["v1"])),
            ("a disabled start is none", Some("off"), 5, None),
            ("an unknown start is none", Some("v9"), 5, None),
        ];
        for (case, start, count, expected) in cases {
            let found = latest(versions(), *start, *count);
            let found = found.as_ref().map(|all| all.iter().map(ObjectVersion::as_str).collect::<Vec<_>>());
            assert_eq!(found.as_deref(), *expected, "{case}");
        }
        assert_eq!(latest(Vec::new(), None, 2).unwrap(), []);
    }

    #[test]
    fn versions_of_one_second_have_a_fixed_order() {
        let mut versions = vec![listed("b", Some(true), 0), listed("a", Some(true), 0)];
        let first = latest(versions.clone(), None, 1);
        versions.reverse();
        assert_eq!(first, latest(versions, None, 1));
    }
}
