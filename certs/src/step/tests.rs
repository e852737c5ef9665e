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
fn an_authority_rotates_in_four_steps() {
    let mut replica = Replica::settled();
    let old = replica.active().clone();
    assert_eq!(replica.at(2990), [Reason::RenewLeaf]);
    assert!(replica.at(3000).contains(&Reason::StageAuthority));
    let next = replica.material().next.as_ref().unwrap().certificate().clone();
    assert!(replica.trusts(&old) && replica.trusts(&next) && *replica.served() == old);
    replica.at(5990);
    assert_eq!(*replica.served(), old, "the next one waits until it is needed");
    assert_eq!(replica.at(6000), [Reason::PromoteAuthority]);
    let after_next = replica.material().next.as_ref().unwrap().certificate().clone();
    assert!(replica.trusts(&old) && replica.trusts(&next) && replica.trusts(&after_next));
    assert_eq!(replica.at(6059), []);
    assert_eq!(*replica.served(), old, "the second publication is not yet known everywhere");
    assert_eq!(replica.at(6060), []);
    assert_eq!(*replica.served(), next);
    let until = replica.material().retired[0].until;
    assert_eq!(
        until,
        wall(6000) + replica.policy.leaf_lifetime + 2 * replica.policy.clock_tolerance
    );
    replica.at(6660);
    assert_eq!(replica.at(6919), []);
    assert!(replica.trusts(&old));
    assert_eq!(replica.at(6920), [Reason::DropAuthority]);
    assert!(!replica.trusts(&old) && replica.trusts(&next));
}

#[test]
fn a_rotation_goes_on_at_the_same_pace_for_ever() {
    let mut replica = Replica::settled();
    let mut promotions = Vec::new();
    for seconds in (10..60_000).step_by(10) {
        if replica.at(seconds).contains(&Reason::PromoteAuthority) {
            promotions.push(seconds);
        }
    }
    assert_eq!(promotions[0], 6000);
    let periods: Vec<u64> = promotions.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(
        periods.len() > 15 && periods.iter().all(|period| (2990..=3010).contains(period)),
        "{periods:?}"
    );
}

/// The leaf of a new CA is served only after a second publication, so that the last but one
/// `caBundle` has it.
#[test]
fn who_is_one_publication_behind_verifies_through_every_rotation() {
    let mut replica = Replica::settled();
    let bundle = |replica: &Replica| replica.published.as_ref().unwrap().certificates();
    let mut history = vec![bundle(&replica)];
    let mut served = Vec::new();
    for seconds in (1..60_000).step_by(7) {
        replica.seconds = seconds;
        loop {
            let decision = replica.decide();
            replica.serving = decision.serve;
            let leaf = replica.serving.as_ref().unwrap();
            let behind = &history[history.len().saturating_sub(2)];
            assert!(behind.contains(&leaf.authority), "at {seconds}");
            if served.last() != Some(&leaf.authority) {
                served.push(leaf.authority.clone());
            }
            if let Some(pem) = &decision.publish {
                replica.publish(pem);
                history.push(bundle(&replica));
            }
            let Some((material, _)) = decision.write else {
                if decision.publish.is_none() {
                    break;
                }
                continue;
            };
            replica.stored = Ok(material);
        }
    }
    assert!(served.len() > 15, "{} authorities served", served.len());
}

#[test]
fn a_next_authority_that_never_gets_published_never_signs() {
    let mut replica = Replica::settled();
    replica.at(2990);
    replica.seconds = 3000;
    let (material, _) = replica.decide().write.unwrap();
    replica.stored = Ok(material);
    for seconds in [3001, 6500, 8000] {
        replica.seconds = seconds;
        let decision = replica.decide();
        assert!(decision.publish.is_some());
        assert!(!matches!(decision.write, Some((_, Reason::PromoteAuthority))));
    }
}

#[test]
fn a_staged_authority_that_grew_old_unused_is_replaced() {
    let mut replica = Replica::settled();
    replica.at(2990);
    replica.seconds = 3000;
    let (material, reason) = replica.decide().write.unwrap();
    assert_eq!(reason, Reason::StageAuthority);
    let first = material.next.as_ref().unwrap().certificate().clone();
    replica.stored = Ok(material);
    replica.seconds = 9100; // published only now, after the first CA's end
    assert_eq!(replica.settle(), [Reason::StageAuthority]);
    assert_eq!(replica.at(9160), [Reason::PromoteAuthority, Reason::DropAuthority]);
    assert_ne!(*replica.active(), first);
}

#[test]
fn a_replica_restarted_in_any_phase_serves_what_everybody_trusts() {
    let mut replica = Replica::settled();
    for seconds in [1, 600, 2990, 3000, 3030, 5990, 6000, 6001, 6090, 6990] {
        replica.restart();
        replica.at(seconds);
        let served = replica.served().clone();
        assert!(replica.trusts(&served), "at {seconds}");
    }
}

#[test]
fn a_lost_secret_heals_without_a_request_lost() {
    for defect in [MaterialError::Empty, MaterialError::NotSigned] {
        let mut replica = Replica::settled();
        let old = replica.active().clone();
        replica.stored = Err(defect.clone());
        assert_eq!(replica.at(100), [Reason::Heal(defect)]);
        let next = replica.material().next.as_ref().unwrap().certificate().clone();
        assert!(*replica.served() == old && replica.trusts(&old) && replica.trusts(&next));
        let before = (replica.serving.take(), std::mem::take(&mut replica.sightings));
        replica.at(110);
        assert!(
            replica.serving.is_none(),
            "a new replica waits: API servers may not know the new CA yet"
        );
        (replica.serving, replica.sightings) = before;
        assert_eq!(replica.at(160), [Reason::PromoteAuthority]);
        assert_eq!(*replica.served(), next);
        assert!(replica.trusts(&old), "somebody may still serve the lost leaf");
        replica.at(1200);
        assert!(!replica.trusts(&old));
    }
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
fn an_emptied_bundle_is_published_again_and_the_leaf_stays() {
    let mut replica = Replica::settled();
    let old = replica.active().clone();
    replica.publish("\n");
    assert_eq!(replica.at(10), []);
    assert!(replica.trusts(&old) && *replica.served() == old);
}

#[test]
fn a_restored_secret_takes_over_only_when_its_authority_is_known_again() {
    let mut replica = Replica::settled();
    let (backup, first) = (replica.material().clone(), replica.active().clone());
    replica.stored = Err(MaterialError::Empty);
    replica.at(10);
    replica.at(70);
    let second = replica.active().clone();
    replica.stored = Ok(backup);
    replica.sightings = Sightings::default();
    replica.published =
        Some(Published::read([second.pem().as_bytes()], ResourceVersion::from("1")));
    assert_eq!(replica.at(80), [Reason::KeepAuthority]);
    assert!(replica.trusts(&first) && replica.trusts(&second) && *replica.served() == second);
    replica.at(139);
    assert_eq!(*replica.served(), second);
    replica.at(140);
    assert_eq!(*replica.served(), first);
}

#[test]
fn a_fresh_replica_keeps_what_is_published_beside_a_restored_secret() {
    let mut other = Replica::settled();
    let (backup, first) = (other.material().clone(), other.active().clone());
    other.stored = Err(MaterialError::Empty);
    other.at(10);
    other.at(70);
    let second = other.active().clone();
    // The other one serves the second authority's leaf; this one has only just started.
    let mut fresh = Replica::new();
    fresh.stored = Ok(backup);
    fresh.publish(&second.pem());
    assert_eq!(fresh.at(80), [Reason::KeepAuthority]);
    assert!(fresh.trusts(&first) && fresh.trusts(&second));
    fresh.restart();
    assert_eq!(fresh.at(139), []);
    assert!(fresh.serving.is_none(), "the last caBundle but one does not have the first authority");
    assert_eq!(fresh.at(199), [Reason::PromoteAuthority]);
    assert_eq!(*fresh.served(), first);
    assert!(fresh.trusts(&second));
}

#[test]
fn somebody_elses_authority_in_the_bundle_is_dropped() {
    let mut replica = Replica::settled();
    // A certificate of another name; that it may not sign makes no difference.
    let other =
        crate::CertificateAuthority::generate().unwrap().issue(&["other.svc".to_owned()]).unwrap();
    let (ours, other) =
        (replica.active().clone(), Certificate::read(other.chain[0].clone()).unwrap());
    for restarted in [false, true] {
        if restarted {
            replica.restart();
        }
        replica.publish(&(ours.pem() + &other.pem()));
        assert_eq!(replica.at(1), []);
        assert!(replica.trusts(&ours) && !replica.published.as_ref().unwrap().mentions(&other));
        assert_eq!(*replica.served(), ours);
    }
}

/// RFC 5280's "no well-defined expiration" is the last second that can be written.
#[test]
fn certificates_without_an_expiry_heal_like_any_other() {
    let end = OffsetDateTime::from_unix_timestamp(253_402_300_799).unwrap();
    for begin in [wall(0), end] {
        let authority = CertificateAuthority::generate_between(begin, end).unwrap();
        let mut replica = Replica::new();
        replica.publish(authority.pem());
        assert_eq!(replica.settle(), [Reason::Heal(MaterialError::Empty)]);
        assert!(replica.trusts(authority.certificate()));
        assert_eq!(replica.at(60), [Reason::PromoteAuthority]);

        let mut replica = Replica::new();
        let pair = Arc::new(
            Pair::new(authority.issue_between(&replica.policy.names, begin, end).unwrap()).unwrap(),
        );
        let active = Some(Active { authority: Arc::new(authority), pair });
        replica.stored = Ok(Material { active, next: None, retired: Vec::new() });
        replica.settle();
        replica.at(100_000);
        let served = replica.served().clone();
        assert!(replica.trusts(&served));
    }
}

#[test]
fn all_expired_starts_anew_at_once() {
    let mut replica = Replica::settled();
    assert!(matches!(replica.at(9010)[..], [Reason::Bootstrap(MaterialError::Expired { .. })]));
    let served = replica.served().clone();
    assert!(replica.trusts(&served));
}

#[test]
fn an_authority_of_the_far_future_is_replaced() {
    let mut replica = Replica::new();
    replica.at(5000); // made by a clock that was ahead
    assert!(matches!(replica.at(4000)[..], [Reason::Heal(MaterialError::NotYetValid { .. })]));
    replica.at(4060);
    assert!(replica.active().not_before() <= wall(4060));
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

#[test]
fn something_that_empties_the_secret_all_the_time_does_not_grow_the_bundle_without_end() {
    let mut replica = Replica::settled();
    for seconds in 1..40 {
        replica.stored = Err(MaterialError::Empty);
        replica.at(seconds);
        let served = replica.served().clone();
        assert!(replica.trusts(&served), "what is served stays trusted");
    }
    assert!(replica.published.as_ref().unwrap().certificates().len() <= 17);
}

#[test]
fn a_retired_authority_still_published_is_not_forgotten() {
    let mut replica = Replica::settled();
    let certificate = crate::CertificateAuthority::generate().unwrap().certificate().clone();
    let mut material = replica.material().clone();
    replica.publish(&(replica.active().pem() + &certificate.pem()));
    material.retired = vec![Retired { certificate, until: wall(5) }];
    replica.stored = Ok(material);
    replica.seconds = 5;
    let decision = replica.decide();
    assert!(decision.publish.is_some() && decision.write.is_none());
    assert_eq!(replica.settle(), [Reason::DropAuthority]);
}
