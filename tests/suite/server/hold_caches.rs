//! What tenants may create and the webhook lists, inside the chart's memory limit: it stays, gets
//! ready, and knows the ordinary objects of another namespace.

use crate::suite::server::hold::Webhook;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Accounts and classes of the ordinary namespace: less than its share where 500 others are full.
const ORDINARY: usize = 10;
const PEAK_LIMIT_BYTES: usize = 100 << 20;

/// Counts are those of the attacks, three times over, with a released binary
/// (`KEYSLUICE_HOLD_BINARY`); that of a test build reads a third of them in the same time.
fn many(count: usize) -> usize {
    if std::env::var_os("KEYSLUICE_HOLD_BINARY").is_some() { count } else { count / 3 }
}

type Objects = Box<dyn Fn(usize) -> String + Send + Sync>;

/// An API server with many objects, which are made as they are sent. Nothing can be read from it
/// one by one.
struct Crowd {
    accounts: (usize, Objects),
    classes: (usize, Objects),
    /// Whether it lists page by page, as those before 1.34 do.
    pages: bool,
}

impl Crowd {
    fn of_accounts(
        count: usize,
        account: impl Fn(usize) -> String + Send + Sync + 'static,
    ) -> Self {
        Self {
            accounts: (count, Box::new(account)),
            classes: (0, Box::new(|_| String::new())),
            pages: false,
        }
    }

    fn of_classes(count: usize, class: impl Fn(usize) -> String + Send + Sync + 'static) -> Self {
        Self {
            accounts: (0, Box::new(|_| String::new())),
            classes: (count, Box::new(class)),
            pages: false,
        }
    }

    /// Listens, and gives the kubeconfig that leads here.
    async fn listen(self, directory: &std::path::Path) -> String {
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
    format!(
        r#""metadata":{{"annotations":{{{annotations}}},"name":"{name}","namespace":"{namespace}","resourceVersion":"5"}}"#
    )
}

fn account(namespace: &str, name: &str, annotations: &str) -> String {
    format!("{{{}}}", metadata(namespace, name, annotations))
}

fn class(namespace: &str, name: &str, spec: &str) -> String {
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

/// The review of a pod in `quiet` with this account and class.
fn review(index: usize) -> Vec<u8> {
    let class = json!({"secretProviderClass": format!("c{index}")});
    let csi =
        json!({"driver": "secrets-store.csi.k8s.io", "readOnly": true, "volumeAttributes": class});
    let spec = json!({
        "serviceAccountName": format!("a{index}"), "containers": [{"name": "c"}],
        "volumes": [{"name": "secrets", "csi": csi}],
    });
    let metadata = json!({"name": "p", "labels": {"azure.workload.identity/use": "true"}});
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec});
    let request = json!({"uid": "u", "namespace": "quiet", "operation": "CREATE",
        "kind": {"group": "", "version": "v1", "kind": "Pod"}, "object": pod});
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})
        .to_string()
        .into_bytes()
}

/// Starts the webhook against the crowd: ready, in its limits, and all of the ordinary namespace is
/// cached.
async fn holds(name: &str, crowd: Crowd) {
    let scratch = tempfile::tempdir().unwrap();
    let kubeconfig = crowd.listen(scratch.path()).await;
    let Some(webhook) = Webhook::start(name, &["--kubeconfig", &kubeconfig]) else { return };
    let begun = Instant::now();
    while !webhook.is_ready().await {
        webhook.assert_held();
        assert!(begun.elapsed() < Duration::from_secs(300), "{name}: not ready: {}", webhook.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let ready = begun.elapsed();
    // What was read once comes again as changes.
    tokio::time::sleep(Duration::from_millis(500)).await;
    for index in 0..ORDINARY {
        let (status, answer) = webhook.post("/mutate", &review(index)).await.unwrap();
        let response: &Value = &answer["response"];
        assert!(status == 200 && response["allowed"] == true, "{name} {index}: {response}");
        let patch = BASE64_STANDARD.decode(response["patch"].as_str().unwrap()).unwrap();
        let patch = String::from_utf8(patch).unwrap();
        assert!(
            patch.contains(&format!("90d3c7e2{index:04}")) && patch.contains("shop-kv"),
            "{name}: {patch}"
        );
    }
    println!(
        "{name}: peak {} KiB, ready after {} ms",
        webhook.peak_bytes() >> 10,
        ready.as_millis()
    );
    webhook.assert_held();
    assert!(webhook.peak_bytes() <= PEAK_LIMIT_BYTES, "{name}: {} bytes", webhook.peak_bytes());
}

fn filled(start: &str, element: &str, end: &str, bytes: usize) -> String {
    let mut text = start.to_owned();
    while text.len() + element.len() + end.len() < bytes {
        text.push_str(element);
        text.push(',');
    }
    text.push_str(element);
    text.push_str(end);
    text
}

fn spec(shape: usize, bytes: usize) -> String {
    let start = r#"{"provider":"azure","parameters":{"keyvaultName":"kv-1","a":"b"},"#;
    let (field, element, end) = [
        (r#""secretObjects":["#, "{}", "]}"),
        (r#""secretObjects":[{"data":["#, r#"{"a":0}"#, "]}]}"),
        (r#""secretObjects":[{"data":["#, "{}", "]}]}"),
        (r#""x":["#, "0", "]}"),
        (r#""secretObjects":[{"labels":{"#, r#""":"""#, "}}]}"),
        // These are kept.
        (r#""y":["#, r#""x""#, r#"],"secretObjects":[{"secretName":"s"}]}"#),
        (r#""secretObjects":["#, r#"{"secretName":"secret"}"#, "]}"),
        (r#""secretObjects":[{"data":["#, r#"{"objectName":""}"#, "]}]}"),
    ][shape];
    filled(&format!("{start}{field}"), element, end, bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn classes_of_a_mebibyte_in_every_shape() {
    for pages in [false, true] {
        let classes = Crowd::of_classes(many(18), |index| {
            class("greedy", &format!("c{index}"), &spec(index % 5, 1_047_000))
        });
        holds("large-classes", Crowd { pages, ..classes }).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_metadata_of_classes_and_accounts() {
    let hostile = |name: &str, annotation: &str, rest: &str| {
        let managed = filled(r#""managedFields":["#, r#"{"f:a":{}}"#, "]", 1_000_000);
        let annotations = filled("", annotation, "", 250_000);
        format!(
            r#"{{"metadata":{{"annotations":{{{annotations}}},{managed},"name":"{name}","namespace":"greedy","resourceVersion":"5"}}{rest}}}"#
        )
    };
    for pages in [false, true] {
        let annotation = |index: usize| {
            [
                "\"a\":\"\"",
                "\"workload\":\"\"",
                "\"azure.workload.identity/x\":\"\\u0041\"",
                "\"a\":0",
            ][index % 4]
        };
        let account = move |index: usize| hostile(&format!("a{index}"), annotation(index), "");
        let class = move |index: usize| {
            hostile(
                &format!("c{index}"),
                annotation(index),
                &format!(",\"spec\":{}", spec(index % 5, 60_000)),
            )
        };
        holds(
            "large-metadata",
            Crowd {
                accounts: (many(60), Box::new(account)),
                classes: (many(60), Box::new(class)),
                pages,
            },
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_with_long_ids() {
    let id = "x".repeat(2000);
    let annotations = format!(r#""azure.workload.identity/client-id":"{id}""#);
    holds(
        "long-ids",
        Crowd::of_accounts(many(72_000), move |index| {
            account("greedy", &format!("a{index}"), &annotations)
        }),
    )
    .await;
    // As long as they may be.
    let id = "x".repeat(256);
    let annotations = format!(
        r#""azure.workload.identity/client-id":"{id}","azure.workload.identity/tenant-id":"{id}""#
    );
    let account =
        move |index: usize| account(&format!("n{}", index % 3), &format!("a{index}"), &annotations);
    holds("ids", Crowd::of_accounts(many(72_000), account)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_with_misspelt_annotations() {
    let keys: Vec<String> =
        (0..78).map(|number| format!(r#""azure.workload.identity/{number:02}":"""#)).collect();
    let annotations = keys.join(",");
    holds(
        "misspelt",
        Crowd::of_accounts(many(72_000), move |index| {
            account("greedy", &format!("a{index}"), &annotations)
        }),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_classes_than_fit_in_two_namespaces() {
    holds(
        "many-classes",
        Crowd::of_classes(840, |index| {
            let (namespace, name) = (["x", "y"][index % 2], format!("c{index}"));
            if index % 2 == 0 {
                let objects = "x".repeat(60_000);
                let parameters = json!({"keyvaultName": "kv-1", "objects": objects});
                return class(
                    namespace,
                    &name,
                    &json!({"provider": "azure", "parameters": parameters}).to_string(),
                );
            }
            class(namespace, &name, &spec(index / 2 % 8, 62_000))
        }),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_in_a_large_cluster() {
    let note = "x".repeat(1900);
    let annotations = format!(
        r#""note":"{note}","azure.workload.identity/client-id":"8c1d7a52-66b0-4f3e-8a11-90d3c7e2b4a8""#
    );
    let account = move |index: usize| {
        account(&format!("n{}", index % 500), &format!("a{index}"), &annotations)
    };
    let class = |index: usize| {
        let comment = "# ".repeat(30_000);
        let objects =
            format!("{comment}\\narray:\\n  - '{{objectName: db, objectType: secret}}'\\n");
        let spec = format!(
            r#"{{"provider":"azure","parameters":{{"keyvaultName":"kv-1","objects":"{objects}"}}}}"#
        );
        class(&format!("n{}", index % 500), &format!("c{index}"), &spec)
    };
    holds(
        "restart",
        Crowd {
            accounts: (many(50_000), Box::new(account)),
            classes: (many(2_000), Box::new(class)),
            pages: false,
        },
    )
    .await;
}
