//! Where an assertion comes from.

use super::IdentityError;
use super::assertion::Assertion;
use std::path::PathBuf;

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
        let text = std::fs::read(path)
            .map_err(|error| IdentityError::TokenFile { path: path.clone(), error })?;
        let assertion = Assertion::parse(text)
            .map_err(|problem| IdentityError::TokenFileGarbled { path: path.clone(), problem })?;
        crate::redact::hold(assertion.expose());
        Ok(assertion)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

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
