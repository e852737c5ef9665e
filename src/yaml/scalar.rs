//! What a plain scalar of a manifest is, as kubectl reads it: YAML 1.1 without numbers of base 60,
//! by sigs.k8s.io/yaml.

use serde_json::{Number, Value};

/// A scalar after resolution. Infinity and NaN have no place in JSON.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scalar {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text,
}

/// Resolves a plain scalar.
pub(super) fn resolve(text: &str) -> Scalar {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Scalar::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Scalar::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Scalar::Bool(false);
        }
        ".nan" | ".NaN" | ".NAN" => return Scalar::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => {
            return Scalar::Float(f64::INFINITY);
        }
        "-.inf" | "-.Inf" | "-.INF" => return Scalar::Float(f64::NEG_INFINITY),
        _ => {}
    }
    match text.as_bytes()[0] {
        // Underscores may stand between digits here.
        b'.' if text
            .split('_')
            .skip(1)
            .all(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
            && text
                .split('_')
                .rev()
                .skip(1)
                .all(|before| before.ends_with(|c: char| c.is_ascii_digit())) =>
        {
            float(&text.replace('_', ""))
        }
        // Dates and times stay text.
        b'0'..=b'9' | b'+' | b'-' => number(&text.replace('_', "")),
        _ => Scalar::Text,
    }
}

/// As the API server gets it.
pub(super) fn to_json(scalar: &Scalar, text: &str) -> Option<Value> {
    match scalar {
        Scalar::Null => Some(Value::Null),
        Scalar::Bool(value) => Some(Value::Bool(*value)),
        Scalar::Int(value) => Number::from_i128(*value).map(Value::Number),
        Scalar::Float(value) => json_float(*value),
        Scalar::Text => Some(Value::String(text.to_owned())),
    }
}

/// As the name of a field. Null has none.
pub(super) fn to_key(scalar: &Scalar, text: &str) -> Option<String> {
    match scalar {
        Scalar::Null => None,
        Scalar::Bool(value) => Some(value.to_string()),
        Scalar::Int(value) => Some(value.to_string()),
        Scalar::Float(value) => Some(float_key(*value)),
        Scalar::Text => Some(text.to_owned()),
    }
}

/// Go writes a float without a fraction as an integer.
fn json_float(value: f64) -> Option<Value> {
    #[allow(clippy::cast_possible_truncation)] // bounded
    if value.fract() == 0.0 && value.abs() < 1e18 {
        return Some(Value::Number((value as i64).into()));
    }
    Number::from_f64(value).map(Value::Number)
}

/// Go's `strconv.FormatFloat(value, 'g', -1, 32)`.
fn float_key(value: f64) -> String {
    #[allow(clippy::cast_possible_truncation)] // as Go does
    let single = value as f32;
    let scientific = format!("{single:e}");
    match scientific.split_once('e').map(|(digits, exponent)| (digits, exponent.parse::<i32>())) {
        Some((digits, Ok(exponent))) if !(-4..6).contains(&exponent) && single != 0.0 => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
        _ => single.to_string(),
    }
}

/// An integer, else a float as YAML writes them.
fn number(plain: &str) -> Scalar {
    integer(plain).map_or_else(|| float(plain), Scalar::Int)
}

fn float(text: &str) -> Scalar {
    let float_like =
        text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
    match text.parse::<f64>() {
        Ok(value) if float_like && value.is_finite() => Scalar::Float(value),
        _ => Scalar::Text,
    }
}

/// Go's `strconv.ParseInt` with base 0, else `ParseUint`.
fn integer(plain: &str) -> Option<i128> {
    let (negative, digits) = match plain.as_bytes() {
        [b'-', ..] => (true, &plain[1..]),
        [b'+', ..] => (false, &plain[1..]),
        _ => (false, plain),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    // Its own reading of 0b lets a sign follow.
    let signed_binary = plain.starts_with("0b") && digits.starts_with(['+', '-']);
    if !digits.starts_with(|c: char| c.is_ascii_hexdigit()) && !signed_binary {
        return None;
    }
    let value = i128::from_str_radix(digits, radix).ok()?;
    let value = if negative { -value } else { value };
    // 64 bits, unsigned only without a sign.
    let signed = plain.starts_with(['+', '-']);
    let most = if signed { i128::from(i64::MAX) } else { i128::from(u64::MAX) };
    (i128::from(i64::MIN)..=most).contains(&value).then_some(value)
}
