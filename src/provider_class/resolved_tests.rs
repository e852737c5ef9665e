use super::super::tests::with;
use super::super::{Allowlist, Clouds};
use super::*;
use crate::cloud::Cloud;
use crate::provider_class::TokenProxyUse;

fn clouds() -> Clouds {
    Clouds::new(Cloud::well_known("").unwrap())
}

fn context<'a>(
    clouds: &'a Clouds,
    limits: &'a Allowlist,
    client_id: Option<&'a str>,
) -> Context<'a> {
    let (service_principal, split_certificates) = (None, false);
    Context {
        clouds,
        client_id,
        tenant_id: Some("t"),
        limits,
        service_principal,
        split_certificates,
        token_proxy: TokenProxyUse::Unavailable,
    }
}

#[test]
fn a_class_is_resolved_once_for_the_same_pods_and_anew_where_anything_differs() {
    let (clouds, limits, strict) = (
        clouds(),
        Allowlist::default(),
        Allowlist { vaults: vec!["other".to_owned()], ..Allowlist::default() },
    );
    let class = with(&[("clientID", "")]);
    let resolved = |attributes: &[(&'static str, &'static str)], limits, client| {
        class.resolved(attributes, &context(&clouds, limits, client))
    };
    let first = resolved(&[("a", "b")], &limits, Some("c")).unwrap();
    assert!(Arc::ptr_eq(&first, &resolved(&[("a", "b")], &limits, Some("c")).unwrap()));
    for (attributes, client) in [
        (&[("a", "c")][..], Some("c")),
        (&[("a", "b"), ("keyvaultName", "kv-2")], Some("c")),
        (&[], Some("c")),
        (&[("a", "b")], Some("d")),
    ] {
        let other = resolved(attributes, &limits, client).unwrap();
        let merged = attributes
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let expected = resolve(&class, &merged, &context(&clouds, &limits, client)).unwrap();
        assert!(!Arc::ptr_eq(&first, &other) && *other == expected, "{attributes:?} {client:?}");
    }
    assert!(resolved(&[("a", "b")], &limits, None).is_err());
    assert!(resolved(&[("a", "b")], &strict, Some("c")).is_err());
}

#[test]
fn what_is_remembered_of_all_classes_is_bounded_and_the_latest_stays() {
    let (clouds, limits) = (clouds(), Allowlist::default());
    let plans = Arc::new(Plans::new(256 << 10));
    let objects = format!("array: [{}]", "'{objectName: a, objectType: x}', ".repeat(100));
    let classes: Vec<_> = (0..200)
        .map(|number| {
            let names = (0..50)
                .map(|at| format!("  - '{{objectName: n{number}-{at}, objectType: key}}'\n"));
            let objects = format!("array:\n{}", names.collect::<String>());
            with(&[("objects", &objects)]).counted_in(&plans)
        })
        .collect();
    let context = context(&clouds, &limits, None);
    for class in &classes {
        let plan = class.resolved(&[], &context).unwrap();
        assert!(Arc::ptr_eq(&plan, &class.resolved(&[], &context).unwrap()));
        assert!(plans.bytes() <= 256 << 10);
    }
    assert!(plans.bytes() > 128 << 10);
    // A class that cannot be resolved is not read again for each pod either.
    let broken = with(&[("objects", &objects)]).counted_in(&plans);
    let error = broken.resolved(&[], &context).unwrap_err();
    assert_eq!(broken.resolved(&[], &context).unwrap_err(), error);
}
