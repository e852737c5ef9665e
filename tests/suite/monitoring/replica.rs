//! A replica with certificates of its own, beside an API server of its own.

use super::prometheus::Container;
use super::scene::admin;
use crate::suite::certificates::stage::{CONFIGURATION, Replica, Stage, stage};
use crate::suite::support::api_server::{DRIVERS, Fault, GetFault};
use std::net::SocketAddr;
use std::time::Duration;

/// The replica; it gets no reviews.
pub(crate) struct OwnCertificates {
    pub(crate) address: SocketAddr,
    pub(crate) container: Container,
    stage: Stage,
    /// Ends with the value.
    _replica: Replica,
}

impl OwnCertificates {
    pub(crate) async fn start(namespace: &str, lives: &[&str]) -> Self {
        Self::of(stage(), namespace, lives).await
    }

    /// One of its caches stays empty.
    pub(crate) async fn start_without_cache(namespace: &str, lives: &[&str]) -> Self {
        let stage = stage();
        stage.server.world().fail(DRIVERS, vec![Fault::Status(403); 10_000]);
        Self::of(stage, namespace, lives).await
    }

    async fn of(stage: Stage, namespace: &str, lives: &[&str]) -> Self {
        stage.server.world().put_configuration(CONFIGURATION, &[""]);
        let mut replica = Replica::start(&stage.server, stage.scratch.path(), 3, lives);
        let address = replica.address("listen").await;
        let admin_address = replica.address("admin_listen").await.to_string();
        let container = admin(namespace, "keysluice-3", &admin_address);
        Self { address, container, stage, _replica: replica }
    }

    /// `caBundle` is overwritten, and published again by the replica.
    pub(crate) fn overwrite_bundle(&self) {
        self.stage.server.world().put_configuration(CONFIGURATION, &[""]);
    }

    /// Secret and configuration cannot be read for some seconds.
    pub(crate) async fn refuse_reads(&self) {
        self.stage.server.world().get_fault = Some(GetFault::Status(403));
        self.overwrite_bundle();
        tokio::time::sleep(Duration::from_secs(6)).await;
        self.stage.server.world().get_fault = None;
    }
}
