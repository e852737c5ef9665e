//! Certificates: the leaf as PEM, nothing else. The chain is in the secret of the same name.

use super::pem::{self, CERTIFICATE};
use super::{Content, ContentError, Produced, version_of};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use keysluice_plan::ObjectType;
use serde::Deserialize;

#[derive(Deserialize)]
struct Bundle {
    id: Option<String>,
    cer: Option<String>,
}

/// The file's bytes.
pub(super) fn produce(body: &[u8]) -> Result<Produced, ContentError> {
    let bundle: Bundle =
        serde_json::from_slice(body).map_err(|_| ContentError::Json(ObjectType::Cert))?;
    if bundle.cer.is_none() && bundle.id.is_none() {
        return Err(ContentError::Json(ObjectType::Cert));
    }
    let cer = bundle.cer.ok_or(ContentError::Missing("certificate value"))?;
    let version = version_of(&bundle.id.ok_or(ContentError::Missing("certificate id"))?);
    let der = STANDARD.decode(cer).map_err(|_| ContentError::Certificate)?;
    let mut text = pem::buffer(der.len(), 1);
    pem::append(&mut text, CERTIFICATE, &der);
    Ok(Produced { content: Content::text(text), version })
}
