//! The binary.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

fn binary() -> Command {
    Command::new(env!("CARGO_BIN_EXE_keysluice-emulator"))
}

fn scratch(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()))
}

/// Kills what a failing test would leave behind.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn it_says_where_it_listens_writes_its_files_mints_and_stops_on_sigterm() {
    let out = scratch("out");
    let mut command = binary();
    command.args(["--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0", "--out"]).arg(&out);
    let mut running = Running(command.stdout(Stdio::piped()).spawn().unwrap());
    let lines = BufReader::new(running.0.stdout.take().unwrap()).lines();
    let announced: Vec<String> = lines.take(5).map(Result::unwrap).collect();
    let control = announced[4]
        .strip_prefix("control  http://")
        .unwrap()
        .strip_suffix("/control/")
        .unwrap()
        .to_owned();

    let read = |name: &str| std::fs::read_to_string(out.join(name)).unwrap();
    assert_eq!(read("ready"), "");
    assert!(read("ca.crt").starts_with("-----BEGIN CERTIFICATE-----"));
    assert_eq!(announced[2], format!("issuer   {}", read("issuer.txt").trim()));
    assert!(read("cloud.json").contains("KeysluiceEmulator"));

    let minted = binary()
        .args([
            "mint-token",
            "--namespace",
            "shop",
            "--service-account",
            "web",
            "--control",
            &control,
        ])
        .output()
        .unwrap();
    let token = String::from_utf8(minted.stdout).unwrap();
    let claims: serde_json::Value =
        jsonwebtoken::dangerous::insecure_decode_claims(token.trim()).unwrap();
    assert_eq!(claims["sub"], "system:serviceaccount:shop:web");

    let pid = running.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert_eq!(running.0.wait().unwrap().code(), Some(0));
    std::fs::remove_dir_all(out).unwrap();
}

#[test]
fn a_wrong_seed_is_one_line_and_exit_code_1() {
    let absent = scratch("absent.json");
    let Output { status, stderr, .. } =
        binary().args(["--listen", "127.0.0.1:0", "--seed"]).arg(&absent).output().unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1));
    assert!(
        stderr.starts_with("keysluice-emulator: cannot read ") && stderr.lines().count() == 1,
        "{stderr}"
    );
}

#[test]
fn a_wrong_flag_is_exit_code_2() {
    assert_eq!(binary().arg("--no-such-flag").output().unwrap().status.code(), Some(2));
}
