//! The driver of our own CA: read, decide, publish, serve, write, sleep. One runs in every replica;
//! no leader is elected.

mod trusting;

use crate::bundle::{Published, Sightings};
use crate::clock::Clock;
use crate::material::{Data, Material, MaterialError};
use crate::path::{self, AnsweredPaths, PathDecision, PathSightings, StoredPaths};
use crate::step::{Decision, Reason, SHORTEST_CHECK, Serving, View, step};
use crate::store::{BundleStore, Publication, SecretStore, Store, StoreError};
use crate::{CertsError, Pair, Policy};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;
use tokio::sync::watch;

const FIRST_RETRY: Duration = Duration::from_millis(250);
/// Who serves nothing yet looks often: the webhook configuration may come a moment after us.
const UNSERVED_CHECK: Duration = Duration::from_millis(500);
/// As many changes in a row are a rotation; more are two parties that undo each other's work, and
/// must not do it at full speed.
const CHANGES_AT_ONCE: u32 = 8;

/// Keys of the Secret that are not the rotation's, and stay: whether the guard refuses.
const KEPT_KEYS: [&str; 1] = ["guard"];

/// Keeps Secret, `caBundle`, the path of reviews and the served leaf in step.
pub struct Rotator<S, B, C> {
    secret: S,
    bundle: B,
    clock: C,
    policy: Policy,
    sightings: Sightings,
    paths: PathSightings,
    looks: u64,
    serving: Option<Serving>,
    /// PEM of the CAs in the last event that named them.
    trusted: String,
}

/// What a [`Rotator`] tells: for metrics and the log. Never a reason to stop.
#[derive(Debug)]
pub enum Event {
    /// The Secret was written.
    Stored {
        /// Why.
        reason: Reason,
    },
    /// Path, or those before it, were stored.
    StoredPath,
    /// `caBundle` was set.
    Published,
    /// The path of the entries was set.
    PublishedPath,
    /// Another leaf is served.
    Serving {
        /// End of the leaf.
        leaf_not_after: OffsetDateTime,
        /// End of its CA.
        authority_not_after: OffsetDateTime,
    },
    /// Other CAs than before are trusted: all that sign, will sign next, or signed lately.
    Trusting {
        /// PEM of all of them.
        authorities: String,
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

/// Where a [`Rotator`] puts what the server works with.
#[derive(Debug, Clone, Copy)]
pub struct Outputs<'a> {
    /// The leaf to serve.
    pub leaf: &'a watch::Sender<Option<Arc<Pair>>>,
    /// The paths to answer; sent after every look, before any leaf.
    pub paths: &'a watch::Sender<AnsweredPaths>,
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
        let (sightings, paths) = (Sightings::default(), PathSightings::default());
        Self {
            secret,
            bundle,
            clock,
            policy,
            sightings,
            paths,
            looks: 0,
            serving: None,
            trusted: String::new(),
        }
    }

    /// Runs until dropped (which is safe at any point).
    pub async fn run(mut self, outputs: Outputs<'_>, mut observe: impl FnMut(Event)) -> Infallible {
        let mut restless = 0_u32;
        loop {
            let turn = self.turn(outputs, &mut observe).await;
            let chance = self.clock.chance();
            let pause = match turn {
                Turn::Settled(next_check) => {
                    restless = 0;
                    let next_check = if self.serving.is_some() {
                        next_check
                    } else {
                        next_check.min(UNSERVED_CHECK)
                    };
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
        outputs: Outputs<'_>,
        observe: &mut impl FnMut(Event),
    ) -> Turn {
        // The order matters: see `BundleStore::read`.
        let mut published = observed(Store::Bundle, self.bundle.read().await, observe);
        self.answer(published.as_ref(), None, outputs);
        let Some(stored) = observed(Store::Secret, self.secret.read().await, observe) else {
            return Turn::Hindered;
        };
        let (data, version) = stored
            .map_or_else(|| (Data::default(), None), |stored| (stored.data, Some(stored.version)));
        let (material, paths) = (Material::parse(&data), StoredPaths::parse(&data));
        let mut decided = self.decide(&material, &paths, published.as_ref());
        let reason = decided.as_ref().ok().and_then(|(one, _)| one.write.as_ref());
        if let Some((_, Reason::Bootstrap(_) | Reason::Heal(_) | Reason::KeepAuthority)) = reason {
            // To start anew one must know what was published until the Secret was found unusable,
            // not until a while before.
            published = observed(Store::Bundle, self.bundle.read().await, observe);
            decided = self.decide(&material, &paths, published.as_ref());
        }
        self.looks += u64::from(published.is_some());
        self.answer(None, None, outputs);
        let (decision, path) = match decided {
            Ok(decided) => decided,
            Err(error) => {
                observe(Event::CannotMake { error });
                return Turn::Hindered;
            }
        };
        self.trust(&material, observe);
        self.serve(decision.serve, outputs.leaf, observe);

        let (mut hindered, mut changed) = (published.is_none(), false);
        let publication = Publication { bundle: decision.publish, path: path.publish };
        if let Some(published) =
            published.filter(|_| publication.bundle.is_some() || publication.path.is_some())
        {
            match observed(
                Store::Bundle,
                self.bundle.patch(&publication, &published.version).await,
                observe,
            ) {
                Some(()) => changed = true,
                None => hindered = true,
            }
            if changed && publication.bundle.is_some() {
                observe(Event::Published);
            }
            if changed && publication.path.is_some() {
                observe(Event::PublishedPath);
            }
        }
        if decision.write.is_some() || (path.write.is_some() && material.is_ok()) {
            // Beside a path alone what is there stays as it is.
            let kept = KEPT_KEYS.iter().filter_map(|key| data.0.get_key_value(*key));
            let kept: Vec<_> = kept.map(|(key, value)| (key.clone(), value.clone())).collect();
            let mut written = decision.write.as_ref().map_or(data, |(material, _)| material.data());
            written.0.extend(kept);
            path.write.as_ref().unwrap_or(&paths).put(&mut written);
            match observed(
                Store::Secret,
                self.secret.write(&written, version.as_ref()).await,
                observe,
            ) {
                Some(()) => {
                    changed = true;
                    if let Some((_, reason)) = decision.write {
                        observe(Event::Stored { reason });
                    }
                    if path.write.is_some() {
                        observe(Event::StoredPath);
                    }
                }
                None => hindered = true,
            }
        }
        match (hindered, changed) {
            (true, _) => Turn::Hindered,
            (false, true) => Turn::Changed,
            (false, false) => {
                let due =
                    path.next_check.map_or(decision.next_check, |due| due.min(decision.next_check));
                Turn::Settled(due.max(SHORTEST_CHECK.min(self.policy.poll)))
            }
        }
    }

    fn answer(
        &mut self,
        published: Option<&Published>,
        stored: Option<&StoredPaths>,
        outputs: Outputs<'_>,
    ) {
        let uptime = self.clock.now().uptime;
        self.paths.note(published, stored, uptime);
        self.paths.forget(uptime, self.policy.propagation);
        let (paths, named) =
            (self.paths.answered(uptime, self.policy.propagation), self.paths.named());
        outputs.paths.send_replace(AnsweredPaths {
            looks: self.looks,
            paths: paths.into(),
            named: named.into(),
        });
    }

    fn decide(
        &mut self,
        stored: &Result<Material, MaterialError>,
        paths: &StoredPaths,
        published: Option<&Published>,
    ) -> Result<(Decision, PathDecision), CertsError> {
        let now = self.clock.now();
        self.paths.note(published, Some(paths), now.uptime);
        if let Some(published) = published {
            self.sightings.note(published, now.uptime);
        }
        let (sightings, serving) = (&self.sightings, self.serving.as_ref());
        let decision = step(
            &View { stored: stored.as_ref(), published, sightings, serving, now },
            &self.policy,
        )?;
        let path = path::step(published, paths, &self.paths, now.uptime, self.policy.propagation)?;
        Ok((decision, path))
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
        let (leaf_not_after, authority_not_after) =
            (serve.pair.certificate().not_after(), serve.authority.not_after());
        leaf.send_replace(Some(Arc::clone(&serve.pair)));
        self.serving = Some(serve);
        observe(Event::Serving { leaf_not_after, authority_not_after });
    }
}

/// The result; an error goes to `observe`.
fn observed<T>(
    store: Store,
    result: Result<T, StoreError>,
    observe: &mut impl FnMut(Event),
) -> Option<T> {
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
