//! Records commit and target for `--version`.

use std::process::Command;

fn main() {
    let commit = std::env::var("KEYSLUICE_COMMIT").ok().or_else(|| {
        let output = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    });
    println!("cargo::rustc-env=KEYSLUICE_COMMIT={}", commit.as_deref().unwrap_or("unknown"));
    println!("cargo::rustc-env=KEYSLUICE_TARGET={}", std::env::var("TARGET").unwrap_or_default());
    println!("cargo::rerun-if-env-changed=KEYSLUICE_COMMIT");
    println!("cargo::rerun-if-changed=.git/HEAD");
}
