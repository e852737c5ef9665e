//! When the application is told of changed files: once for all that change together, when the
//! Secrets made of them are written too, and each replica at another moment.

use super::schedule::Settings;
use crate::backoff::{self, Jitter, Stage};
use crate::clock::Time;
use crate::fault::{Class, Fault, FaultKind};
use crate::react::Attempt;
use keysluice_plan::{Plan, Reaction as Wanted, RelativePath};
use std::time::Duration;

/// Files of several volumes that change within this time are one reaction.
pub(super) const TOGETHER: Duration = Duration::from_secs(2);
/// After this time a kubelet has seen a written Secret: a container that starts again before may
/// get the old value of a variable.
const UNTIL_SEEN: Duration = Duration::from_secs(10);
/// A reaction that fails is tried again until then, at the latest.
const LONGEST_PAUSE: Duration = Duration::from_secs(120);

/// A budget allows the next eviction as soon as another pod is ready.
const LONGEST_PAUSE_FOR_BUDGET: Duration = Duration::from_secs(30);

/// The reaction of a Plan.
#[derive(Debug)]
pub(super) struct Reaction {
    wanted: Option<Wanted>,
    /// Time after a change at which this replica reacts.
    offset: Duration,
    jitter: Jitter,
    due_at: Option<Time>,
    in_flight: bool,
    failures: u32,
    /// A Secret was found as it should be since the change.
    has_seen: bool,
}

impl Reaction {
    /// Of a Plan.
    pub(super) fn new(plan: &Plan, settings: &Settings) -> Self {
        let spread = plan.reaction.as_ref().map_or(0, |reaction| reaction.spread_seconds);
        let mut jitter = Jitter::new(settings.seed.wrapping_add(2));
        let offset = jitter.within(Duration::from_secs(spread));
        let wanted = plan.reaction.clone();
        Self {
            wanted,
            offset,
            jitter,
            due_at: None,
            in_flight: false,
            failures: 0,
            has_seen: false,
        }
    }

    /// A generation replaced another one, with these files changed. Answers whether a reaction
    /// comes of it.
    pub(super) fn changed(&mut self, paths: &[RelativePath], now: Time) -> bool {
        let Some(wanted) = &self.wanted else { return false };
        let counts = wanted.of.is_empty() || paths.iter().any(|path| wanted.of.contains(path));
        if counts {
            (self.failures, self.has_seen) = (0, false);
            self.due_at.get_or_insert(now + TOGETHER + self.offset);
        }
        counts
    }

    /// A Secret was written: who restarts waits until the kubelet knows it.
    pub(super) fn secret_written(&mut self, now: Time) {
        if self.starts_containers() {
            self.due_at = self.due_at.map(|at| at.max(now + UNTIL_SEEN));
        }
    }

    /// A Secret has what this pod wants: after a change another replica wrote it just now. Once
    /// for each reaction, as Secrets are also looked at without a change.
    pub(super) fn secret_seen(&mut self, now: Time) {
        if !std::mem::replace(&mut self.has_seen, true) {
            self.secret_written(now);
        }
    }

    /// Whether containers start again, here or in another pod.
    pub(super) fn starts_containers(&self) -> bool {
        self.wanted.as_ref().is_some_and(|wanted| wanted.action.starts_containers())
    }

    /// The files that count; none named means all.
    pub(super) fn files(&self) -> &[RelativePath] {
        self.wanted.as_ref().map_or(&[], |wanted| &wanted.of)
    }

    /// An earlier process of the pod left a reaction undone.
    pub(super) fn resume(&mut self, now: Time) {
        if self.wanted.is_some() {
            self.due_at.get_or_insert(now + TOGETHER);
        }
    }

    /// Whether one is to come, or under way.
    pub(super) fn is_pending(&self) -> bool {
        self.due_at.is_some() || self.in_flight
    }

    /// Whether it is to be carried out now, and how. A change that comes meanwhile is one more
    /// reaction.
    pub(super) fn take_due(&mut self, secrets_are_settled: bool, now: Time) -> Option<Attempt> {
        let is_due = self.due_at.is_some_and(|at| at <= now);
        if !is_due || self.in_flight || !secrets_are_settled {
            return None;
        }
        (self.in_flight, self.due_at) = (true, None);
        Some(if self.failures == 0 { Attempt::First } else { Attempt::Retry })
    }

    /// It was carried out, or failed: then it is tried again.
    pub(super) fn done(&mut self, fault: Option<&Fault>, now: Time) {
        self.in_flight = false;
        let Some(fault) = fault else {
            self.failures = 0;
            return;
        };
        if self.due_at.is_some() && fault.retry_after.is_none() {
            // What changed meanwhile is a reaction of its own, for all containers.
            self.failures = 0;
            return;
        }
        self.failures = self.failures.saturating_add(1);
        let pause = self.pause(fault);
        self.due_at = Some(now + pause);
    }

    /// What the server demands, or longer each time; replicas that wait for one budget try at
    /// different moments.
    fn pause(&mut self, fault: &Fault) -> Duration {
        let is_budget = fault.kind == FaultKind::Budget;
        let interval = if is_budget { LONGEST_PAUSE_FOR_BUDGET } else { LONGEST_PAUSE };
        let delay = backoff::delay(Stage::Running { interval }, Class::Transient, self.failures);
        match fault.retry_after {
            Some(wait) => wait + self.jitter.within(delay),
            None if is_budget => delay / 2 + self.jitter.within(delay),
            None => self.jitter.spread(delay),
        }
    }

    /// When it is due.
    pub(super) fn wake_at(&self) -> Option<Time> {
        self.due_at.filter(|_| !self.in_flight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const SECOND: Duration = Duration::from_secs(1);

    fn reaction(seed: u64, action: &serde_json::Value, of: &[&str], spread: u64) -> Reaction {
        let plan = json!({"schema": 1, "identities": [], "volumes": [],
            "reaction": {"action": action, "of": of, "spreadSeconds": spread}});
        let plan = Plan::from_json(&plan.to_string()).unwrap();
        Reaction::new(&plan, &Settings { start_timeout: None, linger: SECOND, seed })
    }

    fn http() -> serde_json::Value {
        json!({"kind": "http", "url": "http://127.0.0.1:1/"})
    }

    fn fault() -> Fault {
        Fault::new(keysluice_plan::reason::KS652, Class::Transient, "x")
    }

    fn paths(names: &[&str]) -> Vec<RelativePath> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn what_changes_together_is_one_reaction_and_what_comes_later_another() {
        let mut reaction = reaction(1, &http(), &[], 0);
        reaction.changed(&paths(&["a"]), SECOND);
        reaction.changed(&paths(&["b"]), 2 * SECOND);
        assert_eq!(reaction.take_due(true, 2 * SECOND), None);
        assert_eq!(reaction.take_due(false, 3 * SECOND), None, "a Secret is not written yet");
        assert_eq!(reaction.take_due(true, 3 * SECOND), Some(Attempt::First));
        reaction.changed(&paths(&["a"]), 4 * SECOND);
        assert_eq!(reaction.take_due(true, 9 * SECOND), None, "the first is under way");
        reaction.done(None, 9 * SECOND);
        assert_eq!(reaction.take_due(true, 9 * SECOND), Some(Attempt::First));
        reaction.done(None, 9 * SECOND);
        assert!(!reaction.is_pending() && reaction.wake_at().is_none());
    }

    #[test]
    fn only_the_files_that_count_make_a_reaction() {
        let mut reaction = reaction(1, &http(), &["a"], 0);
        reaction.changed(&paths(&["b"]), SECOND);
        assert!(!reaction.is_pending());
        reaction.changed(&paths(&["b", "a"]), SECOND);
        assert!(reaction.is_pending());
    }

    #[test]
    fn replicas_react_at_different_moments_within_the_spread() {
        let moments: Vec<Time> = (0..200)
            .map(|seed| {
                let mut reaction = reaction(seed, &http(), &[], 100);
                reaction.changed(&paths(&["a"]), Duration::ZERO);
                reaction.wake_at().unwrap()
            })
            .collect();
        assert!(moments.iter().all(|at| (TOGETHER..=TOGETHER + 100 * SECOND).contains(at)));
        for quarter in 0..4 {
            let from = TOGETHER + 25 * quarter * SECOND;
            let count = moments.iter().filter(|at| (from..from + 25 * SECOND).contains(*at));
            assert!((25..=75).contains(&count.count()), "{quarter}");
        }
    }

    #[test]
    fn a_restart_waits_until_the_kubelet_knows_the_secret() {
        let action = json!({"kind": "restart", "containers": ["app"]});
        let mut reaction = reaction(1, &action, &[], 0);
        reaction.changed(&paths(&["a"]), SECOND);
        reaction.secret_written(2 * SECOND);
        assert_eq!(reaction.wake_at(), Some(12 * SECOND));
        let mut http = self::reaction(1, &http(), &[], 0);
        http.changed(&paths(&["a"]), SECOND);
        http.secret_written(2 * SECOND);
        assert_eq!(http.wake_at(), Some(3 * SECOND));
    }

    #[test]
    fn a_secret_that_another_replica_wrote_holds_up_a_restart_once() {
        let action = json!({"kind": "restart", "containers": ["app"]});
        let mut reaction = reaction(1, &action, &[], 0);
        reaction.secret_seen(SECOND);
        reaction.changed(&paths(&["a"]), SECOND);
        for seconds in 2..9 {
            reaction.secret_seen(seconds * SECOND);
            assert_eq!(reaction.wake_at(), Some(12 * SECOND));
        }
    }

    #[test]
    fn a_failed_reaction_is_tried_again_with_longer_pauses() {
        let mut reaction = reaction(1, &http(), &[], 0);
        let mut now = SECOND;
        reaction.changed(&paths(&["a"]), now);
        let mut pauses = Vec::new();
        for round in 0..12 {
            now = reaction.wake_at().unwrap();
            let expected = if round == 0 { Attempt::First } else { Attempt::Retry };
            assert_eq!(reaction.take_due(true, now), Some(expected));
            reaction.done(Some(&fault()), now);
            pauses.push(reaction.wake_at().unwrap().saturating_sub(now));
        }
        assert!(pauses[0] < 2 * SECOND && pauses[11] > 100 * SECOND, "{pauses:?}");
        assert!(pauses.iter().all(|pause| *pause <= 132 * SECOND));
        // A change that comes while one fails is for all containers again.
        now = reaction.wake_at().unwrap();
        assert_eq!(reaction.take_due(true, now), Some(Attempt::Retry));
        reaction.changed(&paths(&["a"]), now);
        reaction.done(Some(&fault()), now);
        assert_eq!(reaction.take_due(true, now + TOGETHER), Some(Attempt::First));
    }

    fn eviction() -> Reaction {
        let plan = json!({"schema": 1, "identities": [], "volumes": [],
            "kubernetes": {"directory": "/api"},
            "reaction": {"action": {"kind": "evict"}, "spreadSeconds": 0}});
        let plan = Plan::from_json(&plan.to_string()).unwrap();
        Reaction::new(&plan, &Settings { start_timeout: None, linger: SECOND, seed: 3 })
    }

    #[test]
    fn a_budget_is_asked_again_soon_and_a_demanded_wait_is_kept() {
        let mut reaction = eviction();
        let budget = fault().of_kind(FaultKind::Budget);
        let mut now = SECOND;
        reaction.changed(&paths(&["a"]), now);
        for _ in 0..20 {
            now = reaction.wake_at().unwrap();
            reaction.take_due(true, now).unwrap();
            reaction.done(Some(&budget), now);
            assert!(reaction.wake_at().unwrap().saturating_sub(now) <= 45 * SECOND);
        }
        let mut reaction = eviction();
        let told = Fault { retry_after: Some(60 * SECOND), ..budget };
        reaction.changed(&paths(&["a"]), SECOND);
        let now = reaction.wake_at().unwrap();
        reaction.take_due(true, now).unwrap();
        // A change in between does not shorten the wait.
        reaction.changed(&paths(&["b"]), now);
        reaction.done(Some(&told), now);
        assert!(reaction.wake_at().unwrap() >= now + 60 * SECOND);
    }
}
