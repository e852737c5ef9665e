//! The token of one identity: when it is renewed, what goes on when that fails. Pure: every step
//! takes the time since boot.

use super::AccessToken;
use super::token::Grant;
use crate::backoff::Jitter;
use crate::fault::Fault;
use std::sync::Arc;
use std::time::Duration;

/// Between two requests while the old token still works, whatever the answers advise.
const RENEWAL_PAUSE: Duration = Duration::from_secs(30);

/// Between two renewals because a vault did not accept the token: one that never does must not cost
/// a call each time.
const REJECTION_PAUSE: Duration = Duration::from_secs(3600);

#[derive(Debug)]
pub(super) struct Holding {
    jitter: Jitter,
    held: Option<Held>,
    /// The last failure and when it was known: whoever was waiting by then shares it.
    failure: Option<(Duration, Fault)>,
    /// When a vault last had us renew a token before its time.
    rejected_at: Option<Duration>,
}

#[derive(Debug)]
struct Held {
    token: Arc<AccessToken>,
    renew_at: Duration,
    expires_at: Duration,
}

impl Holding {
    /// Nothing yet.
    pub(super) fn new(jitter: Jitter) -> Self {
        Self { jitter, held: None, failure: None, rejected_at: None }
    }

    /// The answer for somebody who asked at `asked`, if it takes no request: the token while it is
    /// not due, or the failure of a request that ended since.
    pub(super) fn known(
        &self,
        asked: Duration,
        now: Duration,
    ) -> Option<Result<Arc<AccessToken>, Fault>> {
        if let Some(held) = self.held.as_ref().filter(|held| now < held.renew_at) {
            return Some(Ok(Arc::clone(&held.token)));
        }
        self.failure.as_ref().filter(|(at, _)| *at >= asked).map(|(_, fault)| Err(fault.clone()))
    }

    /// A new token came.
    pub(super) fn granted(&mut self, grant: Grant, now: Duration) -> Arc<AccessToken> {
        let Grant { token, lifetime } = grant;
        let token = Arc::new(token);
        let pause = RENEWAL_PAUSE.min(lifetime.expires_in / 2);
        let renew_in = self.jitter.spread(lifetime.renew_in()).max(pause).min(lifetime.latest());
        self.failure = None;
        self.held = Some(Held {
            token: Arc::clone(&token),
            renew_at: now + renew_in,
            expires_at: now + lifetime.expires_in,
        });
        token
    }

    /// None came: the old one goes on until its end, and is renewed not before the pause or what
    /// was demanded.
    pub(super) fn failed(
        &mut self,
        fault: &Fault,
        now: Duration,
    ) -> Result<Arc<AccessToken>, Fault> {
        if let Some(held) = self.held.as_mut().filter(|held| now < held.expires_at) {
            let wait = fault.retry_after.unwrap_or_default().max(RENEWAL_PAUSE);
            held.renew_at = (now + wait).min(held.expires_at);
            return Ok(Arc::clone(&held.token));
        }
        self.failure = Some((now, fault.clone()));
        Err(fault.clone())
    }

    /// A vault did not accept `token`. Whether it makes sense to ask for another now.
    pub(super) fn rejected(&mut self, token: &Arc<AccessToken>, now: Duration) -> bool {
        let held = self
            .held
            .as_mut()
            .filter(|held| Arc::ptr_eq(&held.token, token) && now < held.renew_at);
        if let Some(held) = held {
            if self.rejected_at.is_some_and(|at| now < at + REJECTION_PAUSE) {
                return false;
            }
            (held.renew_at, self.rejected_at) = (now, Some(now));
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
    fn due(holding: &Holding, seconds: u64) -> bool {
        holding.known(at(seconds), at(seconds)).is_none()
    }

    #[test]
    fn a_token_is_renewed_ahead_of_its_end_and_never_later_than_a_minute_before() {
        for seed in 0..200 {
            let mut holding = Holding::new(Jitter::new(seed));
            assert!(due(&holding, 0));
            holding.granted(grant(3600), at(0));
            assert!(!due(&holding, 2969), "3300 s less a tenth");
            assert!(due(&holding, 3540));
        }
        let renewals: Vec<u64> = (0..200)
            .map(|seed| {
                let mut holding = Holding::new(Jitter::new(seed));
                holding.granted(grant(86_400), at(0));
                (0..86_400).step_by(60).find(|&seconds| due(&holding, seconds)).unwrap()
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
        let mut holding = Holding::new(Jitter::new(1));
        let token = holding.granted(grant(3600), at(0));
        let mut attempts = 0;
        for seconds in 0..3600 {
            if due(&holding, seconds) {
                attempts += 1;
                assert!(
                    Arc::ptr_eq(&holding.failed(&down(None), at(seconds)).unwrap(), &token),
                    "at {seconds} s"
                );
            }
        }
        assert!((2..=22).contains(&attempts), "one in 30 s: {attempts}");
        assert!(due(&holding, 3600), "at its end nothing but a new one will do");
        assert_eq!(holding.failed(&down(None), at(3600)).unwrap_err().reason, KS312);
        assert!(
            holding.known(at(3599), at(3601)).unwrap().is_err(),
            "who was waiting shares the failure"
        );
        assert!(due(&holding, 3601), "who asks later has it tried again");
        let token = holding.granted(grant(3600), at(3700));
        assert!(Arc::ptr_eq(&holding.known(at(3700), at(3701)).unwrap().unwrap(), &token));
    }

    #[test]
    fn a_demanded_wait_holds_for_renewals_too() {
        let mut holding = Holding::new(Jitter::new(1));
        holding.granted(grant(3600), at(0));
        holding.failed(&down(Some(60)), at(3300)).unwrap();
        assert!(!due(&holding, 3359) && due(&holding, 3360));
        holding.failed(&down(Some(600)), at(3360)).unwrap();
        assert!(!due(&holding, 3599) && due(&holding, 3600), "but not past the end");
    }

    #[test]
    fn whatever_is_advised_there_is_a_pause_between_two_requests_while_a_token_works() {
        let mut holding = Holding::new(Jitter::new(1));
        let Grant { token, lifetime } = grant(3600);
        holding.granted(
            Grant { token, lifetime: Lifetime { refresh_in: Some(Duration::ZERO), ..lifetime } },
            at(0),
        );
        assert!(!due(&holding, 29) && due(&holding, 30));
        for wait in [0, 5] {
            holding.failed(&down(Some(wait)), at(100)).unwrap();
            assert!(!due(&holding, 129) && due(&holding, 130), "Retry-After: {wait}");
        }
        holding.granted(grant(20), at(200));
        assert!(!due(&holding, 209) && due(&holding, 211), "half of a life that is shorter");
    }

    #[test]
    fn a_token_that_ended_while_the_node_slept_is_not_used() {
        let mut holding = Holding::new(Jitter::new(1));
        holding.granted(grant(3600), at(0));
        let woken = 6 * 3600;
        assert!(due(&holding, woken));
        assert!(holding.failed(&down(None), at(woken)).is_err());
    }

    #[test]
    fn a_rejected_token_is_replaced_once_an_hour() {
        let mut holding = Holding::new(Jitter::new(1));
        let first = holding.granted(grant(86_400), at(0));
        assert!(holding.rejected(&first, at(10)) && due(&holding, 10));
        let second = holding.granted(grant(86_400), at(10));
        assert!(holding.rejected(&first, at(11)), "there is a newer one");
        assert!(!due(&holding, 11), "which takes no request");
        assert!(!holding.rejected(&second, at(20)));
        assert!(holding.rejected(&second, at(10 + 3600)));
    }
}
