//! What a test has in place of an API server or of a proxy: an answer for each path.

use super::Client;
use std::io::Write as _;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Status, content type, body.
pub(crate) type Answer = (u16, &'static str, String);

pub(crate) const JSON: &str = "application/json";

/// The server.
pub(crate) struct Stub {
    /// `127.0.0.1:PORT`.
    pub(crate) address: String,
    /// Method and target of every request.
    pub(crate) requests: Arc<Mutex<Vec<String>>>,
}

impl Stub {
    /// Answers each `METHOD TARGET`.
    pub(crate) async fn start(answer: fn(&str) -> Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let seen = Arc::clone(&requests);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, answer, Arc::clone(&seen)));
            }
        });
        Self { address, requests }
    }

    /// A client of it.
    pub(crate) fn client(&self) -> Client {
        client(&format!("server: 'http://{}'", self.address)).0
    }
}

/// A client of a cluster with these fields, and where its kubeconfig was.
pub(crate) fn client(cluster: &str) -> (Client, String) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("kubeconfig");
    let text = format!(
        "current-context: c\ncontexts: [{{name: c, context: {{cluster: k, user: u}}}}]\n\
         clusters: [{{name: k, cluster: {{{cluster}}}}}]\nusers: [{{name: u, user: {{token: \
         SECRET}}}}]\n"
    );
    std::fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
    (Client::connect(Some(&path)).unwrap(), path.display().to_string())
}

async fn serve(
    stream: TcpStream,
    answer: fn(&str) -> Answer,
    seen: Arc<Mutex<Vec<String>>>,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut head, mut length) = (String::new(), 0);
        while !head.ends_with("\r\n\r\n") {
            let begin = head.len();
            if stream.read_line(&mut head).await? == 0 {
                return Ok(());
            }
            if let Some(value) = head[begin..].to_lowercase().strip_prefix("content-length: ") {
                length = value.trim().parse().unwrap();
            }
        }
        stream.read_exact(&mut vec![0; length]).await?;
        let request = head.split(" HTTP/").next().unwrap_or_default().to_owned();
        let (status, kind, body) = answer(&request);
        seen.lock().unwrap().push(request);
        let length = body.len();
        let text = format!(
            "HTTP/1.1 {status} x\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(text.as_bytes()).await?;
    }
}
