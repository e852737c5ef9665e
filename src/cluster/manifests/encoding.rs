//! The text of a file of manifests.

use std::borrow::Cow;

/// UTF-8, or UTF-16 with a byte-order mark, as editors of Windows write it.
pub(crate) fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, String> {
    let (mark, rest) = bytes.split_at(bytes.len().min(2));
    let wide = match mark {
        [0xFF, 0xFE] => Some(units(rest, u16::from_le_bytes)),
        [0xFE, 0xFF] => Some(units(rest, u16::from_be_bytes)),
        _ => None,
    };
    if let Some(wide) = wide {
        // Half a character, or the zeros of UTF-32.
        let whole = rest.len() % 2 == 0 && !wide.contains(&0);
        let text = String::from_utf16(&wide).ok().filter(|_| whole);
        return text.map(Cow::Owned).ok_or_else(|| "neither UTF-8 nor whole UTF-16".to_owned());
    }
    std::str::from_utf8(bytes).map_err(|error| not_utf8(bytes, &error)).and_then(|text| {
        // ASCII in UTF-16 without a mark is UTF-8 too, with a NUL at every other place.
        if text.contains('\0') {
            Err("it holds NUL bytes, as UTF-16 does".to_owned())
        } else {
            Ok(Cow::Borrowed(text))
        }
    })
}

fn units(bytes: &[u8], read: fn([u8; 2]) -> u16) -> Vec<u16> {
    bytes.chunks_exact(2).map(|pair| read([pair[0], pair[1]])).collect()
}

fn not_utf8(bytes: &[u8], error: &std::str::Utf8Error) -> String {
    let line = bytes[..error.valid_up_to()].split(|byte| *byte == b'\n').count();
    format!("line {line} is not UTF-8")
}
