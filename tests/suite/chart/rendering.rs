//! The chart, rendered by Helm. Skipped where Helm is not built yet: `make lint-chart` builds it
//! and runs these.

use crate::suite::chart::helm::{Helm, NAMESPACE, root};
use crate::suite::chart::manifests::find;
use crate::suite::support::data;
use serde_json::{Value, json};
use std::path::Path;

/// In front of the rendered default: Helm makes the namespace itself.
const INSTALL_HEAD: &str = "\
# The chart with its default values, for `kubectl apply`, without the policies that stay after an \
uninstall: they have
# files of their own, secret-types.yaml and reaction-rights.yaml. A test generates this file. \
docs/install.md has the
# command that sets your own images, in three places (the Deployment's image, its \
KEYSLUICE_INJECTOR_IMAGE, and the
# policy keysluice-guard-sidecar, which allows only that image), and your tenant \
(KEYSLUICE_TENANT_ID).
apiVersion: v1
kind: Namespace
metadata:
  name: keysluice-system
  labels:
    pod-security.kubernetes.io/enforce: restricted
    pod-security.kubernetes.io/audit: restricted
    pod-security.kubernetes.io/warn: restricted
";

/// Compares, or writes with `UPDATE_DOCS`.
fn same(path: &Path, expected: &str) {
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::io::Write::write_all(&mut std::fs::File::create(path).unwrap(), expected.as_bytes())
            .unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        found == expected,
        "{} is stale; UPDATE_DOCS=1 make lint-chart writes it anew",
        path.display()
    );
}

#[test]
fn install_yaml_is_the_rendered_default() {
    let Some(helm) = Helm::find("install_yaml_is_the_rendered_default") else { return };
    // What an uninstall must not delete is a file of its own.
    let without = "guard.secretTypes=false,guard.reactionRights=false";
    let rendered = helm.rendered(&["--no-hooks", "--set", without]);
    same(&root().join("webhook-config/install.yaml"), &format!("{INSTALL_HEAD}{rendered}"));
}

/// `kubectl delete -f install.yaml` leaves them, and so does Helm.
#[test]
fn policies_of_rights_are_the_same_in_chart_and_file_and_outlive_both() {
    let name = "policies_of_rights_are_the_same_in_chart_and_file_and_outlive_both";
    let Some(helm) = Helm::find(name) else { return };
    for (file, value, names) in [
        ("secret-types", "secretTypes", &["keysluice-secret-types"][..]),
        ("reaction-rights", "reactionRights", &["keysluice-evictions", "keysluice-rollouts"]),
    ] {
        let ours = |documents: Vec<Value>| {
            let mut ours = documents;
            ours.retain(|one| names.contains(&one["metadata"]["name"].as_str().unwrap()));
            ours.sort_by_key(|one| format!("{}{}", one["metadata"]["name"], one["kind"]));
            ours
        };
        let path = root().join(format!("webhook-config/{file}.yaml"));
        let text = std::fs::read_to_string(path).unwrap();
        let file = ours(serde_saphyr::from_multiple(&text).unwrap());
        let charts = [
            ours(helm.documents(&[])),
            ours(helm.documents(&["--set", "fullnameOverride=sluice,certManager.enabled=true"])),
        ];
        for rendered in &charts {
            assert_eq!((rendered.len(), file.len()), (2 * names.len(), 2 * names.len()));
            for (chart, file) in rendered.iter().zip(&file) {
                assert_eq!((&chart["kind"], &chart["spec"]), (&file["kind"], &file["spec"]));
                let metadata = &chart["metadata"];
                assert_eq!(metadata["annotations"], json!({"helm.sh/resource-policy": "keep"}));
                assert!(metadata["ownerReferences"].is_null(), "{metadata}");
                assert_eq!(file["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
            }
        }
        assert!(ours(helm.documents(&["--set", &format!("guard.{value}=false")])).is_empty());
    }
}

#[test]
fn the_main_sets_of_values_render_as_before() {
    let Some(helm) = Helm::find("the_main_sets_of_values_render_as_before") else { return };
    for name in ["cert-manager", "given-certificate", "everything"] {
        let values = data().join(format!("chart/{name}.values.yaml"));
        let rendered = helm.rendered(&["--values", &values.display().to_string()]);
        same(&data().join(format!("chart/{name}.golden.yaml")), &rendered);
    }
}

/// `helm template`, and so Argo CD and kustomize, apply everything that is printed.
#[test]
fn a_rendering_without_a_cluster_holds_nothing_for_an_uninstall() {
    let Some(helm) = Helm::find("a_rendering_without_a_cluster_holds_nothing_for_an_uninstall")
    else {
        return;
    };
    for arguments in [&[][..], &["--is-upgrade"], &["--set", "certManager.enabled=true"]] {
        let documents = helm.documents(arguments);
        let hooks: Vec<&Value> = documents
            .iter()
            .filter(|one| one["metadata"]["annotations"]["helm.sh/hook"].is_string())
            .collect();
        assert_eq!(hooks.len(), 6, "the doctor and its rights: {hooks:?}");
        for hook in hooks {
            assert_eq!(hook["metadata"]["annotations"]["helm.sh/hook"], "pre-install,pre-upgrade");
            for rule in hook["rules"].as_array().into_iter().flatten() {
                for verb in rule["verbs"].as_array().unwrap() {
                    assert!(["get", "list"].contains(&verb.as_str().unwrap()), "{hook}");
                }
            }
        }
    }
}

#[test]
fn the_doctor_looks_at_what_is_installed() {
    let Some(helm) = Helm::find("the_doctor_looks_at_what_is_installed") else { return };
    let job = |values: &str| {
        let documents = helm.documents(&["--set", values]);
        documents.into_iter().find(|one| one["kind"] == "Job").unwrap()
    };
    let images = job(
        "image.repository=a.test/w,injector.image.repository=a.test/i,injector.image.release=v2",
    );
    let containers = images["spec"]["template"]["spec"]["containers"].clone();
    assert_eq!(containers[0]["image"], "a.test/w:0.1.0");
    assert_eq!(containers[1]["image"], "a.test/i:v2");
    let says = |job: &Value, word: &str| {
        job["spec"]["template"]["spec"]["containers"][0]["args"].to_string().contains(word)
    };
    assert!(says(&job("fullnameOverride=sluice"), "--name=sluice"));
    assert!(says(&job("csiVolumes=leave"), "--csi-volumes=leave"));
    assert!(
        says(&job("imagePullSecrets[0].name=a"), "--pull-secrets")
            && !says(&images, "--pull-secrets")
    );
    // What is applied by `kubectl apply` once more, with other images, must not change a job's
    // template.
    assert_ne!(images["metadata"]["name"], job("replicaCount=2")["metadata"]["name"]);
    assert_eq!(
        job("replicaCount=2")["metadata"]["name"],
        job("replicaCount=3")["metadata"]["name"]
    );
}

#[test]
fn a_selector_of_the_operator_is_kept_beside_ours() {
    let Some(helm) = Helm::find("a_selector_of_the_operator_is_kept_beside_ours") else { return };
    let selector = json!({"matchLabels": {"a": "b"},
        "matchExpressions": [{"key": "c", "operator": "Exists"}]});
    let selector = format!("mutatingWebhookNamespaceSelector={selector}");
    let documents = helm.documents(&["--set-json", &selector]);
    let configuration = find(&documents, "MutatingWebhookConfiguration", "keysluice");
    let expected = json!({"matchLabels": {"a": "b"}, "matchExpressions": [
        {"key": "c", "operator": "Exists"},
        {"key": "kubernetes.io/metadata.name", "operator": "NotIn",
            "values": ["kube-system", NAMESPACE]},
    ]});
    for entry in configuration["webhooks"].as_array().unwrap() {
        assert_eq!(entry["namespaceSelector"], expected);
    }
    let guard = find(&documents, "ValidatingAdmissionPolicy", "keysluice-guard-identity");
    assert_eq!(
        guard["spec"]["matchConstraints"]["namespaceSelector"], expected,
        "else the guard refuses what no webhook is asked about"
    );
}

#[test]
fn kube_system_is_left_out_by_default() {
    let Some(helm) = Helm::find("kube_system_is_left_out_by_default") else { return };
    for (values, expected) in [
        ("excludedNamespaces={a}", json!(["kube-system", "a", NAMESPACE])),
        ("excludedNamespaces={kube-system}", json!(["kube-system", NAMESPACE])),
        ("excludedNamespaces=null", json!(["kube-system", NAMESPACE])),
        ("excludeKubeSystem=null", json!(["kube-system", NAMESPACE])),
        ("excludeKubeSystem=false", json!([NAMESPACE])),
    ] {
        let documents = helm.documents(&["--set", values]);
        let configuration = find(&documents, "MutatingWebhookConfiguration", "keysluice");
        for entry in configuration["webhooks"].as_array().unwrap() {
            assert_eq!(
                entry["namespaceSelector"]["matchExpressions"][0]["values"], expected,
                "{values}"
            );
        }
    }
}
