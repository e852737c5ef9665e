//! `docs/sdks.md` has the samples, versions and results of the test.

use super::cases::{CASES, GO, JAVA, Language, NO_TYPE, NODE, Outcome, PYTHON, RUST};
use crate::suite::support::check_page;
use std::fmt::Write as _;
use std::path::Path;

/// In the order of the columns.
const LANGUAGES: [(&str, &Language); 5] =
    [("Python", &PYTHON), ("JavaScript", &NODE), ("Go", &GO), ("Java", &JAVA), ("Rust", &RUST)];

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_page_has_the_samples_versions_and_results_of_the_test() {
    let mut page = String::new();
    let stored = read("docs/sdks.md");
    let mut lines = stored.lines();
    while let Some(line) = lines.next() {
        writeln!(page, "{line}").unwrap();
        let marker = line.strip_prefix("<!-- ").and_then(|line| line.strip_suffix(" -->"));
        if let Some(name) = marker.filter(|name| *name != "end") {
            assert!(lines.by_ref().any(|line| line == "<!-- end -->"), "{name} has no end");
            writeln!(page, "{}<!-- end -->", part(name)).unwrap();
        }
    }
    check_page("sdks.md", &page);
}

fn part(name: &str) -> String {
    match name {
        "versions" => versions(),
        "results" => results(),
        "sample python" => sample("python", "python/read_secret.py"),
        "sample node" => sample("javascript", "node/read-secret.js"),
        "sample go" => sample("go", "go/main.go"),
        "sample java" => sample("java", "java/ReadSecret.java"),
        "sample rust" => sample("rust", "rust/src/main.rs"),
        _ => panic!("{name} is not a part of the page"),
    }
}

/// The marked lines of a sample, without their common indentation.
fn sample(fence: &str, path: &str) -> String {
    let (mut inside, mut indented, mut text) = (false, 0, String::new());
    for line in read(&format!("tests/sdk/{path}")).lines() {
        match line.trim().split_once("docs: ").map(|(_, mark)| mark) {
            Some("begin") => inside = true,
            Some("resume") => {
                (inside, indented) = (true, line.len() - line.trim_start().len());
                text.push('\n');
            }
            Some(_) => inside = false,
            None if inside => writeln!(text, "{}", line.get(indented..).unwrap_or("")).unwrap(),
            None => {}
        }
    }
    assert!(!text.is_empty(), "{path} has no marked lines");
    format!("```{fence}\n{}\n```\n", text.trim_end())
}

fn versions() -> String {
    let mut table = String::from("| language | packages |\n| --- | --- |\n");
    let python = read("tests/sdk/python/requirements.txt");
    let python = |name: &str| version(&python, &format!("{name}=="), "\n");
    let node = read("tests/sdk/node/package.json");
    let node = |name: &str| version(&node, &format!("\"{name}\": \""), "\"");
    let go = read("tests/sdk/go/go.mod");
    let go = |name: &str| version(&go, &format!("{name} v"), "\n");
    let java = read("tests/sdk/java/pom.xml").replace(char::is_whitespace, "");
    let java = |name: &str| version(&java, &format!(">{name}</artifactId><version>"), "<");
    let rust = read("tests/sdk/rust/Cargo.lock");
    let rust = |name: &str| version(&rust, &format!("\"{name}\"\nversion = \""), "\"");
    let found: [(&str, [&str; 2], &dyn Fn(&str) -> String); 5] = [
        ("Python", ["azure-identity", "azure-keyvault-secrets"], &python),
        ("JavaScript", ["@azure/identity", "@azure/keyvault-secrets"], &node),
        ("Go", ["sdk/azidentity", "sdk/security/keyvault/azsecrets"], &go),
        ("Java", ["azure-identity", "azure-security-keyvault-secrets"], &java),
        ("Rust", ["azure_identity", "azure_security_keyvault_secrets"], &rust),
    ];
    for (language, names, version) in found {
        let [one, two] = names.map(|name| format!("`{name}` {}", version(name)));
        writeln!(table, "| {language} | {one}, {two} |").unwrap();
    }
    table
}

fn version(text: &str, before: &str, after: &str) -> String {
    let rest = text.split_once(before).unwrap_or_else(|| panic!("no {before:?}")).1;
    rest.split_once(after).map_or(rest, |(version, _)| version).to_owned()
}

fn results() -> String {
    let names = LANGUAGES.map(|(name, _)| name).join(" | ");
    let mut table = format!("| credential | variables | {names} |\n| --- | --- |");
    table += &" --- |".repeat(LANGUAGES.len());
    table.push('\n');
    for (number, case) in CASES.iter().enumerate() {
        let cells = LANGUAGES.map(|(_, language)| cell(&language.outcomes[number])).join(" | ");
        let variables = case.environment.describe();
        writeln!(table, "| `{}` | {variables} | {cells} |", case.credential).unwrap();
    }
    table
}

fn cell(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Entra => "Entra".to_owned(),
        Outcome::Sidecar => "endpoint".to_owned(),
        Outcome::Ignored => "not found".to_owned(),
        Outcome::Refused(NO_TYPE) => "no such type".to_owned(),
        Outcome::Refused(text) => format!("`{text}`"),
    }
}
