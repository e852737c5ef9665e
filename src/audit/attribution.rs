//! Whose call a record is. The id of a request is what the client says: it is checked with the
//! identity in the token, which Key Vault has verified. What does not fit is nobody's.

use super::event::Event;
use super::pods::{Found, Pods};

/// Whose call it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attribution {
    /// A pod's, by its number.
    Pod {
        index: usize,
        /// Whether the caller signed in with an identity of the pod.
        is_checked: bool,
    },
    /// Nobody's who could be told.
    None(Reason),
}

/// Why a call is nobody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Reason {
    /// It has no id of a sidecar.
    NoId,
    /// Its id names a pod that neither the cluster nor the record has.
    UnknownPod,
    /// Its id fits several pods.
    SeveralPods,
    /// Its two ids name different pods.
    DifferentPods,
    /// The caller signed in with an identity that is not the pod's.
    OtherIdentity,
}

impl Reason {
    /// For programs.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::NoId => "no-id",
            Self::UnknownPod => "unknown-pod",
            Self::SeveralPods => "several-pods",
            Self::DifferentPods => "different-pods",
            Self::OtherIdentity => "other-identity",
        }
    }

    /// For people.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::NoId => "no id of a sidecar",
            Self::UnknownPod => "the pod is not known",
            Self::SeveralPods => "the id fits several pods",
            Self::DifferentPods => "two ids of different pods",
            Self::OtherIdentity => "the identity is not the pod's",
        }
    }
}

impl Attribution {
    /// Of a call, among these pods.
    pub(super) fn of(event: &Event, pods: &Pods) -> Self {
        let by_correlation = event.correlation.map_or(Found::None, |id| pods.of_request(id));
        let by_agent = event.request.map(|id| pods.of_uid(id.pod));
        let index = match (by_agent, by_correlation) {
            (Some(Found::Pod(one)), Found::Pod(other)) if one != other => {
                return Self::None(Reason::DifferentPods);
            }
            // The whole uid is more than its beginning.
            (Some(Found::Pod(index)), _) | (None, Found::Pod(index)) => index,
            (Some(_), Found::Pod(_)) => return Self::None(Reason::DifferentPods),
            (Some(_), _) => return Self::None(Reason::UnknownPod),
            (None, Found::Several) => return Self::None(Reason::SeveralPods),
            (None, Found::None) => return Self::None(Reason::NoId),
        };
        match pods.pod(index).signs_in_with(event.app) {
            Some(false) => Self::None(Reason::OtherIdentity),
            known => Self::Pod { index, is_checked: known.is_some() },
        }
    }
}
