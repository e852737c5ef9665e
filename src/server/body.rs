//! The body of a request: at most 7 MiB, in time, counted as it comes, copied only where it comes
//! in pieces.

use super::in_flight::InFlightGuard;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use std::time::Duration;

/// A review is at most this large (the API server's own limit is 3 MiB of object, twice for
/// updates).
pub(super) const BODY_LIMIT_BYTES: usize = 7 << 20;
/// How long an answer that needs no body waits for it: see [`discard`].
const DISCARD: Duration = Duration::from_secs(1);

/// Why there is no body.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    #[error("the body is larger than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("the body broke off: {0}")]
    Broken(#[from] hyper::Error),
    #[error("the body did not arrive in time")]
    Late,
    #[error("too many bodies at once")]
    NoRoom,
}

/// Reads it, as far as the limit in bytes; the room it takes is the guard's.
pub(super) async fn read(
    body: &mut Incoming,
    guard: &mut InFlightGuard,
    deadline: Duration,
    limit: usize,
) -> Result<Bytes, BodyError> {
    if body.size_hint().lower() > limit as u64 {
        return Err(BodyError::TooLarge { limit });
    }
    let whole = collect(body, guard, limit);
    tokio::time::timeout(deadline, whole).await.unwrap_or(Err(BodyError::Late))
}

/// Takes an unwanted body off an HTTP/1.1 connection, within bounds: a client that is still
/// sending when the connection closes reads no answer. (HTTP/2 ends the stream alone.)
pub(super) async fn discard(body: &mut Incoming) {
    let all = async {
        let mut rest = 2 * BODY_LIMIT_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            let Some(less) = rest.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else {
                break;
            };
            rest = less;
        }
    };
    // Too late for this client; it is answered all the same.
    let _ = tokio::time::timeout(DISCARD, all).await;
}

async fn collect(
    body: &mut Incoming,
    guard: &mut InFlightGuard,
    limit: usize,
) -> Result<Bytes, BodyError> {
    let announced = body.size_hint().exact().and_then(|length| usize::try_from(length).ok());
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let length = whole.len() + data.len();
        if length > limit {
            return Err(BodyError::TooLarge { limit });
        }
        if whole.is_empty() && announced == Some(data.len()) {
            return if guard.take(data.len()) { Ok(data) } else { Err(BodyError::NoRoom) };
        }
        if length > whole.capacity() {
            // An ordinary review is read into one allocation, and nobody gets megabytes for a first
            // byte. What is merely announced takes none.
            let capacity = announced.unwrap_or(limit).min(4 * length).max(length);
            if !guard.take(capacity - whole.capacity()) {
                return Err(BodyError::NoRoom);
            }
            whole.reserve_exact(capacity - whole.len());
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.into())
}
