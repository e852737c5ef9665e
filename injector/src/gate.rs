//! The other side of the control socket: `ready`, `status`, `refresh`. Plain blocking I/O: these
//! live for milliseconds.

#![allow(clippy::disallowed_methods, reason = "this room waits with a deadline")]

use crate::control::RunDirectory;
use crate::fault::{Class, Fault};
use keysluice_plan::reason::{KS603, KS604, Reason};
use serde::Deserialize;
use std::io::{BufRead, BufReader, Error, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(5);
/// A sidecar that lives answers within this, except for the end of a refresh.
const PATIENCE: Duration = Duration::from_secs(10);
/// Twice as long as the longest refresh: a list may take five minutes.
const MAX_REFRESH: Duration = Duration::from_secs(600);

#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    ready: bool,
    waiting: Option<String>,
    ended: Option<String>,
    #[serde(default)]
    failing: usize,
}

/// Blocks until the first generation of every volume is there; `report` gets each new reason. The
/// error ends with the last one.
pub(crate) fn ready(
    run: &Path,
    timeout: Duration,
    mut report: impl FnMut(&str),
) -> Result<(), Fault> {
    let deadline = Instant::now() + timeout;
    let mut last: Option<String> = None;
    let stream = loop {
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        match connect(run, left) {
            Ok(stream) => break stream,
            Err(error) if Instant::now() >= deadline => {
                let what = format!(
                    "no sidecar in {} within {} s ({error})",
                    run.display(),
                    timeout.as_secs()
                );
                return Err(fail(KS604, &what, last.as_deref()));
            }
            Err(_) => std::thread::sleep(POLL),
        }
    };
    let mut lines = ask(stream, "ready").map_err(|_| ended(last.as_deref()))?;
    loop {
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let _ = lines.get_ref().set_read_timeout(Some(left));
        let mut text = String::new();
        match lines.read_line(&mut text) {
            Ok(0) => return Err(ended(last.as_deref())),
            Ok(_) => {}
            Err(error) if is_timeout(&error) => {
                return Err(fail(
                    KS603,
                    &format!("not ready within {} s", timeout.as_secs()),
                    last.as_deref(),
                ));
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => return Err(ended(last.as_deref())),
        }
        let Ok(line) = serde_json::from_str::<Line>(&text) else {
            continue;
        };
        if line.ready {
            return Ok(());
        }
        if let Some(reason) = line.waiting.or(line.ended) {
            if last.as_ref() != Some(&reason) {
                report(&reason);
            }
            last = Some(reason);
        }
    }
}

fn fail(reason: Reason, what: &str, last: Option<&str>) -> Fault {
    let last = last.map(|last| format!("; last reason: {last}")).unwrap_or_default();
    Fault::new(reason, Class::Transient, format_args!("{what}{last}"))
}

fn ended(last: Option<&str>) -> Fault {
    fail(KS604, "the sidecar ended before it was ready", last)
}

/// One request, one line of JSON; the flag says whether everything is well in it.
pub(crate) fn request(run: &Path, command: &str) -> Result<(String, bool), Fault> {
    request_within(run, command, PATIENCE)
}

/// The same with this limit for each sign of life.
fn request_within(run: &Path, command: &str, limit: Duration) -> Result<(String, bool), Fault> {
    let silent = |limit: Duration| {
        failed(run, format!("the sidecar does not answer within {} s", limit.as_secs()))
    };
    let broken = |error: Error| if is_timeout(&error) { silent(limit) } else { failed(run, error) };
    let started = Instant::now();
    // Without the directory there is no sidecar, which may change.
    let stream = connect(run, limit).map_err(broken)?;
    stream.set_read_timeout(Some(limit)).map_err(broken)?;
    let mut text = String::new();
    let mut lines = ask(stream, command).map_err(broken)?;
    while let Err(error) = lines.read_line(&mut text) {
        match error.kind() {
            ErrorKind::Interrupted => {}
            // A refresh takes as long as the vaults do: the sidecar is there while it answers.
            _ if is_timeout(&error) && command == "refresh" => {
                if started.elapsed() > MAX_REFRESH {
                    return Err(silent(MAX_REFRESH));
                }
                request_within(run, "status", limit)?;
            }
            _ => return Err(broken(error)),
        }
    }
    let line: Line = serde_json::from_str(&text)
        .map_err(|_| failed(run, "the sidecar ended before it answered"))?;
    Ok((text, line.failing == 0))
}

fn is_timeout(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

fn failed(run: &Path, error: impl std::fmt::Display) -> Fault {
    Fault::new(KS604, Class::Transient, format_args!("{}: {error}", run.display()))
}

/// The error does not name the directory: its reader does.
fn connect(run: &Path, limit: Duration) -> Result<UnixStream, Error> {
    let name = format!("{}: ", run.display());
    let directory = RunDirectory::open(run).map_err(|fault| {
        let message = fault.message.strip_prefix(&name).unwrap_or(&fault.message);
        Error::other(message.to_owned())
    })?;
    directory.connect(limit)
}

fn ask(mut stream: UnixStream, command: &str) -> Result<BufReader<UnixStream>, Error> {
    stream.write_all(format!("{command}\n").as_bytes())?;
    Ok(BufReader::new(stream))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    /// A sidecar that says `lines` and ends.
    fn sidecar(lines: &'static str) -> (tempfile::TempDir, std::thread::JoinHandle<()>) {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("control.sock")).unwrap();
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = String::new();
            BufReader::new(stream.try_clone().unwrap()).read_line(&mut request).unwrap();
            stream.write_all(lines.as_bytes()).unwrap();
        });
        (directory, thread)
    }

    fn gate(lines: &'static str) -> (Result<(), Fault>, Vec<String>) {
        let (directory, thread) = sidecar(lines);
        let mut told = Vec::new();
        let result = ready(directory.path(), Duration::from_secs(30), |reason| {
            told.push(reason.to_owned());
        });
        thread.join().unwrap();
        (result, told)
    }

    #[test]
    fn reasons_are_told_until_ready() {
        let (result, told) = gate("{\"waiting\":\"a\"}\n{\"waiting\":\"b\"}\n{\"ready\":true}\n");
        assert_eq!((result, told), (Ok(()), vec!["a".to_owned(), "b".to_owned()]));
    }

    #[test]
    fn an_end_before_ready_is_an_error_with_the_last_reason() {
        let (result, told) = gate("{\"waiting\":\"a\"}\n{\"ended\":\"b\"}\n");
        let text = result.unwrap_err().to_string();
        assert!(
            text.starts_with("KS604 the sidecar ended before it was ready; last reason: b"),
            "{text}"
        );
        assert_eq!(told, ["a", "b"]);
    }

    #[test]
    fn without_a_sidecar_the_timeout_ends_the_wait() {
        let directory = tempfile::tempdir().unwrap();
        let text = ready(directory.path(), Duration::ZERO, |_| ()).unwrap_err().to_string();
        assert!(text.contains("no sidecar in"), "{text}");
        for run in [directory.path(), Path::new("/does/not/exist")] {
            let fault = request(run, "status").unwrap_err();
            assert_eq!((fault.reason, fault.class), (KS604, Class::Transient), "{fault}");
            let name = run.display().to_string();
            assert_eq!(fault.message.matches(&name).count(), 1, "{fault}");
        }
    }

    #[test]
    fn a_sidecar_that_is_stopped_does_not_hold_its_askers() {
        let directory = tempfile::tempdir().unwrap();
        let _stopped = UnixListener::bind(directory.path().join("control.sock")).unwrap();
        for command in ["status", "refresh"] {
            let limit = Duration::from_millis(20);
            let fault = request_within(directory.path(), command, limit).unwrap_err();
            assert_eq!((fault.reason, fault.class), (KS604, Class::Transient), "{fault}");
            assert!(fault.message.ends_with(": the sidecar does not answer within 0 s"), "{fault}");
        }
    }

    #[test]
    fn a_refresh_is_waited_for_while_the_sidecar_answers() {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("control.sock")).unwrap();
        let thread = std::thread::spawn(move || {
            let mut refresh = listener.accept().unwrap().0;
            for _ in 0..3 {
                let mut status = listener.accept().unwrap().0;
                let mut request = String::new();
                BufReader::new(status.try_clone().unwrap()).read_line(&mut request).unwrap();
                assert_eq!(request, "status\n");
                status.write_all(b"{\"failing\":1}\n").unwrap();
            }
            refresh.write_all(b"{\"failing\":0}\n").unwrap();
        });
        let limit = Duration::from_millis(200);
        let answer = request_within(directory.path(), "refresh", limit);
        assert_eq!(answer, Ok(("{\"failing\":0}\n".to_owned(), true)));
        thread.join().unwrap();
    }
}
