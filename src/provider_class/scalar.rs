//! What a plain YAML scalar is, as yaml.v3 resolves it.

/// The tag that it would name in an error.
pub(super) fn tag(text: &str) -> &'static str {
    match text {
        "true" | "True" | "TRUE" | "false" | "False" | "FALSE" => "!!bool",
        "<<" => "!!merge",
        _ if integer(text).is_none() => "!!str",
        _ if radix_integer(&text.replace('_', "")).is_some() => "!!int",
        _ => "!!float",
    }
}

/// A number as yaml.v3 resolves it into an integer field: decimal, `0x`, `0o`, `0b`, a leading zero
/// for octal, underscores anywhere, and floats with their fraction dropped.
pub(super) fn integer(text: &str) -> Option<i64> {
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return None;
    }
    let plain = text.replace('_', "");
    radix_integer(&plain).or_else(|| {
        let float_like = plain
            .bytes()
            .all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E'));
        let number = plain.parse::<f64>().ok().filter(|number| float_like && number.is_finite())?;
        // Out of range is refused by the caller, which wants 32 bits.
        #[allow(clippy::cast_possible_truncation)] // saturates
        Some(number.trunc() as i64)
    })
}

/// Go's `strconv.ParseInt` with base 0.
fn radix_integer(plain: &str) -> Option<i64> {
    let (negative, digits) = match plain.as_bytes().first()? {
        b'-' => (true, &plain[1..]),
        b'+' => (false, &plain[1..]),
        _ => (false, plain),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    if !digits.starts_with(|c: char| c.is_ascii_hexdigit()) {
        return None;
    }
    let value = i64::from_str_radix(digits, radix).ok()?;
    Some(if negative { -value } else { value })
}
