//! The id of each request to a vault, for the vault's log: the pod's uid and a counter. Without a
//! pod, as in a pipeline, requests have none.

use keysluice_plan::{CLIENT_REQUEST_ID, Guid, POD_UID_ENV, RequestId};
use reqwest::RequestBuilder;
use reqwest::header::USER_AGENT;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

static POD: LazyLock<Option<Guid>> =
    LazyLock::new(|| std::env::var(POD_UID_ENV).ok()?.parse().ok());
static CALLS: AtomicU32 = AtomicU32::new(0);

/// The request with the next id.
pub(crate) fn identified(request: RequestBuilder) -> RequestBuilder {
    let Some(pod) = *POD else { return request };
    let id = RequestId { pod, call: CALLS.fetch_add(1, Relaxed).wrapping_add(1) };
    request
        .header(CLIENT_REQUEST_ID, id.guid().to_string())
        .header(USER_AGENT, id.user_agent(env!("CARGO_PKG_VERSION")))
}
