//! Records commit and target for `--version`.

use std::process::Command;

fn main() {
    let commit = std::env::var("KEYSLUICE_COMMIT").ok();
    let commit = commit.or_else(|| git(&["rev-parse", "--short=12", "HEAD"]));
    println!("cargo::rustc-env=KEYSLUICE_COMMIT={}", commit.as_deref().unwrap_or("unknown"));
    println!("cargo::rustc-env=KEYSLUICE_TARGET={}", std::env::var("TARGET").unwrap_or_default());
    println!("cargo::rerun-if-env-changed=KEYSLUICE_COMMIT");
    // In a worktree `.git` is a file. A path that does not exist would rebuild everything each
    // time.
    let head = git(&["rev-parse", "--git-path", "HEAD"]);
    println!("cargo::rerun-if-changed={}", head.as_deref().unwrap_or("build.rs"));
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
