use super::help::{COMMANDS, find, text};
use super::*;
use std::path::Path;

fn parse(line: &str, variables: &[(&str, &str)]) -> Result<Request, UsageError> {
    let arguments = line.split_whitespace().map(OsString::from);
    Request::parse(arguments, &|name| {
        variables.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value))
    })
}

fn run(line: &str, variables: &[(&str, &str)]) -> (Options, Command) {
    match parse(line, variables) {
        Ok(Request::Run(options, command)) => (options, command),
        other => panic!("{line}: {other:?}"),
    }
}

fn printed(line: &str) -> String {
    match parse(line, &[]) {
        Ok(Request::Print(text)) => text,
        other => panic!("{line}: {other:?}"),
    }
}

fn refused(line: &str) -> String {
    parse(line, &[]).unwrap_err().to_string()
}

#[test]
fn options_go_before_and_after_the_command_and_before_variables() {
    let variables = [("KEYSLUICE_ROOT", "/variable"), ("KEYSLUICE_PLAN_FILE", "")];
    for line in ["--root /r run", "run --root /r", "run --root=/r"] {
        let (options, command) = run(line, &variables);
        assert_eq!((options.root.as_path(), command), (Path::new("/r"), Command::Run), "{line}");
        assert_eq!(options.plan, None, "an empty variable counts as not set");
    }
    let (options, _) = run("once", &variables);
    assert_eq!(options.root, Path::new("/variable"));
    let (options, _) = run("once", &[]);
    assert_eq!(options.root, Path::new("/"));
    assert_eq!(options.termination_log, Path::new("/dev/termination-log"));
    assert_eq!(options.log_format, None);
    let all = [
        ("KEYSLUICE_PLAN_FILE", "/p"),
        ("KEYSLUICE_TERMINATION_LOG", "/t"),
        ("KEYSLUICE_LOG_FORMAT", "text"),
    ];
    let (options, command) = run("idle", &all);
    assert_eq!((options.plan, command), (Some("/p".into()), Command::Idle));
    assert_eq!(options.termination_log, Path::new("/t"));
    assert_eq!(options.log_format, Some(log::Format::Text));
}

#[test]
fn commands_take_options_of_their_own() {
    assert_eq!(run("ready", &[]).1, Command::Ready { timeout: 30 });
    assert_eq!(run("ready", &[("KEYSLUICE_TIMEOUT", "5")]).1, Command::Ready { timeout: 5 });
    assert_eq!(run("ready --timeout 86400", &[]).1, Command::Ready { timeout: 86_400 });
    for line in ["status -o json", "status -ojson", "status --output=json"] {
        assert_eq!(run(line, &[]).1, Command::Status(Output::Json), "{line}");
    }
    let metrics = [("KEYSLUICE_OUTPUT", "metrics")];
    assert_eq!(run("refresh", &metrics).1, Command::Refresh(Output::Metrics));
    assert_eq!(run("status", &[]).1, Command::Status(Output::Table));
    assert_eq!(run("intercept", &[]).1, Command::Intercept);
    let urls = vec!["https://a/".to_owned(), "https://b/".to_owned()];
    assert_eq!(run("probe https://a/ https://b/", &[]).1, Command::Probe { urls });
    let exec = "exec --from /a --from /b --keep HOME --root /r -- sh -c --from -- -h";
    let (options, command) = run(exec, &[]);
    assert_eq!(options.root, Path::new("/r"));
    let from = vec!["/a".into(), "/b".into()];
    let words = ["sh", "-c", "--from", "--", "-h"].map(OsString::from).to_vec();
    let keep = vec!["HOME".to_owned()];
    assert_eq!(command, Command::Exec { from, keep, command: words });
}

#[test]
fn wrong_usage_names_the_word_and_what_would_be_right() {
    for (line, problem) in [
        ("", "a command is missing"),
        ("--plan /p", "a command is missing"),
        ("start", "unknown command \"start\"; hint: one of run, once, ready, status, "),
        ("help start", "unknown command \"start\"; hint: one of "),
        ("run --plam /p", "invalid option '--plam'"),
        ("run -x", "invalid option '-x'"),
        ("run --version", "invalid option '--version'"),
        ("run once", "unexpected argument \"once\""),
        ("run --plan", "missing argument for option '--plan'"),
        ("run --root=", "the value of --root is empty"),
        ("run --root /a --root /b", "--root is there twice"),
        ("--timeout 5 ready", "invalid option '--timeout'"),
        ("run --timeout 5", "invalid option '--timeout'"),
        ("run --log-format yaml", "--log-format \"yaml\" is not valid; hint: one of json, text"),
        ("status -o yaml", "--output \"yaml\" is not valid; hint: one of table, json, metrics"),
        ("ready --timeout -1", "--timeout \"-1\" is not valid; hint: seconds, at most 86400"),
        ("ready --timeout 86401", "--timeout \"86401\" is not valid"),
        ("ready --timeout 18446744073709551616", "is not valid; hint: seconds"),
        ("probe", "a URL is missing"),
        ("probe 1 2 3 4 5 6 7 8 9", "9 URLs are more than 8"),
        ("exec -- sh", "--from <DIR> is missing"),
        ("exec --from /a", "the command is missing; hint: write it after --"),
        ("exec --from /a --", "the command is missing"),
        ("exec --from /a sh", "unexpected \"sh\"; hint: write -- before the command"),
    ] {
        let text = refused(line);
        assert!(text.starts_with("error: ") && text.contains(problem), "{line}: {text}");
        assert!(text.contains("\n\nUsage: keysluice-injector "), "{line}: {text}");
    }
    assert!(refused("ready --timeout x").contains("\nUsage: keysluice-injector ready [OPTIONS]\n"));
    let variable = parse("ready", &[("KEYSLUICE_TIMEOUT", "soon")]).unwrap_err().to_string();
    assert!(variable.contains("--timeout \"soon\""), "{variable}");
}

#[test]
fn help_tells_of_every_command_and_fits_a_terminal() {
    let whole = printed("--help");
    assert_eq!(
        [printed("-h"), printed("help"), printed("-h run")],
        [whole.clone(), whole.clone(), whole.clone()]
    );
    for command in &COMMANDS {
        assert!(whole.contains(&format!("\n  {} ", command.name)), "{}", command.name);
        let own = printed(&format!("{} --help", command.name));
        assert_eq!(own, printed(&format!("help {}", command.name)));
        assert!(own.contains(&format!("\nUsage: keysluice-injector {} ", command.name)), "{own}");
        assert!(own.contains("--termination-log <FILE>"), "{own}");
    }
    for text in COMMANDS.iter().map(|one| text(Some(one))).chain([whole]) {
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(text.lines().all(|line| line.trim_end() == line), "{text}");
        assert!(text.ends_with('\n') && !text.ends_with("\n\n"), "{text}");
    }
    assert!(find("help").is_none());
    for (command, option) in [
        ("ready", "--timeout"),
        ("status", "--output"),
        ("refresh", "--output"),
        ("exec", "--keep"),
    ] {
        assert!(printed(&format!("{command} -h")).contains(option), "{command}");
    }
}

#[test]
fn the_version_names_commit_and_target() {
    let version = printed("-V");
    assert_eq!(printed("--version"), version);
    assert!(version.starts_with("keysluice-injector 0."), "{version}");
    assert!(version.contains("commit") && version.contains("target"), "{version}");
}
