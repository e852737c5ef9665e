//! How long things live, and how long to wait.

use crate::certificate::Certificate;
use std::time::Duration;
use time::OffsetDateTime;

/// Clocks of nodes differ: a certificate is valid a little before it is made.
pub(crate) const CLOCK_TOLERANCE: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Lifetimes and delays of a rotation. Certificates count whole seconds: nothing here should be shorter than two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// DNS names and IP addresses the leaf is for.
    pub names: Vec<String>,
    /// Life of a CA; its successor is staged when less than a third is left. More than three times `propagation`.
    pub ca_lifetime: Duration,
    /// Life of a leaf; renewed when less than a third is left.
    pub leaf_lifetime: Duration,
    /// How long after a change of `caBundle` the last API server may still verify with the one before.
    pub propagation: Duration,
    /// How far two clocks may differ.
    pub clock_tolerance: Duration,
    /// Longest time between two looks at Secret and `caBundle`.
    pub poll: Duration,
}

impl Policy {
    /// A CA for a year, a leaf for 30 days, an hour of tolerance, a minute of propagation, a look every 30 seconds.
    pub fn new(names: Vec<String>) -> Self {
        Self {
            names,
            ca_lifetime: 365 * DAY,
            leaf_lifetime: 30 * DAY,
            propagation: Duration::from_secs(60),
            clock_tolerance: CLOCK_TOLERANCE,
            poll: Duration::from_secs(30),
        }
    }

    /// When less than a third of the certificate's life is left. The tolerance before its making is no part of its life:
    /// with a life shorter than the tolerance it would be due from birth.
    pub(crate) fn due(&self, certificate: &Certificate) -> OffsetDateTime {
        let life = certificate.not_after() - certificate.not_before() - self.clock_tolerance;
        certificate.not_after() - life / 3
    }

    /// Expired by anybody's clock: one that is ahead must not give up what others still verify.
    pub(crate) fn is_past(&self, certificate: &Certificate, wall: OffsetDateTime) -> bool {
        certificate.not_after() + self.clock_tolerance <= wall
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CertificateAuthority;

    #[test]
    fn a_certificate_is_due_when_less_than_a_third_of_its_life_is_left() {
        let policy = Policy::new(Vec::new());
        let now = OffsetDateTime::UNIX_EPOCH + Duration::from_secs(1_900_000_000);
        let made = CertificateAuthority::generate_between(now - policy.clock_tolerance, now + Duration::from_secs(30));
        assert_eq!(policy.due(made.unwrap().certificate()), now + Duration::from_secs(20));
    }
}
