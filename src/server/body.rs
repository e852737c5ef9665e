//! The body of a request: at most 7 MiB, in time, counted as it comes, copied only where it comes in pieces.

use super::pulse::Pulse;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// A review is at most this large (the API server's own limit is 3 MiB of object, twice for updates).
pub(super) const BODY_LIMIT_BYTES: usize = 7 << 20;
/// How long an answer that needs no body waits for it: see [`discard`].
const DISCARD: Duration = Duration::from_secs(1);

/// Why there is no body.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    #[error("the body is larger than {BODY_LIMIT_BYTES} bytes")]
    TooLarge,
    #[error("the body broke off: {0}")]
    Broken(#[from] hyper::Error),
    #[error("the body did not arrive in time")]
    Late,
    #[error("too many bodies at once")]
    NoRoom,
}

/// Bytes of all bodies in memory now, and how many there may be.
#[derive(Debug)]
pub(super) struct Room {
    taken: AtomicUsize,
    limit_bytes: usize,
}

/// What a body takes of the [`Room`]; given back when dropped.
#[derive(Debug)]
pub(super) struct Share<'a> {
    room: &'a Room,
    /// What all bodies of its connection take.
    here: &'a AtomicUsize,
    bytes: usize,
}

impl Room {
    pub(super) fn new(limit_bytes: usize) -> Self {
        Self { taken: AtomicUsize::new(0), limit_bytes }
    }

    fn share<'a>(&'a self, here: &'a AtomicUsize) -> Share<'a> {
        Share { room: self, here, bytes: 0 }
    }
}

impl Share<'_> {
    /// Takes room for what has come: what is merely announced takes none. A connection has at most a quarter of the room, and the last quarter is for
    /// connections that take little.
    #[must_use]
    fn take(&mut self, bytes: usize) -> bool {
        const LITTLE_BYTES: usize = 256 << 10;
        let quarter = self.room.limit_bytes / 4;
        self.bytes += bytes;
        let here = self.here.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let all = self.room.taken.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let limit = if here <= LITTLE_BYTES { self.room.limit_bytes } else { self.room.limit_bytes - quarter };
        here <= quarter && all <= limit
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.here.fetch_sub(self.bytes, Ordering::Relaxed);
        self.room.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Reads it; the room it takes is given back with the share.
pub(super) async fn read<'a>(
    body: &mut Incoming,
    room: &'a Room,
    pulse: &'a Pulse,
    deadline: Duration,
) -> Result<(Bytes, Share<'a>), BodyError> {
    if body.size_hint().lower() > BODY_LIMIT_BYTES as u64 {
        return Err(BodyError::TooLarge);
    }
    let whole = collect(body, room.share(&pulse.body_bytes));
    tokio::time::timeout(deadline, whole).await.unwrap_or(Err(BodyError::Late))
}

/// Takes a body that nobody wants off an HTTP/1.1 connection, within bounds: a client that is still sending when the connection closes reads no
/// answer. (HTTP/2 ends the stream alone.)
pub(super) async fn discard(body: &mut Incoming) {
    let all = async {
        let mut rest = 2 * BODY_LIMIT_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            let Some(less) = rest.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else { break };
            rest = less;
        }
    };
    // Too late for this client; it is answered all the same.
    let _ = tokio::time::timeout(DISCARD, all).await;
}

async fn collect<'a>(body: &mut Incoming, mut share: Share<'a>) -> Result<(Bytes, Share<'a>), BodyError> {
    let announced = body.size_hint().exact().and_then(|length| usize::try_from(length).ok());
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let length = whole.len() + data.len();
        if length > BODY_LIMIT_BYTES {
            return Err(BodyError::TooLarge);
        }
        if !share.take(data.len()) {
            return Err(BodyError::NoRoom);
        }
        if whole.is_empty() && announced == Some(data.len()) {
            return Ok((data, share));
        }
        if length > whole.capacity() {
            // An ordinary review is read into one allocation, and nobody gets megabytes for a first byte.
            let capacity = announced.unwrap_or(BODY_LIMIT_BYTES).min(4 * length).max(length);
            whole.reserve_exact(capacity - whole.len());
        }
        whole.extend_from_slice(&data);
    }
    Ok((whole.into(), share))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_taken_and_given_back() {
        let (room, here) = (Room::new(400), AtomicUsize::new(0));
        let mut first = room.share(&here);
        assert!(first.take(60) && first.take(40) && !room.share(&here).take(1));
        let elsewhere = [(); 3].map(|()| AtomicUsize::new(0));
        let others = elsewhere.each_ref().map(|here| {
            let mut share = room.share(here);
            assert!(share.take(100));
            share
        });
        assert!(!room.share(&AtomicUsize::new(0)).take(1), "all of it is taken");
        drop(first);
        assert!(room.share(&here).take(100));
        drop(others);
        assert_eq!((room.taken.load(Ordering::Relaxed), here.load(Ordering::Relaxed)), (0, 0));
    }

    #[test]
    fn a_connection_with_little_finds_room_when_those_with_much_find_none() {
        let room = Room::new(64 << 20);
        let (connections, late, modest) =
            ([(); 6].map(|()| AtomicUsize::new(0)), AtomicUsize::new(0), AtomicUsize::new(0));
        let mut greedy = connections.each_ref().map(|here| room.share(here));
        assert_eq!(greedy.each_mut().map(|share| share.take(8 << 20)), [true; 6]);
        assert!(!room.share(&late).take(1 << 20) && room.share(&modest).take(20 << 10));
    }
}
