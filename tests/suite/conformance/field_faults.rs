//! Faults of real manifests, through `keysluice explain`, `plan` and `serve --objects`: a table a
//! kind.

mod classes;
mod pods;

use crate::suite::support::keysluice;

const BASE: &str = r"
apiVersion: v1
kind: ServiceAccount
metadata:
  name: web
  namespace: shop
  annotations: {azure.workload.identity/client-id: 11111111-1111-1111-1111-111111111111,
      azure.workload.identity/tenant-id: 99999999-9999-9999-9999-999999999999}
---
apiVersion: secrets-store.csi.x-k8s.io/v1
kind: SecretProviderClass
metadata: {name: shop, namespace: shop}
spec:
  provider: azure
  parameters:
    keyvaultName: shop
    objects: |
      array:
        - |
          objectName: db-password
          objectType: secret
";

const POD: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {azure.workload.identity/use: "true"}}
spec:
  serviceAccountName: web
  containers: [{name: app, image: app}]
"#;

/// Files in a directory of their own.
struct Files(tempfile::TempDir);

impl Files {
    fn of(files: &[(&str, &str)]) -> Self {
        let files = files.iter().map(|(name, text)| (*name, text.as_bytes()));
        let directory = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            write(&path, bytes);
        }
        Self(directory)
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }
}

fn write(path: &std::path::Path, bytes: &[u8]) {
    std::io::Write::write_all(&mut std::fs::File::create(path).unwrap(), bytes).unwrap();
}

/// `explain -f m.yaml base.yaml` with further arguments: exit code, standard output, standard
/// error.
fn explain(manifest: &str, arguments: &[&str]) -> (i32, String, String) {
    let files = Files::of(&[("m.yaml", manifest), ("base.yaml", BASE)]);
    let (manifest, base) = (files.path("m.yaml"), files.path("base.yaml"));
    keysluice(&[&["explain", "-f", &manifest, &base], arguments].concat())
}

fn explain_pod(manifest: &str) -> String {
    let (code, out, error) = explain(manifest, &["-o", "pod"]);
    assert_eq!(code, 0, "{out}{error}");
    out
}

#[test]
fn kind_i_and_f4_numbers_are_printed_as_kubernetes_reads_them() {
    for (written, printed) in [
        ("0400", "256"),
        ("0755", "493"),
        ("1_000", "1000"),
        ("1_", "1"),
        ("0_7", "7"),
        ("-0400", "-256"),
        ("0x1F", "31"),
        ("0b11", "3"),
        ("0o400", "256"),
        ("256", "256"),
        ("1.5", "1.5"),
        ("1e3", "1000"),
        ("'0400'", "\"0400\""),
        ("\"yes\"", "\"yes\""),
        ("yes", "true"),
        ("Off", "false"),
        ("1:30", "\"1:30\""),
        ("2001-01-01", "\"2001-01-01\""),
    ] {
        let pod = POD.to_owned()
            + &format!(
                "  volumes: [{{name: c, configMap: {{name: c, defaultMode: {written}}}}}]\n"
            );
        let out = explain_pod(&pod);
        assert!(out.contains(&format!("defaultMode: {printed}\n")), "{written}: {out}");
    }
    // The same in what changes, for people.
    let pod = POD.to_owned() + "  volumes: [{name: c, configMap: {name: c, defaultMode: 0400}}]\n";
    let (_, out, _) = explain(&pod, &[]);
    assert!(!out.contains("400.0"), "{out}");
}

#[test]
fn kind_f1_glued_comments_are_comments_in_manifests_and_in_objects() {
    let class = BASE
        .replace("keyvaultName: shop", "keyvaultName: \"shop\"#prod")
        .replace("objects: |", "objects: |#all")
        .replace("        - |\n", "        - |# the first\n")
        .replace("objectType: secret", "objectType: \"secret\"# newest");
    let files = Files::of(&[("class.yaml", &class)]);
    let (code, out, error) = keysluice(&["plan", "-f", &files.path("class.yaml")]);
    assert_eq!(code, 0, "{error}");
    let plan = keysluice_plan::Plan::from_json(&out).unwrap();
    assert_eq!(plan.volumes[0].files[0].path.as_str(), "db-password");
    assert_eq!(plan.volumes[0].files[0].vault.as_str(), "https://shop.vault.azure.net/");
    let (code, out, error) = explain(&POD.replace("image: app}]", "image: 'app'}]#glued"), &[]);
    assert!(code == 0 && out.contains("mutated"), "{out}{error}");
}

#[test]
fn kind_f2_a_value_of_nothing_is_as_if_absent() {
    let class = BASE.replace(
        "    keyvaultName: shop\n",
        "    keyvaultName: shop\n    useVMManagedIdentity: \
         \"true\"\n    userAssignedIdentityID:\n    cloudName: ~\n",
    ) + "  secretObjects:\n  - secretName: s\n    type:\n    labels: {a: }\n    data: \
        [{objectName: db-password, key: }]\n";
    let files = Files::of(&[("class.yaml", &class)]);
    let (code, out, error) = keysluice(&["plan", "-f", &files.path("class.yaml")]);
    assert_eq!(code, 0, "{error}");
    assert!(out.contains("managedIdentity") && !error.contains("KS102"), "{out}{error}");
    assert!(error.contains("KS131"), "a type that is not set is said to be: {error}");
    let pod = POD
        .replace("labels: {", "annotations: {x: }, labels: {app: , ")
        .replace("image: app", "image: app, env: [{name: A, value: }]");
    let (code, out, error) = explain(&pod, &[]);
    assert!(code == 0 && out.contains("mutated"), "{out}{error}");
    // Booleans stay refused.
    let files = Files::of(&[("class.yaml", &class.replace("\"true\"", "true"))]);
    let (code, _, error) = keysluice(&["plan", "-f", &files.path("class.yaml")]);
    assert!(
        code == 3 && error.contains("KS102 parameters.useVMManagedIdentity is a boolean"),
        "{error}"
    );
}

#[test]
fn kind_f3_a_repeated_key_is_a_warning_with_key_and_line() {
    let pod = POD.to_owned() + "  nodeSelector: {a: b}\n  nodeSelector: {c: d}\n";
    for output in ["text", "json", "patch", "pod"] {
        let (code, out, error) = explain(&pod, &["-o", output]);
        assert_eq!(code, 0, "{error}");
        assert!(
            error.contains("line 9: spec.nodeSelector is there twice: the last one counts"),
            "{error}"
        );
        assert!(output != "pod" || (out.contains("c: d") && !out.contains("a: b")), "{out}");
    }
}

#[test]
fn kind_f5_an_unreadable_neighbour_is_a_note() {
    let files = Files::of(&[
        ("d/pod.yaml", POD),
        ("d/base.yaml", BASE),
        ("d/templates/cm.yaml", "metadata: {name: {{ .Release.Name }}}\n"),
        ("d/pipeline.yml", "a: b: c\n"),
    ]);
    let (code, out, error) =
        keysluice(&["explain", "-f", &files.path("d/pod.yaml"), "--objects", &files.path("d")]);
    assert_eq!(code, 0, "{error}");
    assert!(out.contains("mutated"), "{out}");
    assert!(
        error.contains("cm.yaml: line 1")
            && error.contains("a Helm template: render it with helm template"),
        "{error}"
    );
    assert!(error.contains("pipeline.yml: line 1: a colon where no key can be"), "{error}");
    for name in ["d/templates/cm.yaml", "d/pipeline.yml"] {
        let (code, _, error) =
            keysluice(&["explain", "-f", &files.path(name), "--objects", &files.path("d")]);
        assert!(code == 1 && error.contains("KS704 "), "{error}");
    }
}

#[test]
fn kind_n_errors_are_told_once() {
    let empty = Files::of(&[]);
    for arguments in [
        &["explain", "-f", "/nonexistent/missing.yaml"][..],
        &["plan", "-f", "/nonexistent/missing.yaml"],
        &["serve", "--objects", "/nonexistent/missing.yaml"],
        &["serve", "--objects", &empty.path(""), "--tls-dir", &empty.path("")],
    ] {
        let (code, _, error) = keysluice(arguments);
        assert_eq!(code, 1, "{error}");
        assert_eq!(error.matches("os error 2").count(), 1, "{error}");
        assert_eq!(error.matches("cannot read").count(), 1, "{error}");
    }
}

#[test]
fn kind_n_utf_16_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.yaml");
    let text = format!("{BASE}---{POD}");
    let units = std::iter::once(0xFEFF).chain(text.encode_utf16());
    write(&path, &units.flat_map(u16::to_le_bytes).collect::<Vec<_>>());
    let (code, out, error) = keysluice(&["explain", "-f", &path.display().to_string()]);
    assert!(code == 0 && out.contains("mutated"), "{out}{error}");
    write(&path, &text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>());
    let (code, _, error) = keysluice(&["explain", "-f", &path.display().to_string()]);
    assert!(
        code == 1 && error.contains("NUL bytes, as UTF-16 does; hint: save it as UTF-8"),
        "{error}"
    );
}

#[test]
fn library_words_stay_out_of_what_cannot_be_read() {
    for text in [
        "a: b: c\n",
        "kind: Pod\nx\n",
        "- a\nb\n",
        "{{ if }}\n",
        "kind: \"Pod\n",
        "kind: [Pod\n",
        "\tkind: Pod\n",
        "just text",
        "kind: @x\n",
    ] {
        let files = Files::of(&[("m.yaml", text)]);
        let (code, _, error) = keysluice(&["explain", "-f", &files.path("m.yaml")]);
        assert!(code != 0, "{text:?}");
        for word in [
            "saphyr",
            "simple key",
            "expected string scalar",
            "DuplicateKeyPolicy",
            "serde",
            "kubectl apply --dry-run",
        ] {
            assert!(!error.contains(word), "{text:?}: {error}");
        }
    }
}
