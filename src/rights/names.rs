//! Names of Kubernetes objects, and those of our Roles.

use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

/// Of a name.
const MAX_BYTES: usize = 253;
/// Of a namespace.
const MAX_LABEL_BYTES: usize = 63;
/// Bytes of a digest in a name that would be too long.
const DIGEST_BYTES: usize = 8;

/// A name as most kinds have it: a DNS subdomain (RFC 1123).
pub(super) fn is_subdomain(name: &str) -> bool {
    name.len() <= MAX_BYTES && name.split('.').all(is_part)
}

/// A name as namespaces have it: a DNS label.
pub(super) fn is_label(name: &str) -> bool {
    name.len() <= MAX_LABEL_BYTES && is_part(name)
}

fn is_part(part: &str) -> bool {
    !part.is_empty()
        && !part.starts_with('-')
        && !part.ends_with('-')
        && part
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// `keysluice-SA`; the end of a longer one is a digest.
pub(super) fn role_name(service_account: &str) -> String {
    shortened(format!("keysluice-{service_account}"), MAX_BYTES)
}

/// A name of at most `limit` bytes that no other name is shortened to.
pub(crate) fn shortened(name: String, limit: usize) -> String {
    if name.len() <= limit || !name.is_ascii() {
        return name;
    }
    let digest = Sha256::digest(&name);
    let mut short = name[..limit - 2 * DIGEST_BYTES - 1].trim_end_matches(['-', '.']).to_owned();
    short.push('-');
    for byte in &digest[..DIGEST_BYTES] {
        let _ = write!(short, "{byte:02x}");
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_api_server() {
        for (name, subdomain, label) in [
            ("a", true, true),
            ("my-secret.v1", true, false),
            ("0", true, true),
            ("", false, false),
            ("A", false, false),
            ("a_b", false, false),
            ("-a", false, false),
            ("a-", false, false),
            ("a..b", false, false),
            ("a.-b", false, false),
            ("a/b", false, false),
            ("a\nb", false, false),
            ("ä", false, false),
        ] {
            assert_eq!((is_subdomain(name), is_label(name)), (subdomain, label), "{name:?}");
        }
        assert!(is_subdomain(&"a".repeat(253)) && !is_subdomain(&"a".repeat(254)));
        assert!(is_label(&"a".repeat(63)) && !is_label(&"a".repeat(64)));
    }

    #[test]
    fn a_long_role_name_is_cut_and_stays_unique() {
        assert_eq!(role_name("web"), "keysluice-web");
        let (one, other) = (format!("{}b", "a".repeat(250)), format!("{}c", "a".repeat(250)));
        let (one, other) = (role_name(&one), role_name(&other));
        assert!(one != other && one.len() == 253 && is_subdomain(&one), "{one}");
        let dotted = role_name(&format!("{}.{}", "a".repeat(225), "b".repeat(20)));
        assert!(dotted.len() <= 253 && is_subdomain(&dotted), "{dotted}");
    }
}
