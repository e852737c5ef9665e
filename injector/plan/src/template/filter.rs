//! What `|` does with a value.

use super::escape::{adonet, dotenv, escaped, json, properties, quoted, xml};
use super::{RenderProblem, Text};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// The filters: name, what they take, what they do.
pub const FILTERS: &[(&str, Filter, &str, &str)] = &[
    (
        "adonet",
        Filter::Adonet,
        NOTHING,
        "a value of a connection string of ADO.NET or of an Azure \
        service: in double quotes, where it needs them",
    ),
    ("base64", Filter::Base64, NOTHING, "the bytes in base64"),
    ("base64decode", Filter::Base64Decode, NOTHING, "the bytes that the base64 stands for"),
    ("default", Filter::Default, "one string", "this string, if there is no such file"),
    (
        "dotenv",
        Filter::Dotenv,
        NOTHING,
        "a value of a .env file: in single quotes, or in double \
        quotes with escapes if single quotes cannot hold it",
    ),
    (
        "env",
        Filter::Env,
        NOTHING,
        "a name of a variable: upper case, and _ for every character \
        that is not a letter or digit",
    ),
    (
        "indent",
        Filter::Indent,
        "one number, at most 64",
        "so many spaces before each line but the \
        first",
    ),
    ("json", Filter::Json, NOTHING, "a JSON string with its quotes; YAML takes it too"),
    (
        "libpq",
        Filter::Libpq,
        NOTHING,
        "a value of a connection string of PostgreSQL, in single \
        quotes",
    ),
    ("lower", Filter::Lower, NOTHING, "lower case"),
    ("properties", Filter::Properties, NOTHING, "a value of a Java properties file"),
    (
        "replace",
        Filter::Replace,
        "two strings, the first not empty",
        "the second string for every occurrence of the \
        first",
    ),
    ("shell", Filter::Shell, NOTHING, "one word of a POSIX shell, in single quotes"),
    ("trim", Filter::Trim, NOTHING, "without blanks and newlines at both ends"),
    ("upper", Filter::Upper, NOTHING, "upper case"),
    (
        "urlencode",
        Filter::Urlencode,
        NOTHING,
        "a part of a URL: all but letters, digits, -, ., _ \
        and ~ in %XX",
    ),
    ("xml", Filter::Xml, NOTHING, "text or an attribute of XML"),
];

const NOTHING: &str = "no arguments";
const TEXT: &str = "UTF-8 text";
const NO_NUL: &str = "UTF-8 text without the character NUL";
const OF_XML: &str = "text of characters that XML has: of the control characters tab and line ends";
const MAX_INDENT: usize = 64;

/// A filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "FILTERS explains each")]
pub enum Filter {
    Adonet,
    Base64,
    Base64Decode,
    Default,
    Dotenv,
    Env,
    Indent,
    Json,
    Libpq,
    Lower,
    Properties,
    Replace,
    Shell,
    Trim,
    Upper,
    Urlencode,
    Xml,
}

impl Filter {
    pub(super) fn named(name: &str) -> Option<Self> {
        FILTERS.iter().find(|(known, ..)| *known == name).map(|(_, filter, ..)| *filter)
    }

    pub(super) fn name(self) -> &'static str {
        let of_it = FILTERS.iter().find(|(_, filter, ..)| *filter == self);
        of_it.map_or("", |(name, ..)| name)
    }

    /// Whether it takes these arguments; else what it takes.
    pub(super) fn check(self, arguments: &[String]) -> Result<(), &'static str> {
        let takes = FILTERS.iter().find(|(_, filter, ..)| *filter == self);
        let takes = takes.map_or(NOTHING, |(_, _, takes, _)| takes);
        let fits = match (self, arguments) {
            (Self::Default, [_]) => true,
            (Self::Replace, [from, _]) => !from.is_empty(),
            (Self::Indent, [count]) => {
                count.parse::<usize>().is_ok_and(|count| count <= MAX_INDENT)
            }
            (Self::Default | Self::Replace | Self::Indent, _) => false,
            (_, arguments) => arguments.is_empty(),
        };
        if fits { Ok(()) } else { Err(takes) }
    }

    /// Does it with a value that is there.
    pub(super) fn apply(self, value: &[u8], arguments: &[String]) -> Result<Text, RenderProblem> {
        let mut out = Text::default();
        match self {
            Self::Base64 => return base64(value, &mut out).map(|()| out),
            Self::Default => return out.push(value).map(|()| out),
            _ => {}
        }
        let text = std::str::from_utf8(value).map_err(|_| self.refusal(TEXT))?;
        if [Self::Dotenv, Self::Shell, Self::Libpq, Self::Adonet].contains(&self)
            && text.contains('\0')
        {
            return Err(self.refusal(NO_NUL));
        }
        match self {
            Self::Base64 | Self::Default => {}
            Self::Base64Decode => {
                let is_known = base64_decode(text, &mut out)?;
                is_known.then_some(()).ok_or_else(|| self.refusal("base64"))?;
            }
            Self::Trim => out.push(text.trim().as_bytes())?,
            Self::Upper => {
                text.chars().flat_map(char::to_uppercase).try_for_each(|c| out.push_char(c))?;
            }
            Self::Lower => {
                text.chars().flat_map(char::to_lowercase).try_for_each(|c| out.push_char(c))?;
            }
            Self::Env => {
                let is_digit_first = text.starts_with(|c: char| c.is_ascii_digit());
                out.push(if is_digit_first { b"_" } else { b"" })?;
                text.chars().try_for_each(|c| {
                    let is_plain = c.is_ascii_alphanumeric();
                    out.push_char(if is_plain { c.to_ascii_uppercase() } else { '_' })
                })?;
            }
            Self::Indent => {
                let blanks = " ".repeat(arguments[0].parse().unwrap_or_default());
                escaped(text, &mut out, |c| (c == '\n').then(|| format!("\n{blanks}")))?;
            }
            Self::Replace => {
                let mut parts = text.split(arguments[0].as_str());
                out.push(parts.next().unwrap_or_default().as_bytes())?;
                for part in parts {
                    out.push(arguments[1].as_bytes())?;
                    out.push(part.as_bytes())?;
                }
            }
            Self::Json => json(text, &mut out)?,
            Self::Properties => properties(text, &mut out)?,
            Self::Dotenv => dotenv(text, &mut out)?,
            Self::Shell => {
                quoted(text, "'", &mut out, |c| (c == '\'').then(|| "'\\''".to_owned()))?;
            }
            Self::Libpq => quoted(text, "'", &mut out, |c| {
                ['\\', '\''].contains(&c).then(|| format!("\\{c}"))
            })?,
            Self::Adonet => adonet(text, &mut out)?,
            Self::Urlencode => {
                for byte in text.bytes() {
                    if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                        out.push(&[byte])?;
                    } else {
                        out.push(format!("%{byte:02X}").as_bytes())?;
                    }
                }
            }
            Self::Xml => {
                let is_xml = xml(text, &mut out)?;
                is_xml.then_some(()).ok_or_else(|| self.refusal(OF_XML))?;
            }
        }
        Ok(out)
    }

    const fn refusal(self, needs: &'static str) -> RenderProblem {
        RenderProblem::Value { filter: self, needs }
    }
}

fn base64(bytes: &[u8], out: &mut Text) -> Result<(), RenderProblem> {
    // A multiple of three bytes at a time needs no padding.
    let mut letters = Zeroizing::new([0; 4096]);
    bytes.chunks(3072).try_for_each(|chunk| {
        let length = STANDARD.encode_slice(chunk, &mut *letters);
        out.push(&letters[..length.map_err(|_| RenderProblem::Size)?])
    })
}

/// Standard base64 with padding, also in several lines; `false` where it is something else.
fn base64_decode(text: &str, out: &mut Text) -> Result<bool, RenderProblem> {
    let mut letters = Text::default();
    text.trim().split(['\r', '\n']).try_for_each(|line| letters.push(line.as_bytes()))?;
    let mut bytes = Zeroizing::new(Vec::new());
    let room = base64::decoded_len_estimate(letters.as_bytes().len());
    bytes.try_reserve_exact(room).map_err(|_| RenderProblem::Memory)?;
    if STANDARD.decode_vec(letters.as_bytes(), &mut bytes).is_err() {
        return Ok(false);
    }
    out.push(&bytes)?;
    Ok(true)
}
