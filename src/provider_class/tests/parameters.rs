//! The parameters of a class: flags, ids, volume attributes, intervals, and doubtful ones.

use super::*;

#[test]
fn flags_take_what_go_parses_as_a_bool() {
    for (flag, machine) in [
        ("1", true),
        ("t", true),
        ("T", true),
        ("true", true),
        ("TRUE", true),
        ("True", true),
        (" true ", true),
        ("0", false),
        ("f", false),
        ("F", false),
        ("false", false),
        ("FALSE", false),
        ("False", false),
        ("", false),
    ] {
        let plan = bare(&with(&[("useVMManagedIdentity", flag)])).unwrap();
        assert_eq!(
            matches!(plan.identity, IdentityChoice::ManagedIdentity { .. }),
            machine,
            "{flag:?}"
        );
    }
}

#[test]
fn a_managed_identity_is_user_assigned_or_the_systems_and_needs_no_tenant() {
    for (id, expected) in [("", None), ("  ", None), (" mi ", Some("mi"))] {
        let plan = bare(&with(&[
            ("useVMManagedIdentity", "true"),
            ("userAssignedIdentityID", id),
            ("tenantID", ""),
            ("clientID", ""),
        ]));
        let expected = IdentityChoice::ManagedIdentity { client_id: expected.map(str::to_owned) };
        assert_eq!(plan.unwrap().identity, expected, "{id:?}");
    }
}

#[test]
fn pod_identity_is_workload_identity_once_the_service_account_is_annotated() {
    let (clouds, limits) = (clouds(), Allowlist::default());
    let context = Context {
        clouds: &clouds,
        client_id: Some("sa-c"),
        tenant_id: Some("sa-t"),
        limits: &limits,
        service_principal: Some("creds"),
        split_certificates: false,
        token_proxy: TokenProxyUse::Unavailable,
    };
    let class = with(&[("usePodIdentity", "true"), ("clientID", ""), ("tenantID", "t")]);
    let plan = resolve(&class, &BTreeMap::new(), &context).unwrap();
    assert_eq!(plan.identity, federated("sa-c", "t"));
    let codes: Vec<&str> = plan.warnings.iter().map(|warning| warning.reason.code).collect();
    assert!(codes.contains(&"KS164"), "{codes:?}");
    for client_id in [None, Some(" ")] {
        let without = Context { client_id, ..context };
        let error = resolve(&class, &BTreeMap::new(), &without).unwrap_err();
        assert_eq!(error.reason().code, "KS112", "{error}");
    }
}

#[test]
fn ids_come_from_the_class_then_from_what_surrounds_it() {
    let (clouds, limits) = (clouds(), Allowlist::default());
    let context = Context {
        clouds: &clouds,
        client_id: Some("sa-c"),
        tenant_id: Some("sa-t"),
        limits: &limits,
        service_principal: None,
        split_certificates: false,
        token_proxy: TokenProxyUse::Unavailable,
    };
    for (parameters, expected) in [
        (&[("clientID", "c"), ("tenantID", "t"), ("tenantId", "old")][..], federated("c", "t")),
        (&[("tenantId", " old ")], federated("sa-c", "old")),
        (&[("tenantID", " "), ("tenantId", "old")], federated("sa-c", "old")),
        (&[("clientID", ""), ("tenantID", ""), ("tenantId", "")], federated("sa-c", "sa-t")),
        (&[("tenantID", "adfs")], federated("sa-c", "adfs")),
        (&[("tenantID", "contoso.onmicrosoft.com")], federated("sa-c", "contoso.onmicrosoft.com")),
    ] {
        let mut class = class(&[("keyvaultName", "kv-1"), ("objects", ONE)]);
        class.parameters.extend(map(parameters));
        assert_eq!(
            resolve(&class, &BTreeMap::new(), &context).unwrap().identity,
            expected,
            "{parameters:?}"
        );
    }
    let placeholder = Context { client_id: Some("<CLIENT_ID>"), ..context };
    let error =
        resolve(&class(&[("keyvaultName", "kv-1")]), &BTreeMap::new(), &placeholder).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("KS108 azure.workload.identity/client-id still holds a placeholder"),
        "{error}"
    );
    let empty = Context { tenant_id: Some(""), ..context };
    assert_eq!(
        resolve(&class(&[("keyvaultName", "kv-1")]), &BTreeMap::new(), &empty)
            .unwrap_err()
            .reason()
            .code,
        "KS104"
    );
}

#[test]
fn volume_attributes_win_over_parameters() {
    let (clouds, limits) = (clouds(), Allowlist::default());
    let context = context(&clouds, &limits);
    let attributes = map(&[
        ("secretProviderClass", "x"),
        ("csi.storage.k8s.io/pod.name", "p"),
        ("keyvaultName", "other"),
        ("clientID", "mine"),
        ("objects", ""),
    ]);
    let plan = resolve(&with(&[]), &attributes, &context).unwrap();
    let expected = vec!["KS150", "KS150", "KS140"];
    assert_eq!(
        (plan.identity.clone(), plan.files.len(), codes(&plan)),
        (federated("mine", "t"), 0, expected)
    );
}

#[test]
fn doubtful_parameters_give_warnings_and_nothing_else() {
    let cases: &[(Pairs, &[&str])] = &[
        (
            &[
                ("useEmulator", "false"),
                ("resourceGroup", "rg"),
                ("subscriptionId", "s"),
                ("anything", "else"),
            ],
            &[],
        ),
        (
            &[("clientId", "x")],
            &["parameter \"clientId\" is unknown and ignored; did you mean \"clientID\"?"],
        ),
        (
            &[("keyVaultName", "x")],
            &["parameter \"keyVaultName\" is unknown and ignored; did you mean \"keyvaultName\"?"],
        ),
        (
            &[("refreshIntervall", "1m")],
            &["parameter \"refreshIntervall\" is unknown and ignored; did you mean \
                 \"refreshInterval\"?"],
        ),
        (
            &[("cloudEnvFileName", "/etc/cloud.json")],
            &["parameter \"cloudEnvFileName\" is ignored; the operator defines clouds"],
        ),
        (&[("cloudEnvFileName", " ")], &[]),
        (&[("objects", "")], &["objects is not set or has no element: the volume will be empty"]),
        (
            &[("objects", "array: []")],
            &["objects is not set or has no element: the volume will be empty"],
        ),
        (
            &[("objects", "array: ~")],
            &["objects is not set or has no element: the volume will be empty"],
        ),
        (
            &[("objects", "arrays:\n - x")],
            &[
                "objects: field \"arrays\" is unknown and ignored; did you mean \"array\"?",
                "objects is not set or has no element: the volume will be empty",
            ],
        ),
        (
            &[(
                "objects",
                "array:\n  - |\n    objectName: a\n    objectType: secret\n    objectalias: \
                 b\n    optional: true\n",
            )],
            &["objects[0]: field \"objectalias\" is unknown and ignored; did you mean \
                 \"objectAlias\"?"],
        ),
    ];
    for (parameters, expected) in cases {
        let warnings = bare(&with(parameters)).unwrap().warnings;
        assert_eq!(
            warnings.iter().map(|warning| warning.text.as_str()).collect::<Vec<_>>(),
            *expected,
            "{parameters:?}"
        );
    }
}

#[test]
fn the_refresh_interval_is_ours_then_the_guides() {
    for (refresh, sync, seconds) in
        [("", "", None), ("30s", "", Some(30)), ("", "2m", Some(120)), (" 45 ", "2m", Some(45))]
    {
        let plan = bare(&with(&[("refreshInterval", refresh), ("syncInterval", sync)])).unwrap();
        assert_eq!(plan.refresh_interval, seconds.map(Duration::from_secs), "{refresh:?} {sync:?}");
    }
}
