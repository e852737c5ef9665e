//! Two replicas behind one address, replaced one after the other under load: no review may fail.

use crate::suite::support::caller::Caller;
use keysluice_certs::{CertificateAuthority, Pair};
use keysluice_demo::Process;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

const NAME: &str = "keysluice.keysluice.svc";
/// How late the address learns that a replica is no longer ready: a sixth of the time that a
/// stopping one goes on accepting.
const LAG: Duration = Duration::from_millis(300);

/// What a Service does: new connections go to a ready replica, standing ones stay where they are.
#[derive(Default)]
struct Endpoints {
    ready: Mutex<Vec<SocketAddr>>,
    next: AtomicUsize,
}

impl Endpoints {
    fn set(&self, address: SocketAddr, is_ready: bool) {
        let mut ready = self.ready.lock().unwrap();
        ready.retain(|one| *one != address);
        if is_ready {
            ready.push(address);
        }
    }

    fn pick(&self) -> Option<SocketAddr> {
        let ready = self.ready.lock().unwrap();
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        ready.get(number % ready.len().max(1)).copied()
    }
}

async fn forward(listener: TcpListener, endpoints: Arc<Endpoints>) {
    loop {
        let Ok((mut client, _)) = listener.accept().await else { continue };
        let Some(address) = endpoints.pick() else { continue };
        tokio::spawn(async move {
            let Ok(mut server) = TcpStream::connect(address).await else { return };
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            let _ = copy_bidirectional(&mut client, &mut server).await;
        });
    }
}

struct Replica {
    process: Process,
    address: SocketAddr,
    probe: tokio::task::JoinHandle<()>,
}

impl Replica {
    async fn start(scratch: &Path, number: usize, endpoints: &Arc<Endpoints>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keysluice"));
        command.args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
            "--drain-seconds",
            "2",
        ]);
        command.arg("--objects").arg(scratch.join("cluster.yaml")).arg("--tls-dir").arg(scratch);
        let mut process =
            Process::start(command, "keysluice serve", &scratch.join(format!("{number}.log")))
                .unwrap();
        let serving = loop {
            process.ensure_running().unwrap();
            let log = process.log();
            let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            if let Some(line) = lines.into_iter().find(|line| line["message"] == "serving") {
                break line;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        let parse = |field: &str| serving[field].as_str().unwrap().parse::<SocketAddr>().unwrap();
        let (address, admin) = (parse("listen"), parse("admin_listen"));
        let probe = tokio::spawn(probe(address, admin, Arc::clone(endpoints)));
        Self { process, address, probe }
    }

    async fn replace(&mut self, scratch: &Path, number: usize, endpoints: &Arc<Endpoints>) {
        // As a rolling update: the new one first, and the old one is told to end at once.
        let new = Self::start(scratch, number, endpoints).await;
        while !endpoints.ready.lock().unwrap().contains(&new.address) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut old = std::mem::replace(self, new);
        let status = old.process.terminate(Duration::from_secs(20)).await.unwrap();
        assert!(status.success(), "{}", old.process.log());
        old.probe.abort();
        endpoints.set(old.address, false);
    }
}

/// The kubelet's readiness probe and the way of its result to the nodes.
async fn probe(address: SocketAddr, admin: SocketAddr, endpoints: Arc<Endpoints>) {
    loop {
        let is_ready = ready(admin).await;
        if !is_ready {
            tokio::time::sleep(LAG).await;
        }
        endpoints.set(address, is_ready);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn ready(admin: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(admin).await else { return false };
    let _ = stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    answer.starts_with("HTTP/1.1 200")
}

fn put(path: &Path, text: &str) {
    std::fs::File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_review_fails_while_replicas_are_replaced() {
    let scratch = tempfile::tempdir().unwrap();
    let authority = CertificateAuthority::generate().unwrap();
    let pair = Pair::new(authority.issue(&[NAME.to_owned()]).unwrap()).unwrap();
    put(&scratch.path().join("tls.crt"), &pair.chain_pem());
    put(&scratch.path().join("tls.key"), &pair.key_pem());
    put(&scratch.path().join("cluster.yaml"), &keysluice_bench::manifests());
    let endpoints = Arc::<Endpoints>::default();
    let mut replicas = Vec::new();
    for number in 0..2 {
        replicas.push(Replica::start(scratch.path(), number, &endpoints).await);
    }
    while endpoints.ready.lock().unwrap().len() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let forward = tokio::spawn(forward(listener, Arc::clone(&endpoints)));

    let roots = Arc::new(vec![CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()]);
    let over = Arc::new(AtomicBool::new(false));
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..16 {
        let (roots, over) = (Arc::clone(&roots), Arc::clone(&over));
        tasks.spawn(async move {
            let mut caller = if number % 2 == 0 {
                Caller::new(address, NAME)
            } else {
                Caller::http2(address, NAME)
            };
            let (mut calls, mut failures) = (0_u64, Vec::new());
            while !over.load(Ordering::Relaxed) {
                if let Err(error) = caller.call(&roots).await {
                    caller.hang_up();
                    failures.push(error);
                }
                calls += 1;
                // One in four of each protocol.
                if number % 8 < 2 {
                    caller.hang_up();
                }
                tokio::time::sleep(Duration::from_millis(1 + number % 3)).await;
            }
            (calls, failures)
        });
    }
    let cycles = std::env::var("KEYSLUICE_LOAD_CYCLES")
        .ok()
        .and_then(|cycles| cycles.parse().ok())
        .unwrap_or(3);
    for cycle in 0..cycles {
        replicas[cycle % 2].replace(scratch.path(), cycle + 2, &endpoints).await;
    }
    over.store(true, Ordering::Relaxed);
    let (mut calls, mut failures) = (0, Vec::new());
    while let Some(task) = tasks.join_next().await {
        let (more, failed) = task.unwrap();
        calls += more;
        failures.extend(failed);
    }
    forward.abort();
    println!("{calls} reviews through {cycles} replacements, {} failures", failures.len());
    assert!(
        failures.is_empty(),
        "{} of {calls} failed: {:?}",
        failures.len(),
        &failures[..failures.len().min(5)]
    );
    assert!(calls > 16 * u64::try_from(cycles).unwrap(), "{calls} calls");
}
