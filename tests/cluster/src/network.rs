//! The enclosure's network: a loopback, one bridge that the node and all pods are on, the routes
//! between them.

use crate::layout::{METADATA_ADDRESS, NODE_ADDRESS, SERVICE_RANGE};
use anyhow::{Context as _, bail};
use std::process::Command;

/// Name of the bridge.
pub const BRIDGE: &str = "pods";

/// Makes it, in the network namespace we are in.
pub fn create() -> anyhow::Result<()> {
    let node = format!("{NODE_ADDRESS}/16");
    let metadata = format!("{METADATA_ADDRESS}/32");
    for arguments in [
        &["link", "set", "lo", "up"][..],
        // With an address of its own: otherwise it takes the lowest of its ports', and pods lose it
        // whenever a pod comes.
        &["link", "add", BRIDGE, "address", "02:00:0a:58:00:01", "type", "bridge"],
        &["address", "add", &node, "dev", BRIDGE],
        &["address", "add", &metadata, "dev", BRIDGE],
        &["link", "set", BRIDGE, "up"],
        // Nothing else leads anywhere; kube-proxy rewrites the address before the packet looks for
        // its way a second time.
        &["route", "add", SERVICE_RANGE, "dev", BRIDGE],
    ] {
        run("ip", arguments)?;
    }
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").context("net.ipv4.ip_forward")
}

/// Runs a command that must succeed.
pub fn run(program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("running {program}"))?;
    if !output.status.success() {
        let (text, arguments) = (String::from_utf8_lossy(&output.stderr), arguments.join(" "));
        bail!("{program} {arguments}: {}", text.trim());
    }
    Ok(())
}
