//! The command line: what it takes, what it ends with.

use crate::command_line::{Command, Output, Request};
use crate::fault::{Class, Fault, FaultKind};
use crate::options::Options;
use crate::plan_source::{below, load};
use crate::signals::Signals;
use crate::{exec, gate, log, managed_identity, metrics, once, probe, run, table, termination};
use keysluice_plan::reason::KS608;
use keysluice_plan::{LogFormat, PLAN_ENV, Plan};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

/// Failed at run time.
const FAILED: u8 = 1;
/// Wrong usage.
const USAGE: u8 = 2;
/// Can never work with this configuration.
const NEVER: u8 = 3;

impl Output {
    /// What is printed of a report.
    fn text(self, json: String) -> String {
        let text = match self {
            Output::Json => None,
            Output::Table => table::tables(&json),
            Output::Metrics => metrics::open_metrics(&json),
        };
        text.unwrap_or(json)
    }
}

/// Parses, runs, answers with an exit code. The one place that reports a failure.
pub fn main() -> ExitCode {
    let arguments = std::env::args_os().skip(1);
    let (options, command) = match Request::parse(arguments, &|name| std::env::var_os(name)) {
        Ok(Request::Run(options, command)) => (options, command),
        Ok(Request::Print(text)) => return print(&text, true),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error}");
            return ExitCode::from(USAGE);
        }
    };
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
        Command::Status(output) => {
            gate::request(&directory, "status").map(|(text, _)| print(&output.text(text), true))
        }
        Command::Refresh(output) => {
            gate::request(&directory, "refresh").map(|(text, well)| print(&output.text(text), well))
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
