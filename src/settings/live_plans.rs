//! Where the sidecars of running pods ask for their current Plan.

use arc_swap::ArcSwap;
use std::sync::Arc;

/// Audience of the token that a sidecar shows there.
pub const PLAN_AUDIENCE: &str = "keysluice.dev";

/// The webhook's listener for Plans, as pods see it.
#[derive(Debug, Clone)]
pub struct LivePlans {
    /// `https://keysluice.keysluice-system.svc:9444`
    pub url: String,
    /// What its certificate is checked with.
    pub authorities: Authorities,
}

/// PEM of the webhook's certificate authorities, which change while it runs; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Authorities(Arc<ArcSwap<String>>);

impl Authorities {
    /// Trusts these from now on.
    pub fn store(&self, pem: String) {
        self.0.store(Arc::new(pem));
    }

    /// Those of now; empty while they are not known.
    pub fn pem(&self) -> Arc<String> {
        self.0.load_full()
    }
}
