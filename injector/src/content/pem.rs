//! PEM: blocks within text that may hold anything else, and blocks of 64 columns.

use base64::Engine;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

pub(super) const CERTIFICATE: &str = "CERTIFICATE";
pub(super) const PRIVATE_KEY: &str = "PRIVATE KEY";

/// A block. `headers` are the lines `Name: value` of old encrypted keys.
pub(super) struct Block<'a> {
    pub(super) label: &'a str,
    headers: Vec<&'a str>,
    pub(super) der: Zeroizing<Vec<u8>>,
}

impl Block<'_> {
    pub(super) fn is_certificate(&self) -> bool {
        self.label == CERTIFICATE
    }

    /// Anew, in 64 columns.
    pub(super) fn write(&self, text: &mut Zeroizing<String>) {
        write(text, self.label, &self.headers, &self.der);
    }
}

/// All blocks of a text in their order; what is no whole block is passed over.
pub(super) fn blocks(text: &str) -> Vec<Block<'_>> {
    const BEGIN: &str = "-----BEGIN ";
    const END: &str = "-----END ";
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(BEGIN) {
        let at_line_start = at == 0 || rest.as_bytes()[at - 1] == b'\n';
        rest = &rest[at + BEGIN.len()..];
        let Some((label, body)) = rest.split_once("-----").filter(|(label, _)| !label.contains(['\n', '\r'])) else {
            continue;
        };
        let Some((inner, after)) = body.split_once(END).filter(|_| at_line_start) else { continue };
        if !after.strip_prefix(label).is_some_and(|after| after.starts_with("-----")) {
            continue;
        }
        let Some(block) = block(label, inner) else { continue };
        blocks.push(block);
        rest = after;
    }
    blocks
}

fn block<'a>(label: &'a str, inner: &'a str) -> Option<Block<'a>> {
    let mut headers = Vec::new();
    let mut data = Zeroizing::new(Vec::with_capacity(inner.len()));
    for line in inner.lines() {
        if line.contains(':') && data.is_empty() {
            headers.push(line.trim());
        } else {
            data.extend(line.bytes().filter(|byte| !byte.is_ascii_whitespace()));
        }
    }
    let mut der = Zeroizing::new(vec![0; base64::decoded_len_estimate(data.len())]);
    let length = LENIENT.decode_slice(&*data, &mut der).ok()?;
    der.truncate(length);
    Some(Block { label, headers, der })
}

/// A text that holds this many bytes of DER in this many blocks without growing.
pub(super) fn buffer(der_bytes: usize, blocks: usize) -> Zeroizing<String> {
    Zeroizing::new(String::with_capacity(der_bytes * 3 / 2 + blocks * 128 + 64))
}

/// Appends `-----BEGIN LABEL-----` with 64 columns and a newline at the end.
pub(super) fn append(text: &mut Zeroizing<String>, label: &str, der: &[u8]) {
    write(text, label, &[], der);
}

fn write(text: &mut Zeroizing<String>, label: &str, headers: &[&str], der: &[u8]) {
    text.extend(["-----BEGIN ", label, "-----\n"]);
    for header in headers {
        text.extend([header, "\n"]);
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
        let text = "Bag Attributes\n    friendlyName: x\nsubject=CN = x\n-----BEGIN A-----\r\nAAEC\r\nAwQ=\r\n-----END A-----\r\n\
                    -----BEGIN B KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: x\n\nBQY=\n-----END B KEY-----";
        let found = blocks(text);
        assert_eq!(
            found.iter().map(|block| (block.label, block.der.as_slice())).collect::<Vec<_>>(),
            [("A", &[0, 1, 2, 3, 4][..]), ("B KEY", &[5, 6])]
        );
        assert_eq!(
            written(&found),
            "-----BEGIN A-----\nAAECAwQ=\n-----END A-----\n\
             -----BEGIN B KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: x\n\nBQY=\n-----END B KEY-----\n"
        );
    }

    #[test]
    fn what_is_no_whole_block_is_passed_over() {
        for (text, count) in [
            ("-----BEGIN A-----\nAAEC\n", 0),
            ("-----BEGIN A-----\nAAEC\n-----END B-----\n", 0),
            ("-----BEGIN A-----\nA\n-----END A-----\n", 0),
            ("-----BEGIN A\n-----BEGIN B-----\nAAEC\n-----END B-----\n", 1),
            ("x -----BEGIN A-----\nAAEC\n-----END A-----\n", 0),
            ("-----BEGIN A-----\n!\n-----END A-----\n-----BEGIN A-----\n\n-----END A-----\n", 1),
            ("", 0),
        ] {
            assert_eq!(blocks(text).len(), count, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_found_again(blobs in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..150), 0..4)) {
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
        fn no_text_makes_the_parser_fail(text in "(-----BEGIN |-----END |A|-----|\n|AAEC|:|=){0,30}") {
            blocks(&text);
        }
    }
}
