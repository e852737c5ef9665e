//! Where the secrets go: files, a dotenv, the files of GitHub's runner, the environment of a
//! command.

use super::{HOSTILE, Runner, stderr, stdout};
use keysluice_emulator::{CallKind, Fault};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Another client and tenant than the pipeline's.
const CLASS: &str = "
apiVersion: secrets-store.csi.x-k8s.io/v1
kind: SecretProviderClass
metadata: {name: c}
spec:
  provider: azure
  parameters:
    keyvaultName: shop
    tenantId: other
    clientID: 22222222-2222-2222-2222-222222222222
    objects: |
      array:
        - |
          objectName: db-password
          objectType: secret
          objectAlias: from-class
          filePermission: '0600'
";

/// What a runner reads of its file, as actions/runner does.
fn variables_of(file: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = file;
    while !rest.is_empty() {
        let (head, body) = rest.split_once('\n').unwrap();
        let (name, delimiter) = head.split_once("<<").unwrap();
        let end = format!("\n{delimiter}\n");
        // The value begins behind the newline of the head.
        let all = format!("\n{body}");
        let at = all.find(&end).unwrap();
        found.push((name.to_owned(), all[..at].get(1..).unwrap_or_default().to_owned()));
        rest = &body[at + end.len() - 1..];
    }
    found.sort();
    found
}

#[test]
fn files_are_written_from_references_and_a_class() {
    let runner = Runner::new();
    runner.write("class.yaml", CLASS);
    let plain = runner.reference("db-password");
    let named = format!("named={plain}");
    let output = runner.succeed(&["-f", "class.yaml", "--out", "out", &plain, &named]);
    for file in ["out/from-class", "out/db-password", "out/named"] {
        assert_eq!(runner.read(file), "canary-s3cret", "{file}");
    }
    let mode =
        |path: &str| fs::metadata(runner.home.join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("out"), mode("out/from-class")), (0o700, 0o600));
    assert!(stderr(&output).contains("assertion: GitHub Actions at 127.0.0.1"));
    assert!(!stderr(&output).contains("canary"), "{}", stderr(&output));
}

#[test]
fn values_are_masked_line_by_line_before_the_runners_files_are_written() {
    let runner = Runner::new();
    runner.write("env", "EARLIER=1");
    let hostile = format!("HOSTILE={}", runner.reference("hostile"));
    let empty = format!("EMPTY={}", runner.reference("empty"));
    let db = runner.reference("db-password");
    let output = runner.succeed(&["--github-env", "--github-output", &hostile, &empty, &db]);
    let masked = stdout(&output);
    assert!(masked.lines().all(|line| line.starts_with("::add-mask::")), "{masked}");
    for line in HOSTILE.lines().filter(|line| !line.is_empty()) {
        let line = format!("::add-mask::{}\n", line.replace('%', "%25"));
        assert!(masked.contains(&line), "{line} is not in {masked}");
    }
    assert!(masked.contains("::add-mask::canary-s3cret\n"));
    let expected = [
        ("DB_PASSWORD".to_owned(), "canary-s3cret".to_owned()),
        ("EMPTY".to_owned(), String::new()),
        ("HOSTILE".to_owned(), HOSTILE.to_owned()),
    ];
    let env = runner.read("env");
    assert_eq!(variables_of(env.strip_prefix("EARLIER=1\n").unwrap()), expected);
    assert_eq!(variables_of(&runner.read("output")), expected);
    // A runner whose log is gone gets no variables.
    let before = runner.read("env");
    let mut command = runner.command(&["--github-env", &db], &runner.github());
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let output = command.stdout(full).stderr(Stdio::piped()).output().unwrap();
    assert!(output.status.code() == Some(1) && stderr(&output).contains("KS796"));
    assert_eq!(runner.read("env"), before);
}

#[test]
fn a_shell_reads_a_hostile_value_from_the_dotenv_as_it_is() {
    let runner = Runner::new();
    let hostile = format!("HOSTILE={}", runner.reference("hostile"));
    let text = format!("TEXT={}", runner.reference("text"));
    runner.succeed(&["--dotenv", "job.env", &hostile, &text]);
    let mode = fs::metadata(runner.home.join("job.env")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let script =
        "set -eu; . ./job.env; printf '%s' \"$HOSTILE\" > read; printf %s \"$TEXT\" > text";
    let status = Command::new("bash").args(["-c", script]).current_dir(&runner.home).status();
    assert!(status.unwrap().success());
    assert_eq!(runner.read("read"), HOSTILE);
    assert_eq!(runner.read("text"), "a\r\nb\r\n");
    assert!(!runner.home.join("pwned").exists());
}

#[test]
fn a_command_gets_the_values_and_its_exit_code_and_signals_are_its_own() {
    let runner = Runner::new();
    let hostile = format!("HOSTILE={}", runner.reference("hostile"));
    let script = "printf '%s' \"$HOSTILE\"; exit 7";
    // Without a runner that reads commands nothing is masked.
    let mut variables = runner.github();
    variables.remove(0);
    let output = runner.fetch(&["--exec", &hostile, "--", "sh", "-c", script], &variables);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(7), HOSTILE));
    let killed = ["--exec", &hostile, "--", "sh", "-c", "kill -TERM $$"];
    let output = runner.fetch(&killed, &variables);
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&output.status), Some(15));
    let missing = runner.fetch(&["--exec", &hostile, "--", "/no/such"], &variables);
    assert!(missing.status.code() == Some(127) && stderr(&missing).contains("KS798"));
    let found: Vec<_> = fs::read_dir(&runner.home).unwrap().flatten().collect();
    assert_eq!(found.len(), 5, "only what the runner had: {found:?}");
}

#[test]
fn names_and_values_that_no_variable_can_have_are_refused() {
    let runner = Runner::new();
    let db = runner.reference("db-password");
    let given = |name: &str| format!("{name}={db}");
    let binary = format!("B={}?encoding=base64", runner.reference("binary"));
    for (references, expected) in [
        (&[given("1X")][..], "KS794"),
        (&[given("LD_PRELOAD")], "KS794 LD_PRELOAD: LD_PRELOAD cannot be set"),
        (&[given("GITHUB_TOKEN")], "the runner keeps GITHUB_"),
        (&[given("node_options")], "KS794"),
        (&[given("A"), given("A")], "both make the file A"),
        (&[given("A.B"), given("A_B")], "KS794"),
        (&[binary], "KS795 B: the value holds a NUL byte"),
        (&["kv://shop".to_owned()], "KS152 reference kv://shop"),
        (&["secrets/x".to_owned()], "KS153 reference \"secrets/x\" names no vault"),
        (&[format!("{db}?mod=0400")], "did you mean mode?"),
    ] {
        let mut arguments = vec!["--github-env"];
        arguments.extend(references.iter().map(String::as_str));
        let output = runner.fetch(&arguments, &runner.github());
        let said = stderr(&output);
        assert!(!output.status.success() && said.contains(expected), "{arguments:?}: {said}");
        assert!(!said.contains("annotation"), "{said}");
        assert_eq!(runner.read("env"), "");
    }
}

#[test]
fn wrong_usage_ends_with_2_and_says_what_to_give() {
    let runner = Runner::new();
    let db = runner.reference("db-password");
    let gitlab = [("GITLAB_CI", "true".to_owned())];
    for (arguments, variables, code, expected) in [
        (&[db.as_str()][..], &[][..], 2, "KS790 no output is given"),
        (&["--out", "out"], &[], 2, "KS790 there is nothing to fetch"),
        (&["--dotenv", "e", &db], &gitlab, 2, "KS797"),
        (&["--exec", &db], &[], 2, "COMMAND"),
        (&["--github-env", &db], &[], 3, "KS796 --github-env needs the variable GITHUB_ENV"),
    ] {
        let output = runner.fetch(arguments, variables);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        assert!(stderr(&output).contains(expected), "{}", stderr(&output));
    }
    let mut command = runner.command(&["--out", "out", &db], &runner.github());
    let output = command.env_remove("AZURE_CLIENT_ID").output().unwrap();
    assert!(output.status.code() == Some(3) && stderr(&output).contains("KS799 the client id"));
    let mut command = runner.command(&["--out", "out", &db], &runner.github());
    let output = command.env("KEYSLUICE_INJECTOR", "/no/such").output().unwrap();
    assert!(output.status.code() == Some(3) && stderr(&output).contains("KS793 /no/such"));
}

#[test]
fn a_signal_or_a_failure_leaves_nothing_behind() {
    let runner = Runner::new();
    let db = format!("left_over={}", runner.reference("db-password"));
    let absent = format!("left_over={}", runner.reference("absent"));
    let output = runner.fetch(&["--out", "out", &absent], &runner.github());
    assert!(output.status.code() == Some(1) && stderr(&output).contains("KS404"));
    assert_eq!(runner.left_over(), Vec::<std::path::PathBuf>::new());
    runner.emulator.inject(Fault::delay(Duration::from_secs(3600)).on(CallKind::SecretGet));
    for signal in ["TERM", "INT"] {
        runner.emulator.reset_counts();
        let mut command = runner.command(&["--dotenv", "job.env", &db], &runner.github());
        let job = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        while runner.emulator.counts().tokens == 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(runner.left_over().len(), 1);
        let kill = Command::new("kill").args(["-s", signal, &job.id().to_string()]).status();
        assert!(kill.unwrap().success());
        let output = job.wait_with_output().unwrap();
        assert!(output.status.code() == Some(1), "{}", stderr(&output));
        assert!(stderr(&output).contains("KS608"), "the injector got the signal");
        assert_eq!(runner.left_over(), Vec::<std::path::PathBuf>::new());
        assert!(!runner.home.join("job.env").exists());
    }
}
