//! A panic in one request must not cost more than that request.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

/// The future panicked; what it was about is in the log.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Panicked;

/// Runs a future that may panic. Where it does not, this costs nothing: the unwinder's tables are
/// looked at by a panic only.
pub(super) async fn caught<F: Future>(future: F) -> Result<F::Output, Panicked> {
    let mut future = pin!(future);
    // After a panic the future is not polled again.
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Ok),
        Err(_) => Poll::Ready(Err(Panicked)),
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_at_any_poll_is_an_error() {
        assert_eq!(caught(async { 7 }).await, Ok(7));
        let later = |polls| async move {
            for _ in 0..polls {
                tokio::task::yield_now().await;
            }
            panic!("as the test wants it");
        };
        for polls in [0, 2] {
            assert_eq!(caught(later(polls)).await, Err::<(), _>(Panicked));
        }
    }
}
