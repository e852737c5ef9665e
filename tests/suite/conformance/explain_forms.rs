//! The forms of `keysluice explain`: what each prints is a file of `tests/data/explain`.
//! `UPDATE_DOCS=1 cargo test --test tests -- explain_forms` writes them anew.

use crate::suite::support::{data, keysluice};
use serde_json::Value;
use std::io::Write as _;
use std::process::{Command, Stdio};

/// The arguments that every case shares.
const COMMON: &[&str] = &["explain", "--objects", "tests/data/explain/objects.yaml"];

fn explain(arguments: &[&str]) -> (i32, String, String) {
    keysluice(&[COMMON, arguments].concat())
}

/// Compares with a file, or writes it.
fn check(golden: &str, found: &str) {
    let path = data().join("explain").join(golden);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::File::create(&path).unwrap().write_all(found.as_bytes()).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == expected, "{golden} is stale; it should be:\n{found}");
}

/// What the command prints for text on its standard input, with these variables.
fn piped(input: &str, arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keysluice"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env_clear().envs(variables.iter().copied());
    command.args(COMMON).args(arguments).args(["-f", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn few_workloads_are_printed_item_by_item_and_as_every_other_form() {
    for (form, golden) in [
        (&[][..], "few.text"),
        (&["-o", "text"], "few.text"),
        (&["--summary"], "few.summary"),
        (&["-o", "summary"], "few.summary"),
        (&["-o", "diff"], "few.diff"),
        (&["-o", "json"], "few.json"),
    ] {
        let (code, out, error) = explain(&[&["-f", "tests/data/explain/few.yaml"], form].concat());
        assert_eq!((code, error.as_str()), (1, ""), "{form:?}");
        check(golden, &out);
    }
}

#[test]
fn many_workloads_of_every_kind_are_a_summary_with_totals() {
    let (code, out, error) = explain(&["-f", "tests/data/explain/many.yaml"]);
    assert_eq!((code, error.as_str()), (1, ""));
    check("many.summary", &out);
    let (code, full, _) = explain(&["-f", "tests/data/explain/many.yaml", "-o", "text"]);
    assert!(code == 1 && full.lines().count() > 2 * out.lines().count(), "{full}");
    let mutated = [
        "Deployment shop/web",
        "StatefulSet shop/orders",
        "DaemonSet shop/agent",
        "ReplicaSet shop/old",
        "CronJob shop/nightly",
        "ReplicationController shop/ancient",
        "PodTemplate shop/stored",
        "Rollout shop/canary",
    ];
    for owner in mutated {
        assert!(out.contains(&format!("{owner}: mutated (tests/data/explain/many.yaml:")), "{out}");
    }
}

#[test]
fn json_has_what_it_had_and_the_location_and_the_changes() {
    let (_, out, _) = explain(&["-f", "tests/data/explain/few.yaml", "-o", "json"]);
    let all: Value = serde_json::from_str(&out).unwrap();
    let web = &all[0];
    for field in ["pod", "outcome", "code", "message", "because", "warnings", "patch"] {
        assert!(web.get(field).is_some(), "{field}: {web}");
    }
    assert_eq!(web["location"], "tests/data/explain/few.yaml:2");
    assert!(
        web["changes"]
            .as_array()
            .unwrap()
            .iter()
            .any(|change| change == "volumes[secrets]: csi -> tmpfs 1Mi"),
        "{web}"
    );
}

#[test]
fn what_kubectl_prints_is_read_from_standard_input() {
    let many = std::fs::read_to_string(data().join("explain/many.yaml")).unwrap();
    let (code, out) = piped(&many, &[], &[]);
    let from_file = explain(&["-f", "tests/data/explain/many.yaml"]).1;
    assert_eq!((code, out), (1, from_file.replace("tests/data/explain/many.yaml:", "stdin:")));
    // As `kubectl get -o json` has it: a list whose items begin on lines of their own.
    let list: Value = serde_saphyr::from_str(&many).unwrap();
    let (code, out) = piped(&serde_json::to_string_pretty(&list).unwrap(), &[], &[]);
    assert!(code == 1 && out.contains("Deployment shop/web: mutated (stdin:5)"), "{out}");
}

#[test]
fn a_namespace_is_given_to_objects_without_one() {
    let few = std::fs::read_to_string(data().join("explain/few.yaml")).unwrap();
    let without = few.replace("  namespace: shop\n", "");
    let (code, out) = piped(&without, &["-n", "shop"], &[]);
    assert!(code == 1 && out.contains("Deployment shop/web: mutated (stdin:2)"), "{out}");
    let (_, out) = piped(&without, &[], &[]);
    assert!(out.contains("Deployment default/web: refused (stdin:2)"), "{out}");
}

#[test]
fn lines_are_as_wide_as_the_terminal_and_colours_are_for_terminals() {
    let many = std::fs::read_to_string(data().join("explain/many.yaml")).unwrap();
    for form in [&[][..], &["-o", "text"]] {
        let (_, out) = piped(&many, form, &[("COLUMNS", "60")]);
        let is_word = |line: &str| !line.trim_start().contains(' ');
        for line in out.lines().filter(|line| !is_word(line)) {
            assert!(line.chars().count() <= 60, "{line:?}");
        }
        assert!(!out.contains('\x1b'), "{out}");
    }
    let (_, out) = piped(&many, &["--color", "always"], &[]);
    assert!(out.contains("\x1b[1mDeployment shop/web\x1b[0m: \x1b[32mmutated\x1b[0m ("), "{out}");
}

/// What the command prints in a terminal of so many columns.
fn in_terminal(columns: u16, arguments: &[&str], variables: &[(&str, &str)]) -> String {
    use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let size = rustix::termios::Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(&terminal, size).unwrap();
    let inner = ioctl_tiocgptpeer(&terminal, OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_keysluice"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env_clear().envs(variables.iter().copied());
    command.env("TERM", "xterm").args(arguments).stdin(Stdio::null());
    command.stdout(inner.try_clone().unwrap()).stderr(inner);
    let mut child = command.spawn().unwrap();
    // The command holds its end too.
    drop(command);
    let mut bytes = Vec::new();
    let mut reader = std::fs::File::from(terminal);
    // The last end that closes is an error of the other.
    let _ = std::io::Read::read_to_end(&mut reader, &mut bytes);
    child.wait().unwrap();
    String::from_utf8(bytes).unwrap().replace('\r', "")
}

/// Columns of a line without escape sequences.
fn columns(line: &str) -> usize {
    let plain = line.split('\x1b').enumerate().map(|(index, part)| match (index, part) {
        (0, part) => part,
        (_, part) => part.split_once('m').map_or("", |(_, rest)| rest),
    });
    plain.map(|part| part.chars().count()).sum()
}

#[test]
fn in_a_terminal_text_help_and_errors_are_coloured_and_no_wider_than_it() {
    let many = [COMMON, &["-f", "tests/data/explain/many.yaml"]].concat();
    let broken = ["explain", "-f", "a/directory/that/is/not/there/with/a/long/name.yaml"];
    for (arguments, is_colored) in [
        (&many[..], true),
        (&["explain", "-h"], true),
        (&["why", "KS207"], false),
        (&broken, false),
    ] {
        let text = in_terminal(80, arguments, &[]);
        assert!(!text.is_empty());
        for line in text.lines().filter(|line| line.trim_start().contains(' ')) {
            assert!(columns(line) <= 80, "{arguments:?}: {line:?}");
        }
        assert_eq!(text.contains('\x1b'), is_colored, "{text}");
        let plain = in_terminal(80, arguments, &[("NO_COLOR", "1")]);
        assert!(!plain.contains('\x1b'), "{plain}");
    }
    let suggested = in_terminal(80, &["explian"], &[]);
    assert!(suggested.contains("explain") && suggested.contains("similar"), "{suggested}");
}

#[test]
fn the_page_shows_what_the_command_prints() {
    let page = std::fs::read_to_string(data().join("../../docs/explain.md")).unwrap();
    for (input, golden) in [("few", "few.text"), ("many", "many.summary")] {
        let golden = std::fs::read_to_string(data().join("explain").join(golden)).unwrap();
        let shown = format!(
            "$ keysluice explain -f tests/data/explain/{input}.yaml --objects \
             tests/data/explain/objects.yaml\n{golden}```\n"
        );
        assert!(page.contains(&shown), "docs/explain.md should show:\n{shown}");
    }
}
