//! What ends a connection or a request that does not end by itself, and what a panic costs.

use crate::suite::server::listener::{
    Silent, ask, is_closed, receive, review, send, start, start_plain,
};
use keysluice::cluster::manifests::Manifests;
use keysluice::cluster::{Cluster, ClusterError};
use keysluice::mutate::{ClassFact, ServiceAccount};
use keysluice::server::{Limits, Load, MinVersion};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

#[tokio::test]
async fn a_handshake_that_does_not_begin_is_cut_off() {
    let server = start_plain(Limits { handshake: Duration::from_millis(50), ..Limits::default() });
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(silent.read(&mut [0]).await.unwrap(), 0);
    server.wait_for_metric("keysluice_tls_handshake_failures_total 1").await;
    server.wait_for_metric("keysluice_connections 0").await;
}

#[tokio::test]
async fn a_connection_beyond_the_limit_waits_where_none_is_idle() {
    let server = start_plain(Limits { connections: 1, ..Limits::default() });
    let mut first = server.connect().await;
    ask(&mut first).await;
    let mut second = std::pin::pin!(server.connect());
    let early = tokio::time::timeout(Duration::from_millis(100), second.as_mut()).await;
    assert!(early.is_err(), "two connections at once");
    drop(first);
    assert!(ask(&mut second.await).await.0.starts_with("http/1.1 200"));
}

#[tokio::test]
async fn a_new_connection_takes_the_place_of_one_that_has_long_been_idle() {
    let header = Duration::from_millis(200);
    let server = start_plain(Limits { connections: 3, header, ..Limits::default() });
    let (mut idle, mut busy) = (server.connect().await, server.connect().await);
    ask(&mut idle).await;
    let _unestablished = TcpStream::connect(server.address).await.unwrap();
    server.wait_for_metric("keysluice_connections 3").await;
    // One in use is let alone, however many come.
    let over = Arc::new(AtomicBool::new(false));
    let in_use = tokio::spawn({
        let over = Arc::clone(&over);
        async move {
            while !over.load(Ordering::Relaxed) {
                assert!(ask(&mut busy).await.0.starts_with("http/1.1 200"));
            }
        }
    });
    let mut kept = Vec::new();
    for _ in 0..3 {
        let mut client = server.connect().await;
        assert!(ask(&mut client).await.0.starts_with("http/1.1 200"));
        kept.push(client);
    }
    assert!(is_closed(&mut idle).await);
    over.store(true, Ordering::Relaxed);
    in_use.await.unwrap();
}

#[tokio::test]
async fn connections_without_a_handshake_keep_no_caller_out() {
    let server = start_plain(Limits { connections: 2, ..Limits::default() });
    let mut silent = Vec::new();
    for _ in 0..5 {
        silent.push(TcpStream::connect(server.address).await.unwrap());
    }
    assert!(ask(&mut server.connect().await).await.0.starts_with("http/1.1 200"));
}

#[tokio::test]
async fn a_connection_that_never_shook_hands_goes_before_an_idle_one() {
    let header = Duration::from_millis(200);
    let server = start_plain(Limits { connections: 8, header, ..Limits::default() });
    let mut idle = Vec::new();
    for _ in 0..7 {
        let mut client = server.connect().await;
        ask(&mut client).await;
        idle.push(client);
    }
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    server.wait_for_metric("keysluice_connections 8").await;
    // A handshake under way would be let alone for a second.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(ask(&mut server.connect().await).await.0.starts_with("http/1.1 200"));
    assert!(!matches!(silent.read(&mut [0]).await, Ok(1..)));
    for client in &mut idle {
        assert!(ask(client).await.0.starts_with("http/1.1 200"));
    }
}

#[tokio::test]
async fn a_body_that_does_not_come_in_time_is_answered_with_408() {
    let load = Load { body_time: Duration::from_millis(50), ..Load::default() };
    let server = start(Manifests::default(), load, Limits::default(), MinVersion::Tls13);
    let mut client = server.connect().await;
    let head = "POST /mutate HTTP/1.1\r\nhost: x\r\ncontent-type: \
        application/json\r\ncontent-length: 1000\r\n\r\n{";
    client.write_all(head.as_bytes()).await.unwrap();
    client.flush().await.unwrap();
    let (head, body) = receive(&mut client).await;
    assert!(head.starts_with("http/1.1 408"), "{head} {body}");
    assert!(is_closed(&mut client).await);
    server
        .wait_for_metric("keysluice_requests_refused_total{status=\"408\",reason=\"KS701\"} 1")
        .await;
}

#[tokio::test]
async fn a_body_without_room_takes_no_place_while_the_rest_of_it_is_awaited() {
    let load = Load { body_bytes: 4000, body_time: Duration::from_secs(60), ..Load::default() };
    let server = start(Manifests::default(), load, Limits::default(), MinVersion::Tls13);
    let mut client = server.connect().await;
    let head = "POST /mutate HTTP/1.1\r\nhost: x\r\ncontent-type: \
        application/json\r\ncontent-length: 5000\r\n\r\n";
    client.write_all(&[head.as_bytes(), &[b' '; 2000]].concat()).await.unwrap();
    client.flush().await.unwrap();
    server.wait_for_metric("keysluice_requests_shed_total{limit=\"memory\"} 1").await;
    server.wait_for_metric("keysluice_requests_in_flight 0").await;
    // Somebody who is still sending when the connection closes reads no answer: it has a second.
    let (head, body) = receive(&mut client).await;
    assert!(
        head.starts_with("http/1.1 429") && head.contains("\r\nretry-after: 1"),
        "{head} {body}"
    );
    assert!(is_closed(&mut client).await);
}

#[tokio::test]
async fn a_head_beyond_16_kib_is_refused_as_it_grows() {
    let server = start_plain(Limits::default());
    let mut client = server.connect().await;
    let _ = client
        .write_all(format!("POST /mutate HTTP/1.1\r\nx: {}", "x".repeat(40 << 10)).as_bytes())
        .await;
    let _ = client.flush().await;
    let mut answer = Vec::new();
    let _ = client.read_to_end(&mut answer).await;
    assert!(answer.starts_with(b"HTTP/1.1 431"), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn a_draining_server_waits_for_a_request_only_so_long() {
    let (drain, finish) = (Duration::ZERO, Duration::from_millis(200));
    let limits = Limits { drain, finish, ..Limits::default() };
    let mut server = start(Silent, Load::default(), limits, MinVersion::Tls13);
    let mut client = server.connect().await;
    send(&mut client, &review()).await;
    server.wait_for_metric("keysluice_requests_in_flight 1").await;
    let begun = Instant::now();
    server.drain().await;
    server.ended.await.unwrap();
    assert!(
        begun.elapsed() >= finish && begun.elapsed() < Duration::from_secs(30),
        "{:?}",
        begun.elapsed()
    );
    assert!(is_closed(&mut client).await);
}

/// A cluster with a bug.
struct Buggy;

impl Cluster for Buggy {
    async fn service_account(
        &self,
        _: &str,
        _: &str,
    ) -> Result<Option<ServiceAccount>, ClusterError> {
        panic!("as the test wants it")
    }

    async fn provider_class(&self, _: &str, _: &str) -> Result<ClassFact, ClusterError> {
        panic!("as the test wants it")
    }

    async fn csi_driver_installed(&self) -> Result<bool, ClusterError> {
        panic!("as the test wants it")
    }
}

#[tokio::test]
async fn a_panic_costs_one_decision_and_not_its_connection() {
    let server = start(Buggy, Load::default(), Limits::default(), MinVersion::Tls13);
    let mut client = server.connect().await;
    for panics in 1..3 {
        let (head, body) = ask(&mut client).await;
        assert!(head.starts_with("http/1.1 200"), "{head}");
        assert_eq!(body["response"]["uid"], "705ab4f5-6393-11e8-b7cc-42010a800002");
        let status = &body["response"]["status"];
        assert_eq!((&status["code"], &status["details"]), (&500.into(), &serde_json::Value::Null));
        assert!(
            status["message"]
                .as_str()
                .unwrap()
                .starts_with("KS709 the decision panicked; this is a bug; hint: ")
        );
        server.wait_for_metric(&format!("keysluice_panics_total {panics}")).await;
    }
    server.wait_for_metric("keysluice_requests_in_flight 0").await;
    drop(client);
    server.wait_for_metric("keysluice_connections 0").await;
}
