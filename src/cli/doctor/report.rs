//! Prints findings: a list for people, JSON for programs.

use super::finding::{Finding, Group, Level, failed, first_cause};
use crate::reason;
use serde_json::{Value, json};
use std::io::{self, Write as _};

/// Signs of the levels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Signs {
    good: &'static str,
    warning: &'static str,
    failed: &'static str,
    skipped: &'static str,
}

const UNICODE: Signs = Signs { good: "√", warning: "‼", failed: "×", skipped: "-" };
const ASCII: Signs = Signs { good: "ok", warning: "!!", failed: "xx", skipped: "--" };

impl Signs {
    /// Those that the terminal shows, by the variables of its locale.
    pub(super) fn of_locale() -> Self {
        let variables = ["LC_ALL", "LC_CTYPE", "LANG"];
        let locale = variables.into_iter().find_map(crate::cli::options::variable);
        Self::of(locale.as_deref())
    }

    fn of(locale: Option<&str>) -> Self {
        let is_utf8 = locale.is_some_and(|locale| {
            let locale = locale.to_ascii_lowercase();
            locale.contains("utf-8") || locale.contains("utf8")
        });
        if is_utf8 { UNICODE } else { ASCII }
    }

    fn sign(&self, level: Level) -> &'static str {
        match level {
            Level::Good => self.good,
            Level::Warning => self.warning,
            Level::Failed => self.failed,
            Level::Skipped => self.skipped,
        }
    }
}

/// The findings of `doctor --pre`, a line each.
pub(super) fn lines(findings: &[Finding]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for finding in findings {
        let code = finding.code.map(|code| format!("{code} ")).unwrap_or_default();
        writeln!(out, "{} {code}{}", UNICODE.sign(finding.level), finding.text)?;
    }
    out.flush()
}

/// Groups, each finding with what to do, and a summary.
pub(super) fn groups(groups: &[Group], fine: usize, signs: Signs) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text(groups, fine, signs).as_bytes())?;
    out.flush()
}

fn text(groups: &[Group], fine: usize, signs: Signs) -> String {
    let mut text = String::new();
    for group in groups {
        text += &format!("{}\n", group.title);
        for finding in &group.findings {
            add(&mut text, finding, signs);
        }
        text.push('\n');
    }
    if fine > 0 {
        text += &format!("{} {fine} other workload(s) without trouble\n\n", signs.good);
    }
    text + &summary(groups)
}

fn add(text: &mut String, finding: &Finding, signs: Signs) {
    let code = finding.code.map(|code| format!("{code} ")).unwrap_or_default();
    let (what, hint) = finding.parts();
    *text += &format!("{} {code}{what}\n", signs.sign(finding.level));
    for line in &finding.details {
        *text += &format!("    | {line}\n");
    }
    if let Some(hint) = hint {
        *text += &format!("    fix: {hint}\n");
    }
    for command in &finding.commands {
        *text += &format!("    $ {command}\n");
    }
    if let Some(page) = finding.code.map(page) {
        *text += &format!("    see: {page}\n");
    }
}

/// Where the code is explained.
fn page(code: &str) -> String {
    reason::find(code).map(reason::docs).unwrap_or_default()
}

fn summary(groups: &[Group]) -> String {
    let count = |level| {
        let findings = groups.iter().flat_map(|group| &group.findings);
        findings.filter(|one| one.level == level).count()
    };
    let (failures, warnings) = (count(Level::Failed), count(Level::Warning));
    let skipped = count(Level::Skipped);
    let not_checked = if skipped == 0 { String::new() } else { format!(", {skipped} not checked") };
    let mut text = format!("{failures} failed, {warnings} warning(s){not_checked}\n");
    if let Some((group, finding)) = first_cause(groups) {
        let code = finding.code.unwrap_or_default();
        let cause = reason::find(code).map(|reason| reason.cause).unwrap_or_default();
        text += &format!("most likely cause: {code} {}: {cause}\n", group.title);
    }
    text
}

/// The findings of `doctor --pre`.
pub(super) fn json_lines(findings: &[Finding]) -> io::Result<()> {
    let list: Vec<_> = findings.iter().map(one_of_pre).collect();
    write_json(&json!({"checks": list, "failed": failed(findings)}))
}

fn one_of_pre(finding: &Finding) -> Value {
    json!({"check": finding.check, "level": level(finding.level), "code": finding.code,
        "text": finding.text})
}

/// Groups as JSON.
pub(super) fn json(groups: &[Group], fine: usize) -> io::Result<()> {
    let list: Vec<Value> = groups.iter().map(group).collect();
    let cause = first_cause(groups).map(|(group, finding)| {
        json!({"title": group.title, "check": finding.check, "code": finding.code})
    });
    let failed = groups.iter().any(Group::has_failed);
    write_json(&json!({"groups": list, "otherWorkloads": fine, "cause": cause, "failed": failed}))
}

fn group(group: &Group) -> Value {
    let checks: Vec<Value> = group.findings.iter().map(one).collect();
    json!({"title": group.title, "checks": checks})
}

fn one(finding: &Finding) -> Value {
    let (text, fix) = finding.parts();
    json!({"check": finding.check, "level": level(finding.level), "code": finding.code,
        "text": text, "fix": fix, "details": finding.details, "commands": finding.commands,
        "see": finding.code.map(page)})
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Good => "ok",
        Level::Warning => "warning",
        Level::Failed => "failed",
        Level::Skipped => "skipped",
    }
}

fn write_json(value: &Value) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{value:#}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_without_utf_8_gets_ascii() {
        for (locale, sign) in
            [(Some("en_US.UTF-8"), "×"), (Some("C.utf8"), "×"), (Some("C"), "xx"), (None, "xx")]
        {
            assert_eq!(Signs::of(locale).sign(Level::Failed), sign, "{locale:?}");
        }
    }

    #[test]
    fn the_summary_names_the_cause_and_not_its_consequence() {
        let consequence = Finding::failed("sidecar", "KS312", "Entra cannot be reached");
        let cause = Finding::failed("network", "KS811", "a policy; hint: allow it")
            .run("kubectl describe networkpolicy p");
        let group = Group::new("Pod shop/web", vec![consequence, cause]);
        let text = text(&[group], 2, ASCII);
        let expected = "Pod shop/web\nxx KS811 a policy\n    fix: allow it\n    $ kubectl describe \
            networkpolicy p\n    see: docs/reasons.md#ks811\nxx KS312 Entra cannot be reached\n    \
            see: docs/reasons.md#ks312\n\nok 2 other workload(s) without trouble\n\n2 failed, 0 \
            warning(s)\nmost likely cause: KS811 Pod shop/web: a \
            NetworkPolicy keeps the sidecar from Entra or the vaults\n";
        assert_eq!(text, expected);
    }
}
