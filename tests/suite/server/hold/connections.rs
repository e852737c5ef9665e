//! Crowds of connections that do not do their part: none kills the webhook or keeps an ordinary
//! caller of another address out.

use super::{Objects, Steady, Webhook, connect};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::pki_types::ServerName;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinSet;
use tokio_rustls::client::TlsStream;

const ATTACKER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const ORDINARY: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// Connections opened at a time.
const AT_ONCE: usize = 800;
/// Open files of this process that are not for attackers: other tests run in it at the same time.
const FOR_OTHERS: u64 = 6000;
/// One attack at a time, as it was measured; how many connections it may hold open.
static CONNECTIONS: LazyLock<Mutex<u32>> = LazyLock::new(|| {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let files = limit.maximum.unwrap_or(1 << 20);
    Mutex::new(u32::try_from(files.saturating_sub(FOR_OTHERS).max(files / 4)).unwrap())
});
/// How long an attack goes on.
const ATTACK: Duration = Duration::from_secs(10);

/// What an attacker does with each of its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attack {
    Idle,
    HalfHead,
    HalfRecord,
    HeadAndHalfBody,
    HeadAlone,
    Chatty,
    Hello,
}

/// What a connection is kept in.
enum Open {
    Tls(Box<TlsStream<TcpStream>>),
    Tcp(TcpStream),
    Chatty(tokio::task::JoinHandle<()>),
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Self::Chatty(task) = self {
            task.abort();
        }
    }
}

/// A request for nothing each second.
async fn chat(mut stream: Box<TlsStream<TcpStream>>) {
    let mut answer = [0; 4096];
    while stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.is_ok()
        && stream.flush().await.is_ok()
    {
        if !matches!(stream.read(&mut answer).await, Ok(1..)) {
            return;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn open(webhook: &Webhook, attack: Attack, hello: &[u8]) -> io::Result<Open> {
    if attack == Attack::Hello {
        let mut stream = TcpStream::connect(webhook.listen).await?;
        stream.write_all(hello).await?;
        return Ok(Open::Tcp(stream));
    }
    let mut stream = Box::new(connect(webhook, ATTACKER, b"http/1.1").await?);
    match attack {
        Attack::Idle | Attack::Chatty | Attack::Hello => {}
        Attack::HeadAlone => {
            let head = "POST /mutate HTTP/1.1\r\nhost: x\r\ncontent-type: \
                application/json\r\ncontent-length: 40000\r\n\r\n";
            stream.write_all(head.as_bytes()).await?;
        }
        Attack::HalfHead => {
            let head = format!("POST /mutate HTTP/1.1\r\nhost: x\r\nx: {}", "x".repeat(15_000));
            stream.write_all(head.as_bytes()).await?;
        }
        Attack::HeadAndHalfBody => {
            let head = "POST /mutate HTTP/1.1\r\nhost: x\r\ncontent-type: \
                application/json\r\ncontent-length: 40000\r\nx: ";
            let head = format!("{head}{}\r\n\r\n{}", "x".repeat(14_900), " ".repeat(30_000));
            stream.write_all(head.as_bytes()).await?;
        }
        // Application data of 16 KiB, all but the last bytes.
        Attack::HalfRecord => {
            let record = [&[23, 3, 3, 0x40, 0x11][..], &[7; 16_300]].concat();
            stream.get_mut().0.write_all(&record).await?;
        }
    }
    stream.flush().await?;
    if attack == Attack::Chatty {
        return Ok(Open::Chatty(tokio::spawn(chat(stream))));
    }
    Ok(Open::Tls(stream))
}

/// The first bytes of a handshake, to be sent again and again without work for the sender.
fn recorded_hello() -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap();
    let config =
        builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let mut connection = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut hello = Vec::new();
    connection.write_tls(&mut hello).unwrap();
    hello
}

/// Opens so many connections (a third with a test build), each kept until all are open or its time
/// is over, while an ordinary caller goes on.
async fn attack(name: &str, attack: Attack, count: usize) {
    let most = CONNECTIONS.lock().await;
    let count = u32::try_from(super::many(count)).unwrap().min(*most);
    let objects = Objects::of(&["shop", "quiet"], "");
    let Some(webhook) = Webhook::start(name, &["--objects", objects.path()]) else { return };
    let webhook = Arc::new(webhook);
    let hello: Arc<[u8]> = recorded_hello().into();
    let steady = Steady::start(&webhook, ORDINARY, "quiet");
    let at_once = Arc::new(Semaphore::new(AT_ONCE));
    let begun = std::time::Instant::now();
    let mut attackers = JoinSet::new();
    for _ in 0..count {
        let (webhook, hello, at_once) =
            (Arc::clone(&webhook), Arc::clone(&hello), Arc::clone(&at_once));
        attackers.spawn(async move {
            // Again and again, until it is in or the attack is over.
            while begun.elapsed() < ATTACK {
                let permit = at_once.acquire().await;
                let opened =
                    tokio::time::timeout(Duration::from_secs(5), open(&webhook, attack, &hello))
                        .await;
                drop(permit);
                if let Ok(Ok(open)) = opened {
                    return Some(open);
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            None
        });
    }
    let opened: Vec<_> = attackers.join_all().await.into_iter().flatten().collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let answered = steady.stop().await;
    let peak = webhook.peak_bytes() >> 20;
    let count_opened = opened.len();
    drop(opened);
    let back = webhook.until_it_serves().await;
    println!(
        "{name}: {count_opened} of {count} opened; peak {peak} MiB; {}; serves after {back:.1?}",
        answered.line()
    );
    webhook.assert_held();
    assert!(answered.count() > 0 && answered.refused.is_empty(), "{:?}", answered.refused);
    super::assert_prompt(&answered, back);
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections() {
    attack("idle", Attack::Idle, 3 * 3684).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_heads() {
    attack("half-heads", Attack::HalfHead, 3 * 2230).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn incomplete_records() {
    attack("half-records", Attack::HalfRecord, 3 * 2093).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_with_half_a_body() {
    attack("half-bodies", Attack::HeadAndHalfBody, 3 * 1072).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_do_not_come() {
    attack("no-bodies", Attack::HeadAlone, 3 * 1300).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_chat() {
    attack("chatty", Attack::Chatty, 3 * 4096).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replayed_hellos() {
    attack("hellos", Attack::Hello, 3 * 3000).await;
}
