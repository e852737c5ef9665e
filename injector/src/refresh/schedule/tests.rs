//! Simulated time: no test of the machine sleeps.

use super::*;

pub(super) const INTERVAL: Duration = Duration::from_secs(120);

pub(super) fn at(seconds: f64) -> Time {
    Duration::from_secs_f64(seconds)
}

fn machine(files: usize, complete: bool, timeout: Option<u64>) -> Schedule {
    let settings = Settings {
        start_timeout: timeout.map(Duration::from_secs),
        linger: Duration::from_secs(10),
        seed: 1,
    };
    Schedule::new(&settings, &[VolumeSpec { files, interval: INTERVAL, complete }], Time::ZERO)
}

fn fetched(outcomes: &[(usize, Outcome)]) -> Event {
    Event::Fetched { volume: 0, outcomes: outcomes.to_vec() }
}

fn failed(class: Class) -> Outcome {
    Outcome::Failed { class, retry_after: None }
}

fn committed() -> Event {
    Event::Committed { volume: 0, result: Ok(Swap::Lingers) }
}

fn fetch(files: &[usize]) -> Vec<Action> {
    vec![Action::Fetch { volume: 0, files: files.to_vec() }]
}

const COMMIT: Action = Action::Commit { volume: 0 };

/// A machine with two files that is ready at 0 s.
fn ready() -> Schedule {
    let mut refresh = machine(2, false, Some(30));
    assert_eq!(refresh.on(Event::Tick, Time::ZERO), fetch(&[0, 1]));
    assert_eq!(
        refresh.on(fetched(&[(0, Outcome::Fetched), (1, Outcome::Fetched)]), Time::ZERO),
        [COMMIT]
    );
    assert_eq!(refresh.on(committed(), Time::ZERO), [Action::Ready]);
    refresh
}

#[test]
fn a_start_fetches_commits_and_opens_the_gate() {
    let mut refresh = ready();
    assert!(refresh.is_ready());
    assert_eq!(refresh.wake_at(), Some(at(10.0)), "the previous generation goes first");
    assert_eq!(refresh.on(Event::Tick, at(10.0)), [Action::RemovePrevious { volume: 0 }]);
    let next = refresh.wake_at().unwrap();
    assert!(next >= INTERVAL * 9 / 10 && next <= INTERVAL * 11 / 10, "{next:?}");
    assert_eq!(refresh.on(Event::Tick, next), fetch(&[0, 1]));
}

#[test]
fn a_first_generation_needs_every_file_and_fetches_none_twice() {
    let mut refresh = machine(2, false, Some(30));
    refresh.on(Event::Tick, Time::ZERO);
    assert_eq!(
        refresh.on(fetched(&[(0, Outcome::Fetched), (1, failed(Class::Transient))]), at(0.1)),
        []
    );
    let retry = refresh.wake_at().unwrap();
    assert!(retry >= at(0.325) && retry <= at(0.375), "{retry:?}");
    assert_eq!(refresh.on(Event::Tick, retry), fetch(&[1]));
    assert_eq!(refresh.on(fetched(&[(1, Outcome::Fetched)]), at(0.5)), [COMMIT]);
}

#[test]
fn a_failing_object_lets_the_others_update() {
    let mut refresh = ready();
    let next = refresh.wake_at().unwrap().max(INTERVAL * 2);
    refresh.on(Event::Tick, next);
    assert_eq!(
        refresh.on(fetched(&[(0, failed(Class::Slow)), (1, Outcome::Fetched)]), next),
        [COMMIT]
    );
    refresh.on(committed(), next);
    let wake = refresh.wake_at().unwrap();
    assert_eq!(refresh.on(Event::Tick, wake), [Action::RemovePrevious { volume: 0 }]);
    let retry = refresh.wake_at().unwrap().saturating_sub(next);
    assert!(retry >= at(27.0) && retry <= at(33.0), "{retry:?}");
    assert_eq!(refresh.on(Event::Tick, next + retry), fetch(&[0]));
}

#[test]
fn a_removal_that_fails_is_tried_again_less_and_less_often() {
    let mut refresh = ready();
    let mut now = at(10.0);
    for expected in [10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0] {
        assert!(refresh.on(Event::Tick, now).contains(&Action::RemovePrevious { volume: 0 }));
        refresh.on(Event::NotRemoved { volume: 0 }, now);
        now += at(expected);
        assert!(
            !refresh
                .on(Event::Tick, now.saturating_sub(at(0.001)))
                .contains(&Action::RemovePrevious { volume: 0 })
        );
    }
    assert!(refresh.on(Event::Tick, now).contains(&Action::RemovePrevious { volume: 0 }));
    refresh.on(Event::Removed { volume: 0 }, now);
    assert_eq!(refresh.volumes[0].removal_failures, 0);
}

#[test]
fn an_outcome_that_comes_when_a_refresh_is_due_drops_it_for_no_other_file() {
    let mut refresh = ready();
    refresh.on(Event::Tick, at(10.0));
    assert_eq!(refresh.on(Event::Refresh, at(11.0)), fetch(&[0, 1]));
    refresh.on(fetched(&[(1, Outcome::Unchanged)]), at(12.0));
    let due = refresh.wake_at().unwrap();
    assert_eq!(refresh.on(fetched(&[(0, Outcome::Unchanged)]), due), fetch(&[1]));
    refresh.on(fetched(&[(1, Outcome::Unchanged)]), due);
    let next = refresh.wake_at().unwrap();
    assert!(
        next > due && refresh.on(Event::Tick, next) == fetch(&[0, 1]),
        "all of them, the next time"
    );
}

#[test]
fn a_file_that_waits_is_not_settled() {
    let mut refresh = ready();
    assert!(refresh.is_settled(0, 0));
    refresh.on(Event::Refresh, at(1.0));
    refresh
        .on(fetched(&[(0, Outcome::Waiting { rest: at(3.0) }), (1, Outcome::Unchanged)]), at(1.0));
    assert!(!refresh.is_settled(0, 0) && refresh.is_settled(0, 1));
}

#[test]
fn retry_after_is_honoured_also_by_a_refresh_on_demand() {
    let mut refresh = ready();
    refresh.on(Event::Tick, at(10.0));
    let next = refresh.wake_at().unwrap();
    refresh.on(Event::Tick, next);
    let throttled =
        Outcome::Failed { class: Class::Transient, retry_after: Some(Duration::from_secs(60)) };
    assert_eq!(refresh.on(fetched(&[(0, throttled), (1, Outcome::Fetched)]), next), [COMMIT]);
    refresh.on(Event::Committed { volume: 0, result: Ok(Swap::Clean) }, next);
    assert_eq!(refresh.wake_at(), Some(next + Duration::from_secs(60)));
    assert_eq!(refresh.on(Event::Refresh, next + Duration::from_secs(1)), fetch(&[1]));
    refresh.on(fetched(&[(1, failed(Class::Transient))]), next + Duration::from_secs(2));
    assert_eq!(refresh.on(Event::Tick, next + Duration::from_secs(60)), fetch(&[0, 1]));
}

#[test]
fn a_wait_that_is_not_over_is_no_further_failure() {
    let mut refresh = ready();
    refresh.on(Event::Tick, at(10.0));
    let mut next = refresh.wake_at().unwrap();
    refresh.on(Event::Tick, next);
    refresh.on(fetched(&[(0, failed(Class::Transient)), (1, Outcome::Fetched)]), next);
    refresh.on(Event::Committed { volume: 0, result: Ok(Swap::Clean) }, next);
    for _ in 0..5 {
        next = refresh.wake_at().unwrap();
        assert_eq!(refresh.on(Event::Tick, next), fetch(&[0]));
        refresh.on(fetched(&[(0, Outcome::Waiting { rest: at(3.0) })]), next);
        assert_eq!(refresh.wake_at(), Some(next + at(3.0)));
    }
    next = refresh.wake_at().unwrap();
    refresh.on(Event::Tick, next);
    refresh.on(fetched(&[(0, failed(Class::Transient))]), next);
    let delay = refresh.wake_at().unwrap().saturating_sub(next);
    assert!(delay <= at(2.2), "the second failure in a row: {delay:?}");
}

#[test]
fn the_deadline_gives_up_also_while_a_fetch_hangs() {
    let mut refresh = machine(1, false, Some(30));
    refresh.on(Event::Tick, Time::ZERO);
    assert_eq!(refresh.wake_at(), Some(at(30.0)));
    assert_eq!(refresh.on(Event::Tick, at(30.0)), [Action::GiveUp { permanent: false }]);
    assert_eq!((refresh.on(committed(), at(31.0)), refresh.wake_at()), (vec![], None));
}

#[test]
fn a_start_has_its_last_try_shortly_before_its_deadline() {
    for (class, seconds) in [(Class::Transient, 3), (Class::Transient, 30), (Class::Slow, 20)] {
        let mut refresh = machine(1, false, Some(seconds));
        let (mut now, mut tries) = (Time::ZERO, Vec::new());
        while refresh.on(Event::Tick, now) == fetch(&[0]) {
            tries.push(now);
            refresh.on(fetched(&[(0, failed(class))]), now);
            now = refresh.wake_at().unwrap();
        }
        let deadline = at(f64::from(u32::try_from(seconds).unwrap()));
        assert_eq!(now, deadline, "gives up");
        assert_eq!(tries.last(), deadline.checked_sub(LAST_TRY).as_ref(), "{tries:?}");
    }
    let mut refresh = machine(1, false, Some(30));
    refresh.on(Event::Tick, Time::ZERO);
    let retry_after = Some(at(60.0));
    let throttled = Outcome::Failed { class: Class::Transient, retry_after };
    refresh.on(fetched(&[(0, throttled)]), at(1.0));
    assert!(refresh.is_out_of_time(), "a wait that the server demanded stays");
}

#[test]
fn without_a_deadline_a_start_waits_for_ever() {
    let mut refresh = machine(1, false, None);
    refresh.on(Event::Tick, Time::ZERO);
    refresh.on(fetched(&[(0, failed(Class::Slow))]), at(100_000.0));
    assert!(refresh.wake_at().is_some());
}

#[test]
fn a_permanent_failure_ends_a_start_at_once_but_not_a_running_pod() {
    let mut refresh = machine(2, false, Some(30));
    refresh.on(Event::Tick, Time::ZERO);
    let event = fetched(&[(0, failed(Class::Transient)), (1, failed(Class::Permanent))]);
    assert_eq!(refresh.on(event.clone(), at(1.0)), [Action::GiveUp { permanent: true }]);

    let mut refresh = machine(2, false, Some(30));
    refresh.on(Event::Tick, Time::ZERO);
    assert_eq!(
        refresh.on(Event::PermanentFailure { volume: 0 }, at(0.5)),
        [Action::GiveUp { permanent: true }]
    );

    let mut refresh = ready();
    refresh.on(Event::Refresh, at(1.0));
    assert_eq!(refresh.on(Event::PermanentFailure { volume: 0 }, at(1.0)), []);
    assert_eq!(refresh.on(event, at(1.0)), [Action::Refreshed]);
}

#[test]
fn a_restarted_container_is_ready_at_once_and_refreshes() {
    let mut refresh = machine(1, true, Some(30));
    assert_eq!(refresh.on(Event::Tick, Time::ZERO), [fetch(&[0])[0].clone(), Action::Ready]);
    refresh.on(fetched(&[(0, failed(Class::Permanent))]), at(40.0));
    assert!(refresh.is_ready());
}

#[test]
fn an_empty_volume_is_committed_once_and_then_sleeps() {
    let mut refresh = machine(0, false, Some(30));
    assert_eq!(refresh.on(Event::Tick, Time::ZERO), [COMMIT]);
    assert_eq!(
        refresh.on(Event::Committed { volume: 0, result: Ok(Swap::Clean) }, Time::ZERO),
        [Action::Ready]
    );
    assert_eq!(refresh.wake_at(), None);
    assert_eq!(refresh.on(Event::Refresh, at(1.0)), [Action::Refreshed]);
}

#[test]
fn a_commit_that_failed_is_tried_again_without_a_fetch() {
    let mut refresh = machine(1, false, Some(30));
    refresh.on(Event::Tick, Time::ZERO);
    assert_eq!(refresh.on(fetched(&[(0, Outcome::Fetched)]), Time::ZERO), [COMMIT]);
    assert_eq!(
        refresh.on(Event::Committed { volume: 0, result: Err(Class::Transient) }, Time::ZERO),
        []
    );
    let retry = refresh.wake_at().unwrap();
    assert!(retry < at(1.0));
    assert_eq!(refresh.on(Event::Tick, retry), [COMMIT]);
}

#[test]
fn files_that_hang_hold_up_neither_the_next_refresh_nor_a_commit() {
    let mut refresh = ready();
    assert_eq!(refresh.on(Event::Refresh, at(1.0)), fetch(&[0, 1]));
    assert_eq!(refresh.on(fetched(&[(1, Outcome::Fetched)]), at(2.0)), [COMMIT]);
    assert_eq!(refresh.on(committed(), at(2.0)), []);
    assert!(!refresh.is_settled(0, 0) && refresh.is_settled(0, 1));
    // The previous generations of two commits go first.
    let mut next = refresh.wake_at().unwrap();
    while !refresh.on(Event::Tick, next).contains(&Action::Fetch { volume: 0, files: vec![1] }) {
        next = refresh.wake_at().unwrap();
    }
    assert!(next <= at(1.0) + INTERVAL * 11 / 10, "the other file is due as ever");
    let all = refresh.on(fetched(&[(0, Outcome::Fetched), (1, Outcome::Unchanged)]), next);
    assert_eq!(all, [COMMIT]);
    assert_eq!(refresh.on(committed(), next), [Action::Refreshed]);
}

#[test]
fn a_first_commit_that_can_never_work_ends_the_start() {
    let mut refresh = machine(1, false, None);
    refresh.on(Event::Tick, Time::ZERO);
    refresh.on(fetched(&[(0, Outcome::Fetched)]), Time::ZERO);
    let result = Err(Class::Permanent);
    assert_eq!(
        refresh.on(Event::Committed { volume: 0, result }, Time::ZERO),
        [Action::GiveUp { permanent: true }]
    );
    let mut refresh = ready();
    assert_eq!(
        refresh.on(Event::Committed { volume: 0, result }, at(1.0)),
        [],
        "a running pod keeps its files"
    );
}

#[test]
fn files_that_do_not_fit_each_other_are_fetched_again_and_not_committed_before() {
    let mut refresh = machine(2, false, None);
    refresh.on(Event::Tick, Time::ZERO);
    assert_eq!(
        refresh.on(fetched(&[(0, Outcome::HeldBack), (1, Outcome::HeldBack)]), Time::ZERO),
        []
    );
    let retry = refresh.wake_at().unwrap();
    assert!(retry < at(1.0), "{retry:?}");
    assert_eq!(refresh.on(Event::Tick, retry), fetch(&[0, 1]));
    assert_eq!(
        refresh.on(fetched(&[(0, Outcome::Fetched), (1, Outcome::Fetched)]), retry),
        [COMMIT]
    );
}

#[test]
fn a_generation_that_could_not_be_removed_is_tried_again() {
    let mut refresh = ready();
    assert_eq!(refresh.on(Event::Tick, at(10.0)), [Action::RemovePrevious { volume: 0 }]);
    assert_eq!(refresh.on(Event::NotRemoved { volume: 0 }, at(10.0)), []);
    assert_eq!(refresh.wake_at(), Some(at(20.0)));
    assert_eq!(refresh.on(Event::Tick, at(20.0)), [Action::RemovePrevious { volume: 0 }]);
}

#[test]
fn a_refresh_during_a_round_starts_another_and_is_answered_after_it() {
    let mut refresh = ready();
    assert_eq!(refresh.on(Event::Refresh, at(1.0)), fetch(&[0, 1]));
    assert_eq!(refresh.on(Event::Refresh, at(1.1)), []);
    let all = fetched(&[(0, Outcome::Fetched), (1, Outcome::Fetched)]);
    assert_eq!(refresh.on(all.clone(), at(1.2)), [COMMIT]);
    let unchanged = Event::Committed { volume: 0, result: Ok(Swap::Clean) };
    assert_eq!(refresh.on(unchanged.clone(), at(1.3)), fetch(&[0, 1]));
    assert_eq!(refresh.on(all, at(1.4)), [COMMIT]);
    assert_eq!(refresh.on(unchanged, at(1.5)), [Action::Refreshed]);
}
