//! Whole classes: the provider's order, words and quirks, our differences, and the manifests of
//! well-known guides.

use super::*;
use crate::cloud::Cloud;
use keysluice_plan::{ObjectEncoding, ObjectFormat, ObjectType, Part};
use std::time::Duration;

mod additions;
mod conformance;
mod guides;
mod manifest;
mod messages;
mod never_panics;
mod order;
mod parameters;
mod places;

const ONE: &str = "array:\n  - |\n    objectName: db\n    objectType: secret\n";

/// Parameters as tests write them.
type Pairs = &'static [(&'static str, &'static str)];

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn class(parameters: &[(&str, &str)]) -> ProviderClass {
    ProviderClass {
        provider: "azure".to_owned(),
        parameters: map(parameters),
        ..ProviderClass::default()
    }
}

fn clouds() -> Clouds {
    Clouds::new(Cloud::well_known("").unwrap())
}

/// Nothing surrounds the class.
fn context<'a>(clouds: &'a Clouds, limits: &'a Allowlist) -> Context<'a> {
    Context {
        clouds,
        client_id: None,
        tenant_id: None,
        limits,
        service_principal: None,
        split_certificates: false,
        token_proxy: TokenProxyUse::Unavailable,
    }
}

/// Resolved where nothing surrounds the class.
pub(super) fn bare(class: &ProviderClass) -> Result<ClassPlan, ClassError> {
    let (clouds, limits) = (clouds(), Allowlist::default());
    let context = context(&clouds, &limits);
    let mut plan = resolve(class, &BTreeMap::new(), &context)?;
    // The ids of these classes are short.
    plan.warnings.retain(|warning| warning.reason != crate::reason::KS150);
    Ok(plan)
}

/// A class that works, with these parameters over it.
pub(super) fn with(parameters: &[(&str, &str)]) -> ProviderClass {
    let mut class =
        class(&[("keyvaultName", "kv-1"), ("tenantID", "t"), ("clientID", "c"), ("objects", ONE)]);
    class.parameters.extend(map(parameters));
    class
}

fn federated(client_id: &str, tenant_id: &str) -> IdentityChoice {
    IdentityChoice::Federated { client_id: client_id.to_owned(), tenant_id: tenant_id.to_owned() }
}

fn codes(plan: &ClassPlan) -> Vec<&'static str> {
    plan.warnings.iter().map(|warning| warning.reason.code).collect()
}

#[test]
fn a_class_becomes_files_of_one_vault() {
    let objects = "array:\n  - |\n    objectName: db\n    objectType: secret\n    objectAlias: \
        dir/db.txt\n    objectVersion: 0123\n    \
                   objectEncoding: BASE64\n    filePermission: 0400\n  - |\n    objectName: \
                   signing\n    objectType: key\n";
    let plan = bare(&with(&[("keyvaultName", "  KV-1\n"), ("objects", objects)])).unwrap();
    assert_eq!(plan.identity, federated("c", "t"));
    assert_eq!(plan.cloud.name, "AzurePublicCloud");
    assert_eq!((plan.refresh_interval, plan.warnings), (None, vec![]));
    let db = FilePlan {
        path: "dir/db.txt".parse().unwrap(),
        mode: "0400".parse().unwrap(),
        vault: "https://kv-1.vault.azure.net/".parse().unwrap(),
        object_type: ObjectType::Secret,
        name: "db".parse().unwrap(),
        version: Some("0123".parse().unwrap()),
        format: ObjectFormat::Pem,
        encoding: ObjectEncoding::Base64,
        history: None,
        part: None,
        split: false,
        json_key: None,
        optional: false,
        owner: None,
        group: None,
        variable: None,
        index: 0,
    };
    let signing = FilePlan {
        path: "signing".parse().unwrap(),
        mode: "0644".parse().unwrap(),
        object_type: ObjectType::Key,
        name: "signing".parse().unwrap(),
        version: None,
        encoding: ObjectEncoding::Utf8,
        index: 1,
        ..db.clone()
    };
    assert_eq!(plan.files, [db, signing]);
}

#[test]
fn vault_urls_follow_the_cloud() {
    for (cloud, url) in [
        ("", "https://testkv.vault.azure.net/"),
        ("AzurePublicCloud", "https://testkv.vault.azure.net/"),
        ("azureusgovernmentcloud", "https://testkv.vault.usgovcloudapi.net/"),
        ("AzureChinaCloud", "https://testkv.vault.azure.cn/"),
        (" AZUREGERMANCLOUD ", "https://testkv.vault.microsoftazure.de/"),
    ] {
        let plan = bare(&with(&[("keyvaultName", "testkv"), ("cloudName", cloud)])).unwrap();
        assert_eq!(plan.files[0].vault.as_str(), url, "{cloud}");
    }
}

#[test]
fn the_operators_limits_hold() {
    let clouds = clouds();
    let limits = Allowlist {
        vaults: vec!["Team-A-*".to_owned(), "shared".to_owned()],
        tenants: vec!["T1".to_owned()],
    };
    let context = context(&clouds, &limits);
    for (vault, tenant, expected) in [
        ("team-a-prod", "t1", None),
        ("SHARED", "T1", None),
        (
            "shared2",
            "t1",
            Some("KS118 keyvaultName \"shared2\" is not among the vaults that the operator allows"),
        ),
        ("team-b", "t1", Some("KS118")),
        (
            "shared",
            "t2",
            Some("KS115 tenantID \"t2\" is not among the tenants that the operator allows"),
        ),
    ] {
        let class = with(&[("keyvaultName", vault), ("tenantID", tenant)]);
        let error =
            resolve(&class, &BTreeMap::new(), &context).err().map(|error| error.to_string());
        assert_eq!(error.is_some(), expected.is_some(), "{vault} {tenant}: {error:?}");
        assert!(
            error.unwrap_or_default().starts_with(expected.unwrap_or_default()),
            "{vault} {tenant}"
        );
    }
}

#[test]
fn another_providers_class_is_refused() {
    for (provider, expected) in [
        ("", "KS109 provider not set in ns/c; hint: "),
        ("aws", "KS109 provider \"aws\" of ns/c is not azure"),
    ] {
        let class = ProviderClass {
            namespace: "ns".into(),
            name: "c".into(),
            provider: provider.into(),
            ..with(&[])
        };
        assert!(bare(&class).unwrap_err().to_string().starts_with(expected));
        assert!(!class.is_azure());
    }
}

#[test]
fn every_reason_of_a_class_is_in_the_table_and_errors_do_not_grow() {
    assert!(
        crate::reason::PROVIDER_CLASS
            .iter()
            .all(|reason| !reason.cause.ends_with('.') && !reason.fix.is_empty())
    );
    assert_eq!(size_of::<ClassError>(), size_of::<usize>());
}
