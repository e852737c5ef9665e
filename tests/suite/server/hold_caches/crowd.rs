//! An API server with many objects, and the objects.

use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Accounts and classes of the ordinary namespace: less than its share where 500 others are full.
pub(super) const ORDINARY: usize = 10;

pub(super) type Objects = Box<dyn Fn(usize) -> String + Send + Sync>;

/// An API server with many objects, which are made as they are sent. Nothing can be read from it
/// one by one.
pub(super) struct Crowd {
    pub(super) accounts: (usize, Objects),
    pub(super) classes: (usize, Objects),
    /// Whether it lists page by page, as those before 1.34 do.
    pub(super) pages: bool,
}

impl Crowd {
    pub(super) fn of_accounts(
        count: usize,
        account: impl Fn(usize) -> String + Send + Sync + 'static,
    ) -> Self {
        Self {
            accounts: (count, Box::new(account)),
            classes: (0, Box::new(|_| String::new())),
            pages: false,
        }
    }

    pub(super) fn of_classes(
        count: usize,
        class: impl Fn(usize) -> String + Send + Sync + 'static,
    ) -> Self {
        Self {
            accounts: (0, Box::new(|_| String::new())),
            classes: (count, Box::new(class)),
            pages: false,
        }
    }

    /// Listens, and gives the kubeconfig that leads here.
    pub(super) async fn listen(self, directory: &std::path::Path) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let kubeconfig = kubeconfig(directory, listener.local_addr().unwrap());
        let crowd = Arc::new(self);
        tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                let crowd = Arc::clone(&crowd);
                // A client that goes away is none of our business.
                tokio::spawn(async move { crowd.serve(stream).await });
            }
        });
        kubeconfig
    }

    async fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        loop {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if stream.read_line(&mut head).await? == 0 {
                    return Ok(());
                }
            }
            let path = head.split(' ').nth(1).unwrap_or_default();
            let (path, query) = path.split_once('?').unwrap_or((path, ""));
            let (count, object) = match path.rsplit('/').next() {
                Some("serviceaccounts") => (&self.accounts.0, Some(&self.accounts.1)),
                Some("secretproviderclasses") => (&self.classes.0, Some(&self.classes.1)),
                Some("csidrivers") => (&0, None),
                _ => {
                    write(
                        &mut stream,
                        "403 Forbidden",
                        r#"{"kind":"Status","code":403,"metadata":{}}"#,
                    )
                    .await?;
                    continue;
                }
            };
            // Ordinary ones come last, when all room is taken.
            let ordinary = match (object, path.ends_with("serviceaccounts")) {
                (None, _) => Vec::new(),
                (_, true) => (0..ORDINARY).map(ordinary_account).collect(),
                (_, false) => (0..ORDINARY).map(ordinary_class).collect::<Vec<_>>(),
            };
            let all = count + ordinary.len();
            let object = |index: usize| match object {
                Some(object) if index < *count => object(index),
                _ => ordinary[index - count].clone(),
            };
            let number = |key: &str| {
                query.split('&').find_map(|pair| pair.strip_prefix(key)?.parse::<usize>().ok())
            };
            if !query.contains("watch=true") {
                let begin = number("continue=").unwrap_or_default();
                let end = (begin + number("limit=").unwrap_or(all)).min(all);
                let items: Vec<String> = (begin..end).map(object).collect();
                let next = if end < all { end.to_string() } else { String::new() };
                let metadata = json!({"resourceVersion": "5", "continue": next});
                write(
                    &mut stream,
                    "200 OK",
                    &format!(r#"{{"metadata":{metadata},"items":[{}]}}"#, items.join(",")),
                )
                .await?;
            } else if query.contains("sendInitialEvents") && self.pages {
                write(
                    &mut stream,
                    "422 Unprocessable",
                    r#"{"kind":"Status","code":422,"metadata":{}}"#,
                )
                .await?;
            } else {
                stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").await?;
                if query.contains("sendInitialEvents") {
                    for index in 0..all {
                        let line = format!("{{\"type\":\"ADDED\",\"object\":{}}}\n", object(index));
                        stream.write_all(line.as_bytes()).await?;
                    }
                    let end = json!({"k8s.io/initial-events-end": "true"});
                    let metadata =
                        json!({"metadata": {"resourceVersion": "5", "annotations": end}});
                    stream
                        .write_all(
                            format!("{}\n", json!({"type": "BOOKMARK", "object": metadata}))
                                .as_bytes(),
                        )
                        .await?;
                }
                // And once more as changes, which are of another path.
                for index in 0..(*count).min(100) {
                    let line = format!("{{\"type\":\"MODIFIED\",\"object\":{}}}\n", object(index));
                    stream.write_all(line.as_bytes()).await?;
                }
                let mut rest = String::new();
                stream.read_line(&mut rest).await?;
                return Ok(());
            }
        }
    }
}

async fn write(stream: &mut BufReader<TcpStream>, status: &str, body: &str) -> std::io::Result<()> {
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await
}

fn kubeconfig(directory: &std::path::Path, address: SocketAddr) -> String {
    let path = directory.join("kubeconfig");
    let text = format!(
        "current-context: t\nclusters: [{{name: t, cluster: {{server: \"http://{address}\"}}}}]\n\
         contexts: [{{name: t, context: {{cluster: t, user: t}}}}]\nusers: [{{name: t, user: \
         {{token: t}}}}]\n"
    );
    std::io::Write::write_all(&mut std::fs::File::create(&path).unwrap(), text.as_bytes()).unwrap();
    path.display().to_string()
}

fn metadata(namespace: &str, name: &str, annotations: &str) -> String {
    let annotations = format!(r#""annotations":{{{annotations}}}"#);
    let names = format!(r#""name":"{name}","namespace":"{namespace}""#);
    format!(r#""metadata":{{{annotations},{names},"resourceVersion":"5"}}"#)
}

pub(super) fn account(namespace: &str, name: &str, annotations: &str) -> String {
    format!("{{{}}}", metadata(namespace, name, annotations))
}

pub(super) fn class(namespace: &str, name: &str, spec: &str) -> String {
    format!("{{{},\"spec\":{spec}}}", metadata(namespace, name, ""))
}

fn ordinary_account(index: usize) -> String {
    let id = format!("8c1d7a52-66b0-4f3e-8a11-90d3c7e2{index:04}");
    account(
        "quiet",
        &format!("a{index}"),
        &format!(r#""azure.workload.identity/client-id":"{id}""#),
    )
}

fn ordinary_class(index: usize) -> String {
    let objects = "array:\n  - |\n    objectName: db\n    objectType: secret\n";
    let parameters = json!({"keyvaultName": "shop-kv", "tenantID": "t", "objects": objects});
    class(
        "quiet",
        &format!("c{index}"),
        &json!({"provider": "azure", "parameters": parameters}).to_string(),
    )
}
