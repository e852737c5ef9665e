//! The command line: what it takes, what it ends with.

use crate::fault::{Class, Fault, FaultKind};
use crate::options::Options;
use crate::plan_source::{below, load};
use crate::signals::Signals;
use crate::{exec, gate, log, managed_identity, metrics, once, probe, run, table, termination};
use clap::{Args, Parser, Subcommand, ValueEnum};
use keysluice_plan::reason::KS608;
use keysluice_plan::{LONGEST_WAIT_SECONDS, LogFormat, PLAN_ENV, Plan};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::LazyLock;
use std::time::Duration;

/// Failed at run time.
const FAILED: u8 = 1;
/// Wrong usage.
const USAGE: u8 = 2;
/// Can never work with this configuration.
const NEVER: u8 = 3;

static VERSION: LazyLock<String> = LazyLock::new(|| {
    let commit = option_env!("KEYSLUICE_COMMIT").unwrap_or("unknown");
    let environment = if cfg!(target_env = "musl") { "musl" } else { "gnu" };
    let (version, arch, os) =
        (env!("CARGO_PKG_VERSION"), std::env::consts::ARCH, std::env::consts::OS);
    format!("{version} (commit {commit}, target {arch}-{os}-{environment})")
});

/// Fetches Azure Key Vault objects into a volume and refreshes them.
///
/// The Plan names objects, identities and paths: --plan FILE, or the JSON itself in
/// `KEYSLUICE_PLAN`. Exit codes: 0 success, 1 failure at run time or no sidecar answers, 2 wrong
/// usage, 3 a configuration that can never work; exec: 126 and 127 as a shell has them, else those
/// of the command.
#[derive(Debug, Parser)]
#[command(name = "keysluice-injector", version = VERSION.as_str())]
struct CommandLine {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Fetch, and refresh until SIGTERM (SIGHUP refreshes at once).
    Run,
    /// Fetch all objects, write all files or none, and exit.
    Once,
    /// Wait for the first generation of every volume.
    Ready {
        /// Give up after this time.
        #[arg(
            long,
            value_name = "SECONDS",
            env = "KEYSLUICE_TIMEOUT",
            default_value_t = 30,
            value_parser = clap::value_parser!(u64).range(..=LONGEST_WAIT_SECONDS)
        )]
        timeout: u64,
    },
    /// Print the state of every file.
    Status(Format),
    /// Make the sidecar refresh at once, and print the result; exits with 1 while something fails.
    Refresh(Format),
    /// Do nothing until SIGTERM: for a pod that has no application and only syncs Secrets.
    Idle,
    /// Add 169.254.169.254 to the pod's loopback interface, and exit: an init container for the
    /// managed-identity endpoint (needs root and the capability `NET_ADMIN`).
    Intercept,
    /// Send a request without credentials to each URL and print what answers; exits with 1 if one
    /// does not (`keysluice doctor --pre --probe` runs this in a pod).
    Probe {
        /// https://…
        #[arg(required = true, num_args = 1..=8, value_name = "URL")]
        urls: Vec<String>,
    },
    /// Start a command with environment variables from files: each file of a directory is a
    /// variable of its name.
    Exec {
        /// Directory that the sidecar writes (repeatable; of two values of a variable the first
        /// counts).
        #[arg(long, value_name = "DIR", required = true)]
        from: Vec<PathBuf>,
        /// Variable that keeps the value that it has (repeatable).
        #[arg(long, value_name = "NAME")]
        keep: Vec<String>,
        /// The command and its arguments, after --.
        #[arg(last = true, required = true, value_name = "COMMAND")]
        command: Vec<OsString>,
    },
}

/// How `status` and `refresh` print.
#[derive(Debug, Clone, Copy, Args)]
struct Format {
    /// Tables for people, JSON, or metrics for Prometheus: readiness, and for each file its age and
    /// whether its object fails.
    #[arg(short, long, value_name = "FORMAT", env = "KEYSLUICE_OUTPUT", default_value = "table")]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
    Metrics,
}

impl Format {
    /// What is printed of a report.
    fn text(self, json: String) -> String {
        let text = match self.output {
            Output::Json => None,
            Output::Table => table::tables(&json),
            Output::Metrics => metrics::open_metrics(&json),
        };
        text.unwrap_or(json)
    }
}

/// Parses, runs, answers with an exit code. The one place that reports a failure.
pub fn main() -> ExitCode {
    let command_line = match CommandLine::try_parse() {
        Ok(command_line) => command_line,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    let CommandLine { options, command } = command_line;
    log::set_format(options.log_format.unwrap_or(log::Format::Json));
    if let Command::Exec { from, keep, command } = &command {
        // It becomes another program, whose limits are its own business.
        let fault = exec::exec(&options.root, from, keep, command);
        let _ = writeln!(std::io::stderr(), "{fault}");
        return ExitCode::from(exec::exit_code(&fault));
    }
    keep_memory_private();
    let sidecar = matches!(command, Command::Run | Command::Once | Command::Intercept);
    let result = match command {
        Command::Intercept => managed_identity::add_address().map(|()| ExitCode::SUCCESS),
        Command::Idle => runtime().and_then(|runtime| runtime.block_on(idle())),
        Command::Probe { urls } => runtime().and_then(|runtime| {
            let probed = runtime.block_on(probe::probe(&urls, &options.termination_log));
            runtime.shutdown_background();
            probed
        }),
        command => dispatch(&command, &options),
    };
    match result {
        Ok(code) => code,
        Err(fault) => {
            if sidecar {
                log::error(&fault);
                termination::write(&options.termination_log, &fault);
            } else {
                let _ = writeln!(std::io::stderr(), "{fault}");
            }
            ExitCode::from(match fault.class {
                _ if fault.kind == FaultKind::Usage => USAGE,
                Class::Permanent => NEVER,
                Class::Transient | Class::Slow => FAILED,
            })
        }
    }
}

fn dispatch(command: &Command, options: &Options) -> Result<ExitCode, Fault> {
    let variable = std::env::var_os(PLAN_ENV).map(|text| text.to_string_lossy().into_owned());
    let plan = load(options.plan.as_deref(), variable.as_deref()).map_err(|error| error.fault())?;
    drop(variable);
    if options.log_format.is_none() && plan.log_format == LogFormat::Text {
        log::set_format(log::Format::Text);
    }
    let directory = below(&options.root, &plan.run_directory);
    match *command {
        Command::Run => block_on(plan, options, true),
        Command::Once => block_on(plan, options, false),
        Command::Ready { timeout } => {
            let timeout = Duration::from_secs(timeout);
            gate::ready(&directory, timeout, report_waiting).map(|()| ExitCode::SUCCESS)
        }
        Command::Status(format) => {
            gate::request(&directory, "status").map(|(text, _)| print(&format.text(text), true))
        }
        Command::Refresh(format) => {
            gate::request(&directory, "refresh").map(|(text, well)| print(&format.text(text), well))
        }
        // They have no Plan.
        Command::Idle | Command::Intercept | Command::Probe { .. } | Command::Exec { .. } => {
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Tokens and values go into no core file, and no other process of the user may look at them. Where
/// the system refuses, the command works as well.
fn keep_memory_private() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let _ = setrlimit(Resource::Core, none);
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

fn report_waiting(reason: &str) {
    let _ = writeln!(std::io::stderr(), "waiting: {reason}");
}

fn print(text: &str, well: bool) -> ExitCode {
    let printed = std::io::stdout().write_all(text.as_bytes()).is_ok();
    ExitCode::from(if printed && well { 0 } else { FAILED })
}

/// The kernel ignores a signal to the first process of a container unless it has a handler.
async fn idle() -> Result<ExitCode, Fault> {
    let Signals { mut terminate, mut interrupt, .. } = Signals::new()?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// One thread. Name look-ups use a second, short-lived one.
fn runtime() -> Result<tokio::runtime::Runtime, Fault> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // One, but for a DNS that is dead: see the resolver.
        .max_blocking_threads(4)
        .thread_keep_alive(Duration::from_secs(1))
        .thread_stack_size(256 * 1024)
        .build()
        .map_err(|error| Fault::new(KS608, Class::Transient, format_args!("runtime: {error}")))
}

fn block_on(plan: Plan, options: &Options, keep: bool) -> Result<ExitCode, Fault> {
    let runtime = runtime()?;
    let result = runtime.block_on(async {
        if keep { run::run(plan, options).await } else { once::once(plan, options).await }
    });
    // A name look-up that hangs must not hold up the end.
    runtime.shutdown_background();
    result.map(|()| ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        CommandLine::command().debug_assert();
        assert!(VERSION.contains("commit") && VERSION.contains("target"));
    }

    #[test]
    fn options_go_before_and_after_the_command() {
        for arguments in [&["x", "--root", "/r", "run"][..], &["x", "run", "--root", "/r"]] {
            let parsed = CommandLine::try_parse_from(arguments).unwrap();
            assert_eq!(
                (parsed.options.root, matches!(parsed.command, Command::Run)),
                (PathBuf::from("/r"), true)
            );
        }
        for timeout in ["-1", "86401", "18446744073709551615"] {
            assert!(
                CommandLine::try_parse_from(["x", "ready", "--timeout", timeout]).is_err(),
                "{timeout}"
            );
        }
        assert!(CommandLine::try_parse_from(["x", "ready", "--timeout", "86400"]).is_ok());
        assert!(CommandLine::try_parse_from(["x"]).is_err());
    }
}
