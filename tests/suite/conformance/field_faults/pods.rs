//! Parts of pods, objects with a pod template, text that is not quoted, and labels in the wrong
//! place.

use super::{BASE, Files, POD, explain};
use crate::suite::support::keysluice;
use serde_json::Value;

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
