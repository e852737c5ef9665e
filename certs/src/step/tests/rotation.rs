//! Rotations of the authority: the steps, their pace, and what happens where one is stuck.

use super::*;

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
