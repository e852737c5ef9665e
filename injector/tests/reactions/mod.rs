//! Reactions to changed files.

mod evict;
mod rollout;

use super::secrets::{cluster_env, plan as secret_plan, run_ready, secret};
use super::support::{TestEnv, until};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

/// An application that answers each request with the next of these answers, and with 200 after the
/// last; gives what it is asked.
fn application(answers: &'static [&'static str]) -> (u16, Receiver<String>) {
    application_with(answers, 0, "")
}

/// The same, whose answers all have this body and say that it has `length` bytes.
fn application_with(
    answers: &'static [&'static str],
    length: usize,
    body: impl std::fmt::Display + Send + 'static,
) -> (u16, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tx, requests) = channel();
    std::thread::spawn(move || {
        let mut answers = answers.iter();
        for stream in listener.incoming() {
            let (mut stream, mut request) = (stream.unwrap(), [0; 4096]);
            let asked = stream.read(&mut request).unwrap_or_default();
            let answer = answers.next().unwrap_or(&"200 OK");
            let _ = write!(stream, "HTTP/1.1 {answer}\r\ncontent-length: {length}\r\n\r\n{body}");
            if tx.send(String::from_utf8_lossy(&request[..asked]).into_owned()).is_err() {
                return;
            }
        }
    });
    (port, requests)
}

fn plan(env: &TestEnv, port: u16, of: &Value) -> Value {
    let mut plan = env.plan(&[env.file("db", "db"), env.file("api", "api")]);
    let action = json!({"kind": "http", "url": format!("http://127.0.0.1:{port}/reload")});
    plan["reaction"] = json!({"action": action, "of": of, "spreadSeconds": 0});
    plan
}

#[test]
fn the_application_is_asked_once_for_what_changes_together() {
    let env = TestEnv::new();
    let (port, requests) = application(&[]);
    let sidecar = env.run_ready(&plan(&env, port, &json!([])));
    assert!(sidecar.refresh().1, "nothing changed");
    env.emulator.set_secret("shop", "db", "new-1");
    assert!(sidecar.refresh().1);
    env.emulator.set_secret("shop", "api", "new-2");
    assert!(sidecar.refresh().1);
    until("the reaction", || env.log().contains("reaction: POST"));
    let request = requests.recv().unwrap();
    assert!(request.starts_with("POST /reload HTTP/1.1\r\n"), "{request}");
    assert!(!request.contains("new-"), "{request}");
    assert!(requests.try_recv().is_err(), "one for both");
    assert_eq!(sidecar.status()["reaction"]["count"], 1);
}

#[test]
fn volumes_with_the_same_secret_change_together_whatever_their_intervals() {
    let env = TestEnv::new();
    let (port, requests) = application(&[]);
    let mut plan = plan(&env, port, &json!([]));
    let mut other = plan["volumes"][0].clone();
    std::fs::create_dir_all(env.root.join("mnt/w")).unwrap();
    (other["name"], other["directory"]) = ("w".into(), "/mnt/w".into());
    (plan["volumes"][0]["refreshIntervalSeconds"], other["refreshIntervalSeconds"]) =
        (1.into(), 600.into());
    plan["volumes"].as_array_mut().unwrap().push(other);
    let sidecar = env.run_ready(&plan);
    env.emulator.set_secret("shop", "db", "new");
    assert!(requests.recv().is_ok());
    let file = std::fs::read_to_string(env.root.join("mnt/w/db")).unwrap();
    assert_eq!(file, "new", "{}", env.log());
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert!(requests.try_recv().is_err(), "one for both\n{}", env.log());
    assert_eq!(sidecar.status()["reaction"]["count"], 1);
}

#[test]
fn other_files_are_no_reason_and_a_proxy_is_not_used() {
    let env = TestEnv::new();
    let (port, requests) = application(&[]);
    let plan = plan(&env, port, &json!(["api"]));
    let sidecar = env.run_with(
        &plan,
        &[
            ("HTTP_PROXY", "http://127.0.0.1:9"),
            ("ALL_PROXY", ""),
            ("http_proxy", "http://127.0.0.1:9"),
        ],
    );
    assert!(sidecar.ready().status.success());
    env.emulator.set_secret("shop", "db", "x");
    assert!(sidecar.refresh().1);
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert!(requests.try_recv().is_err());
    env.emulator.set_secret("shop", "api", "x");
    assert!(sidecar.refresh().1);
    assert!(requests.recv().is_ok());
}

#[test]
fn a_refused_request_is_repeated_and_a_redirect_is_not_followed() {
    let env = TestEnv::new();
    let (port, requests) = application(&["503 Busy", "302 Found\r\nlocation: http://127.0.0.1:1/"]);
    let sidecar = env.run_ready(&plan(&env, port, &json!([])));
    env.emulator.set_secret("shop", "db", "x");
    assert!(sidecar.refresh().1);
    for _ in 0..3 {
        requests.recv().unwrap();
    }
    until("it works", || sidecar.status()["reaction"]["count"] == 1);
    let log = env.log();
    assert!(log.contains("KS652") && log.contains("503"), "{log}");
}

#[test]
fn an_accepted_request_is_not_repeated_however_long_its_answer_is() {
    for sent in [8192, 100] {
        let env = TestEnv::new();
        let (port, requests) = application_with(&[], 8192, "x".repeat(sent));
        let sidecar = env.run_ready(&plan(&env, port, &json!([])));
        env.emulator.set_secret("shop", "db", "x");
        assert!(sidecar.refresh().1);
        requests.recv().unwrap();
        std::thread::sleep(std::time::Duration::from_secs(3));
        assert!(requests.try_recv().is_err(), "{sent} bytes were sent\n{}", env.log());
        assert_eq!(sidecar.status()["reaction"]["count"], 1, "{sent} bytes were sent");
        assert!(!env.log().contains("KS652"), "{}", env.log());
    }
}

#[test]
fn a_file_that_goes_is_a_reason_and_is_named() {
    let env = TestEnv::new();
    let (port, requests) = application(&[]);
    let mut plan = plan(&env, port, &json!(["api"]));
    plan["volumes"][0]["files"][1]["optional"] = true.into();
    let sidecar = env.run_ready(&plan);
    env.emulator.delete("shop", "api");
    assert!(sidecar.refresh().1);
    assert!(!env.root.join("mnt/v/api").exists());
    until("the reaction", || requests.try_recv().is_ok());
    until("it is done", || sidecar.status()["reaction"]["count"] == 1);
    assert!(env.log().contains(": api removed"), "{}", env.log());
}

#[test]
fn a_reaction_that_is_owed_comes_after_a_restart_of_the_sidecar() {
    let env = TestEnv::new();
    let (port, requests) = application(&[]);
    let plan = plan(&env, port, &json!([]));
    let sidecar = env.run_ready(&plan);
    env.emulator.set_secret("shop", "db", "x");
    assert!(sidecar.refresh().1);
    drop(sidecar);
    assert!(requests.try_recv().is_err(), "it was killed before");
    let _sidecar = env.run_ready(&plan);
    assert!(requests.recv().is_ok());
}

#[test]
fn a_container_without_a_process_is_named() {
    let env = TestEnv::new();
    let mut plan = plan(&env, 1, &json!([]));
    plan["reaction"]["action"] =
        json!({"kind": "signal", "signal": "HUP", "containers": ["no-such-container"]});
    let sidecar = env.run_ready(&plan);
    env.emulator.set_secret("shop", "db", "x");
    sidecar.refresh();
    until("the failure", || env.log().contains("KS651"));
    assert!(env.log().contains("no-such-container"), "{}", env.log());
    assert_eq!(sidecar.status()["reaction"]["error"]["code"], "KS651");
}

#[test]
fn a_secret_that_cannot_be_written_holds_up_a_restart_and_no_request() {
    let env = cluster_env();
    let (port, requests) = application(&[]);
    let mut asks = plan(&env, port, &json!([]));
    let secrets = secret_plan(&env, &secret());
    (asks["kubernetes"], asks["secrets"]) =
        (secrets["kubernetes"].clone(), secrets["secrets"].clone());
    let sidecar = run_ready(&env, &asks);
    env.emulator.allow_secrets(Some(&[]));
    env.emulator.set_secret("shop", "db", "new");
    assert!(!sidecar.refresh().1, "the Secret fails");
    assert!(requests.recv().is_ok());
    drop(sidecar);

    asks["reaction"]["action"] = json!({"kind": "restart", "containers": ["none"]});
    let sidecar = run_ready(&env, &asks);
    env.emulator.set_secret("shop", "db", "newer");
    sidecar.refresh();
    std::thread::sleep(std::time::Duration::from_secs(4));
    assert!(!env.log().contains("KS651"), "{}", env.log());
}
