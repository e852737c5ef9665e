//! Faults of real manifests, through `keysluice explain`, `plan` and `serve --objects`: a table a
//! kind.

use crate::suite::support::keysluice;
use serde_json::Value;

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
                "  volumes: [{{name: c, secret: {{secretName: c, defaultMode: {written}}}}}]\n"
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
fn kind_f6_a_part_of_a_pod_is_named_and_the_others_are_printed() {
    let part = "kind: Deployment\nmetadata: {name: patch-only}\nspec: {template: {metadata: \
        {labels: {azure.workload.identity/use: \"true\"}}}}\n---\n";
    for output in ["text", "json", "patch", "pod"] {
        let (code, out, error) = explain(&(part.to_owned() + POD), &["-o", output]);
        assert_eq!(code, 0, "{out}{error}");
        let said = if output == "text" { &out } else { &error };
        assert!(
            said.contains("Deployment default/patch-only")
                && said.contains("no containers: this is part of a pod, a kustomize patch"),
            "{said}"
        );
        assert!(out.contains("mutated") || out.contains("AZURE_CLIENT_ID"), "{output}: {out}");
    }
    let (code, _, error) = explain(part, &["-o", "pod"]);
    assert!(code == 2 && error.contains("no containers"), "{error}");
}

#[test]
fn kind_k_any_object_with_a_pod_template_is_explained() {
    let template = "{metadata: {labels: {azure.workload.identity/use: \"true\"}}, spec: \
        {serviceAccountName: web, containers: [{name: app, image: app}]}}";
    for (kind, spec) in [
        ("Rollout", format!("{{template: {template}}}")),
        ("ScaledJob", format!("{{jobTargetRef: {{template: {template}}}}}")),
        ("AutoscalingRunnerSet", format!("{{template: {template}}}")),
        (
            "RayCluster",
            format!(
                "{{headGroupSpec: {{template: {template}}}, workerGroupSpecs: [{{template: \
                 {template}}}]}}"
            ),
        ),
        ("CronJob", format!("{{jobTemplate: {{spec: {{template: {template}}}}}}}")),
    ] {
        let manifest = format!(
            "apiVersion: x/v1\nkind: {kind}\nmetadata: {{name: web, namespace: shop}}\nspec: \
             {spec}\n"
        );
        let (code, out, error) = explain(&manifest, &["-o", "json"]);
        assert_eq!(code, 0, "{kind}: {error}");
        let summary: Value = serde_json::from_str(&out).unwrap();
        let expected = if kind == "RayCluster" { 2 } else { 1 };
        assert_eq!(summary.as_array().map(Vec::len), Some(expected), "{out}");
        assert!(
            summary[0]["pod"].as_str().unwrap().starts_with(&format!("{kind} shop/web")),
            "{out}"
        );
        assert_eq!(summary[0]["outcome"], "mutated");
    }
    let list = "kind: PodList\napiVersion: v1\nitems:\n- metadata: {name: web, namespace: shop, \
        labels: {azure.workload.identity/use: \"true\"}}\n  spec: {serviceAccountName: web, \
        containers: [{name: app}]}\n";
    let (code, out, _) = explain(list, &[]);
    assert!(code == 0 && out.starts_with("Pod shop/web: mutated"), "{out}");
    let collector = "---\napiVersion: x/v1\nkind: OpenTelemetryCollector\nmetadata: {name: otel, \
        namespace: shop}\nspec: {serviceAccount: web}\n";
    let (code, out, _) = explain(&(POD.to_owned() + collector), &[]);
    assert!(
        code == 0
            && out.contains("OpenTelemetryCollector shop/otel")
            && out.contains("not looked at"),
        "{out}"
    );
}

#[test]
fn kind_l_unquoted_text_is_named_with_path_value_file_and_fix() {
    let deployment = |label: &str, rest: &str| {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web, namespace: \
             shop}}\nspec:\n  template:\n    metadata:\n      labels: \
             {{azure.workload.identity/use: {label}}}\n    spec:\n      serviceAccountName: \
             web\n      containers: [{{name: app, image: app{rest}}}]\n"
        )
    };
    for (manifest, path, value) in [
        (
            deployment("true", ""),
            "spec.template.metadata.labels.azure.workload.identity/use is true, a boolean",
            "true",
        ),
        (deployment("yes", ""), "use is yes, a boolean", "yes"),
        (deployment("1", ""), "use is 1, a number", "1"),
        (
            deployment("\"true\"", ", env: [{name: A, value: true}]"),
            "spec.template.spec.containers[0].env[0].value is true, a boolean",
            "true",
        ),
        (
            deployment("\"true\"", ", args: [1.10]"),
            "spec.template.spec.containers[0].args[0] is 1.10, a number",
            "1.10",
        ),
        (
            POD.replace("labels: {", "annotations: {a: 0400}, labels: {"),
            "metadata.annotations.a is 0400, a number",
            "0400",
        ),
    ] {
        let (code, out, _) = explain(&manifest, &[]);
        assert_eq!(code, 1, "{out}");
        for expected in ["KS201", path, &format!("hint: quote it: \"{value}\""), "m.yaml, line "] {
            assert!(out.contains(expected), "{expected}: {out}");
        }
        assert!(!out.contains("at byte") && !out.contains("AdmissionReview"), "{out}");
    }
    let (_, out, _) = explain(&deployment("true", ", args: [5]"), &[]);
    assert!(
        out.contains("hint: quote them: \"true\", \"5\"") && out.matches("; hint: ").count() == 1,
        "{out}"
    );
    let account = BASE.replace("client-id: 11111111-1111-1111-1111-111111111111", "client-id: 123");
    let files = Files::of(&[("pod.yaml", POD), ("base.yaml", &account)]);
    let (code, out, _) =
        keysluice(&["explain", "-f", &files.path("pod.yaml"), &files.path("base.yaml")]);
    assert!(code == 1 && !out.contains("KS250"), "{out}");
    assert!(
        out.contains("metadata.annotations.azure.workload.identity/client-id is 123, a number")
            && out.contains("quote it: \"123\""),
        "{out}"
    );
    let (code, _, error) = keysluice(&["plan", "-f", &files.path("base.yaml")]);
    assert!(code == 3 && error.contains("client-id is 123, a number"), "{error}");
    let class = BASE.replace("metadata: {name: shop, ", "metadata: {name: shop, labels: {a: on}, ");
    let files = Files::of(&[("class.yaml", &class)]);
    let (code, _, error) = keysluice(&["plan", "-f", &files.path("class.yaml")]);
    assert!(
        code == 3
            && error.contains("KS736 SecretProviderClass: metadata.labels.a is on, a boolean"),
        "{error}"
    );
}

#[test]
fn kind_l_a_pod_of_another_shape_is_refused_in_the_manifests_words() {
    let (code, out, _) =
        explain(&POD.replace("containers: [{", "volumes: {a: b}\n  containers: [{"), &[]);
    assert!(
        code == 1 && out.contains("KS201 spec.volumes: invalid type") && out.contains("m.yaml"),
        "{out}"
    );
    assert!(!out.contains("at byte") && !out.contains("request.object"), "{out}");
    let (code, out, _) = explain(&POD.replace("[{name: app, image: app}]", "{name: app}"), &[]);
    assert!(code == 1 && out.contains("KS201 spec.containers: invalid type"), "{out}");
    // One that cannot be changed leaves the others.
    let broken = POD.replace("[{name: app, image: app}]", "[null]");
    let (code, out, error) = explain(&format!("{broken}---{POD}"), &["-o", "pod"]);
    assert!(
        code == 1 && out.contains("AZURE_CLIENT_ID") && error.contains("KS201"),
        "{out}{error}"
    );
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
fn kind_o_plan_names_a_missing_a_misspelt_and_a_foreign_provider() {
    for (provider, expected) in [
        ("", "KS109 provider not set in shop/shop"),
        (
            "  provider: Azure\n",
            "KS109 provider \"Azure\" of shop/shop is not azure; hint: provider is \"Azure\"; did \
             you mean azure?",
        ),
        ("  provider: aws\n", "KS109 provider \"aws\" of shop/shop is not azure"),
    ] {
        let class = BASE.replace("  provider: azure\n", provider);
        let files = Files::of(&[
            ("class.yaml", &class),
            ("more.yaml", &BASE.replace("name: shop,", "name: more,")),
        ]);
        let (code, _, error) = keysluice(&["plan", "-f", &files.path("class.yaml")]);
        assert!(code == 3 && error.contains(expected), "{code} {error}");
        // Beside a class that is ours another provider's is left out, and a slip of the pen is not.
        let (code, out, error) =
            keysluice(&["plan", "-f", &files.path("class.yaml"), &files.path("more.yaml")]);
        assert!(error.contains(expected), "{error}");
        assert_eq!(code == 0 && out.contains("\"more\""), provider.contains("aws"), "{out}");
    }
    let files = Files::of(&[("pod.yaml", POD)]);
    assert_eq!(keysluice(&["plan", "-f", &files.path("pod.yaml")]).0, 2);
}

#[test]
fn kind_secret_objects_are_told_by_plan_as_by_explain() {
    for (objects, expected) in [
        ("[{secretName: s, type: Opaque, data: [{objectName: db-password, key: k}]}]", "KS253 "),
        (
            "[{secretName: s, type: Opaque, data: [{objectName: other, key: k}]}]",
            "KS132 secretObjects[0]",
        ),
        ("[{secretName: s, data: [{objectName: db-password, key: k}]}]", "KS131 secretObjects[0]"),
        (
            "[{secretName: s, type: kubernetes.io/tls, data: [{objectName: db-password, key: k}]}]",
            "KS133 secretObjects[0]",
        ),
    ] {
        let files = Files::of(&[("class.yaml", &format!("{BASE}  secretObjects: {objects}\n"))]);
        let (code, _, error) = keysluice(&["plan", "-f", &files.path("class.yaml")]);
        assert!(code == 0 && error.contains("KS253 ") && error.contains(expected), "{error}");
    }
}

#[test]
fn kind_other_namespace_is_named_and_can_be_given() {
    let volume = "  volumes: [{name: s, csi: {driver: secrets-store.csi.k8s.io, readOnly: true, \
        volumeAttributes: {secretProviderClass: shop}}}]\n";
    let bare = POD.replace("namespace: shop, ", "");
    for (pod, code, expected) in [
        (
            bare.clone(),
            "KS202",
            "hint: there is one in namespace shop; the pod names no namespace: explain \
             --namespace shop",
        ),
        (
            bare.replace("use: \"true\"", "use: \"false\"") + volume,
            "KS207",
            "hint: there is one in namespace shop; the pod names no namespace",
        ),
        (
            POD.replace("namespace: shop", "namespace: cart"),
            "KS202",
            "hint: there is one in namespace shop; the pod is in another one, cart",
        ),
        (
            POD.replace("web,", "web-x,")
                .replace("serviceAccountName: web", "serviceAccountName: other"),
            "KS202",
            "hint: create the ServiceAccount",
        ),
    ] {
        let (exit, out, _) = explain(&pod, &["--csi-volumes", "replace"]);
        assert!(exit == 1 && out.contains(code) && out.contains(expected), "{out}");
        assert_eq!(out.matches("; hint: ").count(), 1, "{out}");
    }
    let (exit, out, error) =
        explain(&(bare + volume), &["--csi-volumes", "replace", "--namespace", "shop"]);
    assert!(exit == 0 && out.starts_with("Pod shop/web: mutated"), "{out}{error}");
}

#[test]
fn kind_label_as_annotation_is_said() {
    let template = "    spec: {serviceAccountName: web, containers: [{name: app, image: app}]}\n";
    let deployment = |own: &str, of_template: &str| {
        format!(
            "kind: Deployment\nmetadata: {{name: web, namespace: \
             shop{own}}}\nspec:\n  template:\n    metadata: {{{of_template}}}\n{template}"
        )
    };
    let used = "{azure.workload.identity/use: \"true\"}";
    for (manifest, expected) in [
        (
            deployment("", &format!("annotations: {used}")),
            "an annotation of the pod template here, not a label",
        ),
        (
            deployment(&format!(", labels: {used}"), "labels: {a: b}"),
            "among the labels of the Deployment, not of its pod template",
        ),
        (
            deployment(&format!(", annotations: {used}"), ""),
            "among the annotations of the Deployment, not of its pod template",
        ),
        (
            deployment("", "labels: {azure.workload.identity/use: \"True\"}"),
            "\"True\" here, not \"true\"",
        ),
        (POD.replace("labels:", "annotations:"), "an annotation of the pod here, not a label"),
    ] {
        let (code, out, _) = explain(&manifest, &[]);
        assert!(
            code == 0 && out.contains("not selected") && out.contains(expected),
            "{expected}: {out}"
        );
    }
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
