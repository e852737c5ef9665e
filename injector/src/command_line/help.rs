//! The texts of `--help`, of 80 columns.

/// A command: its line in the list of commands, what it takes, and the help of that.
pub(super) struct CommandHelp {
    pub(super) name: &'static str,
    summary: &'static str,
    usage: &'static str,
    details: &'static str,
}

/// All commands but `help`.
pub(super) const COMMANDS: [CommandHelp; 9] = [
    CommandHelp {
        name: "run",
        summary: "Fetch, and refresh until SIGTERM (SIGHUP refreshes at once)",
        usage: "[OPTIONS]",
        details: "",
    },
    CommandHelp {
        name: "once",
        summary: "Fetch all objects, write all files or none, and exit",
        usage: "[OPTIONS]",
        details: "",
    },
    CommandHelp {
        name: "ready",
        summary: "Wait for the first generation of every volume",
        usage: "[OPTIONS]",
        details: "
      --timeout <SECONDS>       Give up after this time, at most 86400
                                [env: KEYSLUICE_TIMEOUT] [default: 30]",
    },
    CommandHelp {
        name: "status",
        summary: "Print the state of every file",
        usage: "[OPTIONS]",
        details: OUTPUT,
    },
    CommandHelp {
        name: "refresh",
        summary: "Make the sidecar refresh at once, and print the result;\n\
            exits with 1 while something fails",
        usage: "[OPTIONS]",
        details: OUTPUT,
    },
    CommandHelp {
        name: "idle",
        summary: "Do nothing until SIGTERM: for a pod that has no application\n\
            and only syncs Secrets",
        usage: "[OPTIONS]",
        details: "",
    },
    CommandHelp {
        name: "intercept",
        summary: "Add 169.254.169.254 to the pod's loopback interface, and exit:\n\
            an init container for the managed-identity endpoint (needs\n\
            root and the capability `NET_ADMIN`)",
        usage: "[OPTIONS]",
        details: "",
    },
    CommandHelp {
        name: "probe",
        summary: "Send a request without credentials to each URL and print what\n\
            answers; exits with 1 if one does not\n\
            (`keysluice doctor --pre --probe` runs this in a pod)",
        usage: "[OPTIONS] <URL>...",
        details: "
  <URL>...                      https://…, at most 8",
    },
    CommandHelp {
        name: "exec",
        summary: "Start a command with environment variables from files: each\n\
            file of a directory is a variable of its name",
        usage: "[OPTIONS] --from <DIR> -- <COMMAND> [ARGUMENT]...",
        details: "
      --from <DIR>              Directory that the sidecar writes (repeatable;
                                of two values of a variable the first counts)
      --keep <NAME>             Variable that keeps its value (repeatable)
  <COMMAND> [ARGUMENT]...       The command and its arguments, after --",
    },
];

const OUTPUT: &str = "
  -o, --output <FORMAT>         table for people, json, or metrics for
                                Prometheus: readiness, and for each file its age
                                and whether its object fails
                                [env: KEYSLUICE_OUTPUT] [default: table]";

const ABOUT: &str = "\
Fetches Azure Key Vault objects into a volume and refreshes them.

The Plan names objects, identities and paths: --plan FILE, or the JSON itself in
`KEYSLUICE_PLAN`.
";

const OPTIONS: &str = "
      --plan <FILE>             File with the Plan, if it is not in
                                `KEYSLUICE_PLAN` [env: KEYSLUICE_PLAN_FILE]
      --root <DIR>              Prefix of every path in the Plan
                                [env: KEYSLUICE_ROOT] [default: /]
      --termination-log <FILE>  File for the reason of the exit, if it can be
                                written [env: KEYSLUICE_TERMINATION_LOG]
                                [default: /dev/termination-log]
      --log-format <FORMAT>     Lines of the log: json, or text for people.
                                Without it the Plan says which; json if it does
                                not
                                [env: KEYSLUICE_LOG_FORMAT]
  -h, --help                    Print help";

const EXIT_CODES: &str = "
Exit codes: 0 success, 1 failure at run time or no sidecar answers, 2 wrong
usage, 3 a configuration that can never work; exec: 126 and 127 as a shell has
them, else those of the command.
";

/// What `-h`, `--help` and `help` print, of the program or of one of its commands.
pub(super) fn text(command: Option<&CommandHelp>) -> String {
    let usage = usage(command);
    match command {
        None => {
            let mut commands: String =
                COMMANDS.iter().map(|one| line(one.name, one.summary)).collect();
            commands += &line("help", "Print this text, or that of a command");
            format!(
                "{ABOUT}\n{usage}\nCommands:{commands}\n\nOptions:{OPTIONS}\n  \
                -V, --version                 Print version\n{EXIT_CODES}"
            )
        }
        Some(CommandHelp { summary, details, .. }) => {
            format!("{summary}\n\n{usage}\nOptions:{details}{OPTIONS}\n")
        }
    }
}

fn line(name: &str, summary: &str) -> String {
    format!("\n  {name:9}  {}", summary.replace('\n', "\n             "))
}

/// `Usage: …`, with the end of its line.
pub(super) fn usage(command: Option<&CommandHelp>) -> String {
    let (name, space, takes) = match command {
        None => ("[OPTIONS] <COMMAND>", "", ""),
        Some(command) => (command.name, " ", command.usage),
    };
    format!("Usage: keysluice-injector {name}{space}{takes}\n")
}

/// The command of this name.
pub(super) fn find(name: &str) -> Option<&'static CommandHelp> {
    COMMANDS.iter().find(|one| one.name == name)
}
