//! `keysluice explain`, `plan` and `why`, as a user runs them.

use crate::suite::support::{Theatre, data, keysluice};
use keysluice_demo::GUIDES;
use serde_json::Value;

fn guide(directory: &str, file: &str) -> String {
    data().join("guides").join(directory).join(file).display().to_string()
}

#[tokio::test]
async fn the_explained_patch_is_the_webhooks_byte_for_byte() {
    let theatre = Theatre::open().await;
    for play in GUIDES {
        let (_, directory) = theatre.guide(play.directory);
        let manifest = directory.join(play.workload).display().to_string();
        let mut arguments = vec!["explain", "-o", "patch", "-f", &manifest];
        arguments.extend(theatre.options.iter().map(String::as_str));
        let (code, out, error) = keysluice(&arguments);
        assert_eq!(code, 0, "{error}");
        assert_eq!(
            out.trim_end_matches('\n').as_bytes(),
            theatre.review(play.directory).await.patch,
            "{}",
            play.directory
        );
    }
}

#[test]
fn the_four_outputs_agree() {
    let (pod, class, account) = (
        guide("secret-sync", "pod.yaml"),
        guide("secret-sync", "secretproviderclass.yaml"),
        guide("secret-sync", "serviceaccount.yaml"),
    );
    let run = |output: &str| {
        let (code, out, error) =
            keysluice(&["explain", "-f", &pod, &class, &account, "-o", output]);
        assert_eq!(code, 0, "{error}");
        out
    };
    let summary: Value = serde_json::from_str(&run("json")).unwrap();
    assert_eq!(summary[0]["outcome"], "mutated");
    assert_eq!(summary[0]["pod"], "Pod keyvault-demo/keyvault-demo");
    let patch: Value = serde_json::from_str(&run("patch")).unwrap();
    assert_eq!(patch, summary[0]["patch"]);
    let patched: Value = serde_saphyr::from_str(run("pod").trim_start_matches("---\n")).unwrap();
    assert_eq!(patched["spec"]["initContainers"][0]["name"], "keysluice");
    let text = run("text");
    assert!(
        text.starts_with("Pod keyvault-demo/keyvault-demo: mutated\n")
            && text.contains("because  selected by its label"),
        "{text}"
    );
    assert!(!text.contains('\x1b'), "no colours where the output is no terminal");
}

#[test]
fn a_refused_pod_ends_with_1_and_says_code_field_and_fix() {
    let (pod, class) = (
        guide("managed-identity", "pod.yaml"),
        guide("managed-identity", "secretproviderclass.yaml"),
    );
    let (code, out, _) = keysluice(&["explain", "-f", &pod, &class]);
    assert_eq!(code, 1);
    assert!(
        out.contains("refused")
            && out.contains("KS108")
            && out.contains("<MI_CLIENT_ID>")
            && out.contains("hint:"),
        "{out}"
    );
    let (code, out, _) = keysluice(&["explain", "-f", &pod]);
    assert_eq!(code, 1);
    assert!(
        out.contains(
            "KS207 volume \"secrets-store\": failed to get secretproviderclass \
            keyvault-ns/keyvault-provider"
        ),
        "{out}"
    );
}

#[test]
fn a_pod_that_is_none_of_our_business_is_let_through_with_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pod.json");
    std::io::Write::write_all(
        &mut std::fs::File::create(&path).unwrap(),
        br#"{"kind":"Pod","metadata":{"name":"p"},"spec":{}}"#,
    )
    .unwrap();
    let (code, out, _) = keysluice(&["explain", "-f", &path.display().to_string()]);
    assert_eq!(code, 0);
    assert!(
        out.contains("let through unchanged")
            && out.contains("not selected: no label azure.workload.identity/use"),
        "{out}"
    );
}

#[test]
fn a_cluster_that_is_too_old_is_said_to_be_so() {
    let files = ["pod.yaml", "secretproviderclass.yaml", "serviceaccount.yaml"]
        .map(|file| guide("secret-sync", file));
    for (version, expected) in
        [("1.29", 1), ("v1.29.14", 1), ("1.29+", 1), ("1.30", 0), ("v1.30.4-gke.1", 0), ("2.0", 0)]
    {
        let mut arguments = vec!["explain", "--kubernetes-version", version, "-f"];
        arguments.extend(files.iter().map(String::as_str));
        let (code, out, error) = keysluice(&arguments);
        assert_eq!(code, expected, "{version}: {out}{error}");
        assert_eq!(
            out.contains("KS725 Kubernetes 1.29 is older than 1.30"),
            expected == 1,
            "{version}: {out}"
        );
    }
    for output in ["patch", "pod"] {
        let mut arguments = vec!["explain", "--kubernetes-version", "1.29", "-o", output, "-f"];
        arguments.extend(files.iter().map(String::as_str));
        let (code, out, error) = keysluice(&arguments);
        assert!(code == 1 && !out.is_empty() && !out.contains("KS725"), "{out}{error}");
        assert!(error.contains("KS725 Kubernetes 1.29 is older than 1.30"), "{output}: {error}");
    }
    let (code, _, error) = keysluice(&["explain", "-o", "patch", "-f", &files[0]]);
    assert!(code == 1 && error.contains(": KS2"), "{error}");
    let (code, _, error) = keysluice(&["explain", "--kubernetes-version", "new", "-f", &files[0]]);
    assert!(code == 2 && error.contains("hint: write it as 1.30"), "{error}");
}

#[test]
fn what_cannot_be_read_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("broken.yaml");
    std::io::Write::write_all(&mut std::fs::File::create(&path).unwrap(), b"kind: Pod\nspec: [\n")
        .unwrap();
    let path = path.display().to_string();
    let (code, _, error) = keysluice(&["explain", "-f", &path]);
    assert_eq!(code, 1);
    assert!(error.starts_with(&format!("keysluice: KS704 {path}: ")), "{error}");
    let (code, _, error) = keysluice(&["explain", "-f", "/nonexistent.yaml"]);
    assert_eq!(code, 1);
    assert!(error.contains("KS704 cannot read /nonexistent.yaml"), "{error}");
    let (code, _, error) =
        keysluice(&["explain", "-f", &guide("secret-sync", "serviceaccount.yaml")]);
    assert_eq!(code, 2);
    assert!(error.contains("no pod"), "{error}");
    let (code, _, error) =
        keysluice(&["explain", "-f", &guide("secret-sync", "pod.yaml"), "--cloud", "Atlantis"]);
    assert_eq!(code, 2);
    assert!(error.contains("--cloud \"Atlantis\" is neither a known cloud"), "{error}");
}

#[test]
fn a_plan_for_a_pipeline_holds_the_files_and_the_identity() {
    let (code, out, error) = keysluice(&[
        "plan",
        "-f",
        &guide("workload-identity", "secretproviderclass.yaml"),
        "--service-account-file",
        &guide("workload-identity", "serviceaccount.yaml"),
        "--tenant-id",
        "t",
        "--root",
        "/builds/secrets",
    ]);
    assert_eq!(code, 0, "{error}");
    let plan = keysluice_plan::Plan::from_json(&out).unwrap();
    assert_eq!(plan.volumes[0].directory, "/builds/secrets/azure-kv-secret-provider");
    let (code, _, error) =
        keysluice(&["plan", "-f", &guide("workload-identity", "secretproviderclass.yaml")]);
    assert_eq!(code, 3, "a class that can never work");
    assert!(error.contains("KS10") && error.contains("hint:"), "{error}");
}

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
    assert!(error.contains("warning: class shop: fileOwner is not checked here"), "{error}");
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
        "sizeLimit: 4Mi",
    ] {
        assert!(out.contains(expected), "{expected}: {out}");
    }
    for (right, wrong, expected) in [
        (
            "fileOwner: 1000",
            "fileOwner: 2000",
            "KS218 fileOwner 2000 of shop-tls.chain.crt in volume \"secrets\": the sidecar can \
             run as 1000",
        ),
        (
            "fileGroup: 3000",
            "fileGroup: 4000",
            "KS219 fileGroup 4000 of settings in volume \"secrets\": the sidecar's groups are \
             [1000, 3000]",
        ),
        (
            "shop-prod.vault.azure.net",
            "shop-prod.example.org",
            "KS139 vaultUrl \"https://shop-prod.example.org/\" is not below vault.azure.net",
        ),
        ("parts: [chain, key]", "parts: [chain, keys]", "KS136 objects[0]: parts: \"keys\" is not"),
        (
            "objectVersionHistory: 3",
            "objectVersionHistory: 900",
            "KS130 objects[1]: objectVersionHistory: 900 versions",
        ),
        ("namePrefix: shop-", "prefix: shop-", "KS138 select: field \"prefix\" is unknown"),
    ] {
        let (_directory, path) = manifest(&SHOP.replace(right, wrong));
        let (code, out, _) = keysluice(&["explain", "-f", &path]);
        assert!(code == 1 && out.contains(expected) && out.contains("hint: "), "{out}");
    }
}

#[test]
fn why_explains_a_code() {
    let (code, out, _) = keysluice(&["why", "ks107"]);
    assert_eq!(code, 0);
    assert!(
        out.starts_with("KS107  ") && out.contains("fix ") && out.contains("docs/reasons.md#ks107"),
        "{out}"
    );
    let (code, _, error) = keysluice(&["why", "KS999"]);
    assert_eq!(code, 2);
    assert!(error.contains("\"KS999\" is not a code of this version"), "{error}");
}

#[test]
fn an_empty_variable_counts_as_absent() {
    let run = |variables: &[(&str, &str)]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_keysluice"));
        command.env_clear().envs(variables.iter().copied()).args([
            "explain",
            "-o",
            "patch",
            "-f",
            &guide("secret-sync", ""),
        ]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let tenant = ("AZURE_TENANT_ID", "72f988bf-86f1-41af-91ab-2d7cd011db47");
    let empty = [
        "TENANT_ID",
        "ALLOW_VAULT",
        "ALLOW_TENANT",
        "INJECTOR_IMAGE",
        "CLOUD",
        "CSI_VOLUMES",
        "OBJECTS",
        "INJECTOR_CPU_LIMIT",
    ]
    .map(|name| format!("KEYSLUICE_{name}"));
    let mut variables: Vec<(&str, &str)> = empty.iter().map(|name| (name.as_str(), "")).collect();
    variables.push(tenant);
    assert_eq!(run(&variables), run(&[tenant]));
}
