//! What is printed of a workload, for people.

use super::changes::{Change, changes};
use super::totals::code_of;
use super::{Explained, patched};
use crate::admission::Outcome;
use crate::cli::terminal::{Style, Terminal};
use crate::cli::yaml_diff;

/// Where a line of text goes on.
const INDENT: usize = 11;

/// The decision with its reasons, and each changed item.
pub(super) fn full(explained: &Explained, terminal: Terminal) -> String {
    let mut text = head(explained, terminal);
    for change in changes_of(explained) {
        text += &terminal.wrap(&format!("  {}\n", change.text), INDENT);
    }
    text
}

/// The decision with its reasons, and the whole diff.
pub(super) fn diff(explained: &Explained, terminal: Terminal) -> String {
    let mut text = head(explained, terminal);
    if let (Outcome::Mutated, Ok(after)) = (explained.answer.outcome, patched(explained)) {
        text.push('\n');
        text += &yaml_diff::diff(&explained.pod.pod, &after, terminal.style);
        text.push('\n');
    }
    text
}

/// The decision in a line.
pub(super) fn one_line(explained: &Explained, terminal: Terminal) -> String {
    let answer = &explained.answer;
    let mut text = title(explained, terminal.style);
    let mut short: Vec<_> = changes_of(explained).into_iter().map(|change| change.short).collect();
    short.retain(|short| !short.is_empty());
    if !short.is_empty() {
        text += &format!(": {}", short.join("; "));
    }
    if let Some(message) = &answer.message {
        text += &format!(": {}", message.lines().next().unwrap_or_default());
    }
    if !answer.warnings.is_empty() {
        let codes: Vec<_> = answer.warnings.iter().map(|warning| code_of(warning)).collect();
        let Style { doubtful, reset, .. } = terminal.style;
        text += &format!("; {doubtful}warnings: {}{reset}", codes.join(", "));
    }
    terminal.wrap(&(text + "\n"), 4)
}

/// The items that the patch changes.
pub(super) fn changes_of(explained: &Explained) -> Vec<Change> {
    match (explained.answer.outcome, patched(explained)) {
        (Outcome::Mutated, Ok(after)) => changes(&explained.pod.pod, &after),
        _ => Vec::new(),
    }
}

fn head(explained: &Explained, terminal: Terminal) -> String {
    let (answer, style) = (&explained.answer, terminal.style);
    let mut text = terminal.wrap(&(title(explained, style) + "\n"), INDENT);
    let because = explained.because.iter().map(|note| ("because ", "", note));
    let error = answer.message.iter().map(|message| ("error   ", style.removed, message));
    let warnings = answer.warnings.iter().map(|warning| ("warning ", style.doubtful, warning));
    for (word, color, message) in because.chain(error).chain(warnings) {
        let reset = if color.is_empty() { "" } else { style.reset };
        // What follows the first line is a manifest to copy.
        let (line, manifest) = message.split_once('\n').unwrap_or((message, ""));
        text += &terminal.wrap(&format!("  {color}{word}{reset} {line}\n"), INDENT);
        if !manifest.is_empty() {
            text += &format!("{manifest}\n");
        }
    }
    text
}

/// `Deployment shop/web: mutated (shop.yaml:12)`.
fn title(explained: &Explained, style: Style) -> String {
    let (pod, location) = (&explained.pod, &explained.document.location);
    let Style { bold, added, removed, reset, .. } = style;
    let outcome = match &explained.answer.outcome {
        Outcome::Mutated => format!("{added}mutated{reset}"),
        Outcome::Unchanged => "let through unchanged".to_owned(),
        Outcome::Denied => format!("{removed}refused{reset}"),
    };
    format!("{bold}{}{reset}: {outcome} ({location})", pod.owner)
}
