//! The body of a request: at most 7 MiB, in time, copied only where it comes in pieces.

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// A review is at most this large (the API server's own limit is 3 MiB of object, twice for updates).
pub(super) const BODY_LIMIT_BYTES: usize = 7 << 20;
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// What a body of unknown length makes room for at first.
const FIRST_BYTES: usize = 64 << 10;

/// Why there is no body.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    #[error("the body is larger than {BODY_LIMIT_BYTES} bytes")]
    TooLarge,
    #[error("the body broke off: {0}")]
    Broken(#[from] hyper::Error),
    #[error("the body did not arrive in time")]
    Late,
}

/// Bytes of all bodies in memory now, and how many there may be.
#[derive(Debug)]
pub(super) struct Room {
    taken: AtomicUsize,
    limit_bytes: usize,
}

/// A body's share of the [`Room`]; given back when dropped.
#[derive(Debug)]
pub(super) struct Share<'a> {
    room: &'a Room,
    bytes: usize,
}

impl Room {
    pub(super) fn new(limit_bytes: usize) -> Self {
        Self { taken: AtomicUsize::new(0), limit_bytes }
    }

    /// Room for a body of the announced length, of the greatest where none is announced.
    pub(super) fn share(&self, body: &Incoming) -> Option<Share<'_>> {
        let bytes = body.size_hint().upper().and_then(|length| usize::try_from(length).ok());
        self.take(bytes.map_or(BODY_LIMIT_BYTES, |bytes| bytes.min(BODY_LIMIT_BYTES)))
    }

    fn take(&self, bytes: usize) -> Option<Share<'_>> {
        let share = Share { room: self, bytes };
        let taken = self.taken.fetch_add(bytes, Ordering::Relaxed) + bytes;
        (taken <= self.limit_bytes).then_some(share)
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.room.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Reads it.
pub(super) async fn read(body: Incoming) -> Result<Bytes, BodyError> {
    if body.size_hint().lower() > BODY_LIMIT_BYTES as u64 {
        discard(body).await;
        return Err(BodyError::TooLarge);
    }
    tokio::time::timeout(BODY_TIMEOUT, collect(body)).await.unwrap_or(Err(BodyError::Late))
}

/// Takes a body that nobody wants off the connection, within bounds: a client that is still sending when the connection closes reads no answer.
pub(super) async fn discard(mut body: Incoming) {
    let all = async {
        let mut rest = 2 * BODY_LIMIT_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            let Some(less) = rest.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else { break };
            rest = less;
        }
    };
    // Too late for this client; it is answered all the same.
    let _ = tokio::time::timeout(BODY_TIMEOUT, all).await;
}

async fn collect(mut body: Incoming) -> Result<Bytes, BodyError> {
    let announced = body.size_hint().exact().and_then(|length| usize::try_from(length).ok());
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if whole.is_empty() {
            if announced == Some(data.len()) {
                return Ok(data);
            }
            whole.reserve_exact(announced.unwrap_or(FIRST_BYTES));
        }
        if whole.len() + data.len() > BODY_LIMIT_BYTES {
            return Err(BodyError::TooLarge);
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_taken_and_given_back() {
        let room = Room::new(100);
        let first = room.take(60);
        assert!(first.is_some() && room.take(41).is_none() && room.take(40).is_some());
        drop(first);
        assert!(room.take(100).is_some());
        assert_eq!(room.taken.load(Ordering::Relaxed), 0);
    }
}
