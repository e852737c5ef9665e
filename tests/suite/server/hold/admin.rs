//! The admin port, and what the process keeps to itself.

use super::{Objects, Webhook};
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// An address of this machine beside the loopback; nothing is sent to find it.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    let address = socket.local_addr().unwrap().ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

/// All of a body but its end; the status line that comes all the same.
async fn status_of_half_a_body(
    webhook: &Webhook,
    address: IpAddr,
) -> std::io::Result<(String, TcpStream)> {
    let mut stream = TcpStream::connect((address, webhook.admin.port())).await?;
    let length = 2 << 20;
    let head = format!("PUT /log-level HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let (mut read, mut write) = stream.split();
    let mut answer = vec![0; 64];
    let body = vec![b'w'; length - 10];
    let written = write.write_all(&body);
    let answered = tokio::time::timeout(Duration::from_secs(10), read.read(&mut answer));
    let (_, answered) = tokio::join!(written, answered);
    answer.truncate(answered??);
    let status = String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned();
    Ok((status, stream))
}

#[tokio::test(flavor = "multi_thread")]
async fn who_changes_the_log_level_is_looked_at_before_a_body_is_read() {
    let objects = Objects::of(&["shop"], "");
    let Some(webhook) = Webhook::start("admin", &["--objects", objects.path()]) else { return };
    let Some(address) = own_address() else {
        return println!("skipped: this machine has no address beside the loopback");
    };
    let mut open = Vec::new();
    for (from, expected) in [(address, "403"), (Ipv4Addr::LOCALHOST.into(), "413")] {
        for _ in 0..3 * 66 {
            // A connection that is answered and still sends may be reset before the answer is read.
            if let Ok((status, stream)) = status_of_half_a_body(&webhook, from).await {
                assert!(
                    status.is_empty() || status.starts_with(&format!("HTTP/1.1 {expected}")),
                    "{status}"
                );
                open.push((status, stream));
            }
        }
    }
    assert!(open.iter().any(|(status, _)| !status.is_empty()), "no answer was read");
    println!("admin: {} held; peak {} KiB", open.len(), webhook.peak_bytes() >> 10);
    assert!(webhook.is_ready().await);
    webhook.assert_held();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_process_leaves_no_core_file() {
    let objects = Objects::of(&["shop"], "");
    let Some(webhook) = Webhook::start("core", &["--objects", objects.path()]) else { return };
    let limits = std::fs::read_to_string(webhook.proc("limits")).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).unwrap();
    let values: Vec<_> = line.split_ascii_whitespace().take(2).collect();
    assert_eq!(values, ["0", "0"]);
    // What is not dumpable belongs to root in /proc, whoever runs it.
    let owner =
        std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(webhook.proc("environ")).unwrap());
    assert_eq!(owner, 0);
}
