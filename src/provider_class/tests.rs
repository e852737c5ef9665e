//! Whole classes: the provider's order, words and quirks, our differences, and the manifests of well-known guides.

use super::*;
use crate::cloud::Cloud;
use serde_json::json;

const ONE: &str = "array:\n  - |\n    objectName: db\n    objectType: secret\n";

/// Parameters as tests write them.
type Pairs = &'static [(&'static str, &'static str)];

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn class(parameters: &[(&str, &str)]) -> ProviderClass {
    ProviderClass { provider: "azure".to_owned(), parameters: map(parameters), ..ProviderClass::default() }
}

fn clouds() -> Clouds {
    Clouds::new(Cloud::well_known("").unwrap())
}

/// Resolved where nothing surrounds the class.
fn bare(class: &ProviderClass) -> Result<ClassPlan, ClassError> {
    let (clouds, limits) = (clouds(), Allowlist::default());
    let context = Context { clouds: &clouds, client_id: None, tenant_id: None, limits: &limits };
    resolve(class, &BTreeMap::new(), &context)
}

/// A class that works, with these parameters over it.
fn with(parameters: &[(&str, &str)]) -> ProviderClass {
    let mut class = class(&[("keyvaultName", "kv-1"), ("tenantID", "t"), ("clientID", "c"), ("objects", ONE)]);
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
    let objects = "array:\n  - |\n    objectName: db\n    objectType: secret\n    objectAlias: dir/db.txt\n    objectVersion: 0123\n    \
                   objectEncoding: BASE64\n    filePermission: 0400\n  - |\n    objectName: signing\n    objectType: key\n";
    let plan = bare(&with(&[("keyvaultName", "  KV-1\n"), ("objects", objects)])).unwrap();
    assert_eq!(plan.identity, federated("c", "t"));
    assert_eq!(plan.cloud.name, "AzurePublicCloud");
    assert_eq!((plan.refresh_interval, plan.warnings), (None, vec![]));
    let file = |path: &str, mode: &str, object_type, name: &str, version: Option<&str>, encoding, index| FilePlan {
        path: path.parse().unwrap(),
        mode: mode.parse().unwrap(),
        vault: "https://kv-1.vault.azure.net/".parse().unwrap(),
        object_type,
        name: name.parse().unwrap(),
        version: version.map(|version| version.parse().unwrap()),
        format: ObjectFormat::Pem,
        encoding,
        index,
    };
    let expected = vec![
        file("dir/db.txt", "0400", ObjectType::Secret, "db", Some("0123"), ObjectEncoding::Base64, 0),
        file("signing", "0644", ObjectType::Key, "signing", None, ObjectEncoding::Utf8, 1),
    ];
    assert_eq!(plan.files, expected);
}

fn assert_refused(cases: &[(Pairs, &str)]) {
    for (parameters, expected) in cases {
        let error = bare(&with(parameters)).unwrap_err().to_string();
        assert!(error.contains(expected), "{parameters:?}: {error}");
        assert!(error.starts_with("KS1") && error.matches("; hint: ").count() == 1, "{error}");
    }
}

#[test]
fn refused_identities_give_code_peer_text_and_hint() {
    assert_refused(&[
        (
            &[("usePodIdentity", "tru")],
            "KS110 failed to parse usePodIdentity flag, error: strconv.ParseBool: parsing \"tru\": invalid syntax; hint: ",
        ),
        (
            &[("useVMManagedIdentity", "yes")],
            "KS110 failed to parse useVMManagedIdentity flag, error: strconv.ParseBool: parsing \"yes\": invalid syntax",
        ),
        (&[("useAzureTokenProxy", "tRUE")], "KS110 failed to parse useAzureTokenProxy flag, error: strconv.ParseBool"),
        (
            &[("usePodIdentity", "true"), ("useVMManagedIdentity", "true")],
            "KS111 only one identity mode can be enabled at a time: usePodIdentity, useVMManagedIdentity, or useAzureTokenProxy; hint: ",
        ),
        (
            &[("usePodIdentity", "1")],
            "KS112 usePodIdentity: AAD Pod Identity (NMI) is retired and not supported; hint: remove usePodIdentity and use workload identity",
        ),
        (
            &[("useAzureTokenProxy", " T ")],
            "KS113 useAzureTokenProxy: AKS identity binding is not supported by this version; hint: ",
        ),
        (&[("keyvaultName", " ")], "KS103 keyvaultName is not provided; hint: set the parameter keyvaultName"),
        (
            &[("tenantID", " ")],
            "KS104 tenantId is not provided; hint: set the parameter tenantID, or annotate the ServiceAccount with azure.workload.identity/tenant-id",
        ),
        (
            &[("clientID", "")],
            "KS105 clientID is not provided, and the ServiceAccount has no annotation azure.workload.identity/client-id; hint: annotate",
        ),
        (&[("clientID", ""), ("clientId", "c")], "hint: the parameter is spelled clientID, not clientId"),
        (
            &[("keyvaultName", ""), ("keyVaultName", "kv")],
            "hint: the parameter is spelled keyvaultName, not keyVaultName",
        ),
        (&[("tenantID", ""), ("tenant-id", "kv")], "hint: the parameter is spelled tenantID, not tenant-id"),
    ]);
}

#[test]
fn refused_vaults_clouds_and_values_give_code_peer_text_and_hint() {
    assert_refused(&[
        (
            &[("cloudName", "Nowhere")],
            "KS116 cloudName Nowhere is not valid, error: autorest/azure: There is no cloud environment matching the name \"NOWHERE\"; hint: use AzurePublicCloud",
        ),
        (&[("cloudName", "AzureStackCloud")], "KS116 cloudName AzureStackCloud is not valid"),
        (
            &[("keyvaultName", "kv")],
            "KS117 failed to get vault: Invalid vault name: \"kv\", must be between 3 and 24 chars",
        ),
        (&[("keyvaultName", "a-name-that-is-longer-than")], "must be between 3 and 24 chars"),
        (
            &[("keyvaultName", "kv_test")],
            "KS117 failed to get vault: Invalid vault name: \"kv_test\", must match [-a-zA-Z0-9]{3,24}",
        ),
        (&[("keyvaultName", "kv.evil.org")], "must match [-a-zA-Z0-9]{3,24}"),
        (&[("keyvaultName", "-kv-")], "KS117 failed to get vault: vault URL"),
        (&[("tenantID", "common/oauth2")], "KS114 invalid tenantID: \"common/oauth2\""),
        (&[("tenantID", "..")], "KS114"),
        (
            &[("tenantId", "<TENANT_ID>"), ("tenantID", "")],
            "KS108 tenantId still holds a placeholder: \"<TENANT_ID>\"; hint: ",
        ),
        (&[("clientID", "${CLIENT_ID}")], "KS108 clientID still holds a placeholder"),
        (&[("keyvaultName", "<name>")], "KS108 keyvaultName still holds a placeholder"),
        (&[("cloudName", "<cloud>")], "KS108 cloudName still holds a placeholder"),
        (
            &[("useVMManagedIdentity", "true"), ("userAssignedIdentityID", "<MI_CLIENT_ID>")],
            "KS108 userAssignedIdentityID still holds a placeholder: \"<MI_CLIENT_ID>\"",
        ),
        (
            &[("refreshInterval", "soon")],
            "KS119 refreshInterval: \"soon\" is not a duration such as 30s, 2m or 1h30m; hint: ",
        ),
        (&[("syncInterval", "48h")], "KS119 syncInterval: \"48h\" is not between 1s and 24h"),
    ]);
}

#[test]
fn of_several_errors_the_first_is_the_providers_first() {
    // Each step repairs one; the next one shows.
    let mut class = class(&[("useAzureTokenProxy", "x"), ("useVMManagedIdentity", "x"), ("usePodIdentity", "x")]);
    let steps: &[(&str, &str, &str)] = &[
        ("usePodIdentity", "t", "KS110 failed to parse usePodIdentity"),
        ("useVMManagedIdentity", "t", "KS110 failed to parse useVMManagedIdentity"),
        ("useAzureTokenProxy", "t", "KS110 failed to parse useAzureTokenProxy"),
        ("useAzureTokenProxy", "", "KS111"),
        ("usePodIdentity", "", "KS111"),
        ("useVMManagedIdentity", "", "KS103"),
        ("keyvaultName", "x", "KS103"),
        ("tenantID", "t", "KS104"),
        ("cloudName", "x", "KS105"),
        ("clientID", "c", "KS116"),
        ("cloudName", "", "KS116"),
        ("objects", "- x", "KS117"),
        ("objects", "array: [5]", "KS106"),
        ("objects", ONE, "KS121"),
        ("keyvaultName", "kv-1", "KS117"),
    ];
    for (key, value, expected) in steps {
        let error = bare(&class).unwrap_err().to_string();
        assert!(error.starts_with(expected), "before {key}: {error}");
        class.parameters.insert((*key).to_owned(), (*value).to_owned());
    }
    bare(&class).unwrap();
}

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
        assert_eq!(matches!(plan.identity, IdentityChoice::ManagedIdentity { .. }), machine, "{flag:?}");
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
fn ids_come_from_the_class_then_from_what_surrounds_it() {
    let (clouds, limits) = (clouds(), Allowlist::default());
    let context = Context { clouds: &clouds, client_id: Some("sa-c"), tenant_id: Some("sa-t"), limits: &limits };
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
        assert_eq!(resolve(&class, &BTreeMap::new(), &context).unwrap().identity, expected, "{parameters:?}");
    }
    let placeholder = Context { client_id: Some("<CLIENT_ID>"), ..context };
    let error = resolve(&class(&[("keyvaultName", "kv-1")]), &BTreeMap::new(), &placeholder).unwrap_err();
    assert!(
        error.to_string().starts_with("KS108 azure.workload.identity/client-id still holds a placeholder"),
        "{error}"
    );
    let empty = Context { tenant_id: Some(""), ..context };
    assert_eq!(
        resolve(&class(&[("keyvaultName", "kv-1")]), &BTreeMap::new(), &empty).unwrap_err().reason().code,
        "KS104"
    );
}

#[test]
fn volume_attributes_win_over_parameters() {
    let (clouds, limits) = (clouds(), Allowlist::default());
    let context = Context { clouds: &clouds, client_id: None, tenant_id: None, limits: &limits };
    let attributes = map(&[
        ("secretProviderClass", "x"),
        ("csi.storage.k8s.io/pod.name", "p"),
        ("keyvaultName", "other"),
        ("clientID", "mine"),
        ("objects", ""),
    ]);
    let plan = resolve(&with(&[]), &attributes, &context).unwrap();
    assert_eq!((plan.identity.clone(), plan.files.len(), codes(&plan)), (federated("mine", "t"), 0, vec!["KS140"]));
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
    let limits = Allowlist { vaults: vec!["Team-A-*".to_owned(), "shared".to_owned()], tenants: vec!["T1".to_owned()] };
    let context = Context { clouds: &clouds, client_id: None, tenant_id: None, limits: &limits };
    for (vault, tenant, expected) in [
        ("team-a-prod", "t1", None),
        ("SHARED", "T1", None),
        ("shared2", "t1", Some("KS118 keyvaultName \"shared2\" is not among the vaults that the operator allows")),
        ("team-b", "t1", Some("KS118")),
        ("shared", "t2", Some("KS115 tenantID \"t2\" is not among the tenants that the operator allows")),
    ] {
        let class = with(&[("keyvaultName", vault), ("tenantID", tenant)]);
        let error = resolve(&class, &BTreeMap::new(), &context).err().map(|error| error.to_string());
        assert_eq!(error.is_some(), expected.is_some(), "{vault} {tenant}: {error:?}");
        assert!(error.unwrap_or_default().starts_with(expected.unwrap_or_default()), "{vault} {tenant}");
    }
}

#[test]
fn doubtful_parameters_give_warnings_and_nothing_else() {
    let cases: &[(Pairs, &[&str])] = &[
        (&[("useEmulator", "false"), ("resourceGroup", "rg"), ("subscriptionId", "s"), ("vaultUrl", "later")], &[]),
        (&[("clientId", "x")], &["parameter \"clientId\" is unknown and ignored; did you mean \"clientID\"?"]),
        (
            &[("keyVaultName", "x")],
            &["parameter \"keyVaultName\" is unknown and ignored; did you mean \"keyvaultName\"?"],
        ),
        (
            &[("refreshIntervall", "1m")],
            &["parameter \"refreshIntervall\" is unknown and ignored; did you mean \"refreshInterval\"?"],
        ),
        (
            &[("cloudEnvFileName", "/etc/cloud.json")],
            &["parameter \"cloudEnvFileName\" is ignored; the operator defines clouds"],
        ),
        (&[("cloudEnvFileName", " ")], &[]),
        (&[("objects", "")], &["objects is not set or has no element: the volume will be empty"]),
        (&[("objects", "array: []")], &["objects is not set or has no element: the volume will be empty"]),
        (&[("objects", "array: ~")], &["objects is not set or has no element: the volume will be empty"]),
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
                "array:\n  - |\n    objectName: a\n    objectType: secret\n    objectalias: b\n    optional: true\n",
            )],
            &["objects[0]: field \"objectalias\" is unknown and ignored; did you mean \"objectAlias\"?"],
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

#[test]
fn another_providers_class_is_refused() {
    for (provider, expected) in
        [("", "KS109 provider not set in ns/c; hint: "), ("aws", "KS109 provider \"aws\" of ns/c is not azure")]
    {
        let class = ProviderClass { namespace: "ns".into(), name: "c".into(), provider: provider.into(), ..with(&[]) };
        assert!(bare(&class).unwrap_err().to_string().starts_with(expected));
        assert!(!class.is_azure());
    }
}

#[test]
fn every_reason_of_a_class_is_in_the_table_and_errors_do_not_grow() {
    assert!(crate::reason::PROVIDER_CLASS.iter().all(|reason| !reason.cause.ends_with('.') && !reason.fix.is_empty()));
    assert_eq!(size_of::<ClassError>(), size_of::<usize>());
}

mod guides {
    use super::*;

    fn read(yaml: &str) -> ProviderClass {
        ProviderClass::from_value(&serde_saphyr::from_str(yaml).unwrap()).unwrap()
    }

    /// Workload identity with the add-on: an empty tenant, no client id, two parameters that never existed.
    #[test]
    fn workload_identity_with_an_empty_tenant_and_no_client_id() {
        let class = read(
            r#"
apiVersion: secrets-store.csi.x-k8s.io/v1
kind: SecretProviderClass
metadata:
  name: azure-kv-secret-provider
spec:
  provider: azure
  parameters:
    usePodIdentity: "false" # Important: Set to false for Workload Identity
    useEmulator: "false"
    keyvaultName: "my-unique-kv-12345" # Replace with your Key Vault name
    syncInterval: "120s"
    objects: |
      array:
        - |
          objectName: MyApplicationSecret
          objectType: secret
          objectVersion: "" # Latest version
    tenantId: "" # Replace with your Azure Tenant ID
"#,
        );
        assert_eq!((class.namespace.as_str(), class.name.as_str()), ("default", "azure-kv-secret-provider"));
        assert_eq!(bare(&class).unwrap_err().reason().code, "KS104");
        let (clouds, limits) = (clouds(), Allowlist::default());
        let context = Context { clouds: &clouds, client_id: Some("app"), tenant_id: Some("tenant"), limits: &limits };
        let plan = resolve(&class, &BTreeMap::new(), &context).unwrap();
        assert_eq!(plan.identity, federated("app", "tenant"));
        assert_eq!((plan.files[0].path.as_str(), plan.files[0].version.clone()), ("MyApplicationSecret", None));
        assert_eq!(plan.files[0].vault.as_str(), "https://my-unique-kv-12345.vault.azure.net/");
        assert_eq!((plan.refresh_interval, plan.warnings), (Some(Duration::from_secs(120)), vec![]));
    }

    /// Client id in the class, a synced Secret, several objects.
    #[test]
    fn workload_identity_with_a_synced_secret() {
        let class = read(
            r#"
apiVersion: secrets-store.csi.x-k8s.io/v1
kind: SecretProviderClass
metadata:
  name: azure-sync
  namespace: secret-test
spec:
  provider: azure
  parameters:
    usePodIdentity: "false"
    useVMManagedIdentity: "false"
    clientID: 11111111-2222-3333-4444-555555555555
    keyvaultName: wolfgang-kv
    cloudName: ""
    tenantId: 66666666-7777-8888-9999-000000000000
    objects: |
      array:
        - |
          objectName: MySecret
          objectType: secret
        - |
          objectName: Other
          objectType: secret
          objectAlias: other.txt
  secretObjects:
    - secretName: synced
      type: Opaque
      labels: { team: a }
      data:
        - objectName: " MySecret "
          key: password
        - objectName: other.txt
          key: other
"#,
        );
        let plan = bare(&class).unwrap();
        assert_eq!(
            plan.identity,
            federated("11111111-2222-3333-4444-555555555555", "66666666-7777-8888-9999-000000000000")
        );
        assert_eq!(plan.files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["MySecret", "other.txt"]);
        assert_eq!(class.secret_objects[0].data[0].object_name, "MySecret");
        assert_eq!(class.secret_objects[0].labels, map(&[("team", "a")]));
        assert_eq!(check_secret_objects(&class.secret_objects, &plan.files), Ok(()));
    }

    /// The node's identity, a secret and a key, and placeholders to fill in.
    #[test]
    fn managed_identity_with_a_secret_and_a_key() {
        let yaml = r#"
apiVersion: secrets-store.csi.x-k8s.io/v1
kind: SecretProviderClass
metadata:
  name: keyvault-provider
  namespace: keyvault-ns
spec:
  provider: azure
  parameters:
    usePodIdentity: "false"
    useVMManagedIdentity: "true"
    userAssignedIdentityID: "<MI_CLIENT_ID>"
    keyvaultName: aks-demo-kv
    tenantId: "<MI_TENANT_ID>"
    objects: |
      array:
        - |
          objectName: my-secret
          objectType: secret
          objectVersion: ""
        - |
          objectName: my-key
          objectType: key
          objectVersion: ""
"#;
        assert_eq!(bare(&read(yaml)).unwrap_err().reason().code, "KS108");
        let plan = bare(&read(&yaml.replace("<MI_CLIENT_ID>", "mi").replace("<MI_TENANT_ID>", "t"))).unwrap();
        assert_eq!(plan.identity, IdentityChoice::ManagedIdentity { client_id: Some("mi".to_owned()) });
        let files: Vec<_> = plan.files.iter().map(|file| (file.path.as_str(), file.object_type, file.index)).collect();
        assert_eq!(files, [("my-secret", ObjectType::Secret, 0), ("my-key", ObjectType::Key, 1)]);
    }
}

#[test]
fn a_manifest_that_the_api_server_would_refuse_names_the_field() {
    let cases = [
        (json!([]), "KS101 the manifest is a list, not an object; hint: "),
        (
            json!({"kind": "Pod", "metadata": {"name": "c"}}),
            "KS101 the manifest is another kind of object, not a SecretProviderClass",
        ),
        (json!({"apiVersion": "v1", "metadata": {"name": "c"}}), "KS101 the manifest is another kind of object"),
        (json!({"spec": {}}), "KS101 metadata.name is missing, not a name"),
        (json!({"metadata": {"name": "c"}, "spec": {"provider": 5}}), "KS101 spec.provider is a number, not a string"),
        (json!({"metadata": {"name": "c"}, "spec": []}), "KS101 spec is a list, not an object"),
        (
            json!({"metadata": {"name": "c"}, "spec": {"parameters": {"useVMManagedIdentity": true}}}),
            "KS102 parameters.useVMManagedIdentity is a boolean, not a string; hint: quote it, as the API server wants it too: useVMManagedIdentity: \"true\"",
        ),
        (
            json!({"metadata": {"name": "c"}, "spec": {"parameters": {"x": 5}}}),
            "KS102 parameters.x is a number, not a string; hint: quote it",
        ),
        (
            json!({"metadata": {"name": "c"}, "spec": {"parameters": {"x": null}}}),
            "KS102 parameters.x is null, not a string; hint: give it a quoted value",
        ),
        (
            json!({"metadata": {"name": "c"}, "spec": {"parameters": {"objects": {"array": []}}}}),
            "KS102 parameters.objects is an object, not a string",
        ),
        (
            json!({"metadata": {"name": "c"}, "spec": {"secretObjects": {}}}),
            "KS101 spec.secretObjects is an object, not a list",
        ),
        (
            json!({"metadata": {"name": "c"}, "spec": {"secretObjects": ["x"]}}),
            "KS101 spec.secretObjects[0] is a string, not an object",
        ),
        (
            json!({"metadata": {"name": "c"}, "spec": {"secretObjects": [{"data": [{"key": 1}]}]}}),
            "KS101 spec.secretObjects[0].data[0].key is a number, not a string",
        ),
        (
            json!({"metadata": {"name": "c"}, "spec": {"secretObjects": [{"labels": {"a": true}}]}}),
            "KS101 spec.secretObjects[0].labels.a is a boolean, not a string",
        ),
    ];
    for (value, expected) in cases {
        let error = ProviderClass::from_value(&value).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{value}: {error}");
    }
    // An element of a list from the API server has neither kind nor apiVersion.
    let class = ProviderClass::from_value(
        &json!({"metadata": {"name": "c", "namespace": "n"}, "spec": {"provider": "azure", "parameters": null}}),
    );
    assert_eq!(
        class,
        Ok(ProviderClass {
            namespace: "n".into(),
            name: "c".into(),
            provider: "azure".into(),
            ..ProviderClass::default()
        })
    );
}

mod never_panics {
    use super::*;
    use proptest::prelude::*;

    /// Text that looks enough like an `objects` document to get past the first check.
    fn document() -> impl Strategy<Value = String> {
        let token = prop::sample::select(vec![
            "array:",
            "\n",
            "\n  - |\n    ",
            "\n    ",
            "- ",
            "objectName: ",
            "objectType: ",
            "secret",
            "key",
            "cert",
            "objectAlias: ",
            "objectVersionHistory: ",
            "filePermission: ",
            "0640",
            "9e99",
            "\"",
            "'",
            "{",
            "}",
            "[",
            "]",
            "&a ",
            "*a",
            "~",
            "\t",
            "\r\n",
            "#",
            "!!int ",
            "!x ",
            ">",
            "<<: ",
            "---",
            "...",
            "a/b",
            "ü",
            "\u{0}",
            ": ",
            ", ",
            "? ",
            "%",
            "\\",
        ]);
        prop::collection::vec(token, 0..40).prop_map(|tokens| tokens.concat())
    }

    proptest! {
        #[test]
        fn on_any_parameters(
            vault in ".{0,30}", tenant in ".{0,10}", client in ".{0,10}", cloud in ".{0,10}", interval in "[0-9.µa-z+-]{0,12}",
            objects in prop_oneof![document(), any::<String>()], key in any::<String>(),
        ) {
            let parameters = [
                ("keyvaultName", vault.as_str()), ("tenantID", &tenant), ("clientID", &client), ("cloudName", &cloud),
                ("refreshInterval", &interval), (key.as_str(), &objects), ("objects", &objects),
            ];
            let _ = bare(&class(&parameters)).map_err(|error| error.to_string());
        }

        #[test]
        fn on_any_objects(objects in prop_oneof![document(), any::<String>(), document().prop_map(|item| format!("array:\n  - {item:?}"))]) {
            let result = bare(&with(&[("objects", &objects)]));
            if let Err(error) = result {
                prop_assert!(error.to_string().contains("objects"), "{}", error);
            }
        }
    }
}
