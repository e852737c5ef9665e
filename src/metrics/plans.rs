//! What the sidecars of running pods were told.

use super::Metrics;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use std::fmt::{self, Write as _};

/// What became of a request for a Plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PlanAnswer {
    /// Classes or authorities are others.
    Changed,
    /// They are the same.
    Unchanged,
    /// It was refused.
    Refused,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct PlanLabels {
    pub(super) outcome: PlanAnswer,
    pub(super) reason: &'static str,
}

impl EncodeLabelValue for PlanAnswer {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(match self {
            Self::Changed => "changed",
            Self::Unchanged => "unchanged",
            Self::Refused => "refused",
        })
    }
}

impl Metrics {
    /// Counts what a running pod was told that asked for its Plan.
    pub fn plan(&self, outcome: PlanAnswer, reason: &'static str) {
        self.plans.get_or_create_owned(&PlanLabels { outcome, reason }).inc();
    }
}
