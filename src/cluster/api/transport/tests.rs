use super::*;
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::connect::HttpConnector;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

const LONG: Reuse = Reuse(Duration::from_secs(60));

/// Counts connections and requests; a request for `/late` is answered on a connection's first
/// request at once, and later never.
#[derive(Default)]
struct Server {
    connections: AtomicUsize,
    requests: AtomicUsize,
}

impl Server {
    async fn start() -> (Arc<Self>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let server = Arc::new(Self::default());
        let accepting = Arc::clone(&server);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                accepting.connections.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(Arc::clone(&accepting).serve(stream));
            }
        });
        (server, address)
    }

    async fn serve(self: Arc<Self>, stream: TcpStream) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        for number in 0.. {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if stream.read_line(&mut head).await? == 0 {
                    return Ok(());
                }
            }
            self.requests.fetch_add(1, Ordering::Relaxed);
            if head.starts_with("GET /late ") && number > 0 {
                std::future::pending::<()>().await;
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await?;
        }
        Ok(())
    }

    fn counts(&self) -> (usize, usize) {
        (self.connections.load(Ordering::Relaxed), self.requests.load(Ordering::Relaxed))
    }
}

fn transport() -> Transport<HttpConnector> {
    Transport::new(HttpConnector::new())
}

async fn get(transport: &Transport<HttpConnector>, uri: String, reuse: Option<Reuse>) {
    let mut request = Request::get(uri).body(Body::empty()).unwrap();
    if let Some(reuse) = reuse {
        request.extensions_mut().insert(reuse);
    }
    let response = transport.clone().send(request).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "{}");
}

#[tokio::test]
async fn only_a_request_that_may_be_repeated_takes_an_idle_connection() {
    let ((server, address), transport) = (Server::start().await, transport());
    get(&transport, address.clone(), None).await;
    get(&transport, address.clone(), Some(LONG)).await;
    assert_eq!(server.counts(), (1, 2));
    get(&transport, address, None).await;
    assert_eq!(server.counts(), (2, 3));
}

#[tokio::test]
async fn a_silent_idle_connection_is_given_up_once_and_a_new_one_is_waited_for() {
    let ((server, address), transport) = (Server::start().await, transport());
    get(&transport, address.clone(), None).await;
    get(&transport, format!("{address}/late"), Some(Reuse(Duration::from_millis(50)))).await;
    assert_eq!(server.counts(), (2, 3));
}

#[tokio::test]
async fn a_slow_answer_on_an_idle_connection_is_waited_for_within_its_time() {
    let ((server, address), transport) = (Server::start().await, transport());
    get(&transport, address.clone(), None).await;
    let late = get(&transport, format!("{address}/late"), Some(LONG));
    tokio::time::timeout(Duration::from_millis(300), late).await.unwrap_err();
    assert_eq!(server.counts(), (1, 2));
    // The abandoned connection is not used again.
    get(&transport, address, Some(LONG)).await;
    assert_eq!(server.counts(), (2, 3));
}
