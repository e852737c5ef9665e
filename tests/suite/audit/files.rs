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
        (vec!["--record", PODS, "--fail-on", "unused", empty], 0, "note: --fail-on unused has no"),
        (
            vec!["--record", PODS, "--since", "2026-11-01", "--until", "2025-01-01", LOG],
            2,
            "--until is not after --since",
        ),
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

#[test]
fn a_directory_without_a_log_is_an_error_and_compressed_files_are_named() {
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path().to_str().unwrap();
    let audit = || keysluice(&["audit", "--record", PODS, directory]);
    let (code, out, error) = audit();
    assert_eq!((code, &*out), (1, ""), "{error}");
    let expected = format!("KS772 {directory}: no .json or .jsonl file is in it or below it; hint");
    assert!(error.contains(&expected), "{error}");

    let write = |name: &str, bytes: &[u8]| {
        let path = scratch.path().join(name);
        std::fs::File::create(&path).unwrap().write_all(bytes).unwrap();
        path.display().to_string()
    };
    let zipped = write("PT1H.json.gz", b"\x1f\x8b\x08");
    write("log.txt", b"no log");
    let (code, out, error) = audit();
    assert_eq!((code, &*out), (1, ""), "{error}");
    let expected = format!("compressed, and not read: {zipped}; hint: decompress it with gunzip");
    assert!(error.contains(&expected) && !error.contains("log.txt"), "{error}");
    let (code, _, error) = keysluice(&["audit", "--record", PODS, &zipped]);
    assert!(code == 1 && error.contains("KS772") && error.contains("gunzip"), "{error}");

    // A link is followed, a pipe is not waited for.
    std::os::unix::fs::symlink(data().join("audit/log.jsonl"), scratch.path().join("log.jsonl"))
        .unwrap();
    let pipe = scratch.path().join("pipe.json");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let (code, _, error) = audit();
    assert_eq!(code, 0, "{error}");
    assert!(error.starts_with("keysluice: warning: compressed, and not read: "), "{error}");
}

#[test]
fn without_a_record_the_report_does_not_say_that_everything_was_used() {
    let empty = tempfile::NamedTempFile::new().unwrap();
    let empty = empty.path().to_str().unwrap();
    for (arguments, expected) in [
        (&["--record", PODS, empty][..], "The log holds no record: "),
        (&["--record", empty, empty], "The log holds no record: "),
        (
            &["--record", PODS, "--since", "2036-01-01", LOG],
            "The log holds no call between --since and --until",
        ),
        (&["--record", empty, LOG], "The record and the cluster hold no pod: "),
    ] {
        let (code, out, error) = keysluice(&[&["audit"], arguments].concat());
        assert_eq!((code, &*error), (0, ""), "{arguments:?}");
        assert!(out.contains(expected), "{out}");
        for vacuous in ["was used", "every call"] {
            assert!(!out.contains(vacuous), "{arguments:?}: {out}");
        }
    }
}

#[test]
fn a_log_that_is_too_short_does_not_fail_for_unused_grants() {
    let base = ["audit", "--record", PODS, LOG, "--fail-on", "unused"];
    for (days, code) in [("1", 1), ("36500", 0)] {
        let (found, out, error) = keysluice(&[&base[..], &["--unused", days]].concat());
        assert_eq!(found, code, "{out}");
        assert_eq!(error.contains("--fail-on unused has no effect"), code == 0, "{error}");
        assert_eq!(out.contains("does not show that a grant was unused"), code == 0, "{out}");
    }
}
