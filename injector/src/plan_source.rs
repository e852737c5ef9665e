//! Where the Plan comes from, and paths and files below `--root`.

use crate::fault::{Class, Fault, FaultKind};
use crate::file::read;
use keysluice_plan::reason::{KS601, KS602};
use keysluice_plan::{PLAN_ENV, Plan, PlanError};
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

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
            let text = read(path, MAX_PLAN_BYTES).and_then(|mut bytes| {
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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn the_root_is_a_prefix() {
        assert_eq!(below(Path::new("/"), "/mnt/v"), Path::new("/mnt/v"));
        assert_eq!(below(Path::new("/tmp/r"), "/mnt/v"), Path::new("/tmp/r/mnt/v"));
    }
}
