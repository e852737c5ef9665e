//! The private directory of a run: on a tmpfs if there is one, and gone at the end.

#![allow(clippy::disallowed_methods, reason = "this room draws random names")]

use super::error::FetchError;
use crate::provider_class::hex;
use std::ffi::OsString;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// `f_type` of a tmpfs (statfs(2)).
const TMPFS: i64 = 0x0102_1994;

/// A directory that only this user can read; removed when dropped.
#[derive(Debug)]
pub(super) struct PrivateDirectory(PathBuf);

impl PrivateDirectory {
    /// Makes one: the pages of a tmpfs reach no disk. Variables of a runner say where files of a
    /// job go otherwise.
    pub(super) fn new(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, FetchError> {
        let [runtime, runner, agent, temporary] =
            ["XDG_RUNTIME_DIR", "RUNNER_TEMP", "AGENT_TEMPDIRECTORY", "TMPDIR"]
                .map(|name| variable(name).filter(|path| !path.is_empty()).map(PathBuf::from));
        let memory = [runtime, Some("/dev/shm".into()), Some("/run".into())];
        let temporary = [runner, agent, temporary, Some("/tmp".into())];
        let memory = memory.into_iter().flatten().filter(|path| is_tmpfs(path));
        let mut last = None;
        for parent in memory.chain(temporary.into_iter().flatten()) {
            let path = parent.join(format!("keysluice-fetch-{}", random()));
            match std::fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(error) => last = Some((parent, error)),
            }
        }
        let (path, error) = last.unwrap_or_else(|| ("/tmp".into(), io::ErrorKind::NotFound.into()));
        Err(FetchError::output(path, error))
    }

    pub(super) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for PrivateDirectory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn is_tmpfs(path: &Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|stat| stat.f_type == TMPFS)
}

/// 16 random bytes in hexadecimal digits.
pub(super) fn random() -> String {
    let mut bytes = [0; 16];
    let random = rustls::crypto::aws_lc_rs::default_provider().secure_random;
    random.fill(&mut bytes).expect("the operating system gives random bytes");
    hex(&bytes)
}

#[cfg(test)]
mod tests {
    use super::super::output_file::replace;
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_directory_is_private_and_goes_with_its_files() {
        let private = PrivateDirectory::new(|_| None).unwrap();
        let path = private.join("");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        replace(&private.join("token"), b"1").unwrap();
        replace(&private.join("token"), b"2").unwrap();
        assert_eq!(std::fs::read(private.join("token")).unwrap(), b"2");
        let mode = std::fs::metadata(private.join("token")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(&path).unwrap().count(), 1, "nothing is left beside it");
        drop(private);
        assert!(!path.exists());
    }
}
