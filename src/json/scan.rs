//! Finding the end of a string: the one loop that sees every byte.

const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
const HIGHS: u64 = u64::from_ne_bytes([0x80; 8]);
const QUOTES: u64 = u64::from_ne_bytes([b'"'; 8]);
const BACKSLASHES: u64 = u64::from_ne_bytes([b'\\'; 8]);
const BLANKS: u64 = u64::from_ne_bytes([b' '; 8]);
const BLOCK: usize = 32;

/// Index of the first quote, backslash or control character at or after `at`; `bytes.len()` if there is none.
///
/// Most strings of a pod are shorter than 16 bytes: two words first, then blocks that the compiler turns into vector code.
#[inline]
pub(super) fn special(bytes: &[u8], mut at: usize) -> usize {
    for _ in 0..3 {
        let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk) else { return tail(bytes, at) };
        let marks = marks(u64::from_le_bytes(*word));
        if marks != 0 {
            return at + marks.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    long(bytes, at)
}

/// High bits of the bytes of interest; those above the lowest one may be wrong (a borrow runs upwards).
#[inline]
fn marks(word: u64) -> u64 {
    let zero_in = |word: u64| word.wrapping_sub(ONES) & !word;
    (zero_in(word ^ QUOTES) | zero_in(word ^ BACKSLASHES) | (word.wrapping_sub(BLANKS) & !word)) & HIGHS
}

#[inline(never)]
fn long(bytes: &[u8], mut at: usize) -> usize {
    while let Some(block) = bytes.get(at..).and_then(<[u8]>::first_chunk::<BLOCK>) {
        let found = block.iter().fold(0, |found, byte| found | u8::from(is_special(*byte)));
        if found != 0 {
            break;
        }
        at += BLOCK;
    }
    while let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let marks = marks(u64::from_le_bytes(*word));
        if marks != 0 {
            return at + marks.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    tail(bytes, at)
}

#[cold]
fn tail(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    rest.iter().position(|byte| is_special(*byte)).map_or(bytes.len(), |position| at + position)
}

#[inline]
fn is_special(byte: u8) -> bool {
    byte < b' ' || byte == b'"' || byte == b'\\'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_special_byte_is_found_at_every_distance_and_after_every_byte() {
        for length in 0..100 {
            for special_byte in [b'"', b'\\', 0, 0x1f, b'\n'] {
                for filler in [b' ', b'!', b'#', b'[', b']', 0x7f, 0x80, 0xa2, 0xdc, 0xff] {
                    let mut bytes = vec![filler; length];
                    assert_eq!(special(&bytes, 0), length);
                    bytes.push(special_byte);
                    bytes.extend([filler; 70]);
                    assert_eq!(special(&bytes, 0), length, "{special_byte} after {length} x {filler}");
                }
            }
        }
    }
}
