//! Replicas with certificates of their own beside an API server, and what it shows of them.

use crate::suite::support::api_server::{ApiServer, CONFIGURATIONS, SECRETS};
use crate::suite::support::caller::Caller;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use keysluice_demo::Process;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

pub(crate) const NAME: &str = "keysluice.keysluice.svc";
pub(crate) const SECRET: &str = "keysluice-tls";
pub(crate) const CONFIGURATION: &str = "keysluice";

/// One replica.
pub(crate) struct Replica {
    pub(crate) process: Process,
}

impl Replica {
    pub(crate) fn start(server: &ApiServer, scratch: &Path, number: u32, further: &[&str]) -> Self {
        let own = ["--tls-secret", "keysluice/keysluice-tls", "--tls-name", NAME];
        Self::start_with(server, scratch, number, &[&own, further].concat())
    }

    /// Without certificates of its own.
    pub(crate) fn start_with(
        server: &ApiServer,
        scratch: &Path,
        number: u32,
        further: &[&str],
    ) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keysluice"));
        command.args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
            "--drain-seconds",
            "0",
        ]);
        command.args(["--webhook-configuration", CONFIGURATION]);
        command.arg("--kubeconfig").arg(server.kubeconfig(scratch)).args(further);
        let log = scratch.join(format!("replica-{number}.log"));
        Self { process: Process::start(command, "keysluice serve", &log).unwrap() }
    }

    pub(crate) async fn address(&mut self, field: &str) -> SocketAddr {
        let begun = Instant::now();
        loop {
            assert!(
                begun.elapsed() < Duration::from_secs(30),
                "not serving within 30 s: {}",
                self.process.log()
            );
            self.process.ensure_running().unwrap();
            let log = self.process.log();
            let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            if let Some(line) = lines.into_iter().find(|line| line["message"] == "serving") {
                return line[field].as_str().unwrap().parse().unwrap();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn admin(&mut self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.address("admin_listen").await).await.unwrap();
        stream
            .write_all(
                format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes(),
            )
            .await
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    pub(crate) async fn until_ready(&mut self) {
        until(async || self.admin("/readyz").await.starts_with("HTTP/1.1 200")).await;
    }

    /// Calls at the path that is published.
    pub(crate) async fn caller(&mut self, server: &ApiServer) -> Caller {
        let mut caller = Caller::new(self.address("listen").await, NAME);
        caller.lead(&path(server));
        caller
    }
}

pub(crate) async fn until(mut condition: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !condition().await {
        assert!(begun.elapsed() < Duration::from_secs(30), "not within 30 s");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The path of the first entry, as it is published now; without one the root is called.
pub(crate) fn path(server: &ApiServer) -> String {
    let world = server.world();
    let configuration = world.find(CONFIGURATIONS, "", CONFIGURATION).unwrap();
    configuration["webhooks"][0]["clientConfig"]["service"]["path"]
        .as_str()
        .unwrap_or("/")
        .to_owned()
}

/// `caBundle` of every entry, as it is published now.
pub(crate) fn bundles(server: &ApiServer) -> Vec<String> {
    let world = server.world();
    let configuration = world.find(CONFIGURATIONS, "", CONFIGURATION).unwrap();
    read_bundles(configuration)
}

pub(crate) fn read_bundles(configuration: &Value) -> Vec<String> {
    let entry = |entry: &Value| {
        BASE64_STANDARD.decode(entry["clientConfig"]["caBundle"].as_str().unwrap()).unwrap()
    };
    let entries = configuration["webhooks"].as_array().unwrap().iter();
    entries.map(|one| String::from_utf8(entry(one)).unwrap()).collect()
}

pub(crate) fn authorities(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().unwrap()
}

pub(crate) fn secret(server: &ApiServer) -> Option<Value> {
    server.world().find(SECRETS, "keysluice", SECRET).cloned()
}

pub(crate) struct Stage {
    pub(crate) server: ApiServer,
    pub(crate) scratch: tempfile::TempDir,
}

pub(crate) fn stage() -> Stage {
    let (server, scratch) = (ApiServer::start(), tempfile::tempdir().unwrap());
    server.world().put_account("shop", "shop-api", Some("8c1d7a52-66b0-4f3e-8a11-90d3c7e2b4a8"));
    Stage { server, scratch }
}
