//! The metrics port: what `status --output metrics` prints, for a scraper.

use crate::control::Request;
use crate::fault::{Class, Fault};
use crate::managed_identity::{finish, listen, request_line};
use crate::{log, metrics};
use keysluice_plan::reason::KS695;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{sleep, timeout};

/// At most this many connections at once; others wait to be accepted.
const MAX_CONNECTIONS: usize = 8;
/// A connection has one request, and ends after this.
const CONNECTION: Duration = Duration::from_secs(10);
/// A scraper sends its request at once: one that does not loses its place to those that wait.
const HEAD: Duration = Duration::from_secs(1);
/// Between two tries to accept, where the process is out of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves `GET /metrics` on this port of all addresses for ever; `requests` go to the sidecar.
///
/// # Errors
/// The port is taken, or cannot be bound.
pub(crate) fn start(port: u16, requests: mpsc::Sender<Request>) -> Result<(), Fault> {
    // The address of IPv6 takes IPv4 too; a pod without IPv6 does not have it.
    let listener = listen((Ipv6Addr::UNSPECIFIED, port).into())
        .or_else(|_| listen(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))))
        .map_err(|error| {
            let is_taken = error.kind() == ErrorKind::AddrInUse;
            let class = if is_taken { Class::Transient } else { Class::Permanent };
            Fault::new(KS695, class, format_args!("metrics port {port}: {error}"))
        })?;
    log::info(&format!("metrics: http on port {port}"));
    tokio::spawn(accept(listener, requests));
    Ok(())
}

async fn accept(listener: TcpListener, requests: mpsc::Sender<Request>) {
    let free = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&free).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let requests = requests.clone();
                tokio::spawn(async move {
                    let _ = timeout(CONNECTION, serve(stream, requests)).await;
                    drop(place);
                });
            }
            Err(_) => sleep(PAUSE).await,
        }
    }
}

async fn serve(mut stream: TcpStream, requests: mpsc::Sender<Request>) {
    let Ok(Some(line)) = timeout(HEAD, request_line(&mut stream)).await else { return };
    let mut words = line.split(' ');
    let (method, target) = (words.next(), words.next().unwrap_or_default());
    let path = target.split('?').next().unwrap_or_default();
    let (status, body) = match (method, path) {
        (Some("GET"), "/metrics") => match text(&requests).await {
            Some(text) => ("200 OK", text),
            None => ("503 Service Unavailable", String::new()),
        },
        (_, "/metrics") => ("405 Method Not Allowed\r\nAllow: GET", String::new()),
        _ => ("404 Not Found", "the port serves /metrics\n".to_owned()),
    };
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/openmetrics-text; version=1.0.0; \
         charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    if stream.write_all(answer.as_bytes()).await.is_ok() {
        finish(stream).await;
    }
}

async fn text(requests: &mpsc::Sender<Request>) -> Option<String> {
    let (sender, receiver) = oneshot::channel();
    requests.send(Request::Status(sender)).await.ok()?;
    metrics::open_metrics(&receiver.await.ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    async fn answer(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn metrics_are_served_and_nothing_else() {
        let listener = listen((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, mut requests) = mpsc::channel(1);
        tokio::spawn(accept(listener, sender));
        tokio::spawn(async move {
            while let Some(Request::Status(answer)) = requests.recv().await {
                let report = r#"{"ready": true, "version": "1", "failing": 0, "volumes": []}"#;
                answer.send(report.to_owned()).unwrap();
            }
        });
        for (request, status, body) in [
            ("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "200 OK", "\nkeysluice_ready 1\n"),
            ("GET /metrics?a=b HTTP/1.0\r\n\r\n", "200 OK", "\n# EOF\n"),
            ("GET / HTTP/1.1\r\n\r\n", "404 Not Found", "the port serves /metrics\n"),
            ("PUT /metrics HTTP/1.1\r\n\r\n", "405 Method Not Allowed", "Allow: GET\r\n"),
        ] {
            let answer = answer(address, request).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{answer}");
            assert!(answer.contains(body), "{answer}");
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
        }
    }

    #[tokio::test]
    async fn clients_that_send_nothing_do_not_keep_others_out_for_long() {
        let listener = listen((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, _requests) = mpsc::channel(1);
        tokio::spawn(accept(listener, sender));
        let mut silent = Vec::new();
        for _ in 0..2 * MAX_CONNECTIONS {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let request = "GET / HTTP/1.1\r\n\r\n";
        let served = timeout(CONNECTION / 2, answer(address, request)).await.unwrap();
        assert!(served.starts_with("HTTP/1.1 404"), "{served}");
    }

    #[tokio::test]
    async fn a_port_that_is_taken_is_named() {
        let taken = listen((Ipv6Addr::UNSPECIFIED, 0).into())
            .or_else(|_| listen((Ipv4Addr::UNSPECIFIED, 0).into()))
            .unwrap();
        let port = taken.local_addr().unwrap().port();
        let (sender, _requests) = mpsc::channel(1);
        let fault = start(port, sender).unwrap_err();
        assert!(fault.to_string().starts_with(&format!("KS695 metrics port {port}: ")), "{fault}");
        assert_eq!(fault.class, Class::Transient);
    }
}
