//! `pods/exec` over a WebSocket, as the API server has it.

use super::answer::{Pieces, empty};
use futures_util::SinkExt as _;
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Message, Role};

/// The kubelet reads the output of a container in pieces.
const PIECE: usize = 4 << 10;

/// What a command in a container does.
#[derive(Debug, Clone)]
pub(crate) enum Exec {
    /// Prints this and ends with 0.
    Prints(Vec<u8>),
    /// Prints this as an error and ends with 1.
    Fails(&'static str),
    /// Prints nothing, and does not end.
    Hangs,
    /// The connection ends before the command.
    Cut,
}

pub(super) fn answer(mut request: Request<Incoming>, exec: Exec) -> Response<Pieces> {
    let headers = request.headers();
    assert_eq!(headers[UPGRADE], "websocket");
    let protocols = headers[SEC_WEBSOCKET_PROTOCOL].to_str().unwrap();
    assert!(protocols.split(", ").any(|one| one == "v5.channel.k8s.io"), "{protocols}");
    let accept = derive_accept_key(headers["sec-websocket-key"].as_bytes());
    tokio::spawn(async move {
        // A client that goes away hears nothing.
        if let Ok(upgraded) = hyper::upgrade::on(&mut request).await {
            let stream = TokioIo::new(upgraded);
            let socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
            let _ = play(socket, exec).await;
        }
    });
    let mut response = empty();
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("v5.channel.k8s.io"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, HeaderValue::from_str(&accept).unwrap());
    response
}

type Socket = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;

async fn play(mut socket: Socket, exec: Exec) -> Result<(), tokio_tungstenite::tungstenite::Error> {
    let status = match exec {
        Exec::Prints(output) => {
            for piece in output.chunks(PIECE) {
                socket.send(message(1, piece)).await?;
            }
            json!({"status": "Success"})
        }
        Exec::Fails(said) => {
            socket.send(message(2, said.as_bytes())).await?;
            json!({"status": "Failure", "reason": "NonZeroExitCode",
                "message": "command terminated with non-zero exit code: exit code 1"})
        }
        Exec::Hangs => std::future::pending().await,
        Exec::Cut => return Ok(()),
    };
    socket.send(message(3, status.to_string().as_bytes())).await?;
    socket.close(None).await
}

fn message(channel: u8, data: &[u8]) -> Message {
    Message::binary([&[channel], data].concat())
}
