//! What of a ServiceAccount matters.

use super::bounds::TooLarge;
use super::limits::MAX_ID_BYTES;
use super::names::{CLIENT_ID_ANNOTATION, EXPIRATION_ANNOTATION, TENANT_ID_ANNOTATION, USE_LABEL};
use super::refusal::cut;
use crate::bounded::bounded;
use crate::heap;
use crate::provider_class::{is_guid, is_placeholder};
use crate::reason;
use crate::spelling;

/// Misspelt keys that are named, and how much of each.
const NAMED_MISSPELT: usize = 3;
const NAMED_MISSPELT_BYTES: usize = 64;
/// Keys that are compared with the known ones, letter by letter.
const MOST_COMPARED: usize = 64;

/// A ServiceAccount's `azure.workload.identity/` annotations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceAccount {
    /// `client-id`; never empty.
    pub client_id: Option<String>,
    /// `tenant-id`; never empty: an empty annotation falls back to the cluster default.
    pub tenant_id: Option<String>,
    /// `service-account-token-expiration`; never empty, not yet parsed.
    pub token_expiration: Option<String>,
    /// The first keys that look like one of the above and are not: they have no effect.
    pub misspelt: Vec<String>,
    /// How many such keys there are.
    pub misspelt_count: usize,
    /// Which of the ids are longer than any id: they are not kept, and a pod that needs them is
    /// refused.
    pub too_long: Vec<&'static str>,
}

impl ServiceAccount {
    /// Picks what matters out of a ServiceAccount's annotations.
    pub fn from_annotations<'a>(annotations: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut read = Self::default();
        let mut compared = 0;
        for (key, value) in annotations {
            match key {
                CLIENT_ID_ANNOTATION => read.client_id = read.id(CLIENT_ID_ANNOTATION, value),
                TENANT_ID_ANNOTATION => read.tenant_id = read.id(TENANT_ID_ANNOTATION, value),
                // What is cut is not a number, and the pod is told so.
                EXPIRATION_ANNOTATION => {
                    read.token_expiration =
                        Some(bounded(value, 64)).filter(|text| !text.is_empty());
                }
                _ if looks_like_ours(key, &mut compared) => {
                    read.misspelt_count += 1;
                    if read.misspelt.len() < NAMED_MISSPELT {
                        read.misspelt.push(bounded(key, NAMED_MISSPELT_BYTES));
                    }
                }
                _ => {}
            }
        }
        read
    }

    fn id(&mut self, key: &'static str, value: &str) -> Option<String> {
        self.too_long.retain(|known| *known != key);
        if value.len() > MAX_ID_BYTES {
            self.too_long.push(key);
            return None;
        }
        Some(value.to_owned()).filter(|value| !value.is_empty())
    }

    /// Refuses ids that are longer than any: each container would get a copy.
    pub(super) fn check_ids(&self, account: &str) -> Result<(), TooLarge> {
        match self.too_long.first() {
            Some(annotation) => {
                Err(TooLarge::Id { annotation, account: cut(account), limit: MAX_ID_BYTES })
            }
            None => Ok(()),
        }
    }

    /// What its texts take on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        let ids = [&self.client_id, &self.tenant_id, &self.token_expiration].into_iter().flatten();
        let texts =
            ids.chain(&self.misspelt).map(|text| heap::block(text.capacity())).sum::<usize>();
        let lists = heap::block(self.misspelt.capacity() * size_of::<String>());
        texts + lists + heap::block(self.too_long.capacity() * size_of::<&str>())
    }

    /// Admission warnings about it: no client id where one is needed, ids that are no GUIDs, keys
    /// without effect.
    pub(super) fn warnings(&self, name: &str, needs_client_id: bool) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.client_id.is_none()
            && needs_client_id
            && !self.too_long.contains(&CLIENT_ID_ANNOTATION)
        {
            warnings.push(format!(
                "{} ServiceAccount {name} has no annotation {CLIENT_ID_ANNOTATION}: \
                 AZURE_CLIENT_ID is not set",
                reason::KS250
            ));
        }
        for (key, value) in
            [(CLIENT_ID_ANNOTATION, &self.client_id), (TENANT_ID_ANNOTATION, &self.tenant_id)]
        {
            // A tenant may be named by its domain.
            if let Some(value) = value
                && !is_guid(value)
                && !(key == TENANT_ID_ANNOTATION && value.contains('.'))
            {
                warnings.push(if is_placeholder(value) {
                    let (code, fix) = (reason::KS108, reason::KS108.fix);
                    format!(
                        "{code} ServiceAccount {name}: {key} still holds a placeholder: \
                        {value:?}; hint: {fix}"
                    )
                } else {
                    format!(
                        "{} ServiceAccount {name}: {key}: {value:?} is not a GUID",
                        reason::KS255
                    )
                });
            }
        }
        for key in &self.misspelt {
            warnings.push(format!(
                "{} ServiceAccount {name}: the annotation {key} is unknown; did you mean {}?",
                reason::KS256,
                nearest(key)
            ));
        }
        let more = self.misspelt_count.saturating_sub(self.misspelt.len());
        if more > 0 {
            warnings.push(format!(
                "{} ServiceAccount {name}: {more} more annotations look like these and have no \
                 effect",
                reason::KS256
            ));
        }
        warnings
    }
}

const KNOWN: &[&str] = &[CLIENT_ID_ANNOTATION, TENANT_ID_ANNOTATION, EXPIRATION_ANNOTATION];
const PREFIX: &str = "azure.workload.identity/";

/// Whether a key of a ServiceAccount's annotations may be one of these, or look like one.
pub(crate) fn may_be_ours(key: &str) -> bool {
    key.contains("workload")
}

/// Below our prefix but unknown, or a known key with a slip of the pen anywhere.
fn looks_like_ours(key: &str, compared: &mut usize) -> bool {
    // The label's key is often put here too; it does no harm.
    if key.starts_with(PREFIX) {
        return key != USE_LABEL;
    }
    if !may_be_ours(key) || *compared == MOST_COMPARED {
        return false;
    }
    *compared += 1;
    spelling::nearest(key, KNOWN, 2).is_some()
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
            let account =
                ServiceAccount::from_annotations([(CLIENT_ID_ANNOTATION, guid), (key, "x")]);
            let warnings = account.warnings("sa", true);
            assert!(
                warnings.len() == 1
                    && warnings[0].contains(key)
                    && warnings[0].ends_with(&format!("{nearest}?")),
                "{warnings:?}"
            );
        }
        for key in
            ["azure.workload.identity/use", "app.kubernetes.io/name", "meta.helm.sh/release-name"]
        {
            assert!(
                ServiceAccount::from_annotations([(CLIENT_ID_ANNOTATION, guid), (key, "x")])
                    .warnings("sa", true)
                    .is_empty(),
                "{key}"
            );
        }
    }

    #[test]
    fn annotations_without_end_leave_little_and_the_messages_stay_true() {
        let keys: Vec<String> =
            (0..78).map(|number| format!("{PREFIX}{number}-{}", "a".repeat(100))).collect();
        let long = "x".repeat(2000);
        let annotations = keys
            .iter()
            .map(|key| (key.as_str(), ""))
            .chain([(CLIENT_ID_ANNOTATION, &*long), (EXPIRATION_ANNOTATION, &*long)]);
        let account = ServiceAccount::from_annotations(annotations);
        assert_eq!(
            (account.client_id.as_ref(), account.misspelt.len(), account.misspelt_count),
            (None, 3, 78)
        );
        assert!(account.heap_bytes() < 1024 && account.misspelt[0].len() < 70, "{account:?}");
        assert_eq!(account.token_expiration.as_deref().map(str::len), Some(64 + '…'.len_utf8()));
        let warnings = account.warnings("sa", true);
        let expected = "KS256 ServiceAccount sa: the annotation azure.workload.identity/0-aaa";
        assert!(warnings[0].starts_with(expected), "{warnings:?}");
        assert_eq!(account.too_long, [CLIENT_ID_ANNOTATION]);
        assert_eq!(
            warnings[3],
            "KS256 ServiceAccount sa: 75 more annotations look like these and have no effect"
        );
        let near: Vec<String> = (0..20_000).map(|number| format!("workload{number}")).collect();
        assert_eq!(
            ServiceAccount::from_annotations(near.iter().map(|key| (key.as_str(), ""))),
            ServiceAccount::default()
        );
    }

    #[test]
    fn ids_that_are_no_guids_give_a_warning() {
        let guid = "8c1d7a52-66b0-4f3e-8a11-90d3c7e2b4a8";
        for (client, tenant, count) in [
            (guid, guid, 0),
            (guid, "contoso.onmicrosoft.com", 0),
            ("my-identity", guid, 1),
            ("8c1d7a52-66b0-4f3e-8a11-90d3c7e2b4g8", "contoso", 2),
        ] {
            let annotations = [(CLIENT_ID_ANNOTATION, client), (TENANT_ID_ANNOTATION, tenant)];
            let warnings = ServiceAccount::from_annotations(annotations).warnings("sa", true);
            assert_eq!(warnings.len(), count, "{warnings:?}");
            assert!(warnings.iter().all(|one| one.starts_with("KS255 ")), "{warnings:?}");
        }
    }
}
