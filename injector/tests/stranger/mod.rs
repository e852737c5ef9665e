//! A server that is no Key Vault: it gets no second token, is not followed and cannot fill our
//! memory.

use crate::support::confined::{Confined, SIDECAR_BYTES};
use crate::support::{TestEnv, stderr};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

const HOST: &str = "shop.vault.localhost";

/// Answers every connection with `answer`; gives its port and its certificate.
fn stranger(answer: String) -> (u16, String) {
    stranger_who(move |tls, _| {
        let _ = tls.write_all(answer.as_bytes());
    })
}

type Tls = StreamOwned<ServerConnection, std::net::TcpStream>;

/// The same with an answer that depends on the request.
fn stranger_who(answer: impl Fn(&mut Tls, &str) + Send + Sync + 'static) -> (u16, String) {
    let made = rcgen::generate_simple_self_signed([HOST.to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let config =
        ServerConfig::builder_with_provider(Arc::new(keysluice_injector::http::crypto_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
    let (config, listener) = (Arc::new(config), TcpListener::bind("127.0.0.1:0").unwrap());
    let port = listener.local_addr().unwrap().port();
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut tls = StreamOwned::new(connection, stream.unwrap());
            let answer = Arc::clone(&answer);
            std::thread::spawn(move || {
                let mut request = [0; 16 * 1024];
                let mut length = tls.read(&mut request).unwrap_or(0);
                answer(&mut tls, &String::from_utf8_lossy(&request[..length]));
                // Who pages through a list goes on with the same connection.
                while String::from_utf8_lossy(&request[..length]).starts_with("GET /secrets?") {
                    length = tls.read(&mut request).unwrap_or(0);
                    if length > 0 {
                        answer(&mut tls, &String::from_utf8_lossy(&request[..length]));
                    }
                }
                tls.conn.send_close_notify();
                let _ = tls.flush();
            });
        }
    });
    (port, made.cert.pem())
}

/// Exit code and stderr of `once` when the vault is a stranger; Entra is the emulator.
fn once(env: &TestEnv, answer: String) -> (Option<i32>, String) {
    let (port, certificate) = stranger(answer);
    let mut plan = env.plan(&[env.file("db", "db")]);
    plan["startTimeoutSeconds"] = 1.into();
    plan["trustedCa"] = format!("{}{certificate}", env.emulator.ca_pem()).into();
    plan["volumes"][0]["files"][0]["vault"] = format!("https://{HOST}:{port}/").into();
    let output = env.output(&plan, &["once"]);
    (output.status.code(), stderr(&output))
}

#[test]
fn a_foreign_challenge_gets_no_second_token_and_ends_with_3() {
    let env = TestEnv::new();
    let answer = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer \
        authorization=\"https://login.localhost/t\", \
                  resource=\"https://graph.example\"\r\nContent-Length: 0\r\n\r\n";
    let (code, text) = once(&env, answer.to_owned());
    assert!(
        code == Some(3) && text.contains("KS414") && text.contains("https://graph.example"),
        "{text}"
    );
    assert!(text.contains("treat it as disclosed"), "{text}");
    assert_eq!(env.emulator.counts().tokens, 1);
}

#[test]
fn a_server_outside_the_scopes_domain_gets_no_token() {
    let env = TestEnv::new();
    let mut plan = env.plan(&[env.file("db", "db")]);
    plan["identities"][0]["scope"] = "https://vault.azure.net/.default".into();
    let output = env.output(&plan, &["once"]);
    let text = stderr(&output);
    assert!(
        output.status.code() == Some(3)
            && text.contains("KS414")
            && text.contains("nothing was sent"),
        "{text}"
    );
    let counts = env.emulator.counts();
    assert_eq!((counts.tokens, counts.secret_gets, counts.status_401), (0, 0, 0));
}

#[test]
fn what_a_server_says_is_cut_and_holds_no_token() {
    let env = TestEnv::new();
    let (token, long) = ("eyJhbGciOi.eyJzdWIi.c2ln", "x".repeat(4000));
    let refused = format!(
        "HTTP/1.1 400 Bad Request\r\nx-ms-request-id: {token} {long}\r\nContent-Length: 0\r\n\r\n"
    );
    let challenge = format!(
        "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer authorization=\"{token} {long}\", \
                             resource=\"{token} {long}\"\r\nContent-Length: 0\r\n\r\n"
    );
    for (answer, code) in [(refused, "KS413"), (challenge, "KS414")] {
        let (_, text) = once(&env, answer);
        assert!(
            text.contains(code) && !text.contains("eyJ") && text.len() < 2000,
            "{} {text}",
            text.len()
        );
    }
}

#[test]
fn a_redirect_is_not_followed() {
    let env = TestEnv::new();
    let target = env.emulator.vault_url("shop");
    let answer = format!(
        "HTTP/1.1 302 Found\r\nLocation: {target}secrets/db?api-version=7.4\r\nContent-Length: \
         0\r\n\r\n"
    );
    let (code, text) = once(&env, answer);
    assert!(code == Some(1) && text.contains("KS413"), "{text}");
    let origin = target.trim_end_matches('/');
    assert!(
        text.contains(&format!("302 that leads to {origin} is not an answer of Key Vault")),
        "{text}"
    );
    assert_eq!(env.emulator.counts().secret_gets, 0);
}

#[test]
fn an_answer_without_end_is_cut() {
    let env = TestEnv::new();
    let body = "x".repeat(300 * 1024);
    let (code, text) =
        once(&env, format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    assert!(
        code == Some(1) && text.contains("KS413") && text.contains("longer than 256 KiB"),
        "{text}"
    );
}

#[test]
fn a_certificate_nobody_trusts_is_a_tls_failure() {
    let env = TestEnv::new();
    let (port, _) = stranger(String::new());
    let mut plan = env.plan(&[env.file("db", "db")]);
    plan["startTimeoutSeconds"] = 1.into();
    plan["volumes"][0]["files"][0]["vault"] = format!("https://{HOST}:{port}/").into();
    let output = env.output(&plan, &["once"]);
    assert!(
        output.status.code() == Some(1) && stderr(&output).contains("KS410"),
        "{}",
        stderr(&output)
    );
}

/// A Plan whose secrets are selected in a vault that is a stranger's.
fn selecting(env: &TestEnv, port: u16, certificate: &str) -> serde_json::Value {
    let mut plan = env.plan(&[]);
    plan["startTimeoutSeconds"] = 3.into();
    plan["trustedCa"] = format!("{}{certificate}", env.emulator.ca_pem()).into();
    let vault = format!("https://{HOST}:{port}/");
    plan["volumes"][0]["selections"] = serde_json::json!([{"mode": "0640", "identity": "a",
        "vault": vault, "namePrefix": "nothing-", "tags": {"a": "b"}}]);
    plan
}

fn reply(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// A page that links to this URL.
type Pages = Box<dyn Fn(&str) -> String + Send + Sync>;

#[test]
fn a_list_takes_as_much_memory_as_key_vaults_whatever_is_sent() {
    let env = TestEnv::new();
    let Some(group) = Confined::new("a_list", SIDECAR_BYTES) else { return };
    let page = |entries: String| {
        move |next: &str| reply(&format!("{{\"value\":[{entries}],\"nextLink\":\"{next}\"}}"))
    };
    let many = |entry: &str, bytes: usize| vec![entry; bytes / (entry.len() + 1)].join(",");
    let tags = r#"{"id":"","tags":{"a":"1","b":"2","c":"3","d":"4"}}"#;
    let long = |name: char| {
        format!(
            r#"{{"id":"https://x/secrets/a","tags":{{"{}":"b"}}}}"#,
            name.to_string().repeat(36_000)
        )
    };
    let cases: Vec<(&str, Pages)> = vec![
        ("more than 25 entries on a page", Box::new(page(many("{}", 1_046_000)))),
        ("more than 25 entries on a page", Box::new(page(many(tags, 940_000)))),
        ("longer than 1024 KiB", Box::new(page(many("{}", 3_140_000)))),
        ("is not a list", Box::new(|_| reply(&format!("{{\"value\":{}", "[".repeat(1_000_000))))),
        // As large as 25 entries can be, and another page after it, always.
        (
            "more than 1000 pages",
            Box::new(page((0..25).map(|_| long('t')).collect::<Vec<_>>().join(","))),
        ),
        ("more than 1000 pages", Box::new(page(String::new()))),
    ];
    for (expected, pages) in cases {
        let (port, certificate) = stranger_who(move |tls, request| {
            let number: u32 = request
                .split("page=")
                .nth(1)
                .map_or(0, |rest| rest.split(' ').next().unwrap().parse().unwrap());
            let port = tls.sock.local_addr().unwrap().port();
            let next = format!("https://{HOST}:{port}/secrets?page={}", number + 1);
            let _ = tls.write_all(pages(&next).as_bytes());
        });
        let mut plan = selecting(&env, port, &certificate);
        if expected == "more than 1000 pages" {
            plan["startTimeoutSeconds"] = 5.into();
        }
        let output = group.run(&env.command(&plan, &["once"])).output().unwrap();
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{expected}: {text}");
        // A thousand pages may take longer than the start; in its time they must not have grown.
        let in_time = !text.contains("KS603");
        assert!(text.contains(expected) || !in_time, "{expected}: {text}");
    }
    println!("{} kills, {} KiB at most", group.kills(), group.peak_bytes() / 1024);
    assert_eq!(group.kills(), 0);
}

#[test]
fn a_list_that_leads_back_to_itself_ends() {
    let env = TestEnv::new();
    let (port, certificate) = stranger_who(|tls, _| {
        let port = tls.sock.local_addr().unwrap().port();
        let body = format!(r#"{{"value":[],"nextLink":"https://{HOST}:{port}/secrets?page=1"}}"#);
        let _ = tls.write_all(reply(&body).as_bytes());
    });
    let output = env.output(&selecting(&env, port, &certificate), &["once"]);
    let text = stderr(&output);
    assert!(
        output.status.code() == Some(1) && text.contains("KS428") && text.contains("read before"),
        "{text}"
    );
}

#[test]
fn no_piece_of_the_token_that_a_vault_got_is_repeated() {
    let env = TestEnv::new();
    for status in ["403 Forbidden", "500 Internal", "401 Unauthorized"] {
        let (port, certificate) = stranger_who(move |tls, request| {
            let token = request.split("earer ").nth(1).unwrap().split('\r').next().unwrap();
            let (middle, end) =
                (token[40..].split('.').collect::<Vec<_>>().join(" "), &token[token.len() - 40..]);
            let message = format!("denied {middle}");
            let body = serde_json::json!({"error": {"code": end, "message": message,
                "innererror": {"code": middle}}});
            let head = format!(
                "x-ms-request-id: {end}\r\nWWW-Authenticate: Bearer \
                 authorization=\"https://{end}\", resource=\"https://vault.localhost\""
            );
            let body = body.to_string();
            let _ = tls.write_all(
                format!(
                    "HTTP/1.1 {status}\r\n{head}\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                )
                .as_bytes(),
            );
        });
        let mut plan = env.plan(&[env.file("db", "db")]);
        plan["startTimeoutSeconds"] = 1.into();
        plan["trustedCa"] = format!("{}{certificate}", env.emulator.ca_pem()).into();
        plan["volumes"][0]["files"][0]["vault"] = format!("https://{HOST}:{port}/").into();
        let sidecar = env.run(&plan);
        let gate = stderr(&sidecar.ready());
        sidecar.wait();
        for text in [gate, env.log(), env.termination_log()] {
            assert!(text.contains("KS4") && text.contains("[token]"), "{text}");
            // The token's own letters are in none of our words: a run of them without a word of
            // ours is a piece.
            let longest = text
                .split(|letter: char| !letter.is_ascii_alphanumeric())
                .map(str::len)
                .max()
                .unwrap();
            assert!(longest < 32, "{longest}: {text}");
        }
    }
}

#[test]
fn what_comes_before_an_answer_has_an_end() {
    let env = TestEnv::new();
    let (port, certificate) = stranger_who(|tls, _| {
        let many = "HTTP/1.1 100 Continue\r\n\r\n".repeat(600);
        while tls.write_all(many.as_bytes()).is_ok() {}
    });
    let mut plan = env.plan(&[env.file("db", "db")]);
    plan["startTimeoutSeconds"] = 300.into();
    plan["trustedCa"] = format!("{}{certificate}", env.emulator.ca_pem()).into();
    plan["volumes"][0]["files"][0]["vault"] = format!("https://{HOST}:{port}/").into();
    let started = Instant::now();
    let sidecar = env.run(&plan);
    // It is bounded in the sidecar's own time; on a machine that gives it little of that a time-out
    // comes first.
    while !env.log().contains("KS412") {
        assert!(started.elapsed() < Duration::from_secs(120), "{}", env.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", sidecar.child.id())).unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    // User and system time, in hundredths of a second.
    let busy: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    println!("{busy}0 ms of work");
    assert!(busy < 400, "{busy}0 ms");
    let asked = Instant::now();
    assert_eq!(sidecar.status()["ready"], false);
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
}
