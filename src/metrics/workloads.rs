//! Reviews of workloads.

use super::Metrics;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use std::fmt::{self, Write as _};

/// How a review of a workload was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WorkloadAnswer {
    /// With warnings.
    Warned,
    /// Without: there is nothing to warn about.
    Unwarned,
    /// Without: nothing was looked at.
    Unread,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct WorkloadLabels {
    pub(super) outcome: WorkloadAnswer,
}

impl WorkloadAnswer {
    /// All of them.
    pub(super) const ALL: [Self; 3] = [Self::Warned, Self::Unwarned, Self::Unread];
}

impl EncodeLabelValue for WorkloadAnswer {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(match self {
            Self::Warned => "warned",
            Self::Unwarned => "unwarned",
            Self::Unread => "unread",
        })
    }
}

impl Metrics {
    /// Counts a review of a workload.
    pub fn workload(&self, outcome: WorkloadAnswer) {
        self.workloads.get_or_create_owned(&WorkloadLabels { outcome }).inc();
    }
}
