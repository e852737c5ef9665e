//! How long things live, and how long to wait.

use crate::certificate::Certificate;
use std::time::Duration;
use time::OffsetDateTime;

/// Clocks of nodes differ: a certificate is valid a little before it is made.
pub(crate) const CLOCK_TOLERANCE: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Lifetimes and delays of a rotation. Certificates count whole seconds: nothing here should be
/// shorter than two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// DNS names and IP addresses the leaf is for.
    pub names: Vec<String>,
    /// Life of a CA: its successor is staged when two thirds are left, and signs when one third is
    /// left.
    pub ca_lifetime: Duration,
    /// Life of a leaf; renewed when less than a third is left.
    pub leaf_lifetime: Duration,
    /// How long after a change of `caBundle` the last API server may still verify with the one
    /// before.
    pub propagation: Duration,
    /// How far two clocks may differ.
    pub clock_tolerance: Duration,
    /// Longest time between two looks at Secret and `caBundle`.
    pub poll: Duration,
}

/// Why a policy cannot be kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Shorter than certificates can say.
    #[error("the certificate's lifetime must be at least 2 s")]
    LeafLifetime,
    /// The last leaf of a CA would outlive it.
    #[error("the authority's lifetime must be at least three times the certificate's")]
    AuthorityLifetime,
    /// The next CA would have to sign before everybody knows it.
    #[error("the authority's lifetime must be at least ten times the propagation")]
    Propagation,
}

impl Policy {
    /// Checks that the times go together.
    ///
    /// # Errors
    /// [`PolicyError`] names the two that do not.
    pub fn check(&self) -> Result<(), PolicyError> {
        if self.leaf_lifetime < Duration::from_secs(2) {
            return Err(PolicyError::LeafLifetime);
        }
        if self.ca_lifetime < self.leaf_lifetime.saturating_mul(3) {
            return Err(PolicyError::AuthorityLifetime);
        }
        if self.ca_lifetime < self.propagation.saturating_mul(10) {
            return Err(PolicyError::Propagation);
        }
        Ok(())
    }

    /// A CA for a year, a leaf for 30 days, an hour of tolerance, a minute of propagation, a look
    /// every 30 seconds.
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

    /// When less than a third of the certificate's life is left. The tolerance before its making is
    /// no part of its life: with a life shorter than the tolerance it would be due from birth.
    pub(crate) fn due(&self, certificate: &Certificate) -> OffsetDateTime {
        certificate.not_after().saturating_sub(self.life(certificate) / 3)
    }

    /// When less than two thirds are left: a CA's successor is made, and waits for the last third a
    /// life's third long in `caBundle`. So it is there long before it signs, and is itself not old
    /// when it does.
    pub(crate) fn successor_due(&self, authority: &Certificate) -> OffsetDateTime {
        authority.not_after().saturating_sub(self.life(authority) * 2 / 3)
    }

    fn life(&self, certificate: &Certificate) -> time::Duration {
        certificate.not_after() - certificate.not_before() - self.clock_tolerance
    }

    /// Expired by anybody's clock: one that is ahead must not give up what others still verify.
    pub(crate) fn is_past(&self, certificate: &Certificate, wall: OffsetDateTime) -> bool {
        later(certificate.not_after(), self.clock_tolerance) <= wall
    }
}

/// `time` plus `duration`, at most the end of the year 9999: what RFC 5280 writes for "no expiry"
/// has nothing after it.
pub(crate) fn later(time: OffsetDateTime, duration: Duration) -> OffsetDateTime {
    time.saturating_add(duration.try_into().unwrap_or(time::Duration::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CertificateAuthority;

    #[test]
    fn times_that_cannot_be_kept_are_refused() {
        let secs = Duration::from_secs;
        for (leaf, authority, propagation, expected) in [
            (30, 90, 9, Ok(())),
            (1, 90, 9, Err(PolicyError::LeafLifetime)),
            (31, 90, 9, Err(PolicyError::AuthorityLifetime)),
            (30, 90, 10, Err(PolicyError::Propagation)),
        ] {
            let lives = Policy {
                leaf_lifetime: secs(leaf),
                ca_lifetime: secs(authority),
                ..Policy::new(Vec::new())
            };
            assert_eq!(Policy { propagation: secs(propagation), ..lives }.check(), expected);
        }
        assert_eq!(Policy::new(Vec::new()).check(), Ok(()));
    }

    #[test]
    fn a_certificate_is_due_when_less_than_a_third_of_its_life_is_left() {
        let policy = Policy::new(Vec::new());
        let now = OffsetDateTime::UNIX_EPOCH + Duration::from_secs(1_900_000_000);
        let made = CertificateAuthority::generate_between(
            now - policy.clock_tolerance,
            now + Duration::from_secs(30),
        );
        assert_eq!(policy.due(made.unwrap().certificate()), now + Duration::from_secs(20));
    }
}
