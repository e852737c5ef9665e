//! `install.yaml` as it stands, which a test keeps equal to the chart: what must hold of it,
//! without Helm.

use crate::suite::support::keysluice;
use keysluice::mutate::SIDECAR;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;

/// All documents of a stream.
pub(super) fn documents(text: &str) -> Vec<Value> {
    let all: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
    all.into_iter().filter(|document| !document.is_null()).collect()
}

/// The one of this kind and name.
pub(crate) fn find<'a>(documents: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let wanted =
        |document: &&Value| document["kind"] == kind && document["metadata"]["name"] == name;
    documents.iter().find(wanted).unwrap_or_else(|| panic!("there is no {kind} {name}"))
}

pub(super) fn install() -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("webhook-config/install.yaml");
    documents(&std::fs::read_to_string(path).unwrap())
}

#[test]
fn the_webhook_may_do_this_and_nothing_else() {
    let documents = install();
    let read = json!(["get", "list", "watch"]);
    let cluster = json!([
        {"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": read},
        {"apiGroups": ["secrets-store.csi.x-k8s.io"], "resources": ["secretproviderclasses"],
            "verbs": read},
        {"apiGroups": ["storage.k8s.io"], "resources": ["csidrivers"], "verbs": read},
        {"apiGroups": ["admissionregistration.k8s.io"],
            "resources": ["mutatingwebhookconfigurations"],
            "resourceNames": ["keysluice"], "verbs": ["get", "watch", "patch"]},
        {"apiGroups": ["admissionregistration.k8s.io"],
            "resources": ["validatingwebhookconfigurations"],
            "resourceNames": ["keysluice-workloads"], "verbs": ["get", "watch", "patch"]},
    ]);
    let namespace = json!([
        {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["keysluice-tls"],
            "verbs": ["get", "patch"]},
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]},
    ]);
    assert_eq!(find(&documents, "ClusterRole", "keysluice")["rules"], cluster);
    assert_eq!(find(&documents, "Role", "keysluice")["rules"], namespace);
    let kinds: Vec<_> = documents.iter().filter_map(|document| document["kind"].as_str()).collect();
    // A right that nothing uses: match conditions ask whether it is given.
    let switch =
        json!([{"apiGroups": ["keysluice.dev"], "resources": ["admission"], "verbs": ["enforce"]}]);
    assert_eq!(find(&documents, "Role", "keysluice-in-force")["rules"], switch);
    let guard =
        json!([{"apiGroups": ["keysluice.dev"], "resources": ["admission"], "verbs": ["guard"]}]);
    assert_eq!(find(&documents, "Role", "keysluice-guard-in-force")["rules"], guard);
    for (kind, count) in [
        ("ClusterRole", 1),
        ("Role", 3),
        ("ClusterRoleBinding", 1),
        ("RoleBinding", 3),
        ("ServiceAccount", 1),
    ] {
        assert_eq!(kinds.iter().filter(|found| **found == kind).count(), count, "{kind}");
    }
}

#[test]
fn the_webhooks_pods_are_restricted() {
    let documents = install();
    let spec = &find(&documents, "Deployment", "keysluice")["spec"]["template"]["spec"];
    let containers = spec["containers"].as_array().unwrap();
    assert_eq!(containers.len(), 1);
    let expected = json!({
        "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": true, "runAsNonRoot": true,
        "runAsUser": 65532, "runAsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"},
    });
    assert_eq!(containers[0]["securityContext"], expected);
    assert_ne!(containers[0]["name"], SIDECAR, "the guard keeps that name for sidecars");
    for field in ["hostNetwork", "hostPID", "hostIPC", "volumes"] {
        assert!(spec[field].is_null(), "{field}");
    }
}

#[test]
fn the_configuration_matches_opted_in_pods_and_comes_after_azure_workload_identity() {
    let documents = install();
    let configuration = find(&documents, "MutatingWebhookConfiguration", "keysluice");
    let name = configuration["metadata"]["name"].as_str().unwrap();
    assert!(name > "azure-wi-webhook-mutating-webhook-configuration");
    let entries = configuration["webhooks"].as_array().unwrap();
    let opted_in = json!({"matchLabels": {"azure.workload.identity/use": "true"}});
    let others = json!({"matchExpressions": [{"key": "azure.workload.identity/use",
        "operator": "NotIn", "values": ["true"]}]});
    for (entry, (name, policy, operation, resource, selector)) in entries.iter().zip([
        ("pods.keysluice.dev", "Ignore", "CREATE", "pods", &opted_in),
        ("csi-volumes.keysluice.dev", "Ignore", "CREATE", "pods", &others),
        (
            "ephemeral-containers.keysluice.dev",
            "Ignore",
            "UPDATE",
            "pods/ephemeralcontainers",
            &opted_in,
        ),
    ]) {
        assert_eq!((&entry["name"], &entry["failurePolicy"]), (&json!(name), &json!(policy)));
        let rule = json!([{"apiGroups": [""], "apiVersions": ["v1"], "operations": [operation],
            "resources": [resource], "scope": "Namespaced"}]);
        assert_eq!((&entry["rules"], &entry["objectSelector"]), (&rule, selector), "{name}");
        assert_eq!(entry["timeoutSeconds"], 5);
        assert_eq!(entry["reinvocationPolicy"], "IfNeeded");
        assert_eq!(entry["sideEffects"], "None");
        let excluded = &entry["namespaceSelector"]["matchExpressions"][0]["values"];
        assert_eq!(
            *excluded,
            json!(["kube-system", "keysluice-system"]),
            "a cold start must not wait for us"
        );
        assert_eq!(
            entry["clientConfig"]["service"].get("path"),
            None,
            "the webhook writes it, no upgrade puts one back"
        );
    }
    assert_eq!(entries.len(), 3);
}

#[test]
fn the_webhook_drains_within_its_grace_period() {
    let documents = install();
    let deployment = find(&documents, "Deployment", "keysluice");
    let spec = &deployment["spec"]["template"]["spec"];
    let env = spec["containers"][0]["env"].as_array().unwrap();
    let drain = env.iter().find(|variable| variable["name"] == "KEYSLUICE_DRAIN_SECONDS").unwrap();
    let drain: u64 = drain["value"].as_str().unwrap().parse().unwrap();
    let finish = keysluice::server::Limits::default().finish.as_secs();
    assert!(spec["terminationGracePeriodSeconds"].as_u64().unwrap() > drain + finish);
    assert_eq!(
        deployment["spec"]["strategy"]["rollingUpdate"],
        json!({"maxUnavailable": 0, "maxSurge": 1})
    );
}

#[test]
fn every_variable_is_one_that_serve_reads() {
    let documents = install();
    let env = &find(&documents, "Deployment", "keysluice")["spec"]["template"]["spec"]["containers"]
        [0]["env"];
    let (_, help, _) = keysluice(&["serve", "--help"]);
    let names: Vec<_> =
        env.as_array().unwrap().iter().map(|variable| variable["name"].as_str().unwrap()).collect();
    for name in &names {
        assert!(help.contains(&format!("[env: {name}=]")), "serve does not read {name}");
    }
    assert_eq!(names.len(), names.iter().collect::<BTreeSet<_>>().len(), "{names:?}");
}

#[test]
fn the_guard_lets_our_own_sidecar_be() {
    let documents = install();
    let guard = find(&documents, "ValidatingAdmissionPolicy", "keysluice-guard-sidecar");
    let repositories = &guard["spec"]["variables"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["name"] == "repositories")
        .unwrap();
    let image =
        keysluice::settings::Settings::new(keysluice::cloud::Cloud::well_known("").unwrap())
            .injector_image;
    let repository = image.rsplit_once(':').unwrap().0;
    assert_eq!(
        repositories["expression"],
        format!("['{repository}']"),
        "chart and program name one image"
    );
}

/// API servers check no more than the webhook lets a pod have, and each Secret's rights apart.
#[test]
fn the_guard_checks_as_many_secrets_as_a_pod_can_have() {
    let documents = install();
    let guard = find(&documents, "ValidatingAdmissionPolicy", "keysluice-guard-secrets");
    let validations = guard["spec"]["validations"].as_array().unwrap();
    let text = |one: &Value| one["expression"].as_str().unwrap().to_owned();
    assert_eq!(text(&validations[0]), "variables.names.size() <= 13");
    for (index, validation) in validations[1..].iter().enumerate() {
        let may = |verb: &str| {
            format!("variables.write.name(variables.names[{index}]).check('{verb}').allowed()")
        };
        let expected = format!(
            "variables.names.size() <= {index} || ({} ? {} : {})",
            may("create"),
            may("patch"),
            may("patch-existing")
        );
        assert_eq!(text(validation), expected);
        let message = validation["messageExpression"].as_str().unwrap();
        assert!(message.contains(&format!("variables.names[{index}]")), "{message}");
    }
    assert_eq!(validations.len() - 1, 13);
    let condition = &guard["spec"]["matchConditions"][0]["expression"];
    let annotation = keysluice::mutate::SYNCED_ANNOTATION;
    assert!(condition.as_str().unwrap().contains(&format!("?'{annotation}'")), "{condition}");
}

#[test]
fn every_policy_denies_with_a_code_that_is_documented() {
    let documents = install();
    let policies: Vec<&Value> =
        documents.iter().filter(|one| one["kind"] == "ValidatingAdmissionPolicy").collect();
    assert_eq!(policies.len(), 7);
    for policy in policies {
        for validation in policy["spec"]["validations"].as_array().unwrap() {
            let message = validation["message"].as_str().unwrap();
            let code = message.split(' ').next().unwrap();
            assert!(keysluice::reason::find(code).is_some(), "{message}");
            assert!(!message.contains('\n'), "the API server refuses line breaks");
        }
        let name = policy["metadata"]["name"].as_str().unwrap();
        let binding = find(&documents, "ValidatingAdmissionPolicyBinding", name);
        let mut expected = json!({"policyName": name, "validationActions": ["Deny"]});
        if name == "keysluice-guard-identity" {
            // Not before the webhook has written a key into it.
            expected["paramRef"] = json!({"name": "keysluice-tls", "namespace": "keysluice-system",
                "parameterNotFoundAction": "Allow"});
        }
        assert_eq!(binding["spec"], expected);
    }
    let warning =
        find(&documents, "ValidatingAdmissionPolicyBinding", "keysluice-guard-identity-warn");
    let expected =
        json!({"policyName": "keysluice-guard-identity", "validationActions": ["Warn", "Audit"]});
    assert_eq!(warning["spec"], expected);
}

/// Everything that can refuse or delay a pod asks for the one switch, and asks for what the switch
/// gives.
#[test]
fn whatever_can_refuse_a_pod_is_in_force_only_while_the_switch_is_on() {
    let documents = install();
    let rule = &find(&documents, "Role", "keysluice-in-force")["rules"][0];
    let subject = &find(&documents, "RoleBinding", "keysluice-in-force")["subjects"][0];
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let namespace = text(&subject["namespace"]);
    let condition = format!(
        "authorizer.serviceAccount('{namespace}', \
         '{}').group('{}').resource('{}').namespace('{namespace}').check('{}').allowed()",
        text(&subject["name"]),
        text(&rule["apiGroups"][0]),
        text(&rule["resources"][0]),
        text(&rule["verbs"][0]),
    );
    // Alone, or the last of several that must all hold.
    let ending = format!(" && {condition}");
    let is_condition = |one: &Value| {
        let text = one["expression"].as_str().unwrap_or_default();
        text == condition || (text.ends_with(&ending) && !text.contains("||"))
    };
    let asks =
        |conditions: &Value| conditions.as_array().is_some_and(|all| all.iter().any(is_condition));
    let configuration = find(&documents, "MutatingWebhookConfiguration", "keysluice");
    for entry in configuration["webhooks"].as_array().unwrap() {
        assert!(asks(&entry["matchConditions"]), "{}", entry["name"]);
    }
    for policy in documents.iter().filter(|one| one["kind"] == "ValidatingAdmissionPolicy") {
        let of_pods =
            policy["spec"]["matchConstraints"]["resourceRules"].to_string().contains("\"pods\"");
        assert_eq!(
            asks(&policy["spec"]["matchConditions"]),
            of_pods,
            "{}",
            policy["metadata"]["name"]
        );
    }
}

#[test]
fn the_documented_commands_name_what_is_there() {
    let documents = install();
    let page = |name: &str| {
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name))
            .unwrap()
    };
    let uninstall = page("uninstall.md");
    let after = |command: &str| -> Vec<String> {
        let line = uninstall
            .lines()
            .find(|line| line.starts_with(command))
            .unwrap_or_else(|| panic!("no {command}"));
        line[command.len()..].split_whitespace().map(str::to_owned).collect()
    };
    let switch =
        after("kubectl --namespace keysluice-system delete --ignore-not-found rolebinding");
    assert_eq!(switch, ["keysluice-in-force"]);
    find(&documents, "RoleBinding", "keysluice-in-force");
    for (page_name, text) in
        ["install.md", "upgrade.md", "uninstall.md"].map(|name| (name, page(name)))
    {
        let words = text.split_whitespace().map(|word| word.trim_matches(['`', '.', ',']));
        for word in words.filter(|word| word.starts_with("webhook-config/")) {
            assert!(
                Path::new(env!("CARGO_MANIFEST_DIR")).join(word).exists(),
                "{page_name}: {word}"
            );
        }
    }
}
