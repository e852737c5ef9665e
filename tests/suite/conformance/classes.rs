//! What `keysluice plan` and `explain` say of a class.

use crate::suite::conformance::explain::guide;
use crate::suite::support::keysluice;

const SHOP: &str = r#"
apiVersion: secrets-store.csi.x-k8s.io/v1
kind: SecretProviderClass
metadata: {name: shop, namespace: shop}
spec:
  provider: azure
  parameters:
    vaultUrl: https://shop-prod.vault.azure.net/
    tenantId: t
    clientID: c
    writeCertAndKeyInSeparateFiles: "true"
    refreshInterval: 45s
    objects: |
      array:
        - |
          objectName: shop-tls
          objectType: cert
          parts: [chain, key]
          fileOwner: 1000
        - |
          objectName: db
          objectType: secret
          objectVersionHistory: 3
          optional: true
        - |
          objectName: settings
          objectType: secret
          jsonKey: database.password
          fileGroup: 3000
    select: |
      namePrefix: shop-
      tags: {env: prod}
      directory: config
---
apiVersion: v1
kind: Pod
metadata: {name: shop, namespace: shop,
    annotations: {keysluice.dev/on-missing: wait, keysluice.dev/size-limit: 4Mi}}
spec:
  securityContext: {runAsUser: 1000, runAsGroup: 1000, fsGroup: 3000}
  containers:
    - name: app
      image: app
      volumeMounts: [{name: secrets, mountPath: /mnt/secrets, readOnly: true}]
  volumes:
    - name: secrets
      csi: {driver: secrets-store.csi.k8s.io, readOnly: true,
          volumeAttributes: {secretProviderClass: shop}}
"#;

fn manifest(text: &str) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("shop.yaml");
    std::io::Write::write_all(&mut std::fs::File::create(&path).unwrap(), text.as_bytes()).unwrap();
    let path = path.display().to_string();
    (directory, path)
}

#[test]
fn plan_shows_all_that_a_class_says() {
    let (_directory, path) = manifest(SHOP);
    let (code, out, error) = keysluice(&["plan", "-f", &path]);
    assert_eq!(code, 0, "{error}");
    assert!(error.contains("warning: KS218 class shop: fileOwner is not checked here"), "{error}");
    let plan = keysluice_plan::Plan::from_json(&out).unwrap();
    let volume = &plan.volumes[0];
    let files: Vec<_> = volume
        .files
        .iter()
        .map(|file| {
            (file.path.as_str(), file.part, file.history, file.optional, file.group, file.split)
        })
        .collect();
    let (chain, key) = (Some(keysluice_plan::Part::Chain), Some(keysluice_plan::Part::Key));
    assert_eq!(
        files,
        [
            ("shop-tls.chain.crt", chain, None, false, None, false),
            ("shop-tls.key", key, None, false, None, false),
            ("db", None, Some(3), true, None, true),
            ("settings", None, None, false, Some(3000), false),
        ]
    );
    assert_eq!(volume.files[3].json_key.as_ref().unwrap().to_string(), "database.password");
    assert_eq!(
        (volume.selections[0].name_prefix.as_deref(), volume.refresh_interval_seconds),
        (Some("shop-"), 45)
    );
    let (_, out, _) = keysluice(&[
        "plan",
        "-f",
        &guide("secret-sync", ""),
        "--write-cert-and-key-in-separate-files",
    ]);
    assert!(
        keysluice_plan::Plan::from_json(&out).unwrap().volumes[0]
            .files
            .iter()
            .all(|file| file.split),
        "{out}"
    );
}

#[test]
fn explain_says_what_the_sidecar_does_and_what_is_wrong_with_a_class() {
    let (_directory, path) = manifest(SHOP);
    let (code, out, error) = keysluice(&["explain", "-f", &path]);
    assert_eq!(code, 0, "{out}{error}");
    for expected in [
        "4 file(s) from https://shop-prod.vault.azure.net/, served from a tmpfs; db/: 3 versions",
        "db only where there is such an object",
        "config/shop-*: every enabled secret of that name with tags env=prod",
        "sidecar: runs as uid 1000 and gid 1000; the application waits for its secrets behind a \
         startup probe, for as long as it takes",
        "volumes[secrets]: csi -> tmpfs 4Mi",
    ] {
        assert!(out.contains(expected), "{expected}: {out}");
    }
    for (right, wrong, expected) in [
        (
            "fileOwner: 1000",
            "fileOwner: 2000",
            "fileOwner 2000 of shop-tls.chain.crt in volume \"secrets\": the sidecar can \
             run as 1000",
        ),
        (
            "fileGroup: 3000",
            "fileGroup: 4000",
            "fileGroup 4000 of settings in volume \"secrets\": the sidecar's groups are \
             [1000, 3000]",
        ),
        (
            "shop-prod.vault.azure.net",
            "shop-prod.example.org",
            "vaultUrl \"https://shop-prod.example.org/\" is not below vault.azure.net",
        ),
        ("parts: [chain, key]", "parts: [chain, keys]", "objects[0]: parts: \"keys\" is not"),
        (
            "objectVersionHistory: 3",
            "objectVersionHistory: 900",
            "objects[1]: objectVersionHistory: 900 versions",
        ),
        ("namePrefix: shop-", "prefix: shop-", "select: field \"prefix\" is unknown"),
    ] {
        let (_directory, path) = manifest(&SHOP.replace(right, wrong));
        let (code, out, _) = keysluice(&["explain", "-f", &path]);
        assert!(code == 1 && out.contains(expected) && out.contains("hint: "), "{out}");
    }
}
