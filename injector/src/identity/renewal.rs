//! One token of the cache: when it is renewed, and what happens when the renewal fails. Pure: each
//! step takes the time since boot.

use super::AccessToken;
use super::token::{Grant, Times};
use crate::backoff::Jitter;
use crate::fault::Fault;
use std::sync::Arc;
use std::time::Duration;

/// Between two requests while the old token still works, whatever the answers advise.
const RENEWAL_PAUSE: Duration = Duration::from_secs(30);

/// Between two renewals because a vault rejected the token: a vault that always rejects it must not
/// cost a call each time.
const REJECTION_PAUSE: Duration = Duration::from_secs(3600);

#[derive(Debug)]
pub(super) struct Renewal {
    jitter: Jitter,
    cached: Option<CachedToken>,
    /// The last failure and when it was known: callers that waited by then share it.
    failure: Option<(Duration, Fault)>,
    /// When a rejection by a vault last led to an early renewal.
    rejected_at: Option<Duration>,
}

#[derive(Debug)]
struct CachedToken {
    token: Arc<AccessToken>,
    renew_at: Duration,
    expires_at: Duration,
}

impl Renewal {
    /// Without a token.
    pub(super) fn new(jitter: Jitter) -> Self {
        Self { jitter, cached: None, failure: None, rejected_at: None }
    }

    /// The result for a caller that asked at `asked`, if it needs no request: the token while it is
    /// not due, or the failure of a request that ended since then.
    pub(super) fn known(
        &self,
        asked: Duration,
        now: Duration,
    ) -> Option<Result<Arc<AccessToken>, Fault>> {
        if let Some(cached) = self.cached.as_ref().filter(|cached| now < cached.renew_at) {
            return Some(Ok(Arc::clone(&cached.token)));
        }
        self.failure.as_ref().filter(|(at, _)| *at >= asked).map(|(_, fault)| Err(fault.clone()))
    }

    /// Stores a new token.
    pub(super) fn granted(&mut self, grant: Grant, now: Duration) -> Arc<AccessToken> {
        let Grant { token, lifetime } = grant;
        let pause = RENEWAL_PAUSE.min(lifetime.expires_in / 2);
        let renew_in = self.jitter.spread(lifetime.renew_in()).max(pause).min(lifetime.latest());
        let (renew_at, expires_at) = (now + renew_in, now + lifetime.expires_in);
        let token = Arc::new(token.with_times(Times {
            granted: now,
            renewal: renew_at,
            expiry: expires_at,
        }));
        self.failure = None;
        self.cached = Some(CachedToken { token: Arc::clone(&token), renew_at, expires_at });
        token
    }

    /// A request failed. The old token stays in use until it expires, and its renewal waits for the
    /// pause or the demanded time.
    pub(super) fn failed(
        &mut self,
        fault: &Fault,
        now: Duration,
    ) -> Result<Arc<AccessToken>, Fault> {
        if let Some(cached) = self.cached.as_mut().filter(|cached| now < cached.expires_at) {
            let wait = fault.retry_after.unwrap_or_default().max(RENEWAL_PAUSE);
            cached.renew_at = (now + wait).min(cached.expires_at);
            return Ok(Arc::clone(&cached.token));
        }
        self.failure = Some((now, fault.clone()));
        Err(fault.clone())
    }

    /// A vault rejected `token`. Whether to request another one now.
    pub(super) fn rejected(&mut self, token: &Arc<AccessToken>, now: Duration) -> bool {
        let cached = self
            .cached
            .as_mut()
            .filter(|cached| Arc::ptr_eq(&cached.token, token) && now < cached.renew_at);
        if let Some(cached) = cached {
            if self.rejected_at.is_some_and(|at| now < at + REJECTION_PAUSE) {
                return false;
            }
            (cached.renew_at, self.rejected_at) = (now, Some(now));
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::token::Lifetime;
    use super::*;
    use crate::fault::Class;
    use keysluice_plan::reason::KS312;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(1_000_000 + seconds)
    }

    fn grant(seconds: u64) -> Grant {
        let lifetime = Lifetime { expires_in: Duration::from_secs(seconds), refresh_in: None };
        Grant { token: AccessToken::new(format!("token for {seconds} s")), lifetime }
    }

    fn down(retry_after: Option<u64>) -> Fault {
        Fault {
            retry_after: retry_after.map(Duration::from_secs),
            ..Fault::new(KS312, Class::Transient, "down")
        }
    }

    /// Whether a request is due at this time.
    fn due(renewal: &Renewal, seconds: u64) -> bool {
        renewal.known(at(seconds), at(seconds)).is_none()
    }

    #[test]
    fn a_token_is_renewed_ahead_of_its_end_and_never_later_than_a_minute_before() {
        for seed in 0..200 {
            let mut renewal = Renewal::new(Jitter::new(seed));
            assert!(due(&renewal, 0));
            renewal.granted(grant(3600), at(0));
            assert!(!due(&renewal, 2969), "3300 s less a tenth");
            assert!(due(&renewal, 3540));
        }
        let renewals: Vec<u64> = (0..200)
            .map(|seed| {
                let mut renewal = Renewal::new(Jitter::new(seed));
                renewal.granted(grant(86_400), at(0));
                (0..86_400).step_by(60).find(|&seconds| due(&renewal, seconds)).unwrap()
            })
            .collect();
        assert!(
            renewals.iter().all(|renewal| (38_880..=47_520).contains(renewal)),
            "half of a long life, spread"
        );
        assert!(
            renewals.iter().max().unwrap() - renewals.iter().min().unwrap() > 7000,
            "a fleet renews spread out"
        );
    }

    #[test]
    fn while_a_renewal_fails_the_old_token_goes_on_to_its_end() {
        let mut renewal = Renewal::new(Jitter::new(1));
        let token = renewal.granted(grant(3600), at(0));
        let mut attempts = 0;
        for seconds in 0..3600 {
            if due(&renewal, seconds) {
                attempts += 1;
                assert!(
                    Arc::ptr_eq(&renewal.failed(&down(None), at(seconds)).unwrap(), &token),
                    "at {seconds} s"
                );
            }
        }
        assert!((2..=22).contains(&attempts), "one in 30 s: {attempts}");
        assert!(due(&renewal, 3600), "at its end nothing but a new one will do");
        assert_eq!(renewal.failed(&down(None), at(3600)).unwrap_err().reason, KS312);
        assert!(
            renewal.known(at(3599), at(3601)).unwrap().is_err(),
            "who was waiting shares the failure"
        );
        assert!(due(&renewal, 3601), "who asks later has it tried again");
        let token = renewal.granted(grant(3600), at(3700));
        assert!(Arc::ptr_eq(&renewal.known(at(3700), at(3701)).unwrap().unwrap(), &token));
    }

    #[test]
    fn a_demanded_wait_holds_for_renewals_too() {
        let mut renewal = Renewal::new(Jitter::new(1));
        renewal.granted(grant(3600), at(0));
        renewal.failed(&down(Some(60)), at(3300)).unwrap();
        assert!(!due(&renewal, 3359) && due(&renewal, 3360));
        renewal.failed(&down(Some(600)), at(3360)).unwrap();
        assert!(!due(&renewal, 3599) && due(&renewal, 3600), "but not past the end");
    }

    #[test]
    fn whatever_is_advised_there_is_a_pause_between_two_requests_while_a_token_works() {
        let mut renewal = Renewal::new(Jitter::new(1));
        let Grant { token, lifetime } = grant(3600);
        renewal.granted(
            Grant { token, lifetime: Lifetime { refresh_in: Some(Duration::ZERO), ..lifetime } },
            at(0),
        );
        assert!(!due(&renewal, 29) && due(&renewal, 30));
        for wait in [0, 5] {
            renewal.failed(&down(Some(wait)), at(100)).unwrap();
            assert!(!due(&renewal, 129) && due(&renewal, 130), "Retry-After: {wait}");
        }
        renewal.granted(grant(20), at(200));
        assert!(!due(&renewal, 209) && due(&renewal, 211), "half of a life that is shorter");
    }

    #[test]
    fn a_token_that_ended_while_the_node_slept_is_not_used() {
        let mut renewal = Renewal::new(Jitter::new(1));
        renewal.granted(grant(3600), at(0));
        let woken = 6 * 3600;
        assert!(due(&renewal, woken));
        assert!(renewal.failed(&down(None), at(woken)).is_err());
    }

    #[test]
    fn a_rejected_token_is_replaced_once_an_hour() {
        let mut renewal = Renewal::new(Jitter::new(1));
        let first = renewal.granted(grant(86_400), at(0));
        assert!(renewal.rejected(&first, at(10)) && due(&renewal, 10));
        let second = renewal.granted(grant(86_400), at(10));
        assert!(renewal.rejected(&first, at(11)), "there is a newer one");
        assert!(!due(&renewal, 11), "which takes no request");
        assert!(!renewal.rejected(&second, at(20)));
        assert!(renewal.rejected(&second, at(10 + 3600)));
    }
}
