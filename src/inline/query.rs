//! What follows the question mark of a reference: `mode=0400&optional=true`.

use super::error::{InlineCause, cut};
use crate::provider_class::{self, parse_bool};
use crate::spelling;
use keysluice_plan::{
    FileMode, JsonPath, MOST_VERSIONS, ObjectEncoding, ObjectFormat, ObjectType, ObjectVersion,
    Part, RelativePath,
};
use std::fmt::Display;
use std::str::FromStr;

/// A word of the query, what it takes, and what it does.
pub type Word = (&'static str, &'static str, &'static str);

/// Every word; the first are for files alone.
pub const QUERY: &[Word] = &[
    ("mode", "an octal mode such as 0400", "mode of the file (default 0644)"),
    ("path", "a path such as conf/db.txt", "the file below the mount path, instead of NAME"),
    ("owner", "a uid", "uid that the file must belong to"),
    ("group", "a gid", "gid of the file"),
    ("history", "a number", "the newest versions, as the files 0, 1, … below the path"),
    ("version", "a version of the object", "pins the version, like a fourth segment"),
    ("format", "pem or pfx", "format of a secret that backs a certificate"),
    ("encoding", "utf-8, base64 or hex", "how the value of a secret is decoded"),
    ("part", "cert, chain, key, ca or pfx", "a part of a certificate"),
    ("json-key", "a path such as db.password", "a field of a secret that is a JSON document"),
    ("optional", "true or false", "leaves file or variable out while the object is missing"),
];
const OF_FILES: usize = 5;

/// The query, read and checked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Query {
    pub(super) mode: Option<FileMode>,
    pub(super) path: Option<RelativePath>,
    pub(super) owner: Option<u32>,
    pub(super) group: Option<u32>,
    pub(super) history: Option<u32>,
    /// `None` is the latest.
    pub(super) version: Option<ObjectVersion>,
    pub(super) format: Option<ObjectFormat>,
    pub(super) encoding: Option<ObjectEncoding>,
    pub(super) part: Option<Part>,
    pub(super) json_key: Option<JsonPath>,
    pub(super) optional: bool,
    /// The words that are there.
    words: Vec<&'static str>,
}

impl Query {
    pub(super) fn parse(text: &str) -> Result<Self, InlineCause> {
        let mut query = Self::default();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let Some(word) = QUERY.iter().map(|(word, ..)| *word).find(|word| *word == key) else {
                return Err(unknown(key));
            };
            if query.words.contains(&word) {
                return Err(InlineCause::Together { problem: format!("{word} is there twice") });
            }
            query.words.push(word);
            let value = decoded(value).ok_or_else(|| {
                wrong(word, value, "has a % that two hexadecimal digits do not follow")
            })?;
            query.set(Pair { word, value: &value })?;
        }
        Ok(query)
    }

    fn set(&mut self, pair: Pair<'_>) -> Result<(), InlineCause> {
        let value = pair.value;
        match pair.word {
            "mode" => {
                let mode = value.parse().ok();
                self.mode = Some(pair.required(mode, "an octal mode of 0000 to 0777")?);
            }
            "path" => self.path = Some(pair.parsed()?),
            "owner" => self.owner = Some(pair.required(value.parse().ok(), "a numeric id")?),
            "group" => self.group = Some(pair.required(value.parse().ok(), "a numeric id")?),
            "history" => {
                let count = value.parse().ok().filter(|count| (1..=MOST_VERSIONS).contains(count));
                let count = pair.required(count, "a number from 1 to 500")?;
                self.history = (count > 1).then_some(count);
            }
            "version" if value.eq_ignore_ascii_case("latest") => {}
            "version" => self.version = Some(pair.parsed()?),
            "format" => {
                self.format = Some(pair.required(provider_class::format(value), "pem or pfx")?);
            }
            "encoding" => {
                let encoding = provider_class::encoding(value);
                self.encoding = Some(pair.required(encoding, "utf-8, base64 or hex")?);
            }
            "part" => {
                let known = [Part::Cert, Part::Chain, Part::Key, Part::Ca, Part::Pfx];
                let part = known.into_iter().find(|part| part.as_str() == value);
                self.part = Some(pair.required(part, "cert, chain, key, ca or pfx")?);
            }
            "json-key" => self.json_key = Some(pair.parsed()?),
            _ => self.optional = pair.required(parse_bool(value), "true or false")?,
        }
        Ok(())
    }

    /// Whether the words go together, and with the object.
    pub(super) fn check(&self, object_type: ObjectType) -> Result<(), InlineCause> {
        let is_secret = object_type == ObjectType::Secret;
        let kind = object_type.as_str();
        let problem = if self.json_key.is_some() && !is_secret {
            format!("json-key is for secrets, not for a {kind}")
        } else if self.encoding.is_some() && !is_secret {
            format!("encoding is for secrets, not for a {kind}")
        } else if self.format == Some(ObjectFormat::Pfx) && !is_secret {
            format!("format pfx is for secrets, not for a {kind}")
        } else if self.part.is_some() && object_type == ObjectType::Key {
            "part is for certificates and their secrets, not for a key".to_owned()
        } else if self.part.is_some() && self.json_key.is_some() {
            "part and json-key exclude each other".to_owned()
        } else if self.part.is_some() && (self.format.is_some() || self.encoding.is_some()) {
            "part has a format of its own: format and encoding do not go with it".to_owned()
        } else {
            return Ok(());
        };
        Err(InlineCause::Together { problem })
    }

    /// Whether the version is there.
    pub(super) fn has_version(&self) -> bool {
        self.words.contains(&"version")
    }

    /// The first word that is for files alone.
    pub(super) fn of_files(&self) -> Option<&'static str> {
        let mut words = self.words.iter().copied();
        words.find(|word| QUERY[..OF_FILES].iter().any(|(known, ..)| known == word))
    }
}

/// A word of the query and its value.
#[derive(Clone, Copy)]
struct Pair<'v> {
    word: &'static str,
    value: &'v str,
}

impl Pair<'_> {
    fn parsed<T: FromStr<Err: Display>>(self) -> Result<T, InlineCause> {
        self.value
            .parse()
            .map_err(|error| wrong(self.word, self.value, format_args!("is not valid: {error}")))
    }

    /// What the value means, which is one of `expected`.
    fn required<T>(self, meaning: Option<T>, expected: &str) -> Result<T, InlineCause> {
        meaning.ok_or_else(|| wrong(self.word, self.value, format_args!("is not {expected}")))
    }
}

fn unknown(key: &str) -> InlineCause {
    let words: Vec<&'static str> = QUERY.iter().map(|(word, ..)| *word).collect();
    // The names of the same things in a class.
    let of_class = [
        ("filePermission", "mode"),
        ("objectAlias", "path"),
        ("alias", "path"),
        ("fileOwner", "owner"),
        ("fileGroup", "group"),
        ("objectVersionHistory", "history"),
        ("objectVersion", "version"),
        ("objectFormat", "format"),
        ("objectEncoding", "encoding"),
        ("parts", "part"),
        ("jsonKey", "json-key"),
    ];
    let same = of_class.iter().find(|(name, _)| name.eq_ignore_ascii_case(key));
    let nearest = same.map(|(_, word)| *word).or_else(|| spelling::nearest(key, &words, 2));
    InlineCause::UnknownKey { key: cut(key), known: words.join(", "), nearest }
}

fn wrong(key: &'static str, value: &str, problem: impl Display) -> InlineCause {
    InlineCause::Value { key, value: cut(value), problem: cut(&problem.to_string()) }
}

/// `%2F` is `/`; nothing else stands for something else.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first != b'%' {
            bytes.push(*first);
            rest = after;
            continue;
        }
        let digits = std::str::from_utf8(after.get(..2)?).ok()?;
        let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        bytes.push(u8::from_str_radix(digits, 16).ok().filter(|_| is_hex)?);
        rest = &after[2..];
    }
    String::from_utf8(bytes).ok()
}
