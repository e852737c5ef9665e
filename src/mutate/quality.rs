//! Quality of service: the sidecar must not take a pod out of the Guaranteed class.

use crate::pod::{Container, Pod, Quantity};

/// Whether every container has CPU and memory limits, and requests that equal them (absent ones
/// default to the limits).
pub(super) fn is_guaranteed(pod: &Pod<'_>) -> bool {
    let mut containers = pod.all_containers().map(|(_, container)| container).peekable();
    containers.peek().is_some() && containers.all(container_is_guaranteed)
}

fn container_is_guaranteed(container: &Container<'_>) -> bool {
    let same = |limit: &Option<Quantity<'_>>, request: &Option<Quantity<'_>>| {
        let Some(limit) =
            limit.as_ref().and_then(|limit| nanos(&limit.0)).filter(|limit| *limit > 0)
        else {
            return false;
        };
        request.as_ref().is_none_or(|request| nanos(&request.0) == Some(limit))
    };
    let resources = &container.resources;
    same(&resources.limits.cpu, &resources.requests.cpu)
        && same(&resources.limits.memory, &resources.requests.memory)
}

/// A quantity in billionths, rounded up, as Kubernetes keeps it; `None` if it is none, or beyond 64
/// bits of units.
fn nanos(text: &str) -> Option<i128> {
    const NANO: i128 = 1_000_000_000;
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
    use serde_json::{Value, json};

    fn guaranteed(containers: &Value) -> bool {
        let json = json!({"spec": {"containers": containers}}).to_string();
        is_guaranteed(&Pod::from_json(json.as_bytes()).unwrap())
    }

    #[test]
    fn only_equal_requests_and_limits_everywhere() {
        let full = json!({"resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}}});
        let limits = json!({"resources": {"limits": {"cpu": 1, "memory": "1Gi"}}});
        let burst = json!({"resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}});
        let spelt = json!({"resources": {"limits": {"cpu": 1, "memory": 1_073_741_824}, "requests": {"cpu": "1000m", "memory": "1Gi"}}});
        let nothing = json!({"resources": {"limits": {"cpu": "0", "memory": "1Gi"}, "requests": {"cpu": "0", "memory": "1Gi"}}});
        assert!(guaranteed(&json!([full, limits, spelt])));
        for other in [json!([full, burst]), json!([{}]), json!([]), json!([nothing])] {
            assert!(!guaranteed(&other), "{other}");
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
