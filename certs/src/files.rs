//! Certificate and key from files: given ones, or a mounted Secret that cert-manager writes.

use crate::clock::Clock;
use crate::pair::{Pair, PairError};
use std::convert::Infallible;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;
use tokio::sync::watch;

/// `tls.crt` and `tls.key` of a directory, and the last pair of them that was good.
///
/// Polled, by default every ten seconds: kubelet swaps `..data` by rename, and inotify on the files
/// never fires (kubernetes `AtomicWriter`).
pub struct PairFiles {
    certificate: PathBuf,
    key: PathBuf,
    good: Option<(Contents, Arc<Pair>)>,
}

/// What a poll found.
#[derive(Debug)]
pub enum Polled {
    /// The same bytes as before.
    Unchanged,
    /// Another pair, and a good one.
    Loaded(Arc<Pair>),
}

/// Why a poll found no pair that can be served; the last good one stays.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: io::Error,
    },
    /// The files are no pair: damaged, or one is newer than the other.
    #[error(
        "{certificate} and {key} cannot be served: {source}; hint: both in PEM, the chain leaf \
         first"
    )]
    Pair {
        /// The chain.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
        /// What is wrong.
        #[source]
        source: PairError,
    },
    /// The certificate is of the past.
    #[error("{certificate} expired at {not_after}")]
    Expired {
        /// The chain.
        certificate: PathBuf,
        /// When.
        not_after: OffsetDateTime,
    },
}

#[derive(PartialEq, Eq)]
struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl PairFiles {
    /// How often to poll when nothing else is said.
    pub const INTERVAL: Duration = Duration::from_secs(10);

    /// Of this directory; nothing is read yet.
    pub fn new(directory: &Path) -> Self {
        Self { certificate: directory.join("tls.crt"), key: directory.join("tls.key"), good: None }
    }

    /// The last good pair.
    pub fn good(&self) -> Option<&Arc<Pair>> {
        self.good.as_ref().map(|(_, pair)| pair)
    }

    /// Reads both files (two small local files: a few microseconds, done in place) and compares
    /// bytes.
    ///
    /// # Errors
    /// As long as the files are not a pair that can be served, each poll says why.
    pub fn poll(&mut self, now: OffsetDateTime) -> Result<Polled, FilesError> {
        let contents = self.read()?;
        if self.good.as_ref().is_some_and(|(good, _)| *good == contents) {
            return Ok(Polled::Unchanged);
        }
        // Read across a swap: certificate of the old, key of the new. A second look has both of the
        // new.
        match Pair::from_pem(&contents.certificate, &contents.key) {
            Err(PairError::Mismatch) => self.accept(self.read()?, now),
            _ => self.accept(contents, now),
        }
    }

    /// Polls for ever, hands every good pair to `leaf` and tells of every bad one; of the first
    /// poll before it sleeps.
    pub async fn run(
        mut self,
        clock: impl Clock,
        interval: Duration,
        leaf: &watch::Sender<Option<Arc<Pair>>>,
        mut observe: impl FnMut(Result<&Arc<Pair>, FilesError>),
    ) -> Infallible {
        loop {
            match self.poll(clock.now().wall) {
                Ok(Polled::Unchanged) => {}
                Ok(Polled::Loaded(pair)) => {
                    leaf.send_replace(Some(Arc::clone(&pair)));
                    observe(Ok(&pair));
                }
                Err(error) => observe(Err(error)),
            }
            clock.sleep(interval).await;
        }
    }

    fn accept(&mut self, contents: Contents, now: OffsetDateTime) -> Result<Polled, FilesError> {
        let (certificate, key) = (self.certificate.clone(), self.key.clone());
        let pair = Pair::from_pem(&contents.certificate, &contents.key);
        let pair =
            Arc::new(pair.map_err(|source| FilesError::Pair { certificate, key, source })?);
        let not_after = pair.certificate().not_after();
        if not_after <= now {
            return Err(FilesError::Expired { certificate: self.certificate.clone(), not_after });
        }
        self.good = Some((contents, Arc::clone(&pair)));
        Ok(Polled::Loaded(pair))
    }

    fn read(&self) -> Result<Contents, FilesError> {
        Ok(Contents { certificate: read(&self.certificate)?, key: read(&self.key)? })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, FilesError> {
    fs::read(path).map_err(|source| FilesError::Read { path: path.to_owned(), source })
}

impl fmt::Debug for PairFiles {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PairFiles")
            .field("certificate", &self.certificate)
            .field("good", &self.good())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests take the time of now")]
mod tests {
    use super::*;
    use crate::CertificateAuthority;
    use std::os::unix::fs::symlink;

    struct Mount {
        root: tempfile::TempDir,
        swaps: u32,
    }

    impl Mount {
        fn new() -> Self {
            let mount = Self { root: tempfile::tempdir().unwrap(), swaps: 0 };
            for name in ["tls.crt", "tls.key"] {
                symlink(format!("..data/{name}"), mount.root.path().join(name)).unwrap();
            }
            mount
        }

        /// As kubelet does: a new directory, and `..data` renamed over the old link to it.
        fn swap(&mut self, certificate: &str, key: &str) {
            self.swaps += 1;
            let (root, generation) = (self.root.path(), format!("..{}", self.swaps));
            fs::create_dir(root.join(&generation)).unwrap();
            put(&root.join(&generation).join("tls.crt"), certificate);
            put(&root.join(&generation).join("tls.key"), key);
            symlink(&generation, root.join("..data_tmp")).unwrap();
            fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
        }
    }

    fn put(path: &Path, text: &str) {
        io::Write::write_all(&mut fs::File::create(path).unwrap(), text.as_bytes()).unwrap();
    }

    fn pair(life: Duration) -> Pair {
        let now = OffsetDateTime::now_utc();
        let authority = CertificateAuthority::generate().unwrap();
        let leaf = authority.issue_between(
            &["a.svc".to_owned()],
            now - Duration::from_secs(99),
            now + life,
        );
        Pair::new(leaf.unwrap()).unwrap()
    }

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_swapped_mount_is_seen_and_an_unchanged_one_is_not() {
        let (mut mount, first, second) = (Mount::new(), pair(HOUR), pair(HOUR));
        let mut files = PairFiles::new(mount.root.path());
        let now = OffsetDateTime::now_utc();
        for expected in [&first, &second] {
            mount.swap(&expected.chain_pem(), &expected.key_pem());
            let Polled::Loaded(loaded) = files.poll(now).unwrap() else { panic!("unchanged") };
            assert_eq!(loaded.certificate(), expected.certificate());
            assert!(matches!(files.poll(now), Ok(Polled::Unchanged)));
        }
    }

    #[test]
    fn what_cannot_be_served_is_told_and_the_last_good_pair_stays() {
        let (mut mount, good, other, expired) =
            (Mount::new(), pair(HOUR), pair(HOUR), pair(Duration::ZERO));
        let mut files = PairFiles::new(mount.root.path());
        let now = OffsetDateTime::now_utc();
        assert!(matches!(files.poll(now), Err(FilesError::Read { .. })), "not mounted yet");
        mount.swap(&good.chain_pem(), &good.key_pem());
        files.poll(now).unwrap();
        let (chain, key) = (good.chain_pem(), good.key_pem());
        let cut = &chain[..chain.len() / 2];
        let cases = [
            (chain.as_str(), other.key_pem()),
            (&other.chain_pem(), key.clone()),
            (cut, key.clone()),
            ("", String::new()),
        ];
        for (chain, key) in cases {
            mount.swap(chain, &key);
            assert!(matches!(files.poll(now), Err(FilesError::Pair { .. })));
            assert_eq!(files.good().unwrap().certificate(), good.certificate());
        }
        mount.swap(&expired.chain_pem(), &expired.key_pem());
        assert!(matches!(files.poll(now), Err(FilesError::Expired { .. })));
        assert_eq!(files.good().unwrap().certificate(), good.certificate());
        mount.swap(&chain, &key);
        assert!(matches!(files.poll(now), Ok(Polled::Unchanged)), "the good pair came back");
    }

    #[test]
    fn no_key_shows_in_debug() {
        let (mut mount, good) = (Mount::new(), pair(HOUR));
        mount.swap(&good.chain_pem(), &good.key_pem());
        let mut files = PairFiles::new(mount.root.path());
        let loaded = files.poll(OffsetDateTime::now_utc()).unwrap();
        let shown = format!("{files:?} {loaded:?}");
        assert!(shown.contains("a.svc") && !shown.contains(good.key_pem().lines().nth(1).unwrap()));
        let bytes = format!("{:?}", good.key_pem().as_bytes());
        assert!(!shown.contains(&bytes[1..bytes.len() - 1]));
    }
}
