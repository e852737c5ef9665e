//! The few fields of a certificate that its place in a chain follows from.

use super::der_reader::{
    CONTEXT_0, CONTEXT_3, IMPLICIT_0, INTEGER, OBJECT_ID, OCTET_STRING, Reader, SEQUENCE,
};

/// 2.5.29.35
const AUTHORITY_KEY_ID: &[u8] = &[0x55, 0x1D, 0x23];
/// 2.5.29.14
const SUBJECT_KEY_ID: &[u8] = &[0x55, 0x1D, 0x0E];

/// A certificate.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Certificate<'a> {
    pub(crate) der: &'a [u8],
    pub(crate) issuer: &'a [u8],
    pub(crate) subject: &'a [u8],
    /// `SubjectPublicKeyInfo`, whole.
    pub(crate) public_key: &'a [u8],
    pub(crate) authority_key_id: &'a [u8],
    pub(crate) subject_key_id: &'a [u8],
}

impl<'a> Certificate<'a> {
    /// Reads one; `None` when this is no certificate.
    pub(crate) fn parse(der: &'a [u8]) -> Option<Self> {
        let mut tbs = Reader::new(der).inside(SEQUENCE)?.inside(SEQUENCE)?;
        tbs.optional(CONTEXT_0);
        tbs.take(INTEGER)?;
        tbs.take(SEQUENCE)?;
        let mut name = || tbs.next().filter(|element| element.tag == SEQUENCE);
        let (issuer, _validity, subject, public_key) = (name()?, name()?, name()?, name()?);
        let mut certificate = Self {
            der,
            issuer: issuer.value,
            subject: subject.value,
            public_key: public_key.whole,
            ..Self::default()
        };
        // Unique identifiers, [1] and [2], may come before.
        while let Some(element) = tbs.next() {
            if element.tag == CONTEXT_3 {
                let mut extensions = Reader::new(element.value).inside(SEQUENCE)?;
                while let Some(extension) = extensions.next() {
                    certificate.read(extension.value)?;
                }
            }
        }
        Some(certificate)
    }

    fn read(&mut self, extension: &'a [u8]) -> Option<()> {
        let mut extension = Reader::new(extension);
        let id = extension.take(OBJECT_ID)?;
        let mut value = extension.next()?;
        // `critical` is there when it is true.
        if value.tag != OCTET_STRING {
            value = extension.next()?;
        }
        match id {
            AUTHORITY_KEY_ID => {
                self.authority_key_id = Reader::new(value.value)
                    .inside(SEQUENCE)?
                    .optional(IMPLICIT_0)
                    .unwrap_or_default();
            }
            SUBJECT_KEY_ID => self.subject_key_id = Reader::new(value.value).take(OCTET_STRING)?,
            _ => {}
        }
        Some(())
    }

    /// Whether the key identifiers say that `other` issued it.
    pub(crate) fn names_as_issuer(&self, other: &Self) -> bool {
        !self.authority_key_id.is_empty() && self.authority_key_id == other.subject_key_id
    }

    /// The same, or by name where one of the identifiers is missing.
    pub(crate) fn may_be_issued_by(&self, other: &Self) -> bool {
        if self.authority_key_id.is_empty() || other.subject_key_id.is_empty() {
            self.issuer == other.subject
        } else {
            self.names_as_issuer(other)
        }
    }

    pub(crate) fn is_self_issued(&self) -> bool {
        self.issuer == self.subject
    }
}
