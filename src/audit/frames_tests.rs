use super::*;
use proptest::prelude::*;

/// Gives a few bytes at a time.
struct Drops<'a>(&'a [u8], usize);

impl Read for Drops<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.1.min(self.0.len()).min(buffer.len());
        buffer[..bytes].copy_from_slice(&self.0[..bytes]);
        self.0 = &self.0[bytes..];
        Ok(bytes)
    }
}

/// `2 {"a":1}` for a record on line 2, `3 not a JSON object` for what is malformed.
fn split(text: &[u8], drop: usize) -> Vec<String> {
    let mut frames = Frames::new(Drops(text, drop));
    let mut found = Vec::new();
    while let Some(frame) = frames.next_frame().unwrap() {
        found.push(match frame {
            Frame::Record { line, json } => format!("{line} {}", String::from_utf8_lossy(json)),
            Frame::Malformed { line, problem } => format!("{line} {problem}"),
        });
    }
    found
}

#[test]
fn every_form_of_a_log_has_the_same_records() {
    for (text, expected) in [
        ("", vec![]),
        ("\n \r\n", vec![]),
        ("{\"a\":1}\n{\"b\":2}", vec!["1 {\"a\":1}", "2 {\"b\":2}"]),
        ("{\"a\":1}\r\n\r\n{\"b\":2}\r\n", vec!["1 {\"a\":1}", "3 {\"b\":2}"]),
        ("\u{feff}[{\"a\":1},{\"b\":2}]", vec!["1 {\"a\":1}", "1 {\"b\":2}"]),
        (
            "[\n  {\n    \"a\": {\"x\": []}\n  },\n  {\"b\":2}\n]\n",
            vec!["2 {\n    \"a\": {\"x\": []}\n  }", "5 {\"b\":2}"],
        ),
        ("{\"records\":[{\"a\":1},{\"b\":2}]}", vec!["1 {\"a\":1}", "1 {\"b\":2}"]),
        (
            "{ \"records\" :\n[\n{\"a\":1}\n,{\"b\":2}]}\n{\"records\":[{\"c\":3}]}\n{\"d\":4}",
            vec!["3 {\"a\":1}", "4 {\"b\":2}", "5 {\"c\":3}", "6 {\"d\":4}"],
        ),
        ("{\"records\":[]}", vec![]),
        ("{\"a\":\"}]\\\"{\\\\\"}", vec!["1 {\"a\":\"}]\\\"{\\\\\"}"]),
    ] {
        for drop in [1, 2, 7, 1 << 20] {
            assert_eq!(split(text.as_bytes(), drop), expected, "{text} {drop}");
        }
    }
}

#[test]
fn what_is_broken_takes_no_other_record_with_it() {
    for (text, expected) in [
        ("x\n{\"a\":1}", vec!["1 not a JSON object", "2 {\"a\":1}"]),
        ("}\n{\"a\":1}", vec!["1 not a JSON object", "2 {\"a\":1}"]),
        ("{\"a\":{\n{\"b\":2}\n", vec!["1 the record has no end", "2 {\"b\":2}"]),
        (
            "{\"a\":\nx\n{\"b\":2}",
            vec!["1 the record has no end", "2 not a JSON object", "3 {\"b\":2}"],
        ),
        ("{\"a\":\n\n{\"b\":2}", vec!["1 the record has no end", "3 {\"b\":2}"]),
        ("{\"a\":\"x\n{\"b\":2}\n", vec!["1 a line ends within a string", "2 {\"b\":2}"]),
        ("{\"a\":1}\n{\"b\":", vec!["1 {\"a\":1}", "2 the record has no end"]),
        (
            "{\"a\":1} trailing\n{\"b\":2}",
            vec!["1 {\"a\":1}", "1 not a JSON object", "2 {\"b\":2}"],
        ),
        ("\u{1b}[31m{\"a\":1}\n{\"b\":2}", vec!["1 not a JSON object", "2 {\"b\":2}"]),
    ] {
        for drop in [1, 3, 1 << 20] {
            assert_eq!(split(text.as_bytes(), drop), expected, "{text} {drop}");
        }
    }
}

#[test]
fn a_record_without_end_takes_a_bounded_memory() {
    let long = [b"{\"a\":\"", &vec![b'x'; 8 << 20][..], b"\"}\n{\"b\":2}\n"].concat();
    let mut frames = Frames::new(&long[..]);
    let problem = "the record is longer than 1 MiB";
    assert_eq!(frames.next_frame().unwrap(), Some(Frame::Malformed { line: 1, problem }));
    assert_eq!(frames.next_frame().unwrap(), Some(Frame::Record { line: 2, json: b"{\"b\":2}" }));
    assert_eq!(frames.next_frame().unwrap(), None);
    assert!(frames.buffer.capacity() < 4 << 20, "{}", frames.buffer.capacity());
}

proptest! {
    #[test]
    fn no_input_hangs_or_panics_and_lines_are_counted(text in "[{}\\[\\]\",:\\\\a\n ]{0,60}") {
        let found = split(text.as_bytes(), 3);
        prop_assert!(found.len() <= text.len());
        let lines = text.lines().count().max(1);
        for one in &found {
            let line: usize = one.split(' ').next().unwrap().parse().unwrap();
            prop_assert!((1..=lines).contains(&line), "{one}");
        }
        // A good record behind a line break is always found.
        let more = format!("{text}\n{{\"good\":1}}\n");
        prop_assert!(
            split(more.as_bytes(), 3).iter().any(|one| one.ends_with(" {\"good\":1}")), "{more:?}"
        );
    }
}
