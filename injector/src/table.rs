//! What `status` tells, as tables for people: made by the command that asks, as the metrics are.

use crate::report::{ErrorReport, FileReport, Report};
use std::fmt::Write;

/// As many characters of a version as tell two of an object apart; `-o json` has it whole.
const VERSION_CHARACTERS: usize = 8;
/// Where nothing is known.
const NONE: &str = "-";

/// The text for a terminal; `None` when `json` is not what `status` prints.
pub(crate) fn tables(json: &str) -> Option<String> {
    let report: Report<'_> = serde_json::from_str(json).ok()?;
    let mut errors = Vec::new();
    let mut text = format!(
        "keysluice-injector {}: {}, {} failing\n",
        report.version,
        if report.ready { "ready" } else { "not ready" },
        report.failing
    );
    // Writing to a string cannot fail.
    for volume in &report.volumes {
        let generation = volume.generation.as_deref().unwrap_or("none");
        let _ = write!(
            text,
            "\nvolume {} ({}), generation {}{}\n",
            volume.name,
            volume.directory,
            generation.trim_start_matches('.'),
            failing(volume.error.as_ref(), &mut errors)
        );
        let mut rows = vec![row(["FILE", "VERSION", "AGE", "NEXT", "ERROR", "OBJECT"])];
        for file in &volume.files {
            rows.extend(file_rows(file, &mut errors));
        }
        columns(&rows, &mut text);
    }
    if !report.secrets.is_empty() {
        let mut rows = vec![row(["SECRET", "AGE", "ERROR"])];
        for secret in &report.secrets {
            let error = code(secret.error.as_ref(), &mut errors);
            rows.push(row([&secret.name, &age(secret.age_seconds), error]));
        }
        text.push('\n');
        columns(&rows, &mut text);
    }
    let mut rows = vec![row(["", "COUNT", "AGE", "ERROR"])];
    if let Some(reaction) = &report.reaction {
        let error = code(reaction.error.as_ref(), &mut errors);
        let count = reaction.count.to_string();
        rows.push(row(["reaction", &count, &age(reaction.age_seconds), error]));
    }
    if let Some(plan) = &report.plan {
        let error = code(plan.error.as_ref(), &mut errors);
        rows.push(row(["plan", NONE, &age(plan.age_seconds), error]));
    }
    if rows.len() > 1 {
        text.push('\n');
        columns(&rows, &mut text);
    }
    let warnings = report.volumes.iter().flat_map(|volume| &volume.files);
    errors.extend(warnings.filter_map(|file| file.warning.as_ref()));
    let mut told: Vec<&str> = Vec::new();
    for error in errors {
        if !told.contains(&&*error.message) {
            told.push(&error.message);
            let ErrorReport { code, message, hint, age_seconds } = error;
            let ago = duration(*age_seconds);
            let _ = write!(text, "\n{code} {message} ({ago} ago)\n  hint: {hint}\n");
        }
    }
    Some(printable(&text))
}

/// A row for each file that is made of an object.
fn file_rows<'r>(file: &'r FileReport<'r>, errors: &mut Vec<&'r ErrorReport<'r>>) -> Vec<Row> {
    let error = code(file.error.as_ref(), errors);
    let (age, next) = (age(file.age_seconds), age(file.next_seconds));
    let made: Vec<(&str, String)> = if file.made.is_empty() {
        vec![(&file.path, short(file.version.as_deref()))]
    } else {
        file.made.iter().map(|made| (&*made.path, short(Some(&made.version)))).collect()
    };
    made.iter()
        .map(|(path, version)| row([path, version, &age, &next, error, &file.object]))
        .collect()
}

fn failing<'r>(
    error: Option<&'r ErrorReport<'r>>,
    errors: &mut Vec<&'r ErrorReport<'r>>,
) -> String {
    error.map(|_| format!(", {}", code(error, errors))).unwrap_or_default()
}

/// The code; its text comes below the tables.
fn code<'r>(error: Option<&'r ErrorReport<'r>>, errors: &mut Vec<&'r ErrorReport<'r>>) -> &'r str {
    errors.extend(error);
    error.map_or(NONE, |error| &error.code)
}

fn short(version: Option<&str>) -> String {
    version.unwrap_or(NONE).chars().take(VERSION_CHARACTERS).collect()
}

fn age(seconds: Option<u64>) -> String {
    seconds.map_or_else(|| NONE.to_owned(), duration)
}

/// `45s`, `3m20s`, `5h7m`, `2d3h`, as kubectl has it.
fn duration(seconds: u64) -> String {
    let (large, large_unit, small, small_unit) = match seconds {
        0..=119 => return format!("{seconds}s"),
        120..=7199 => (seconds / 60, 'm', seconds % 60, 's'),
        7200..=172_799 => (seconds / 3600, 'h', seconds % 3600 / 60, 'm'),
        _ => (seconds / 86_400, 'd', seconds % 86_400 / 3600, 'h'),
    };
    match small {
        0 => format!("{large}{large_unit}"),
        _ => format!("{large}{large_unit}{small}{small_unit}"),
    }
}

type Row = Vec<String>;

fn row<const N: usize>(cells: [&str; N]) -> Row {
    cells.map(str::to_owned).to_vec()
}

/// Cells of a column begin one below the other.
fn columns(rows: &[Row], text: &mut String) {
    let widths = (0..rows[0].len())
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default());
    let widths: Vec<_> = widths.collect();
    for row in rows {
        let start = text.len();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(text, "{cell:<width$}   ");
        }
        text.truncate(start + text[start..].trim_end().len());
        text.push('\n');
    }
}

/// Names and messages come from others: nothing of them controls the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_report_becomes_tables_with_each_error_below_them_once() {
        let error = json!({"code": "KS404", "message": "secret \"b\" is not there\u{1b}[31m",
            "hint": "create it", "ageSeconds": 90});
        let versions = ["0123456789abcdef", "fedcba9876543210"];
        let files = json!([
            {"path": "a", "object": "secret \"a\" in https://kv/", "version": versions[0],
                "ageSeconds": 7, "nextSeconds": 113, "error": null},
            {"path": "h", "object": "secret \"h\" in https://kv/", "version": null, "made": [
                {"path": "h/0", "version": versions[1]}, {"path": "h/1", "version": versions[0]}],
                "ageSeconds": 200_000, "nextSeconds": null, "error": null},
            {"path": "long-name", "object": "secret \"b\" in https://kv/", "version": null,
                "ageSeconds": null, "nextSeconds": 5, "error": error}]);
        let volume = json!({"name": "v", "directory": "/v", "generation": "..2026_g",
            "error": null, "files": files});
        let report = json!({"ready": true, "version": "1.2.3", "failing": 2, "volumes": [volume],
            "secrets": [{"name": "db", "ageSeconds": 3700, "error": error}],
            "reaction": {"count": 3, "ageSeconds": 120, "error": null},
            "plan": {"ageSeconds": 7200, "error": null}});
        let expected = r#"keysluice-injector 1.2.3: ready, 2 failing

volume v (/v), generation 2026_g
FILE        VERSION    AGE    NEXT   ERROR   OBJECT
a           01234567   7s     113s   -       secret "a" in https://kv/
h/0         fedcba98   2d7h   -      -       secret "h" in https://kv/
h/1         01234567   2d7h   -      -       secret "h" in https://kv/
long-name   -          -      5s     KS404   secret "b" in https://kv/

SECRET   AGE      ERROR
db       61m40s   KS404

           COUNT   AGE   ERROR
reaction   3       2m    -
plan       -       2h    -

KS404 secret "b" is not there?[31m (90s ago)
  hint: create it
"#;
        assert_eq!(tables(&report.to_string()).unwrap(), expected);
        assert_eq!(tables("{}"), None);
    }

    #[test]
    fn a_volume_that_cannot_be_written_says_so_and_little_is_known_at_the_start() {
        let error = json!({"code": "KS501", "message": "full", "hint": "room", "ageSeconds": 0});
        let volume = json!({"name": "v", "directory": "/v", "generation": null, "error": error,
            "files": []});
        let report = json!({"ready": false, "version": "1", "failing": 1, "volumes": [volume]});
        let text = tables(&report.to_string()).unwrap();
        assert!(text.starts_with("keysluice-injector 1: not ready, 1 failing\n"), "{text}");
        assert!(text.contains("\nvolume v (/v), generation none, KS501\nFILE   VERSION"), "{text}");
        assert!(text.ends_with("\nKS501 full (0s ago)\n  hint: room\n"), "{text}");
    }

    #[test]
    fn durations_have_two_units() {
        for (seconds, expected) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (7199, "119m59s"),
            (7260, "2h1m"),
            (172_800, "2d"),
            (180_000, "2d2h"),
        ] {
            assert_eq!(duration(seconds), expected);
        }
    }
}
