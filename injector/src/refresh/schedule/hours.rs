//! Hours of simulated time: outages, refusals, a node that slept, a fleet.

use super::*;

const INTERVAL: Duration = Duration::from_secs(120);
const HOUR: Duration = Duration::from_secs(3600);

/// A volume of `files` that answers by `answer(file, now)`; it knows every fetch and every
/// success.
struct Pod {
    machine: Schedule,
    now: Time,
    /// When which files were asked for.
    rounds: Vec<(Time, Vec<usize>)>,
    /// When each file was fetched last.
    fetched_at: Vec<Option<Time>>,
}

impl Pod {
    fn start(files: usize, interval: Duration, seed: u64) -> Self {
        let settings = Settings { start_timeout: None, linger: Duration::from_secs(10), seed };
        let now = HOUR;
        let machine =
            Schedule::new(&settings, &[VolumeSpec { files, interval, complete: false }], now);
        let mut pod = Self { machine, now, rounds: Vec::new(), fetched_at: vec![None; files] };
        pod.step(Event::Tick, &|_, _| Outcome::Fetched);
        pod
    }

    fn step(&mut self, event: Event, answer: &dyn Fn(usize, Time) -> Outcome) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            for action in self.machine.on(event, self.now) {
                match action {
                    Action::Fetch { volume, files } => {
                        let outcomes: Vec<_> =
                            files.iter().map(|&file| (file, answer(file, self.now))).collect();
                        for (file, outcome) in &outcomes {
                            if *outcome == Outcome::Fetched {
                                self.fetched_at[*file] = Some(self.now);
                            }
                        }
                        self.rounds.push((self.now, files));
                        events.push(Event::Fetched { volume, outcomes });
                    }
                    Action::Commit { volume } => {
                        events.push(Event::Committed { volume, result: Ok(Swap::Clean) });
                    }
                    _ => {}
                }
            }
        }
    }

    /// Lives until `end`, waking when the machine says.
    fn live(&mut self, end: Time, answer: &dyn Fn(usize, Time) -> Outcome) {
        while let Some(wake) = self.machine.wake_at().filter(|wake| *wake <= end) {
            assert!(wake >= self.now, "the machine asks to be woken in the past");
            self.now = wake;
            self.step(Event::Tick, answer);
        }
        self.now = end;
    }

    fn age(&self, file: usize) -> Duration {
        self.now - self.fetched_at[file].unwrap()
    }

    fn rounds_between(&self, from: Time, to: Time) -> usize {
        self.rounds.iter().filter(|(at, _)| *at > from && *at <= to).count()
    }
}

fn failed(class: Class) -> Outcome {
    Outcome::Failed { class, retry_after: None }
}

#[test]
fn a_vault_that_is_unreachable_for_hours_costs_little_and_recovers_within_an_interval() {
    for interval in [Duration::from_secs(30), INTERVAL, HOUR] {
        for seed in 0..20 {
            let mut pod = Pod::start(5, interval, seed);
            let down = pod.now + HOUR / 2;
            let back = down + 6 * HOUR;
            let answer = |_, now| {
                if (down..back).contains(&now) {
                    failed(Class::Transient)
                } else {
                    Outcome::Fetched
                }
            };
            pod.live(back, &answer);
            assert!(pod.machine.is_ready(), "the files stay");
            assert!((0..5).all(|file| pod.age(file) >= 6 * HOUR), "and their age grows");
            let rounds = pod.rounds_between(down, back);
            let intervals = usize::try_from(
                6 * HOUR.as_secs() / interval.min(Duration::from_secs(300)).as_secs(),
            )
            .unwrap();
            assert!(
                rounds <= intervals * 115 / 100 + 12,
                "{rounds} rounds in {intervals} intervals of {interval:?}"
            );
            pod.live(back + interval * 11 / 10, &answer);
            assert!((0..5).all(|file| pod.age(file) <= interval * 11 / 10), "{interval:?}");
        }
    }
}

#[test]
fn one_refused_object_is_asked_for_alone_and_slowly_while_the_others_go_on() {
    // What a role, an access policy, a firewall, a disabled or a missing version has in common:
    // somebody has to act.
    let mut pod = Pod::start(4, INTERVAL, 7);
    let start = pod.now;
    pod.live(start + 2 * HOUR, &|file, _| {
        if file == 2 { failed(Class::Slow) } else { Outcome::Fetched }
    });
    assert!(
        pod.age(2) >= 2 * HOUR && [0, 1, 3].iter().all(|&file| pod.age(file) <= INTERVAL * 11 / 10)
    );
    let asked = pod.rounds.iter().filter(|(at, files)| *at > start && files.contains(&2)).count();
    let all = pod.rounds.iter().filter(|(at, files)| *at > start && files.len() == 4).count();
    assert!((55..=67).contains(&all), "{all}");
    assert!(
        asked <= all + 2,
        "{asked} times for it, {all} for all: a tenth of a try more than any other"
    );
}

#[test]
fn the_first_tries_after_a_failure_follow_the_kind_of_failure() {
    for (class, first, second) in
        [(Class::Transient, 1, 2), (Class::Slow, 30, 60), (Class::Permanent, 30, 60)]
    {
        let mut pod = Pod::start(1, HOUR, 3);
        let start = pod.now;
        pod.live(start + 2 * HOUR, &|_, _| failed(class));
        let at: Vec<Duration> = pod.rounds.iter().map(|(at, _)| *at).skip(1).take(3).collect();
        for (wait, seconds) in [(at[1] - at[0], first), (at[2] - at[1], second)] {
            let range =
                Duration::from_millis(seconds * 900)..=Duration::from_millis(seconds * 1100);
            assert!(range.contains(&wait), "{class:?}: {at:?}");
        }
    }
}

#[test]
fn a_node_that_slept_refreshes_once_and_at_once() {
    let mut pod = Pod::start(3, INTERVAL, 11);
    pod.live(pod.now + HOUR, &|_, _| Outcome::Fetched);
    let asleep = pod.now;
    // The machine was to be woken meanwhile, and nobody was there to do it.
    pod.now += 6 * HOUR;
    pod.step(Event::Tick, &|_, _| Outcome::Fetched);
    assert_eq!(pod.rounds_between(asleep, pod.now), 1, "not one for each interval missed");
    let woken = pod.now;
    pod.live(woken + INTERVAL * 9 / 10 - Duration::from_secs(1), &|_, _| Outcome::Fetched);
    assert_eq!(pod.rounds_between(woken, pod.now), 0, "and the next after an interval");
    pod.live(woken + INTERVAL * 11 / 10, &|_, _| Outcome::Fetched);
    assert_eq!(pod.rounds_between(woken, pod.now), 1);
}

#[test]
fn a_fleet_that_starts_together_does_not_refresh_together() {
    let mut first: Vec<Duration> = (0..1000)
        .map(|seed| {
            let mut pod = Pod::start(1, INTERVAL, seed);
            let start = pod.now;
            pod.live(start + INTERVAL * 2, &|_, _| Outcome::Fetched);
            pod.rounds[1].0 - start
        })
        .collect();
    first.sort();
    assert!(first[0] >= INTERVAL * 9 / 10 && first[999] <= INTERVAL * 11 / 10);
    let most = (0..24).map(|second| {
        let from = INTERVAL * 9 / 10 + Duration::from_secs(second);
        first.iter().filter(|at| **at >= from && **at < from + Duration::from_secs(1)).count()
    });
    assert!(most.max().unwrap() < 100, "1000 pods over 24 seconds");
}

#[test]
fn a_throttled_vault_is_asked_by_all_files_together_and_by_none_before_its_time() {
    let mut pod = Pod::start(20, INTERVAL, 5);
    let start = pod.now;
    let over = start + HOUR;
    let demanded = Duration::from_secs(90);
    let answer = |_, now| {
        if now > start && now < over {
            Outcome::Failed { class: Class::Transient, retry_after: Some(demanded) }
        } else {
            Outcome::Fetched
        }
    };
    pod.live(over, &answer);
    let rounds: Vec<_> = pod.rounds.iter().filter(|(at, _)| *at > start).collect();
    assert!(rounds.iter().all(|(_, files)| files.len() == 20), "together");
    assert!(rounds.windows(2).all(|pair| pair[1].0 - pair[0].0 >= demanded), "and not before");
    pod.live(over + INTERVAL * 11 / 10, &answer);
    assert!(pod.age(0) <= INTERVAL * 11 / 10);
}
