//! An answer that is not the service's own: a proxy's error page, a captive portal, the block page
//! of a firewall.
//!
//! It says nothing of roles, policies, names or identities, so what it says is told as it is:
//! status, type, and how it begins.

use crate::redact::short;
use reqwest::Response;
use reqwest::header::{CONTENT_TYPE, HeaderName, LOCATION};
use std::fmt;

/// Characters of a body that are told.
const START_CHARACTERS: usize = 120;

/// Status and headers of an answer, kept while its body is read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Head {
    status: u16,
    content_type: String,
    /// Host and scheme of where a redirect leads.
    location: String,
}

impl Head {
    /// Of a response.
    pub(crate) fn of(response: &Response) -> Self {
        let content_type = header(response, CONTENT_TYPE).split(';').next().unwrap_or_default();
        let status = response.status();
        let location = if status.is_redirection() {
            origin(header(response, LOCATION))
        } else {
            String::new()
        };
        Self { status: status.as_u16(), content_type: short(content_type), location }
    }

    /// With how the body begins.
    pub(crate) fn with(self, body: &[u8]) -> Foreign {
        let start =
            if self.status == 200 && !is_markup(body) { String::new() } else { start(body) };
        Foreign { head: self, start }
    }
}

/// What a header says; a header that is missing or not text is empty.
fn header(response: &Response, name: HeaderName) -> &str {
    response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Such an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Foreign {
    head: Head,
    /// Of an answer with status 200 only where it is a page: anything else may be a value.
    start: String,
}

impl Foreign {
    /// HTTP status.
    pub(crate) fn status(&self) -> u16 {
        self.head.status
    }

    /// Whether the status is one of a service that is overloaded or restarts, whoever sent it. 511
    /// is a captive portal's.
    pub(crate) fn is_unavailable(&self) -> bool {
        matches!(self.head.status, 408 | 500..=510 | 512..)
    }
}

/// `403 text/html "<html>blocked</html>"`
impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Head { status, content_type, location } = &self.head;
        write!(f, "{status}")?;
        if !content_type.is_empty() {
            write!(f, " {content_type}")?;
        }
        if !location.is_empty() {
            write!(f, " that leads to {location}")?;
        }
        if !self.start.is_empty() {
            write!(f, " {:?}", self.start)?;
        }
        Ok(())
    }
}

/// Whether a body is a JSON object, as all answers of Entra, IMDS and Key Vault are.
pub(crate) fn is_object(body: &[u8]) -> bool {
    body.trim_ascii_start().first() == Some(&b'{')
}

fn is_markup(body: &[u8]) -> bool {
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    body.trim_ascii_start().first() == Some(&b'<')
}

/// The first characters in one line.
fn start(body: &[u8]) -> String {
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    let text = String::from_utf8_lossy(&body[..body.len().min(8 * START_CHARACTERS)]);
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut line = short(&line);
    if let Some((at, _)) = line.char_indices().nth(START_CHARACTERS) {
        line.truncate(at);
        line.push('…');
    }
    line
}

/// `https://portal.example`: what follows may hold what was asked for.
fn origin(location: &str) -> String {
    let end = location.find("://").map(|at| at + 3);
    let end = end.map(|at| {
        location[at..].find(['/', '?', '#']).map_or(location.len(), |length| at + length)
    });
    short(&location[..end.unwrap_or_default()])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn foreign(status: u16, content_type: &str, body: &[u8]) -> Foreign {
        Head { status, content_type: content_type.to_owned(), location: String::new() }.with(body)
    }

    #[test]
    fn the_start_is_one_short_line_without_tokens() {
        let page = "\u{feff}<!DOCTYPE html>\r\n<html>\n  <body>eyJhbGciOi.x.y \u{1b}[31m blocked"
            .to_owned()
            + &"x".repeat(900);
        let text = foreign(403, "text/html", page.as_bytes()).to_string();
        assert!(
            text.starts_with("403 text/html \"<!DOCTYPE html> <html> [token] [31m blockedxxx"),
            "{text}"
        );
        assert!(text.chars().count() < 150 && text.ends_with("…\""), "{text}");
        assert_eq!(foreign(404, "", b"").to_string(), "404");
        assert_eq!(foreign(403, "x/y", b"\xff\xfe").to_string(), "403 x/y \"\u{fffd}\u{fffd}\"");
    }

    #[test]
    fn a_body_that_may_be_a_value_is_not_told() {
        for body in [&b"canary"[..], b"[\"canary\"]", b"{\"value\": \"canary\"", b" \"canary\""] {
            assert_eq!(foreign(200, "text/plain", body).to_string(), "200 text/plain");
        }
        assert_eq!(foreign(200, "text/html", b" <p>hi").to_string(), "200 text/html \"<p>hi\"");
    }

    #[test]
    fn of_a_redirect_the_origin_is_told() {
        for (location, expected) in [
            ("https://portal.example/login?to=secret", "https://portal.example"),
            ("http://portal.example", "http://portal.example"),
            ("/login?token=x", ""),
            ("", ""),
        ] {
            assert_eq!(origin(location), expected);
        }
    }
}
