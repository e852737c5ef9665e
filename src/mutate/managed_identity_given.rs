//! What containers get of the managed-identity endpoint: two variables, which every Azure SDK with
//! support for App Service reads.

use super::earlier_run::{is_sidecar, plan_of};
use super::entries::EnvEntry;
use super::expansion::refers_to;
use super::mutation::Mutation;
use crate::pod::{Container, EnvVar, Pod, Pointer};
use crate::reason;
use keysluice_plan::{ENDPOINT_PATH, ManagedIdentityEndpoint};

const ENDPOINT_VARIABLE: &str = "IDENTITY_ENDPOINT";
const HEADER_VARIABLE: &str = "IDENTITY_HEADER";

/// The variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EndpointVariables {
    url: String,
    header: String,
}

impl EndpointVariables {
    /// Of an endpoint on this port.
    pub(super) fn new(port: u16, header: &str) -> Self {
        let url = format!("http://127.0.0.1:{port}{ENDPOINT_PATH}");
        Self { url, header: header.to_owned() }
    }

    /// Of the endpoint that the pod's sidecar serves, from an earlier run.
    pub(super) fn of_pod(pod: &Pod<'_>) -> Option<Self> {
        let sidecar = pod.init_containers().iter().find(|container| is_sidecar(container))?;
        let ManagedIdentityEndpoint { port, header, .. } = plan_of(sidecar)?.managed_identity?;
        Some(Self::new(port, &header))
    }

    /// Adds them to a container: at the end, or before the first entry that refers to one of them.
    /// They belong together: a container that sets one itself gets none.
    pub(super) fn add(&self, pointer: Pointer, container: &Container<'_>, mutation: &mut Mutation) {
        let entries = [(ENDPOINT_VARIABLE, &*self.url), (HEADER_VARIABLE, &*self.header)];
        let env = container.env.as_deref().unwrap_or_default();
        let set = entries.iter().find(|(name, _)| entry_of(env, name).is_some());
        if let Some((name, _)) = set {
            let is_ours = entries.iter().all(|(name, value)| {
                entry_of(env, name).is_some_and(|entry| entry.value.as_deref() == Some(*value))
            });
            if !is_ours {
                mutation.warn(format_args!(
                    "{} container {}: env already sets {name}; it does not use the pod's \
                     managed-identity endpoint",
                    reason::KS278,
                    container.name
                ));
            }
            return;
        }
        let referring = env.iter().position(|entry| {
            let value = entry.value.as_deref();
            value.is_some_and(|value| entries.iter().any(|(name, _)| refers_to(value, name)))
        });
        for (name, value) in entries {
            let entry = EnvEntry { name, value };
            if let Some(index) = referring {
                let index = mutation.shifted_env(pointer, index);
                mutation.patch.add((pointer, "/env/", index), entry);
                mutation.inserted_env(pointer, index);
                continue;
            }
            let has_list = container.env.is_some() || mutation.has_new_env(pointer);
            mutation.patch.insert((pointer, "/env"), has_list.then_some(0), 0, entry);
            if !has_list {
                mutation.new_envs.insert(pointer);
            }
        }
    }
}

fn entry_of<'e, 'a>(env: &'e [EnvVar<'a>], name: &str) -> Option<&'e EnvVar<'a>> {
    env.iter().find(|entry| &*entry.name == name)
}
