//! The variables a container gets, where it has none of that name.

use super::token_volume::TokenVolume;
use crate::admission::patch::Patch;
use crate::admission::pod::{Container, EnvVar, Pointer};
use crate::mutate::annotations::Annotations;
use crate::settings::{CertificateSource, TokenEndpoint};
use serde::Serialize;

/// Names of the four variables every container gets, in order.
pub(in crate::mutate) const NAMES: [&str; 4] =
    ["AZURE_CLIENT_ID", "AZURE_TENANT_ID", TOKEN_FILE_VARIABLE, "AZURE_AUTHORITY_HOST"];
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
        let mut variables: Vec<_> = NAMES.into_iter().zip(values).collect();
        if let Some(endpoint) = endpoint {
            let data = match &endpoint.ca {
                Some(CertificateSource::Data(data)) => data.clone(),
                _ => String::new(),
            };
            variables.extend([
                ("AZURE_KUBERNETES_TOKEN_PROXY", endpoint.proxy.clone().unwrap_or_default()),
                ("AZURE_KUBERNETES_SNI_NAME", endpoint.sni_name.clone().unwrap_or_default()),
                // Only where a file is projected: the SDKs refuse a file and data together, and a file that is not there.
                ("AZURE_KUBERNETES_CA_FILE", token.ca_file().unwrap_or_default()),
                ("AZURE_KUBERNETES_CA_DATA", data),
            ]);
        }
        Self(variables)
    }

    /// Adds each variable that is not there yet: at the end, or before the first entry that refers to it by `$(NAME)`.
    ///
    /// An entry that is there is the user's and wins, but for a token path that an earlier run injected and that no mount serves any more
    /// (Azure Workload Identity v1.6.1 moves our mount when it runs after us).
    pub(super) fn add(
        &self,
        patch: &mut Patch,
        pointer: Pointer,
        container: &Container<'_>,
        token: &TokenVolume,
        annotations: &Annotations,
    ) {
        let mut present: Option<Vec<(&str, &str)>> = container.env.as_ref().map(|env| env.iter().map(pair).collect());
        for (name, value) in &self.0 {
            let value = annotations.of_container(&container.name, name).unwrap_or(value);
            let left_to_env_from = container.has_env_from() && annotations.env_from_wins.contains(name);
            if value.is_empty() || left_to_env_from {
                continue;
            }
            let entries = present.as_deref().unwrap_or_default();
            if let Some(index) = entries.iter().position(|(present, _)| present == name) {
                let old = entries[index].1;
                if *name == TOKEN_FILE_VARIABLE && old != value && token.is_astray(old, container) {
                    patch.replace(format_args!("{pointer}/env/{index}/value"), value);
                }
                continue;
            }
            let index = entries.iter().position(|(_, value)| refers_to(value, name)).unwrap_or(entries.len());
            let list = format_args!("{pointer}/env");
            patch.insert(list, present.as_ref().map(Vec::len), index, Entry { name, value });
            present.get_or_insert_default().insert(index, (name, ""));
        }
    }
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
