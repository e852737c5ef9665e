//! Where an assertion comes from.

use super::IdentityError;
use super::assertion::Assertion;
use crate::file::read_regular;
use std::path::PathBuf;

/// Far more than any token has: Kubernetes' have one or two KiB.
const MAX_TOKEN_BYTES: u64 = 64 << 10;

/// A way to obtain an assertion.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum AssertionSource {
    /// The projected ServiceAccount token. The kubelet replaces the file, so each request reads it
    /// again.
    File(PathBuf),
}

impl AssertionSource {
    /// A current assertion. The log and the error messages do not show it.
    pub(super) fn read(&self) -> Result<Assertion, IdentityError> {
        let Self::File(path) = self;
        let mut text = read_regular(path, MAX_TOKEN_BYTES)
            .map_err(|error| IdentityError::TokenFile { path: path.clone(), error })?;
        let assertion = Assertion::parse(std::mem::take(&mut text))
            .map_err(|problem| IdentityError::TokenFileGarbled { path: path.clone(), problem })?;
        crate::redact::hold(assertion.expose());
        Ok(assertion)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keysluice_plan::reason::{KS301, KS302};
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    use std::io::Write;

    #[test]
    fn what_is_not_a_regular_file_of_limited_size_does_not_hold_a_token() {
        let directory = tempfile::tempdir().unwrap();
        let (fifo, long) = (directory.path().join("fifo"), directory.path().join("long"));
        mknodat(CWD, &fifo, FileType::Fifo, Mode::RWXU, 0).unwrap();
        std::fs::File::create(&long).unwrap().set_len(MAX_TOKEN_BYTES + 1).unwrap();
        for (path, expected) in [
            (fifo, "it is not a regular file"),
            ("/dev/zero".into(), "it is not a regular file"),
            (long, "it is longer than 64 KiB"),
        ] {
            let fault = AssertionSource::File(path.clone()).read().unwrap_err().fault();
            assert_eq!(fault.reason, KS302, "{fault}");
            assert_eq!(fault.message, format!("token file {}: {expected}", path.display()));
        }
        let missing = AssertionSource::File("/does/not/exist".into()).read().unwrap_err();
        assert_eq!(missing.fault().reason, KS301);
    }

    #[test]
    fn an_error_names_the_file_and_does_not_show_its_text() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().write_all(b"canary").unwrap();
        let garbled = AssertionSource::File(file.path().to_owned()).read().unwrap_err().to_string();
        let expected = format!("token file {} is not a JSON web token", file.path().display());
        assert!(garbled.starts_with(&expected) && !garbled.contains("canary"), "{garbled}");
        let missing = AssertionSource::File("/does/not/exist".into()).read().unwrap_err();
        let missing = missing.to_string();
        assert!(missing.starts_with("token file /does/not/exist: No such file"), "{missing}");
    }
}
