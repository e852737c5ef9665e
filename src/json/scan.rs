//! Finding what matters among the bytes, 16 or 64 at a time.

use wide::u8x16;

/// What the letter of an escape of two bytes stands for; 0 for every other byte.
pub(super) const SHORT_ESCAPES: [u8; 256] = {
    let mut table = [0; 256];
    let pairs = [
        (b'"', b'"'),
        (b'\\', b'\\'),
        (b'/', b'/'),
        (b'b', 8),
        (b'f', 12),
        (b'n', b'\n'),
        (b'r', b'\r'),
        (b't', b'\t'),
    ];
    let mut index = 0;
    while index < pairs.len() {
        table[pairs[index].0 as usize] = pairs[index].1;
        index += 1;
    }
    table
};

/// The value of a hexadecimal digit; 16 for every other byte.
pub(super) const HEX_DIGITS: [u8; 256] = {
    let mut table = [16; 256];
    let mut digit = 0;
    while digit < 16 {
        table[b"0123456789abcdef"[digit as usize] as usize] = digit;
        table[b"0123456789ABCDEF"[digit as usize] as usize] = digit;
        digit += 1;
    }
    table
};

/// What the escape of two bytes at `at` stands for. A text may be nothing but such escapes: looking
/// for the next special byte anew would take longer than they do.
#[inline]
pub(super) fn short_escape(bytes: &[u8], at: usize) -> Option<u8> {
    let [b'\\', letter] = *bytes.get(at..)?.first_chunk()? else { return None };
    Some(SHORT_ESCAPES[usize::from(letter)]).filter(|plain| *plain != 0)
}

/// Index of the first quote, backslash or control character at or after `at`; `bytes.len()` if
/// there is none.
#[inline]
pub(super) fn special(bytes: &[u8], mut at: usize) -> usize {
    while let Some(block) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let marks = specials(*block);
        if marks != 0 {
            return at + marks.trailing_zeros() as usize;
        }
        at += block.len();
    }
    tail(bytes, at)
}

/// One bit for each special byte, the first lowest.
#[inline]
fn specials(bytes: [u8; 16]) -> u32 {
    let bytes = u8x16::new(bytes);
    let control = bytes.min(u8x16::splat(0x1f)).simd_eq(bytes);
    (control | bytes.simd_eq(u8x16::splat(b'"')) | bytes.simd_eq(u8x16::splat(b'\\'))).to_bitmask()
}

/// Where brackets open and close in 64 bytes, outside of strings; the first byte is the lowest bit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Brackets {
    pub(super) opening: u64,
    pub(super) closing: u64,
}

/// Finds brackets block by block, and knows where it is in a string meanwhile.
#[derive(Debug, Default)]
pub(super) struct BracketScanner {
    /// All ones if the last block ended inside a string.
    inside: u64,
    /// 1 if it ended with a backslash that escapes the next byte.
    escape: u64,
}

impl BracketScanner {
    #[inline]
    pub(super) fn next(&mut self, block: &[u8; 64]) -> Brackets {
        let (parts, _) = block.as_chunks::<16>();
        let (mut quotes, mut backslashes, mut opening, mut closing) = (0, 0, 0, 0);
        for (index, part) in parts.iter().enumerate() {
            let bytes = u8x16::new(*part);
            // `[` and `{` differ in one bit, as do `]` and `}`.
            let folded = bytes | u8x16::splat(0x20);
            let mask = |bytes: u8x16, byte: u8| {
                u64::from(bytes.simd_eq(u8x16::splat(byte)).to_bitmask()) << (16 * index)
            };
            quotes |= mask(bytes, b'"');
            backslashes |= mask(bytes, b'\\');
            opening |= mask(folded, b'{');
            closing |= mask(folded, b'}');
        }
        let quotes = quotes & !self.escaped(backslashes);
        let strings = prefix_xor(quotes) ^ self.inside;
        self.inside = 0_u64.wrapping_sub(strings >> 63);
        Brackets { opening: opening & !strings, closing: closing & !strings }
    }

    /// The bytes that a backslash escapes: in a run of backslashes every second one, and what
    /// follows an odd run (Langdale and Lemire, "Parsing Gigabytes of JSON per Second", 3.1.1).
    #[inline]
    fn escaped(&mut self, backslashes: u64) -> u64 {
        const EVEN: u64 = 0x5555_5555_5555_5555;
        if backslashes == 0 {
            return std::mem::take(&mut self.escape);
        }
        let backslashes = backslashes & !self.escape;
        let following = backslashes << 1 | self.escape;
        let odd_starts = backslashes & !EVEN & !following;
        let (ends, carry) = odd_starts.overflowing_add(backslashes);
        self.escape = u64::from(carry);
        (EVEN ^ (ends << 1)) & following
    }
}

/// Each bit becomes the parity of itself and all below: ones from each opening quote up to its
/// closing one.
#[inline]
fn prefix_xor(mut bits: u64) -> u64 {
    for shift in [1, 2, 4, 8, 16, 32] {
        bits ^= bits << shift;
    }
    bits
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
                    assert_eq!(
                        special(&bytes, 0),
                        length,
                        "{special_byte} after {length} x {filler}"
                    );
                }
            }
        }
    }
}
