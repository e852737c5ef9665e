//! What of a ServiceAccount matters.

use crate::mutate::MAX_WARNINGS;
use crate::provider_class::{is_guid, is_placeholder};
use crate::reason;
use crate::spelling;

/// ServiceAccount annotation: client id.
pub const CLIENT_ID_ANNOTATION: &str = "azure.workload.identity/client-id";
/// ServiceAccount annotation: tenant id.
pub const TENANT_ID_ANNOTATION: &str = "azure.workload.identity/tenant-id";
/// Annotation of pod and ServiceAccount: lifetime of the token in seconds.
pub(super) const EXPIRATION_ANNOTATION: &str = "azure.workload.identity/service-account-token-expiration";

/// A ServiceAccount's `azure.workload.identity/` annotations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceAccount {
    /// `client-id`; never empty.
    pub client_id: Option<String>,
    /// `tenant-id`; never empty: an empty annotation falls back to the cluster default.
    pub tenant_id: Option<String>,
    /// `service-account-token-expiration`; never empty, not yet parsed.
    pub token_expiration: Option<String>,
    /// Keys that look like one of the above and are not: nobody reads them.
    pub misspelt: Vec<String>,
}

impl ServiceAccount {
    /// Picks what matters out of a ServiceAccount's annotations.
    pub fn from_annotations<'a>(annotations: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut read = Self::default();
        for (key, value) in annotations {
            let field = match key {
                CLIENT_ID_ANNOTATION => &mut read.client_id,
                TENANT_ID_ANNOTATION => &mut read.tenant_id,
                EXPIRATION_ANNOTATION => &mut read.token_expiration,
                _ if looks_like_ours(key) => {
                    read.misspelt.push(key.to_owned());
                    continue;
                }
                _ => continue,
            };
            *field = Some(value.to_owned()).filter(|value| !value.is_empty());
        }
        read
    }

    /// Admission warnings about it: no client id where one is needed, ids that are no GUIDs, keys that nobody reads.
    pub(super) fn warnings(&self, name: &str, needs_client_id: bool) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.client_id.is_none() && needs_client_id {
            warnings.push(format!(
                "{} ServiceAccount {name} has no annotation {CLIENT_ID_ANNOTATION}: AZURE_CLIENT_ID is not set",
                reason::KS250
            ));
        }
        for (key, value) in [(CLIENT_ID_ANNOTATION, &self.client_id), (TENANT_ID_ANNOTATION, &self.tenant_id)] {
            // A tenant may be named by its domain.
            if let Some(value) = value
                && !is_guid(value)
                && !(key == TENANT_ID_ANNOTATION && value.contains('.'))
            {
                warnings.push(if is_placeholder(value) {
                    let (code, fix) = (reason::KS108, reason::KS108.fix);
                    format!("{code} ServiceAccount {name}: {key} still holds a placeholder: {value:?}; hint: {fix}")
                } else {
                    format!("{} ServiceAccount {name}: {key}: {value:?} is no GUID", reason::KS255)
                });
            }
        }
        for key in self.misspelt.iter().take(MAX_WARNINGS) {
            warnings.push(format!(
                "{} ServiceAccount {name}: nobody reads the annotation {key}; did you mean {}?",
                reason::KS256,
                nearest(key)
            ));
        }
        warnings
    }
}

const KNOWN: &[&str] = &[CLIENT_ID_ANNOTATION, TENANT_ID_ANNOTATION, EXPIRATION_ANNOTATION];
const PREFIX: &str = "azure.workload.identity/";

/// Below our prefix but unknown, or a known key with a slip of the pen anywhere.
fn looks_like_ours(key: &str) -> bool {
    // The label's key is often put here too; it does no harm.
    let below_prefix = key.starts_with(PREFIX) && key != super::USE_LABEL;
    below_prefix || (key.contains("workload") && spelling::nearest(key, KNOWN, 2).is_some())
}

/// The key that was meant; most often the client id's.
fn nearest(key: &str) -> &'static str {
    spelling::nearest(key, KNOWN, FAR).unwrap_or(CLIENT_ID_ANNOTATION)
}

/// Near enough for a key below our prefix: it can only be one of these.
const FAR: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_the_pen_are_named_with_the_nearest_key() {
        let guid = "8c1d7a52-66b0-4f3e-8a11-90d3c7e2b4a8";
        for (key, nearest) in [
            ("azure.workload.identity/client_id", CLIENT_ID_ANNOTATION),
            ("azure.workload.identity/clientid", CLIENT_ID_ANNOTATION),
            ("azure.workload.identiy/client-id", CLIENT_ID_ANNOTATION),
            ("azure.workload.identity/tenantId", TENANT_ID_ANNOTATION),
        ] {
            let account = ServiceAccount::from_annotations([(CLIENT_ID_ANNOTATION, guid), (key, "x")]);
            let warnings = account.warnings("sa", true);
            assert!(
                warnings.len() == 1 && warnings[0].contains(key) && warnings[0].ends_with(&format!("{nearest}?")),
                "{warnings:?}"
            );
        }
        for key in ["azure.workload.identity/use", "app.kubernetes.io/name", "meta.helm.sh/release-name"] {
            assert!(
                ServiceAccount::from_annotations([(CLIENT_ID_ANNOTATION, guid), (key, "x")])
                    .warnings("sa", true)
                    .is_empty(),
                "{key}"
            );
        }
    }

    #[test]
    fn ids_that_are_no_guids_give_a_warning() {
        let warnings = |client: &str, tenant: &str| {
            ServiceAccount::from_annotations([(CLIENT_ID_ANNOTATION, client), (TENANT_ID_ANNOTATION, tenant)])
                .warnings("sa", true)
                .len()
        };
        let guid = "8c1d7a52-66b0-4f3e-8a11-90d3c7e2b4a8";
        assert_eq!(warnings(guid, guid), 0);
        assert_eq!(warnings(guid, "contoso.onmicrosoft.com"), 0);
        assert_eq!(warnings("my-identity", guid), 1);
        assert_eq!(warnings("8c1d7a52-66b0-4f3e-8a11-90d3c7e2b4g8", "contoso"), 2);
    }
}
