//! Every reason code is raised, tested and documented, and every message has one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A text with the file that it is from.
type Texts = Vec<(PathBuf, String)>;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn texts_below(directory: &str, extensions: &[&str]) -> Texts {
    let (mut texts, mut directories) = (Texts::new(), vec![root().join(directory)]);
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let extension = path.extension().and_then(|one| one.to_str()).unwrap_or_default();
            if path.is_dir() && !path.ends_with("target") {
                directories.push(path);
            } else if extensions.contains(&extension) {
                let text = std::fs::read_to_string(&path).unwrap();
                texts.push((path, text));
            }
        }
    }
    texts
}

/// Sources, in the part that runs and the part that tests it.
fn sources() -> (Texts, Texts) {
    let all = ["src", "injector/src", "injector/plan/src", "certs/src"];
    let (mut production, mut tests) = (Texts::new(), Texts::new());
    for (path, text) in all.into_iter().flat_map(|one| texts_below(one, &["rs"])) {
        let name = path.to_string_lossy();
        if name.contains("/tests/") || name.ends_with("tests.rs") || name.ends_with("testing.rs") {
            tests.push((path, text));
            continue;
        }
        let (code, test) = match text.find("#[cfg(test)]\nmod tests {") {
            Some(at) => (text[..at].to_owned(), text[at..].to_owned()),
            None => (text, String::new()),
        };
        production.push((path.clone(), code));
        tests.push((path, test));
    }
    (production, tests)
}

fn is_table(path: &Path) -> bool {
    let name = path.to_string_lossy();
    name.contains("/reason/") || name.ends_with("reason.rs")
}

fn have(texts: &Texts, code: &str) -> bool {
    texts.iter().any(|(_, text)| text.contains(code))
}

#[test]
fn every_code_is_raised_by_the_program_or_the_chart() {
    let (mut production, _) = sources();
    production.retain(|(path, _)| !is_table(path));
    production.extend(texts_below("webhook-config/chart/templates", &["yaml", "tpl"]));
    let codes = keysluice::reason::all().map(|reason| reason.code);
    let unused: Vec<_> = codes.filter(|code| !have(&production, code)).collect();
    assert!(unused.is_empty(), "no message has these codes: {unused:?}");
}

#[test]
fn every_code_is_in_a_test() {
    let (_, mut tests) = sources();
    for directory in ["tests", "injector/tests"] {
        let extensions = ["rs", "yaml", "json", "txt", "snap", "md"];
        tests.extend(texts_below(directory, &extensions));
    }
    let codes = keysluice::reason::all().map(|reason| reason.code);
    let untested: Vec<_> = codes.filter(|code| !have(&tests, code)).collect();
    assert!(untested.is_empty(), "no test names these codes: {untested:?}");
}

#[test]
fn every_code_is_documented_and_every_documented_code_exists() {
    let page = std::fs::read_to_string(root().join("docs/reasons.md")).unwrap();
    let documented: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let codes: Vec<_> = keysluice::reason::all().map(|reason| reason.code).collect();
    assert_eq!(documented, codes);
    let (production, _) = sources();
    let mut pages = texts_below("docs", &["md"]);
    pages.extend(production);
    for (path, text) in &pages {
        for (at, _) in text.match_indices("KS") {
            let digits: String = text[at + 2..].chars().take_while(char::is_ascii_digit).collect();
            let code = format!("KS{digits}");
            if digits.len() == 3 && !code.ends_with("00") && code != "KS999" {
                assert!(codes.contains(&&*code), "{}: {code} does not exist", path.display());
            }
        }
    }
}

/// What a table of events shows of a refusal: code, cause and fix within 120 characters, whatever
/// the names in the message are.
#[test]
fn the_first_120_characters_of_each_refusal_say_what_is_wrong_and_what_to_do() {
    let refusals = ["src/mutate", "src/provider_class", "src/inline", "src/cluster"];
    let mut codes = BTreeMap::new();
    for (path, text) in refusals.into_iter().flat_map(|one| texts_below(one, &["rs"])) {
        for reason in keysluice::reason::all() {
            // A variant of an error, or a denial.
            if text.contains(&format!("[{}]", reason.code)) {
                codes.insert(reason.code, (reason, path.clone()));
            }
        }
    }
    for code in ["KS201", "KS706", "KS709"] {
        codes.insert(code, (keysluice::reason::find(code).unwrap(), PathBuf::new()));
    }
    assert!(codes.len() > 100, "{}", codes.len());
    for (reason, path) in codes.values() {
        // The longest names that Kubernetes allows.
        let details = format!("volume {:?}: {}", "v".repeat(63), "c".repeat(253));
        let text = keysluice::reason::told(**reason, &format!("{details}; hint: {}", reason.fix));
        let summary = text.split("; details: ").next().unwrap();
        let length = summary.chars().count();
        let (limit, path) = (keysluice::reason::SHOWN_CHARS, path.display());
        assert!(length <= limit, "{length} characters, of {path}: {summary}");
        let expected = [reason.code, reason.cause, keysluice::reason::first_step(reason.fix)];
        assert!(expected.iter().all(|part| summary.contains(part)), "{summary}");
    }
}

/// A sample is a message of the program: what is constant in one of its texts is in it.
#[test]
fn samples_are_messages_of_the_program() {
    let (mut production, _) = sources();
    production.extend(texts_below("webhook-config/chart/templates", &["yaml"]));
    let constant: Vec<Vec<String>> = production
        .iter()
        .filter(|(path, _)| !path.ends_with("samples.rs"))
        .flat_map(|(_, text)| literals(text))
        .map(|literal| pieces(&literal))
        .filter(|pieces| pieces.iter().map(String::len).sum::<usize>() >= 8)
        .collect();
    let is_message = |sample: &str| constant.iter().any(|pieces| has_in_order(sample, pieces));
    let unknown: Vec<_> = keysluice::reason::all()
        .filter_map(keysluice::reason::sample)
        .filter(|sample| !is_message(sample) && !is_of_others(sample))
        .collect();
    assert!(unknown.is_empty(), "these samples are in no text of the program: {unknown:#?}");
}

/// The words of Entra, Key Vault, IMDS or the operating system.
fn is_of_others(sample: &str) -> bool {
    let words = ["AADSTS", "(os error ", "refused", " 403 ", " 404 ", " 400 ", "503", "429", "500"];
    words.iter().any(|word| sample.contains(word))
}

/// The texts in quotes, and the messages of the chart's policies.
fn literals(text: &str) -> Vec<String> {
    let (mut found, mut rest) = (Vec::new(), text);
    while let Some(begin) = rest.find('"') {
        let mut literal = String::new();
        let mut chars = rest[begin + 1..].char_indices();
        let mut end = rest.len();
        while let Some((at, one)) = chars.next() {
            match one {
                '"' => {
                    end = begin + 1 + at + 1;
                    break;
                }
                '\\' => match chars.next() {
                    Some((_, '\n')) => literal.push('\n'),
                    Some((_, escaped)) => literal.push(escaped),
                    None => {}
                },
                one => literal.push(one),
            }
        }
        rest = &rest[end..];
        let lines = literal.split('\n').map(str::trim_start);
        found.push(lines.collect::<String>());
    }
    let folded = text.split("message: ").skip(1).filter_map(|after| after.split("reason:").next());
    found.extend(
        folded.map(|one| {
            one.trim_start_matches(">-").split_whitespace().collect::<Vec<_>>().join(" ")
        }),
    );
    found
}

/// What is constant in a format string.
fn pieces(literal: &str) -> Vec<String> {
    // Helm's placeholders are others.
    let literal = literal.replace("%v", "{}").replace("%s", "{}");
    let message = literal.split("; hint").next().unwrap_or_default();
    let placeholder = |one: &str| one.split_once('}').map_or(one, |(_, after)| after).to_owned();
    let mut parts = message.split('{');
    let first = parts.next().unwrap_or_default().to_owned();
    let all = std::iter::once(first).chain(parts.map(placeholder));
    all.map(|piece| piece.trim().to_owned()).filter(|piece| !piece.is_empty()).collect()
}

fn has_in_order(text: &str, pieces: &[String]) -> bool {
    let mut rest = text;
    pieces.iter().all(|piece| {
        let Some(at) = rest.find(piece.as_str()) else { return false };
        rest = &rest[at + piece.len()..];
        true
    })
}

/// A warning or an error of the log, and one on standard error, begin with a code: in their text,
/// or in a value that is an error with one.
#[test]
fn no_warning_of_the_log_is_without_a_code() {
    let (production, _) = sources();
    // Said by whoever asked for it, and not a fault.
    let spared = ["the log level was changed", "request refused"];
    let mut without = Vec::new();
    for (path, text) in production.iter().filter(|(path, _)| !path.ends_with("log.rs")) {
        for macro_name in ["tracing::warn!(", "tracing::error!("] {
            for (at, _) in text.match_indices(macro_name) {
                let call = &text[at..];
                let call = &call[..call.find(");").unwrap_or(call.len())];
                let has_code = ["KS", "reason", "{note}", "fault", "{code}"]
                    .iter()
                    .any(|word| call.contains(word));
                if !has_code && !spared.iter().any(|words| call.contains(words)) {
                    without.push(format!("{}: {call}", path.display()));
                }
            }
        }
    }
    assert!(without.is_empty(), "{without:#?}");
}
