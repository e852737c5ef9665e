//! A webhook that runs out of files.

use keysluice_demo::Process;
use serde_json::Value;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};
use tokio::process::Command;

/// A field of the log line that says where it listens.
async fn address(process: &mut Process) -> SocketAddr {
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed() < Duration::from_secs(30), "{}", process.log());
        process.ensure_running().unwrap();
        let log = process.log();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        if let Some(line) = lines.into_iter().find(|line| line["message"] == "serving") {
            return line["listen"].as_str().unwrap().parse().unwrap();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn connections_beyond_the_limit_of_files_are_said_and_the_webhook_goes_on() {
    let scratch = tempfile::tempdir().unwrap();
    std::fs::create_dir(scratch.path().join("objects")).unwrap();
    let program = env!("CARGO_BIN_EXE_keysluice");
    let listens = "--listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 --drain-seconds 0";
    let objects = scratch.path().join("objects").display().to_string();
    let mut command = Command::new("sh");
    let run = format!("ulimit -n 32; exec {program} serve {listens} --objects {objects}");
    command.args(["-c", &run]);
    let log = scratch.path().join("log");
    let mut process = Process::start(command, "keysluice serve", &log).unwrap();
    let address = address(&mut process).await;
    let crowd: Vec<_> = (0..64).filter_map(|_| TcpStream::connect(address).ok()).collect();
    let begun = Instant::now();
    while !process.log().contains("KS718") {
        assert!(begun.elapsed() < Duration::from_secs(30), "{}", process.log());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(crowd);
    process.ensure_running().unwrap();
}
