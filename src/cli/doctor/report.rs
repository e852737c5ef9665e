//! Prints findings: a list for people, JSON for programs.

use super::finding::{Detail, Finding, Group, Level, failed, first_cause};
use crate::cli::terminal::{Terminal, printable};
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

/// What continues a line of the list.
const INDENT: usize = 4;
/// What continues what is to be done: below its first word.
const FIX_INDENT: usize = 9;
/// Before each line that shows more.
const DETAIL: &str = "    | ";

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
pub(super) fn lines(findings: &[Finding], terminal: Terminal) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for finding in findings {
        let code = finding.code.map(|code| format!("{code} ")).unwrap_or_default();
        let text = format!("{} {code}{}\n", UNICODE.sign(finding.level), finding.text);
        out.write_all(terminal.wrap(&printable(&text), INDENT).as_bytes())?;
    }
    out.flush()
}

/// Groups, each finding with what to do, and a summary.
pub(super) fn groups(
    groups: &[Group],
    fine: usize,
    signs: Signs,
    terminal: Terminal,
) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text(groups, fine, signs, terminal).as_bytes())?;
    out.flush()
}

fn text(groups: &[Group], fine: usize, signs: Signs, terminal: Terminal) -> String {
    let mut text = String::new();
    for group in groups {
        text += &terminal.wrap(&format!("{}\n", group.title), INDENT);
        for finding in &group.findings {
            add(&mut text, finding, signs, terminal);
        }
        text.push('\n');
    }
    if fine > 0 {
        text += &format!("{} {fine} other workload(s) without trouble\n\n", signs.good);
    }
    text + &terminal.wrap(&summary(groups), INDENT)
}

fn add(text: &mut String, finding: &Finding, signs: Signs, terminal: Terminal) {
    let code = finding.code.map(|code| format!("{code} ")).unwrap_or_default();
    let (what, hint) = finding.parts();
    let sign = signs.sign(finding.level);
    *text += &terminal.wrap(&format!("{sign} {code}{}\n", printable(what)), INDENT);
    for detail in &finding.details {
        add_detail(text, detail, terminal);
    }
    if let Some(hint) = hint {
        *text += &terminal.wrap(&format!("    fix: {}\n", printable(hint)), FIX_INDENT);
    }
    // To be copied: these and the page are never broken.
    for command in &finding.commands {
        *text += &format!("    $ {}\n", printable(command));
    }
    if let Some(page) = finding.code.map(page) {
        *text += &format!("    see: {page}\n");
    }
}

fn add_detail(text: &mut String, detail: &Detail, terminal: Terminal) {
    let lines = match detail {
        Detail::Line(line) => vec![line.clone()],
        Detail::Table(table) => {
            let lines = table.lines();
            let fits = lines.iter().all(|line| terminal.fits(&format!("{DETAIL}{line}")));
            if fits { lines } else { table.stacked() }
        }
    };
    for line in lines {
        let line = printable(&line);
        let own_indent = line.len() - line.trim_start().len();
        *text += &terminal.wrap_behind(DETAIL, &line, own_indent + 2);
    }
}

fn detail_lines(detail: &Detail) -> Vec<String> {
    match detail {
        Detail::Line(line) => vec![line.clone()],
        Detail::Table(table) => table.lines(),
    }
}

/// The URL of the page that explains the code.
fn page(code: &str) -> String {
    reason::find(code).map(reason::docs).unwrap_or_default()
}

fn summary(groups: &[Group]) -> String {
    let [failures, warnings, skipped] =
        [Level::Failed, Level::Warning, Level::Skipped].map(|level| {
            let findings = groups.iter().flat_map(|group| &group.findings);
            findings.filter(|one| one.level == level).count()
        });
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
    let details: Vec<String> = finding.details.iter().flat_map(detail_lines).collect();
    json!({"check": finding.check, "level": level(finding.level), "code": finding.code,
        "text": text, "fix": fix, "details": details, "commands": finding.commands,
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
    use super::super::table::Table;
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
        let text = text(&[group], 2, ASCII, Terminal::PLAIN);
        let [see_cause, see_consequence] =
            ["KS811", "KS312"].map(|code| format!("    see: {}\n", page(code)));
        let expected = format!(
            "Pod shop/web\nxx KS811 a policy\n    fix: allow it\n    $ kubectl describe \
            networkpolicy p\n{see_cause}xx KS312 Entra cannot be reached\n{see_consequence}\n\
            ok 2 other workload(s) without trouble\n\n2 failed, 0 warning(s)\n\
            most likely cause: KS811 Pod shop/web: a \
            NetworkPolicy keeps the sidecar from Entra or the vaults\n"
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_but_commands_and_pages_stay_whole() {
        let command = format!("az identity federated-credential create --name {}", "x".repeat(90));
        let mut table = Table::new(&["", "the token has", "the federated credential must have"]);
        table.add(
            ["issuer", "https://one.example/1234", "https://two.example/5678"].map(Into::into),
        );
        let words = ["some words about what is wrong"; 9].join(" ");
        let finding = Finding::failed("sidecar", "KS303", format!("{words}; hint: {words}"))
            .show_table(Some(table))
            .show([format!("  - {words}")])
            .run(&command);
        let groups = [Group::new("Deployment shop/web", vec![finding])];
        for width in [40, 60, 80, 100] {
            let text = text(&groups, 1, UNICODE, Terminal::of_width(width));
            let too_wide = text.lines().find(|line| {
                let start = line.trim_start();
                // An address is whole too, and fits 80 columns.
                let is_whole = start.starts_with("$ ") || width < 80 && start.starts_with("see: ");
                line.chars().count() > width && !is_whole
            });
            assert_eq!(too_wide, None, "{width}:\n{text}");
            assert!(text.contains(&format!("\n    $ {command}\n")), "{text}");
            for line in text.lines() {
                assert!(line.starts_with("    ") || !line.starts_with(' '), "{line}\n{text}");
            }
            assert_eq!(text.contains("    | issuer\n"), width < 80, "{width}:\n{text}");
        }
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let finding =
            Finding::failed("sidecar", "KS303", "a\x1b]0;x\x07b\u{202e}c\nd; hint: \x1b[2J")
                .show(["e\rf".to_owned()])
                .run("g\x1bh");
        let text = text(&[Group::new("Pod shop/web", vec![finding])], 0, ASCII, Terminal::PLAIN);
        assert!(
            !text.contains(|c: char| c.is_control() && c != '\n' || c == '\u{202e}'),
            "{text:?}"
        );
        assert!(text.contains("xx KS303 a ]0;x b c d\n    | e f\n"), "{text:?}");
    }
}
