//! A file with one variable, as the kubelet reads it for a `fileKeyRef`.
//!
//! The kubelet's parser takes `NAME='value'` alone: a value may have several lines, but it cannot
//! hold a single quote, and CRLF becomes LF in it.

use super::{Content, ContentError};
use keysluice_plan::VariableName;
use zeroize::Zeroizing;

/// The parser fails for a line of 64 KiB with its end.
const MAX_LINE_BYTES: usize = 65_000;

/// Why the kubelet cannot read a value from a file of variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VariableProblem {
    /// The value ends at the quote.
    #[error("the value holds a single quote")]
    Quote,
    /// Read as missing.
    #[error("the value is empty")]
    Empty,
    /// Longer than the parser takes.
    #[error("the value has a line of more than {MAX_LINE_BYTES} bytes")]
    Line,
    /// Read as LF.
    #[error("the value holds a line end CRLF, which would become LF")]
    CrLf,
    /// No variable can hold it.
    #[error("the value holds a NUL byte")]
    Nul,
    /// The kubelet passes variables on as UTF-8.
    #[error("the value is not UTF-8")]
    Binary,
}

/// The file for a value. The empty value of an optional variable is an empty file.
pub(super) fn assignment(
    name: &VariableName,
    value: &Content,
    is_optional: bool,
) -> Result<Content, ContentError> {
    let value = value.expose();
    if value.is_empty() && is_optional {
        return Ok(Content::new(Vec::new()));
    }
    if let Some(problem) = problem_of(name, value) {
        return Err(ContentError::Variable { variable: name.to_string(), problem });
    }
    let name = name.as_str().as_bytes();
    let mut file = Zeroizing::new(Vec::with_capacity(name.len() + value.len() + 4));
    for part in [name, b"='", value, b"'\n"] {
        file.extend_from_slice(part);
    }
    Ok(file.into())
}

fn problem_of(name: &VariableName, value: &[u8]) -> Option<VariableProblem> {
    let longest = MAX_LINE_BYTES - name.as_str().len() - "=''".len();
    match value {
        [] => Some(VariableProblem::Empty),
        _ if value.contains(&0) => Some(VariableProblem::Nul),
        _ if std::str::from_utf8(value).is_err() => Some(VariableProblem::Binary),
        _ if value.contains(&b'\'') => Some(VariableProblem::Quote),
        _ if value.windows(2).any(|pair| pair == b"\r\n") => Some(VariableProblem::CrLf),
        _ if value.split(|byte| *byte == b'\n').any(|line| line.len() > longest) => {
            Some(VariableProblem::Line)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn made(value: &[u8], is_optional: bool) -> Result<Vec<u8>, String> {
        let name = "DB_PASSWORD".parse().unwrap();
        let made = assignment(&name, &Content::new(value.to_vec()), is_optional);
        made.map(|content| content.expose().to_vec()).map_err(|error| error.fault("x").to_string())
    }

    #[test]
    fn what_the_kubelet_reads_back_is_written() {
        for value in [
            "s3cret",
            " a b ",
            "two\nlines",
            "ends\n",
            "\"double\" $HOME $(X) # no comment = \\n",
            "ünï©ode 🔑",
            "lone\rreturn",
            "=",
        ] {
            let expected = format!("DB_PASSWORD='{value}'\n").into_bytes();
            assert_eq!(made(value.as_bytes(), false), Ok(expected), "{value:?}");
        }
        assert_eq!(made(b"", true), Ok(Vec::new()), "left out");
        assert_eq!(made("x".repeat(60_000).as_bytes(), false).unwrap().len(), 60_015);
        let long = "x\n".repeat(60_000);
        assert!(made(long.as_bytes(), false).is_ok(), "each line is short");
    }

    #[test]
    fn what_it_cannot_read_is_refused_with_the_variable_and_never_the_value() {
        let long = "x".repeat(65_000);
        for (value, expected) in [
            (&b"it's"[..], "KS671 x: variable DB_PASSWORD: the value holds a single quote; hint: "),
            (b"", "KS672 x: variable DB_PASSWORD: the value is empty; hint: "),
            (long.as_bytes(), "KS673 x: variable DB_PASSWORD: the value has a line of more than "),
            (b"a\r\nb", "KS674 x: variable DB_PASSWORD: the value holds a line end CRLF"),
            (b"a\0b", "KS674 x: variable DB_PASSWORD: the value holds a NUL byte"),
            (b"\xff\xfe", "KS674 x: variable DB_PASSWORD: the value is not UTF-8"),
        ] {
            let error = made(value, false).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
        assert!(made(b"it's", true).is_err(), "optional is about what is not there");
    }

    proptest! {
        #[test]
        fn a_file_is_exactly_one_quoted_value(value in any::<Vec<u8>>()) {
            if let Ok(file) = made(&value, false) {
                let text = std::str::from_utf8(&file).unwrap();
                let inner = text.strip_prefix("DB_PASSWORD='").unwrap();
                let inner = inner.strip_suffix("'\n").unwrap();
                prop_assert_eq!(inner.as_bytes(), &value[..]);
                prop_assert!(!inner.contains('\''));
            }
        }
    }
}
