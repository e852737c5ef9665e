use super::*;
use crate::fault::Class;
use crate::http::{Environment, Http};
use crate::identity::{Times, TokenCache};
use crate::throttle::{Throttle, ThrottleState};
use keysluice_plan::reason::{KS303, KS312};
use serde_json::json;
use std::path::Path;

fn at(seconds: u64) -> Time {
    Duration::from_secs(1_000_000 + seconds)
}

/// Of 3600 s, renewed after 3300.
fn token(granted: u64) -> Arc<AccessToken> {
    let (renewal, expiry) = (at(granted + 3300), at(granted + 3600));
    let granted = at(granted);
    let times = Times { granted, renewal, expiry };
    Arc::new(AccessToken::new("canary".to_owned()).with_times(times))
}

fn source() -> TokenSource {
    let http = Arc::new(Http::new(None, &Environment::default()).unwrap());
    let throttle = Arc::new(Throttle::new(ThrottleState::default(), 1));
    let identity = serde_json::from_value(json!({"name": "a", "scope": "s", "credential": {
        "kind": "federated", "clientId": "c", "tenantId": "t", "tokenFile": "/t",
        "authority": "https://a/"}}));
    let cache = Arc::new(TokenCache::new(http, throttle, 1));
    TokenSource::new(&identity.unwrap(), Path::new("/"), cache)
}

fn step(slots: &mut Slots, resource: &str, seconds: u64) -> Step {
    slots.step(0, resource, at(seconds), source)
}

fn down() -> Fault {
    Fault::new(KS312, Class::Transient, "down")
}

#[test]
fn a_token_is_given_at_once_and_renewed_once_behind_the_requests() {
    let mut slots = Slots::new(1);
    assert!(matches!(step(&mut slots, "a", 0), Step::Wait(_)));
    assert!(matches!(step(&mut slots, "a", 0), Step::Wait(_)), "both wait for the same request");
    slots.done(0, "a", &Ok(token(0)), at(1));
    assert!(matches!(step(&mut slots, "a", 3299), Step::Token(_)));
    assert!(matches!(step(&mut slots, "a", 3300), Step::Renew(..)));
    assert!(matches!(step(&mut slots, "a", 3301), Step::Token(_)), "a renewal is under way");
    slots.done(0, "a", &Ok(token(3301)), at(3302));
    assert!(matches!(step(&mut slots, "a", 3303), Step::Token(_)));
}

#[test]
fn a_renewal_that_fails_is_tried_again_after_a_pause_until_the_token_ends() {
    let mut slots = Slots::new(1);
    step(&mut slots, "a", 0);
    slots.done(0, "a", &Ok(token(0)), at(0));
    let mut renewals = 0;
    for seconds in 3300..3540 {
        if let Step::Renew(old, _) = step(&mut slots, "a", seconds) {
            renewals += 1;
            slots.done(0, "a", &Ok(old), at(seconds));
        }
    }
    assert_eq!(renewals, 8, "one in 30 s");
    assert!(matches!(step(&mut slots, "a", 3540), Step::Wait(_)), "its last minute");
    assert!(matches!(step(&mut slots, "a", 9999), Step::Wait(_)), "the node slept");
}

#[test]
fn a_failure_is_told_for_two_seconds_and_logged_once() {
    let mut slots = Slots::new(1);
    step(&mut slots, "a", 0);
    assert!(slots.done(0, "a", &Err(down()), at(10)));
    assert!(matches!(step(&mut slots, "a", 11), Step::Fail(fault) if fault == down()));
    assert!(matches!(step(&mut slots, "a", 12), Step::Wait(_)));
    assert!(!slots.done(0, "a", &Err(down()), at(12)), "the same again");
    let other = Fault::new(KS303, Class::Transient, "no credential");
    assert!(slots.done(0, "a", &Err(other), at(20)));
    slots.done(0, "a", &Ok(token(21)), at(21));
    assert!(slots.done(0, "a", &Err(down()), at(30)), "news after a token");
}

#[test]
fn the_tokens_are_bounded_and_the_one_that_was_used_last_stays() {
    let mut slots = Slots::new(1);
    step(&mut slots, "kept", 0);
    slots.done(0, "kept", &Ok(token(0)), at(0));
    for index in 0..500 {
        assert!(matches!(step(&mut slots, &format!("r{index}"), 1), Step::Wait(_)));
        assert!(matches!(step(&mut slots, "kept", 1), Step::Token(_)));
        assert!(slots.len() <= MAX_TOKENS);
    }
    // Its request ends after it was forgotten.
    slots.done(0, "r0", &Ok(token(1)), at(1));
    assert_eq!(slots.len(), MAX_TOKENS);
}

#[test]
fn identities_have_tokens_of_their_own() {
    let mut slots = Slots::new(2);
    step(&mut slots, "a", 0);
    slots.done(0, "a", &Ok(token(0)), at(0));
    assert!(matches!(slots.step(1, "a", at(1), source), Step::Wait(_)));
}
