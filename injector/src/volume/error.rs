//! Why a volume has no new generation.

use super::tree::TreeError;
use crate::fault::{Class, Fault};
use keysluice_plan::RelativePath;
use keysluice_plan::reason::{KS501, KS502, KS503, KS504, KS505, KS506};
use rustix::io::Errno;
use std::path::{Path, PathBuf};

/// Why a volume has no new generation.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// The directory is not there or not one.
    #[error("volume {}: {error}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The system's word.
        #[source]
        error: std::io::Error,
    },
    /// A call failed, `ENOSPC` among others.
    #[error("{}: {error}", path.display())]
    Io {
        /// What it was about.
        path: PathBuf,
        /// The system's word.
        #[source]
        error: std::io::Error,
    },
    /// A group that is none of ours.
    #[error("{} cannot belong to group {group}: {error}", path.display())]
    Group {
        /// The file.
        path: PathBuf,
        /// The group.
        group: u32,
        /// The system's word.
        #[source]
        error: std::io::Error,
    },
    /// A name the volume needs belongs to a file that is not ours.
    #[error("{} exists and is not a link of ours", path.display())]
    Foreign {
        /// The name.
        path: PathBuf,
    },
    /// Something lies where only generations of ours do.
    #[error("{} {problem}", path.display())]
    Stranger {
        /// The name.
        path: PathBuf,
        /// What it is, or why it stays.
        problem: String,
    },
    /// A file to be kept is not in the current generation.
    #[error("file {path} is neither fetched nor in the current generation")]
    Incomplete {
        /// The file.
        path: RelativePath,
    },
}

impl VolumeError {
    /// Whether there is no space left.
    pub fn is_full(&self) -> bool {
        let Self::Io { error, .. } = self else { return false };
        let full = [Errno::NOSPC, Errno::DQUOT].map(Errno::raw_os_error);
        error.raw_os_error().is_some_and(|raw| full.contains(&raw))
    }

    /// As code and message.
    pub fn fault(&self) -> Fault {
        match self {
            _ if self.is_full() => Fault::new(KS501, Class::Transient, self),
            Self::Directory { .. } => Fault::new(KS502, Class::Permanent, self),
            Self::Group { .. } => Fault::new(KS505, Class::Permanent, self),
            Self::Foreign { .. } => Fault::new(KS504, Class::Slow, self),
            Self::Stranger { .. } => Fault::new(KS506, Class::Slow, self),
            Self::Io { .. } | Self::Incomplete { .. } => Fault::new(KS503, Class::Transient, self),
        }
    }
}

pub(super) fn io(volume: &Path, name: &str, errno: Errno) -> VolumeError {
    VolumeError::Io { path: volume.join(name), error: errno.into() }
}

/// Completes an error of the tree, which knows only what lies below the volume.
pub(super) fn with_path(volume: &Path) -> impl Fn(TreeError) -> VolumeError {
    |error| match error.errno() {
        errno if error.group().is_some() => VolumeError::Group {
            path: volume.join(error.name()),
            group: error.group().unwrap_or_default(),
            error: errno.into(),
        },
        Errno::EXIST => VolumeError::Foreign { path: volume.join(error.name()) },
        // What the allowance of a removal says.
        Errno::AGAIN => VolumeError::Stranger {
            path: volume.join(error.name()),
            problem: "has more entries than are removed at once; the rest goes later".to_owned(),
        },
        errno => io(volume, error.name(), errno),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_much_to_remove_at_once_is_not_the_sidecars() {
        let path = PathBuf::from("/v/..old");
        let problem = "has more entries than are removed at once; the rest goes later".to_owned();
        let fault = VolumeError::Stranger { path, problem }.fault();
        assert!(fault.to_string().starts_with("KS506 /v/..old has more entries"), "{fault}");
        assert_eq!(fault.class, Class::Slow);
    }
}
