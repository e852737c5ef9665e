//! HTTP/2, as the API server speaks it: reviews, overload, certificates, draining.

use crate::suite::server::listener::{Server, Silent, ask, review, start, start_plain};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Frame};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use keysluice::cluster::Cluster;
use keysluice::cluster::manifests::Manifests;
use keysluice::server::{Limits, Load, MinVersion};
use keysluice_certs::CertificateAuthority;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// A body of which a part comes at once and the rest never.
struct Unfinished(Option<Bytes>);

impl Body for Unfinished {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.take().map_or(Poll::Pending, |part| Poll::Ready(Some(Ok(Frame::data(part)))))
    }
}

type Caller<B> = SendRequest<B>;

/// What nobody waits for.
const LONG: Duration = Duration::from_secs(60);

async fn connect<C: Cluster, B>(server: &Server<C>) -> Caller<B>
where
    B: Body<Data = Bytes, Error = Infallible> + Send + Unpin + 'static,
{
    connect_with(server, 1 << 20).await
}

async fn connect_with<C: Cluster, B>(server: &Server<C>, window: u32) -> Caller<B>
where
    B: Body<Data = Bytes, Error = Infallible> + Send + Unpin + 'static,
{
    let stream = server.try_connect(b"h2", &[&rustls::version::TLS13]).await.unwrap();
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(window);
    let (caller, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    caller
}

fn request<B>(length: usize, body: B) -> Request<B> {
    let request =
        Request::post("https://127.0.0.1/mutate").header("content-type", "application/json");
    request.header("content-length", length).body(body).unwrap()
}

fn whole() -> Request<Full<Bytes>> {
    request(review().len(), Full::new(review()))
}

async fn read(response: Response<hyper::body::Incoming>) -> (u16, Value) {
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn a_review_is_answered() {
    let server = start_plain(Limits::default());
    let mut caller = connect(&server).await;
    let (status, body) = read(caller.send_request(whole()).await.unwrap()).await;
    assert_eq!(
        (status, &body["response"]["uid"]),
        (200, &"705ab4f5-6393-11e8-b7cc-42010a800002".into())
    );
    server.wait_for_metric("keysluice_requests_in_flight 0").await;
}

#[tokio::test]
async fn bodies_that_are_announced_and_do_not_come_keep_nobody_out() {
    let load = Load { requests: 5, body_bytes: 64 << 10, body_time: LONG, ..Load::default() };
    let server = start(Manifests::default(), load, Limits::default(), MinVersion::Tls13);
    let mut greedy = connect(&server).await;
    let _open: Vec<_> =
        (0..20).map(|_| greedy.send_request(request(7 << 20, Unfinished(None)))).collect();
    server.wait_for_metric("keysluice_requests_in_flight 20").await;
    // A request takes a place when its body is there: also on this connection there is one.
    let whole_one = request(review().len(), Unfinished(Some(review())));
    assert_eq!(greedy.send_request(whole_one).await.unwrap().status(), 200);
    let (head, _) = ask(&mut server.connect().await).await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    let mut other = connect(&server).await;
    assert_eq!(other.send_request(whole()).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_body_without_room_is_answered_before_it_is_complete_and_takes_no_place() {
    let load = Load { body_bytes: 4000, body_time: LONG, ..Load::default() };
    let server = start(Manifests::default(), load, Limits::default(), MinVersion::Tls13);
    let mut caller = connect(&server).await;
    let begun = Instant::now();
    let body = Unfinished(Some(Bytes::from_static(&[b' '; 2000])));
    let (status, body) = read(caller.send_request(request(5000, body)).await.unwrap()).await;
    assert!(status == 429 && begun.elapsed() < LONG, "{status} after {:?}", begun.elapsed());
    assert!(body["response"]["status"]["message"].as_str().unwrap().starts_with("KS706"), "{body}");
    server.wait_for_metric("keysluice_requests_in_flight 0").await;
}

#[tokio::test]
async fn answers_that_nobody_takes_do_not_keep_a_connection_open() {
    let (header, finish) = (Duration::from_millis(20), Duration::from_millis(500));
    let server = start_plain(Limits { header, finish, ..Limits::default() });
    let mut caller = connect_with(&server, 0).await;
    let response = caller.send_request(whole()).await.unwrap();
    server.wait_for_metric("keysluice_connections 0").await;
    server.wait_for_metric("keysluice_requests_in_flight 0").await;
    assert!(response.into_body().collect().await.is_err());
}

#[tokio::test]
async fn a_request_that_is_given_up_leaves_nothing_behind() {
    let (header, idle) = (Duration::from_millis(20), Duration::from_millis(100));
    let server = start(
        Silent,
        Load::default(),
        Limits { header, idle, ..Limits::default() },
        MinVersion::Tls13,
    );
    let mut caller = connect(&server).await;
    let waiting = tokio::spawn(caller.send_request(whole()));
    server.wait_for_metric("keysluice_requests_in_flight 1").await;
    waiting.abort();
    server.wait_for_metric("keysluice_requests_in_flight 0").await;
    // Nothing is open on it, so it is idle.
    server.wait_for_metric("keysluice_connections 0").await;
    drop(caller);
}

#[tokio::test]
async fn a_connection_that_never_begins_is_closed() {
    let (header, idle) = (Duration::from_millis(20), Duration::from_millis(100));
    let server = start_plain(Limits { header, idle, ..Limits::default() });
    let _silent = server.try_connect(b"h2", &[&rustls::version::TLS13]).await.unwrap();
    // It was counted before its handshake.
    server.wait_for_metric("keysluice_connections 0").await;
}

#[tokio::test]
async fn an_idle_connection_that_makes_room_is_told_to_go_and_may_finish() {
    let header = Duration::from_millis(200);
    let server = start_plain(Limits { connections: 1, header, ..Limits::default() });
    let stream = server.try_connect(b"h2", &[&rustls::version::TLS13]).await.unwrap();
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut caller, connection) = handshake.await.unwrap();
    let connection = tokio::spawn(connection);
    assert_eq!(caller.send_request(whole()).await.unwrap().status(), 200);
    assert_eq!(connect(&server).await.send_request(whole()).await.unwrap().status(), 200);
    // GOAWAY; a connection that is cut off ends with an error.
    connection.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_new_certificate_is_for_new_connections_and_a_draining_server_answers_the_old_ones() {
    let mut server = start_plain(Limits { drain: LONG, ..Limits::default() });
    let (mut old, mut idle) = (connect(&server).await, connect::<_, Full<Bytes>>(&server).await);
    assert_eq!(old.send_request(whole()).await.unwrap().status(), 200);
    let authority = CertificateAuthority::generate().unwrap();
    let leaf = authority.issue(&["127.0.0.1".to_owned()]).unwrap();
    server.slot.store(leaf.chain, leaf.key).unwrap();
    assert_eq!(old.send_request(whole()).await.unwrap().status(), 200);
    server.ca = CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap();
    let mut new = connect(&server).await;
    assert_eq!(new.send_request(whole()).await.unwrap().status(), 200);
    server.drain().await;
    for caller in [&mut old, &mut new] {
        let (status, body) = read(caller.send_request(whole()).await.unwrap()).await;
        assert_eq!(
            (status, &body["response"]["uid"]),
            (200, &"705ab4f5-6393-11e8-b7cc-42010a800002".into())
        );
    }
    assert!(idle.ready().await.is_ok(), "an idle connection was closed");
    assert_eq!(connect(&server).await.send_request(whole()).await.unwrap().status(), 200);
}

#[tokio::test]
async fn an_idle_connection_ends_with_the_drain() {
    let mut server = start_plain(Limits { drain: Duration::ZERO, ..Limits::default() });
    let mut idle = connect::<_, Full<Bytes>>(&server).await;
    assert_eq!(idle.send_request(whole()).await.unwrap().status(), 200);
    server.drain().await;
    server.ended.await.unwrap();
    assert!(idle.send_request(whole()).await.is_err());
}
