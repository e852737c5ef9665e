//! One caller may have everything that is free, and nobody is kept out by what another holds.

use super::{Objects, Steady, Webhook, client, connect, exchange, post_bytes};
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinSet;

const ONE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_creations_from_one_address_while_another_holds_its_share() {
    let objects = Objects::of(&["shop"], "");
    let Some(webhook) = Webhook::start("creations", &["--objects", objects.path()]) else { return };
    let webhook = Arc::new(webhook);
    let mut kept = Vec::new();
    for index in 0..600 {
        let mut stream = connect(&webhook, OTHER, b"http/1.1").await.unwrap();
        if index % 2 == 0 {
            let head = "POST /mutate HTTP/1.1\r\nhost: x\r\ncontent-type: \
                application/json\r\ncontent-length: 9999\r\n\r\n{";
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.flush().await.unwrap();
        }
        kept.push(stream);
    }
    let request: Arc<[u8]> =
        post_bytes("/mutate", &keysluice_bench::review(&keysluice_bench::pod(4096))).into();
    let begun = Instant::now();
    let mut creations = JoinSet::new();
    for _ in 0..500 {
        let (webhook, request) = (Arc::clone(&webhook), Arc::clone(&request));
        creations.spawn(async move {
            let mut stream = connect(&webhook, ONE, b"http/1.1")
                .await
                .map_err(|error| format!("connect: {error}"))?;
            let answer = exchange(&mut stream, &request)
                .await
                .map_err(|error| format!("exchange: {error}"))?;
            Ok::<_, String>((answer.0, answer.1["response"]["allowed"].clone(), stream))
        });
    }
    let answers = creations.join_all().await;
    let refused: Vec<_> = answers
        .iter()
        .filter(|answer| !matches!(answer, Ok((200, allowed, _)) if *allowed == true))
        .collect();
    println!("500 creations in {:.1?}; peak {} MiB", begun.elapsed(), webhook.peak_bytes() >> 20);
    assert!(refused.is_empty(), "{} refused: {:?}", refused.len(), refused.first());
    webhook.assert_held();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_on_one_connection_is_answered_while_bodies_do_not_come() {
    let objects = Objects::of(&["shop", "quiet"], "");
    let Some(webhook) = Webhook::start("burst", &["--objects", objects.path()]) else { return };
    let body = Bytes::from(keysluice_bench::review(&keysluice_bench::pod(4096)));
    let stream = connect(&webhook, ONE, b"h2").await.unwrap();
    let (caller, driver) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(driver);
    for _ in 0..10 {
        let burst = (0..20).map(|_| {
            let mut caller = caller.clone();
            let request = Request::post("https://localhost/mutate")
                .header("content-type", "application/json");
            let request = request.body(Full::new(body.clone())).unwrap();
            tokio::spawn(async move {
                caller.send_request(request).await.map(|response| response.status())
            })
        });
        for answer in burst.collect::<Vec<_>>() {
            assert_eq!(answer.await.unwrap().unwrap(), 200);
        }
    }
    webhook.assert_held();
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_not_taken_kill_nothing() {
    let objects = Objects::of(&["shop", "quiet"], "");
    let Some(webhook) = Webhook::start("answers", &["--objects", objects.path()]) else { return };
    let steady = Steady::start(&webhook, OTHER, "quiet");
    let body = Bytes::from(keysluice_bench::review(&keysluice_bench::pod(4096)));
    let mut kept = Vec::new();
    for _ in 0..60 {
        let Ok(stream) = connect(&webhook, ONE, b"h2").await else { continue };
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(0);
        let Ok((caller, driver)) = builder.handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await
        else {
            continue;
        };
        let driver = tokio::spawn(driver);
        for _ in 0..90 {
            let mut caller = caller.clone();
            let request = Request::post("https://localhost/mutate")
                .header("content-type", "application/json");
            let request = request.body(Full::new(body.clone())).unwrap();
            kept.push(tokio::spawn(async move {
                let response = caller.send_request(request).await;
                tokio::time::sleep(Duration::from_secs(60)).await;
                drop(response);
            }));
        }
        kept.push(tokio::spawn(async move { drop(driver.await) }));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let answered = steady.stop().await;
    kept.iter().for_each(tokio::task::JoinHandle::abort);
    let back = webhook.until_it_serves().await;
    println!(
        "answers: peak {} MiB; {}; serves after {back:.1?}",
        webhook.peak_bytes() >> 20,
        answered.line()
    );
    webhook.assert_held();
    assert!(answered.refused.is_empty(), "{:?}", answered.refused);
    super::assert_prompt(&answered, back);
}

/// A class whose `objects` have very many elements, none of them an object.
fn heavy_class(elements: usize) -> String {
    let objects = format!("array: [{}]", vec!["~"; elements].join(","));
    serde_json::json!({"apiVersion": "secrets-store.csi.x-k8s.io/v1", "kind": "SecretProviderClass",
        "metadata": {"name": "heavy", "namespace": "greedy"},
        "spec": {"provider": "azure", "parameters": {"keyvaultName": "kv", "objects": objects}}})
    .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn expensive_reviews_of_one_namespace_delay_another_by_one_of_them() {
    let objects = Objects::of(&["greedy", "quiet"], &heavy_class(100_000));
    let Some(webhook) = Webhook::start("turns", &["--objects", objects.path()]) else { return };
    let webhook = Arc::new(webhook);
    let mut pod = keysluice_bench::pod(4096);
    pod["spec"]["volumes"] = serde_json::json!([{"name": "v",
        "csi": {"driver": "secrets-store.csi.k8s.io",
        "readOnly": true, "volumeAttributes": {"secretProviderClass": "heavy"}}}]);
    let request: Arc<[u8]> = post_bytes("/mutate", &client::review_in("greedy", pod)).into();
    let begun = Instant::now();
    let mut stream = connect(&webhook, ONE, b"http/1.1").await.unwrap();
    exchange(&mut stream, &request).await.unwrap();
    let one = begun.elapsed();
    let steady = Steady::start(&webhook, ONE, "quiet");
    let mut expensive = JoinSet::new();
    for _ in 0..64 {
        let (webhook, request) = (Arc::clone(&webhook), Arc::clone(&request));
        expensive.spawn(async move {
            let mut stream = connect(&webhook, ONE, b"http/1.1").await.unwrap();
            for _ in 0..3 {
                let (status, body) = exchange(&mut stream, &request).await.unwrap();
                assert_eq!(status, 200, "{body}");
            }
        });
    }
    expensive.join_all().await;
    let answered = steady.stop().await;
    println!("turns: one takes {one:.1?}; {}", answered.line());
    webhook.assert_held();
    assert!(answered.refused.is_empty(), "{:?}", answered.refused);
    // The first call makes a connection, which is a few turns; without turns it is 64 of them.
    let limit = 8 * one + Duration::from_millis(500);
    assert!(answered.permille(990) < limit, "{}", answered.line());
}
