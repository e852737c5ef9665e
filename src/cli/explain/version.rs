//! Versions of Kubernetes.

use std::fmt;
use std::str::FromStr;

/// The chart asks for the same.
pub(super) const OLDEST: KubernetesVersion = KubernetesVersion { major: 1, minor: 30 };

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct KubernetesVersion {
    major: u32,
    minor: u32,
}

/// As `kubectl version` or a cloud writes it: `1.29`, `v1.30.4-gke.1`, `1.29+`.
impl FromStr for KubernetesVersion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.strip_prefix('v').unwrap_or(text).split('.');
        let mut numbers = parts.map(|part| part.trim_end_matches('+').parse().ok());
        let (major, minor) = (numbers.next().flatten(), numbers.next().flatten());
        let version = major.zip(minor).map(|(major, minor)| Self { major, minor });
        version.ok_or_else(|| "not a version of Kubernetes; hint: write it as 1.30".to_owned())
    }
}

impl fmt::Display for KubernetesVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}
