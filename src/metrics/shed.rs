//! Requests that were turned away at a limit.

use super::Metrics;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use std::fmt::{self, Write as _};

/// The limit that a request met which was turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shed {
    /// Memory: of bodies and answers.
    Memory,
    /// Reviews in hand, of all or of a namespace.
    Reviews,
    /// Time on the decision thread: its turn did not come.
    Turns,
    /// Live reads of the API server.
    Lookups,
    /// New connections of sidecars in a second.
    Handshakes,
    /// The share of reviews of workloads, which get no warnings then.
    Workloads,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ShedLabels {
    pub(super) limit: Shed,
}

impl Shed {
    /// All of them.
    pub(super) const ALL: [Self; 6] = [
        Self::Memory,
        Self::Reviews,
        Self::Turns,
        Self::Lookups,
        Self::Handshakes,
        Self::Workloads,
    ];
}

impl EncodeLabelValue for Shed {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(match self {
            Self::Memory => "memory",
            Self::Reviews => "reviews",
            Self::Turns => "turns",
            Self::Lookups => "lookups",
            Self::Handshakes => "handshakes",
            Self::Workloads => "workloads",
        })
    }
}

impl Metrics {
    /// Counts a request that was turned away at a limit.
    #[cold]
    pub fn shed(&self, limit: Shed) {
        self.shed.get_or_create_owned(&ShedLabels { limit }).inc();
    }
}
