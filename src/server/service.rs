//! What a listener serves: reviews, or Plans.

use super::budget::ByteBudget;
use super::in_flight::InFlightGuard;
use crate::metrics::Metrics;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;

/// Answers the requests of a listener.
pub(super) trait Service: Send + Sync + 'static {
    /// What is counted.
    fn metrics(&self) -> &Metrics;

    /// What bodies and answers take.
    fn bodies(&self) -> Arc<ByteBudget>;

    /// The listener is about to stop.
    fn start_draining(&self);

    /// Whether its thread gives way to the others.
    fn is_second_to_others(&self) -> bool;

    /// Answers one request.
    fn handle(
        &self,
        request: Request<Incoming>,
        guard: InFlightGuard,
    ) -> impl Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send;
}

/// An answer that is dropped when its last byte has left.
pub(super) struct Delivery {
    bytes: Vec<u8>,
    _ticket: InFlightGuard,
}

impl Delivery {
    /// The body of an answer; the guard goes with it.
    pub(super) fn of(bytes: Vec<u8>, guard: InFlightGuard) -> Bytes {
        Bytes::from_owner(Self { bytes, _ticket: guard })
    }
}

impl AsRef<[u8]> for Delivery {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
