//! A server that is no Key Vault: it gets no second token, is not followed and cannot fill our memory.

use crate::support::{World, stderr};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;

const HOST: &str = "shop.vault.localhost";

/// Answers every connection with `answer`; gives its port and its certificate.
fn stranger(answer: String) -> (u16, String) {
    let made = rcgen::generate_simple_self_signed([HOST.to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(keysluice_injector::http::crypto_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let (config, listener) = (Arc::new(config), TcpListener::bind("127.0.0.1:0").unwrap());
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut tls = StreamOwned::new(connection, stream.unwrap());
            let _ = tls.read(&mut [0; 16 * 1024]);
            let _ = tls.write_all(answer.as_bytes());
            tls.conn.send_close_notify();
            let _ = tls.flush();
        }
    });
    (port, made.cert.pem())
}

/// Exit code and stderr of `once` when the vault is a stranger; Entra is the emulator.
fn once(world: &World, answer: String) -> (Option<i32>, String) {
    let (port, certificate) = stranger(answer);
    let mut plan = world.plan(&[world.file("db", "db")]);
    plan["startTimeoutSeconds"] = 1.into();
    plan["trustedCa"] = format!("{}{certificate}", world.emulator.ca_pem()).into();
    plan["volumes"][0]["files"][0]["vault"] = format!("https://{HOST}:{port}/").into();
    let output = world.output(&plan, &["once"]);
    (output.status.code(), stderr(&output))
}

#[test]
fn a_foreign_challenge_gets_no_second_token_and_ends_with_3() {
    let world = World::new();
    let answer = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer authorization=\"https://login.localhost/t\", \
                  resource=\"https://graph.example\"\r\nContent-Length: 0\r\n\r\n";
    let (code, text) = once(&world, answer.to_owned());
    assert!(code == Some(3) && text.contains("KS414") && text.contains("https://graph.example"), "{text}");
    assert!(text.contains("treat it as disclosed"), "{text}");
    assert_eq!(world.emulator.counts().tokens, 1);
}

#[test]
fn a_server_outside_the_scopes_domain_gets_no_token() {
    let world = World::new();
    let mut plan = world.plan(&[world.file("db", "db")]);
    plan["identities"][0]["scope"] = "https://vault.azure.net/.default".into();
    let output = world.output(&plan, &["once"]);
    let text = stderr(&output);
    assert!(output.status.code() == Some(3) && text.contains("KS414") && text.contains("nothing was sent"), "{text}");
    let counts = world.emulator.counts();
    assert_eq!((counts.tokens, counts.secret_gets, counts.status_401), (0, 0, 0));
}

#[test]
fn what_a_server_says_is_cut_and_holds_no_token() {
    let world = World::new();
    let (token, long) = ("eyJhbGciOi.eyJzdWIi.c2ln", "x".repeat(4000));
    let refused = format!("HTTP/1.1 400 Bad Request\r\nx-ms-request-id: {token} {long}\r\nContent-Length: 0\r\n\r\n");
    let challenge = format!(
        "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer authorization=\"{token} {long}\", \
                             resource=\"{token} {long}\"\r\nContent-Length: 0\r\n\r\n"
    );
    for (answer, code) in [(refused, "KS413"), (challenge, "KS414")] {
        let (_, text) = once(&world, answer);
        assert!(text.contains(code) && !text.contains("eyJ") && text.len() < 2000, "{} {text}", text.len());
    }
}

#[test]
fn a_redirect_is_not_followed() {
    let world = World::new();
    let target = world.emulator.vault_url("shop");
    let answer =
        format!("HTTP/1.1 302 Found\r\nLocation: {target}secrets/db?api-version=7.4\r\nContent-Length: 0\r\n\r\n");
    let (code, text) = once(&world, answer);
    assert!(code == Some(1) && text.contains("KS413"), "{text}");
    let origin = target.trim_end_matches('/');
    assert!(text.contains(&format!("302 that leads to {origin} is not an answer of Key Vault")), "{text}");
    assert_eq!(world.emulator.counts().secret_gets, 0);
}

#[test]
fn an_answer_without_end_is_cut() {
    let world = World::new();
    let body = "x".repeat(300 * 1024);
    let (code, text) = once(&world, format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    assert!(code == Some(1) && text.contains("KS413") && text.contains("longer than 256 KiB"), "{text}");
}

#[test]
fn a_certificate_nobody_trusts_is_a_tls_failure() {
    let world = World::new();
    let (port, _) = stranger(String::new());
    let mut plan = world.plan(&[world.file("db", "db")]);
    plan["startTimeoutSeconds"] = 1.into();
    plan["volumes"][0]["files"][0]["vault"] = format!("https://{HOST}:{port}/").into();
    let output = world.output(&plan, &["once"]);
    assert!(output.status.code() == Some(1) && stderr(&output).contains("KS410"), "{}", stderr(&output));
}
