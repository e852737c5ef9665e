//! Names of Kubernetes objects, and those of our Roles.

use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

/// Of a name.
const MAX_BYTES: usize = 253;
/// Bytes of a digest in a name that would be too long.
const DIGEST_BYTES: usize = 8;

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
    use keysluice_plan::is_object_name;

    #[test]
    fn a_long_role_name_is_cut_and_stays_unique() {
        assert_eq!(role_name("web"), "keysluice-web");
        let (one, other) = (format!("{}b", "a".repeat(250)), format!("{}c", "a".repeat(250)));
        let (one, other) = (role_name(&one), role_name(&other));
        assert!(one != other && one.len() == 253 && is_object_name(&one), "{one}");
        let dotted = role_name(&format!("{}.{}", "a".repeat(225), "b".repeat(20)));
        assert!(dotted.len() <= 253 && is_object_name(&dotted), "{dotted}");
    }
}
