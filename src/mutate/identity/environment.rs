//! The variables a container gets, where it has none of that name.

use super::token_volume::TokenVolume;
use crate::json;
use crate::mutate::annotations::Annotations;
use crate::mutate::entries::EnvEntry;
use crate::mutate::mutation::Mutation;
use crate::mutate::names::{CLIENT_ID_VARIABLE, TOKEN_FILE_VARIABLE, VARIABLE_PREFIX, VARIABLES};
use crate::pod::{Container, Pointer};
use crate::reason;
use crate::settings::{CertificateSource, TokenEndpoint};

/// `$(NAME)` with the shortest of their names: most values of other variables are shorter.
const SHORTEST_REFERENCE: usize = "$(AZURE_CLIENT_ID)".len();

/// Name and value of each, in order; an empty value is not injected.
#[derive(Debug)]
pub(super) struct Variables(Vec<(&'static str, String)>);

impl Variables {
    pub(super) fn new(
        client_id: &str,
        tenant_id: &str,
        token: &TokenVolume,
        authority: &str,
        endpoint: Option<&TokenEndpoint>,
    ) -> Self {
        let values =
            [client_id.to_owned(), tenant_id.to_owned(), token.token_file(), authority.to_owned()];
        let (of_all, of_endpoint) = VARIABLES.split_at(values.len());
        let mut variables: Vec<_> = of_all.iter().copied().zip(values).collect();
        if let Some(endpoint) = endpoint {
            let data = match &endpoint.ca {
                Some(CertificateSource::Data(data)) => data.clone(),
                _ => String::new(),
            };
            let values = [
                endpoint.proxy.clone().unwrap_or_default(),
                endpoint.sni_name.clone().unwrap_or_default(),
                // Only where a file is projected: the SDKs refuse a file and data together, and a
                // file that is not there.
                token.ca_file().unwrap_or_default(),
                data,
            ];
            variables.extend(of_endpoint.iter().copied().zip(values));
        }
        Self(variables)
    }

    /// Names of those that are injected.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().filter(|(_, value)| !value.is_empty()).map(|(name, _)| *name)
    }

    /// Adds each variable that is not there yet: at the end, or before the first entry that refers
    /// to it by `$(NAME)`.
    ///
    /// An entry that is there is the user's and wins, but for a token path that an earlier run
    /// injected and that no mount serves any more (Azure Workload Identity v1.6.1 moves our mount
    /// when it runs after us).
    pub(super) fn add(
        &self,
        mutation: &mut Mutation,
        pointer: Pointer,
        container: &Container<'_>,
        token: &TokenVolume,
        annotations: &Annotations,
    ) {
        let mut present = Present::of(container);
        for (known, (name, value)) in self.0.iter().enumerate() {
            let own = annotations.of_container(&container.name, name);
            let value = own.unwrap_or(value);
            let is_left = is_left_to_env_from(container, name, annotations);
            if let Some(index) = present.named[known] {
                if own.is_some() || is_left {
                    warn_of_entry(container, name, own, mutation);
                }
                let old = present.token_file;
                if *name == TOKEN_FILE_VARIABLE
                    && old != value
                    && token.has_stale_path(old, container)
                {
                    mutation.patch.replace((pointer, "/env/", index, "/value"), value);
                }
                continue;
            }
            if value.is_empty() || is_left {
                continue;
            }
            let length = present.length;
            let index = present.referring[known].or(length).unwrap_or_default();
            mutation.patch.insert((pointer, "/env"), length, index, EnvEntry { name, value });
            if length.is_none() {
                mutation.new_envs.insert(pointer);
            }
            if length.is_some_and(|length| index < length) {
                mutation.inserted_env(pointer, index);
            }
            present.insert(index);
        }
    }
}

/// Whether `envFrom` supplies a variable, as the pod says.
pub(super) fn is_left_to_env_from(
    container: &Container<'_>,
    name: &str,
    annotations: &Annotations,
) -> bool {
    !annotations.env_from_wins.is_empty()
        && container.has_env_from()
        && annotations.env_from_wins.contains(&name)
}

/// An entry of `env` wins over what the annotations say: over an identity of the container's own,
/// over `envFrom`.
fn warn_of_entry(
    container: &Container<'_>,
    name: &str,
    own: Option<&str>,
    mutation: &mut Mutation,
) {
    let mut env = container.env.iter().flatten();
    let annotation = match (own, name) {
        (Some(_), _) if env.any(|entry| &*entry.name == name && entry.value.as_deref() == own) => {
            return;
        }
        (Some(_), CLIENT_ID_VARIABLE) => "keysluice.dev/client-ids",
        (Some(_), _) => "keysluice.dev/tenant-ids",
        (None, _) => "keysluice.dev/env-from-wins",
    };
    mutation.warn(format_args!(
        "{} container {}: env already sets {name}; annotation {annotation} is ignored",
        reason::KS272,
        container.name
    ));
}

/// What matters of `env` as it is there, by position in [`VARIABLES`].
#[derive(Default)]
struct Present<'a> {
    /// The first entry of each variable.
    named: [Option<usize>; VARIABLES.len()],
    /// The first entry whose value refers to each variable.
    referring: [Option<usize>; VARIABLES.len()],
    /// Value of the first [`TOKEN_FILE_VARIABLE`].
    token_file: &'a str,
    /// Number of entries; `None` where there is no list.
    length: Option<usize>,
}

impl<'a> Present<'a> {
    fn of(container: &'a Container<'_>) -> Self {
        let mut present = Self { length: container.env.as_ref().map(Vec::len), ..Self::default() };
        for (index, entry) in container.env.iter().flatten().enumerate() {
            let value = entry.value.as_deref().unwrap_or_default();
            if let Some(known) = known(&entry.name)
                && present.named[known].is_none()
            {
                present.named[known] = Some(index);
                if &*entry.name == TOKEN_FILE_VARIABLE {
                    present.token_file = value;
                }
            }
            if value.len() >= SHORTEST_REFERENCE && json::contains(value.as_bytes(), b'$') {
                let found = references(value);
                for (known, first) in present.referring.iter_mut().enumerate() {
                    if found >> known & 1 == 1 {
                        first.get_or_insert(index);
                    }
                }
            }
        }
        present
    }

    /// An entry was inserted: what comes after it is one further.
    fn insert(&mut self, index: usize) {
        let length = self.length.get_or_insert_default();
        if index < *length {
            for later in self.named.iter_mut().chain(&mut self.referring).flatten() {
                *later += usize::from(*later >= index);
            }
        }
        *length += 1;
    }
}

/// Position in [`VARIABLES`].
fn known(name: &str) -> Option<usize> {
    name.starts_with(VARIABLE_PREFIX)
        .then(|| VARIABLES.iter().position(|known| *known == name))
        .flatten()
}

/// Which variables a value expands by `$(NAME)`, found in one pass; `$$(NAME)` is an escape
/// (Kubernetes `expansion.Expand`).
fn references(value: &str) -> u8 {
    let (mut found, mut rest) = (0, value);
    while let Some(at) = rest.find('$') {
        let after = rest[at..].trim_start_matches('$');
        let dollars = rest.len() - at - after.len();
        rest = after;
        let Some(name) = after.strip_prefix("(AZURE_").filter(|_| dollars % 2 == 1) else {
            continue;
        };
        let known = VARIABLES.iter().position(|known| {
            let known = known.strip_prefix("AZURE_");
            known.and_then(|known| name.strip_prefix(known)?.strip_prefix(')')).is_some()
        });
        if let Some(known) = known {
            found |= 1 << known;
        }
    }
    found
}
