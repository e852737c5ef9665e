//! `keysluice rbac` and `render sync`, as a user runs them.

use crate::suite::support::keysluice;
use std::io::Write as _;

const WORKLOAD: &str = r"
apiVersion: batch/v1
kind: CronJob
metadata: {name: load}
spec:
  jobTemplate:
    spec:
      template:
        spec:
          serviceAccountName: loader
          containers: [{name: app, image: app}]
          volumes:
            - name: s
              csi:
                driver: secrets-store.csi.k8s.io
                readOnly: true
                volumeAttributes: {secretProviderClass: c}
---
";
const CLASS: &str = r#"
apiVersion: secrets-store.csi.x-k8s.io/v1
kind: SecretProviderClass
metadata: {name: c}
spec:
  provider: azure
  parameters:
    keyvaultName: my-vault
    objects: "array: ['{objectName: a, objectType: secret}']"
  secretObjects:
    - {secretName: db, type: Opaque, data: [{objectName: a, key: a}]}
---
"#;
const FOREIGN: &str = "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\n";

fn run(manifest: &str, arguments: &[&str]) -> (i32, String, String) {
    let mut file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    file.write_all(manifest.as_bytes()).unwrap();
    let path = file.path().display().to_string();
    keysluice(&[arguments, &["-f", &path, "-n", "app"]].concat())
}

#[test]
fn rbac_prints_the_policy_before_the_roles() {
    let manifest = [WORKLOAD, CLASS].concat();
    let (code, out, error) = run(&manifest, &["rbac"]);
    assert_eq!((code, error.as_str()), (0, ""));
    let policy = out.find("kind: ValidatingAdmissionPolicyBinding").unwrap();
    let role =
        out.find("kind: Role\nmetadata:\n  name: keysluice-loader\n  namespace: app").unwrap();
    assert!(policy < role, "{out}");
    let (code, without, _) = run(&manifest, &["rbac", "--without-policy"]);
    assert!(code == 0 && out.ends_with(&without) && !without.contains("Policy"), "{without}");
    let (code, policy, _) = keysluice(&["rbac", "--policy-only"]);
    assert!(code == 0 && out == policy + &without);
}

#[test]
fn rbac_prints_nothing_if_one_name_belongs_to_something_else() {
    let (code, out, error) = run(&[WORKLOAD, CLASS, FOREIGN].concat(), &["rbac"]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(error.contains("KS740 Secret app/db of SecretProviderClass app/c"), "{error}");
    let managed = FOREIGN.replace("name: db", "name: db, labels: {keysluice.dev/managed: 'true'}");
    let (code, _, error) = run(&[WORKLOAD, CLASS, &managed].concat(), &["rbac"]);
    assert_eq!(code, 0, "{error}");
}

#[test]
fn rbac_says_what_is_missing_and_what_it_needs() {
    let (code, out, error) = run(WORKLOAD, &["rbac"]);
    assert_eq!((code, out.as_str()), (0, ""));
    assert!(error.contains("KS746 CronJob app/load") && error.contains("no rights are needed"));
    let (code, _, error) = keysluice(&["rbac"]);
    assert!(code == 2 && error.contains("-f"), "{code}: {error}");
}

#[test]
fn render_sync_prints_a_pod_that_the_webhook_serves() {
    let account = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: web, namespace: app, \
        annotations: {azure.workload.identity/client-id: \
        00000000-0000-0000-0000-000000000001, azure.workload.identity/tenant-id: \
        00000000-0000-0000-0000-000000000002}}\n---\n";
    let arguments = ["render", "sync", "--service-account", "web", "--image", "a.test/i:1"];
    let (code, out, error) = run(CLASS, &arguments);
    assert_eq!(code, 0, "{error}");
    assert!(out.contains("image: a.test/i:1\n") && out.contains("name: keysluice-web\n"));
    let all = [account, CLASS, &out].concat();
    let (code, explained, error) = run(&all, &["explain"]);
    assert!(code == 0 && explained.contains("keysluice-sync-c: mutated"), "{explained}{error}");
}

#[test]
fn explain_accepts_every_form_of_the_rights() {
    let account = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: loader, namespace: app, \
        annotations: {azure.workload.identity/client-id: \
        00000000-0000-0000-0000-000000000001, azure.workload.identity/tenant-id: \
        00000000-0000-0000-0000-000000000002}}\n---\n";
    let manifest = [account, WORKLOAD, CLASS].concat();
    for form in [&[][..], &["--strict"], &["--per-namespace"]] {
        let (code, roles, error) = run(&manifest, &[&["rbac"], form].concat());
        assert_eq!(code, 0, "{form:?}: {error}");
        let (code, explained, error) = run(&[&manifest, roles.as_str()].concat(), &["explain"]);
        let all = [explained, error].concat();
        assert!(code == 0 && !all.contains("KS724"), "{form:?}: {all}");
    }
    let other = "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: r, \
        namespace: app}\nrules: []\n";
    let (code, explained, error) = run(&[&manifest, other].concat(), &["explain"]);
    assert!(code == 1 && [explained, error].concat().contains("KS724"), "{code}");
}

#[test]
fn rbac_and_render_warn_of_a_class_that_the_webhook_refuses() {
    let class = CLASS.replace("objectName: a, objectType", "objectNme: a, objectType");
    let manifest = [WORKLOAD, &class].concat();
    for arguments in [&["rbac"][..], &["render", "sync", "--service-account", "web"]] {
        let (code, out, error) = run(&manifest, arguments);
        assert!(code == 0 && !out.is_empty(), "{arguments:?}: {error}");
        let expected = "warning: KS747 SecretProviderClass app/c: KS125 objects[0]";
        assert!(error.contains(expected), "{error}");
    }
    let (code, _, error) = run(&manifest, &["rbac", "--remove"]);
    assert_eq!(code, 0, "what was granted can be taken away: {error}");
}

#[test]
fn render_takes_no_image_that_has_blanks() {
    for image in ["", "a b"] {
        let arguments = ["render", "sync", "--service-account", "web", "--image", image];
        let (code, _, error) = run(CLASS, &arguments);
        assert!(code == 2 && error.contains("--image"), "{image:?}: {code}: {error}");
    }
}
