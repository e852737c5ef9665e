//! The running webhook: paths, limits, bad input, signals.

use crate::suite::support::caller::Caller;
use crate::suite::support::metrics::assert_documented;
use crate::suite::support::{Theatre, keysluice};
use keysluice_demo::Webhook;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test]
async fn both_paths_answer_alike() {
    let theatre = Theatre::open().await;
    let pod = json!({"kind": "Pod",
        "metadata": {"name": "p", "labels": {"azure.workload.identity/use": "true"}},
        "spec": {"containers": []}});
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {"uid": "u", "operation": "CREATE", "object": pod}});
    let body = serde_json::to_vec(&review).unwrap();
    let (status, first) = theatre.webhook.post("/mutate", body.clone()).await.unwrap();
    let (_, second) = theatre.webhook.post("/mutate-v1-pod", body).await.unwrap();
    assert_eq!(status, 200);
    assert_eq!(first, second);
    assert_eq!(first["response"]["patchType"], "JSONPatch");
}

#[tokio::test]
async fn what_is_no_review_gets_a_clear_refusal_and_the_webhook_goes_on() {
    let mut theatre = Theatre::open().await;
    let message = |body: &Value| {
        body["response"]["status"]["message"].as_str().unwrap_or_default().to_owned()
    };
    let cases: Vec<(&str, Vec<u8>, u16, &str)> = vec![
        ("/mutate", b"{".to_vec(), 400, "KS701 the body is not an AdmissionReview"),
        ("/mutate", Vec::new(), 400, "KS701 the request has no body"),
        ("/mutate", vec![0xff; 1000], 400, "KS701"),
        ("/mutate", b"[".repeat(200_000), 400, "KS701"),
        ("/mutate", vec![b' '; (7 << 20) + 1], 413, "KS702"),
        ("/", b"{}".to_vec(), 404, "KS701 no such path"),
    ];
    for (path, body, status, expected) in cases {
        let (answered, body) = theatre.webhook.post(path, body).await.unwrap();
        assert_eq!(answered, status, "{body}");
        assert!(message(&body).starts_with(expected), "{body}");
    }
    theatre.webhook.process.ensure_running().unwrap();
    assert_eq!(theatre.review("workload-identity").await.response["allowed"], true);
    let serving = log_lines(&theatre.webhook.process.log());
    let address = serving.iter().find_map(|line| line["admin_listen"].as_str()).unwrap();
    let (_, text) = admin(address, "GET", "/metrics", "");
    for line in [
        "status=\"400\",reason=\"KS701\"} 4",
        "status=\"413\",reason=\"KS702\"} 1",
        "status=\"404\",reason=\"KS701\"} 1",
    ] {
        assert!(
            text.contains(&format!("keysluice_requests_refused_total{{{line}\n")),
            "{line} is missing in {text}"
        );
    }
    assert!(!text.contains("keysluice_certificate_expiry_timestamp_seconds 0\n"), "{text}");
    assert_documented(&text);
}

#[tokio::test]
async fn a_deeply_nested_pod_is_refused_or_answered_but_never_fatal() {
    let mut theatre = Theatre::open().await;
    let nested = format!("{}{}", "{\"a\":".repeat(100_000), "1".to_owned() + &"}".repeat(100_000));
    let body = format!(
        r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"u",
            "operation":"CREATE","object":{{"kind":"Pod","x":{nested}}}}}}}"#
    );
    let (status, _) = theatre.webhook.post("/mutate", body.into_bytes()).await.unwrap();
    assert!(status == 200 || status == 400, "{status}");
    theatre.webhook.process.ensure_running().unwrap();
}

#[tokio::test]
async fn sigterm_ends_the_webhook_cleanly() {
    let mut theatre = Theatre::open().await;
    assert!(theatre.webhook.process.terminate(Duration::from_secs(5)).await.unwrap().success());
}

/// GET or PUT on the plain listener; status line and body.
fn admin(address: &str, method: &str, path: &str, body: &str) -> (String, String) {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: \
         {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

fn log_lines(log: &str) -> Vec<Value> {
    log.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
        .collect()
}

#[tokio::test]
async fn every_decision_is_counted_and_logged_and_no_line_is_lost_at_the_end() {
    let mut theatre = Theatre::open().await;
    for _ in 0..50 {
        theatre.review("workload-identity").await;
    }
    let serving = log_lines(&theatre.webhook.process.log());
    let address = serving.iter().find_map(|line| line["admin_listen"].as_str()).unwrap().to_owned();
    let (status, text) = admin(&address, "GET", "/metrics", "");
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert!(
        text.contains("keysluice_reviews_total{outcome=\"mutated\",reason=\"\"} 50\n"),
        "{text}"
    );
    assert!(theatre.webhook.process.terminate(Duration::from_secs(5)).await.unwrap().success());
    let lines = log_lines(&theatre.webhook.process.log());
    let reviews: Vec<_> = lines.iter().filter(|line| line["message"] == "review").collect();
    assert_eq!(reviews.len(), 50);
    let line = reviews[0];
    assert_eq!((&line["level"], &line["outcome"]), (&json!("info"), &json!("mutated")));
    assert!(
        line["pod"].is_string()
            && line["service_account"].is_string()
            && line["microseconds"].is_u64(),
        "{line}"
    );
}

#[tokio::test]
async fn a_log_that_nobody_reads_delays_no_answer() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let scratch = tempfile::tempdir().unwrap();
    let ca = scratch.path().join("ca.crt");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_keysluice"));
    let webhook = Piped::start(command.arg("serve").arg("--ca-out").arg(&ca));
    let address = webhook.serving["listen"].as_str().unwrap().parse().unwrap();
    let roots = [CertificateDer::from_pem_slice(&std::fs::read(&ca).unwrap()).unwrap()];
    let mut connection = Caller::new(address, "localhost").connect(&roots).await.unwrap();
    // Several times what a pipe holds, a line a request.
    for _ in 0..1000 {
        connection.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        connection.flush().await.unwrap();
        let answered = async {
            let mut answer = [0; 17];
            connection.read_exact(&mut answer).await.unwrap();
            assert_eq!(answer, *b"HTTP/1.1 404 Not ");
            let mut rest = Vec::new();
            while !rest.ends_with(b"}}}") {
                assert!(connection.read_buf(&mut rest).await.unwrap() > 0);
            }
        };
        tokio::time::timeout(Duration::from_secs(30), answered).await.expect("an answer");
    }
}

/// A webhook whose log goes into a pipe; killed when dropped.
struct Piped {
    process: std::process::Child,
    /// As far as it was not read.
    log: std::io::BufReader<std::process::ChildStderr>,
    /// The line that says where it serves.
    serving: Value,
}

impl Piped {
    fn start(command: &mut std::process::Command) -> Self {
        use std::io::BufRead as _;
        command.args([
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
            "--objects",
            "tests/data/guides",
        ]);
        let mut process = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
        let log = std::io::BufReader::new(process.stderr.take().unwrap());
        let mut webhook = Self { process, log, serving: Value::Null };
        while webhook.serving["message"] != "serving" {
            let mut line = String::new();
            assert!(webhook.log.read_line(&mut line).unwrap() > 0);
            webhook.serving = serde_json::from_str(&line).unwrap();
        }
        webhook
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_low_soft_limit_of_open_files_is_raised() {
    let mut command = std::process::Command::new("sh");
    command.args([
        "-c",
        "ulimit -Sn 100 && exec \"$0\" serve \"$@\"",
        env!("CARGO_BIN_EXE_keysluice"),
    ]);
    let webhook = Piped::start(&mut command);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", webhook.process.id())).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let values: Vec<_> = line.split_ascii_whitespace().collect();
    assert!(values[0] == values[1] && values[0] != "100", "{line}");
}

#[tokio::test]
async fn the_log_level_can_be_changed_while_it_runs() {
    let mut theatre = Theatre::open().await;
    let serving = log_lines(&theatre.webhook.process.log());
    let address = serving.iter().find_map(|line| line["admin_listen"].as_str()).unwrap().to_owned();
    assert_eq!(admin(&address, "GET", "/log-level", "").1, "info\n");
    let (status, body) = admin(&address, "PUT", "/log-level", "loud");
    assert_eq!(
        (&*status, &*body),
        ("HTTP/1.1 400 Bad Request", "\"loud\" is not debug, info or warn\n")
    );
    assert_eq!(admin(&address, "PUT", "/log-level", "warn\n").1, "warn\n");
    theatre.review("workload-identity").await;
    assert!(admin(&address, "GET", "/metrics", "").1.contains("keysluice_log_level 2\n"));
    assert_eq!(admin(&address, "PUT", "/log-level", "debug").1, "debug\n");
    theatre.review("workload-identity").await;
    assert!(theatre.webhook.process.terminate(Duration::from_secs(5)).await.unwrap().success());
    let lines = log_lines(&theatre.webhook.process.log());
    assert_eq!(lines.iter().filter(|line| line["message"] == "review").count(), 1);
}

#[tokio::test]
async fn the_log_level_can_be_given_at_start() {
    keysluice_demo::install_crypto_provider();
    let scratch = tempfile::tempdir().unwrap();
    let options = [
        "--objects",
        "tests/data/guides/workload-identity/serviceaccount.yaml",
        "--log-level",
        "debug",
    ];
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_keysluice"));
    let webhook =
        Webhook::start(binary, &options.map(str::to_owned), scratch.path()).await.unwrap();
    let serving = log_lines(&webhook.process.log());
    let address = serving.iter().find_map(|line| line["admin_listen"].as_str()).unwrap();
    assert_eq!(admin(address, "GET", "/log-level", "").1, "debug\n");
}

#[test]
fn a_start_that_cannot_work_ends_with_the_reason() {
    let objects = "tests/data/guides";
    for (arguments, code, expected) in [
        (&["serve"][..], 2, "--objects"),
        (&["serve", "--objects", "/nonexistent"], 1, "KS704 cannot read /nonexistent"),
        (
            &["serve", "--objects", objects, "--tls-dir", "/nonexistent"],
            1,
            "cannot read /nonexistent/tls.crt",
        ),
        (&["serve", "--objects", objects, "--listen", "nowhere"], 2, "invalid value 'nowhere'"),
        (&["serve", "--objects", objects, "--listen", "192.0.2.1:1"], 1, "--listen 192.0.2.1:1"),
        (
            &["serve", "--objects", objects, "--log-level", "loud"],
            2,
            "\"loud\" is not debug, info or warn",
        ),
        (
            &["serve", "--objects", objects, "--csi-volumes", "maybe"],
            2,
            "\"maybe\" is not auto, replace or leave",
        ),
    ] {
        let (exit, _, error) = keysluice(arguments);
        assert_eq!(exit, code, "{error}");
        assert!(error.contains(expected), "{error}");
    }
}
