//! The result of a decision: patch, warnings, and the reasons for them.

use super::bounds::TooLarge;
use super::names::{CSI_DRIVER, INTERCEPTOR, USE_LABEL};
use crate::bounded::bounded;
use crate::patch::{Patch, STORED_LIMIT_BYTES};
use crate::pod::Pointer;
use crate::provider_class::MAX_WARNINGS;
use crate::reason::{KS286, KS287, KS288, KS289, KS293};
use keysluice_plan::{IMDS_ADDRESS, IMDS_PORT, WorkloadReference};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};

/// Bytes of one warning.
const MAX_WARNING_BYTES: usize = 512;

/// The result: what changes, what to warn about, and why.
#[derive(Debug, Default)]
pub struct Mutation {
    /// The operations; empty if nothing changes.
    pub patch: Patch,
    /// Admission warnings, each with its code.
    pub warnings: Vec<String>,
    /// Why the pod was selected, or not.
    pub notes: Vec<Note>,
    /// Containers that had no `env`, and that the patch gives one.
    pub(super) new_envs: BTreeSet<Pointer>,
    /// Entries of `env` that the patch inserts before others, by container, in order.
    inserted_envs: BTreeMap<Pointer, Vec<usize>>,
    /// Containers that had no `volumeMounts`, and that the patch gives some.
    pub(super) new_mounts: BTreeSet<Pointer>,
}

impl Mutation {
    /// Adds a warning, which is formatted only where there is room, and only as far: a pod may have
    /// 20,000 reasons for one.
    pub(super) fn warn(&mut self, text: impl Display) {
        if self.warnings.len() < MAX_WARNINGS {
            self.warnings.push(bounded(text, MAX_WARNING_BYTES));
        }
    }

    /// Whether the patch gives a container its `env`.
    pub(super) fn has_new_env(&self, pointer: Pointer) -> bool {
        self.new_envs.contains(&pointer)
    }

    /// Whether the patch gives a container its `volumeMounts`.
    pub(super) fn has_new_mounts(&self, pointer: Pointer) -> bool {
        self.new_mounts.contains(&pointer)
    }

    /// The patch inserts an entry of `env` before this one.
    pub(super) fn inserted_env(&mut self, pointer: Pointer, index: usize) {
        self.inserted_envs.entry(pointer).or_default().push(index);
    }

    /// Where an entry of the pod's `env` is after the operations so far.
    pub(super) fn shifted_env(&self, pointer: Pointer, index: usize) -> usize {
        let of_container = self.inserted_envs.get(&pointer).into_iter().flatten();
        of_container.fold(index, |at, inserted| at + usize::from(*inserted <= at))
    }

    /// Refuses a patch that became too large; there is none then.
    pub(super) fn check_size(&self) -> Result<(), TooLarge> {
        if self.patch.is_too_large() {
            return Err(TooLarge::Patch { limit: STORED_LIMIT_BYTES });
        }
        Ok(())
    }
}

/// What a ServiceAccount must be able to do for a reaction of its pods.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReactionRight {
    /// `create` on `pods/eviction`.
    Evict,
    /// `patch` on this workload.
    Rollout(WorkloadReference),
}

impl ReactionRight {
    /// The verb that RBAC must allow.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Evict => "create",
            Self::Rollout(_) => "patch",
        }
    }
}

/// `pods/eviction`, `deployments/web`.
impl fmt::Display for ReactionRight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Evict => f.write_str("pods/eviction"),
            Self::Rollout(workload) => workload.fmt(f),
        }
    }
}

/// Why a pod, or one of its volumes, is changed or let through.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Note {
    /// Neither label nor volume.
    #[error(
        "{KS286} not selected: no label {USE_LABEL}: \"true\" and no volume of driver {CSI_DRIVER}"
    )]
    NotSelected,
    /// By label.
    #[error("selected by its label {USE_LABEL}: \"true\": identity environment and token volume")]
    Label,
    /// By volume.
    #[error(
        "volume {volume}: SecretProviderClass {class} of provider azure: {files} file(s) from \
         {vaults}, served from a tmpfs{details}"
    )]
    Volume {
        /// The volume.
        volume: String,
        /// The class.
        class: String,
        /// How many files.
        files: usize,
        /// The vaults.
        vaults: String,
        /// What a number of files does not show: histories, selections.
        details: String,
    },
    /// By a Secret that the sidecar makes.
    #[error(
        "volume {volume}: {files} key(s) of Secrets that the sidecar makes, served from a tmpfs"
    )]
    SecretVolume {
        /// The volume.
        volume: String,
        /// How many files.
        files: usize,
    },
    /// Files of annotations.
    #[error("annotations keysluice.dev/file.NAME: {count} file(s) below {path}")]
    InlineFiles {
        /// How many.
        count: usize,
        /// Where.
        path: String,
    },
    /// Variables without a Secret.
    #[error("variables {names}: {how}")]
    Variables {
        /// Their names.
        names: String,
        /// How they get into the processes.
        how: &'static str,
    },
    /// A Kubernetes Secret.
    #[error(
        "Secret {secret}: made by the sidecar from secretObjects of SecretProviderClass {class}"
    )]
    Secret {
        /// Its name.
        secret: String,
        /// The class.
        class: String,
    },
    /// The sidecar.
    #[error("sidecar: runs as uid {uid}{group}; {gate}")]
    Sidecar {
        /// Its uid, to which the files belong.
        uid: i64,
        /// Its gid, if one is known.
        group: String,
        /// How the application waits for it.
        gate: &'static str,
    },
    /// The managed-identity endpoint.
    #[error("managed-identity endpoint: port {port} of 127.0.0.1, for {identities} identity(s)")]
    ManagedIdentity {
        /// Where.
        port: u16,
        /// How many.
        identities: usize,
    },
    /// The address of IMDS.
    #[error(
        "managed-identity endpoint: also {IMDS_ADDRESS}:{IMDS_PORT} in the pod; init container \
         {INTERCEPTOR} adds the address as root with NET_ADMIN, which Pod Security allows only \
         in a namespace with the level privileged"
    )]
    Intercept,
    /// A reaction to changed files.
    #[error("when files change: {action}{whom}, each replica within {spread_seconds} s")]
    Reaction {
        /// What is done.
        action: String,
        /// To which containers, or of which workload.
        whom: String,
        /// Time within which the replicas react.
        spread_seconds: u64,
    },
    /// A right that a reaction needs.
    #[error("the reaction needs the right {} on {right}", right.verb())]
    ReactionRight {
        /// Which.
        right: ReactionRight,
    },
    /// A static pod's image in the API.
    #[error("{KS287} a mirror pod: the kubelet runs it from its own manifest")]
    Mirror,
    /// New ephemeral containers of a pod with a token.
    #[error("new ephemeral containers get the pod's identity")]
    Ephemeral,
    /// Ephemeral containers of a pod without one.
    #[error("{KS293} ephemeral containers are left alone: the pod has no token volume")]
    NoToken,
    /// The CSI driver keeps it.
    #[error("{KS288} volume {volume}: left to the Secrets Store CSI driver, {why}")]
    LeftToCsiDriver {
        /// The volume.
        volume: String,
        /// Who says so.
        why: &'static str,
    },
    /// Not ours.
    #[error("{KS289} volume {volume}: provider {provider:?} is not azure: left alone")]
    OtherProvider {
        /// The volume.
        volume: String,
        /// Its provider.
        provider: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_as_it_is_has_a_code() {
        let (volume, provider) = ("v".to_owned(), "vault".to_owned());
        for (note, text) in [
            (Note::NotSelected, "KS286 not selected: "),
            (Note::Mirror, "KS287 a mirror pod: "),
            (Note::LeftToCsiDriver { volume: volume.clone(), why: "so" }, "KS288 volume v: left "),
            (Note::OtherProvider { volume, provider }, "KS289 volume v: provider \"vault\" is not"),
            (Note::NoToken, "KS293 ephemeral containers are left alone"),
        ] {
            assert!(note.to_string().starts_with(text), "{note}");
        }
    }
}
