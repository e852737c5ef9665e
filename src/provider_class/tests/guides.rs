//! The manifests of well-known guides.

use super::*;
use std::time::Duration;

fn read(yaml: &str) -> ProviderClass {
    ProviderClass::from_value(&serde_saphyr::from_str(yaml).unwrap()).unwrap()
}

/// Workload identity with the add-on: an empty tenant, no client id, two parameters that never
/// existed.
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
    assert_eq!(
        (class.namespace.as_str(), class.name.as_str()),
        ("default", "azure-kv-secret-provider")
    );
    assert_eq!(bare(&class).unwrap_err().reason().code, "KS104");
    let (clouds, limits) = (clouds(), Allowlist::default());
    let context = Context {
        clouds: &clouds,
        client_id: Some("app"),
        tenant_id: Some("tenant"),
        limits: &limits,
        service_principal: None,
        split_certificates: false,
        token_proxy: TokenProxyUse::Unavailable,
    };
    let plan = resolve(&class, &BTreeMap::new(), &context).unwrap();
    assert_eq!(plan.identity, federated("app", "tenant"));
    assert_eq!(
        (plan.files[0].path.as_str(), plan.files[0].version.clone()),
        ("MyApplicationSecret", None)
    );
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
    assert_eq!(
        plan.files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(),
        ["MySecret", "other.txt"]
    );
    assert_eq!(class.secret_objects[0].data[0].object_name, "MySecret");
    assert_eq!(class.secret_objects[0].labels, map(&[("team", "a")]));
    assert_eq!(check_secret_objects(&class.secret_objects, &plan), Ok(()));
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
    let plan =
        bare(&read(&yaml.replace("<MI_CLIENT_ID>", "mi").replace("<MI_TENANT_ID>", "t"))).unwrap();
    assert_eq!(plan.identity, IdentityChoice::ManagedIdentity { client_id: Some("mi".to_owned()) });
    let files: Vec<_> =
        plan.files.iter().map(|file| (file.path.as_str(), file.object_type, file.index)).collect();
    assert_eq!(files, [("my-secret", ObjectType::Secret, 0), ("my-key", ObjectType::Key, 1)]);
}
