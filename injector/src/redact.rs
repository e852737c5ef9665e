//! Cuts tokens from what is logged, reported and shown: an endpoint that a token was sent to knows
//! it, and may say it back in its errors, whole or in pieces; those who read the errors do not know
//! it.
//!
//! Only letters, digits, `-` and `_` are compared, without case: a piece is found however it is
//! interrupted or framed.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use zeroize::Zeroizing;

/// So many characters in a row are a piece of a token, not a chance.
const PIECE: usize = 16;
/// Every piece holds an anchor: so many letters from a multiple of so many in the token.
const ANCHOR: usize = 8;
/// What is held at once of the tokens that were in hand last, in characters.
const MAX_CHARACTERS_HELD: usize = 64 * 1024;
/// No more of a text of somebody else's is read.
const MAX_READ: usize = 4096;
const MAX_SHOWN: usize = 300;
const MARK: &str = "[token]";

type Tokens = VecDeque<Zeroizing<Vec<u8>>>;

static TOKENS: Mutex<Tokens> = Mutex::new(VecDeque::new());

/// From now on pieces of this token are cut. Those that came before stay known, as far as there is
/// room.
pub(crate) fn hold(token: &str) {
    let mut letters = Zeroizing::new(Vec::with_capacity(token.len()));
    letters.extend(token.bytes().filter_map(letter));
    letters.truncate(MAX_CHARACTERS_HELD);
    if letters.len() < PIECE {
        return;
    }
    let mut tokens = tokens();
    tokens.retain(|known| *known != letters);
    tokens.push_back(letters);
    while tokens.iter().map(|known| known.len()).sum::<usize>() > MAX_CHARACTERS_HELD {
        tokens.pop_front();
    }
}

fn tokens() -> MutexGuard<'static, Tokens> {
    TOKENS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The text without pieces of tokens in hand.
pub(crate) fn redact(text: &str) -> Cow<'_, str> {
    redact_from(text, &tokens())
}

/// One line, at most 300 characters, without trace ids, control characters (a terminal obeys them),
/// what looks like a token, and pieces of those in hand.
pub(crate) fn short(text: &str) -> String {
    let end = [" Trace ID:", "\r", "\n"]
        .iter()
        .filter_map(|mark| text.find(mark))
        .min()
        .unwrap_or(text.len());
    let end = (0..=end.min(MAX_READ)).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    let mut line = String::new();
    for word in text[..end].split_whitespace() {
        line.push_str(if line.is_empty() { "" } else { " " });
        if word.contains("eyJ") {
            line.push_str(MARK);
        } else {
            line.extend(word.chars().filter(|letter| !letter.is_control()));
        }
    }
    let mut line = redact(&line).into_owned();
    if let Some((at, _)) = line.char_indices().nth(MAX_SHOWN) {
        line.truncate(at);
        line.push('…');
    }
    line
}

/// A character that is compared.
fn letter(byte: u8) -> Option<u8> {
    (byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        .then(|| byte.to_ascii_lowercase())
}

fn redact_from<'a>(text: &'a str, tokens: &Tokens) -> Cow<'a, str> {
    if tokens.is_empty() || text.len() < PIECE {
        return Cow::Borrowed(text);
    }
    // Letters and where they are.
    let (mut letters, mut places) = (Zeroizing::new(Vec::with_capacity(text.len())), Vec::new());
    for (place, byte) in text.bytes().enumerate() {
        if let Some(letter) = letter(byte) {
            letters.push(letter);
            places.push(place);
        }
    }
    let mut cuts: Vec<(usize, usize)> = Vec::new();
    for token in tokens {
        find(&letters, token, |from, to| cuts.push((places[from], places[to - 1] + 1)));
    }
    if cuts.is_empty() {
        return Cow::Borrowed(text);
    }
    cuts.sort_unstable();
    let (mut clean, mut end) = (String::new(), 0);
    for (from, to) in cuts {
        if from >= end {
            clean.push_str(&text[end..from]);
            clean.push_str(MARK);
        }
        end = end.max(to);
    }
    clean.push_str(&text[end..]);
    Cow::Owned(clean)
}

/// Calls `found` for each place of the text where a piece of the token is. Linear, whatever both
/// hold.
fn find(text: &[u8], token: &[u8], mut found: impl FnMut(usize, usize)) {
    let mut anchors: Zeroizing<Vec<u64>> =
        Zeroizing::new(token.as_chunks().0.iter().map(|&a| u64::from_ne_bytes(a)).collect());
    anchors.sort_unstable();
    let has_anchor = text.windows(ANCHOR).any(|window| {
        window.try_into().is_ok_and(|w| anchors.binary_search(&u64::from_ne_bytes(w)).is_ok())
    });
    if !has_anchor {
        return;
    }
    let mut pieces: Zeroizing<Vec<u128>> =
        Zeroizing::new(token.windows(PIECE).map(number).collect());
    pieces.sort_unstable();
    for (at, window) in text.windows(PIECE).enumerate() {
        if pieces.binary_search(&number(window)).is_ok() {
            found(at, at + PIECE);
        }
    }
}

fn number(window: &[u8]) -> u128 {
    window.try_into().map(u128::from_ne_bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TOKEN: &str =
        "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJzaG9wIiwiZXhwIjo5fQ.c2lnbmF0dXJlLW9mLXRoZS10b2tlbg";

    fn cut(text: &str) -> String {
        let letters = TOKEN.bytes().filter_map(letter).collect();
        redact_from(text, &VecDeque::from([Zeroizing::new(letters)])).into_owned()
    }

    #[test]
    fn pieces_of_a_token_are_cut_and_the_text_around_them_stays() {
        let (middle, shouted) = (&TOKEN[30..60], TOKEN.to_uppercase());
        let spaced: String = TOKEN.chars().flat_map(|letter| [letter, ' ']).collect();
        for (text, expected) in [
            (TOKEN.to_owned(), "[token]"),
            (format!("denied {middle} for you"), "denied [token] for you"),
            (format!("a=\"{}\"", &TOKEN[3..19]), "a=\"[token]\""),
            (format!("{middle}{middle}"), "[token][token]"),
            (shouted, "[token]"),
            (spaced.trim_end().to_owned(), "[token]"),
            (TOKEN.replace('.', "%2E"), "[token]%2E[token]%2E[token]"),
            (
                TOKEN
                    .as_bytes()
                    .chunks(9)
                    .map(|part| String::from_utf8_lossy(part))
                    .collect::<Vec<_>>()
                    .join("\r\n "),
                "[token]",
            ),
            (format!("x{}", &TOKEN[3..16]), "xhbGciOiJSUzI1"),
            (
                "ü 403 Forbidden: the caller has no role on /secrets/db".to_owned(),
                "ü 403 Forbidden: the caller has no role on /secrets/db",
            ),
            (String::new(), ""),
        ] {
            assert_eq!(cut(&text), expected, "{text}");
        }
    }

    fn long_token(number: usize) -> String {
        format!("{number:0>9}{}", "canary-0-".repeat(2000))
    }

    #[test]
    fn what_is_held_is_bounded_and_the_newest_stay() {
        for number in 0..10 {
            hold(&long_token(number));
            hold(&long_token(number));
        }
        hold("too-short");
        assert!(tokens().iter().map(|known| known.len()).sum::<usize>() <= MAX_CHARACTERS_HELD);
        assert_eq!(short(&format!("denied\t{}", long_token(9))), "denied [token]");
        assert!(redact(&"y".repeat(10)).contains('y'));
    }

    #[test]
    fn a_text_becomes_a_short_line() {
        assert_eq!(short(&"ä".repeat(9000)).chars().count(), 301);
        assert_eq!(short("a\u{1b}[31m b\0\tc Trace ID: d"), "a[31m b c");
    }

    proptest! {
        #[test]
        fn sixteen_characters_never_stay(
            from in 0_usize..60,
            length in 16_usize..30,
            before in "\\PC{0,20}",
            after in "\\PC{0,20}",
        ) {
            let piece = &TOKEN[from..(from + length).min(TOKEN.len())];
            let clean: String = cut(&format!("{before}{piece}{after}"));
            let kept: Vec<u8> = clean.bytes().filter_map(letter).collect();
            let token: Vec<u8> = TOKEN.bytes().filter_map(letter).collect();
            // Dots are not compared: a piece with one has a letter less.
            let is_short = piece.bytes().filter_map(letter).count() < PIECE;
            let stays = kept
                .windows(PIECE)
                .any(|one| token.windows(PIECE).any(|other| one == other));
            prop_assert!(is_short || !stays, "{}", clean);
        }
    }
}
