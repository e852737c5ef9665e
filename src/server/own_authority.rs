//! Our own CA and path: what the rotation decides goes into the slot, the paths, the metrics and
//! the log.

use super::tls::CertificateSlot;
use crate::metrics::{CertificateChange, Metrics};
use crate::reason::KS707;
use crate::settings::Authorities;
use keysluice_certs::{
    AnsweredPaths, BundleStore, Clock, Event, Moment, Outputs, Pair, Rotator, SecretStore,
    SystemClock,
};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// Shortest time between two reads of the webhook configuration because it has changed.
const SHORTEST_SLEEP: Duration = Duration::from_millis(100);

/// Keeps Secret, `caBundle`, path and slot in step; never ends.
pub async fn rotate<S: SecretStore, B: BundleStore, C: Clock>(
    rotator: Rotator<S, B, C>,
    slot: Arc<CertificateSlot>,
    authorities: Authorities,
    paths: watch::Sender<AnsweredPaths>,
    metrics: Arc<Metrics>,
) -> Infallible {
    let (send, leaf) = watch::channel(None::<Arc<Pair>>);
    let observer = Observer { leaf, slot, authorities, metrics };
    rotator.run(Outputs { leaf: &send, paths: &paths }, |event| observer.observe(event)).await
}

/// What events of the rotation change.
struct Observer {
    /// The pair to serve.
    leaf: watch::Receiver<Option<Arc<Pair>>>,
    slot: Arc<CertificateSlot>,
    authorities: Authorities,
    metrics: Arc<Metrics>,
}

impl Observer {
    fn observe(&self, event: Event) {
        if let Event::Trusting { authorities: pem } = event {
            // Not a change of what is served: sidecars are told of it.
            return self.authorities.store(pem);
        }
        if let Event::Serving { leaf_not_after, authority_not_after } = &event
            && let Some(pair) = self.leaf.borrow().as_deref()
        {
            let served = self.slot.store(pair.leaf().chain.clone(), pair.leaf().key.clone_key());
            if let Err(error) = served {
                tracing::error!(%error, "{KS707} the certificate cannot be served");
                return;
            }
            self.metrics.set_certificate_expiry((*leaf_not_after).into());
            self.metrics.set_authority_expiry((*authority_not_after).into());
        }
        tell(event, &self.metrics);
    }
}

fn tell(event: Event, metrics: &Metrics) {
    let change = match &event {
        Event::Serving { .. } => CertificateChange::Served,
        Event::Stored { .. } => CertificateChange::Stored,
        Event::StoredPath => CertificateChange::PathStored,
        Event::Published => CertificateChange::Published,
        Event::PublishedPath => CertificateChange::PathPublished,
        Event::Overtaken { .. } => CertificateChange::Overtaken,
        Event::Failed { .. } | Event::CannotMake { .. } => CertificateChange::Failed,
        Event::Trusting { .. } => return,
    };
    metrics.certificate_change(change);
    match event {
        Event::Serving { leaf_not_after, authority_not_after } => {
            tracing::info!(not_after = %leaf_not_after, authority_not_after = %authority_not_after,
                "certificate served");
        }
        Event::Stored { reason } => tracing::info!(%reason, "certificates stored"),
        // Who reads the log need not know it.
        Event::StoredPath => tracing::info!("path of reviews stored"),
        Event::Published => tracing::info!("caBundle published"),
        Event::PublishedPath => tracing::info!("path of reviews published"),
        Event::Overtaken { store } => tracing::debug!(%store, "another replica was faster"),
        Event::Failed { store, error } => {
            tracing::warn!(%store, %error, "{KS707} certificates not up to date");
        }
        Event::Trusting { .. } => {}
        Event::CannotMake { error } => {
            tracing::error!(%error, "{KS707} no certificate can be made");
        }
    }
}

/// The machine's clock, whose sleep ends early when `changed` says so.
#[derive(Debug, Default)]
pub struct WakingClock {
    clock: SystemClock,
    changed: Arc<Notify>,
}

impl WakingClock {
    /// Woken by this.
    pub fn new(changed: Arc<Notify>) -> Self {
        Self { clock: SystemClock::default(), changed }
    }
}

impl Clock for WakingClock {
    fn now(&self) -> Moment {
        self.clock.now()
    }

    async fn sleep(&self, duration: Duration) {
        let first = duration.min(SHORTEST_SLEEP);
        self.clock.sleep(first).await;
        tokio::select! {
            () = self.clock.sleep(duration.saturating_sub(first)) => {}
            () = self.changed.notified() => {}
        }
    }

    fn chance(&self) -> f64 {
        self.clock.chance()
    }
}
