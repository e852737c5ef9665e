//! The sidecar's side of the control socket: a Unix socket on the private tmpfs, so `hostNetwork`
//! pods never collide.
//!
//! A client writes one line (`ready`, `status` or `refresh`) and reads lines of JSON.

use crate::fault::{Class, Fault};
use keysluice_plan::reason::KS605;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat, renameat, unlinkat};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use rustix::process::umask;
use serde_json::json;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};

const SOCKET: &str = "control.sock";
/// A client that connects has its line ready.
const PATIENCE: Duration = Duration::from_secs(5);
/// The run volume holds 1 MiB; the largest file of state is the Plan of an edited class.
const MAX_STATE_BYTES: u64 = 1 << 20;
/// A living sidecar has room in its queue at once.
const LIVING: Duration = Duration::from_secs(1);

/// What a gate needs to know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) ready: bool,
    pub(crate) reasons: Vec<String>,
    /// The sidecar is about to end; why.
    pub(crate) ended: Option<String>,
}

/// What a connection asks of the sidecar; the answer is a line of JSON.
#[derive(Debug)]
pub(crate) enum Request {
    Status(oneshot::Sender<String>),
    Refresh(oneshot::Sender<String>),
}

/// The sidecar's private directory.
#[derive(Debug)]
pub(crate) struct RunDirectory {
    path: PathBuf,
    directory: OwnedFd,
}

impl RunDirectory {
    /// Opens it.
    pub(crate) fn open(path: &Path) -> Result<Self, Fault> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match openat(CWD, path, flags, Mode::empty()) {
            Ok(directory) => Ok(Self { path: path.to_owned(), directory }),
            Err(errno) => Err(fault(path, &errno.into())),
        }
    }

    /// Creates it when it is missing, then opens it.
    pub(crate) fn create(path: &Path) -> Result<Self, Fault> {
        std::fs::create_dir_all(path).map_err(|error| fault(path, &error))?;
        Self::open(path)
    }

    /// A path to a socket may have 107 bytes; this one has, however deep the directory lies.
    fn socket_path(&self) -> String {
        format!("/proc/self/fd/{}/{SOCKET}", self.directory.as_raw_fd())
    }

    /// Listens; a socket of a sidecar that is gone is replaced, a living one is not.
    pub(crate) fn listen(&self) -> Result<UnixListener, Fault> {
        let is_living = match self.connect(LIVING) {
            Ok(_) => true,
            // A full queue is that of a sidecar which is stopped.
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        };
        if is_living {
            let message = format!("{}: another sidecar runs here", self.path.display());
            return Err(Fault::new(KS605, Class::Transient, message));
        }
        match unlinkat(&self.directory, SOCKET, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(fault(&self.path.join(SOCKET), &errno.into())),
        }
        // Nobody else runs in this process yet, so the umask is ours to set.
        let before = umask(Mode::from_bits_truncate(0o177));
        let listener = UnixListener::bind(self.socket_path());
        umask(before);
        listener.map_err(|error| fault(&self.path.join(SOCKET), &error))
    }

    /// Connects to the sidecar.
    ///
    /// # Errors
    /// [`ErrorKind::WouldBlock`] where its queue has no room within `limit`.
    pub(crate) fn connect(&self, limit: Duration) -> std::io::Result<BlockingStream> {
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        // connect(2) waits for room as long as a send would.
        set_socket_timeout(&socket, Timeout::Send, Some(limit))?;
        connect(&socket, &SocketAddrUnix::new(self.socket_path())?)?;
        Ok(socket.into())
    }

    /// A small file of state; empty when it is missing.
    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mut bytes = Vec::new();
        if let Ok(fd) = openat(&self.directory, name, flags, Mode::empty()) {
            let _ = File::from(fd).take(MAX_STATE_BYTES).read_to_end(&mut bytes);
        }
        bytes
    }

    /// Replaces a small file of state; without one the sidecar works as well.
    pub(crate) fn replace(&self, name: &str, bytes: &[u8]) {
        let temporary = format!("{name}.tmp");
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        if let Ok(fd) =
            openat(&self.directory, temporary.as_str(), flags, Mode::from_bits_truncate(0o600))
            && File::from(fd).write_all(bytes).is_ok()
        {
            let _ = renameat(&self.directory, temporary.as_str(), &self.directory, name);
        }
    }
}

fn fault(path: &Path, error: &std::io::Error) -> Fault {
    Fault::new(KS605, Class::Permanent, format_args!("{}: {error}", path.display()))
}

/// Serves connections for ever.
pub(crate) async fn accept(
    listener: &UnixListener,
    snapshots: &watch::Sender<Snapshot>,
    requests: &mpsc::Sender<Request>,
) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(serve(stream, snapshots.subscribe(), requests.clone()));
            }
            // Out of descriptors: not at once again.
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Serves one connection; errors are the client's business.
async fn serve(
    stream: UnixStream,
    snapshots: watch::Receiver<Snapshot>,
    requests: mpsc::Sender<Request>,
) {
    let (reader, mut writer) = stream.into_split();
    let mut line = String::new();
    let mut reader = BufReader::new(reader.take(64));
    if !matches!(timeout(PATIENCE, reader.read_line(&mut line)).await, Ok(Ok(_))) {
        return;
    }
    let (sender, receiver) = oneshot::channel();
    let request = match line.trim_end() {
        "ready" => {
            let mut reader = reader.into_inner().into_inner();
            return tokio::select! {
                () = gate(writer, snapshots) => {}
                // A client that gave up closes its side; a living one writes nothing more.
                _ = reader.read_u8() => {}
            };
        }
        "status" => Request::Status(sender),
        "refresh" => Request::Refresh(sender),
        _ => {
            let _ = writer.write_all(b"{\"error\":\"ready, status or refresh\"}\n").await;
            return;
        }
    };
    if requests.send(request).await.is_ok()
        && let Ok(mut answer) = receiver.await
    {
        answer.push('\n');
        // One that does not read it holds a descriptor for no longer than one that does not ask.
        let _ = timeout(PATIENCE, writer.write_all(answer.as_bytes())).await;
    }
}

/// A line for each new reason, then one for the end of the wait.
async fn gate(mut writer: impl AsyncWriteExt + Unpin, mut snapshots: watch::Receiver<Snapshot>) {
    let mut told = BTreeSet::new();
    loop {
        let Snapshot { ready, reasons, ended } = snapshots.borrow_and_update().clone();
        let mut lines = String::new();
        for reason in reasons {
            if !ready && told.insert(reason.clone()) {
                lines.extend([json!({"waiting": reason}).to_string().as_str(), "\n"]);
            }
        }
        let over = ready || ended.is_some();
        if ready {
            lines.push_str("{\"ready\":true}\n");
        } else if let Some(reason) = ended {
            lines.extend([json!({"ended": reason}).to_string().as_str(), "\n"]);
        }
        if writer.write_all(lines.as_bytes()).await.is_err()
            || over
            || snapshots.changed().await.is_err()
        {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[tokio::test]
    async fn the_socket_is_private_replaces_a_stale_one_and_spares_a_living_one() {
        let directory = tempfile::tempdir().unwrap();
        let deep = directory.path().join("x".repeat(120));
        let run = RunDirectory::create(&deep).unwrap();
        let listener = run.listen().unwrap();
        assert_eq!(
            std::fs::metadata(deep.join(SOCKET)).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert!(run.listen().unwrap_err().message.contains("another sidecar"));
        drop(listener);
        run.listen().unwrap();
    }

    #[test]
    fn a_sidecar_that_is_stopped_is_not_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let run = RunDirectory::create(directory.path()).unwrap();
        let flags = SocketFlags::CLOEXEC;
        let stopped = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
        let address = SocketAddrUnix::new(directory.path().join(SOCKET)).unwrap();
        rustix::net::bind(&stopped, &address).unwrap();
        rustix::net::listen(&stopped, 0).unwrap();
        let limit = Duration::from_millis(20);
        let waiting: Vec<_> = std::iter::from_fn(|| run.connect(limit).ok()).take(9).collect();
        assert!(waiting.len() < 9, "its queue is full");
        assert_eq!(run.connect(limit).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert!(run.listen().unwrap_err().message.contains("another sidecar"));
    }

    #[tokio::test]
    async fn a_gate_hears_each_reason_once_and_then_the_end() {
        let (sender, receiver) = watch::channel(Snapshot::default());
        let (client, server) = tokio::io::duplex(4096);
        let task = tokio::spawn(gate(server, receiver));
        let mut lines = BufReader::new(client).lines();
        for reasons in [&["a"][..], &["a", "b"]] {
            sender.send_modify(|snapshot| {
                snapshot.reasons = reasons.iter().map(|&reason| reason.to_owned()).collect();
            });
            let expected = json!({"waiting": reasons.last().unwrap()}).to_string();
            assert_eq!(lines.next_line().await.unwrap().unwrap(), expected);
        }
        sender.send_modify(|snapshot| snapshot.ready = true);
        assert_eq!(lines.next_line().await.unwrap().unwrap(), r#"{"ready":true}"#);
        assert!(lines.next_line().await.unwrap().is_none());
        task.await.unwrap();
    }

    #[tokio::test]
    async fn a_gate_whose_client_went_away_ends() {
        let (sender, receiver) = watch::channel(Snapshot::default());
        let (requests, _receiver) = mpsc::channel(1);
        let (mut client, server) = UnixStream::pair().unwrap();
        let task = tokio::spawn(serve(server, receiver, requests));
        client.write_all(b"ready\n").await.unwrap();
        drop(client);
        task.await.unwrap();
        assert!(sender.is_closed(), "nobody listens any more");
    }

    #[test]
    fn state_survives_and_a_missing_directory_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let run = RunDirectory::open(directory.path()).unwrap();
        assert!(run.read("state").is_empty());
        run.replace("state", b"1");
        run.replace("state", b"22");
        assert_eq!(run.read("state"), b"22");
        let fault = RunDirectory::open(Path::new("/does/not/exist")).unwrap_err();
        assert!(fault.to_string().starts_with("KS605 /does/not/exist: No such file"), "{fault}");
    }
}
