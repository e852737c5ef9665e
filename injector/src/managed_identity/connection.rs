//! One connection: heads of requests in, answers out.

use super::answer::Answer;
use super::request::{MAX_HEAD_BYTES, Refused, Request, head_length};
use super::served::Served;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A connection without a request is closed after this.
const IDLE: Duration = Duration::from_secs(30);
/// A request whose head is not complete within this is refused.
const HEAD: Duration = Duration::from_secs(5);
/// An answer that is not taken within this is dropped.
const WRITE: Duration = Duration::from_secs(5);
/// What a client still sends after a refusal is read for this long, so that it gets the refusal.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: u64 = 64 << 10;

/// Answers requests until the client goes, or `is_full` says that others wait.
pub(super) async fn serve(mut stream: TcpStream, served: &Arc<Served>, is_full: impl Fn() -> bool) {
    let _ = stream.set_nodelay(true);
    let mut buffer = Vec::with_capacity(1024);
    loop {
        let Some(length) = read_head(&mut stream, &mut buffer).await else { return };
        let (answer, closes) = match length {
            Ok(length) => {
                let request = Request::parse(&buffer[..length], served.header());
                buffer.drain(..length);
                let closes = request.closes || is_full();
                (served.answer(request).await, closes)
            }
            Err(refused) => (Answer::of_refused(None, refused), true),
        };
        let bytes = answer.into_bytes(closes);
        let is_written = timeout(WRITE, stream.write_all(&bytes)).await;
        if !matches!(is_written, Ok(Ok(()))) {
            return;
        }
        if closes {
            return finish(stream).await;
        }
    }
}

/// The first line of the one request of a connection; `None` where the client is gone, or sends
/// what is no head of a request.
pub(crate) async fn request_line(stream: &mut TcpStream) -> Option<String> {
    let mut buffer = Vec::with_capacity(1024);
    let length = read_head(stream, &mut buffer).await?.ok()?;
    let head = std::str::from_utf8(&buffer[..length]).ok()?;
    head.lines().next().map(str::to_owned)
}

/// The length of the next head in the buffer; `None` where the client is gone.
async fn read_head(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Result<usize, Refused>> {
    if buffer.is_empty() {
        // An idle connection keeps no large buffer.
        buffer.shrink_to(1024);
        match timeout(IDLE, stream.read_buf(buffer)).await {
            Ok(Ok(read)) if read > 0 => {}
            _ => return None,
        }
    }
    let rest = async {
        loop {
            if let Some(length) = head_length(buffer) {
                return Some(Ok(length));
            }
            if buffer.len() >= MAX_HEAD_BYTES {
                return Some(Err(Refused::HeadSize));
            }
            match stream.read_buf(buffer).await {
                Ok(read) if read > 0 => {}
                _ => return None,
            }
        }
    };
    timeout(HEAD, rest).await.unwrap_or(Some(Err(Refused::HeadTime)))
}

/// A socket that is closed with unread bytes resets the connection, and the answer may be lost.
pub(crate) async fn finish(mut stream: TcpStream) {
    if stream.shutdown().await.is_ok() {
        let mut rest = stream.take(LINGER_BYTES);
        let _ = timeout(LINGER, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await;
    }
}
