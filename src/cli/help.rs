//! What help says beside the options: examples and exit codes; which options the short help leaves
//! out.

use super::options::Options;
use clap::{Args as _, Command};
use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::Path;

/// What the examples are written for; `kubectl-keysluice` is another name of the program.
pub(super) const PROGRAM: &str = "keysluice";
const PLUGIN: &str = "kubectl-keysluice";

const EXIT_CODES: &str = "0 success, 1 failure at run time, 2 wrong usage";

/// A command by its path (empty for the program itself), its examples with `{}` for the name of the
/// program, and its exit codes.
type Row = (&'static str, &'static [(&'static str, &'static str)], &'static str);

const ROWS: &[Row] = &[
    (
        "",
        &[
            ("what would happen to the pods of a manifest", "{} explain -f app.yaml"),
            ("what a code means", "{} why KS207"),
        ],
        "0 success, 1 failure at run time, 2 wrong usage, 3 a configuration that can never work",
    ),
    (
        "serve",
        &[(
            "answer reviews from manifests instead of a cluster, on this machine",
            "{} serve --objects manifests/ --ca-out ca.crt --log-format text",
        )],
        EXIT_CODES,
    ),
    (
        "explain",
        &[
            ("a manifest, with the objects that it refers to", "{} explain -f app.yaml classes/"),
            (
                "what would happen to everything that runs",
                "kubectl get deploy,sts,ds,cronjob,job,sa,secretproviderclass,csidriver -A \
                 -o yaml |\n    {} explain -f -",
            ),
            ("the whole diff of the pods", "{} explain -f app.yaml -o diff"),
        ],
        "0 every pod is let through or changed, 1 a pod is refused or would fail, or a file cannot \
         be read, 2 wrong usage or no pod",
    ),
    (
        "plan",
        &[(
            "a Plan for a pipeline",
            "{} plan -f class.yaml --service-account-file sa.yaml --token-file token",
        )],
        "0 success, 1 failure at run time, 2 wrong usage, 3 a class that can never work",
    ),
    (
        "fetch",
        &[
            (
                "a command with a secret in its environment",
                "{} fetch DB_PASSWORD=kv://my-vault/secrets/db --exec -- ./migrate",
            ),
            ("the files of a class", "{} fetch -f class.yaml --out secrets/"),
        ],
        "0 success, 1 failure at run time, 2 wrong usage, 3 a configuration that can never work; \
         with --exec those of the command, 126 and 127 as a shell has them",
    ),
    (
        "rbac",
        &[
            ("the Roles for the manifests of a directory", "{} rbac -f manifests/"),
            ("for what runs in a namespace", "{} rbac -n shop --kubeconfig ~/.kube/config"),
        ],
        EXIT_CODES,
    ),
    (
        "azure",
        &[("the Azure side of a directory of manifests", "{} azure -f manifests/")],
        EXIT_CODES,
    ),
    (
        "audit",
        &[
            ("who read what, with the pods that run", "{} audit -A insights-logs-auditevent/"),
            ("with pods that have ended too", "{} audit --record pods.jsonl log.json"),
        ],
        "0 the report is printed, 1 failure at run time, or a finding of --fail-on, 2 wrong usage",
    ),
    (
        "audit record",
        &[
            ("the pods of a cluster", "{} audit record -A --out pods.jsonl"),
            ("again each minute", "{} audit record -A --out pods.jsonl --every 60"),
        ],
        EXIT_CODES,
    ),
    (
        "migrate",
        &[
            ("look at a cluster, change nothing", "{} migrate --check --all-namespaces"),
            ("write new manifests and a report", "{} migrate -f manifests/ --out migrated/"),
        ],
        "0 success, 1 a person must do something, or failure at run time, 2 wrong usage",
    ),
    (
        "jwks",
        &[("the key set of an issuer", "{} jwks --public-keys sa.pub")],
        "0 success, 1 failure at run time, 2 wrong usage, 3 a file without a key of a token issuer",
    ),
    (
        "render sync",
        &[(
            "keep the Secrets of a class without an application",
            "{} render sync -f class.yaml --service-account web",
        )],
        EXIT_CODES,
    ),
    ("why", &[("cause and fix of a code", "{} why KS107")], EXIT_CODES),
    (
        "doctor",
        &[
            ("the workloads of a namespace with trouble", "{} doctor -n shop"),
            ("one workload", "{} doctor -n shop deploy/web"),
            ("before an installation", "{} doctor --pre"),
            (
                "image and network of a namespace",
                "{} doctor --pre --application-namespace shop --probe",
            ),
        ],
        "0 nothing failed, 1 something failed, or the API server does not answer, 2 wrong usage",
    ),
    ("completions", &[("for this shell", "source <({} completions bash)")], EXIT_CODES),
];

/// The command with examples and exit codes in its help. Options of the installation are in
/// `--help` only.
pub(super) fn dressed(mut command: Command, started_as: Option<&OsStr>) -> Command {
    let is_plugin =
        started_as.is_some_and(|name| Path::new(name).file_stem() == Some(PLUGIN.as_ref()));
    let program = if is_plugin { "kubectl keysluice" } else { PROGRAM };
    if is_plugin {
        command = command.bin_name(program);
    }
    let operators = operators_options();
    for (path, examples, exit_codes) in ROWS {
        let text = after_help(program, examples, exit_codes);
        command = at(command, path, &mut |command| {
            let is_served = command.get_name() == "serve";
            command.after_help(text.clone()).mut_args(|option| {
                let is_hidden = option.get_help_heading().is_some() && is_served
                    || !is_served && operators.contains(option.get_id().as_str());
                if is_hidden { option.hide_short_help(true) } else { option }
            })
        });
    }
    command
}

/// Changes the command at a path such as `render sync`.
fn at(command: Command, path: &str, change: &mut dyn FnMut(Command) -> Command) -> Command {
    if path.is_empty() {
        return change(command);
    }
    match path.split_once(' ') {
        Some((first, rest)) => command.mut_subcommand(first, |inner| at(inner, rest, change)),
        None => command.mut_subcommand(path, change),
    }
}

/// Names of the options that `serve` and the commands share.
fn operators_options() -> HashSet<String> {
    let command = Options::augment_args(Command::new(PROGRAM));
    command.get_arguments().map(|option| option.get_id().to_string()).collect()
}

fn after_help(program: &str, examples: &[(&str, &str)], exit_codes: &str) -> String {
    let mut text = String::from("Examples:\n");
    for (what, line) in examples {
        text += &format!("  # {what}\n  {}\n", line.replace("{}", program));
    }
    text + "\nExit codes: " + exit_codes
}

#[cfg(test)]
mod tests {
    use super::super::Cli;
    use super::*;
    use clap::CommandFactory as _;

    fn help(command: &mut Command, path: &str, is_long: bool) -> String {
        let names = path.split(' ').filter(|name| !name.is_empty());
        let command = names.fold(command, |command, name| {
            command.find_subcommand_mut(name).expect("a command of this name")
        });
        if is_long { command.render_long_help() } else { command.render_help() }.to_string()
    }

    #[test]
    fn every_command_has_examples_that_are_accepted_and_exit_codes() {
        let mut command = dressed(Cli::command(), None);
        command.build();
        let mut paths = vec![String::new()];
        for one in command.get_subcommands().filter(|one| one.get_name() != "help") {
            let inner = one.get_subcommands().filter(|one| one.get_name() != "help");
            let inner: Vec<_> =
                inner.map(|inner| format!("{} {}", one.get_name(), inner.get_name())).collect();
            // One that takes arguments of its own can be run too.
            let is_run = inner.is_empty() || one.get_positionals().next().is_some();
            let leaf = is_run.then(|| one.get_name().to_owned());
            paths.extend(inner.into_iter().chain(leaf));
        }
        for path in &paths {
            let row = ROWS.iter().find(|row| row.0 == path);
            let (_, examples, exit_codes) = row.unwrap_or_else(|| panic!("{path} has no row"));
            assert!(!examples.is_empty() && exit_codes.contains("2 wrong usage"), "{path}");
            let text = help(&mut command, path, false);
            assert!(text.contains("Examples:\n") && text.contains("Exit codes: 0 "), "{text}");
            for (_, line) in *examples {
                let ours = line.rsplit("{} ").next().unwrap();
                let words = std::iter::once(PROGRAM).chain(ours.trim_end_matches(')').split(' '));
                let parsed = Cli::command().try_get_matches_from(words);
                assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
            }
        }
        assert_eq!(paths.len(), ROWS.len(), "{paths:?}");
    }

    #[test]
    fn the_short_help_leaves_out_what_operators_set() {
        let mut command = dressed(Cli::command(), None);
        command.build();
        for (path, hidden, shown) in [
            ("explain", "--injector-cpu-request", "--namespace"),
            ("plan", "--allow-vault", "--token-file"),
            ("serve", "--authority-lifetime", "--listen"),
        ] {
            let (short, long) = (help(&mut command, path, false), help(&mut command, path, true));
            assert!(!short.contains(hidden) && short.contains(shown), "{short}");
            assert!(long.contains(hidden) && long.contains(shown), "{long}");
            assert!(short.lines().count() < 50, "{path}: {}", short.lines().count());
        }
    }

    #[test]
    fn as_a_plug_in_of_kubectl_the_usage_says_so() {
        for (name, expected) in [
            ("/usr/local/bin/kubectl-keysluice", "Usage: kubectl keysluice explain"),
            ("kubectl-keysluice.exe", "Usage: kubectl keysluice explain"),
            ("/usr/local/bin/keysluice", "Usage: keysluice explain"),
        ] {
            let mut command = dressed(Cli::command(), Some(name.as_ref()));
            command.build();
            let text = help(&mut command, "explain", false);
            assert!(text.contains(expected), "{text}");
            assert_eq!(text.contains("kubectl keysluice explain -f app"), expected.contains("ctl"));
        }
    }
}
