//! Triple DES (FIPS 46-3), decryption only. Bit by bit: it is used for a file or two per pod, whose
//! password everybody knows, so neither speed nor timing matters, and the tables fit in a page.

/// Three keys, subkeys in the order of decryption.
pub(super) struct Triple([[u64; 16]; 3]);

impl Triple {
    /// From 24 bytes, or from 16 of which the first eight serve twice. Parity bits are not looked
    /// at.
    pub(super) fn new(key: &[u8]) -> Self {
        let part = |at: usize| {
            let mut bytes = [0; 8];
            key.iter().cycle().skip(at * 8).zip(&mut bytes).for_each(|(from, to)| *to = *from);
            subkeys(u64::from_be_bytes(bytes))
        };
        Self([part(0), part(1), part(2)])
    }

    /// One block, big-endian.
    pub(super) fn decrypt(&self, block: u64) -> u64 {
        let Self([first, second, third]) = self;
        let block = rounds(block, third.iter().rev());
        let block = rounds(block, second.iter());
        rounds(block, first.iter().rev())
    }
}

/// Bits of a word of `width` bits, by the standard's numbers: 1 is the most significant.
fn permute(word: u64, width: u32, table: &[u8]) -> u64 {
    table.iter().fold(0, |bits, &at| bits << 1 | (word >> (width - u32::from(at)) & 1))
}

fn subkeys(key: u64) -> [u64; 16] {
    const HALF: u64 = (1 << 28) - 1;
    let chosen = permute(key, 64, &PC1);
    let (mut c, mut d) = (chosen >> 28, chosen & HALF);
    let mut keys = [0; 16];
    for (round, subkey) in keys.iter_mut().enumerate() {
        let turn = if matches!(round, 0 | 1 | 8 | 15) { 1 } else { 2 };
        let rotated = |half: u64| (half << turn | half >> (28 - turn)) & HALF;
        (c, d) = (rotated(c), rotated(d));
        *subkey = permute(c << 28 | d, 56, &PC2);
    }
    keys
}

fn rounds<'a>(block: u64, keys: impl Iterator<Item = &'a u64>) -> u64 {
    let start = permute(block, 64, &IP);
    let (mut left, mut right) = (start >> 32, start & 0xFFFF_FFFF);
    for key in keys {
        let mixed = permute(right, 32, &E) ^ key;
        let mut substituted = 0;
        for (at, row) in S.iter().enumerate() {
            let six = mixed >> (42 - 6 * at) & 0x3F;
            // The outer bits choose the row, the inner four the column.
            let index = (six & 0x20) | (six & 1) << 4 | (six >> 1 & 0xF);
            substituted = substituted << 4
                | (row[usize::from(index.to_le_bytes()[0] >> 4)] >> (60 - 4 * (index & 0xF)) & 0xF);
        }
        (left, right) = (right, left ^ permute(substituted, 32, &P));
    }
    permute(right << 32 | left, 64, &FP)
}

const IP: [u8; 64] = [
    58, 50, 42, 34, 26, 18, 10, 2, 60, 52, 44, 36, 28, 20, 12, 4, 62, 54, 46, 38, 30, 22, 14, 6,
    64, 56, 48, 40, 32, 24, 16, 8, 57, 49, 41, 33, 25, 17, 9, 1, 59, 51, 43, 35, 27, 19, 11, 3, 61,
    53, 45, 37, 29, 21, 13, 5, 63, 55, 47, 39, 31, 23, 15, 7,
];
const FP: [u8; 64] = [
    40, 8, 48, 16, 56, 24, 64, 32, 39, 7, 47, 15, 55, 23, 63, 31, 38, 6, 46, 14, 54, 22, 62, 30,
    37, 5, 45, 13, 53, 21, 61, 29, 36, 4, 44, 12, 52, 20, 60, 28, 35, 3, 43, 11, 51, 19, 59, 27,
    34, 2, 42, 10, 50, 18, 58, 26, 33, 1, 41, 9, 49, 17, 57, 25,
];
const E: [u8; 48] = [
    32, 1, 2, 3, 4, 5, 4, 5, 6, 7, 8, 9, 8, 9, 10, 11, 12, 13, 12, 13, 14, 15, 16, 17, 16, 17, 18,
    19, 20, 21, 20, 21, 22, 23, 24, 25, 24, 25, 26, 27, 28, 29, 28, 29, 30, 31, 32, 1,
];
const P: [u8; 32] = [
    16, 7, 20, 21, 29, 12, 28, 17, 1, 15, 23, 26, 5, 18, 31, 10, 2, 8, 24, 14, 32, 27, 3, 9, 19,
    13, 30, 6, 22, 11, 4, 25,
];
const PC1: [u8; 56] = [
    57, 49, 41, 33, 25, 17, 9, 1, 58, 50, 42, 34, 26, 18, 10, 2, 59, 51, 43, 35, 27, 19, 11, 3, 60,
    52, 44, 36, 63, 55, 47, 39, 31, 23, 15, 7, 62, 54, 46, 38, 30, 22, 14, 6, 61, 53, 45, 37, 29,
    21, 13, 5, 28, 20, 12, 4,
];
const PC2: [u8; 48] = [
    14, 17, 11, 24, 1, 5, 3, 28, 15, 6, 21, 10, 23, 19, 12, 4, 26, 8, 16, 7, 27, 20, 13, 2, 41, 52,
    31, 37, 47, 55, 30, 40, 51, 45, 33, 48, 44, 49, 39, 56, 34, 53, 46, 42, 50, 36, 29, 32,
];
/// Eight boxes of four rows; a row is sixteen digits.
const S: [[u64; 4]; 8] = [
    [0xE4D1_2FB8_3A6C_5907, 0x0F74_E2D1_A6CB_9538, 0x41E8_D62B_FC97_3A50, 0xFC82_4917_5B3E_A06D],
    [0xF18E_6B34_972D_C05A, 0x3D47_F28E_C01A_69B5, 0x0E7B_A4D1_58C6_932F, 0xD8A1_3F42_B67C_05E9],
    [0xA09E_63F5_1DC7_B428, 0xD709_346A_285E_CBF1, 0xD649_8F30_B12C_5AE7, 0x1AD0_6987_4FE3_B52C],
    [0x7DE3_069A_1285_BC4F, 0xD8B5_6F03_472C_1AE9, 0xA690_CB7D_F13E_5284, 0x3F06_A1D8_945B_C72E],
    [0x2C41_7AB6_853F_D0E9, 0xEB2C_47D1_50FA_3986, 0x421B_AD78_F9C5_630E, 0xB8C7_1E2D_6F09_A453],
    [0xC1AF_9268_0D34_E75B, 0xAF42_7C95_61DE_0B38, 0x9EF5_28C3_704A_1DB6, 0x432C_95FA_BE17_608D],
    [0x4B2E_F08D_3C97_5A61, 0xD0B7_491A_E35C_2F86, 0x14BD_C37E_AF68_0592, 0x6BD8_14A7_950F_E23C],
    [0xD284_6FB1_A93E_50C7, 0x1FD8_A374_C56B_0E92, 0x7B41_9CE2_06AD_F358, 0x21E7_4A8D_FC90_356B],
];

#[cfg(test)]
mod tests {
    use super::*;

    fn key(parts: [u64; 3]) -> Triple {
        Triple::new(&parts.map(u64::to_be_bytes).concat())
    }

    /// NIST SP 800-67 appendix B, NIST SP 800-17 and the example of FIPS 46; with three equal keys
    /// it is single DES.
    #[test]
    fn published_vectors_decrypt() {
        let (a, b, c) = (0x0123_4567_89AB_CDEF, 0x2345_6789_ABCD_EF01, 0x4567_89AB_CDEF_0123);
        for (keys, secret, plain) in [
            ([a, b, c], 0xA826_FD8C_E53B_855F_u64, u64::from_be_bytes(*b"The qufc")),
            ([a, b, c], 0xCCE2_1C81_1225_6FE6, u64::from_be_bytes(*b"k brown ")),
            ([a, b, c], 0x68D5_C05D_D9B6_B900, u64::from_be_bytes(*b"fox jump")),
            ([0x1334_5779_9BBC_DFF1; 3], 0x85E8_1354_0F0A_B405, 0x0123_4567_89AB_CDEF),
            ([0x0101_0101_0101_0101; 3], 0x95F8_A5E5_DD31_D900, 0x8000_0000_0000_0000),
            ([0x8001_0101_0101_0101; 3], 0x95A8_D728_13DA_A94D, 0),
        ] {
            assert_eq!(key(keys).decrypt(secret), plain, "{secret:x}");
        }
    }

    #[test]
    fn two_keys_are_three_of_which_two_are_equal() {
        let (a, b) = (0x0123_4567_89AB_CDEF_u64, 0x2345_6789_ABCD_EF01_u64);
        let two = Triple::new(&[a.to_be_bytes(), b.to_be_bytes()].concat());
        assert_eq!(two.decrypt(42), key([a, b, a]).decrypt(42));
    }
}
