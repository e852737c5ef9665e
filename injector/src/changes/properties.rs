//! Any history of a vault, with clocks that differ and replicas that lag behind.

use super::tests::{START, volume};
use super::*;
use proptest::prelude::*;

/// What happens to a vault with three names, between and during refreshes.
#[derive(Debug, Clone)]
enum Step {
    Set(usize),
    Disable(usize),
    Enable(usize),
    Delete(usize),
    Tag(usize),
    /// Time passes: tenths of seconds.
    Pass(i64),
    Refresh,
    /// A refresh on which everything is asked for.
    Full,
    /// A refresh whose GETs a replica answers that lags behind: with what was there so many tenths
    /// of a second ago.
    Lagging(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let name = 0_usize..3;
    let step = prop_oneof![
        4 => name.clone().prop_map(Step::Set),
        1 => name.clone().prop_map(Step::Disable),
        1 => name.clone().prop_map(Step::Enable),
        1 => name.clone().prop_map(Step::Delete),
        1 => name.prop_map(Step::Tag),
        3 => (1_i64..8).prop_map(Step::Pass),
        1 => (8_i64..60).prop_map(Step::Pass),
        4 => Just(Step::Refresh),
        1 => Just(Step::Full),
        1 => (1_i64..100).prop_map(Step::Lagging),
    ];
    prop::collection::vec(step, 1..120)
}

/// Its clocks may differ by a second: the one that stamps changes from the one that dates answers.
#[derive(Debug, Clone, Default)]
struct Model {
    tenths: i64,
    skew: i64,
    next_value: u64,
    objects: BTreeMap<&'static str, (u64, bool, i64)>,
}

impl Model {
    fn date(&self) -> i64 {
        self.tenths.div_euclid(10)
    }

    fn stamp(&self) -> i64 {
        (self.tenths + self.skew).div_euclid(10)
    }

    /// A GET: the value, or none for a disabled or missing one.
    fn get(&self, name: &str) -> Option<(u64, Seen)> {
        let &(value, enabled, updated) = self.objects.get(name)?;
        enabled.then_some((value, Seen { updated, date: self.date() }))
    }

    fn updated(&self, name: &str) -> Option<i64> {
        self.objects.get(name).map(|object| object.2)
    }

    /// Changes an object that is there, and whether it is enabled.
    fn edit(&mut self, name: &str, is_enabled: Option<bool>) {
        let now = self.stamp();
        if let Some((_, enabled, updated)) = self.objects.get_mut(name) {
            *enabled = is_enabled.unwrap_or(*enabled);
            *updated = now;
        }
    }

    fn apply(&mut self, step: &Step) {
        const NAMES: [&str; 3] = ["a", "b", "c"];
        match *step {
            Step::Set(name) => {
                self.next_value += 1;
                self.objects.insert(NAMES[name], (self.next_value, true, self.stamp()));
            }
            Step::Disable(name) => self.edit(NAMES[name], Some(false)),
            Step::Enable(name) => self.edit(NAMES[name], Some(true)),
            Step::Tag(name) => self.edit(NAMES[name], None),
            Step::Delete(name) => drop(self.objects.remove(NAMES[name])),
            Step::Pass(tenths) => self.tenths += tenths,
            Step::Refresh | Step::Full | Step::Lagging(_) => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// After every refresh of any history the files, the last good ones of objects that fail
    /// included, are those of a sidecar that fetches everything each time. Changes between a list
    /// and the fetches after it may be seen a refresh later.
    #[test]
    fn lists_and_fetches_converge_to_the_same_files(
        skew in -10_i64..=10,
        steps in steps(),
        between in steps(),
    ) {
        let volume = volume(&["a", "b", "c", "B"]);
        let names = [0, 1, 2, 3].map(|index| name(&object(&volume, index).unwrap()));
        let mut vault = Model { tenths: 1_000_000, skew, ..Model::default() };
        let mut tracker = ChangeTracker::new(4);
        let (mut listing, mut fetching) = ([None; 4], [None; 4]);
        let mut between = between.into_iter();
        let mut past = vec![vault.clone()];
        let mut now = START;
        for step in steps {
            vault.apply(&step);
            past.push(vault.clone());
            if !matches!(step, Step::Refresh | Step::Full | Step::Lagging(_)) {
                continue;
            }
            now += Duration::from_secs(1);
            let Start { mut fetch, pinned, lists } =
                tracker.start(&volume, &[0, 1, 2, 3], matches!(step, Step::Full), now);
            prop_assert!(pinned.is_empty());
            let mut seen = BTreeMap::new();
            for list in lists {
                let date = vault.date();
                let objects = vault.objects.iter().map(|(name, object)| {
                    ((*name).to_owned(), Seen { updated: object.2, date })
                });
                seen = objects.collect();
                let (same, other) = tracker.listed(&volume, list, &seen);
                for index in same {
                    let value = vault.get(&names[index]).map(|(value, _)| value);
                    prop_assert_eq!(listing[index], value, "of item {}", index);
                }
                fetch.extend(other);
            }
            let disturbed = between.next().filter(|step| {
                !matches!(step, Step::Refresh | Step::Full | Step::Lagging(_) | Step::Pass(_))
            });
            if let Some(step) = &disturbed {
                vault.apply(step);
            }
            let replica = match step {
                Step::Lagging(behind) => {
                    let then = vault.tenths - behind;
                    past.iter().rfind(|past| past.tenths <= then).unwrap_or(&past[0])
                }
                _ => &vault,
            };
            for index in fetch {
                let name = &names[index];
                // Of two changes within a second no time tells which of them a replica has.
                let is_same = vault.updated(name) == replica.updated(name);
                let got = if is_same { &vault } else { replica }.get(name);
                match got.map(|(value, got)| (value, Seen { date: vault.date(), ..got })) {
                    Some((value, got)) => {
                        listing[index] = Some(value);
                        tracker.fetched(&volume, index, seen.get(name).copied(), Some(got));
                    }
                    None => tracker.failed(index),
                }
            }
            for (index, file) in fetching.iter_mut().enumerate() {
                *file = vault.get(&names[index]).map(|(value, _)| value).or(*file);
            }
            if disturbed.is_some() || matches!(step, Step::Lagging(_)) {
                fetching = listing;
            }
            prop_assert_eq!(listing, fetching);
        }
    }
}
