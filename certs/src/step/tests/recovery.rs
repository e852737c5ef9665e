//! A Secret or a bundle that was lost, emptied, restored or damaged, and certificates that expired.

use super::*;

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
        assert!(replica.trusts(&old), "another replica may still serve the lost leaf");
        replica.at(1200);
        assert!(!replica.trusts(&old));
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
