//! PEM: blocks within text that may hold anything else, and blocks of 64 columns.

use base64::Engine;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

pub(crate) const CERTIFICATE: &str = "CERTIFICATE";
pub(crate) const PRIVATE_KEY: &str = "PRIVATE KEY";

const BEGIN: &str = "-----BEGIN ";
const END: &str = "\n-----END ";
const DASHES: &str = "-----";

/// A block. `headers` are the lines `Name: value` of old encrypted keys, by name.
pub(crate) struct Block<'a> {
    pub(crate) label: &'a str,
    headers: BTreeMap<&'a str, &'a str>,
    pub(crate) der: Zeroizing<Vec<u8>>,
}

impl Block<'_> {
    pub(crate) fn is_certificate(&self) -> bool {
        self.label == CERTIFICATE
    }

    /// Anew, in 64 columns.
    pub(crate) fn write(&self, text: &mut Zeroizing<String>) {
        write(text, self.label, &self.headers, &self.der);
    }
}

/// All blocks of a text in their order, exactly those that Go's `pem.Decode` finds: the Azure
/// provider splits with it.
pub(crate) fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((block, after)) = next(rest) {
        blocks.push(block);
        rest = after;
    }
    blocks
}

/// The first block, and what follows it. Go's rule: find an END line, then the last BEGIN before
/// it; what lies between two END lines is looked at once.
fn next(text: &str) -> Option<(Block<'_>, &str)> {
    let mut from = 0;
    loop {
        let end = from + text.get(from..)?.find(END)?;
        let trailer = end + END.len();
        looked(trailer - from);
        match block(text, from, end) {
            Parsed::Block(block) => return Some((block, line(&text[trailer..]).1)),
            // Headers that reach over their END line end everything, in Go too.
            Parsed::Over(read) if read > trailer => return None,
            Parsed::None | Parsed::Over(_) => from = trailer,
        }
    }
}

enum Parsed<'a> {
    Block(Block<'a>),
    None,
    /// Headers up to here.
    Over(usize),
}

/// The block whose END line follows the newline at `end`.
fn block(text: &str, from: usize, end: usize) -> Parsed<'_> {
    looked(end - from);
    let Some(begin) = text[from..end].rfind(BEGIN).map(|at| from + at) else { return Parsed::None };
    if begin > from && text.as_bytes()[begin - 1] != b'\n' {
        return Parsed::None;
    }
    let begin = begin + BEGIN.len();
    let (first, mut rest) = line(&text[begin..]);
    let Some(label) = first.strip_suffix(DASHES) else { return Parsed::None };
    let mut headers = BTreeMap::new();
    while let (header, after) = line(rest)
        && let Some((name, value)) = header.split_once(':')
    {
        headers.insert(name.trim(), value.trim());
        rest = after;
    }
    let start = text.len() - rest.len();
    if !headers.is_empty() && end < start {
        return Parsed::Over(start);
    }
    let trailer =
        text[end + END.len()..].strip_prefix(label).and_then(|after| after.strip_prefix(DASHES));
    if !trailer.is_some_and(|after| line(after).0.is_empty()) {
        return Parsed::None;
    }
    let inner = text.get(start..end).unwrap_or_default();
    decoded(inner).map_or(Parsed::None, |der| Parsed::Block(Block { label, headers, der }))
}

/// The first line without its end and the blanks before it, and what follows.
fn line(text: &str) -> (&str, &str) {
    let (first, rest) = match text.split_once('\n') {
        Some((first, rest)) => (first.strip_suffix('\r').unwrap_or(first), rest),
        None => (text, ""),
    };
    looked(text.len() - rest.len());
    (first.trim_end_matches([' ', '\t']), rest)
}

pub(crate) fn decoded(inner: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut data = Zeroizing::new(Vec::with_capacity(inner.len()));
    data.extend(inner.bytes().filter(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n')));
    let mut der = Zeroizing::new(vec![0; base64::decoded_len_estimate(data.len())]);
    let length = LENIENT.decode_slice(&*data, &mut der).ok()?;
    der.truncate(length);
    Some(der)
}

#[cfg(not(test))]
fn looked(_bytes: usize) {}

#[cfg(test)]
use tests::looked;

/// A text that holds this many bytes of DER in this many blocks without growing.
pub(crate) fn buffer(der_bytes: usize, blocks: usize) -> Zeroizing<String> {
    Zeroizing::new(String::with_capacity(der_bytes * 3 / 2 + blocks * 128 + 64))
}

/// Appends `-----BEGIN LABEL-----` with 64 columns and a newline at the end.
pub(crate) fn append(text: &mut Zeroizing<String>, label: &str, der: &[u8]) {
    write(text, label, &BTreeMap::new(), der);
}

fn write(text: &mut Zeroizing<String>, label: &str, headers: &BTreeMap<&str, &str>, der: &[u8]) {
    text.extend([BEGIN, label, "-----\n"]);
    // RFC 1421: the type of processing comes first.
    let processing = headers.get_key_value("Proc-Type");
    for (name, value) in
        processing.into_iter().chain(headers.iter().filter(|(name, _)| **name != "Proc-Type"))
    {
        text.extend([*name, ": ", *value, "\n"]);
    }
    if !headers.is_empty() {
        text.push('\n');
    }
    let mut line = Zeroizing::new([0_u8; 64]);
    for chunk in der.chunks(48) {
        // 48 bytes are 64 letters: the slice always fits.
        let letters = STANDARD.encode_slice(chunk, &mut *line).unwrap_or_default();
        text.push_str(std::str::from_utf8(&line[..letters]).unwrap_or_default());
        text.push('\n');
    }
    text.extend(["-----END ", label, "-----\n"]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(blocks: &[Block<'_>]) -> String {
        let mut text = buffer(0, 0);
        for block in blocks {
            block.write(&mut text);
        }
        text.to_string()
    }

    #[test]
    fn pem_has_64_columns() {
        let mut pem = buffer(100, 1);
        append(&mut pem, "X", &[0; 100]);
        let lines: Vec<_> = pem.lines().map(str::len).collect();
        assert_eq!(lines, [17, 64, 64, 8, 15]);
        assert!(pem.ends_with("-----END X-----\n"));
    }

    #[test]
    fn blocks_are_found_between_other_text_and_written_anew() {
        let text = "Bag Attributes\n    friendlyName: x\nsubject=CN = x\n-----BEGIN \
            A-----\r\nAAEC\r\nAwQ=\r\n-----END A-----\r\n\
                    -----BEGIN B KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: x\n\nBQY=\n-----END \
                    B KEY-----";
        let found = blocks(text);
        assert_eq!(
            found.iter().map(|block| (block.label, block.der.as_slice())).collect::<Vec<_>>(),
            [("A", &[0, 1, 2, 3, 4][..]), ("B KEY", &[5, 6])]
        );
        assert_eq!(
            written(&found),
            "-----BEGIN A-----\nAAECAwQ=\n-----END A-----\n\
             -----BEGIN B KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: x\n\nBQY=\n-----END B \
             KEY-----\n"
        );
    }

    /// Each line was put to Go's `pem.Decode`.
    #[test]
    fn what_is_no_whole_block_is_passed_over() {
        for (text, count) in [
            ("-----BEGIN A-----\nAAEC\n", 0),
            ("-----BEGIN A-----\nAAEC\n-----END B-----\n", 0),
            ("-----BEGIN A-----\nA\n-----END A-----\n", 0),
            ("-----BEGIN A\n-----BEGIN B-----\nAAEC\n-----END B-----\n", 1),
            ("-----BEGIN A-----\n-----BEGIN B-----\nAAEC\n-----END B-----\n-----END A-----\n", 1),
            ("x -----BEGIN A-----\nAAEC\n-----END A-----\n", 0),
            ("-----BEGIN A-----\n!\n-----END A-----\n-----BEGIN A-----\n\n-----END A-----\n", 1),
            ("-----BEGIN A-----\n-----END A-----", 1),
            ("-----BEGIN A-----AAEC-----END A-----", 0),
            ("-----BEGIN A----- AAEC -----END A-----\n", 0),
            ("-----BEGIN A-----\nAAEC-----END A-----\n", 0),
            ("-----BEGIN A-----\nAAEC\n -----END A-----\n", 0),
            ("-----BEGIN A-----\nAAEC\n-----END A----- x\n", 0),
            ("-----BEGIN A----- \t\r\nAA\t EC\n-----END A----- \t\r\n", 1),
            ("-----BEGIN A-----\nAA\u{c}EC\n-----END A-----\n", 0),
            ("-----BEGIN A-----\nAA:\n-----END A-----\n", 0),
            (
                "-----BEGIN A-----\na:\n-----END A:-----\n-----BEGIN A-----\nAAEC\n-----END \
                 A-----\n",
                0,
            ),
            ("\n-----END -----BEGIN A-----\nAAEC\n-----END A-----\n", 1),
            ("-----BEGIN -----\nAAEC\n-----END -----\n", 1),
            ("", 0),
        ] {
            assert_eq!(blocks(text).len(), count, "{text:?}");
        }
    }

    thread_local! {
        static LOOKED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
    }

    pub(crate) fn looked(bytes: usize) {
        LOOKED.set(LOOKED.get() + bytes);
    }

    /// Bytes that were looked at, for each byte of the text.
    fn effort(text: &str) -> usize {
        LOOKED.set(0);
        blocks(text);
        LOOKED.get().div_ceil(text.len().max(1))
    }

    #[test]
    fn hostile_texts_are_read_in_linear_time() {
        let whole = "-----BEGIN A-----\nAAEC\n-----END A-----\n";
        for part in [
            "-----BEGIN A-----\n",
            "-----BEGIN A-----\nAAEC\n",
            "-----BEGIN ",
            "\n-----END ",
            "\n-----END A-----\n",
            "-----BEGIN A-----\na: b\n",
            "-----BEGIN A-----\nAAEC\n-----END B-----\n",
            "-----BEGIN A-----\na: b\n-----END B: x-----\n",
            "a: b\n",
            whole,
        ] {
            for (before, after) in
                [("", ""), ("", whole), ("-----BEGIN A-----\n", ""), ("-----BEGIN A-----\n", whole)]
            {
                let text = format!("{before}{}{after}", part.repeat(1000));
                assert!(effort(&text) <= 6, "{part:?} {before:?} {after:?}: {}", effort(&text));
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_found_again(
            blobs in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..150), 0..4),
        ) {
            let mut text = buffer(blobs.iter().map(Vec::len).sum(), blobs.len());
            let capacity = text.capacity();
            for der in &blobs {
                append(&mut text, PRIVATE_KEY, der);
            }
            prop_assert_eq!(text.capacity(), capacity, "a buffer that grows leaves copies behind");
            let found: Vec<_> = blocks(&text).into_iter().map(|block| block.der.to_vec()).collect();
            prop_assert_eq!(found, blobs);
        }

        #[test]
        fn no_text_makes_the_parser_fail_or_look_twice(text in "(\n?-----BEGIN |\n-----END \
            |A|-----|\r?\n|AAEC|:|=|ß| ){0,60}") {
            prop_assert!(effort(&text) <= 8);
        }
    }
}
