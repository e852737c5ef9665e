//! Environment variables that are made from vault objects.

use crate::names::string_type;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Name of an environment variable: a C identifier, at most 128 characters (the limit of
/// Kubernetes for the key of a `fileKeyRef`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VariableName(String);

string_type!(VariableName, VariableNameError);

impl VariableName {
    /// The longest that Kubernetes takes.
    pub const MAX_BYTES: usize = 128;
}

/// The name that was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a name of an environment variable: 1 to 128 letters, digits and _, no digit first"
)]
pub struct VariableNameError(String);

impl FromStr for VariableName {
    type Err = VariableNameError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_name = (1..=Self::MAX_BYTES).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && !text.starts_with(|first: char| first.is_ascii_digit());
        if is_name { Ok(Self(text.to_owned())) } else { Err(VariableNameError(text.to_owned())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_named_by_a_c_identifier() {
        for good in ["A", "_", "DB_PASSWORD", "a1", "_1"] {
            assert_eq!(good.parse::<VariableName>().unwrap().as_str(), good);
        }
        let long = "x".repeat(129);
        for bad in ["", "1A", "DB-PASSWORD", "a.b", "A B", "ä", "A=B", "A\0", &long] {
            assert!(bad.parse::<VariableName>().is_err(), "{bad:?}");
        }
    }
}
