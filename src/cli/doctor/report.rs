//! Prints findings: a list for people, JSON for programs.

use super::checks::{Finding, Level};
use serde_json::json;
use std::io::{self, Write as _};

pub(super) fn text(findings: &[Finding]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for finding in findings {
        let sign = match finding.level {
            Level::Good => "√",
            Level::Warning => "‼",
            Level::Failed => "×",
        };
        let code = finding.code.map(|code| format!("{code} ")).unwrap_or_default();
        writeln!(out, "{sign} {code}{}", finding.text)?;
    }
    out.flush()
}

pub(super) fn json(findings: &[Finding]) -> io::Result<()> {
    let level = |level| match level {
        Level::Good => "ok",
        Level::Warning => "warning",
        Level::Failed => "failed",
    };
    let one = |finding: &Finding| {
        json!({"check": finding.check, "level": level(finding.level),
        "code": finding.code, "text": finding.text})
    };
    let list: Vec<_> = findings.iter().map(one).collect();
    writeln!(
        io::stdout().lock(),
        "{:#}",
        json!({"checks": list, "failed": super::checks::failed(findings)})
    )
}
