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
pub(super) fn special(bytes: &[u8], at: usize) -> usize {
    let mut rest = bytes.get(at..).unwrap_or_default();
    while let Some((block, after)) = rest.split_first_chunk() {
        let marks = specials(*block);
        if marks != 0 {
            return bytes.len() - rest.len() + marks.trailing_zeros() as usize;
        }
        rest = after;
    }
    tail(bytes, bytes.len() - rest.len())
}

/// Length of a string that a quote ends within 16 bytes.
#[inline]
pub(super) fn short_string(block: &[u8; 16]) -> Option<usize> {
    let end = specials(*block).trailing_zeros() as usize;
    (block.get(end) == Some(&b'"')).then_some(end)
}

/// Whether a byte occurs.
#[inline]
pub(crate) fn contains(bytes: &[u8], byte: u8) -> bool {
    let (blocks, _) = bytes.as_chunks();
    match bytes.last_chunk() {
        // The last block overlaps the one before it: what remains is not looked at byte by byte.
        Some(last) => blocks.iter().any(|block| is_in(block, byte)) || is_in(last, byte),
        None => bytes.contains(&byte),
    }
}

#[inline]
fn is_in(block: &[u8; 16], byte: u8) -> bool {
    mask(u8x16::new(*block), byte) != 0
}

/// One bit for each special byte, the first lowest.
#[inline]
fn specials(bytes: [u8; 16]) -> u32 {
    let bytes = u8x16::new(bytes);
    (control(bytes) | bytes.simd_eq(u8x16::splat(b'"')) | bytes.simd_eq(u8x16::splat(b'\\')))
        .to_bitmask()
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
    escapes: Escapes,
}

impl BracketScanner {
    #[inline]
    pub(super) fn next(&mut self, block: &[u8; 64]) -> Brackets {
        let (mut quotes, mut backslashes, mut opening, mut closing) = (0, 0, 0, 0);
        for (shift, bytes) in quarters(block) {
            // `[` and `{` differ in one bit, as do `]` and `}`.
            let folded = bytes | u8x16::splat(0x20);
            quotes |= mask(bytes, b'"') << shift;
            backslashes |= mask(bytes, b'\\') << shift;
            opening |= mask(folded, b'{') << shift;
            closing |= mask(folded, b'}') << shift;
        }
        let quotes = quotes & !self.escapes.next(backslashes);
        let strings = prefix_xor(quotes) ^ self.inside;
        self.inside = 0_u64.wrapping_sub(strings >> 63);
        Brackets { opening: opening & !strings, closing: closing & !strings }
    }
}

/// What of 64 bytes matters inside a string; the first byte is the lowest bit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Inside {
    /// Quotes and control characters without a backslash before them: each ends the string.
    pub(super) ends: u64,
    /// What follows a backslash and is neither quote nor backslash: a letter to look at.
    pub(super) letters: u64,
}

/// Finds what backslashes escape, block by block.
#[derive(Debug, Default)]
pub(super) struct Escapes {
    /// 1 if the last block ended with a backslash that escapes the next byte.
    pending: u64,
}

impl Escapes {
    /// Whether the last block ended with a backslash that escapes the next byte.
    pub(super) fn is_pending(&self) -> bool {
        self.pending != 0
    }

    #[inline]
    pub(super) fn inside(&mut self, block: &[u8; 64]) -> Inside {
        let (mut quotes, mut backslashes, mut controls) = (0, 0, 0);
        for (shift, bytes) in quarters(block) {
            quotes |= mask(bytes, b'"') << shift;
            backslashes |= mask(bytes, b'\\') << shift;
            controls |= u64::from(control(bytes).to_bitmask()) << shift;
        }
        let escaped = self.next(backslashes);
        Inside { ends: (quotes | controls) & !escaped, letters: escaped & !quotes & !backslashes }
    }

    /// The bytes that a backslash escapes: in a run of backslashes every second one, and what
    /// follows an odd run (Langdale and Lemire, "Parsing Gigabytes of JSON per Second", 3.1.1).
    #[inline]
    fn next(&mut self, backslashes: u64) -> u64 {
        const EVEN: u64 = 0x5555_5555_5555_5555;
        if backslashes == 0 {
            return std::mem::take(&mut self.pending);
        }
        let backslashes = backslashes & !self.pending;
        let following = backslashes << 1 | self.pending;
        let odd_starts = backslashes & !EVEN & !following;
        let (ends, carry) = odd_starts.overflowing_add(backslashes);
        self.pending = u64::from(carry);
        (EVEN ^ (ends << 1)) & following
    }
}

/// The quarters of a block, each with the position of its first bit.
#[inline]
fn quarters(block: &[u8; 64]) -> impl Iterator<Item = (usize, u8x16)> {
    let (quarters, _) = block.as_chunks::<16>();
    quarters.iter().enumerate().map(|(index, bytes)| (16 * index, u8x16::new(*bytes)))
}

#[inline]
fn mask(bytes: u8x16, byte: u8) -> u64 {
    u64::from(bytes.simd_eq(u8x16::splat(byte)).to_bitmask())
}

#[inline]
fn control(bytes: u8x16) -> u8x16 {
    bytes.min(u8x16::splat(0x1f)).simd_eq(bytes)
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
