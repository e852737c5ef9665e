//! The promise of [`crate::step()`] over random schedules: the real driver in three replicas whose
//! clocks differ, which are stopped between any two answers of the API server, killed there,
//! overtaken, and lied to (an error after the write was done). Beside the promise about
//! certificates: no review is sent to a path that a replica does not answer.

mod replica;
mod world;

use crate::material::Data;
use crate::path::{AnsweredPaths, StoredPaths};
use crate::rotator::{Outputs, Rotator, Turn};
use crate::step::Reason;
use crate::{MemoryBundle, MemorySecret, Policy};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use replica::{Replica, SkewedClock};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::watch;
use world::World;

const REPLICAS: usize = 3;
/// Signed, in milliseconds: the fastest and the slowest clock differ by less than the tolerance.
const SKEWS: [i64; REPLICAS] = [0, 1900, -1900];

fn policy() -> Policy {
    Policy {
        names: vec!["keysluice.svc".to_owned()],
        ca_lifetime: Duration::from_secs(60),
        leaf_lifetime: Duration::from_secs(20),
        propagation: Duration::from_secs(5),
        clock_tolerance: Duration::from_secs(4),
        poll: Duration::from_secs(2),
    }
}

/// What versions without a path of their own answer.
const EARLIER: &str = "/mutate-v1-pod";
/// Of the right form, and not the webhook's.
const OF_OURS: &str = "/mutate/abcdefghijklmnopqrstuvwxyz012345";

/// Moves without a fault after each schedule: a minute.
const CALM: usize = 1800;

/// What the scheduler chooses from.
#[derive(Debug, Clone, Copy)]
enum Move {
    /// Let a replica run to the next answer of the API server.
    Run(usize),
    /// Let time pass.
    Pass(u64),
    /// Kill a replica where it is; it starts anew.
    Kill(usize),
    /// Another client empties the Secret.
    EmptySecret,
    /// Another client damages one value in it.
    Damage(usize),
    /// Another client restores an earlier Secret.
    Restore(usize),
    /// Somebody leads every entry to another path: none, one of a version that knows no other
    /// (which may then be running, so it is left alone), or any.
    Lead(&'static str, bool),
    /// The next request fails, before or after it was done.
    Fail { done: bool },
}

fn moves() -> impl Strategy<Value = Move> {
    prop_oneof![
        300 => (0..REPLICAS).prop_map(Move::Run),
        100 => (50_u64..900).prop_map(Move::Pass),
        3 => (0..REPLICAS).prop_map(Move::Kill),
        1 => Just(Move::EmptySecret),
        1 => (0_usize..12).prop_map(Move::Damage),
        1 => any::<usize>().prop_map(Move::Restore),
        3 => prop_oneof![Just("/"), Just("/other"),
            Just(OF_OURS)].prop_map(|path| Move::Lead(path, true)),
        1 => any::<bool>().prop_map(|is_replaceable| Move::Lead(EARLIER, is_replaceable)),
        6 => any::<bool>().prop_map(|done| Move::Fail { done }),
    ]
}

/// Plays a schedule, checking the promise after every move, then lets all run undisturbed.
fn play(schedule: &[Move]) -> Result<World, TestCaseError> {
    let world = World::new();
    let mut replicas =
        (0..REPLICAS).map(|number| Replica::start(&world, number)).collect::<Vec<_>>();
    let calm = (0..CALM / 3).flat_map(|turn| {
        [Move::Run(turn % REPLICAS), Move::Run((turn + 1) % REPLICAS), Move::Pass(100)]
    });
    let (mut agreed, mut backups) = (0, vec![None]);
    for (moved, step) in schedule.iter().copied().chain(calm).enumerate() {
        match step {
            Move::Run(number) => replicas[number].poll(),
            Move::Pass(millis) => world.shared.lock().unwrap().millis += millis,
            Move::Kill(number) => replicas[number] = Replica::start(&world, number),
            Move::EmptySecret => world.secret.replace(Some(Data::default())),
            Move::Damage(which) => {
                let mut data = world.secret.data().unwrap_or_default();
                if let Some(value) = data.0.values_mut().nth(which) {
                    value.truncate(value.len() / 2);
                }
                world.secret.replace(Some(data));
            }
            Move::Restore(which) => world.secret.replace(backups[which % backups.len()].clone()),
            Move::Lead(path, is_replaceable) => world.bundle.lead(path, is_replaceable),
            Move::Fail { done } => world.shared.lock().unwrap().fail = Some(done),
        }
        world.remember();
        world.remember_path(matches!(step, Move::Lead(..)));
        if matches!(step, Move::EmptySecret | Move::Damage(_) | Move::Restore(_)) {
            for (_, _, is_lost) in &mut world.shared.lock().unwrap().named {
                *is_lost = true;
            }
        }
        let data = world.secret.data();
        if backups.last() != Some(&data) {
            backups.push(data);
        }
        for (number, replica) in replicas.iter().enumerate() {
            world.check(number, replica.serves().as_deref())?;
            world.check_path(number, replica)?;
        }
        let leaf = |replica: &Replica| replica.serves().map(|pair| pair.certificate().clone());
        let served = leaf(&replicas[0]).filter(|leaf| leaf.not_after() > world.wall(0));
        if served.is_some() && replicas.iter().all(|replica| leaf(replica) == served) {
            agreed = moved;
        }
    }
    let (stored, named) = (StoredPaths::parse(&world.secret.data().unwrap()), world.bundle.paths());
    let last = schedule
        .iter()
        .rev()
        .find_map(|step| if let Move::Lead(path, may) = step { Some((*path, *may)) } else { None });
    let expected = match last {
        Some((path, false)) => path,
        _ => stored.current.as_ref().unwrap().as_str(),
    };
    prop_assert!(named.iter().all(|path| path == expected), "{named:?} in the end, not {expected}");
    if expected != EARLIER {
        prop_assert!(stored.former.is_empty(), "kept for ever: {:?}", stored.former);
        for replica in &replicas {
            prop_assert_eq!(&*replica.answered().paths, &[expected.to_owned()][..]);
        }
    }
    prop_assert!(
        schedule.len() + CALM <= agreed + 450,
        "all serve the same leaf again and again: last at {agreed}"
    );
    Ok(world)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, max_shrink_iters: 300,
        ..ProptestConfig::default() })]

    #[test]
    fn whoever_trusts_a_recent_bundle_verifies_every_leaf_served(
        schedule in prop::collection::vec(moves(), 0..3000)
    ) {
        play(&schedule)?;
    }
}

#[test]
fn the_schedules_reach_what_they_are_for() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut reasons, mut overtaken, mut published_paths) = (Vec::new(), 0, 0);
    for _ in 0..6 {
        let schedule =
            prop::collection::vec(moves(), 3000).new_tree(&mut runner).unwrap().current();
        let world = play(&schedule).unwrap();
        let shared = world.shared.lock().unwrap();
        reasons.extend(shared.reasons.iter().cloned());
        overtaken += shared.overtaken;
        published_paths += shared.published_paths;
    }
    let reached = |wanted: fn(&Reason) -> bool| reasons.iter().any(wanted);
    assert!(reached(|reason| matches!(reason, Reason::Bootstrap(_))));
    assert!(reached(|reason| matches!(reason, Reason::Heal(_))));
    for wanted in [
        Reason::RenewLeaf,
        Reason::StageAuthority,
        Reason::PromoteAuthority,
        Reason::KeepAuthority,
        Reason::DropAuthority,
    ] {
        assert!(reasons.contains(&wanted), "no schedule came to: {wanted}");
    }
    assert!(published_paths > 12, "the path was written only {published_paths} times");
    assert!(overtaken > 20, "replicas overtook each other only {overtaken} times");
}

#[test]
fn without_faults_nobody_but_the_first_writes_twice() {
    let world = play(&[]).unwrap();
    let shared = world.shared.lock().unwrap();
    let bootstraps =
        shared.reasons.iter().filter(|reason| matches!(reason, Reason::Bootstrap(_))).count();
    assert_eq!(bootstraps, 1, "{:?}", shared.reasons);
}

#[test]
fn a_turn_with_nothing_to_do_asks_twice_and_changes_nothing() {
    let (secret, bundle) = (MemorySecret::default(), MemoryBundle::with_entries(3));
    let ((leaf, _keep), (paths, _keep_too)) =
        (watch::channel(None), watch::channel(AnsweredPaths::default()));
    let mut rotator =
        Rotator::new(secret.clone(), bundle.clone(), SkewedClock(World::new(), 0), policy());
    let mut turn = || {
        let mut observe = |_| {};
        let mut context = Context::from_waker(Waker::noop());
        pin!(rotator.turn(Outputs { leaf: &leaf, paths: &paths }, &mut observe)).poll(&mut context)
    };
    assert_eq!(turn(), Poll::Ready(Turn::Changed), "the Secret");
    assert_eq!(turn(), Poll::Ready(Turn::Changed), "caBundle and path, at once");
    let path = StoredPaths::parse(&secret.data().unwrap()).current.unwrap();
    assert_eq!(bundle.paths(), [path.as_str(); 3]);
    let before = (secret.data(), bundle.entries());
    assert!(matches!(turn(), Poll::Ready(Turn::Settled(_))));
    assert!(
        (secret.data(), bundle.entries()) == before
            && before.1.iter().all(|entry| !entry.is_empty())
    );
}
