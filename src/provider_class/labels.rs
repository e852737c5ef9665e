//! Labels and annotations of a Secret, by the API server's rules.

use std::collections::BTreeMap;

const MAX_NAME_BYTES: usize = 63;
const MAX_PREFIX_BYTES: usize = 253;

/// What the API server refuses in these labels or annotations.
pub(super) fn refused(field: &'static str, texts: &BTreeMap<String, String>) -> Option<String> {
    let is_label = field == "labels";
    texts.iter().find_map(|(key, value)| {
        if !is_key(key, is_label) {
            return Some(format!("{field}: {key:?} is not a key such as example.com/name"));
        }
        let is_refused = is_label && !value.is_empty() && !is_name(value);
        is_refused.then(|| {
            format!(
                "{field}: value {value:?} of {key:?} is not at most 63 letters, digits, -, _ and \
                 ., with a letter or digit at both ends"
            )
        })
    })
}

/// A name, perhaps behind a DNS name and a slash. Annotations take the DNS name in any case.
fn is_key(key: &str, is_label: bool) -> bool {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    is_name(name) && prefix.is_none_or(|prefix| is_prefix(prefix, is_label))
}

fn is_prefix(prefix: &str, is_label: bool) -> bool {
    let is_lower = !is_label || !prefix.bytes().any(|byte| byte.is_ascii_uppercase());
    prefix.len() <= MAX_PREFIX_BYTES && is_lower && prefix.split('.').all(is_prefix_part)
}

fn is_prefix_part(part: &str) -> bool {
    !part.is_empty()
        && !part.starts_with('-')
        && !part.ends_with('-')
        && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn is_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    name.len() <= MAX_NAME_BYTES
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_are_those_that_the_api_server_takes() {
        let (long, longest) = ("v".repeat(64), "v".repeat(63));
        for (field, key, value, expected) in [
            ("labels", "app", "web", None),
            ("labels", "example.com/app.kubernetes_io-1", "", None),
            ("labels", "a", longest.as_str(), None),
            ("labels", "a b", "c", Some("labels: \"a b\" is not a key such as")),
            ("labels", "", "c", Some("is not a key")),
            ("labels", "/a", "c", Some("is not a key")),
            ("labels", "a/b/c", "c", Some("is not a key")),
            ("labels", "-a", "c", Some("is not a key")),
            ("labels", "Example.com/a", "c", Some("is not a key")),
            ("labels", "a..b/c", "c", Some("is not a key")),
            ("labels", long.as_str(), "c", Some("is not a key")),
            ("labels", "a", "b c", Some("labels: value \"b c\" of \"a\" is not at most 63")),
            ("labels", "a", "b\n", Some("is not at most 63")),
            ("labels", "a", "-b", Some("is not at most 63")),
            ("labels", "a", long.as_str(), Some("is not at most 63")),
            ("annotations", "Example.com/a", "any text\n", None),
            ("annotations", "a b", "c", Some("annotations: \"a b\" is not a key")),
        ] {
            let texts = BTreeMap::from([(key.to_owned(), value.to_owned())]);
            let found = refused(field, &texts);
            assert_eq!(found.is_some(), expected.is_some(), "{key} {value}: {found:?}");
            assert!(found.unwrap_or_default().contains(expected.unwrap_or_default()), "{key}");
        }
    }
}
