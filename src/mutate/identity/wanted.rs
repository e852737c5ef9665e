//! The token volume that pod and operator ask for.

use crate::settings::{CertificateSource, TokenEndpoint, TokenLayout};

/// What a token volume should be.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) layout: TokenLayout,
    pub(super) audience: &'a str,
    /// The token endpoint, where the pod asks for it.
    pub(super) endpoint: Option<&'a TokenEndpoint>,
}

impl<'a> Wanted<'a> {
    /// The authority that becomes a file in the volume.
    pub(super) fn ca(&self) -> Option<&'a CertificateSource> {
        self.endpoint.and_then(|endpoint| endpoint.ca.as_ref()).filter(|ca| ca.is_file())
    }
}
