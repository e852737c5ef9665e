//! What the webhook reads in a `SecretProviderClass`.

use keysluice::cloud::{Cloud, Clouds};
use keysluice::provider_class::{Allowlist, Context, ProviderClass, TokenProxyUse, resolve};
use keysluice_plan::{CERT_AND_KEY, RelativePath};
use std::collections::{BTreeMap, BTreeSet};

/// `objects`, a NUL and `select` give an error or a Plan without two files on one path and with few
/// warnings. A first byte of `+` splits certificates.
///
/// # Panics
/// Where the Plan breaks one of these rules.
pub fn class(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (split_certificates, text) =
        text.strip_prefix('+').map_or((false, text), |rest| (true, rest));
    let (objects, select) = text.split_once('\0').unwrap_or((text, ""));
    let parameters = [("keyvaultName", "kv-1"), ("objects", objects), ("select", select)];
    let mut class = ProviderClass::default();
    "azure".clone_into(&mut class.provider);
    class.parameters =
        parameters.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let clouds = Clouds::new(Cloud::well_known("").unwrap());
    let limits = Allowlist::default();
    let context = Context {
        clouds: &clouds,
        client_id: Some("client"),
        tenant_id: Some("tenant"),
        limits: &limits,
        service_principal: None,
        split_certificates,
        token_proxy: TokenProxyUse::Unavailable,
    };
    let plan = match resolve(&class, &BTreeMap::new(), &context) {
        Ok(plan) => plan,
        Err(error) => {
            assert!(error.to_string().starts_with(error.reason().code));
            return;
        }
    };
    assert!(plan.warnings.len() <= 16, "{} warnings", plan.warnings.len());
    let mut paths = BTreeSet::new();
    for file in &plan.files {
        let suffixes = if file.split { &CERT_AND_KEY[..] } else { &[] };
        for version in 0..file.history.unwrap_or(1) {
            let version =
                if file.history.is_some() { format!("/{version}") } else { String::new() };
            for suffix in suffixes.iter().chain([&""]) {
                let path: RelativePath =
                    file.path.followed_by(&format!("{version}{suffix}")).unwrap();
                assert!(paths.insert(path), "two files on one path");
            }
        }
    }
}
