//! Kubernetes quantities: `100m`, `0.5`, `128Mi`.

const NANO: i128 = 1_000_000_000;

/// Bytes of memory: `1048576`, `512Ki`, `8Mi`, `1Gi`. Other suffixes are not taken.
pub(crate) fn memory_bytes(text: &str) -> Option<u64> {
    let number = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let is_plain = number.bytes().all(|byte| byte.is_ascii_digit());
    if !is_plain || !matches!(&text[number.len()..], "" | "Ki" | "Mi" | "Gi") {
        return None;
    }
    u64::try_from(nanos(text)? / NANO).ok()
}

/// Bytes as a quantity.
pub(crate) fn of_bytes(bytes: u64) -> String {
    let (mebi, kibi) = (1 << 20, 1 << 10);
    if bytes.is_multiple_of(mebi) {
        format!("{}Mi", bytes / mebi)
    } else {
        format!("{}Ki", bytes.div_ceil(kibi))
    }
}

/// Whether a text is a quantity of CPU: `5m`, `1`, `0.1`.
pub(crate) fn is_cpu(text: &str) -> bool {
    let number = text.strip_suffix('m').unwrap_or(text);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let is_fraction_allowed = number.len() == text.len();
    is_short_number(whole)
        && is_short_number(fraction)
        && (is_fraction_allowed || !number.contains('.'))
}

/// Whether it is one that a container may be limited to.
pub(crate) fn is_cpu_limit(text: &str) -> bool {
    is_cpu(text) && nanos(text) > Some(0)
}

/// One to nine digits.
fn is_short_number(text: &str) -> bool {
    (1..=9).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A quantity in billionths, rounded up, as Kubernetes keeps it; `None` where it is not a quantity
/// or exceeds 64 bits of units.
pub(crate) fn nanos(text: &str) -> Option<i128> {
    let number_end = text
        .find(|c: char| !c.is_ascii_digit() && !matches!(c, '+' | '-' | '.'))
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(number_end);
    let unit = match suffix {
        "n" => 1,
        "u" => 1_000,
        "m" => 1_000_000,
        "" => NANO,
        "k" => NANO * 1_000,
        "M" => NANO * 1_000_000,
        "G" => NANO * 1_000_000_000,
        "T" => NANO * 1_000_000_000_000,
        "P" => NANO * 1_000_000_000_000_000,
        "E" => NANO * 1_000_000_000_000_000_000,
        "Ki" => NANO << 10,
        "Mi" => NANO << 20,
        "Gi" => NANO << 30,
        "Ti" => NANO << 40,
        "Pi" => NANO << 50,
        "Ei" => NANO << 60,
        exponent => return scaled(number, NANO, exponent.strip_prefix(['e', 'E'])?.parse().ok()?),
    };
    scaled(number, unit, 0)
}

/// `number` times `unit` times ten to the `exponent`.
fn scaled(number: &str, unit: i128, exponent: i32) -> Option<i128> {
    let (sign, digits) = match number.as_bytes().first()? {
        b'-' => (-1, &number[1..]),
        b'+' => (1, &number[1..]),
        _ => (1, number),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all = format!("{whole}{fraction}");
    if all.is_empty() || !all.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let exponent = exponent.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    let amount = all.parse::<i128>().ok()?.checked_mul(unit)?;
    let power = 10_i128.checked_pow(exponent.unsigned_abs());
    let (amount, power) =
        if exponent < 0 { (amount, power?) } else { (amount.checked_mul(power?)?, 1) };
    Some(sign * (amount / power + i128::from(amount % power != 0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_whole_quantities() {
        for (bytes, text) in [(1 << 20, "1Mi"), (17 << 20, "17Mi"), (65536 * 33, "2112Ki")] {
            assert_eq!(of_bytes(bytes), text);
            assert_eq!(memory_bytes(text), Some(bytes), "{text}");
        }
        assert_eq!(memory_bytes("16Gi"), Some(16 << 30));
        for text in ["", "Mi", "128M", "-1", "1.5Mi", "1e9", "18446744073709551615Gi"] {
            assert_eq!(memory_bytes(text), None, "{text}");
        }
    }

    #[test]
    fn a_limit_of_cpu_is_not_zero() {
        for (text, is_quantity, is_limit) in [
            ("10m", true, true),
            ("0.1", true, true),
            ("0", true, false),
            ("0m", true, false),
            ("0.0", true, false),
            ("much", false, false),
        ] {
            assert_eq!((is_cpu(text), is_cpu_limit(text)), (is_quantity, is_limit), "{text}");
        }
    }

    #[test]
    fn quantities_are_their_values_and_not_their_spelling() {
        for (one, other) in [
            ("1", "1000m"),
            ("0.5", "500m"),
            (".5", "500000u"),
            ("1.", "1"),
            ("+1", "1e0"),
            ("1e3", "1k"),
            ("1E3", "1000"),
            ("12e-1", "1.2"),
            ("1Gi", "1073741824"),
            ("1Gi", "1024Mi"),
            ("0.1Gi", "107374182.4"),
            ("1M", "1000000"),
            ("1Ki", "1.024k"),
            ("2T", "2e12"),
            ("1P", "1000T"),
            ("7E", "7000P"),
            ("8Ei", "8192Pi"),
            ("1Ti", "1024Gi"),
            ("1n", "0.000000001"),
            // Rounded up to a billionth.
            ("0.1n", "1n"),
            ("1e-20", "1n"),
            ("-1", "-1000m"),
        ] {
            assert!(nanos(one).is_some() && nanos(one) == nanos(other), "{one} {other}");
        }
        for (one, other) in
            [("1", "1001m"), ("1G", "1Gi"), ("1k", "1Ki"), ("1", "-1"), ("1m", "1M")]
        {
            assert!(nanos(one).is_some() && nanos(one) != nanos(other), "{one} {other}");
        }
        let long = "9".repeat(100);
        for none in [
            "",
            ".",
            "+",
            "--1",
            "1K",
            "1ki",
            "1.2.3",
            "1e",
            "1ex",
            "x",
            "1e99",
            "1e-99",
            "1 ",
            " 1",
            "1e2147483648",
            &long,
        ] {
            assert_eq!(nanos(none), None, "{none}");
        }
    }
}
