//! Another Plan for the same volumes.

use super::*;

/// The files `f0`, `f1`, … of these secrets.
fn of(names: &[&str]) -> Arc<Plan> {
    plan(&names.iter().map(|name| json!({"name": name})).collect::<Vec<_>>())
}

/// The same with these paths.
fn at_paths(files: &[(&str, &str)]) -> Arc<Plan> {
    let files = files.iter().map(|(path, name)| json!({"name": name, "path": path}));
    plan(&files.collect::<Vec<_>>())
}

/// A machine whose files came and were committed.
fn running(plan: &Arc<Plan>) -> Machine {
    let mut machine = start(plan);
    machine.on(Event::Wake, at(0.0));
    for (index, file) in plan.volumes[0].files.iter().enumerate() {
        machine.on(brought(index, file.path.as_str(), "1"), at(0.1));
    }
    machine.on(over(), at(0.1));
    commit(&mut machine, 0.1);
    assert!(machine.is_ready() && machine.is_quiet());
    machine
}

/// An item came with one file.
fn brought(index: usize, path: &str, version: &str) -> Event {
    let content = Content::new(version.as_bytes().to_vec());
    let files = vec![Output { path: path.parse().unwrap(), content, version: version.to_owned() }];
    items(vec![(index, Ok(ItemUpdate::from(Fetched { files, ..Fetched::default() })))])
}

fn commit(machine: &mut Machine, time: f64) -> Vec<Action> {
    let written = Written { swap: Swap::Clean, generation: None, changed: Vec::new(), fault: None };
    machine.on(Event::Committed { volume: 0, result: Ok(written) }, at(time))
}

fn change(machine: &mut Machine, plan: &Arc<Plan>, time: f64) -> Vec<Action> {
    machine.on(Event::PlanChanged(Arc::clone(plan)), at(time))
}

fn paths(machine: &Machine) -> Vec<(String, bool)> {
    let entries = machine.entries(0);
    let paths = entries.iter().map(|entry| (entry.path.to_string(), entry.content.is_some()));
    let mut paths: Vec<_> = paths.collect();
    paths.sort();
    paths
}

fn expected(paths: &[(&str, bool)]) -> Vec<(String, bool)> {
    paths.iter().map(|(path, is_new)| ((*path).to_owned(), *is_new)).collect()
}

fn fetch(items: &[usize]) -> Action {
    Action::Fetch { volume: 0, items: items.to_vec() }
}

#[test]
fn what_is_unchanged_is_not_fetched_again_and_what_is_new_is_at_once() {
    let mut machine = running(&of(&["a", "b"]));
    assert_eq!(change(&mut machine, &of(&["a", "b", "c"]), 5.0), [fetch(&[2])]);
    assert!(!machine.is_quiet());
    machine.on(came(2, "1"), at(5.1));
    assert_eq!(machine.on(over(), at(5.1)), [Action::Commit { volume: 0 }]);
    assert_eq!(paths(&machine), expected(&[("f0", false), ("f1", false), ("f2", true)]));
    commit(&mut machine, 5.2);
    assert!(machine.is_ready());
}

#[test]
fn a_file_that_is_gone_goes_at_once_where_nothing_replaces_it() {
    let mut machine = running(&of(&["a", "b"]));
    assert_eq!(change(&mut machine, &of(&["a"]), 5.0), [Action::Commit { volume: 0 }]);
    assert_eq!(paths(&machine), expected(&[("f0", false)]));
}

#[test]
fn a_file_that_moves_goes_with_the_one_that_takes_its_place() {
    let mut machine = running(&at_paths(&[("f0", "a"), ("f1", "b")]));
    let moved = at_paths(&[("f0", "a"), ("moved", "b")]);
    assert_eq!(change(&mut machine, &moved, 5.0), [fetch(&[1])], "no commit yet");
    machine.on(brought(1, "moved", "2"), at(5.1));
    assert_eq!(machine.on(over(), at(5.1)), [Action::Commit { volume: 0 }]);
    assert_eq!(paths(&machine), expected(&[("f0", false), ("moved", true)]));
}

#[test]
fn a_file_of_another_object_stays_until_that_is_fetched_and_a_missing_one_holds_up_no_other() {
    let mut machine = running(&of(&["a", "b"]));
    assert_eq!(change(&mut machine, &of(&["a", "other"]), 5.0), [fetch(&[1])]);
    let fault = Fault::new(KS412, Class::Slow, "no such object");
    machine.on(failed(1, &fault), at(5.1));
    machine.on(over(), at(5.1));
    assert_eq!(paths(&machine), expected(&[("f0", false), ("f1", false)]));
    commit(&mut machine, 5.2);
    machine.on(Event::Refresh, at(6.0));
    machine.on(came(0, "2"), at(6.1));
    machine.on(failed(1, &fault), at(6.1));
    let actions = machine.on(over(), at(6.1));
    assert!(actions.contains(&Action::Commit { volume: 0 }), "{actions:?}");
    assert_eq!(paths(&machine), expected(&[("f0", true), ("f1", false)]));
}

#[test]
fn the_same_items_in_another_order_or_by_another_name_of_the_identity_are_the_same() {
    let mut machine = running(&at_paths(&[("x", "a"), ("y", "b")]));
    let mut swapped = Plan::clone(&at_paths(&[("y", "b"), ("x", "a")]));
    swapped.identities[0].name = "renamed".to_owned();
    for file in &mut swapped.volumes[0].files {
        file.identity = "renamed".to_owned();
    }
    assert_eq!(change(&mut machine, &Arc::new(swapped.clone()), 5.0), []);
    swapped.identities[0].scope = "other/.default".to_owned();
    assert_eq!(change(&mut machine, &Arc::new(swapped), 6.0), [fetch(&[0, 1])]);
}

#[test]
fn a_volume_becomes_empty_and_full_again_and_a_shorter_interval_counts_at_once() {
    let mut machine = running(&of(&["a"]));
    assert_eq!(change(&mut machine, &of(&[]), 5.0), [Action::Commit { volume: 0 }]);
    assert!(paths(&machine).is_empty());
    commit(&mut machine, 5.0);
    assert_eq!(change(&mut machine, &of(&["a"]), 6.0), [fetch(&[0])]);
    machine.on(came(0, "1"), at(6.1));
    machine.on(over(), at(6.1));
    commit(&mut machine, 6.1);
    let mut often = Plan::clone(&of(&["a"]));
    often.volumes[0].refresh_interval_seconds = 20;
    assert_eq!(change(&mut machine, &Arc::new(often), 7.0), []);
    assert!(machine.wake_at().unwrap() <= at(27.0));
}

#[test]
fn the_state_of_the_plan_is_told_once_and_that_it_works_again() {
    let mut machine = running(&of(&["a"]));
    let fault = Fault::new(KS402, Class::Slow, "class \"kv\": KS106");
    let told = machine.on(Event::PlanAnswered(Err(fault.clone())), at(5.0));
    assert_eq!(told, [Action::Report(Report::Warn(fault.clone()))]);
    assert_eq!(machine.on(Event::PlanAnswered(Err(fault)), at(6.0)), []);
    assert_eq!(machine.on(Event::PlanAnswered(Ok(())), at(7.0)).len(), 1);
    assert_eq!(machine.on(Event::PlanAnswered(Ok(())), at(8.0)), []);
}

#[test]
fn a_file_that_is_gone_goes_when_the_one_that_was_added_cannot_be_fetched() {
    let mut machine = running(&at_paths(&[("f0", "a"), ("old", "b")]));
    let moved = at_paths(&[("f0", "a"), ("new", "c"), ("newer", "d")]);
    assert_eq!(change(&mut machine, &moved, 5.0), [fetch(&[1, 2])], "no commit yet");
    let fault = Fault::new(KS412, Class::Slow, "no such object");
    for index in [1, 2] {
        let told = machine.on(failed(index, &fault), at(5.1));
        assert!(!told.contains(&Action::Commit { volume: 0 }), "the round is not over");
    }
    let actions = machine.on(over(), at(5.2));
    assert!(actions.contains(&Action::Commit { volume: 0 }), "{actions:?}");
    assert_eq!(paths(&machine), expected(&[("f0", false)]));
    commit(&mut machine, 5.2);
    machine.on(Event::Refresh, at(6.0));
    for index in [1, 2] {
        machine.on(failed(index, &fault), at(6.1));
    }
    let actions = machine.on(over(), at(6.1));
    assert!(!actions.contains(&Action::Commit { volume: 0 }), "once: {actions:?}");
}
