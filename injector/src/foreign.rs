//! An answer that is not the service's own: a proxy's error page, a captive portal, the block page
//! of a firewall.
//!
//! It says nothing of roles, policies, names or identities. The message shows its status and type,
//! and of its body only the text of an HTML page, or code and message of an error in JSON: any
//! other body may hold what was asked for, whatever the status is.

use crate::redact::short;
use reqwest::header::{CONTENT_TYPE, HeaderName, LOCATION};
use reqwest::{Response, Url};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::fmt;

/// Characters of a body that are shown.
const SHOWN_CHARACTERS: usize = 120;
/// Bytes in which a page says that it is HTML.
const MARKED_BYTES: usize = 1024;
/// Bytes of a page in which its text is looked for.
const PAGE_BYTES: usize = 16 << 10;
/// Members of JSON that hold what must not be shown.
const SECRETS: [&str; 6] =
    ["value", "access_token", "refresh_token", "id_token", "client_secret", "client_assertion"];

/// Status and headers of an answer, kept while its body is read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Head {
    status: u16,
    content_type: String,
    /// Scheme, host and port of where a redirect leads.
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

    /// With what the body says.
    pub(crate) fn with(self, body: &[u8]) -> Foreign {
        let said = one_line(&said(self.status, body));
        Foreign { head: self, said }
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
    /// Of a page or an error; empty for any other body.
    said: String,
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

/// `403 text/html "blocked by policy"`
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
        if !self.said.is_empty() {
            write!(f, " {:?}", self.said)?;
        }
        Ok(())
    }
}

/// Whether a body is a JSON object, as all answers of Entra, IMDS and Key Vault are.
pub(crate) fn is_object(body: &[u8]) -> bool {
    body.trim_ascii_start().first() == Some(&b'{')
}

/// Whether a body has a member, an element or a quoted name that is one of [`SECRETS`], also in
/// JSON that is quoted in JSON or in HTML.
pub(crate) fn may_hold_secret(body: &[u8]) -> bool {
    body.windows(2).enumerate().any(|(at, pair)| {
        let rest = &body[at + 1..];
        b"\"'<;:".contains(&pair[0])
            && SECRETS.iter().any(|name| {
                rest.get(..name.len()).is_some_and(|it| it.eq_ignore_ascii_case(name.as_bytes()))
                    && rest.get(name.len()).is_some_and(|next| b"\"'\\&>".contains(next))
            })
    })
}

/// A URL without user name and password, for a message.
pub(crate) fn without_user_info(url: &str) -> String {
    let Some((before, after)) = url.rsplit_once('@') else { return url.to_owned() };
    let scheme = before.find("://").map_or(0, |at| at + 3);
    format!("{}{after}", &before[..scheme])
}

/// What may be shown of a body.
fn said(status: u16, body: &[u8]) -> String {
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body).trim_ascii_start();
    if may_hold_secret(body) {
        String::new()
    } else if is_page(body) {
        text_of(&String::from_utf8_lossy(&body[..body.len().min(PAGE_BYTES)]))
    } else if status >= 400 {
        error_of(body)
    } else {
        String::new()
    }
}

/// Whether a body is HTML; other markup may be data.
fn is_page(body: &[u8]) -> bool {
    let marks = ["<!doctype html", "<html", "<head", "<body", "<title", "<h1", "<p>"];
    let start = body[..body.len().min(MARKED_BYTES)].to_ascii_lowercase();
    start.first() == Some(&b'<')
        && marks.iter().any(|mark| start.windows(mark.len()).any(|it| it == mark.as_bytes()))
}

/// The text of a page: what is between its tags, but no scripts and styles.
fn text_of(page: &str) -> String {
    let (mut text, mut hidden) = (String::new(), None);
    for (tag, after) in page.split('<').filter_map(|piece| piece.split_once('>')) {
        let name = tag.split_whitespace().next().unwrap_or_default();
        let ends = hidden.is_none_or(|end: &str| name.eq_ignore_ascii_case(end));
        hidden = match hidden {
            None if name.eq_ignore_ascii_case("script") => Some("/script"),
            None if name.eq_ignore_ascii_case("style") => Some("/style"),
            _ => hidden.filter(|_| !ends),
        };
        if hidden.is_none() {
            text.extend([" ", after]);
        }
    }
    text
}

/// `{"error":{"code","message"}}`, the same fields without `error` around them, or
/// `{"error","error_description"}`.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Refusal<'a> {
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    code: Option<&'a RawValue>,
    #[serde(borrow, alias = "error_description")]
    message: Option<&'a RawValue>,
}

/// `Forbidden: blocked by policy`; empty for what is not an error in JSON.
fn error_of(body: &[u8]) -> String {
    // An array would be read as the fields in order.
    let parsed = is_object(body).then(|| serde_json::from_slice::<Refusal<'_>>(body));
    let Some(Ok(mut error)) = parsed else { return String::new() };
    if let Some(inner) = error.error {
        match serde_json::from_str(inner.get()) {
            Ok(inner_error) if is_object(inner.get().as_bytes()) => error = inner_error,
            _ => error.code = Some(inner),
        }
    }
    let words = [error.code, error.message].map(|field| {
        field.and_then(|field| serde_json::from_str::<String>(field.get()).ok()).unwrap_or_default()
    });
    words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(": ")
}

/// The first characters in one line.
fn one_line(text: &str) -> String {
    let mut line = short(&text.split_whitespace().collect::<Vec<_>>().join(" "));
    if let Some((at, _)) = line.char_indices().nth(SHOWN_CHARACTERS) {
        line.truncate(at);
        line.push('…');
    }
    line
}

/// `https://portal.example`: user name and password are left out, and what follows may hold what
/// was asked for.
fn origin(location: &str) -> String {
    let Ok(url) = Url::parse(location) else { return String::new() };
    let Some(host) = url.host_str() else { return String::new() };
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    short(&format!("{}://{host}{port}", url.scheme()))
}

#[cfg(test)]
mod tests;
