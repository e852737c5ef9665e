//! The credentials of a service principal, as the kubelet mounts them from a Secret.
//!
//! The keys are those of the Azure provider, in any case: `clientid` and `clientsecret`. In place
//! of a client secret there may be a certificate with its private key: `clientcertificate`, or
//! `tls.crt` and `tls.key` as cert-manager writes them, with `clientcertificatepassword` where they
//! have one.

use super::certificate_source::{self, CertificateError};
use super::client_certificate::ClientCertificate;
use crate::file::read_regular;
use crate::pki::budget::Budget;
use crate::pki::pem_contents::Held;
use crate::pki::pkcs12::Contents;
use secrecy::SecretBox;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Who signs in, and with what.
#[derive(Debug)]
pub(super) struct Principal {
    pub(super) client_id: String,
    pub(super) proof: Proof,
}

/// What proves it.
#[derive(Debug)]
pub(super) enum Proof {
    Secret(SecretBox<String>),
    Certificate(ClientCertificate),
}

/// Why there are no credentials. No text holds a value of the Secret.
#[derive(Debug, thiserror::Error)]
pub enum PrincipalError {
    /// The Secret is not mounted, or cannot be read.
    #[error("service principal: {}: {error}", path.display())]
    Read {
        /// File or directory.
        path: PathBuf,
        /// The system's word.
        #[source]
        error: io::Error,
    },
    /// A key is missing, in the words of the Azure provider.
    #[error("service principal: could not find {key} in secrets; {} has {found}",
        directory.display())]
    Missing {
        /// The key.
        key: &'static str,
        /// The mounted Secret.
        directory: PathBuf,
        /// The keys that are there.
        found: String,
    },
    /// A value cannot be one.
    #[error("service principal: {key} in {} {problem}", directory.display())]
    Value {
        /// The key.
        key: &'static str,
        /// The mounted Secret.
        directory: PathBuf,
        /// In which way.
        problem: &'static str,
    },
    /// The certificate or its key cannot be used.
    #[error("service principal: {key} in {} {error}", directory.display())]
    Certificate {
        /// The key of the Secret.
        key: &'static str,
        /// The mounted Secret.
        directory: PathBuf,
        /// What is wrong with it.
        #[source]
        error: CertificateError,
    },
}

/// Most keys that a message lists.
const MAX_LISTED: usize = 8;

const CERTIFICATE: &str = "clientcertificate";
const PASSWORD: &str = "clientcertificatepassword";
/// As long as a certificate and its chain may be: a hundred of them.
const MAX_BYTES: u64 = 256 * 1024;

impl Principal {
    /// Reads the mounted Secret. The kubelet swaps all keys at once, so all are read from one
    /// version. A certificate with a password takes up to a second.
    pub(super) fn read(directory: &Path) -> Result<Self, PrincipalError> {
        let secret = Mounted::open(directory)?;
        let client_id = secret.text("clientid")?;
        let proof = match secret.text("clientsecret") {
            Ok(text) => {
                crate::redact::hold(&text);
                Proof::Secret(SecretBox::new(Box::new(text.as_str().to_owned())))
            }
            Err(missing @ PrincipalError::Missing { .. }) => {
                Proof::Certificate(secret.certificate()?.ok_or(missing)?)
            }
            Err(error) => return Err(error),
        };
        Ok(Self { client_id: client_id.as_str().to_owned(), proof })
    }
}

/// One version of a mounted Secret.
struct Mounted<'d> {
    directory: &'d Path,
    /// Key and path, in order.
    files: Vec<(String, PathBuf)>,
}

impl<'d> Mounted<'d> {
    fn open(directory: &'d Path) -> Result<Self, PrincipalError> {
        // A plain directory has no versions.
        let version = fs::canonicalize(directory.join("..data"));
        let version = version.as_deref().unwrap_or(directory);
        let mut files = Vec::new();
        for entry in fs::read_dir(version).map_err(|error| unreadable(directory, error))? {
            let entry = entry.map_err(|error| unreadable(directory, error))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.starts_with("..") {
                files.push((name, entry.path()));
            }
        }
        files.sort();
        Ok(Self { directory, files })
    }

    fn path(&self, key: &str) -> Option<&Path> {
        let file = self.files.iter().find(|(name, _)| name.eq_ignore_ascii_case(key));
        file.map(|(_, path)| &**path)
    }

    fn wrong(&self, key: &'static str, problem: &'static str) -> PrincipalError {
        PrincipalError::Value { key, directory: self.directory.into(), problem }
    }

    fn found(&self, key: &'static str) -> Result<&Path, PrincipalError> {
        self.path(key).ok_or_else(|| {
            let names: Vec<&str> =
                self.files.iter().take(MAX_LISTED).map(|(name, _)| &**name).collect();
            let found = if names.is_empty() { "no keys".to_owned() } else { names.join(", ") };
            PrincipalError::Missing { key, directory: self.directory.into(), found }
        })
    }

    fn bytes(&self, key: &'static str) -> Result<Zeroizing<Vec<u8>>, PrincipalError> {
        let path = self.found(key)?;
        read_regular(path, MAX_BYTES).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => {
                self.wrong(key, "is not a regular file, or is longer than 256 KiB")
            }
            _ => unreadable(path, error),
        })
    }

    /// A value of one line; what `kubectl create secret --from-file` leaves at its end is not part
    /// of it.
    fn text(&self, key: &'static str) -> Result<Zeroizing<String>, PrincipalError> {
        let bytes = self.bytes(key)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| self.wrong(key, "is not text"))?.trim();
        match text {
            "" => Err(self.wrong(key, "is empty")),
            text if text.chars().any(char::is_control) => {
                Err(self.wrong(key, "has more than one line"))
            }
            text => Ok(Zeroizing::new(text.to_owned())),
        }
    }

    /// The password of the certificate as it stands there, without a newline at its end: blanks may
    /// be part of it. Empty where the Secret has none.
    fn password(&self) -> Result<Zeroizing<String>, PrincipalError> {
        if self.path(PASSWORD).is_none() {
            return Ok(Zeroizing::default());
        }
        let bytes = self.bytes(PASSWORD)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| self.wrong(PASSWORD, "is not text"))?;
        let text = text.strip_suffix('\n').unwrap_or(text);
        Ok(Zeroizing::new(text.strip_suffix('\r').unwrap_or(text).to_owned()))
    }

    /// `None` where the Secret has no certificate.
    fn certificate(&self) -> Result<Option<ClientCertificate>, PrincipalError> {
        let (of_certificate, of_key) = if self.path(CERTIFICATE).is_some() {
            (CERTIFICATE, CERTIFICATE)
        } else if self.path("tls.crt").is_some() {
            ("tls.crt", "tls.key")
        } else {
            return Ok(None);
        };
        self.found(of_key)?;
        let (password, mut budget) = (self.password()?, Budget::default());
        let Held { contents: Contents { mut keys, certificates }, mut unusable } =
            self.held(of_certificate, &password, &mut budget)?;
        if of_key != of_certificate {
            let held = self.held(of_key, &password, &mut budget)?;
            (keys, unusable) = (held.contents.keys, held.unusable);
        }
        if keys.is_empty()
            && let Some(unusable) = unusable
        {
            return Err(self.unfit(of_key, unusable.into()));
        }
        let of_both = ClientCertificate::of(&Contents { keys, certificates }, &mut budget);
        of_both.map(Some).map_err(|error| {
            let key =
                if matches!(error, CertificateError::NoKey) { of_key } else { of_certificate };
            self.unfit(key, error)
        })
    }

    /// What the file of this key holds.
    fn held(
        &self,
        key: &'static str,
        password: &str,
        budget: &mut Budget,
    ) -> Result<Held, PrincipalError> {
        let held = certificate_source::read(&self.bytes(key)?, password, budget);
        held.map_err(|error| self.unfit(key, error))
    }

    fn unfit(&self, key: &'static str, error: CertificateError) -> PrincipalError {
        PrincipalError::Certificate { key, directory: self.directory.into(), error }
    }
}

fn unreadable(path: &Path, error: io::Error) -> PrincipalError {
    PrincipalError::Read { path: path.to_owned(), error }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn put(path: &Path, text: &str) {
        fs::File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn read(keys: &[(&str, &str)]) -> Result<Principal, String> {
        let directory = tempfile::tempdir().unwrap();
        for (key, value) in keys {
            put(&directory.path().join(key), value);
        }
        let path = directory.path().display().to_string();
        Principal::read(directory.path()).map_err(|error| error.to_string().replace(&path, "DIR"))
    }

    #[test]
    fn keys_are_read_in_any_case_and_without_the_newline_at_their_end() {
        for keys in [["clientid", "clientsecret"], ["ClientID", "CLIENTSECRET"]] {
            let read = read(&[(keys[0], "id\n"), (keys[1], " canary \n"), ("other", "")]).unwrap();
            let Proof::Secret(secret) = &read.proof else { panic!("{read:?}") };
            assert_eq!(secrecy::ExposeSecret::expose_secret(secret), "canary");
            assert_eq!(read.client_id, "id");
            assert!(!format!("{read:?}").contains("canary"));
        }
    }

    #[test]
    fn the_version_that_the_kubelet_points_to_is_read() {
        let directory = tempfile::tempdir().unwrap();
        for (version, id) in [("..1", "one"), ("..2", "two")] {
            fs::create_dir(directory.path().join(version)).unwrap();
            put(&directory.path().join(version).join("clientid"), id);
            put(&directory.path().join(version).join("clientsecret"), "s");
        }
        std::os::unix::fs::symlink("..2", directory.path().join("..data")).unwrap();
        std::os::unix::fs::symlink("..data/clientid", directory.path().join("clientid")).unwrap();
        assert_eq!(Principal::read(directory.path()).unwrap().client_id, "two");
    }

    #[test]
    fn what_is_missing_is_told_in_the_providers_words_and_without_values() {
        let pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (keys, expected) in [
            (&[][..], "could not find clientid in secrets; DIR has no keys"),
            (
                &[("client-id", "canary"), ("x", "y")][..],
                "could not find clientid in secrets; DIR has client-id, x",
            ),
            (&[("clientid", "c")], "could not find clientsecret in secrets; DIR has clientid"),
            (&[("clientid", "\n")], "clientid in DIR is empty"),
            (&[("clientid", "c"), ("clientsecret", "")], "clientsecret in DIR is empty"),
            (
                &[("clientid", "c"), ("clientsecret", "canary\ncanary")],
                "clientsecret in DIR has more than one line",
            ),
            (
                &[("clientid", "c"), ("ClientCertificate", "canary")],
                "clientcertificate in DIR is neither PEM nor PKCS#12 (binary or in base64)",
            ),
            (
                &[("clientid", "c"), ("tls.crt", pem), ("tls.key", "canary")],
                "tls.crt in DIR cannot be read: PEM block 1 (CERTIFICATE, line 1) is not an X.509",
            ),
            (
                &[("clientid", "c"), ("tls.crt", pem)],
                "could not find tls.key in secrets; DIR has clientid, tls.crt",
            ),
        ] {
            let error = read(keys).unwrap_err();
            assert!(error.starts_with(&format!("service principal: {expected}")), "{error}");
            assert!(!error.contains("canary"), "{error}");
        }
        let missing = Principal::read(Path::new("/does/not/exist")).unwrap_err().to_string();
        assert!(missing.starts_with("service principal: /does/not/exist: No such"), "{missing}");
    }
}
