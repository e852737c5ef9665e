//! The token proxy of AKS identity bindings: which pods use it, and the sidecar's token for it.
//!
//! The token is one of the sidecar's own: that of the pod is for its containers, and may be for
//! Entra.

use super::entries::MountEntry;
use super::names::TOKEN_PROXY_VOLUME;
use crate::pod::Pod;
use crate::provider_class::TokenProxyUse;
use crate::settings::{Settings, TokenEndpoint};
use keysluice_plan::{TOKEN_PROXY_CA, TOKEN_PROXY_DIRECTORY, TOKEN_PROXY_TOKEN};
use serde_json::{Value, json};

/// The kubelet renews the token when 80 % of this have passed.
const TOKEN_SECONDS: u32 = 3600;

/// What the sidecar of this pod uses it for.
pub(super) fn use_by(pod: &Pod<'_>, settings: &Settings) -> TokenProxyUse {
    let asks = settings.token_endpoint.as_ref().is_some_and(|endpoint| endpoint.is_used_by(pod));
    match settings.token_proxy_use() {
        TokenProxyUse::OnRequest if asks => TokenProxyUse::Always,
        known => known,
    }
}

/// The volume with the token, and with the proxy's authority if that becomes a file.
pub(super) fn volume(endpoint: &TokenEndpoint) -> Value {
    let token = json!({"serviceAccountToken": {"path": TOKEN_PROXY_TOKEN,
        "expirationSeconds": TOKEN_SECONDS, "audience": endpoint.audience}});
    let authority = endpoint.ca.as_ref().and_then(|ca| ca.projection(TOKEN_PROXY_CA));
    let sources: Vec<Value> = std::iter::once(token).chain(authority).collect();
    json!({"name": TOKEN_PROXY_VOLUME, "projected": {"sources": sources}})
}

/// Its mount in the sidecar.
pub(super) fn mount() -> MountEntry<'static> {
    MountEntry { name: TOKEN_PROXY_VOLUME, mount_path: TOKEN_PROXY_DIRECTORY, read_only: true }
}

#[cfg(test)]
#[path = "token_proxy_tests.rs"]
mod tests;
