//! Where a value stands in a JSON document.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A path into a JSON document: member names separated by `.`, elements as `[N]`.
///
/// `database.password`, `hosts[0].name`, `[1]`. A `.`, `[`, `]` or `\` of a name has a `\` in front
/// of it (`tls\.key`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JsonPath {
    text: String,
    steps: Vec<JsonStep>,
}

/// One step of a [`JsonPath`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JsonStep {
    /// The member of an object with this name.
    Member(String),
    /// The element of an array, counted from 0.
    Element(usize),
}

/// The path that was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("jsonKey {0:?} is not a path such as database.password or hosts[0].name")]
pub struct JsonPathError(String);

impl JsonPath {
    /// The steps from the document's root, at least one.
    pub fn steps(&self) -> &[JsonStep] {
        &self.steps
    }
}

impl FromStr for JsonPath {
    type Err = JsonPathError;
    fn from_str(text: &str) -> Result<Self, JsonPathError> {
        let steps = parse(text)
            .filter(|steps| !steps.is_empty())
            .ok_or_else(|| JsonPathError(text.to_owned()))?;
        Ok(Self { text: text.to_owned(), steps })
    }
}

fn parse(text: &str) -> Option<Vec<JsonStep>> {
    let mut steps = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            let (index, after) = inner.split_once(']')?;
            let digits = index.bytes().all(|byte| byte.is_ascii_digit());
            steps.push(JsonStep::Element(index.parse().ok().filter(|_| digits)?));
            rest = after;
        } else {
            let (name, after) = member(rest)?;
            steps.push(JsonStep::Member(name));
            rest = after;
        }
        // Between two steps: a dot before a name, nothing before an element.
        rest = match rest.strip_prefix('.') {
            Some(after) if !after.is_empty() && !after.starts_with('[') => after,
            None if rest.is_empty() || rest.starts_with('[') => rest,
            _ => return None,
        };
    }
    Some(steps)
}

/// A name, and what follows it.
fn member(text: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => name.push(letters.next()?.1),
            ']' => return None,
            '.' | '[' => return Some((name, &text[at..])).filter(|(name, _)| !name.is_empty()),
            other => name.push(other),
        }
    }
    Some((name, "")).filter(|(name, _)| !name.is_empty())
}

impl fmt::Display for JsonPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl TryFrom<String> for JsonPath {
    type Error = JsonPathError;
    fn try_from(text: String) -> Result<Self, JsonPathError> {
        text.parse()
    }
}

impl From<JsonPath> for String {
    fn from(path: JsonPath) -> Self {
        path.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str) -> JsonStep {
        JsonStep::Member(name.to_owned())
    }

    #[test]
    fn names_elements_and_escapes_are_steps() {
        for (text, steps) in [
            ("password", vec![member("password")]),
            ("database.password", vec![member("database"), member("password")]),
            ("hosts[0].name", vec![member("hosts"), JsonStep::Element(0), member("name")]),
            ("[1][2]", vec![JsonStep::Element(1), JsonStep::Element(2)]),
            (r"tls\.key.a\[0\]\\", vec![member("tls.key"), member(r"a[0]\")]),
            ("a b.ü", vec![member("a b"), member("ü")]),
        ] {
            assert_eq!(text.parse::<JsonPath>().unwrap().steps(), steps, "{text}");
            assert_eq!(text.parse::<JsonPath>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for bad in [
            "", ".", "a.", ".a", "a..b", "a.[0]", "[", "[]", "[x]", "[-1]", "[+1]", "a]", "a[0",
            "a[0]b", "a\\",
        ] {
            assert!(bad.parse::<JsonPath>().is_err(), "{bad:?}");
        }
    }
}
