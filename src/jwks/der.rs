//! As much of DER as keys and certificates need.

pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const NULL: u8 = 0x05;
pub(super) const OBJECT_ID: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;
/// `[0]` and `[1]`, explicit.
pub(super) const EXPLICIT: [u8; 2] = [0xA0, 0xA1];

/// What follows of a value.
#[derive(Clone, Copy)]
pub(super) struct Reader<'d>(&'d [u8]);

impl<'d> Reader<'d> {
    pub(super) fn new(der: &'d [u8]) -> Self {
        Self(der)
    }

    /// The next value's tag.
    pub(super) fn peek(self) -> Option<u8> {
        self.0.first().copied()
    }

    /// The next value with tag and length.
    pub(super) fn any(&mut self) -> Option<&'d [u8]> {
        let whole = self.0;
        let tag = self.peek()?;
        let content = self.take(tag)?;
        let header = whole.len() - self.0.len() - content.len();
        Some(&whole[..header + content.len()])
    }

    /// The content of the next value, if it has this tag.
    pub(super) fn take(&mut self, tag: u8) -> Option<&'d [u8]> {
        let (found, rest) = self.0.split_first()?;
        let (first, mut rest) = rest.split_first()?;
        let length = match usize::from(*first) {
            short @ 0..0x80 => short,
            long => {
                let count = long - 0x80;
                let bytes = rest.get(..count).filter(|_| (1..=4).contains(&count))?;
                rest = &rest[count..];
                bytes.iter().fold(0, |length, byte| (length << 8) | usize::from(*byte))
            }
        };
        let content = rest.get(..length).filter(|_| *found == tag)?;
        self.0 = &rest[length..];
        Some(content)
    }

    /// The content of the next value as a reader, if it has this tag.
    pub(super) fn enter(&mut self, tag: u8) -> Option<Self> {
        self.take(tag).map(Self)
    }

    /// A number that is not negative, without leading zeros.
    pub(super) fn unsigned(&mut self) -> Option<&'d [u8]> {
        let bytes = self.take(INTEGER)?;
        if bytes.first()? & 0x80 != 0 {
            return None;
        }
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        Some(&bytes[zeros..])
    }

    /// A bit string of whole bytes.
    pub(super) fn bits(&mut self) -> Option<&'d [u8]> {
        let (unused, bytes) = self.take(BIT_STRING)?.split_first()?;
        (*unused == 0).then_some(bytes)
    }
}

/// A value with this tag.
pub(super) fn write(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let mut out = vec![tag];
    let length = content.len().to_be_bytes();
    let significant = &length[length.iter().take_while(|byte| **byte == 0).count()..];
    if content.len() < 0x80 {
        out.extend(u8::try_from(content.len()));
    } else {
        out.push(0x80 | u8::try_from(significant.len()).unwrap_or_default());
        out.extend_from_slice(significant);
    }
    out.extend(content);
    out
}

/// A number that is not negative.
pub(super) fn write_unsigned(bytes: &[u8]) -> Vec<u8> {
    let needs_zero = bytes.first().is_none_or(|first| first & 0x80 != 0);
    write(INTEGER, &[if needs_zero { &[0] } else { &[] }, bytes])
}
