//! The steps of one replica, and the world that the other tests drive.

mod recovery;
mod rotation;

use super::*;
use crate::material::Retired;
use crate::store::ResourceVersion;

const START: i64 = 1_900_000_000;

/// One replica, its Secret and `caBundle`, driven by hand.
struct Replica {
    policy: Policy,
    stored: Result<Material, MaterialError>,
    published: Option<Published>,
    sightings: Sightings,
    serving: Option<Serving>,
    seconds: u64,
}

impl Replica {
    fn new() -> Self {
        let policy = Policy {
            ca_lifetime: secs(9000),
            leaf_lifetime: secs(900),
            clock_tolerance: secs(10),
            ..Policy::new(vec!["a.svc".to_owned()])
        };
        let mut replica = Self {
            policy,
            stored: Err(MaterialError::Empty),
            published: None,
            sightings: Sightings::default(),
            serving: None,
            seconds: 0,
        };
        replica.publish("");
        replica
    }

    fn settled() -> Self {
        let mut replica = Self::new();
        assert_eq!(replica.settle(), [Reason::Bootstrap(MaterialError::Empty)]);
        replica
    }

    fn publish(&mut self, pem: &str) {
        self.published = Some(Published::read([pem.as_bytes()], ResourceVersion::from("1")));
    }

    fn decide(&mut self) -> Decision {
        let now = Moment { wall: wall(self.seconds), uptime: secs(self.seconds) };
        if let Some(published) = &self.published {
            self.sightings.note(published, now.uptime);
        }
        let view = View {
            stored: self.stored.as_ref(),
            published: self.published.as_ref(),
            sightings: &self.sightings,
            serving: self.serving.as_ref(),
            now,
        };
        step(&view, &self.policy).unwrap()
    }

    /// Does what is decided until nothing is; returns why the Secret was written.
    fn settle(&mut self) -> Vec<Reason> {
        let mut reasons = Vec::new();
        for _ in 0..9 {
            let decision = self.decide();
            self.serving = decision.serve;
            if let Some(pem) = &decision.publish {
                self.publish(pem);
            }
            if let Some((material, reason)) = decision.write {
                self.stored = Ok(Material::parse(&material.data()).unwrap());
                reasons.push(reason);
            } else if decision.publish.is_none() {
                return reasons;
            }
        }
        panic!("never settles: {reasons:?}");
    }

    fn at(&mut self, seconds: u64) -> Vec<Reason> {
        self.seconds = seconds;
        self.settle()
    }

    fn restart(&mut self) {
        (self.serving, self.sightings) = (None, Sightings::default());
    }

    fn material(&self) -> &Material {
        self.stored.as_ref().unwrap()
    }

    fn active(&self) -> &Certificate {
        self.material().active.as_ref().unwrap().authority.certificate()
    }

    fn served(&self) -> &Certificate {
        &self.serving.as_ref().unwrap().authority
    }

    fn trusts(&self, certificate: &Certificate) -> bool {
        self.published.as_ref().unwrap().trusts(certificate)
    }
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn wall(seconds: u64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(START).unwrap() + secs(seconds)
}

#[test]
fn a_fresh_cluster_has_certificate_and_bundle_at_once() {
    let replica = Replica::settled();
    assert!(replica.trusts(replica.served()));
    let pair = &replica.serving.as_ref().unwrap().pair;
    assert!(pair.certificate().covers(&replica.policy.names));
    assert_eq!(pair.certificate().not_before(), wall(0) - replica.policy.clock_tolerance);
}

#[test]
fn the_leaf_is_renewed_in_the_last_third_of_its_life_by_the_same_authority() {
    let mut replica = Replica::settled();
    let (ca, leaf) =
        (replica.active().clone(), replica.serving.as_ref().unwrap().pair.certificate().clone());
    assert_eq!(replica.at(599), []);
    assert_eq!(replica.at(600), [Reason::RenewLeaf]);
    assert_eq!(replica.served(), &ca);
    assert_ne!(replica.serving.as_ref().unwrap().pair.certificate(), &leaf);
    assert_eq!(replica.at(601), []);
}

#[test]
fn without_sight_of_the_bundle_nothing_starts_anew_but_the_leaf_is_renewed() {
    let mut replica = Replica::settled();
    let kept = replica.published.take();
    assert_eq!(replica.at(600), [Reason::RenewLeaf]);
    replica.stored = Err(MaterialError::Empty);
    assert_eq!(replica.at(601), []);
    assert!(replica.serving.is_some());
    replica.published = kept;
    assert_eq!(replica.at(602), [Reason::Heal(MaterialError::Empty)]);
}

#[test]
fn a_replica_that_cannot_see_the_bundle_serves_only_an_authority_old_enough_to_be_known() {
    let mut replica = Replica::settled();
    replica.published = None;
    for (seconds, serves) in [(69, false), (70, true)] {
        replica.restart();
        replica.at(seconds);
        assert_eq!(replica.serving.is_some(), serves, "at {seconds}");
    }
}

#[test]
fn replicas_that_want_other_names_settle_on_both() {
    let mut replica = Replica::settled();
    let other = Policy { names: vec!["b.svc".to_owned()], ..replica.policy.clone() };
    let first = std::mem::replace(&mut replica.policy, other);
    assert_eq!(replica.at(10), [Reason::RenameLeaf]);
    replica.policy = first;
    assert_eq!(replica.at(11), [], "the leaf is for both");
}

#[test]
fn a_leaf_as_old_as_its_authority_is_not_renewed_again_and_again() {
    let mut replica = Replica::settled();
    replica.policy.leaf_lifetime = secs(100_000);
    assert_eq!(replica.at(600), [Reason::RenewLeaf]);
    assert_eq!(
        replica.serving.as_ref().unwrap().pair.certificate().not_after(),
        replica.active().not_after()
    );
    assert_eq!(replica.at(2999), []);
    assert_eq!(replica.at(5999), [Reason::StageAuthority]);
}

#[test]
fn the_next_look_is_when_something_is_due_and_never_late() {
    let mut replica = Replica::settled();
    let poll = replica.policy.poll;
    let mut next = |seconds| {
        replica.at(seconds);
        replica.decide().next_check
    };
    assert_eq!(next(1), poll);
    assert_eq!(next(590), secs(10));
    assert_eq!(next(2990), secs(10));
    next(3000);
    assert_eq!(next(5990), secs(10), "when the next CA signs");
}
