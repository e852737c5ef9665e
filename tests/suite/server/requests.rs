//! The listener: TLS versions and certificates, deadlines, overload, draining. In process, over
//! real TLS.

use crate::suite::server::listener::{
    Client, Server, Silent, ask, is_closed, receive, review, send, start, start_plain,
};
use keysluice::cluster::manifests::Manifests;
use keysluice::mutate::CSI_DRIVER;
use keysluice::server::{Limits, Load, MinVersion};
use keysluice_certs::CertificateAuthority;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::json;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

#[tokio::test]
async fn tls_1_2_is_spoken_only_where_it_is_allowed() {
    for (min_version, allowed) in [(MinVersion::Tls13, false), (MinVersion::Tls12, true)] {
        let server = start(Manifests::default(), Load::default(), Limits::default(), min_version);
        let client = server.try_connect(b"http/1.1", &[&rustls::version::TLS12]).await;
        assert_eq!(client.is_ok(), allowed, "{min_version:?}");
        assert!(server.try_connect(b"http/1.1", &[&rustls::version::TLS13]).await.is_ok());
        let failures = u8::from(!allowed);
        server.wait_for_metric(&format!("keysluice_tls_handshake_failures_total {failures}")).await;
    }
}

#[tokio::test]
async fn a_new_certificate_serves_new_connections_and_leaves_the_old_ones_alone() {
    let server = start_plain(Limits::default());
    let mut old = server.connect().await;
    assert!(ask(&mut old).await.0.starts_with("http/1.1 200"));
    let authority = CertificateAuthority::generate().unwrap();
    let leaf = authority.issue(&["127.0.0.1".to_owned()]).unwrap();
    let expected = leaf.chain[0].clone();
    let other = authority.issue(&["127.0.0.1".to_owned()]).unwrap();
    assert!(
        server.slot.store(leaf.chain.clone(), other.key).is_err(),
        "a pair that does not match is not taken"
    );
    assert!(
        server.try_connect(b"http/1.1", &[&rustls::version::TLS13]).await.is_ok(),
        "the last good pair is kept"
    );
    server.slot.store(leaf.chain, leaf.key).unwrap();
    assert!(
        server.try_connect(b"http/1.1", &[&rustls::version::TLS13]).await.is_err(),
        "the CA is another one now"
    );
    let server = Server {
        ca: CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap(),
        ..server
    };
    let mut new = server.connect().await;
    assert_eq!(new.get_ref().1.peer_certificates().unwrap()[0], expected);
    assert!(
        ask(&mut new).await.0.starts_with("http/1.1 200")
            && ask(&mut old).await.0.starts_with("http/1.1 200")
    );
}

#[tokio::test]
async fn half_a_head_is_cut_off_and_an_idle_connection_is_not() {
    let server = start_plain(Limits { header: Duration::from_millis(200), ..Limits::default() });
    let (mut idle, mut slow, mut after) =
        (server.connect().await, server.connect().await, server.connect().await);
    ask(&mut after).await;
    for client in [&mut slow, &mut after] {
        client.write_all(b"POST /mutate HTTP/1.1\r\nhost").await.unwrap();
        client.flush().await.unwrap();
    }
    assert!(is_closed(&mut slow).await && is_closed(&mut after).await);
    assert!(ask(&mut idle).await.0.starts_with("http/1.1 200"));
}

#[tokio::test]
async fn a_connection_idle_beyond_the_clients_own_limit_is_closed() {
    let limits = Limits {
        header: Duration::from_millis(20),
        idle: Duration::from_millis(100),
        ..Limits::default()
    };
    let server = start_plain(limits);
    let mut client = server.connect().await;
    ask(&mut client).await;
    assert!(is_closed(&mut client).await);
    // Its place is free again.
    server.wait_for_metric("keysluice_connections 0").await;
}

#[tokio::test]
async fn too_many_requests_get_429_and_a_time_to_come_again() {
    let load = Load { body_bytes: 1000, ..Load::default() };
    let server = start(Manifests::default(), load, Limits::default(), MinVersion::Tls13);
    let (head, body) = ask(&mut server.connect().await).await;
    assert!(head.starts_with("http/1.1 429") && head.contains("\r\nretry-after: 1"), "{head}");
    assert!(body["response"]["status"]["message"].as_str().unwrap().starts_with("KS706"), "{body}");
    let text = server.metrics.text(&[]);
    assert!(text.contains("keysluice_requests_shed_total{limit=\"memory\"} 1\n"), "{text}");
    assert!(
        text.contains("keysluice_requests_refused_total{status=\"429\",reason=\"KS706\"} 1\n"),
        "{text}"
    );
}

#[tokio::test]
async fn once_the_uid_is_known_overload_is_a_denial_with_429() {
    let server =
        start(Silent, Load { lookups: 1, ..Load::default() }, Limits::default(), MinVersion::Tls13);
    let (mut first, mut second) = (server.connect().await, server.connect().await);
    send(&mut first, &review()).await;
    server.wait_for_metric("keysluice_requests_in_flight 1").await;
    let (head, body) = ask(&mut second).await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    let response = &body["response"];
    assert_eq!(
        (&response["allowed"], &response["uid"]),
        (&false.into(), &"705ab4f5-6393-11e8-b7cc-42010a800002".into())
    );
    let status = &response["status"];
    assert_eq!((&status["code"], &status["reason"]), (&429.into(), &"TooManyRequests".into()));
    assert_eq!(status["details"]["retryAfterSeconds"], 1);
    assert!(
        server
            .metrics
            .text(&[])
            .contains("keysluice_reviews_total{outcome=\"denied\",reason=\"KS706\"} 1\n")
    );
}

#[tokio::test]
async fn a_draining_server_answers_accepts_and_closes_no_idle_connection_until_it_ends() {
    let mut server = start_plain(Limits { drain: Duration::from_secs(5), ..Limits::default() });
    let (mut known, mut idle) = (server.connect().await, server.connect().await);
    assert!(!ask(&mut known).await.0.contains("connection: close"));
    server.drain().await;
    let (head, _) = ask(&mut known).await;
    assert!(head.starts_with("http/1.1 200") && head.contains("connection: close"), "{head}");
    assert!(is_closed(&mut known).await);
    assert!(ask(&mut server.connect().await).await.0.contains("connection: close"));
    let early = tokio::time::timeout(Duration::from_millis(100), idle.read_u8()).await;
    assert!(early.is_err(), "an idle connection was closed while a request could be on its way");
    assert!(is_closed(&mut idle).await);
    server.ended.await.unwrap();
}

#[tokio::test]
async fn a_request_in_flight_outlives_the_drain() {
    let limits =
        Limits { drain: Duration::ZERO, finish: Duration::from_secs(10), ..Limits::default() };
    let mut server = start_plain(limits);
    let mut client = server.connect().await;
    let body = review();
    let head = format!(
        "POST /mutate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: \
         {}\r\n\r\n",
        body.len()
    );
    client.write_all(head.as_bytes()).await.unwrap();
    client.flush().await.unwrap();
    server.wait_for_metric("keysluice_requests_in_flight 1").await;
    server.drain().await;
    client.write_all(&body).await.unwrap();
    client.flush().await.unwrap();
    assert!(receive(&mut client).await.0.starts_with("http/1.1 200"));
    server.ended.await.unwrap();
}

#[tokio::test]
async fn http_2_is_told_to_go_away_with_the_first_answer_of_a_draining_server() {
    const SETTINGS: u8 = 4;
    const GOAWAY: u8 = 7;
    let mut server = start_plain(Limits::default());
    let mut client = server.try_connect(b"h2", &[&rustls::version::TLS13]).await.unwrap();
    let settings = [0, 0, 0, SETTINGS, 0, 0, 0, 0, 0];
    client
        .write_all(&[&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &settings].concat())
        .await
        .unwrap();
    client.flush().await.unwrap();
    server.drain().await;
    let quiet =
        tokio::time::timeout(Duration::from_millis(100), frames_until(&mut client, GOAWAY)).await;
    assert!(quiet.is_err(), "an idle connection was told to go away");
    // GET https / with end of headers and stream: three entries of the static table.
    client.write_all(&[0, 0, 3, 1, 5, 0, 0, 0, 1, 0x82, 0x87, 0x84]).await.unwrap();
    client.flush().await.unwrap();
    let frames = tokio::time::timeout(Duration::from_secs(10), frames_until(&mut client, GOAWAY))
        .await
        .unwrap();
    assert!(frames.contains(&1) && frames.ends_with(&[GOAWAY]), "{frames:?}");
}

/// Types of the frames up to the first of one type.
async fn frames_until(client: &mut Client, last: u8) -> Vec<u8> {
    let mut types = Vec::new();
    while types.last() != Some(&last) {
        let mut head = [0; 9];
        client.read_exact(&mut head).await.unwrap();
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        client.read_exact(&mut vec![0; length]).await.unwrap();
        types.push(head[3]);
    }
    types
}

#[tokio::test]
async fn a_pod_waits_as_often_as_it_names_classes() {
    let server = start(
        Silent,
        Load { lookups: 16, ..Load::default() },
        Limits::default(),
        MinVersion::Tls13,
    );
    let review = |namespace: &str, classes: usize| {
        let volume = |number: usize| {
            let class = json!({"secretProviderClass": format!("c{number}")});
            json!({"name": format!("v{number}"),
                "csi": {"driver": CSI_DRIVER, "readOnly": true, "volumeAttributes": class}})
        };
        let spec = json!({"containers": [{"name": "c"}],
            "volumes": (0..classes).map(volume).collect::<Vec<_>>()});
        let object = json!({"kind": "Pod", "metadata": {"name": "p"}, "spec": spec});
        let request =
            json!({"uid": "u", "namespace": namespace, "operation": "CREATE", "object": object});
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})
            .to_string()
    };
    let (mut first, mut second) = (server.connect().await, server.connect().await);
    send(&mut first, review("greedy", 11).as_bytes()).await;
    server.wait_for_metric("keysluice_requests_in_flight 1").await;
    send(&mut second, review("greedy", 2).as_bytes()).await;
    let (_, body) = receive(&mut second).await;
    assert!(
        body["response"]["status"]["message"].as_str().unwrap().starts_with("KS706 "),
        "{body}"
    );
    send(&mut second, review("greedy", 1).as_bytes()).await;
    server.wait_for_metric("keysluice_requests_in_flight 2").await;
    // The last quarter is for namespaces that wait for little.
    let mut modest = server.connect().await;
    send(&mut modest, review("modest", 1).as_bytes()).await;
    server.wait_for_metric("keysluice_requests_in_flight 3").await;
    let waits = tokio::time::timeout(Duration::from_millis(100), second.read_u8()).await;
    assert!(waits.is_err(), "there was room for one");
}
