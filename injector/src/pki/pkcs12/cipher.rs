//! The ciphers of PKCS#12 in CBC mode, decryption only.

use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, Algorithm, DecryptingKey, DecryptionContext, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use des::cipher::consts::U8;
use des::cipher::{Array, BlockCipherDecrypt, KeyInit};
use des::{TdesEde2, TdesEde3};
use rc2::Rc2;

/// A cipher in CBC mode.
#[derive(Clone, Copy)]
pub(super) enum Cipher {
    Aes128,
    Aes192,
    Aes256,
    /// With two or three keys.
    TripleDes,
    /// With the bits of its key that count.
    Rc2(u16),
}

impl Cipher {
    /// Decrypts in place; `None` for a key, a vector or data of another length than the cipher's.
    pub(super) fn decrypt(self, key: &[u8], vector: &[u8], data: &mut [u8]) -> Option<()> {
        match self {
            Self::Aes128 => aes(&AES_128, key, vector, data),
            Self::Aes192 => aes(&AES_192, key, vector, data),
            Self::Aes256 => aes(&AES_256, key, vector, data),
            Self::TripleDes if key.len() == 16 => {
                cbc(&TdesEde2::new_from_slice(key).ok()?, vector, data)
            }
            Self::TripleDes => cbc(&TdesEde3::new_from_slice(key).ok()?, vector, data),
            Self::Rc2(bits) => cbc(&Rc2::new_with_eff_key_len(key, bits.into()), vector, data),
        }
    }
}

fn aes(algorithm: &'static Algorithm, key: &[u8], vector: &[u8], data: &mut [u8]) -> Option<()> {
    let key = DecryptingKey::cbc(UnboundCipherKey::new(algorithm, key).ok()?).ok()?;
    let context = DecryptionContext::Iv128(FixedLength::try_from(vector).ok()?);
    key.decrypt(data, context).is_ok().then_some(())
}

/// Cipher block chaining over blocks of eight bytes.
fn cbc(
    cipher: &impl BlockCipherDecrypt<BlockSize = U8>,
    vector: &[u8],
    data: &mut [u8],
) -> Option<()> {
    let mut before: [u8; 8] = vector.try_into().ok()?;
    let (blocks, rest) = data.as_chunks_mut::<8>();
    for block in blocks {
        let secret = *block;
        let mut plain = Array::from(secret);
        cipher.decrypt_block(&mut plain);
        for ((to, plain), before) in block.iter_mut().zip(plain).zip(before) {
            *to = plain ^ before;
        }
        before = secret;
    }
    rest.is_empty().then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The plain text of one block; without a vector CBC is the bare cipher.
    fn block(cipher: Cipher, key: &[u8], secret: u64) -> u64 {
        let mut data = secret.to_be_bytes();
        cipher.decrypt(key, &[0; 8], &mut data).unwrap();
        u64::from_be_bytes(data)
    }

    /// NIST SP 800-67 appendix B, NIST SP 800-17 and the example of FIPS 46; with three equal keys
    /// it is single DES.
    #[test]
    fn published_vectors_of_triple_des_decrypt() {
        let (a, b, c) = (0x0123_4567_89AB_CDEF, 0x2345_6789_ABCD_EF01, 0x4567_89AB_CDEF_0123);
        for (keys, secret, plain) in [
            ([a, b, c], 0xA826_FD8C_E53B_855F_u64, u64::from_be_bytes(*b"The qufc")),
            ([a, b, c], 0xCCE2_1C81_1225_6FE6, u64::from_be_bytes(*b"k brown ")),
            ([a, b, c], 0x68D5_C05D_D9B6_B900, u64::from_be_bytes(*b"fox jump")),
            ([0x1334_5779_9BBC_DFF1; 3], 0x85E8_1354_0F0A_B405, 0x0123_4567_89AB_CDEF),
            ([0x0101_0101_0101_0101; 3], 0x95F8_A5E5_DD31_D900, 0x8000_0000_0000_0000),
            ([0x8001_0101_0101_0101; 3], 0x95A8_D728_13DA_A94D, 0),
        ] {
            let key = keys.map(u64::to_be_bytes).concat();
            assert_eq!(block(Cipher::TripleDes, &key, secret), plain, "{secret:x}");
        }
    }

    #[test]
    fn two_keys_are_three_of_which_two_are_equal() {
        let (a, b) = (0x0123_4567_89AB_CDEF_u64, 0x2345_6789_ABCD_EF01_u64);
        let [two, three] =
            [[a, b].map(u64::to_be_bytes).concat(), [a, b, a].map(u64::to_be_bytes).concat()];
        assert_eq!(block(Cipher::TripleDes, &two, 42), block(Cipher::TripleDes, &three, 42));
    }

    #[test]
    fn the_vectors_of_rfc_2268_decrypt() {
        let cases: &[(&[u8], u16, u64, u64)] = &[
            (&[0; 8], 63, 0xEBB7_73F9_9327_8EFF, 0),
            (&[0xFF; 8], 64, 0x278B_27E4_2E2F_0D49, u64::MAX),
            (&[0x30, 0, 0, 0, 0, 0, 0, 0], 64, 0x3064_9EDF_9BE7_D2C2, 0x1000_0000_0000_0001),
            (&[0x88], 64, 0x61A8_A244_ADAC_CCF0, 0),
            (&[0x88, 0xBC, 0xA9, 0x0E, 0x90, 0x87, 0x5A], 64, 0x6CCF_4308_974C_267F, 0),
            (
                &[
                    0x88, 0xBC, 0xA9, 0x0E, 0x90, 0x87, 0x5A, 0x7F, 0x0F, 0x79, 0xC3, 0x84, 0x62,
                    0x7B, 0xAF, 0xB2,
                ],
                64,
                0x1A80_7D27_2BBE_5DB1,
                0,
            ),
            (
                &[
                    0x88, 0xBC, 0xA9, 0x0E, 0x90, 0x87, 0x5A, 0x7F, 0x0F, 0x79, 0xC3, 0x84, 0x62,
                    0x7B, 0xAF, 0xB2,
                ],
                128,
                0x2269_552A_B0F8_5CA6,
                0,
            ),
        ];
        for &(key, bits, secret, plain) in cases {
            assert_eq!(block(Cipher::Rc2(bits), key, secret), plain, "{key:?} {bits}");
        }
    }

    #[test]
    fn blocks_are_chained() {
        let key = [7; 16];
        let mut data = [1, 2].map(u64::to_be_bytes).concat();
        Cipher::Rc2(128).decrypt(&key, &3_u64.to_be_bytes(), &mut data).unwrap();
        let expected = [block(Cipher::Rc2(128), &key, 1) ^ 3, block(Cipher::Rc2(128), &key, 2) ^ 1];
        assert_eq!(data, expected.map(u64::to_be_bytes).concat());
    }

    #[test]
    fn another_length_is_refused() {
        for (cipher, key, vector, data) in [
            (Cipher::TripleDes, 15, 8, 8),
            (Cipher::TripleDes, 24, 7, 8),
            (Cipher::TripleDes, 24, 8, 9),
            (Cipher::Rc2(128), 16, 16, 8),
            (Cipher::Aes128, 16, 8, 16),
            (Cipher::Aes256, 16, 16, 16),
        ] {
            let (key, vector) = (vec![1; key], vec![1; vector]);
            assert!(cipher.decrypt(&key, &vector, &mut vec![1; data]).is_none());
        }
    }
}
