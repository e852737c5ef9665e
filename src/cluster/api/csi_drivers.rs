//! The one `CSIDriver` that matters: whether the Secrets Store CSI driver is installed.

use super::cache::Table;
use super::client::METADATA;
use super::event::Object;
use crate::mutate::CSI_DRIVER;

/// Whether it is there.
#[derive(Debug, Default)]
pub(super) struct CsiDrivers {
    pub(super) installed: bool,
}

impl Table for CsiDrivers {
    const NAME: &'static str = "csidrivers";
    const PATH: &'static str = "/apis/storage.k8s.io/v1/csidrivers";
    const ACCEPT: &'static str = METADATA;
    const FIELD_SELECTOR: &'static str = "metadata.name%3Dsecrets-store.csi.k8s.io";

    fn new(_limit_bytes: usize) -> Self {
        Self::default()
    }

    fn upsert(&mut self, object: &Object<'_>) {
        self.installed |= &*object.metadata.name == CSI_DRIVER;
    }

    fn remove(&mut self, _namespace: &str, name: &str) {
        self.installed &= name != CSI_DRIVER;
    }

    fn len(&self) -> usize {
        usize::from(self.installed)
    }
}
