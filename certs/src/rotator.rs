//! The driver of our own CA: read, decide, publish, serve, write, sleep. One runs in every replica; there is no leader.

use crate::bundle::{Published, Sightings};
use crate::clock::Clock;
use crate::material::{Material, MaterialError};
use crate::step::{Decision, Reason, Serving, View, step};
use crate::store::{BundleStore, SecretStore, Store, StoreError};
use crate::{CertsError, Pair, Policy};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;
use tokio::sync::watch;

const FIRST_RETRY: Duration = Duration::from_millis(250);
/// Who serves nothing yet looks often: the webhook configuration may come a moment after us.
const UNSERVED_CHECK: Duration = Duration::from_millis(500);
/// As many changes in a row are a rotation; more are two parties that undo each other's work, and must not do it at full speed.
const CHANGES_AT_ONCE: u32 = 8;

/// Keeps Secret, `caBundle` and the served leaf in step.
pub struct Rotator<S, B, C> {
    secret: S,
    bundle: B,
    clock: C,
    policy: Policy,
    sightings: Sightings,
    serving: Option<Serving>,
}

/// What a [`Rotator`] tells: for metrics and the log. Never a reason to stop.
#[derive(Debug)]
pub enum Event {
    /// The Secret was written.
    Stored {
        /// Why.
        reason: Reason,
    },
    /// `caBundle` was set.
    Published,
    /// Another leaf is served.
    Serving {
        /// End of the leaf.
        leaf_not_after: OffsetDateTime,
        /// End of its CA.
        authority_not_after: OffsetDateTime,
    },
    /// Another replica was faster; its work is used. No failure.
    Overtaken {
        /// Where.
        store: Store,
    },
    /// The API server did not do as asked; what is served stays.
    Failed {
        /// Where.
        store: Store,
        /// What is wrong.
        error: StoreError,
    },
    /// No key or certificate can be made; what is served stays.
    CannotMake {
        /// What is wrong.
        error: CertsError,
    },
}

/// What became of one look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Nothing to do before this has passed.
    Settled(Duration),
    /// Something was changed: look again at once.
    Changed,
    /// Something failed or was overtaken: look again after a while.
    Hindered,
}

impl<S: SecretStore, B: BundleStore, C: Clock> Rotator<S, B, C> {
    /// A rotator that has seen and serves nothing yet.
    pub fn new(secret: S, bundle: B, clock: C, policy: Policy) -> Self {
        Self { secret, bundle, clock, policy, sightings: Sightings::default(), serving: None }
    }

    /// Runs until dropped (which is safe at any point), and hands every new leaf to `leaf`.
    pub async fn run(mut self, leaf: &watch::Sender<Option<Arc<Pair>>>, mut observe: impl FnMut(Event)) -> Infallible {
        let mut restless = 0_u32;
        loop {
            let turn = self.turn(leaf, &mut observe).await;
            let chance = self.clock.chance();
            let pause = match turn {
                Turn::Settled(next_check) => {
                    restless = 0;
                    let next_check = if self.serving.is_some() { next_check } else { next_check.min(UNSERVED_CHECK) };
                    next_check.mul_f64(1.0 + chance / 10.0)
                }
                Turn::Changed if restless < CHANGES_AT_ONCE => {
                    restless += 1;
                    continue;
                }
                Turn::Changed | Turn::Hindered => {
                    restless += 1;
                    retry(restless, self.policy.poll, chance)
                }
            };
            self.clock.sleep(pause).await;
        }
    }

    /// One look, and what follows from it. Dropped at any point, the next look mends it.
    pub(crate) async fn turn(
        &mut self,
        leaf: &watch::Sender<Option<Arc<Pair>>>,
        observe: &mut impl FnMut(Event),
    ) -> Turn {
        // The order matters: see `BundleStore::read`.
        let mut published = told(Store::Bundle, self.bundle.read().await, observe);
        let Some(stored) = told(Store::Secret, self.secret.read().await, observe) else {
            return Turn::Hindered;
        };
        let (material, version) = match stored {
            None => (Err(MaterialError::Empty), None),
            Some(stored) => (Material::parse(&stored.data), Some(stored.version)),
        };
        let mut decision = self.decide(&material, published.as_ref());
        let anew = |reason: &Reason| matches!(reason, Reason::Bootstrap(_) | Reason::Heal(_) | Reason::KeepAuthority);
        if decision.as_ref().is_ok_and(|decision| decision.write.as_ref().is_some_and(|(_, reason)| anew(reason))) {
            // To start anew one must know what was published until the Secret was found unusable, not until a while before.
            published = told(Store::Bundle, self.bundle.read().await, observe);
            decision = self.decide(&material, published.as_ref());
        }
        let decision = match decision {
            Ok(decision) => decision,
            Err(error) => {
                observe(Event::CannotMake { error });
                return Turn::Hindered;
            }
        };
        self.serve(decision.serve, leaf, observe);

        let (mut hindered, mut changed) = (published.is_none(), false);
        if let (Some(pem), Some(published)) = (&decision.publish, &published) {
            match told(Store::Bundle, self.bundle.patch(pem, &published.version).await, observe) {
                Some(()) => changed = true,
                None => hindered = true,
            }
            if changed {
                observe(Event::Published);
            }
        }
        if let Some((material, reason)) = decision.write {
            match told(Store::Secret, self.secret.write(&material.data(), version.as_ref()).await, observe) {
                Some(()) => {
                    changed = true;
                    observe(Event::Stored { reason });
                }
                None => hindered = true,
            }
        }
        match (hindered, changed) {
            (true, _) => Turn::Hindered,
            (false, true) => Turn::Changed,
            (false, false) => Turn::Settled(decision.next_check),
        }
    }

    fn decide(
        &mut self,
        stored: &Result<Material, MaterialError>,
        published: Option<&Published>,
    ) -> Result<Decision, CertsError> {
        let now = self.clock.now();
        if let Some(published) = published {
            self.sightings.note(published, now.uptime);
        }
        let (sightings, serving) = (&self.sightings, self.serving.as_ref());
        step(&View { stored: stored.as_ref(), published, sightings, serving, now }, &self.policy)
    }

    fn serve(
        &mut self,
        serve: Option<Serving>,
        leaf: &watch::Sender<Option<Arc<Pair>>>,
        observe: &mut impl FnMut(Event),
    ) {
        let Some(serve) = serve else { return };
        if self.serving.as_ref().is_some_and(|serving| Arc::ptr_eq(&serving.pair, &serve.pair)) {
            return;
        }
        let (leaf_not_after, authority_not_after) = (serve.pair.certificate().not_after(), serve.authority.not_after());
        leaf.send_replace(Some(Arc::clone(&serve.pair)));
        self.serving = Some(serve);
        observe(Event::Serving { leaf_not_after, authority_not_after });
    }
}

fn told<T>(store: Store, result: Result<T, StoreError>, observe: &mut impl FnMut(Event)) -> Option<T> {
    result
        .map_err(|error| {
            observe(match error {
                StoreError::Conflict => Event::Overtaken { store },
                error @ StoreError::Failed(_) => Event::Failed { store, error },
            });
        })
        .ok()
}

/// Doubles from a quarter of a second to as long as one would sleep anyway; half of it by chance.
fn retry(failures: u32, longest: Duration, chance: f64) -> Duration {
    let doubled = FIRST_RETRY.saturating_mul(1 << failures.saturating_sub(1).min(16));
    doubled.min(longest).mul_f64(0.5 + chance / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_slow_down_to_the_pace_of_polling() {
        let longest = Duration::from_secs(30);
        let pauses = [1, 2, 3, 8, 40].map(|failures| retry(failures, longest, 1.0).as_millis());
        assert_eq!(pauses, [250, 500, 1000, 30_000, 30_000]);
        assert_eq!(retry(3, longest, 0.0), Duration::from_millis(500));
    }
}
