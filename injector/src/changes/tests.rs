use super::*;
use serde_json::json;

pub(super) const START: Time = Duration::from_secs(100_000);
const MINUTE: Duration = Duration::from_secs(60);

/// A volume of secrets of one vault; `NAME@VERSION` is pinned.
pub(super) fn volume(names: &[&str]) -> Volume {
    let files: Vec<_> = names
        .iter()
        .enumerate()
        .map(|(index, name)| {
            let (name, version) = match name.split_once('@') {
                Some((name, version)) => (name, Some(version)),
                None => (*name, None),
            };
            json!({"path": format!("f{index}"), "mode": "0644", "identity": "a",
                "vault": "https://kv/", "type": "secret",
                "name": name, "version": version})
        })
        .collect();
    serde_json::from_value(
        json!({"name": "v", "directory": "/v", "refreshIntervalSeconds": 120, "files": files}),
    )
    .unwrap()
}

fn seen(names: &[(&str, i64)], date: i64) -> BTreeMap<String, Seen> {
    names.iter().map(|&(name, updated)| (name.to_owned(), Seen { updated, date })).collect()
}

/// A tracker after the first generation, whose objects were all updated at 100 and fetched at
/// `date`.
fn fetched(volume: &Volume, date: i64) -> ChangeTracker {
    let mut tracker = ChangeTracker::new(volume.files.len());
    let all: Vec<usize> = (0..volume.files.len()).collect();
    let start = tracker.start(volume, &all, false, START);
    assert_eq!(
        (start.fetch.len(), start.lists.len()),
        (all.len(), 0),
        "the first generation is fetched"
    );
    for index in all {
        tracker.fetched(volume, index, None, Some(Seen { updated: 100, date }));
    }
    tracker
}

/// What a round does that begins with a list of these objects, made at 200: unchanged and fetched
/// items.
fn round(
    tracker: &mut ChangeTracker,
    volume: &Volume,
    listed: &[(&str, i64)],
) -> (Vec<usize>, Vec<usize>) {
    let all: Vec<usize> = (0..volume.files.len()).collect();
    let Start { mut fetch, pinned: mut unchanged, lists } =
        tracker.start(volume, &all, false, START + MINUTE);
    for list in lists {
        let (same, other) = tracker.listed(volume, list, &seen(listed, 200));
        unchanged.extend(same);
        fetch.extend(other);
    }
    unchanged.sort_unstable();
    fetch.sort_unstable();
    (unchanged, fetch)
}

#[test]
fn what_a_list_shows_unchanged_is_not_fetched() {
    let volume = volume(&["a", "b", "C", "d@1"]);
    let cases: &[(&str, &[(&str, i64)], &[usize], &[usize])] = &[
        ("nothing changed", &[("a", 100), ("b", 100), ("c", 100)], &[0, 1, 2, 3], &[]),
        ("one changed", &[("a", 100), ("b", 150), ("c", 100)], &[0, 2, 3], &[1]),
        ("one went back in time", &[("a", 99), ("b", 100), ("c", 100)], &[1, 2, 3], &[0]),
        ("one is not in the list", &[("a", 100), ("c", 100)], &[0, 2, 3], &[1]),
        ("an empty list", &[], &[3], &[0, 1, 2]),
        (
            "strangers in the list",
            &[("a", 100), ("b", 100), ("c", 100), ("x", 1)],
            &[0, 1, 2, 3],
            &[],
        ),
    ];
    for (what, listed, unchanged, fetch) in cases {
        let mut tracker = fetched(&volume, 150);
        assert_eq!(
            round(&mut tracker, &volume, listed),
            (unchanged.to_vec(), fetch.to_vec()),
            "{what}"
        );
    }
}

#[test]
fn what_was_updated_within_two_seconds_of_the_answer_is_fetched_again() {
    let volume = volume(&["a", "b", "c"]);
    for (date, settled) in
        [(99, false), (100, false), (101, false), (102, false), (103, true), (1000, true)]
    {
        let mut tracker = fetched(&volume, date);
        let all = [("a", 100), ("b", 100), ("c", 100)];
        let (unchanged, fetch) = round(&mut tracker, &volume, &all);
        assert_eq!(
            (unchanged.len(), fetch.len()),
            if settled { (3, 0) } else { (0, 3) },
            "answered at {date}"
        );
    }
    // The same of one that a list told, and was fetched after it: known or not by the next list.
    for (updated, unchanged) in [(200, false), (199, false), (198, false), (197, true)] {
        let mut tracker = fetched(&volume, 150);
        let told = Some(Seen { updated, date: 200 });
        tracker.fetched(&volume, 1, told, told);
        let (same, _) = round(&mut tracker, &volume, &[("a", 100), ("b", updated), ("c", 100)]);
        assert_eq!(same.contains(&1), unchanged, "{updated}");
    }
}

#[test]
fn a_list_that_costs_more_than_it_spares_is_not_asked_for() {
    for (names, most_pages) in [
        (&["a"][..], None),
        (&["a", "A"], None),
        (&["a", "b@1"], None),
        (&["a", "b"], Some(1)),
        (&["a", "b", "c", "c"], Some(2)),
    ] {
        let volume = volume(names);
        let mut tracker = fetched(&volume, 150);
        let all: Vec<usize> = (0..names.len()).collect();
        let start = tracker.start(&volume, &all, false, START + MINUTE);
        assert_eq!(start.lists.first().map(|list| list.most_pages), most_pages, "{names:?}");
        // One that failed last is fetched in any case: it saves nothing.
        tracker.failed(0);
        let start = tracker.start(&volume, &all, false, START + MINUTE);
        assert_eq!(
            start.lists.first().map(|list| list.most_pages),
            most_pages.and_then(|pages| (pages > 1).then(|| pages - 1))
        );
    }
}

#[test]
fn a_vault_that_cannot_be_listed_is_left_alone_for_an_hour() {
    let volume = volume(&["a", "b"]);
    let mut tracker = fetched(&volume, 150);
    let all = [0, 1];
    let list = tracker.start(&volume, &all, false, START + MINUTE).lists.pop().unwrap();
    assert_eq!(tracker.not_listed(list, true, START + MINUTE), (all.to_vec(), true));
    // After 60 minutes everything is due anyway.
    for minutes in [2, 59, 60] {
        let Start { lists, .. } = tracker.start(&volume, &all, false, START + MINUTE * minutes);
        assert!(lists.is_empty(), "{minutes} minutes");
    }
    for index in all {
        tracker.fetched(&volume, index, None, Some(Seen { updated: 100, date: 150 }));
    }
    assert!(!tracker.start(&volume, &all, false, START + MINUTE * 62).lists.is_empty());
}

#[test]
fn a_list_that_fails_once_fails_what_it_could_have_spared_and_then_objects_have_to_tell() {
    let volume = volume(&["a", "b", "c"]);
    let mut tracker = fetched(&volume, 150);
    tracker.failed(2);
    for (throttles, expected) in [(false, vec![0, 1]), (true, vec![0, 1]), (false, vec![])] {
        let failing = list_of_three(&mut tracker, &volume);
        let (failed, fetch) = tracker.list_failed(failing, throttles);
        assert_eq!((failed.len() + fetch.len(), failed), (3, expected), "{throttles}");
    }
    let works = list_of_three(&mut tracker, &volume);
    tracker.listed(&volume, works, &seen(&[("a", 100), ("b", 100)], 200));
    let failing = list_of_three(&mut tracker, &volume);
    assert_eq!(tracker.list_failed(failing, false).0, [0, 1], "the first again");
}

/// The list that a refresh of three files begins with.
fn list_of_three(tracker: &mut ChangeTracker, volume: &Volume) -> List {
    tracker.start(volume, &[0, 1, 2], false, START + MINUTE).lists.pop().unwrap()
}

#[test]
fn an_answer_that_is_older_than_the_list_is_not_taken_for_the_newer_one() {
    let volume = volume(&["a", "b", "c"]);
    let listed = Some(Seen { updated: 150, date: 200 });
    for (got, known) in [(Some(150), true), (Some(160), true), (Some(100), false), (None, false)] {
        let got = got.map(|updated| Seen { updated, date: 200 });
        let mut tracker = fetched(&volume, 150);
        tracker.fetched(&volume, 1, listed, got);
        let (unchanged, _) = round(&mut tracker, &volume, &[("a", 100), ("b", 150), ("c", 100)]);
        assert_eq!(unchanged.contains(&1), known, "{got:?}");
    }
}

#[test]
fn a_list_that_was_too_long_for_a_few_objects_is_tried_for_more() {
    let volume = volume(&["a", "b", "c", "d"]);
    let mut tracker = fetched(&volume, 150);
    let all = [0, 1, 2, 3];
    // Two of them were changed a moment ago: a list could save two calls, and costs at least two.
    tracker.failed(2);
    tracker.failed(3);
    let list = tracker.start(&volume, &all, false, START + MINUTE).lists.pop().unwrap();
    assert_eq!(list.most_pages, 1);
    tracker.not_listed(list, false, START + MINUTE);
    assert!(tracker.start(&volume, &all, false, START + MINUTE).lists.is_empty(), "not for so few");
    tracker.fetched(&volume, 2, None, Some(Seen { updated: 100, date: 150 }));
    let list = tracker.start(&volume, &all, false, START + MINUTE).lists.pop().unwrap();
    assert_eq!(list.most_pages, 2);
}

#[test]
fn everything_is_fetched_once_an_hour_and_on_request() {
    let volume = volume(&["a", "b", "c@1"]);
    for (full, after) in [(true, MINUTE), (false, MINUTE * 60)] {
        let mut tracker = fetched(&volume, 150);
        let start = tracker.start(&volume, &[0, 1, 2], full, START + after);
        assert_eq!((start.fetch.len(), start.pinned.len(), start.lists.len()), (3, 0, 0));
    }
}
