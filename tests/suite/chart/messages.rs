//! What the policies of the chart say: code, cause and first step, where a table of events ends.

use super::manifests::{documents, install};
use keysluice::reason::{self, SHOWN_CHARS, first_step};
use serde_json::Value;
use std::path::Path;

const DETAILS: &str = "; details: ";
const HINT: &str = "; hint: ";

/// Of the rendered chart: as it is by default, and as the golden files have it.
fn policies() -> Vec<Value> {
    let mut all = install();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/chart");
    for entry in std::fs::read_dir(golden).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            all.extend(documents(&std::fs::read_to_string(path).unwrap()));
        }
    }
    all.retain(|one| one["kind"] == "ValidatingAdmissionPolicy");
    all
}

/// The part of a message that says what is wrong and what to do first.
fn summary(message: &str) -> Option<&str> {
    let hint = message.find(HINT).map(|at| at + HINT.len());
    let details = message.find(DETAILS);
    match (hint, details) {
        (Some(hint), _) if details.is_none_or(|details| hint < details) => {
            Some(&message[..hint + first_step(&message[hint..]).len()])
        }
        // A summary has the first step behind a colon.
        (_, Some(details)) => Some(&message[..details]).filter(|text| text.contains(": ")),
        _ => None,
    }
}

/// The literal with which an expression begins, whatever the names in it are.
fn literal(expression: &str) -> String {
    let mut parts = expression.split('\'');
    assert_eq!(parts.next().map(str::trim), Some(""), "{expression}");
    let mut text = String::new();
    while let Some(part) = parts.next() {
        text += part;
        if parts.next().map(str::trim) != Some("+") {
            break;
        }
    }
    text
}

#[test]
fn the_first_120_characters_of_each_policy_say_what_is_wrong_and_what_to_do() {
    let policies = policies();
    let validations = policies.iter().filter_map(|one| one["spec"]["validations"].as_array());
    let mut texts = Vec::new();
    for validation in validations.flatten() {
        texts.push(validation["message"].as_str().unwrap().to_owned());
        texts.extend(validation["messageExpression"].as_str().map(literal));
    }
    assert!(texts.len() > 100, "{}", texts.len());
    for text in texts {
        let code = text.split(' ').next().unwrap();
        assert!(reason::find(code).is_some(), "{text}");
        let summary = summary(&text).unwrap_or_else(|| panic!("no first step: {text}"));
        let length = summary.chars().count();
        assert!(length <= SHOWN_CHARS, "{length} characters: {summary}");
    }
}

#[test]
fn a_summary_ends_with_the_first_step() {
    for (message, expected) in [
        (
            "KS1 it is wrong; hint: rename it; it is reserved",
            Some("KS1 it is wrong; hint: rename it"),
        ),
        ("KS1 it is wrong: rename it; details: a; hint: b", Some("KS1 it is wrong: rename it")),
        ("KS1 it is wrong; hint: rename it; details: a", Some("KS1 it is wrong; hint: rename it")),
        ("KS1 it is wrong", None),
        ("KS1 it is wrong; details: a; hint: b", None),
    ] {
        assert_eq!(summary(message), expected, "{message}");
    }
    assert_eq!(literal("'a ' + 'b; details: ' + request.namespace + ' c'"), "a b; details: ");
    assert_eq!(literal("\n  'a'\n  + x"), "a");
}
