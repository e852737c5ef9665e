//! Entra's refusals: which of our codes an AADSTS number belongs to, and whether another try can help.

use crate::fault::Class;
use crate::redact::short;
use keysluice_plan::reason::{KS303, KS304, KS305, KS306, KS307, KS308, KS309, KS310, KS311, KS313, Reason};
use serde::Deserialize;
use std::fmt;

/// A refusal, without tokens: the description is cut before its trace ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntraError {
    status: u16,
    error: String,
    code: Option<u64>,
    description: String,
}

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    error: String,
    #[serde(default)]
    error_description: String,
    #[serde(default)]
    error_codes: Vec<u64>,
}

impl EntraError {
    /// From an answer that is not 200; also from one that is not Entra's.
    pub(super) fn parse(status: u16, body: &[u8]) -> Self {
        let Ok(Body { error, error_description, error_codes }) = serde_json::from_slice(body) else {
            return Self { status, error: String::new(), code: None, description: String::new() };
        };
        let code = error_codes.first().copied().or_else(|| aadsts(&error_description));
        Self { status, error: short(&error), code, description: short(&error_description) }
    }

    /// The projected token was outside its validity.
    pub(super) fn is_expired_assertion(&self) -> bool {
        self.code == Some(700_024)
    }

    /// Whether the claims of the token explain the refusal.
    pub(super) fn is_about_assertion(&self) -> bool {
        matches!(self.reason_and_class().0.code, "KS303" | "KS304" | "KS305")
    }

    /// Microsoft's rule is to branch on `error`; the numbers tell apart what it lumps together.
    pub(super) fn reason_and_class(&self) -> (Reason, Class) {
        match self.code {
            // 70025: the application has no credential at all; the one for this pod may be made in the same rollout.
            Some(70_021 | 70_025 | 700_211 | 700_213) => (KS303, Class::Slow),
            Some(700_212 | 7_002_137 | 7_002_138) => (KS304, Class::Permanent),
            Some(700_024) => (KS305, Class::Slow),
            Some(700_016 | 7_000_112 | 700_038) => (KS306, Class::Permanent),
            Some(90_002 | 900_382 | 900_432) => (KS307, Class::Permanent),
            Some(700_223 | 700_238 | 53_003 | 530_032..=530_039) => (KS308, Class::Permanent),
            Some(70_011 | 700_022 | 700_023 | 500_011 | 50_001) => (KS309, Class::Permanent),
            Some(90_055 | 50_196) => (KS310, Class::Transient),
            Some(90_033 | 90_006 | 90_024 | 90_012) => (KS311, Class::Transient),
            _ => match (self.status, self.error.as_str()) {
                (429, _) => (KS310, Class::Transient),
                (408 | 500.., _) | (_, "temporarily_unavailable" | "server_error") => (KS311, Class::Transient),
                _ => (KS313, Class::Slow),
            },
        }
    }
}

impl fmt::Display for EntraError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        if !self.error.is_empty() {
            write!(f, " {}", self.error)?;
        }
        if !self.description.is_empty() {
            write!(f, ": {}", self.description)?;
        }
        Ok(())
    }
}

/// The number of `AADSTS700016: …`.
fn aadsts(description: &str) -> Option<u64> {
    let digits = description.strip_prefix("AADSTS")?;
    digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(status: u16, error: &str, code: u64) -> EntraError {
        let body = serde_json::json!({"error": error, "error_codes": [code],
            "error_description": format!("AADSTS{code}: it failed for eyJhbGciOi.x.y. Trace ID: t Correlation ID: c")});
        EntraError::parse(status, body.to_string().as_bytes())
    }

    #[test]
    fn numbers_are_told_apart() {
        for (status, error, code, expected) in [
            (400, "invalid_request", 70_021, (KS303, Class::Slow)),
            (401, "invalid_client", 700_213, (KS303, Class::Slow)),
            (401, "invalid_client", 70_025, (KS303, Class::Slow)),
            (401, "invalid_client", 700_212, (KS304, Class::Permanent)),
            (401, "invalid_client", 7_002_138, (KS304, Class::Permanent)),
            (401, "invalid_client", 700_024, (KS305, Class::Slow)),
            (400, "unauthorized_client", 700_016, (KS306, Class::Permanent)),
            (400, "invalid_request", 90_002, (KS307, Class::Permanent)),
            (400, "access_denied", 53_003, (KS308, Class::Permanent)),
            (400, "invalid_scope", 70_011, (KS309, Class::Permanent)),
            (429, "", 0, (KS310, Class::Transient)),
            (400, "temporarily_unavailable", 90_033, (KS311, Class::Transient)),
            (503, "", 0, (KS311, Class::Transient)),
            (400, "invalid_request", 1, (KS313, Class::Slow)),
        ] {
            assert_eq!(parse(status, error, code).reason_and_class(), expected, "{code}");
        }
    }

    #[test]
    fn the_text_is_short_and_holds_no_token() {
        let text = parse(401, "invalid_client", 700_213).to_string();
        assert_eq!(text, "401 invalid_client: AADSTS700213: it failed for [token]");
        assert_eq!(short(&"x".repeat(1000)).chars().count(), 301);
        assert_eq!(
            short("\u{1b}[31mred\u{1b}[0m\0 \u{9b}2J\tclient_assertion=eyJhbGciOi.x.y"),
            "[31mred[0m 2J [token]"
        );
    }

    #[test]
    fn an_answer_of_somebody_else_is_a_status() {
        assert_eq!(EntraError::parse(502, b"<html>").to_string(), "502");
        assert_eq!(EntraError::parse(502, b"<html>").reason_and_class(), (KS311, Class::Transient));
    }

    #[test]
    fn the_number_is_found_in_the_text_too() {
        let error = EntraError::parse(400, br#"{"error":"x","error_description":"AADSTS90002: Tenant not found"}"#);
        assert_eq!(error.reason_and_class(), (KS307, Class::Permanent));
    }
}
