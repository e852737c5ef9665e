//! Runs `keysluice-injector once` until it ends; signals reach it, and the assertion is renewed
//! meanwhile.

#![allow(clippy::disallowed_methods, reason = "this room owns the clock of a run")]

use super::assertion::{PRIVATE_VARIABLES, Service, Source, check, renewal};
use super::error::{Cause, FetchError};
use super::http::Client;
use super::output_file::replace;
use keysluice_plan::Plan;
use rustix::process::{Pid, Signal, kill_process};
use secrecy::{ExposeSecret as _, SecretString};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::process::Command;
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

const PROGRAM: &str = "keysluice-injector";
/// Between two requests to a token service that fails.
const PAUSE: Duration = Duration::from_secs(1);
/// A Plan has whole seconds: what is left is rounded up.
const ALMOST_A_SECOND: Duration = Duration::from_millis(999);

/// The signals that end a run.
pub(super) struct Signals([(Signal, Stream); 3]);

impl Signals {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self([
            (Signal::TERM, signal(SignalKind::terminate())?),
            (Signal::INT, signal(SignalKind::interrupt())?),
            (Signal::HUP, signal(SignalKind::hangup())?),
        ]))
    }

    /// The next one.
    pub(super) async fn next(&mut self) -> Signal {
        let [(term, first), (int, second), (hup, third)] = &mut self.0;
        tokio::select! {
            _ = first.recv() => *term,
            _ = second.recv() => *int,
            _ = third.recv() => *hup,
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// The injector wrote everything.
    Done,
    /// The injector failed, with this exit code; it said why.
    Failed(u8),
    /// A signal ended the run before the injector was started.
    Signal(Signal),
}

/// What the injector gets.
pub(super) struct Run<'a> {
    pub(super) program: PathBuf,
    pub(super) plan: &'a Plan,
    pub(super) plan_file: &'a Path,
    pub(super) token_file: &'a Path,
    pub(super) termination_log: &'a Path,
    /// `None` if no identity needs an assertion.
    pub(super) source: Option<&'a Source>,
    pub(super) client: Option<&'a Client>,
    pub(super) until: Instant,
}

impl Run<'_> {
    /// The assertion, then the injector.
    pub(super) async fn run(&self, signals: &mut Signals) -> Result<Ended, FetchError> {
        let first = tokio::select! {
            first = self.first_assertion() => first?,
            signal = signals.next() => return Ok(Ended::Signal(signal)),
        };
        let mut child = self.start()?;
        let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let renewing = self.renew(first);
        tokio::pin!(renewing);
        let ended = loop {
            tokio::select! {
                ended = child.wait() => break ended,
                signal = signals.next() => {
                    if let Some(pid) = pid {
                        let _ = kill_process(pid, signal);
                    }
                }
                () = &mut renewing => {}
            }
        };
        let ended = ended.map_err(|error| self.failed(error))?;
        Ok(if ended.success() { Ended::Done } else { Ended::Failed(code(ended)) })
    }

    fn start(&self) -> Result<tokio::process::Child, FetchError> {
        // The assertion took its part of the patience.
        let left = self.until.saturating_duration_since(Instant::now()) + ALMOST_A_SECOND;
        let plan = Plan { start_timeout_seconds: Some(left.as_secs().max(1)), ..self.plan.clone() };
        let text = serde_json::to_vec(&plan).expect("a Plan is strings, numbers and lists");
        replace(self.plan_file, &text)?;
        let mut command = Command::new(&self.program);
        command.args(["once", "--root", "/", "--plan"]).arg(self.plan_file);
        command.arg("--termination-log").arg(self.termination_log);
        command.env_remove(keysluice_plan::PLAN_ENV);
        for name in PRIVATE_VARIABLES {
            command.env_remove(name);
        }
        if let Some(Source::Variable { name, .. }) = self.source {
            command.env_remove(name);
        }
        // Standard output is for masks and for the command.
        command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        command.spawn().map_err(|error| self.failed(error))
    }

    fn failed(&self, error: std::io::Error) -> FetchError {
        Cause::Injector { program: self.program.display().to_string(), error }.into()
    }

    /// Writes the assertion; gives it if a service can renew it.
    async fn first_assertion(&self) -> Result<Option<(&Service, SecretString)>, FetchError> {
        match self.source {
            None => Ok(None),
            Some(Source::File(path)) => {
                // The injector reads it itself; what is wrong with it is said at once here.
                check_file(path).map_err(|problem| {
                    Cause::Assertion(format!("token file {}: {problem}", path.display()))
                })?;
                Ok(None)
            }
            Some(Source::Variable { token, .. }) => {
                replace(self.token_file, token.expose_secret().as_bytes())?;
                Ok(None)
            }
            Some(Source::Service(service)) => {
                let token = self.request(service).await?;
                replace(self.token_file, token.expose_secret().as_bytes())?;
                Ok(Some((service, token)))
            }
        }
    }

    /// Asks until it is given, or the patience ends.
    async fn request(&self, service: &Service) -> Result<SecretString, FetchError> {
        let client = self.client.expect("a service has a client");
        loop {
            let no_token = match client.token(service).await {
                Ok(token) => return Ok(token),
                Err(no_token) => no_token,
            };
            if !no_token.is_transient || Instant::now() + PAUSE >= self.until {
                let (service, host) = (service.name, service.host().to_owned());
                let problem = no_token.problem;
                return Err(Cause::TokenService { service, host, problem }.into());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Replaces the assertion before it ends; never comes to an end itself.
    async fn renew(&self, first: Option<(&Service, SecretString)>) {
        let Some((service, mut token)) = first else { return std::future::pending().await };
        loop {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let Some(delay) = renewal(token.expose_secret(), now) else {
                return std::future::pending().await;
            };
            tokio::time::sleep(delay).await;
            match self.request(service).await {
                Ok(new) => {
                    if let Err(error) = replace(self.token_file, new.expose_secret().as_bytes()) {
                        eprintln!("warning: {error}");
                    }
                    token = new;
                }
                // The old one may do: the injector says if it does not.
                Err(error) => {
                    eprintln!("warning: {error}");
                    return std::future::pending().await;
                }
            }
        }
    }
}

fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

/// The program: the given one, else the one beside this program, else that of the PATH.
pub(super) fn program(given: Option<&Path>) -> PathBuf {
    given.map(Path::to_owned).or_else(program_beside).unwrap_or_else(|| PROGRAM.into())
}

fn program_beside() -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    let beside = own.parent()?.join(PROGRAM);
    beside.is_file().then_some(beside)
}

/// What is wrong with the token of a file.
fn check_file(path: &Path) -> Result<(), String> {
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    let text = String::from_utf8(bytes).map_err(|_| "is not text")?;
    Ok(check(&text)?)
}

/// The end of the patience that begins now.
pub(super) fn deadline(wait: Duration) -> Instant {
    Instant::now() + wait
}
