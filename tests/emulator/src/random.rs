//! Identifiers: version ids, request ids, GUIDs.

/// `bytes` random bytes as lower-case hex.
pub(crate) fn hex(bytes: usize) -> String {
    let mut buffer = vec![0; bytes];
    aws_lc_rs::rand::fill(&mut buffer).expect("the system gives random bytes");
    let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble)]);
    buffer.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// A random GUID.
pub(crate) fn guid() -> String {
    let digits = hex(16);
    format!(
        "{}-{}-4{}-a{}-{}",
        &digits[..8],
        &digits[8..12],
        &digits[13..16],
        &digits[17..20],
        &digits[20..]
    )
}
