//! What a signal means to the sidecar.

use crate::fault::{Class, Fault};
use keysluice_plan::reason::KS608;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals `run` listens to.
pub(crate) struct Signals {
    pub(crate) terminate: Signal,
    pub(crate) interrupt: Signal,
    /// Refresh now.
    pub(crate) hangup: Signal,
}

impl Signals {
    pub(crate) fn new() -> Result<Self, Fault> {
        Ok(Self {
            terminate: install(SignalKind::terminate())?,
            interrupt: install(SignalKind::interrupt())?,
            hangup: install(SignalKind::hangup())?,
        })
    }
}

fn install(kind: SignalKind) -> Result<Signal, Fault> {
    signal(kind).map_err(|error| {
        Fault::new(KS608, Class::Permanent, format_args!("signal handler: {error}"))
    })
}
