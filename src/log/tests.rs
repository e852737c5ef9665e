use super::*;

#[test]
fn a_line_wakes_the_writer_when_it_is_the_first_or_urgent_and_is_dropped_when_nobody_reads() {
    let mut pending = Pending { lines: Vec::new(), is_urgent: false };
    let mut push =
        |is_urgent, bytes| pending.push(is_urgent, |lines| lines.resize(lines.len() + bytes, b'x'));
    assert_eq!((push(false, 10), push(false, 10)), (Pushed::News, Pushed::Waits));
    assert_eq!(
        (push(true, 10), push(true, 10), push(false, 10)),
        (Pushed::News, Pushed::Waits, Pushed::Waits)
    );
    assert_eq!(
        (push(false, MOST_BYTES), push(true, 10), push(false, 10)),
        (Pushed::Waits, Pushed::Dropped, Pushed::Dropped)
    );
    let mut written = Vec::new();
    pending.hand_over(&mut written);
    assert!(written.len() == 50 + MOST_BYTES && pending.lines.is_empty() && !pending.is_urgent);
    let mut push = |bytes| pending.push(false, |lines| lines.resize(lines.len() + bytes, b'x'));
    assert_eq!((push(10), push(10), push(MANY_BYTES)), (Pushed::News, Pushed::Waits, Pushed::News));
}

#[test]
fn a_panic_is_a_line_of_the_log_also_under_its_own_lock() {
    let lines = || String::from_utf8(lock(&PENDING).lines.clone()).unwrap();
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(tell_of_panic));
    let panicked =
        std::panic::catch_unwind(|| panic!("as the \"test\" wants it: {}", "x".repeat(10_000)));
    let under_lock = std::panic::catch_unwind(|| append(false, |_| panic!("under the lock")));
    std::panic::set_hook(usual);
    assert!(panicked.is_err() && under_lock.is_err());
    let lines = lines();
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
