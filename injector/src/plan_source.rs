//! Where the Plan comes from, and paths and files below `--root`.

use crate::fault::{Class, Fault, FaultKind};
use keysluice_plan::reason::{KS601, KS602};
use keysluice_plan::{PLAN_ENV, Plan, PlanError};
use rustix::fs::{CWD, Mode, OFlags, openat};
use std::fs::File;
use std::io::{Error, ErrorKind, Read as _, Result as IoResult};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// A Plan of a pod has at most 96 KiB; one of a pipeline may be longer.
const MAX_PLAN_BYTES: u64 = 16 << 20;

/// Why there is no usable Plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanSourceError {
    /// Neither `--plan` nor the variable.
    #[error("no Plan: neither --plan FILE nor the variable {PLAN_ENV} is given")]
    Missing,
    /// Both.
    #[error("two Plans: --plan {} and the variable {PLAN_ENV} are both given", .0.display())]
    Both(PathBuf),
    /// The file cannot be read.
    #[error("--plan {}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's word.
        #[source]
        error: std::io::Error,
    },
    /// Not a Plan.
    #[error("{origin}: {error}")]
    Plan {
        /// The file or the variable.
        origin: String,
        /// Which field.
        #[source]
        error: PlanError,
    },
}

impl PlanSourceError {
    /// As code and message.
    pub fn fault(&self) -> Fault {
        let (reason, kind) = match self {
            Self::Missing | Self::Both(_) => (KS602, FaultKind::Usage),
            Self::File { .. } | Self::Plan { .. } => (KS601, FaultKind::Other),
        };
        Fault::new(reason, Class::Permanent, self).of_kind(kind)
    }
}

/// Reads the Plan from the file or the variable's value; exactly one of them must be there.
pub fn load(file: Option<&Path>, variable: Option<&str>) -> Result<Plan, PlanSourceError> {
    let variable = variable.filter(|text| !text.is_empty());
    let (origin, text) = match (file, variable) {
        (None, None) => return Err(PlanSourceError::Missing),
        (Some(path), Some(_)) => return Err(PlanSourceError::Both(path.to_owned())),
        (None, Some(text)) => (PLAN_ENV.to_owned(), text.to_owned()),
        (Some(path), None) => {
            let text = read_file(path, MAX_PLAN_BYTES).and_then(|mut bytes| {
                String::from_utf8(std::mem::take(&mut *bytes))
                    .map_err(|_| Error::new(ErrorKind::InvalidData, "it is not UTF-8"))
            });
            let text =
                text.map_err(|error| PlanSourceError::File { path: path.to_owned(), error })?;
            (path.display().to_string(), text)
        }
    };
    Plan::from_json(&text).map_err(|error| PlanSourceError::Plan { origin, error })
}

/// `path` of the Plan below the root.
pub fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

/// The content of a file that others write. A FIFO, which may never have a writer, and a device,
/// which may have no end, are refused before anything is read.
///
/// # Errors
/// [`ErrorKind::InvalidData`] for what is not a regular file, or has more than `limit_bytes`.
pub(crate) fn read_file(path: &Path, limit_bytes: u64) -> IoResult<Zeroizing<Vec<u8>>> {
    let invalid = |problem: String| Error::new(ErrorKind::InvalidData, problem);
    // Without NONBLOCK the open waits for the writer of a FIFO.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(openat(CWD, path, flags, Mode::empty())?);
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(invalid("it is not a regular file".to_owned()));
    }
    // A vector that grows leaves copies behind.
    let capacity = usize::try_from(metadata.len().min(limit_bytes)).unwrap_or_default();
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    file.take(limit_bytes + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > limit_bytes) {
        return Err(invalid(format!("it is longer than {} KiB", limit_bytes >> 10)));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{FileType, mknodat};

    const EMPTY: &str = r#"{"schema":1,"identities":[],"volumes":[]}"#;

    #[test]
    fn exactly_one_source_is_accepted() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("plan.json");
        assert!(matches!(load(None, None), Err(PlanSourceError::Missing)));
        assert!(matches!(load(None, Some("")), Err(PlanSourceError::Missing)));
        assert!(matches!(load(Some(&path), Some(EMPTY)), Err(PlanSourceError::Both(_))));
        assert!(matches!(load(Some(&path), None), Err(PlanSourceError::File { .. })));
        assert!(load(None, Some(EMPTY)).is_ok());
    }

    #[test]
    fn a_bad_plan_names_its_field() {
        let error = load(None, Some(r#"{"schema":1,"identities":[],"volumes":[],"colour":"red"}"#))
            .unwrap_err();
        assert_eq!(error.fault().kind, FaultKind::Other);
        let text = error.fault().to_string();
        assert!(
            text.starts_with("KS601 KEYSLUICE_PLAN:") && text.contains("unknown field `colour`"),
            "{text}"
        );
    }

    #[test]
    fn only_a_regular_file_of_limited_size_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::File::create(path("full")).unwrap().set_len(1024).unwrap();
        std::fs::File::create(path("long")).unwrap().set_len(1025).unwrap();
        mknodat(CWD, path("fifo"), FileType::Fifo, Mode::RWXU, 0).unwrap();
        std::os::unix::fs::symlink("/dev/zero", path("zero")).unwrap();
        std::os::unix::fs::symlink("full", path("link")).unwrap();
        for (name, expected) in [
            ("full", Ok(1024)),
            ("link", Ok(1024)),
            ("long", Err("it is longer than 1 KiB")),
            ("fifo", Err("it is not a regular file")),
            ("zero", Err("it is not a regular file")),
            (".", Err("it is not a regular file")),
        ] {
            let read = read_file(&path(name), 1024).map(|bytes| bytes.len());
            let read = read.map_err(|error| (error.kind(), error.to_string()));
            let expected = expected.map_err(|text| (ErrorKind::InvalidData, text.to_owned()));
            assert_eq!(read, expected, "{name}");
        }
        let missing = read_file(&path("missing"), 1024).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        let plan = load(Some(&path("fifo")), None).unwrap_err().fault().to_string();
        assert!(plan.starts_with("KS601 --plan ") && plan.contains("not a regular file"), "{plan}");
    }

    #[test]
    fn the_root_is_a_prefix() {
        assert_eq!(below(Path::new("/"), "/mnt/v"), Path::new("/mnt/v"));
        assert_eq!(below(Path::new("/tmp/r"), "/mnt/v"), Path::new("/tmp/r/mnt/v"));
    }
}
