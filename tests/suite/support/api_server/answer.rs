//! One request to the stand-in.

use super::world::{
    BINDINGS, CLASSES, CONFIGURATIONS, DRIVERS, Fault, GetFault, SECRETS, SERVICE_ACCOUNTS,
    WORKLOADS, World,
};
use super::{exec, write};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// A body whose pieces come one by one; an error cuts the connection.
pub(super) struct Pieces(mpsc::Receiver<io::Result<Bytes>>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}

pub(super) async fn answer(
    request: Request<Incoming>,
    shared: Arc<Mutex<World>>,
) -> Result<Response<Pieces>, Infallible> {
    let uri = request.uri().clone();
    let agent = request
        .headers()
        .get("user-agent")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let resources =
        [SERVICE_ACCOUNTS, CLASSES, DRIVERS, SECRETS, CONFIGURATIONS, WORKLOADS, BINDINGS];
    let resource =
        resources.into_iter().find(|name| uri.path().split('/').any(|part| part == *name));
    let query: HashMap<String, String> = uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter_map(|pair| {
            pair.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()))
        })
        .collect();
    {
        let mut world = shared.lock().unwrap();
        world.requests.push(uri.to_string());
        world.methods.push(request.method().clone());
        world.user_agents.push(agent.to_owned());
        world.pulse();
        let presented = request.headers().get("authorization").map(HeaderValue::as_bytes);
        if presented != Some(format!("Bearer {}", world.token).as_bytes()) {
            return Ok(status(401, "Unauthorized"));
        }
        let is_forbidden =
            |plural: &String| uri.path().split('/').any(|part| part == plural.as_str());
        if world.forbidden.iter().any(is_forbidden) {
            return Ok(status(403, "the user may not do this"));
        }
    }
    if uri.path().ends_with("/selfsubjectaccessreviews") {
        return Ok(review(request, &shared).await);
    }
    let exec = shared.lock().unwrap().commands.get(uri.path()).cloned();
    if let Some(exec) = exec {
        return Ok(exec::answer(request, exec));
    }
    let Some(resource) = resource else { return Ok(document(request, &shared).await) };
    if request.method() != Method::GET {
        let fault = shared.lock().unwrap().next_fault(resource);
        if let Some(Fault::Status(code)) = fault {
            return Ok(status(code, "as the test wants it"));
        }
        let written = write::answer(request, resource, &shared).await;
        let delay = shared.lock().unwrap().write_delay;
        tokio::time::sleep(delay).await;
        return Ok(match written {
            Ok(object) => body(200, &object),
            Err((code, message)) => status(code, message),
        });
    }
    let listed = uri.path().ends_with(resource);
    if !listed {
        return Ok(get(uri.path(), resource, &shared).await);
    }
    let mut world = shared.lock().unwrap();
    if resource == CLASSES && !world.classes_installed {
        return Ok(text(404, "404 page not found\n"));
    }
    let fault = world.next_fault(resource);
    if fault == Some(Fault::ProxyNotFound) {
        return Ok(text(404, "<html>no such backend</html>"));
    }
    if let Some(Fault::Status(code)) = fault {
        return Ok(status(code, "as the test wants it"));
    }
    if query.get("watch").map(String::as_str) != Some("true") {
        return Ok(page(&world, resource, namespace_of(uri.path()), &query));
    }
    let initial = query.contains_key("sendInitialEvents");
    if initial && !world.streams_lists {
        return Ok(status(
            422,
            "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled",
        ));
    }
    let from: u64 =
        query.get("resourceVersion").and_then(|version| version.parse().ok()).unwrap_or_default();
    if !initial && from < world.compacted {
        return Ok(status(410, "too old resource version"));
    }
    let (sender, receiver) = mpsc::channel(4);
    let stream = Stream { sender, fault, sent: 0 };
    tokio::spawn(stream.run(Arc::clone(&shared), resource, initial, from, world.epoch));
    Ok(Response::new(Pieces(receiver)))
}

async fn get(path: &str, resource: &'static str, shared: &Mutex<World>) -> Response<Pieces> {
    let mut parts = path.rsplit('/');
    let name = parts.next().unwrap_or_default();
    let namespace = if [DRIVERS, CONFIGURATIONS, WORKLOADS].contains(&resource) {
        ""
    } else {
        parts.nth(1).unwrap_or_default()
    };
    let (found, fault, mut pulse) = {
        let mut world = shared.lock().unwrap();
        let fault = world.passing_get_fault.take().or(world.get_fault);
        (world.find(resource, namespace, name).cloned(), fault, world.subscribe())
    };
    match fault {
        Some(GetFault::Status(code)) => return status(code, "as the test wants it"),
        Some(GetFault::ProxyNotFound) => return text(404, "<html>no such backend</html>"),
        Some(GetFault::Hang) => std::future::pending().await,
        Some(GetFault::Hold) => {
            while shared.lock().unwrap().get_fault == Some(GetFault::Hold) {
                let _ = pulse.changed().await;
            }
        }
        None => {}
    }
    found.map_or_else(|| status(404, "not found"), |object| body(200, &object))
}

/// A document by its path; what is sent to it is kept.
async fn document(request: Request<Incoming>, shared: &Mutex<World>) -> Response<Pieces> {
    let path = request.uri().path().to_owned();
    if request.method() == Method::POST {
        let sent = request.into_body().collect().await.unwrap().to_bytes();
        let sent = serde_json::from_slice(&sent).unwrap();
        shared.lock().unwrap().bodies.insert(path.clone(), sent);
    }
    let document = shared.lock().unwrap().documents.get(&path).cloned();
    match document {
        Some(document) => text(200, &document),
        None => status(404, "no such path"),
    }
}

/// Whether the caller may do something to a subresource of pods.
async fn review(request: Request<Incoming>, shared: &Mutex<World>) -> Response<Pieces> {
    let review = request.into_body().collect().await.unwrap().to_bytes();
    let mut review: Value = serde_json::from_slice(&review).unwrap();
    let subresource = review["spec"]["resourceAttributes"]["subresource"].as_str().unwrap();
    let is_allowed = !shared.lock().unwrap().forbidden.iter().any(|one| one == subresource);
    review["status"] = json!({"allowed": is_allowed});
    body(201, &review)
}

/// The namespace whose objects are listed; `None` for those of all.
fn namespace_of(path: &str) -> Option<&str> {
    path.split_once("/namespaces/")?.1.split('/').next()
}

/// A list in pages; the token is the index of the first item.
fn page(
    world: &World,
    resource: &str,
    namespace: Option<&str>,
    query: &HashMap<String, String>,
) -> Response<Pieces> {
    let number = |key: &str| query.get(key).and_then(|value| value.parse::<usize>().ok());
    let (begin, limit) =
        (number("continue").unwrap_or_default(), number("limit").unwrap_or(usize::MAX));
    let is_listed = |object: &&Value| {
        namespace.is_none_or(|namespace| object["metadata"]["namespace"] == namespace)
    };
    let all: Vec<_> = world.all(resource).filter(is_listed).collect();
    let end = begin.saturating_add(limit).min(all.len());
    let next = if end < all.len() { end.to_string() } else { String::new() };
    let metadata = json!({"resourceVersion": world.version.to_string(), "continue": next});
    body(200, &json!({"kind": "List", "metadata": metadata, "items": &all[begin..end]}))
}

fn status(code: u16, message: &str) -> Response<Pieces> {
    let mut response =
        body(code, &json!({"kind": "Status", "code": code, "message": message, "metadata": {}}));
    if code == 429 {
        response.headers_mut().insert("retry-after", HeaderValue::from_static("1"));
    }
    response
}

fn body(code: u16, value: &Value) -> Response<Pieces> {
    text(code, &value.to_string())
}

/// Without a body.
pub(super) fn empty() -> Response<Pieces> {
    let (_, receiver) = mpsc::channel(1);
    Response::new(Pieces(receiver))
}

fn text(code: u16, text: &str) -> Response<Pieces> {
    let (sender, receiver) = mpsc::channel(1);
    sender.try_send(Ok(Bytes::from(text.to_owned()))).unwrap();
    let mut response = Response::new(Pieces(receiver));
    *response.status_mut() = http::StatusCode::from_u16(code).unwrap();
    response
}

/// One watch.
struct Stream {
    sender: mpsc::Sender<io::Result<Bytes>>,
    fault: Option<Fault>,
    sent: usize,
}

/// The watch ended.
struct Ended;

impl Stream {
    async fn run(
        mut self,
        shared: Arc<Mutex<World>>,
        resource: &'static str,
        initial: bool,
        from: u64,
        epoch: u64,
    ) {
        let _ = self.events(&shared, resource, initial, from, epoch).await;
    }

    async fn events(
        &mut self,
        shared: &Mutex<World>,
        resource: &'static str,
        initial: bool,
        from: u64,
        epoch: u64,
    ) -> Result<(), Ended> {
        let mut pulse = shared.lock().unwrap().subscribe();
        let mut seen = from;
        if initial {
            let (objects, version): (Vec<Value>, u64) = {
                let world = shared.lock().unwrap();
                (world.all(resource).cloned().collect(), world.version)
            };
            for object in objects {
                self.send(&json!({"type": "ADDED", "object": object})).await?;
            }
            seen = version;
            let mut metadata = json!({"resourceVersion": version.to_string()});
            if self.fault != Some(Fault::NoInitialEnd) {
                metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
            }
            self.send(&json!({"type": "BOOKMARK", "object": {"metadata": metadata}})).await?;
        }
        loop {
            pulse.mark_unchanged();
            let (changes, version): (Vec<_>, u64) = {
                let world = shared.lock().unwrap();
                if world.epoch != epoch {
                    return Ok(());
                }
                let new = |change: &&super::world::Change| {
                    change.version > seen && change.resource == resource
                };
                if world.stalled {
                    (Vec::new(), seen)
                } else {
                    (world.history.iter().filter(new).cloned().collect(), world.version)
                }
            };
            for change in changes {
                if self.fault == Some(Fault::GoneEvent) {
                    let status = json!({"kind": "Status", "code": 410,
                        "message": "too old resource version"});
                    return self.send(&json!({"type": "ERROR", "object": status})).await;
                }
                self.send(&json!({"type": change.kind, "object": change.object,
                    "later": {"unknown": [1]}}))
                    .await?;
            }
            if version > seen {
                seen = version;
                self.send(&json!({"type": "BOOKMARK",
                        "object": {"metadata": {"resourceVersion": version.to_string()}}}))
                    .await?;
            }
            tokio::select! {
                _ = pulse.changed() => {}
                () = self.sender.closed() => return Err(Ended),
            }
        }
    }

    async fn send(&mut self, event: &Value) -> Result<(), Ended> {
        let mut line = event.to_string().into_bytes();
        line.push(b'\n');
        let cut = match self.fault {
            Some(Fault::CutAfter(limit)) => limit.saturating_sub(self.sent).min(line.len()),
            _ => line.len(),
        };
        let size = if let Some(Fault::Pieces(size)) = self.fault { size } else { line.len() };
        for piece in line[..cut].chunks(size) {
            self.sender.send(Ok(Bytes::copy_from_slice(piece))).await.map_err(|_| Ended)?;
        }
        self.sent += line.len();
        if cut < line.len() {
            // hyper ends the connection without the last chunk: the client sees a broken body.
            let _ = self.sender.send(Err(io::Error::other("cut"))).await;
            return Err(Ended);
        }
        Ok(())
    }
}
