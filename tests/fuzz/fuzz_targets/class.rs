//! The documents of a SecretProviderClass: an error or a Plan that the sidecar accepts, with few
//! warnings, never a panic.

#![no_main]

use keysluice::cloud::{Cloud, Clouds};
use keysluice::provider_class::{Allowlist, Context, ProviderClass, resolve};
use keysluice_plan::{CERT_AND_KEY, RelativePath};
use libfuzzer_sys::fuzz_target;
use std::collections::{BTreeMap, BTreeSet};

fuzz_target!(|documents: (&str, &str, bool)| {
    let (objects, select, split) = documents;
    let parameters = [("keyvaultName", "kv-1"), ("objects", objects), ("select", select)];
    let parameters = parameters.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let mut class = ProviderClass::default();
    (class.provider, class.parameters) = ("azure".to_owned(), parameters.into());
    let (clouds, limits) = (Clouds::new(Cloud::well_known("").unwrap()), Allowlist::default());
    let context = Context {
        clouds: &clouds,
        client_id: Some("client"),
        tenant_id: Some("tenant"),
        limits: &limits,
        service_principal: false,
        split_certificates: split,
    };
    let plan = match resolve(&class, &BTreeMap::new(), &context) {
        Ok(plan) => plan,
        Err(error) => {
            assert!(error.to_string().starts_with(error.reason().code));
            return;
        }
    };
    assert!(plan.warnings.len() <= 16);
    let mut paths = BTreeSet::new();
    for file in &plan.files {
        let suffixes = if file.split { &CERT_AND_KEY[..] } else { &[] };
        for version in 0..file.history.unwrap_or(1) {
            let version = if file.history.is_some() { format!("/{version}") } else { String::new() };
            for suffix in suffixes.iter().chain([&""]) {
                let path: RelativePath = file.path.followed_by(&format!("{version}{suffix}")).unwrap();
                assert!(paths.insert(path), "two files on one path");
            }
        }
    }
});
