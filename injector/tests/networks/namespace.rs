//! A network namespace of the test's own, with name servers and hosts files of its own.

use crate::support::loudly;
use std::fs;
use std::path::Path;
use std::process::Command;

const MARK: &str = "KEYSLUICE_TEST_IN_NAMESPACE";
/// Addresses that answer nothing: a neighbour that is not there, which nobody reports.
pub(super) const DEAD_V4: &str = "192.0.2.1";
pub(super) const DEAD_V6: &str = "2001:db8::1";
/// Addresses of this namespace.
pub(super) const LIVE_V4: &str = "10.9.0.1";
pub(super) const LIVE_V6: &str = "fd00:9::1";

/// Which addresses the namespace has, beside the loopback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Families {
    V6Only,
    Both,
}

/// Runs the test of this name again inside a namespace, and says whether this process is that run.
pub(super) fn enter(test: &str, families: Families) -> bool {
    if std::env::var_os(MARK).is_some() {
        set_up(families);
        return true;
    }
    let unshare = || {
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount"]);
        command
    };
    if !unshare().args(["ip", "link"]).output().is_ok_and(|output| output.status.success()) {
        loudly(test, "it needs root, unshare and ip for a network namespace of its own");
        return false;
    }
    let output = unshare()
        .arg(std::env::current_exe().unwrap())
        .args([&format!("networks::{test}"), "--exact", "--nocapture"])
        .env(MARK, "1")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}{errors}");
    assert!(told.contains("1 passed"), "no test of this name: {told}");
    false
}

fn set_up(families: Families) {
    ip("link set lo up");
    ip("link add gone0 type veth peer name gone1");
    ip("link set gone0 up");
    ip("link set gone1 up");
    ip(&format!("-6 addr add {LIVE_V6}/64 dev gone0 nodad"));
    ip(&format!("-6 route add {DEAD_V6} dev gone0"));
    ip(&format!("-6 neigh add {DEAD_V6} lladdr 02:00:00:00:00:01 dev gone0 nud permanent"));
    if families == Families::Both {
        ip(&format!("addr add {LIVE_V4}/24 dev gone0"));
        ip(&format!("route add {DEAD_V4} dev gone0"));
        ip(&format!("neigh add {DEAD_V4} lladdr 02:00:00:00:00:01 dev gone0 nud permanent"));
    }
}

fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {output:?}");
}

/// Lays a file over one of the system's, for this namespace alone.
pub(super) fn lay_over(path: &str, directory: &Path, text: &str) {
    let own = directory.join(path.trim_start_matches('/').replace('/', "-"));
    fs::write(&own, text).unwrap();
    let status = Command::new("mount").arg("--bind").arg(&own).arg(path).status().unwrap();
    assert!(status.success(), "mount over {path}");
}
