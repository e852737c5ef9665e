//! Reports of files: golden outputs, wrong input, exit codes.

use crate::suite::support::{data, keysluice};
use serde_json::Value;
use std::io::Write as _;
use std::process::{Command, Stdio};

const LOG: &str = "tests/data/audit/log.jsonl";
const PODS: &str = "tests/data/audit/pods.jsonl";
const GRANTS: &str = "tests/data/audit/role-assignments.json";

/// `UPDATE_DOCS=1` writes it.
fn check_golden(name: &str, found: &str) {
    let path = data().join("audit").join(name);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::File::create(&path).unwrap().write_all(found.as_bytes()).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "tests/data/audit/{name} differs; UPDATE_DOCS=1 cargo test --test tests -- audit writes \
         it anew:\n{found}"
    );
}

#[test]
fn a_report_has_its_golden_text_and_json() {
    for (name, format) in [("report.txt", "table"), ("report.json", "json")] {
        let (code, out, error) =
            keysluice(&["audit", "--record", PODS, "--grants", GRANTS, "-o", format, LOG]);
        assert_eq!((code, &*error), (0, ""));
        assert!(out.chars().all(|char| char == '\n' || !char.is_control()), "{out:?}");
        check_golden(name, &out);
    }
}

#[test]
fn a_directory_and_standard_input_have_the_same_records() {
    let scratch = tempfile::tempdir().unwrap();
    let hour = scratch.path().join("y=2026/m=11/d=20");
    std::fs::create_dir_all(&hour).unwrap();
    std::fs::copy(data().join("audit/log.jsonl"), hour.join("PT1H.json")).unwrap();
    std::fs::File::create(hour.join("notes.txt")).unwrap().write_all(b"no log").unwrap();
    let json = |arguments: &[&str]| {
        let (code, out, error) =
            keysluice(&[&["audit", "--record", PODS, "-o", "json"], arguments].concat());
        assert_eq!(code, 0, "{error}");
        let mut report: Value = serde_json::from_str(&out).unwrap();
        report["log"]["firstMalformed"]["file"].take();
        report
    };
    let expected = json(&[LOG]);
    assert_eq!(json(&[scratch.path().to_str().unwrap()]), expected);
    let twice = json(&[LOG, LOG]);
    assert_eq!(twice["log"]["records"], expected["log"]["records"].as_u64().unwrap() * 2);

    let mut child = Command::new(env!("CARGO_BIN_EXE_keysluice"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_clear()
        .args(["audit", "--record", PODS, "-o", "json", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let log = std::fs::read(data().join("audit/log.jsonl")).unwrap();
    child.stdin.take().unwrap().write_all(&log).unwrap();
    let output = child.wait_with_output().unwrap();
    let mut report: Value = serde_json::from_slice(&output.stdout).unwrap();
    report["log"]["firstMalformed"]["file"].take();
    assert_eq!(report, expected);
}

#[test]
fn wrong_input_is_named_with_its_code() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("text");
    std::fs::File::create(&path).unwrap().write_all(b"\n2026-11-01 INFO\n").unwrap();
    let text = path.to_str().unwrap();
    let empty = scratch.path().join("empty");
    std::fs::File::create(&empty).unwrap();
    let empty = empty.to_str().unwrap();
    for (arguments, code, start) in [
        (vec!["--record", PODS, "absent.json"], 1, "KS771 absent.json: No such file"),
        (vec!["--record", PODS, text], 1, "KS772 "),
        (vec!["--record", text, LOG], 1, "KS773 "),
        (vec!["--record", PODS, "--grants", LOG, LOG], 1, "KS774 "),
        (vec![LOG], 2, "no pods to join the log with"),
        (vec!["record"], 2, "no pods to record"),
        (vec!["--record", PODS, empty], 0, ""),
        (vec!["--record", PODS, "--fail-on", "unused", empty], 1, ""),
        (vec!["--record", PODS, "--fail-on", "unattributed,old-versions", empty], 0, ""),
    ] {
        let (found, _, error) = keysluice(&[&["audit"], &*arguments].concat());
        assert_eq!(found, code, "{arguments:?} {error}");
        assert!(error.trim_start_matches("keysluice: ").starts_with(start), "{error}");
    }
    let (_, _, error) = keysluice(&["audit", "--record", PODS, text]);
    assert!(error.contains("text, line 2: not a JSON object"), "{error}");
}

#[test]
fn a_period_and_findings_that_count_as_failures() {
    let base = ["audit", "--record", PODS, LOG, "-o", "json"];
    let code = |more: &[&str]| keysluice(&[&base, more].concat()).0;
    assert_eq!(code(&["--fail-on", "old-versions"]), 1);
    assert_eq!(code(&["--fail-on", "other-identity", "--until", "2026-11-21"]), 0);
    assert_eq!(code(&["--fail-on", "other-identity"]), 1);
    assert_eq!(code(&["--fail-on", "nonsense"]), 2);
    let (_, out, _) = keysluice(&[&base, &["--since", "2026-11-01"][..]].concat());
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["log"]["outsidePeriod"], 4, "{out}");
    assert_eq!(report["unused"]["coveredDays"], 7);
}
