//! Whether a parameter has more than the one YAML document that is read of it.

use crate::yaml;
use granit_parser::Event;

/// The line, from 1, at which a second document has something. A text that cannot be read has none.
pub(super) fn second(text: &str) -> Option<usize> {
    let (mut documents, mut found) = (0, None);
    let read = yaml::events(text, |event, line| {
        match event {
            Event::StreamStart => documents = 0,
            Event::DocumentStart(..) => documents += 1,
            // The parser's word for nothing at all.
            Event::Scalar(ref text, ..) if ["", "~"].contains(&&**text) => {}
            Event::DocumentEnd | Event::StreamEnd => {}
            _ if documents > 1 => found = Some(line),
            _ => {}
        }
        found.is_some()
    });
    read.ok().and(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_document_is_found_where_it_has_something() {
        for (text, expected) in [
            ("", None),
            ("---\na: b\n", None),
            ("a: b\n---\n", None),
            ("a: b\n...\n# c\n", None),
            ("a: b\n---\n- c\n", Some(3)),
            ("---\n- a\n---\nb\n", Some(4)),
            ("a: |\n  ---\n  b\n", None),
            ("a: [", None),
        ] {
            assert_eq!(second(text), expected, "{text:?}");
        }
    }
}
