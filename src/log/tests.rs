use super::*;

#[test]
fn a_line_wakes_the_writer_when_it_is_the_first_or_urgent_and_is_dropped_when_nobody_reads() {
    let mut pending = Pending { lines: Vec::new(), is_urgent: false };
    for (is_urgent, bytes, expected) in [
        (false, 10, Pushed::News),
        (false, 10, Pushed::Waits),
        (true, 10, Pushed::News),
        (true, 10, Pushed::Waits),
        (false, 10, Pushed::Waits),
        (false, MOST_BYTES, Pushed::Waits),
        (true, 10, Pushed::Dropped),
        (false, 10, Pushed::Dropped),
    ] {
        assert_eq!(push(&mut pending, is_urgent, bytes), expected, "{is_urgent} {bytes}");
    }
    let mut written = Vec::new();
    pending.hand_over(&mut written);
    assert!(written.len() == 50 + MOST_BYTES && pending.lines.is_empty() && !pending.is_urgent);
    for (bytes, expected) in [(10, Pushed::News), (10, Pushed::Waits), (MANY_BYTES, Pushed::News)] {
        assert_eq!(push(&mut pending, false, bytes), expected, "{bytes}");
    }
}

/// Pushes a line of this length.
fn push(pending: &mut Pending, is_urgent: bool, bytes: usize) -> Pushed {
    pending.push(is_urgent, |lines| lines.resize(lines.len() + bytes, b'x'))
}

#[test]
fn a_panic_is_a_line_of_the_log_also_under_its_own_lock() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(tell_of_panic));
    let panicked =
        std::panic::catch_unwind(|| panic!("as the \"test\" wants it: {}", "x".repeat(10_000)));
    let under_lock = std::panic::catch_unwind(|| append(false, |_| panic!("under the lock")));
    std::panic::set_hook(usual);
    assert!(panicked.is_err() && under_lock.is_err());
    let lines = String::from_utf8(lock(&PENDING).lines.clone()).unwrap();
    let line = lines.lines().find(|line| line.contains("as the")).unwrap();
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(
        (&line["level"], &line["message"]),
        (&"error".into(), &"panicked; this is a bug".into())
    );
    assert!(line["error"].as_str().unwrap().starts_with("as the \"test\" wants it: x"), "{line}");
    assert!(line["error"].as_str().unwrap().len() == MAX_PANIC_BYTES, "{line}");
    assert!(line["place"].as_str().unwrap().starts_with("src/log/tests.rs:"), "{line}");
}
