//! Any order of failures.

use super::tests::*;
use super::*;
use proptest::prelude::*;

/// What happens to a running machine.
#[derive(Debug, Clone)]
enum Step {
    Wake,
    Demand,
    Answer(Vec<u8>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Wake),
        1 => Just(Step::Demand),
        4 => prop::collection::vec(0_u8..8, 4).prop_map(Step::Answer),
    ];
    prop::collection::vec(step, 1..200)
}

proptest! {
    /// For any order of failures: no file is asked for twice at once, no generation before all
    /// files are there, nobody is asked before its Retry-After, and the machine always knows when
    /// to go on.
    #[test]
    fn invariants_hold_for_any_history(seed: u64, complete: bool, steps in steps()) {
        let files = 4;
        let settings = Settings { start_timeout: None, linger: Duration::from_secs(10), seed };
        let spec = VolumeSpec { files, interval: INTERVAL, complete };
        let mut refresh = Schedule::new(&settings, &[spec], Time::ZERO);
        let (mut now, mut fetching, mut committing) = (Time::ZERO, Vec::<Vec<usize>>::new(), false);
        let (mut present, mut generations) = (vec![complete; files], complete);
        let mut not_before = vec![Time::ZERO; files];
        for step in steps {
            let event = match step {
                Step::Demand => Event::Refresh,
                Step::Wake => {
                    now = now.max(refresh.wake_at().unwrap_or(now));
                    Event::Tick
                }
                Step::Answer(kinds) => {
                    now += Duration::from_millis(20);
                    if committing {
                        committing = false;
                        let failed = kinds[0] == 0;
                        let result =
                            if failed { Err(Class::Transient) } else { Ok(Swap::Lingers) };
                        generations |= result.is_ok();
                        Event::Committed { volume: 0, result }
                    } else if let Some(due) = fetching.pop() {
                        let outcomes = due.iter().map(|&file| (file, match kinds[file] {
                            0 => Outcome::Failed { class: Class::Transient, retry_after: None },
                            1 => Outcome::Failed { class: Class::Slow, retry_after: None },
                            2 => Outcome::Failed {
                                class: Class::Transient,
                                retry_after: Some(Duration::from_secs(60)),
                            },
                            3 => Outcome::Waiting { rest: Duration::from_secs(60) },
                            4 => Outcome::HeldBack,
                            _ => Outcome::Fetched,
                        })).collect::<Vec<_>>();
                        for &(file, outcome) in &outcomes {
                            present[file] |= outcome == Outcome::Fetched;
                            present[file] &= outcome != Outcome::HeldBack || generations;
                            if matches!(
                                outcome,
                                Outcome::Failed { retry_after: Some(_), .. }
                                    | Outcome::Waiting { .. }
                            ) {
                                not_before[file] = now + Duration::from_secs(60);
                            }
                        }
                        Event::Fetched { volume: 0, outcomes }
                    } else {
                        Event::Tick
                    }
                }
            };
            for action in refresh.on(event, now) {
                match action {
                    Action::Fetch { files: due, .. } => {
                        let is_under_way = due
                            .iter()
                            .any(|file| fetching.iter().any(|other| other.contains(file)));
                        prop_assert!(!committing && !is_under_way, "asked for twice at once");
                        let is_allowed = due.iter().all(|&file| not_before[file] <= now);
                        prop_assert!(!due.is_empty() && is_allowed, "before Retry-After");
                        fetching.push(due);
                    }
                    Action::Commit { .. } => {
                        prop_assert!(!committing);
                        let is_complete = present.iter().all(|&present| present);
                        prop_assert!(is_complete, "an incomplete generation");
                        committing = true;
                    }
                    Action::GiveUp { .. } => prop_assert!(false, "nothing was permanent"),
                    Action::RemovePrevious { .. } | Action::Ready | Action::Refreshed => {}
                }
            }
            if !committing {
                let wake = refresh.wake_at();
                prop_assert!(wake.is_some_and(|wake| wake > now), "{wake:?} at {now:?}");
                prop_assert!(wake.unwrap() <= now + INTERVAL * 11 / 10, "asleep for too long");
            }
        }
    }
}
