//! Reads DER (X.690) that a stranger wrote: definite lengths only, every step within bounds, no
//! recursion.

/// What is left to read.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a>(&'a [u8]);

/// One element.
#[derive(Clone, Copy)]
pub(crate) struct Element<'a> {
    pub(crate) tag: u8,
    pub(crate) value: &'a [u8],
    /// With tag and length.
    pub(crate) whole: &'a [u8],
}

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OBJECT_ID: u8 = 0x06;
pub(crate) const SEQUENCE: u8 = 0x30;
/// `[0]`, `[1]` and `[3]` with something inside.
pub(crate) const CONTEXT_0: u8 = 0xA0;
pub(crate) const CONTEXT_1: u8 = 0xA1;
pub(crate) const CONTEXT_3: u8 = 0xA3;
/// `[0]` in place of the tag of a string.
pub(crate) const IMPLICIT_0: u8 = 0x80;

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next element, whatever it is.
    pub(crate) fn next(&mut self) -> Option<Element<'a>> {
        let (&tag, rest) = self.0.split_first()?;
        // Tags of several bytes do not occur in what we read.
        if tag & 0x1F == 0x1F {
            return None;
        }
        let (&first, mut rest) = rest.split_first()?;
        let length = match first {
            ..=0x7F => usize::from(first),
            0x81..=0x84 => {
                let (bytes, after) = rest.split_at_checked(usize::from(first & 0x7F))?;
                rest = after;
                bytes.iter().fold(0_usize, |length, &byte| length << 8 | usize::from(byte))
            }
            _ => return None,
        };
        let value = rest.get(..length)?;
        let whole = &self.0[..self.0.len() - rest.len() + length];
        self.0 = &rest[length..];
        Some(Element { tag, value, whole })
    }

    /// The value of the next element, which has this tag.
    pub(crate) fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|element| element.tag == tag).map(|element| element.value)
    }

    /// The value of the next element, if it has this tag; otherwise it stays.
    pub(crate) fn optional(&mut self, tag: u8) -> Option<&'a [u8]> {
        if self.0.first() == Some(&tag) { self.take(tag) } else { None }
    }

    /// What is in the next element, which has this tag.
    pub(crate) fn inside(&mut self, tag: u8) -> Option<Self> {
        self.take(tag).map(Self)
    }

    /// A non-negative integer of at most four bytes.
    pub(crate) fn small(&mut self) -> Option<u32> {
        let bytes = self.take(INTEGER)?;
        let bytes = if bytes.len() > 1 { bytes.strip_prefix(&[0]).unwrap_or(bytes) } else { bytes };
        let positive = !bytes.is_empty() && bytes.len() <= 4;
        positive.then(|| bytes.iter().fold(0, |number, &byte| number << 8 | u32::from(byte)))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// `1.2.840.113549` of the value of an object identifier; for messages.
pub(crate) fn dotted(oid: &[u8]) -> String {
    let mut text = String::new();
    let mut number = 0_u64;
    for &byte in oid.iter().take(40) {
        number = (number << 7 | u64::from(byte & 0x7F)) & u64::from(u32::MAX);
        if byte < 0x80 {
            if text.is_empty() {
                let first = (number / 40).min(2);
                text = format!("{first}.{}", number - first * 40);
            } else {
                text.push_str(&format!(".{number}"));
            }
            number = 0;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lengths_beyond_the_end_and_odd_forms_are_refused() {
        for bytes in [
            &[][..],
            &[0x30],
            &[0x30, 1],
            &[0x30, 0x80, 0, 0],
            &[0x30, 0x85, 0, 0, 0, 0, 0],
            &[0x30, 0x84, 0xFF, 0xFF, 0xFF, 0xFF],
            &[0x30, 0x82, 1],
            &[0x1F, 1, 0],
        ] {
            assert!(Reader::new(bytes).next().is_none(), "{bytes:?}");
        }
    }

    #[test]
    fn elements_follow_each_other() {
        let mut reader = Reader::new(&[2, 1, 5, 0x30, 0x81, 3, 2, 1, 0x80, 4, 0]);
        assert_eq!(reader.small(), Some(5));
        assert_eq!(reader.optional(OCTET_STRING), None);
        let mut inner = reader.inside(SEQUENCE).unwrap();
        assert_eq!((inner.small(), inner.is_empty()), (Some(0x80), true));
        let last = reader.next().unwrap();
        assert_eq!(
            (last.tag, last.value, last.whole, reader.is_empty()),
            (4, &[][..], &[4, 0][..], true)
        );
    }

    #[test]
    fn object_identifiers_are_printed_with_dots() {
        for (bytes, text) in [
            (&[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 12, 1, 1][..], "1.2.840.113549.1.12.1.1"),
            (&[0x55, 0x1D, 0x23], "2.5.29.35"),
            (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 4], "2.16.840.1.101.3.4.2.4"),
            (&[], ""),
            (&[0xFF; 50], ""),
        ] {
            assert_eq!(dotted(bytes), text);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_fail(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let mut reader = Reader::new(&bytes);
            let mut total = 0;
            while let Some(element) = reader.next() {
                total += element.whole.len();
                dotted(element.value);
                Reader::new(element.value).small();
            }
            prop_assert!(total <= bytes.len());
        }
    }
}
