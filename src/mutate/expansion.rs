//! References to variables in values, as Kubernetes expands them.

use crate::pod::EnvVar;
use std::collections::{BTreeMap, BTreeSet};

/// Whether a value expands a variable by `$(NAME)`.
pub(super) fn refers_to(value: &str, name: &str) -> bool {
    references(value).any(|known| known == name)
}

/// The names that a value expands by `$(NAME)`, found in one pass; `$$(NAME)` is an escape
/// (Kubernetes `expansion.Expand`). No name has a dollar.
pub(super) fn references(value: &str) -> impl Iterator<Item = &str> {
    let mut rest = value;
    std::iter::from_fn(move || {
        while let Some(at) = rest.find('$') {
            let after = rest[at..].trim_start_matches('$');
            let dollars = rest.len() - at - after.len();
            rest = after;
            if dollars % 2 == 1
                && let Some(inner) = after.strip_prefix('(')
                && let Some(end) = inner.find([')', '$'])
                && inner[end..].starts_with(')')
            {
                return Some(&inner[..end]);
            }
        }
        None
    })
}

/// Where some variables occur in a container's `env`, found in one pass: a pod may have a thousand
/// of them, and megabytes of values.
pub(super) struct Occurrences<'w> {
    /// The first entry of each.
    pub(super) named: BTreeMap<&'w str, usize>,
    /// The first entry whose value refers to each.
    pub(super) referring: BTreeMap<&'w str, usize>,
}

impl<'w> Occurrences<'w> {
    /// Of the `wanted` names.
    pub(super) fn of(env: &[EnvVar<'_>], wanted: &BTreeSet<&'w str>) -> Self {
        let (mut named, mut referring) = (BTreeMap::new(), BTreeMap::new());
        for (index, entry) in env.iter().enumerate() {
            if let Some(name) = wanted.get(&*entry.name) {
                named.entry(*name).or_insert(index);
            }
            for name in references(entry.value.as_deref().unwrap_or_default()) {
                if let Some(name) = wanted.get(name) {
                    referring.entry(*name).or_insert(index);
                }
            }
        }
        Self { named, referring }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_found_as_kubernetes_expands_them() {
        for (value, expected) in [
            ("", &[][..]),
            ("$(A)", &["A"]),
            ("x$(A)$(B)y$(A)", &["A", "B", "A"]),
            ("$$(A)", &[]),
            ("$$$(A)", &["A"]),
            ("$(A", &[]),
            ("$($(A)", &["A"]),
            ("$A $() (B)", &[""]),
        ] {
            assert_eq!(references(value).collect::<Vec<_>>(), expected, "{value}");
        }
        assert!(refers_to("a$(NAME)", "NAME") && !refers_to("a$(NAMES)", "NAME"));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "it measures time")]
    fn a_megabyte_of_opened_references_is_read_once() {
        let value = "$(".repeat(1 << 20);
        let begun = std::time::Instant::now();
        assert_eq!(references(&value).count(), 0);
        assert!(begun.elapsed() < std::time::Duration::from_secs(10), "{:?}", begun.elapsed());
    }
}
