//! The words of the pages, the chart and the reason codes: lines of bounded length, links that lead
//! somewhere, and none of the phrases that a reader has to decipher.

use std::path::{Path, PathBuf};

/// Columns of prose.
const MAX_PROSE_COLUMNS: usize = 120;
/// Columns of code, comments and strings.
const MAX_CODE_COLUMNS: usize = 100;
const MAX_CODE_LINES: usize = 350;

/// Phrases that have a plain replacement: a thing as the subject, "is not a", "another".
const PHRASES: &[&str] = &[
    "nobody",
    "whoever",
    "whomever",
    "somebody",
    "anybody",
    "everybody",
    "is no ",
    "are no ",
    "was no ",
    "were no ",
    "stands in env",
    "reckoned",
    "slip of the pen",
];
/// What contains one of them and is plain.
const PLAIN: &[&str] = &[
    "there is no ",
    "there are no ",
    "there was no ",
    "there were no ",
    "is no longer",
    "are no longer",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Files below a directory of the repository, as paths from its root.
fn files_below(directory: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(root().join(directory)).unwrap() {
        let entry = entry.unwrap();
        let path = Path::new(directory).join(entry.file_name());
        if entry.path().is_dir() {
            if !entry.file_name().eq("target") {
                files_below(path.to_str().unwrap(), found);
            }
        } else {
            found.push(path);
        }
    }
}

fn with_extension(directories: &[&str], extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for directory in directories {
        files_below(directory, &mut found);
    }
    found.retain(|path| path.extension().is_some_and(|found| found == extension));
    found.sort();
    found
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// The pages: those of `docs/`, of the examples and of the chart, and those beside the README.
fn pages() -> Vec<PathBuf> {
    let mut pages = with_extension(&["docs", "examples", "webhook-config"], "md");
    pages.extend(
        ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"]
            .map(PathBuf::from),
    );
    pages
}

/// Lines of a page with their numbers, without its blocks of code.
fn prose(page: &str) -> Vec<(usize, &str)> {
    let mut inside = false;
    let lines = page.lines().enumerate().filter(|(_, line)| {
        let is_fence = line.trim_start().starts_with("```");
        inside ^= is_fence;
        !inside && !is_fence
    });
    lines.map(|(index, line)| (index + 1, line)).collect()
}

/// Whether a line cannot be broken: a row of a table, or one long link or span of code.
fn is_unbreakable(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with('|') || !line.trim_start_matches(['-', '>', ' ']).contains(' ')
}

#[test]
fn lines_of_prose_have_at_most_120_columns() {
    let mut long = Vec::new();
    for path in pages() {
        for (number, line) in prose(&read(&path)) {
            if line.chars().count() > MAX_PROSE_COLUMNS && !is_unbreakable(line) {
                long.push(format!("{}:{number}", path.display()));
            }
        }
    }
    assert!(long.is_empty(), "longer than {MAX_PROSE_COLUMNS} columns: {long:#?}");
}

#[test]
fn files_of_code_have_at_most_350_lines_of_at_most_100_columns() {
    let directories = ["benches", "certs", "injector", "src", "tests"];
    let (mut wide, mut long) = (Vec::new(), Vec::new());
    for path in with_extension(&directories, "rs") {
        let text = read(&path);
        if text.lines().any(|line| line.chars().count() > MAX_CODE_COLUMNS) {
            wide.push(path.clone());
        }
        if text.lines().count() > MAX_CODE_LINES {
            long.push(path);
        }
    }
    assert!(wide.is_empty(), "longer than {MAX_CODE_COLUMNS} columns: {wide:#?}");
    assert!(long.is_empty(), "longer than {MAX_CODE_LINES} lines: {long:#?}");
}

/// The forbidden phrases in a text.
fn phrases_in(text: &str) -> Vec<&'static str> {
    let mut text = text.to_lowercase();
    for plain in PLAIN {
        text = text.replace(plain, "");
    }
    PHRASES.iter().copied().filter(|phrase| text.contains(phrase)).collect()
}

#[test]
fn pages_and_chart_use_plain_phrases() {
    let mut found = Vec::new();
    let chart = ["yaml", "json", "tpl", "txt"]
        .into_iter()
        .flat_map(|extension| with_extension(&["webhook-config/chart"], extension));
    for path in pages().into_iter().chain(chart).chain([PathBuf::from("Makefile")]) {
        for (index, line) in read(&path).lines().enumerate() {
            for phrase in phrases_in(line) {
                found.push(format!("{}:{}: {phrase:?}", path.display(), index + 1));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn reasons_use_plain_phrases() {
    for reason in keysluice::reason::all() {
        let found = phrases_in(&format!("{}\n{}", reason.cause, reason.fix));
        assert!(found.is_empty(), "{reason}: {found:?}");
    }
}

#[test]
fn a_forbidden_phrase_is_found_and_a_plain_one_is_not() {
    assert_eq!(phrases_in("The value is no number"), ["is no "]);
    assert_eq!(phrases_in("Nobody renews it"), ["nobody"]);
    assert!(phrases_in("There is no CSI driver; the node has no pods").is_empty());
}

/// The anchor that GitHub gives a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().chars();
    let kept = kept.filter(|one| one.is_alphanumeric() || matches!(one, ' ' | '-' | '_'));
    kept.flat_map(char::to_lowercase).map(|one| if one == ' ' { '-' } else { one }).collect()
}

#[test]
fn links_between_pages_lead_to_a_file_and_a_heading() {
    let mut dead = Vec::new();
    for path in pages() {
        let text = read(&path);
        for (number, line) in prose(&text) {
            for target in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                if target.starts_with("http") {
                    continue;
                }
                let (file, heading) = target.split_once('#').unwrap_or((target, ""));
                let file = match file {
                    "" => path.clone(),
                    _ => path.parent().unwrap().join(file),
                };
                let Ok(page) = std::fs::read_to_string(root().join(&file)) else {
                    dead.push(format!("{}:{number}: {target}", path.display()));
                    continue;
                };
                let mut headings =
                    prose(&page).into_iter().filter(|(_, line)| line.starts_with('#'));
                if !heading.is_empty() && !headings.any(|(_, line)| anchor(line) == heading) {
                    dead.push(format!("{}:{number}: {target}", path.display()));
                }
            }
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
}
