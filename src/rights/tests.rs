//! Workloads and classes to Roles.

use super::*;
use serde_json::json;

fn class(namespace: &str, name: &str, secrets: &[(&str, &str)]) -> (Place, ProviderClass) {
    let objects: Vec<Value> = secrets
        .iter()
        .map(|(name, kind)| {
            json!({"secretName": name, "type": kind,
                "data": [{"objectName": "a", "key": "password"}]})
        })
        .collect();
    let value = json!({"apiVersion": "secrets-store.csi.x-k8s.io/v1",
        "kind": "SecretProviderClass", "metadata": {"name": name, "namespace": namespace},
        "spec": {"provider": "azure", "secretObjects": objects}});
    let class = ProviderClass::from_value(&value).unwrap();
    ((namespace.to_owned(), name.to_owned()), class)
}

fn classes(all: Vec<(Place, ProviderClass)>) -> Classes {
    all.into_iter().map(|(place, class)| (place, Ok(Arc::new(class)))).collect()
}

fn workload(owner: &str, account: &str, classes: &[&str]) -> Workload {
    Workload {
        owner: owner.to_owned(),
        namespace: "app".to_owned(),
        service_account: account.to_owned(),
        classes: classes.iter().map(|name| (*name).to_owned()).collect(),
        attributes: Vec::new(),
        has_inline: false,
        reaction: Ok(None),
    }
}

fn pod(annotations: &Value, account: &Value) -> Value {
    json!({"metadata": {"annotations": annotations}, "spec": {"serviceAccountName": account,
        "volumes": [{"name": "x", "emptyDir": {}},
            {"name": "a", "csi": {"driver": "secrets-store.csi.k8s.io",
                "volumeAttributes": {"secretProviderClass": "c"}}},
            {"name": "b", "csi": {"driver": "other", "volumeAttributes": {
                "secretProviderClass": "d"}}}]}})
}

fn read(pod: &Value) -> Option<Workload> {
    Workload::read("Pod app/p", "app", pod)
}

#[test]
fn a_pod_needs_rights_for_the_volumes_that_the_webhook_serves() {
    let found = read(&pod(&json!({}), &json!("web"))).unwrap();
    assert_eq!((found.service_account.as_str(), &found.classes[..]), ("web", &["c".into()][..]));
    assert_eq!(read(&pod(&Value::Null, &Value::Null)).unwrap().service_account, "default");
    assert_eq!(read(&pod(&json!({"keysluice.dev/csi-volumes": "leave"}), &json!("web"))), None);
    assert!(read(&pod(&json!({"keysluice.dev/csi-volumes": "replace"}), &json!("w"))).is_some());
    assert_eq!(read(&json!({"spec": {}})), None);
    let annotations = json!({"keysluice.dev/file.a": "secrets/a",
        "keysluice.dev/csi-volumes": "leave"});
    let mut inline = pod(&annotations, &json!("web"));
    assert_eq!(read(&inline), None, "without the label");
    inline["metadata"]["labels"] = json!({"azure.workload.identity/use": "true"});
    let found = read(&inline).unwrap();
    assert!(found.has_inline && found.classes.is_empty());
}

#[test]
fn the_least_roles_are_sorted_and_in_the_form_that_was_tested() {
    let all = classes(vec![
        class("app", "one", &[("my-secret", "Opaque"), ("b-tls", "kubernetes.io/tls")]),
        class("app", "two", &[("a-secret", "Opaque")]),
    ]);
    let workloads = [
        workload("Deployment app/web", "web", &["two", "one"]),
        workload("Job app/load", "load", &["two"]),
    ];
    let found = Grants::of(&workloads, &all);
    assert!(found.faults.is_empty() && found.warnings.is_empty(), "{found:?}");
    let printed = found.grants.print(Form::ByAccount);
    let expected = "\
---
# ServiceAccount web of namespace app creates, reads, overwrites and labels the Secrets a-secret,
# b-tls, my-secret, whatever made them, and no others: the right to patch a Secret is also the right
# to read it. Used by Deployment app/web.
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: keysluice-web
  namespace: app
  labels:
    keysluice.dev/rights: secrets
rules:
  - apiGroups:
      - \"\"
    resources:
      - secrets
    resourceNames:
      - a-secret
      - b-tls
      - my-secret
    verbs:
      - create
      - patch
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: keysluice-web
  namespace: app
  labels:
    keysluice.dev/rights: secrets
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: keysluice-web
subjects:
  - kind: ServiceAccount
    name: web
    namespace: app
";
    assert!(printed.ends_with(expected), "{printed}");
    assert!(printed.find("keysluice-load").unwrap() < printed.find("keysluice-web").unwrap());
    let mut other = workloads.clone();
    other.reverse();
    assert_eq!(Grants::of(&other, &all).grants.print(Form::ByAccount), printed, "stable");
}

#[test]
fn the_strict_form_has_no_create_and_empty_secrets_of_the_right_type() {
    let kinds = [
        ("a", "kubernetes.io/tls"),
        ("b", "kubernetes.io/dockerconfigjson"),
        ("c", "kubernetes.io/dockercfg"),
        ("d", "kubernetes.io/basic-auth"),
        ("e", "kubernetes.io/ssh-auth"),
        ("f", "Opaque"),
    ];
    let all = classes(vec![class("app", "one", &kinds)]);
    let found = Grants::of(&[workload("Pod app/p", "web", &["one"])], &all);
    let printed = found.grants.print(Form::Strict);
    let documents: Vec<Value> = printed
        .split("---\n")
        .skip(1)
        .map(|text| crate::yaml::parse(text, 1).unwrap().value)
        .collect();
    let data: Vec<&Value> = documents.iter().map(|document| &document["data"]).collect();
    assert_eq!(*data[0], json!({"tls.crt": "", "tls.key": ""}));
    assert_eq!(*data[1], json!({".dockerconfigjson": "e30="}));
    assert_eq!(*data[2], json!({".dockercfg": "e30="}));
    assert_eq!(*data[3], json!({"password": ""}));
    assert_eq!(*data[4], json!({"ssh-privatekey": "Cg=="}));
    assert_eq!(*data[5], json!({}));
    for (secret, (name, kind)) in documents.iter().zip(kinds) {
        assert_eq!((&secret["metadata"]["name"], &secret["type"]), (&json!(name), &json!(kind)));
        assert_eq!(secret["metadata"]["labels"]["keysluice.dev/managed"], "true");
        assert!(secret["metadata"]["ownerReferences"].is_null());
    }
    assert_eq!(documents[6]["rules"][0]["verbs"], json!(["patch", "patch-existing"]));
}

fn rollout(name: &str) -> ReactionRight {
    ReactionRight::Rollout(keysluice_plan::WorkloadReference {
        resource: keysluice_plan::WorkloadResource::Deployments,
        name: name.to_owned(),
    })
}

/// A workload whose pods need the right for their reaction.
fn reacting(owner: &str, classes: &[&str], right: ReactionRight) -> Workload {
    Workload { reaction: Ok(Some(right)), ..workload(owner, "web", classes) }
}

fn first_document(printed: &str) -> Value {
    crate::yaml::parse(printed.split("---\n").nth(1).unwrap(), 1).unwrap().value
}

#[test]
fn reactions_get_the_eviction_and_the_patch_of_their_workload_by_name() {
    let all = classes(vec![class("app", "one", &[("a", "Opaque")]), class("app", "none", &[])]);
    let workloads = [
        reacting("Deployment app/web", &["none"], rollout("web")),
        reacting("Deployment app/api", &["none"], rollout("api")),
        reacting("DaemonSet app/agent", &["none"], ReactionRight::Evict),
    ];
    let found = Grants::of(&workloads, &all);
    assert!(found.faults.is_empty() && found.warnings.is_empty(), "{found:?}");
    let expected = json!([
        {"apiGroups": [""], "resources": ["pods/eviction"], "verbs": ["create"]},
        {"apiGroups": ["apps"], "resources": ["deployments"], "resourceNames": ["api", "web"],
            "verbs": ["patch"]}]);
    for form in [Form::ByAccount, Form::Strict, Form::PerNamespace] {
        let printed = found.grants.print(form);
        let role = first_document(&printed);
        assert_eq!(role["rules"], expected, "{form:?}");
        assert_eq!(role["metadata"]["labels"]["keysluice.dev/rights"], "reactions");
        assert!(printed.contains("keysluice-evictions"), "{printed}");
    }
    assert_eq!(found.grants.policies(), ["keysluice-evictions", "keysluice-rollouts"]);
    assert!(!found.grants.policy_files().contains("keysluice-secret-types"));

    let both = [reacting("Deployment app/web", &["one"], rollout("web"))];
    let grants = Grants::of(&both, &all).grants;
    let role = first_document(&grants.print(Form::ByAccount));
    assert_eq!(role["rules"][0]["resources"], json!(["secrets"]));
    assert_eq!(role["rules"][1]["resourceNames"], json!(["web"]));
    assert_eq!(role["metadata"]["labels"]["keysluice.dev/rights"], "secrets-reactions");
    assert_eq!(grants.policies(), ["keysluice-secret-types", "keysluice-rollouts"]);
    let removal = grants.print_removal(Form::ByAccount);
    for policy in ["keysluice-secret-types", "keysluice-rollouts"] {
        assert!(removal.contains(&format!("validatingadmissionpolicy {policy}\n")), "{removal}");
    }

    let inline =
        Workload { has_inline: true, ..reacting("Deployment app/web", &[], ReactionRight::Evict) };
    assert_eq!(Grants::of(&[inline], &all).grants.policies(), ["keysluice-evictions"]);

    let broken = [Workload {
        reaction: Err("KS241 no".to_owned()),
        ..workload("Pod app/p", "web", &["none"])
    }];
    let found = Grants::of(&broken, &all);
    assert!(found.grants.is_empty() && found.warnings[0].starts_with("KS753 Pod app/p"));
}

#[test]
fn the_form_per_namespace_binds_a_group_and_says_so() {
    let all = classes(vec![class("app", "one", &[("a", "Opaque")])]);
    let workloads =
        [workload("Pod app/p", "web", &["one"]), workload("Pod app/q", "other", &["one"])];
    let printed = Grants::of(&workloads, &all).grants.print(Form::PerNamespace);
    assert_eq!(printed.matches("kind: Role\n").count(), 2, "the Role and its reference: {printed}");
    assert!(printed.contains("name: system:serviceaccounts:app\n"), "{printed}");
    assert!(printed.contains("# Every ServiceAccount of namespace app"), "{printed}");
}

#[test]
fn what_may_not_be_granted_is_refused() {
    let long = "a".repeat(254);
    for (secrets, code) in [
        (&[("../x", "Opaque")][..], "KS741"),
        (&[("", "Opaque")], "KS741"),
        (&[("a\nkind: Role", "Opaque")], "KS741"),
        (&[(long.as_str(), "Opaque")], "KS741"),
        (&[("a", "")], "KS741"),
        (&[("a", "kubernetes.io/service-account-token")], "KS742"),
        (&[("a", "bootstrap.kubernetes.io/token")], "KS742"),
        (&[("a", "Opaque"), ("a", "kubernetes.io/tls")], "KS743"),
    ] {
        let all = classes(vec![class("app", "one", secrets)]);
        let found = Grants::of(&[workload("Pod app/p", "web", &["one"])], &all);
        let fault = found.faults.first().unwrap_or_else(|| panic!("{secrets:?}"));
        assert!(fault.to_string().starts_with(code), "{secrets:?}: {fault}");
        assert_eq!(fault.reason().code, code);
    }
    let all = classes(vec![class("app", "one", &[("a", "Opaque")])]);
    let found = Grants::of(&[workload("Pod app/p", "Web", &["one"])], &all);
    assert!(found.faults[0].to_string().contains("ServiceAccount \"Web\""), "{found:?}");
}

#[test]
fn a_secret_that_something_else_made_is_refused() {
    let all = classes(vec![class("app", "one", &[("a", "Opaque")])]);
    let grants = Grants::of(&[workload("Pod app/p", "web", &["one"])], &all).grants;
    let place = ("app".to_owned(), "a".to_owned());
    for (labels, is_foreign) in [
        (json!({"keysluice.dev/managed": "true"}), false),
        (json!({"secrets-store.csi.k8s.io/managed": "true"}), false),
        (json!({"keysluice.dev/managed": "false"}), true),
        (json!({"app": "x"}), true),
        (Value::Null, true),
    ] {
        let fault = grants.check_owner(&place, &json!({"labels": labels}));
        assert_eq!(fault.is_some(), is_foreign, "{labels}");
    }
    let elsewhere = ("other".to_owned(), "a".to_owned());
    assert_eq!(grants.check_owner(&elsewhere, &json!({})), None);
}

#[test]
fn a_class_that_is_missing_broken_or_without_secrets_is_told() {
    let mut all = classes(vec![class("app", "none", &[])]);
    all.insert(("app".to_owned(), "broken".to_owned()), Err("wrong".to_owned()));
    let workloads = [workload("Pod app/p", "web", &["none", "missing", "broken"])];
    let found = Grants::of(&workloads, &all);
    assert!(found.grants.is_empty());
    assert!(found.warnings[0].starts_with("KS746 Pod app/p"), "{found:?}");
    assert_eq!(found.faults[0].to_string(), "KS747 SecretProviderClass app/broken: wrong");
}

#[test]
fn the_removal_ends_with_the_policy() {
    let all = classes(vec![class("app", "one", &[("a", "Opaque")])]);
    let grants = Grants::of(&[workload("Deployment app/web", "web", &["one"])], &all).grants;
    for (form, role) in [
        (Form::ByAccount, "keysluice-web"),
        (Form::Strict, "keysluice-web"),
        (Form::PerNamespace, "keysluice"),
    ] {
        let printed = grants.print_removal(form);
        let order = [
            "# - Deployment app/web\n",
            &format!("delete --ignore-not-found rolebinding {role}\n"),
            &format!("delete --ignore-not-found role {role}\n"),
            "kubectl get roles --all-namespaces --selector keysluice.dev/rights\n",
            "# kubectl delete --ignore-not-found validatingadmissionpolicybinding",
        ]
        .map(|text| printed.find(text).unwrap_or_else(|| panic!("{text}: {printed}")));
        assert!(order.is_sorted(), "{printed}");
    }
    let hostile = [workload("Deployment app/x\nrm -r .", "web", &["one"])];
    let printed = Grants::of(&hostile, &all).grants.print_removal(Form::ByAccount);
    assert!(printed.lines().all(|line| line.starts_with(['#', 'k'])), "{printed}");
}
