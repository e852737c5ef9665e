//! What a misspelt name was meant to be.

/// The known name nearest to `name`: one that differs only in case, else one at most `edits` away.
///
/// Names longer than any known one by more than that cost nothing: they may be of any length.
pub(crate) fn nearest<'k>(name: &str, known: &[&'k str], edits: usize) -> Option<&'k str> {
    let near =
        known.iter().filter(|known| known.len().abs_diff(name.len()) <= edits * MAX_CHAR_BYTES);
    let distances =
        near.map(|known| (distance(&name.to_lowercase(), &known.to_lowercase()), *known));
    distances.filter(|(distance, _)| *distance <= edits).min().map(|(_, known)| known)
}

/// An edit changes one character, up to four bytes.
const MAX_CHAR_BYTES: usize = 4;

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_keys_are_recognised_and_far_ones_are_not() {
        let known = &["keyvaultName", "clientID", "objects"];
        for (key, expected) in [
            ("keyVaultName", Some("keyvaultName")),
            ("keyvaultNmae", Some("keyvaultName")),
            ("keyvault", None),
            ("clientId", Some("clientID")),
            ("client_id", Some("clientID")),
            ("object", Some("objects")),
            ("vaultUrl", None),
            ("", None),
            ("ü", None),
        ] {
            assert_eq!(nearest(key, known, 2), expected, "{key}");
        }
    }
}
