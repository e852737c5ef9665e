//! The variables a container gets, where it has none of that name.

use super::token_volume::TokenVolume;
use crate::admission::pod::{Container, EnvVar, Pointer};
use crate::mutate::Mutation;
use crate::mutate::annotations::Annotations;
use crate::reason;
use crate::settings::{CertificateSource, TokenEndpoint};
use serde::Serialize;

/// Names of all variables, in order: four that every container gets, four of the custom token endpoint.
pub(in crate::mutate) const NAMES: [&str; 8] = [
    CLIENT_ID_VARIABLE,
    "AZURE_TENANT_ID",
    TOKEN_FILE_VARIABLE,
    "AZURE_AUTHORITY_HOST",
    "AZURE_KUBERNETES_TOKEN_PROXY",
    "AZURE_KUBERNETES_SNI_NAME",
    "AZURE_KUBERNETES_CA_FILE",
    "AZURE_KUBERNETES_CA_DATA",
];
pub(super) const CLIENT_ID_VARIABLE: &str = "AZURE_CLIENT_ID";
const TOKEN_FILE_VARIABLE: &str = "AZURE_FEDERATED_TOKEN_FILE";

/// An entry of `env` as it is written into the patch.
#[derive(Serialize)]
struct Entry<'a> {
    name: &'a str,
    value: &'a str,
}

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
        let values = [client_id.to_owned(), tenant_id.to_owned(), token.token_file(), authority.to_owned()];
        let (of_all, of_endpoint) = NAMES.split_at(values.len());
        let mut variables: Vec<_> = of_all.iter().copied().zip(values).collect();
        if let Some(endpoint) = endpoint {
            let data = match &endpoint.ca {
                Some(CertificateSource::Data(data)) => data.clone(),
                _ => String::new(),
            };
            let values = [
                endpoint.proxy.clone().unwrap_or_default(),
                endpoint.sni_name.clone().unwrap_or_default(),
                // Only where a file is projected: the SDKs refuse a file and data together, and a file that is not there.
                token.ca_file().unwrap_or_default(),
                data,
            ];
            variables.extend(of_endpoint.iter().copied().zip(values));
        }
        Self(variables)
    }

    /// Adds each variable that is not there yet: at the end, or before the first entry that refers to it by `$(NAME)`.
    ///
    /// An entry that is there is the user's and wins, but for a token path that an earlier run injected and that no mount serves any more
    /// (Azure Workload Identity v1.6.1 moves our mount when it runs after us).
    pub(super) fn add(
        &self,
        mutation: &mut Mutation,
        pointer: Pointer,
        container: &Container<'_>,
        token: &TokenVolume,
        annotations: &Annotations,
    ) {
        let mut present: Option<Vec<(&str, &str)>> = container.env.as_ref().map(|env| env.iter().map(pair).collect());
        let mut overrides_env_from = false;
        for (name, value) in &self.0 {
            let own = annotations.of_container(&container.name, name);
            let value = own.unwrap_or(value);
            let is_left = is_left_to_env_from(container, name, annotations);
            let entries = present.as_deref().unwrap_or_default();
            if let Some(index) = entries.iter().position(|(present, _)| present == name) {
                if own.is_some() || is_left {
                    warn_of_entry(container, name, own, mutation);
                }
                let old = entries[index].1;
                if *name == TOKEN_FILE_VARIABLE && old != value && token.is_astray(old, container) {
                    mutation.patch.replace(format_args!("{pointer}/env/{index}/value"), value);
                }
                continue;
            }
            if value.is_empty() || is_left {
                continue;
            }
            overrides_env_from = container.has_env_from();
            let index = entries.iter().position(|(_, value)| refers_to(value, name)).unwrap_or(entries.len());
            let list = format_args!("{pointer}/env");
            mutation.patch.insert(list, present.as_ref().map(Vec::len), index, Entry { name, value });
            present.get_or_insert_default().insert(index, (name, ""));
        }
        // Who uses the annotation knows of it.
        if overrides_env_from && annotations.env_from_wins.is_empty() {
            mutation.warn(|| {
                format!(
                    "{} container {}: an AZURE_ variable that envFrom supplies is overridden by the injected one",
                    reason::KS254,
                    container.name
                )
            });
        }
    }
}

/// Whether `envFrom` supplies a variable, as the pod says.
pub(super) fn is_left_to_env_from(container: &Container<'_>, name: &str, annotations: &Annotations) -> bool {
    !annotations.env_from_wins.is_empty() && container.has_env_from() && annotations.env_from_wins.contains(&name)
}

/// An entry of `env` wins over what the annotations say: over an identity of the container's own, over `envFrom`.
fn warn_of_entry(container: &Container<'_>, name: &str, own: Option<&str>, mutation: &mut Mutation) {
    let is_same = |entry: &EnvVar<'_>| &*entry.name == name && entry.value.as_deref() == own;
    let annotation = match (own, name) {
        (Some(_), _) if container.env.iter().flatten().any(is_same) => return,
        (Some(_), CLIENT_ID_VARIABLE) => "keysluice.dev/client-ids",
        (Some(_), _) => "keysluice.dev/tenant-ids",
        (None, _) => "keysluice.dev/env-from-wins",
    };
    mutation.warn(|| {
        format!(
            "{} container {}: {name} stands in env already, {annotation} does not change it",
            reason::KS272,
            container.name
        )
    });
}

/// Name and value; the value counts only where it may refer to a variable, or hold a token path.
fn pair<'a>(entry: &'a EnvVar<'_>) -> (&'a str, &'a str) {
    let value = entry.value.as_deref().unwrap_or_default();
    let counts = value.as_bytes().contains(&b'$') || &*entry.name == TOKEN_FILE_VARIABLE;
    (&entry.name, if counts { value } else { "" })
}

/// Whether a value expands `$(name)`; `$$(name)` is an escape and does not (Kubernetes `expansion.Expand`).
fn refers_to(value: &str, name: &str) -> bool {
    // Most values refer to nothing; setting up a search costs more than all of them.
    if value.is_empty() {
        return false;
    }
    value.match_indices("$(").any(|(at, _)| {
        let named = value[at + 2..].strip_prefix(name).is_some_and(|rest| rest.starts_with(')'));
        let dollars = value[..at].bytes().rev().take_while(|byte| *byte == b'$').count();
        named && dollars % 2 == 0
    })
}
