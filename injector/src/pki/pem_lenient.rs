//! PEM for the parts of a certificate, also with a byte-order mark, indented, or on one line. A
//! block that begins and cannot be read is an error that names it: passing over it would put
//! another certificate in its place.

use super::pem;
use std::fmt;
use zeroize::Zeroizing;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// A block.
pub(crate) struct Block<'a> {
    pub(crate) at: Place<'a>,
    /// Old encryption, which the headers tell.
    pub(crate) encrypted: bool,
    /// Empty for PGP, whose armour is another one.
    pub(crate) der: Zeroizing<Vec<u8>>,
}

/// Which block.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) label: &'a str,
    /// From 1.
    number: usize,
    /// Of its BEGIN, from 1.
    line: usize,
}

/// A block that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    place: String,
    problem: &'static str,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.place, self.problem)
    }
}

/// `PEM block 2 (CERTIFICATE, line 20)`
impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let label: String =
            self.label.chars().filter(|letter| !letter.is_control()).take(40).collect();
        write!(f, "PEM block {} ({label}, line {})", self.number, self.line)
    }
}

impl Place<'_> {
    pub(crate) fn is(&self, problem: &'static str) -> Unreadable {
        Unreadable { place: self.to_string(), problem }
    }
}

impl Block<'_> {
    pub(crate) fn is_certificate(&self) -> bool {
        matches!(self.at.label, "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE")
    }
}

/// Whether a text holds PEM at all.
pub(crate) fn is_pem(text: &str) -> bool {
    text.contains(BEGIN)
}

/// All blocks in their order, in one pass over the text.
pub(crate) fn blocks(text: &str) -> Result<Vec<Block<'_>>, Unreadable> {
    let mut blocks = Vec::new();
    let (mut rest, mut line) = (text, 1);
    while let Some((before, after)) = rest.split_once(BEGIN) {
        line += before.matches('\n').count();
        let first = after.split(['\n', '\r']).next().unwrap_or_default();
        let label = first.split(DASHES).next().unwrap_or_default();
        let at = Place { label, number: blocks.len() + 1, line };
        let inner = after[label.len()..]
            .strip_prefix(DASHES)
            .ok_or_else(|| at.is("has no dashes behind its label"))?;
        let (inner, end) = inner.split_once(END).ok_or_else(|| at.is("has no END line"))?;
        if inner.contains(BEGIN) {
            return Err(at.is("has no END line before the next block"));
        }
        let behind = end.strip_prefix(label).and_then(|end| end.strip_prefix(DASHES));
        let behind = behind.ok_or_else(|| at.is("ends with an END line of another label"))?;
        blocks.push(block(at, inner)?);
        line += rest[before.len()..rest.len() - behind.len()].matches('\n').count();
        rest = behind;
    }
    Ok(blocks)
}

fn block<'a>(at: Place<'a>, inner: &str) -> Result<Block<'a>, Unreadable> {
    if at.label.starts_with("PGP ") {
        return Ok(Block { at, encrypted: at.label == "PGP MESSAGE", der: Zeroizing::default() });
    }
    let (mut encrypted, mut body) = (false, inner.trim_start());
    while let Some((header, after)) = body.split_once('\n')
        && let Some((name, value)) = header.split_once(':')
    {
        encrypted |= name.trim() == "Proc-Type" && value.contains("ENCRYPTED");
        body = after;
    }
    let der = pem::decoded(body).ok_or_else(|| {
        let written = body.contains("\\n") || body.contains("\\r");
        at.is(if written {
            "has its line breaks written as \\n"
        } else {
            "is not base64 with padding"
        })
    })?;
    if der.is_empty() {
        return Err(at.is("is empty"));
    }
    Ok(Block { at, encrypted, der })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(text: &str) -> Result<Vec<(&str, Vec<u8>)>, String> {
        let blocks = blocks(text).map_err(|error| error.to_string())?;
        Ok(blocks.into_iter().map(|block| (block.at.label, block.der.to_vec())).collect())
    }

    #[test]
    fn what_stands_around_a_block_is_not_part_of_it() {
        let (a, b) = (("A", vec![0, 1, 2]), ("B C", vec![3]));
        for text in [
            "-----BEGIN A-----\nAAEC\n-----END A-----\n-----BEGIN B C-----\nAw==\n-----END B \
             C-----\n",
            "\u{feff}-----BEGIN A-----\r\nAAEC\r\n-----END A-----\r\n\u{feff}-----BEGIN B \
             C-----\r\nAw==\r\n-----END B C-----",
            "  -----BEGIN A-----\n  AAEC\n  -----END A-----\n\t-----BEGIN B \
             C-----\n\tAw==\n\t-----END B C-----\n",
            "-----BEGIN A----- AAEC -----END A----- -----BEGIN B C-----Aw==-----END B C-----",
            "subject=x -----BEGIN A-----\nAA\nEC\n-----END A----- y\nz: 1\n-----BEGIN B \
             C-----\nx: 1\n\nAw==\n-----END B C-----",
        ] {
            assert_eq!(found(text), Ok(vec![a.clone(), b.clone()]), "{text:?}");
        }
        assert_eq!(found("no PEM"), Ok(Vec::new()));
    }

    #[test]
    fn a_block_that_cannot_be_read_is_named() {
        let good = "-----BEGIN A-----\nAAEC\n-----END A-----\n";
        for (bad, expected) in [
            ("-----BEGIN B\nAAEC\n-----END B-----\n", "has no dashes behind its label"),
            ("-----BEGIN B-----\nAAEC\n", "has no END line"),
            (
                "-----BEGIN B-----\nAAEC\n-----BEGIN A-----\nAAEC\n-----END A-----\n",
                "has no END line before the next block",
            ),
            (
                "-----BEGIN B-----\nAAEC\n-----END A-----\n",
                "ends with an END line of another label",
            ),
            ("-----BEGIN B-----\nAA!C\n-----END B-----\n", "is not base64 with padding"),
            ("-----BEGIN B-----\nAAE\n-----END B-----\n", "is not base64 with padding"),
            ("-----BEGIN B-----\\nAAEC\\n-----END B-----\n", "has its line breaks written as \\n"),
            ("-----BEGIN B-----\n-----END B-----\n", "is empty"),
        ] {
            assert_eq!(
                found(&format!("{good}\n{bad}")).unwrap_err(),
                format!("PEM block 2 (B, line 5) {expected}")
            );
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_fail(text in "(\n?-----BEGIN |\n-----END \
            |A|-----|\r?\n|AAEC|:|=|ß| ){0,60}") {
            let _ = found(&text);
        }

        #[test]
        fn what_the_strict_reader_finds_between_whole_blocks_is_found_too(
            blobs in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..150), 0..4),
        ) {
            let mut text = pem::buffer(1000, 4);
            for der in &blobs {
                pem::append(&mut text, pem::PRIVATE_KEY, der);
            }
            let found = found(&text).unwrap();
            prop_assert_eq!(found.into_iter().map(|(_, der)| der).collect::<Vec<_>>(), blobs);
        }
    }
}
