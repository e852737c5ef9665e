//! A JSON web token that proves who the pod is: decoded only to explain a refusal.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretBox};
use serde::Deserialize;
use std::fmt;

/// Text in the form of a JSON web token; prints nothing.
#[derive(Debug)]
pub(super) struct Assertion(SecretBox<String>);

impl Assertion {
    /// From the content of a file; a trailing newline is not part of the token. The error does not
    /// contain the text.
    pub(super) fn parse(text: Vec<u8>) -> Result<Self, &'static str> {
        let mut text = String::from_utf8(text).map_err(|_| "is not text")?;
        text.truncate(text.trim_end().len());
        if text.is_empty() {
            return Err("is empty");
        }
        if text.split('.').count() != 3 || !text.split('.').all(is_base64url) {
            return Err("is not a JSON web token (three base64url parts)");
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

fn is_base64url(part: &str) -> bool {
    !part.is_empty()
        && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
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

    fn parse(content: &[u8]) -> Result<Assertion, &'static str> {
        Assertion::parse(content.to_vec())
    }

    #[test]
    fn a_newline_at_the_end_is_not_part_of_the_token() {
        assert_eq!(parse(b"a.b.c\n").unwrap().expose(), "a.b.c");
    }

    #[test]
    fn other_text_is_refused() {
        for (content, expected) in [
            (&b""[..], "is empty"),
            (b"\n", "is empty"),
            (b"canary", "is not a JSON web token"),
            (b"canary..x", "is not a JSON web token"),
            (b"can ary.a.b", "is not a JSON web token"),
            (b"\xff\xfe", "is not text"),
        ] {
            let problem = parse(content).unwrap_err();
            assert!(problem.starts_with(expected), "{problem}");
        }
    }

    #[test]
    fn claims_are_read_for_the_message() {
        let payload =
            r#"{"iss":"https://i/","sub":"system:serviceaccount:n:s","aud":["api://x"],"exp":5}"#;
        let token = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(payload));
        let text = parse(token.as_bytes()).unwrap().claims().to_string();
        assert_eq!(
            text,
            "the token has issuer \"https://i/\", subject \"system:serviceaccount:n:s\", \
             audience \"api://x\", exp 5"
        );
        assert_eq!(parse(b"a.b.c").unwrap().claims(), Claims::default());
    }
}
