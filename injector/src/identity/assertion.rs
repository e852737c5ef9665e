//! The projected ServiceAccount token: read fresh for every request, decoded only to explain a
//! refusal.

use super::IdentityError;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretBox};
use serde::Deserialize;
use std::fmt;
use std::path::Path;

/// A JSON web token that looks like one; prints nothing.
#[derive(Debug)]
pub(super) struct Assertion(SecretBox<String>);

impl Assertion {
    /// Reads the file; a trailing newline is not part of the token.
    pub(super) fn read(path: &Path) -> Result<Self, IdentityError> {
        let text = std::fs::read(path)
            .map_err(|error| IdentityError::TokenFile { path: path.to_owned(), error })?;
        let garbled = |problem| IdentityError::TokenFileGarbled { path: path.to_owned(), problem };
        let mut text = String::from_utf8(text).map_err(|_| garbled("is not text"))?;
        text.truncate(text.trim_end().len());
        if text.is_empty() {
            return Err(garbled("is empty"));
        }
        let base64url = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        };
        if text.split('.').count() != 3 || !text.split('.').all(base64url) {
            return Err(garbled("is not a JSON web token (three base64url parts)"));
        }
        Ok(Self(SecretBox::new(Box::new(text))))
    }

    /// The text, for the one form field it goes into.
    pub(super) fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// What it claims, without verifying anything: for messages only.
    pub(super) fn claims(&self) -> Claims {
        let payload =
            self.expose().split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
        payload.and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default()
    }
}

/// Issuer, subject, audience and end of a token.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Claims {
    #[serde(default)]
    iss: String,
    #[serde(default)]
    sub: String,
    #[serde(default)]
    aud: Audience,
    #[serde(default)]
    exp: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Default for Audience {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl fmt::Display for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let audience = match &self.aud {
            Audience::One(one) => one.clone(),
            Audience::Many(many) => many.join(" "),
        };
        let Self { iss, sub, exp, .. } = self;
        write!(f, "the token has issuer {iss:?}, subject {sub:?}, audience {audience:?}, exp {exp}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &[u8]) -> Result<Assertion, IdentityError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file.as_file(), content).unwrap();
        Assertion::read(file.path())
    }

    #[test]
    fn a_newline_at_the_end_is_not_part_of_the_token() {
        assert_eq!(read(b"a.b.c\n").unwrap().expose(), "a.b.c");
    }

    #[test]
    fn what_is_no_token_is_told_with_its_path_and_without_its_text() {
        for (content, expected) in [
            (&b""[..], "is empty"),
            (b"\n", "is empty"),
            (b"canary", "is not a JSON web token"),
            (b"canary..x", "is not a JSON web token"),
            (b"can ary.a.b", "is not a JSON web token"),
            (b"\xff\xfe", "is not text"),
        ] {
            let text = read(content).unwrap_err().to_string();
            assert!(
                text.contains(expected)
                    && text.starts_with("token file /")
                    && !text.contains("canary"),
                "{text}"
            );
        }
        let missing = Assertion::read(Path::new("/does/not/exist")).unwrap_err().to_string();
        assert!(missing.starts_with("token file /does/not/exist: No such file"), "{missing}");
    }

    #[test]
    fn claims_are_read_for_the_message() {
        let payload =
            r#"{"iss":"https://i/","sub":"system:serviceaccount:n:s","aud":["api://x"],"exp":5}"#;
        let token = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(payload));
        let text = read(token.as_bytes()).unwrap().claims().to_string();
        assert_eq!(
            text,
            r#"the token has issuer "https://i/", subject "system:serviceaccount:n:s", audience "api://x", exp 5"#
        );
        assert_eq!(read(b"a.b.c").unwrap().claims(), Claims::default());
    }
}
