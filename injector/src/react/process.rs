//! The first process of a container, found without any right: in a pod with `shareProcessNamespace`
//! its parent is outside, and it has the variable that the webhook gave the container. Both can be
//! read of a process with our own uid and gid; the uid is also the condition for sending it a
//! signal.

use keysluice_plan::{CONTAINER_ENV, ReactionSignal};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

/// The kernel's unit of times in `/proc`, on all architectures of today.
const TICK_MILLIS: u64 = 10;
/// An environment is not longer.
const MAX_ENVIRONMENT_BYTES: u64 = 2 * 1024 * 1024;
/// A node has fewer.
const MAX_PROCESSES: usize = 32_768;

/// Sends the signal to the first process of the container; answers with what was done. One that
/// started after `since` (since boot) gets none.
pub(super) fn signal(
    proc: &Path,
    container: &str,
    signal: ReactionSignal,
    since: Option<Duration>,
) -> Result<String, String> {
    let id = find(proc, container)?;
    let started = since.and_then(|_| started(&proc.join(id.to_string())));
    if started.is_some_and(|started| Some(started) > since) {
        return Ok(format!("container {container:?} has started since (process {id})"));
    }
    let process = Pid::from_raw(id).ok_or("its process has no id")?;
    kill_process(process, of(signal)).map_err(|error| format!("process {id}: {error}"))?;
    Ok(format!("SIG{} sent to container {container:?} (process {id})", signal.as_str()))
}

/// When a process started, since boot: the 22nd field, of which the name in parentheses is the
/// second.
fn started(process: &Path) -> Option<Duration> {
    let stat = fs::read_to_string(process.join("stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    let ticks = fields.split(' ').nth(19)?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks.saturating_mul(TICK_MILLIS)))
}

fn find(proc: &Path, container: &str) -> Result<i32, String> {
    let wanted = format!("{CONTAINER_ENV}={container}");
    let entries = fs::read_dir(proc).map_err(|error| format!("{}: {error}", proc.display()))?;
    let mut hidden = 0_usize;
    for entry in entries.take(MAX_PROCESSES).filter_map(Result::ok) {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        if !has_parent_outside(&entry.path()) {
            continue;
        }
        match environment(&entry.path()) {
            Ok(all) if all.split(|&byte| byte == 0).any(|one| one == wanted.as_bytes()) => {
                return Ok(id);
            }
            Ok(_) => {}
            Err(()) => hidden += 1,
        }
    }
    Err(format!("no process has {CONTAINER_ENV}={container:?}; {hidden} belong to other users"))
}

/// In a shared namespace the parent of a container's first process has the id 0.
fn has_parent_outside(process: &Path) -> bool {
    let status = fs::read_to_string(process.join("status")).unwrap_or_default();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    parent.is_some_and(|parent| parent.trim() == "0")
}

fn environment(process: &Path) -> Result<Vec<u8>, ()> {
    let file = fs::File::open(process.join("environ")).map_err(drop)?;
    let mut all = Vec::new();
    file.take(MAX_ENVIRONMENT_BYTES).read_to_end(&mut all).map_err(drop)?;
    Ok(all)
}

fn of(signal: ReactionSignal) -> Signal {
    match signal {
        ReactionSignal::Hup => Signal::HUP,
        ReactionSignal::Int => Signal::INT,
        ReactionSignal::Quit => Signal::QUIT,
        ReactionSignal::Term => Signal::TERM,
        ReactionSignal::Usr1 => Signal::USR1,
        ReactionSignal::Usr2 => Signal::USR2,
        ReactionSignal::Winch => Signal::WINCH,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A `/proc` with this process.
    fn proc(id: u32, parent: u32, environment: &[u8]) -> tempfile::TempDir {
        let proc = tempfile::tempdir().unwrap();
        let directory = proc.path().join(id.to_string());
        fs::create_dir(&directory).unwrap();
        let status = format!("Name:\tapp\nPPid:\t{parent}\nUid:\t1\n");
        std::io::Write::write_all(
            &mut fs::File::create(directory.join("status")).unwrap(),
            status.as_bytes(),
        )
        .unwrap();
        std::io::Write::write_all(
            &mut fs::File::create(directory.join("environ")).unwrap(),
            environment,
        )
        .unwrap();
        proc
    }

    #[test]
    fn only_the_first_process_of_the_container_is_found() {
        let environment = b"A=b\0KEYSLUICE_CONTAINER=app\0";
        assert_eq!(find(proc(7, 0, environment).path(), "app"), Ok(7));
        for (parent, environment, container) in [
            (1, &environment[..], "app"),
            (0, environment, "ap"),
            (0, b"X=KEYSLUICE_CONTAINER=app\0", "app"),
            (0, b"KEYSLUICE_CONTAINER=app2\0", "app"),
        ] {
            let problem = find(proc(7, parent, environment).path(), container).unwrap_err();
            assert!(problem.starts_with("no process has KEYSLUICE_CONTAINER"), "{problem}");
        }
    }

    #[test]
    fn a_process_that_has_started_since_gets_no_signal() {
        let proc = proc(7, 0, b"KEYSLUICE_CONTAINER=app\0");
        let fields = "S 0 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 1234 0";
        let mut stat = fs::File::create(proc.path().join("7/stat")).unwrap();
        std::io::Write::write_all(&mut stat, format!("7 (a) b) {fields}").as_bytes()).unwrap();
        assert_eq!(started(&proc.path().join("7")), Some(Duration::from_millis(12_340)));
        let since = Some(Duration::from_millis(12_339));
        let done = signal(proc.path(), "app", ReactionSignal::Term, since).unwrap();
        assert_eq!(done, "container \"app\" has started since (process 7)");
    }

    #[test]
    fn a_process_that_cannot_be_read_is_counted() {
        let proc = proc(7, 0, b"");
        fs::remove_file(proc.path().join("7/environ")).unwrap();
        let problem = find(proc.path(), "app").unwrap_err();
        assert!(problem.ends_with("1 belong to other users"), "{problem}");
    }
}
