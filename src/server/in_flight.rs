//! One request, from its head until its answer has left.

use super::activity::{ConnectionActivity, REQUEST_BYTES};
use super::source::Source;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// Who asked for a decision, where, and since when.
pub(super) struct Asked {
    pub(super) source: Arc<Source>,
    pub(super) path: Box<str>,
    pub(super) start: Instant,
}

/// A request from its head until its answer has left: dropped with the last byte of the answer, and
/// when the client goes away before.
#[derive(Debug)]
pub(super) struct InFlightGuard {
    pub(super) activity: Arc<ConnectionActivity>,
    generation: usize,
    is_counted: bool,
    is_placed: bool,
    is_answered: bool,
    /// Of its body, or of its answer.
    review_bytes: usize,
}

impl InFlightGuard {
    pub(super) fn new(activity: Arc<ConnectionActivity>) -> Self {
        let generation = activity.generation.load(Ordering::Relaxed);
        activity.open[generation].fetch_add(1, Ordering::Relaxed);
        activity.begun.fetch_add(1, Ordering::Relaxed);
        activity.in_flight.inc();
        activity.hold(REQUEST_BYTES);
        Self {
            activity,
            generation,
            is_counted: true,
            is_placed: false,
            is_answered: false,
            review_bytes: 0,
        }
    }

    /// Takes a place for a request whose body is there; whether `limit` at once leave one. The
    /// first eight of a connection always have one, and the last quarter is for connections that
    /// hold few.
    pub(super) fn take_place(&mut self, limit: usize) -> bool {
        const FEW: u32 = 8;
        self.is_placed = true;
        let here = self.activity.placed.fetch_add(1, Ordering::Relaxed);
        let all = self.activity.source.reviews.places.fetch_add(1, Ordering::Relaxed);
        here < FEW || all < limit / 4 * 3
    }

    /// Takes room for this much of its body; whether there is any. What was taken is given back all
    /// the same.
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        self.review_bytes += bytes;
        self.activity.source.take_review(bytes)
    }

    /// Gives the room of its body back.
    pub(super) fn give_back(&mut self) {
        if self.review_bytes > 0 {
            self.activity.source.give_review(std::mem::take(&mut self.review_bytes));
        }
    }

    /// Gives its place back, although its answer has not left yet.
    pub(super) fn give_up_place(&mut self) {
        if std::mem::take(&mut self.is_counted) {
            self.activity.in_flight.dec();
        }
        if std::mem::take(&mut self.is_placed) {
            self.activity.placed.fetch_sub(1, Ordering::Relaxed);
            self.activity.source.reviews.places.fetch_sub(1, Ordering::Relaxed);
        }
        if std::mem::take(&mut self.is_answered) {
            self.activity.answered.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// A refused request does not count as activity: the connection is as idle as before.
    pub(super) fn refuse(&mut self) {
        self.give_up_place();
        self.activity.begun.fetch_sub(1, Ordering::Relaxed);
    }

    /// There is an answer.
    pub(super) fn answer(&mut self) {
        if self.is_placed && !self.is_answered {
            self.is_answered = true;
            self.activity.answered.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.give_up_place();
        self.give_back();
        self.activity.open[self.generation].fetch_sub(1, Ordering::Relaxed);
        self.activity.release(self.activity.take_unfinished() + REQUEST_BYTES);
    }
}
