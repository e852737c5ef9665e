//! The projected volume with the pod's token: one that is there already, or one to add.

use super::expiration;
use super::place::{
    HASH_LENGTH, MOUNT_PATH, Place, TOKEN_PATH, V1_5_MOUNT_PATH, V1_5_NAME, is_token_at, sources,
};
use super::wanted::Wanted;
use crate::mutate::context::Context;
use crate::mutate::entries::MountEntry;
use crate::mutate::mutation::Mutation;
use crate::mutate::refusal::{Cause, Refusal, cut};
use crate::pod::{Container, Pod, Pointer, Volume, VolumeMount};
use crate::reason;
use crate::settings::TokenLayout;
use serde::Serialize;
use serde_json::Value;

/// Path of the authority's certificate in the volume (custom token endpoint).
const CA_PATH: &str = "ca-cert/ca.crt";

/// The token volume of one pod.
#[derive(Debug)]
pub(in crate::mutate) struct TokenVolume {
    place: Place,
    /// The layout that pod or operator asks for; a volume that is there keeps its own.
    asked: TokenLayout,
    existing: Existing,
    expiration: i64,
    audience: String,
    /// Projects the authority's certificate beside the token.
    ca: Option<Value>,
}

/// The volume as it is written into the patch.
#[derive(Serialize)]
struct Definition<'a> {
    name: &'a str,
    projected: Sources<'a>,
}

#[derive(Serialize)]
struct Sources<'a> {
    sources: Vec<Source<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Source<'a> {
    #[serde(rename_all = "camelCase")]
    Token {
        service_account_token: Token<'a>,
    },
    Certificate(&'a Value),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Token<'a> {
    path: &'a str,
    expiration_seconds: i64,
    audience: &'a str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Existing {
    None,
    AsItShouldBe,
    /// Another webhook's, for another audience or with sources that we do not know: it stays.
    OfAnother(usize),
    /// Ours by name, but not what it should be.
    Differs(usize),
}

impl TokenVolume {
    /// Finds a volume that an earlier run or Azure Workload Identity left, by its reserved name (so
    /// a pod that was renamed between two runs keeps its one volume), or names a new one in the
    /// layout that is asked for.
    pub(super) fn of(
        pod: &Pod<'_>,
        wanted: Wanted<'_>,
        context: Context<'_>,
    ) -> Result<Self, Refusal> {
        let expiration = expiration::seconds(pod, context)?;
        if let Some(found) = Self::found(pod, wanted, Some(expiration)) {
            return Ok(found);
        }
        if wanted.layout == TokenLayout::V1_5
            && let Some(index) = pod.volumes().iter().position(|volume| &*volume.name == V1_5_NAME)
        {
            let field = format!("/spec/volumes/{index}/name");
            return Err(Cause::ReservedName { field, name: V1_5_NAME.to_owned() }.into());
        }
        Ok(Self {
            place: Place::new(pod, wanted.layout),
            asked: wanted.layout,
            existing: Existing::None,
            expiration,
            audience: wanted.audience.to_owned(),
            ca: wanted.ca().and_then(|ca| ca.projection(CA_PATH)),
        })
    }

    /// The volume that the pod has already; without a lifetime, whatever it has is right.
    pub(super) fn found(
        pod: &Pod<'_>,
        wanted: Wanted<'_>,
        expiration: Option<i64>,
    ) -> Option<Self> {
        let (index, place) = Place::found(pod, wanted)?;
        let existing =
            compare(index, &pod.volumes()[index], place.token_path(), wanted, expiration);
        let is_ours = match existing {
            Existing::None | Existing::AsItShouldBe => true,
            Existing::OfAnother(_) => false,
            // The volumes of a pod that runs cannot be corrected.
            Existing::Differs(_) => expiration.is_some(),
        };
        Some(Self {
            place,
            asked: wanted.layout,
            existing,
            expiration: expiration.unwrap_or_default(),
            audience: wanted.audience.to_owned(),
            ca: wanted.ca().filter(|_| is_ours).and_then(|ca| ca.projection(CA_PATH)),
        })
    }

    /// Whether another webhook made it for another audience.
    pub(super) fn is_of_another(&self) -> bool {
        matches!(self.existing, Existing::OfAnother(_))
    }

    /// Whether it is, or will be, where pod or operator want it; or a volume of that layout is
    /// there too, from an earlier run.
    pub(super) fn is_in_layout(&self, pod: &Pod<'_>) -> bool {
        self.place.layout == self.asked || (self.asked == TokenLayout::V1_5 && has_v1_5(pod))
    }

    /// The mount every container gets.
    pub(in crate::mutate) fn mount(&self) -> MountEntry<'_> {
        MountEntry { name: &self.place.name, mount_path: &self.place.mount_path, read_only: true }
    }

    fn definition(&self) -> Definition<'_> {
        let (path, expiration_seconds, audience) =
            (self.place.token_path(), self.expiration, &*self.audience);
        let token =
            Source::Token { service_account_token: Token { path, expiration_seconds, audience } };
        let sources =
            std::iter::once(token).chain(self.ca.as_ref().map(Source::Certificate)).collect();
        Definition { name: &self.place.name, projected: Sources { sources } }
    }

    /// Whether a volume of this name is this one.
    pub(in crate::mutate) fn is(&self, name: &str) -> bool {
        self.place.name == name
    }

    /// Full path of the token.
    pub(in crate::mutate) fn token_file(&self) -> String {
        self.file_below(&self.place.mount_path)
    }

    /// Full path of the token where the volume is mounted at `mount_path`.
    pub(in crate::mutate) fn file_below(&self, mount_path: &str) -> String {
        format!("{}/{}", mount_path.trim_end_matches('/'), self.place.token_path())
    }

    /// Full path of the authority's certificate, if one is projected.
    pub(super) fn ca_file(&self) -> Option<String> {
        self.ca.is_some().then(|| format!("{}/{CA_PATH}", self.place.mount_path))
    }

    /// Adds the volume, or corrects one of the reserved name that is not what it should be.
    pub(in crate::mutate) fn add(&self, mutation: &mut Mutation, volume_count: &mut Option<usize>) {
        let patch = &mut mutation.patch;
        match self.existing {
            Existing::Differs(index) => {
                patch.replace(("/spec/volumes/", index), self.definition());
            }
            Existing::OfAnother(index) => mutation.warn(format_args!(
                "{} /spec/volumes/{index} ({}) holds a token for another audience than {:?}, \
                     or what another webhook put there: left as it is",
                reason::KS270,
                self.place.name,
                self.audience
            )),
            Existing::AsItShouldBe => {}
            Existing::None => {
                let end = volume_count.unwrap_or_default();
                patch.insert("/spec/volumes", *volume_count, end, self.definition());
                *volume_count = Some(end + 1);
            }
        }
    }

    /// Refuses a container that mounts something else where the token goes.
    pub(super) fn check_mounts(&self, container: &Container<'_>) -> Result<(), Refusal> {
        let Place { name, mount_path, .. } = &self.place;
        let mut others = container.mounts().iter().filter(|mount| *mount.name != **name);
        match others.find(|mount| mount.mount_path.trim_end_matches('/') == *mount_path) {
            None => Ok(()),
            Some(other) => {
                let (container, volume) = (container.name.to_string(), cut(&other.name));
                Err(Cause::TokenPathTaken { container, volume, path: mount_path.clone() }.into())
            }
        }
    }

    /// Adds the mount to a container, or corrects one of the reserved volume that is not where it
    /// should be.
    pub(super) fn mount_into(
        &self,
        mutation: &mut Mutation,
        pointer: Pointer,
        container: &Container<'_>,
    ) {
        let patch = &mut mutation.patch;
        let mount_path = &*self.place.mount_path;
        let mounts = container.mounts();
        let in_place = mounts
            .iter()
            .position(|mount| self.is(&mount.name) && &*mount.mount_path == mount_path);
        let found = in_place.or_else(|| mounts.iter().position(|mount| self.is(&mount.name)));
        match found {
            None => {
                let count = container.volume_mounts.as_ref().map(Vec::len);
                patch.insert((pointer, "/volumeMounts"), count, mounts.len(), self.mount());
                if count.is_none() {
                    mutation.new_mounts.insert(pointer);
                }
            }
            Some(index) if !is_plain(&mounts[index], mount_path) => {
                patch.replace((pointer, "/volumeMounts/", index), self.mount());
            }
            Some(_) => {}
        }
    }

    /// Whether an earlier run injected this token path, another webhook moved the mount since then,
    /// and nothing serves the path now.
    pub(super) fn has_stale_path(&self, path: &str, container: &Container<'_>) -> bool {
        let Some(rest) =
            path.strip_prefix(MOUNT_PATH).and_then(|rest| rest.strip_suffix(TOKEN_PATH))
        else {
            return false;
        };
        // What we inject in the layout that is asked for, while the volume is found in the other:
        // the user's own paths are none of ours.
        let is_injected = match (self.asked, self.place.layout) {
            (TokenLayout::V1_6_0, TokenLayout::V1_6_1) => rest == "/",
            (TokenLayout::V1_6_1, TokenLayout::V1_6_0) => rest.len() == HASH_LENGTH + 2,
            _ => false,
        };
        is_injected && !container.mounts().iter().any(|mount| self.serves(mount, path))
    }

    /// Whether a token may be at this path through a mount.
    fn serves(&self, mount: &VolumeMount<'_>, path: &str) -> bool {
        path.strip_prefix(mount.mount_path.trim_end_matches('/')).is_some_and(|rest| {
            let below = rest.strip_prefix('/');
            rest.is_empty() || below.is_some_and(|file| !self.is(&mount.name) || file == TOKEN_PATH)
        })
    }
}

fn compare(
    index: usize,
    volume: &Volume<'_>,
    token_path: &str,
    wanted: Wanted<'_>,
    expiration: Option<i64>,
) -> Existing {
    let (sources, ca) = (sources(volume), wanted.ca());
    let source = sources.iter().find(|source| is_token_at(source, token_path));
    let Some(token) = source.and_then(|source| source.service_account_token.as_ref()) else {
        return Existing::Differs(index);
    };
    let is_for_us = token.audience.as_deref() == Some(wanted.audience);
    let lasts = expiration.is_none_or(|seconds| token.expiration_seconds == Some(seconds));
    let is_complete = match (sources, ca) {
        ([_], None) => true,
        ([_, source], Some(ca)) => ca.is_projected_by(source),
        _ => false,
    };
    match (is_for_us, is_complete) {
        (true, true) if lasts => Existing::AsItShouldBe,
        (true, false) if sources.len() > 1 => Existing::OfAnother(index),
        // A pod that asks for our token endpoint has no use for a token of another audience.
        (false, _) if wanted.endpoint.is_none() => Existing::OfAnother(index),
        _ => Existing::Differs(index),
    }
}

fn is_plain(mount: &VolumeMount<'_>, path: &str) -> bool {
    &*mount.mount_path == path
        && mount.read_only == Some(true)
        && mount.sub_path.as_deref().is_none_or(str::is_empty)
        && mount.sub_path_expr.as_deref().is_none_or(str::is_empty)
}

/// Whether the pod has the volume of v1.5 and a container that mounts it there.
fn has_v1_5(pod: &Pod<'_>) -> bool {
    let mut mounts = pod.all_containers().flat_map(|(_, container)| container.mounts());
    pod.volumes().iter().any(|volume| &*volume.name == V1_5_NAME)
        && mounts.any(|mount| &*mount.name == V1_5_NAME && &*mount.mount_path == V1_5_MOUNT_PATH)
}
