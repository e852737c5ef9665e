//! Strangers at the port for Plans.

use super::Scene;
use crate::suite::support::caller::Caller;
use keysluice_emulator::TokenClaims;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// One HTTP/1.1 request over a connection of its own; status and body.
pub(super) async fn send(scene: &Scene, head: &str, body: &[u8]) -> Option<(u16, String, String)> {
    let roots = [CertificateDer::from_pem_slice(&scene.authority()).unwrap()];
    let address = SocketAddr::from(([127, 0, 0, 1], scene.port));
    let mut connection = Caller::new(address, "localhost").connect(&roots).await.ok()?;
    let head = format!("{head}\r\nHost: x\r\nConnection: close\r\n\r\n");
    connection.write_all(head.as_bytes()).await.ok()?;
    let _ = connection.write_all(body).await;
    let _ = connection.flush().await;
    let mut answer = Vec::new();
    let _ =
        tokio::time::timeout(Duration::from_secs(20), connection.read_to_end(&mut answer)).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((status, head.to_owned(), body.to_owned()))
}

/// What a sidecar sends.
pub(super) fn head(token: &str, length: usize, extra: &str) -> String {
    format!(
        "POST /v1/plan HTTP/1.1\r\nAuthorization: Bearer {token}\r\nContent-Length: \
         {length}{extra}"
    )
}

/// The request of a pod that was admitted.
pub(super) async fn request(scene: &Scene) -> Value {
    let pod = scene.review().await.pod;
    let env = pod["spec"]["initContainers"][0]["env"][0]["value"].as_str().unwrap().to_owned();
    let plan: Value = serde_json::from_str(&env.replace("$$", "$")).unwrap();
    json!({"schema": 1, "classes": plan["source"]["classes"], "basis": plan["source"]["basis"]})
}

async fn code(scene: &Scene, head: &str, body: &[u8]) -> (u16, String) {
    let (status, _, body) = send(scene, head, body).await.unwrap();
    let body: Value = serde_json::from_str(&body).unwrap_or_default();
    (status, body["code"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn only_a_token_of_a_pod_for_the_webhook_gets_an_answer_and_that_of_its_namespace() {
    let scene = Scene::open().await;
    let body = request(&scene).await.to_string().into_bytes();
    let claims = || TokenClaims::new("default", super::ACCOUNT).audience("keysluice.dev");
    let told = |code: &str| code.to_owned();
    let mint = |claims: TokenClaims| scene.emulator.mint(claims);
    for token in [
        String::new(),
        "x".to_owned(),
        mint(claims().audience("api://AzureADTokenExchange")),
        mint(TokenClaims { expires: 1, ..claims() }),
        mint(TokenClaims { not_before: i64::MAX / 2, ..claims() }),
        mint(TokenClaims { issuer: Some("https://elsewhere".to_owned()), ..claims() }),
        mint(TokenClaims { forged: true, ..claims() }),
        mint(TokenClaims { subject: Some("system:serviceaccount:a:b".to_owned()), ..claims() }),
    ] {
        let answer = code(&scene, &head(&token, body.len(), ""), &body).await;
        assert_eq!(answer, (401, told("KS512")), "{token}");
    }
    let good = scene.token();
    let (status, answer_head, answer) =
        send(&scene, &head(&good, body.len(), ""), &body).await.unwrap();
    assert_eq!(status, 200, "{answer}");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!((&answer["volumes"], &answer["problems"]), (&Value::Null, &Value::Null));
    let etag = answer_head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap();
    let known = head(&good, body.len(), &format!("\r\nIf-None-Match: {etag}"));
    assert_eq!(send(&scene, &known, &body).await.unwrap().0, 304);
    // The same question in another namespace meets that namespace's classes.
    let elsewhere = mint(TokenClaims::new("other", "app").audience("keysluice.dev"));
    let (_, _, answer) = send(&scene, &head(&elsewhere, body.len(), ""), &body).await.unwrap();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let message = answer["problems"][0]["message"].as_str().unwrap();
    assert!(message.contains("KS515") && message.contains("other/"), "{message}");
}

#[tokio::test]
async fn what_is_not_a_request_of_a_sidecar_is_refused_within_bounds() {
    let scene = Scene::open().await;
    let token = scene.token();
    for (head, body, expected) in [
        ("GET /v1/plan HTTP/1.1".to_owned(), Vec::new(), (405, "KS513")),
        ("POST /mutate HTTP/1.1".to_owned(), Vec::new(), (404, "KS513")),
        (head(&token, 2, ""), b"{}".to_vec(), (400, "KS513")),
        (head(&token, 9, ""), b"[[[[[[[[[".to_vec(), (400, "KS513")),
        (head(&token, 1 << 20, ""), vec![b'x'; 1 << 20], (413, "KS513")),
        (head(&token, usize::MAX >> 1, ""), vec![b'x'; 1000], (413, "KS513")),
    ] {
        let (status, code) = code(&scene, &head, &body).await;
        assert_eq!((status, &*code), expected, "{head}");
    }
}

#[tokio::test]
async fn a_flood_at_the_port_of_plans_keeps_no_review_waiting() {
    let scene = Scene::open().await;
    let address = SocketAddr::from(([127, 0, 0, 1], scene.port));
    let roots = [CertificateDer::from_pem_slice(&scene.authority()).unwrap()];
    let ends = Instant::now() + Duration::from_secs(4);
    let flood = (0..32).map(|index| {
        let roots = roots.clone();
        tokio::spawn(async move {
            let mut held = Vec::new();
            while Instant::now() < ends {
                let caller = Caller::new(address, "localhost");
                match caller.connect(&roots).await {
                    // Some never send anything, others one byte.
                    Ok(mut connection) => {
                        if index % 2 == 0 {
                            let _ = connection.write_all(b"P").await;
                        }
                        held.push(connection);
                    }
                    Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
                }
            }
            held.len()
        })
    });
    let flood: Vec<_> = flood.collect();
    let mut slowest = Duration::ZERO;
    while Instant::now() < ends {
        let begun = Instant::now();
        assert_eq!(scene.review().await.response["allowed"], true);
        slowest = slowest.max(begun.elapsed());
    }
    let mut connected = 0;
    for task in flood {
        connected += task.await.unwrap();
    }
    println!("{connected} connections of a flood; the slowest review took {slowest:?}");
    // The API server waits for 5 s.
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    // 500 in a second, an eighth of them of one address, and what the test's start took.
    assert!(connected <= 500, "{connected}");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let body = request(&scene).await.to_string().into_bytes();
    let answer = send(&scene, &head(&scene.token(), body.len(), ""), &body).await.unwrap();
    assert_eq!(answer.0, 200);
}
