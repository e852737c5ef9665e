//! What a misspelt key was meant to be.

/// The known key nearest to `key`: one that differs only in case, else one at most two edits away.
pub(super) fn nearest(key: &str, known: &[&'static str]) -> Option<&'static str> {
    let key = key.to_lowercase();
    let distances = known.iter().map(|known| (distance(&key, &known.to_lowercase()), *known));
    distances.filter(|(distance, _)| *distance <= 2).min_by_key(|(distance, _)| *distance).map(|(_, known)| known)
}

/// Levenshtein distance; 3 stands for everything above 2.
fn distance(a: &str, b: &str) -> usize {
    if a.len().abs_diff(b.len()) > 8 {
        return 3;
    }
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
    row[b.len()].min(3)
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
            assert_eq!(nearest(key, known), expected, "{key}");
        }
    }
}
