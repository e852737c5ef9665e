//! Entra's refusals: which of our codes an AADSTS number belongs to, and whether another try can
//! help.

use crate::fault::Class;
use crate::foreign::may_hold_secret;
use crate::redact::short;
use keysluice_plan::reason::{
    KS303, KS304, KS305, KS306, KS307, KS308, KS309, KS310, KS311, KS313, KS316, KS317, KS318,
    KS320, KS436, KS437, Reason,
};
use serde::Deserialize;
use std::fmt;

/// A refusal, without tokens: the description is cut before its trace ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntraError {
    status: u16,
    error: String,
    codes: Vec<u64>,
    description: String,
}

/// No answer has more; what follows is not looked at.
const MAX_CODES: usize = 8;

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
    /// From an answer that is not a token; `None` where it is not Entra's.
    pub(super) fn parse(status: u16, body: &[u8]) -> Option<Self> {
        let Body { error, error_description, error_codes } = serde_json::from_slice(body).ok()?;
        let is_error = !error.is_empty() || !error_codes.is_empty();
        if status < 400 || !is_error || may_hold_secret(body) {
            return None;
        }
        let mut codes = error_codes;
        codes.truncate(MAX_CODES);
        codes.extend(aadsts(&error_description));
        Some(Self { status, error: short(&error), codes, description: short(&error_description) })
    }

    /// The projected token was outside its validity.
    pub(super) fn is_expired_assertion(&self) -> bool {
        self.codes.contains(&700_024)
    }

    /// Whether the claims of the token explain the refusal.
    pub(super) fn is_about_assertion(&self) -> bool {
        self.known().is_some_and(|refusal| refusal.about_token)
    }

    fn known(&self) -> Option<Refusal> {
        self.codes.iter().copied().find_map(Refusal::of)
    }

    /// Microsoft's rule is to branch on `error`; the numbers tell apart what it lumps together.
    pub(super) fn reason_and_class(&self) -> (Reason, Class) {
        match (self.known(), self.status, self.error.as_str()) {
            (Some(refusal), ..) => (refusal.reason, refusal.class),
            (_, 429, _) => (KS310, Class::Transient),
            (_, 408 | 500.., _) | (.., "temporarily_unavailable" | "server_error") => {
                (KS311, Class::Transient)
            }
            _ => (KS313, Class::Slow),
        }
    }
}

/// What a number means.
#[derive(Debug, Clone, Copy)]
struct Refusal {
    reason: Reason,
    class: Class,
    /// Whether the claims of the token explain it.
    about_token: bool,
}

fn about_token(reason: Reason, class: Class) -> Refusal {
    Refusal { reason, class, about_token: true }
}

fn other(reason: Reason, class: Class) -> Refusal {
    Refusal { reason, class, about_token: false }
}

impl Refusal {
    /// By Microsoft's list of AADSTS codes. A fault that passes by itself is transient: also a
    /// credential that was made a moment ago is not known everywhere at once, and answers that know
    /// it alternate with answers that do not.
    fn of(code: u64) -> Option<Self> {
        Some(match code {
            // 70025: the application has no credential at all; the one for this pod may be made in
            // the same rollout.
            70_021 | 70_025 | 700_211 | 700_213 => about_token(KS303, Class::Transient),
            700_212 | 7_002_137 | 7_002_138 => about_token(KS304, Class::Permanent),
            700_024 => about_token(KS305, Class::Slow),
            // Three numbers, one text: "Request to External OIDC endpoint failed".
            50_166 | 90_061 | 501_661 => about_token(KS316, Class::Transient),
            // 700226: as 700222, where only a managed identity's token would do.
            700_222 | 700_226 => about_token(KS317, Class::Permanent),
            // The issuer's keys as Entra keeps them; a key that is new is fetched a little later.
            50_006 | 50_012 | 700_027 | 900_384 => about_token(KS320, Class::Transient),
            700_016 | 7_000_112 | 700_038 | 70_001 | 700_011 => other(KS306, Class::Permanent),
            7_000_215 | 7_000_218 => other(KS436, Class::Slow),
            7_000_222 => other(KS437, Class::Slow),
            7_000_229 => other(KS318, Class::Permanent),
            90_002 | 90_038 | 90_051 | 900_382 | 900_432 => other(KS307, Class::Permanent),
            700_223
            | 700_238
            | 53_003
            | 530_032..=530_039
            | 500_021
            | 500_022
            | 500_212
            | 500_213 => other(KS308, Class::Permanent),
            28_002 | 70_011 | 700_022 | 700_023 | 500_011 | 50_001 | 650_057 => {
                other(KS309, Class::Permanent)
            }
            90_055 | 50_196 => other(KS310, Class::Transient),
            // Time-outs and failures behind Entra, also those it calls "unretryable": another of
            // its servers may not have them.
            40_010
            | 50_000
            | 50_033
            | 50_087
            | 70_012
            | 90_006
            | 90_012
            | 90_024
            | 90_033
            | 90_036
            | 90_090..=90_092
            | 501_621 => other(KS311, Class::Transient),
            _ => return None,
        })
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

/// The number of `AADSTS700016: …`, also where other words stand before it.
fn aadsts(description: &str) -> Option<u64> {
    let (_, digits) = description.split_once("AADSTS")?;
    digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(status: u16, error: &str, code: u64) -> EntraError {
        let body = serde_json::json!({"error": error, "error_codes": [code],
            "error_description": format!("AADSTS{code}: it failed for eyJhbGciOi.x.y. Trace ID: t \
                Correlation ID: c")});
        EntraError::parse(status, body.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn numbers_are_told_apart() {
        for (status, error, code, expected) in [
            (400, "invalid_request", 70_021, (KS303, Class::Transient)),
            (401, "invalid_client", 700_213, (KS303, Class::Transient)),
            (401, "invalid_client", 70_025, (KS303, Class::Transient)),
            (400, "invalid_request", 50_166, (KS316, Class::Transient)),
            (400, "invalid_request", 90_061, (KS316, Class::Transient)),
            (400, "invalid_request", 501_661, (KS316, Class::Transient)),
            (401, "invalid_client", 700_222, (KS317, Class::Permanent)),
            (401, "invalid_client", 7_000_215, (KS436, Class::Slow)),
            (401, "invalid_client", 7_000_222, (KS437, Class::Slow)),
            (401, "invalid_client", 7_000_229, (KS318, Class::Permanent)),
            (401, "invalid_client", 700_027, (KS320, Class::Transient)),
            (400, "invalid_grant", 50_196, (KS310, Class::Transient)),
            (400, "invalid_request", 90_036, (KS311, Class::Transient)),
            (400, "invalid_grant", 50_058, (KS313, Class::Slow)),
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
    fn an_answer_of_somebody_else_is_none_of_entra() {
        for body in [
            &b"<html>"[..],
            b"",
            b"{}",
            b"[]",
            br#"{"error": {"code": "x"}}"#,
            br#"{"message": "blocked"}"#,
            br#"{"error": "x", "error_description": "canary", "access_token": "canary"}"#,
        ] {
            assert_eq!(EntraError::parse(403, body), None, "{}", String::from_utf8_lossy(body));
        }
        assert_eq!(EntraError::parse(302, br#"{"error": "x"}"#), None, "Entra does not redirect");
    }

    #[test]
    fn of_several_numbers_the_first_that_is_known_counts() {
        let nested = r#"{"error":"x","error_codes":[1],
            "error_description":"it failed: AADSTS7000229: no principal"}"#;
        for (body, expected) in [
            (r#"{"error":"x","error_codes":[1, 501661]}"#, (KS316, Class::Transient)),
            (nested, (KS318, Class::Permanent)),
        ] {
            let error = EntraError::parse(400, body.as_bytes()).unwrap();
            assert_eq!(error.reason_and_class(), expected, "{body}");
        }
    }

    #[test]
    fn the_number_is_found_in_the_text_too() {
        let error = EntraError::parse(
            400,
            br#"{"error":"x","error_description":"AADSTS90002: Tenant not found"}"#,
        );
        assert_eq!(error.unwrap().reason_and_class(), (KS307, Class::Permanent));
    }
}
