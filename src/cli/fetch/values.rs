//! The values as text for the job: masks, dotenv, the files of GitHub's runner. Pure.

use super::error::{Cause, FetchError};
use keysluice_plan::VariableName;
use secrecy::{ExposeSecret as _, SecretSlice};
use std::collections::BTreeSet;

/// Linux refuses a longer string of an environment, with its name and the NUL at its end.
const MAX_STRING_BYTES: usize = 128 << 10;

/// A variable and its value.
#[derive(Debug)]
pub(super) struct Variable {
    pub(super) name: VariableName,
    pub(super) value: SecretSlice<u8>,
}

/// Where variables go, for what their values may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Command,
    Dotenv,
    Runner,
}

/// How the log of the job is told what to hide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MaskStyle {
    Github,
    AzurePipelines,
}

/// Whether a variable can have this value.
pub(super) fn check(variable: &Variable, target: Target) -> Result<(), FetchError> {
    let value = variable.value.expose_secret();
    let is_too_long = variable.name.as_str().len() + value.len() + "=\0".len() > MAX_STRING_BYTES;
    let problem = if value.contains(&0) {
        "holds a NUL byte, which no variable can have"
    } else if target != Target::Command && std::str::from_utf8(value).is_err() {
        "is not UTF-8 text"
    } else if target == Target::Command && is_too_long {
        "is longer than the 128 KiB that Linux allows for a variable"
    } else if target == Target::Runner && value.ends_with(b"\r") {
        "ends in a carriage return, which the runner drops"
    } else {
        return Ok(());
    };
    Err(Cause::Value { name: variable.name.to_string(), problem }.into())
}

/// The commands that hide each line of the values in the log. A log shows lines, so a value of
/// several is hidden line by line; an empty line would hide everything or nothing.
pub(super) fn masks<'v>(
    values: impl IntoIterator<Item = &'v [u8]>,
    style: MaskStyle,
) -> SecretSlice<u8> {
    let mut lines = BTreeSet::new();
    for value in values.into_iter().filter(|value| !value.contains(&0)) {
        for line in value.split(|byte| matches!(byte, b'\n' | b'\r')) {
            let trimmed = line.trim_ascii();
            if !trimmed.is_empty() {
                lines.extend([line, trimmed]);
            }
        }
    }
    let mut text = Vec::new();
    for line in lines {
        match style {
            MaskStyle::Github => mask(&mut text, b"::add-mask::", line, b"%25"),
            // An agent decodes %AZP25 only where it is set up so: both forms.
            MaskStyle::AzurePipelines => {
                mask(&mut text, b"##vso[task.setsecret]", line, b"%");
                if line.contains(&b'%') {
                    mask(&mut text, b"##vso[task.setsecret]", line, b"%AZP25");
                }
            }
        }
    }
    text.into()
}

/// One command; the lines have neither CR nor LF, and a percent sign begins an escape.
fn mask(text: &mut Vec<u8>, command: &[u8], line: &[u8], percent: &[u8]) {
    text.extend_from_slice(command);
    for &byte in line {
        match byte {
            b'%' => text.extend_from_slice(percent),
            other => text.push(other),
        }
    }
    text.push(b'\n');
}

/// `NAME=value` lines. Quotes as the filter `dotenv` of templates, and none where no reader needs
/// them: `docker --env-file` knows no quotes.
pub(super) fn dotenv(variables: &[Variable]) -> SecretSlice<u8> {
    let mut text = Vec::new();
    for Variable { name, value } in variables {
        let value = value.expose_secret();
        text.extend_from_slice(name.as_str().as_bytes());
        text.push(b'=');
        if is_bare(value) {
            text.extend_from_slice(value);
        } else if value.contains(&b'\'') {
            text.push(b'"');
            for &byte in value {
                if matches!(byte, b'\\' | b'"' | b'$' | b'`') {
                    text.push(b'\\');
                }
                text.push(byte);
            }
            text.push(b'"');
        } else {
            text.push(b'\'');
            text.extend_from_slice(value);
            text.push(b'\'');
        }
        text.push(b'\n');
    }
    text.into()
}

/// Whether a value needs no quotes.
fn is_bare(value: &[u8]) -> bool {
    value.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._/:@%+,=".contains(byte))
}

/// The form of `GITHUB_ENV` and `GITHUB_OUTPUT`: each value between two lines of a delimiter that
/// no value contains. `draw` gives 16 random bytes as text.
pub(super) fn runner_file(
    variables: &[Variable],
    mut draw: impl FnMut() -> String,
) -> SecretSlice<u8> {
    let mut text = Vec::new();
    for Variable { name, value } in variables {
        let delimiter = loop {
            let delimiter = format!("keysluice_{}", draw());
            if !variables.iter().any(|variable| contains(&variable.value, &delimiter)) {
                break delimiter;
            }
        };
        text.extend_from_slice(format!("{name}<<{delimiter}\n").as_bytes());
        text.extend_from_slice(value.expose_secret());
        text.extend_from_slice(format!("\n{delimiter}\n").as_bytes());
    }
    text.into()
}

fn contains(value: &SecretSlice<u8>, text: &str) -> bool {
    value.expose_secret().windows(text.len()).any(|window| window == text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variable(name: &str, value: &[u8]) -> Variable {
        Variable { name: name.parse().unwrap(), value: value.to_vec().into() }
    }

    fn text(bytes: &SecretSlice<u8>) -> String {
        String::from_utf8(bytes.expose_secret().to_vec()).unwrap()
    }

    #[test]
    fn each_line_of_a_value_is_masked_and_nothing_of_an_empty_one() {
        let values: [&[u8]; 5] = [b"one\r\n  two\n\n \t\nthree", b"", b"\n", b"50%\n", b"a\0b"];
        let masked = text(&masks(values, MaskStyle::Github));
        let lines = ["  two", "50%25", "one", "three", "two"];
        let expected = lines.map(|line| format!("::add-mask::{line}\n")).concat();
        assert_eq!(masked, expected);
        let masked = text(&masks([&b"50%"[..]], MaskStyle::AzurePipelines));
        assert_eq!(masked, "##vso[task.setsecret]50%\n##vso[task.setsecret]50%AZP25\n");
    }

    #[test]
    fn a_command_in_a_value_begins_no_line_of_its_own() {
        let hostile = &b"x\n::set-output name=a::b\n::stop-commands::t\r::error::e"[..];
        let masked = text(&masks([hostile], MaskStyle::Github));
        assert!(masked.lines().all(|line| line.starts_with("::add-mask::")), "{masked}");
    }

    #[test]
    fn a_delimiter_that_a_value_has_is_not_taken() {
        let variables = [variable("A", b"keysluice_1\nX=1\nkeysluice_1"), variable("B", b"")];
        let mut drawn = ["1", "1", "2", "1", "3"].into_iter();
        let file = text(&runner_file(&variables, || drawn.next().unwrap().to_owned()));
        assert_eq!(
            file,
            "A<<keysluice_2\nkeysluice_1\nX=1\nkeysluice_1\nkeysluice_2\n\
             B<<keysluice_3\n\nkeysluice_3\n"
        );
    }

    #[test]
    fn a_dotenv_quotes_what_a_shell_would_read() {
        for (value, expected) in [
            ("plain-1./:@%+,=", "A=plain-1./:@%+,=\n"),
            ("", "A=\n"),
            ("two words", "A='two words'\n"),
            ("$(id) `id` \"x\" \\", "A='$(id) `id` \"x\" \\'\n"),
            ("it's $(id) `id` \"x\" \\", "A=\"it's \\$(id) \\`id\\` \\\"x\\\" \\\\\"\n"),
            ("two\nlines", "A='two\nlines'\n"),
            ("#x", "A='#x'\n"),
        ] {
            assert_eq!(text(&dotenv(&[variable("A", value.as_bytes())])), expected);
        }
    }

    #[test]
    fn what_no_variable_can_hold_is_refused_with_ks795() {
        let long = vec![b'x'; MAX_STRING_BYTES];
        for (value, target, expected) in [
            (&b"a\0b"[..], Target::Command, Some("NUL")),
            (b"a\0b", Target::Dotenv, Some("NUL")),
            (b"\xff", Target::Dotenv, Some("UTF-8")),
            (b"\xff", Target::Runner, Some("UTF-8")),
            (b"\xff", Target::Command, None),
            (b"x\r", Target::Runner, Some("carriage return")),
            (b"x\r\n", Target::Runner, None),
            (&long, Target::Command, Some("128 KiB")),
            (&long, Target::Dotenv, None),
        ] {
            let problem = check(&variable("A", value), target).err().map(|e| e.to_string());
            match (problem, expected) {
                (None, None) => {}
                (Some(problem), Some(expected)) => {
                    assert!(
                        problem.starts_with("KS795 A: ") && problem.contains(expected),
                        "{problem}"
                    );
                }
                (problem, expected) => panic!("{problem:?} {expected:?}"),
            }
        }
    }
}
