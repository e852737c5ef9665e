//! The chart, rendered by Helm. Skipped where Helm is not built yet: `make lint-chart` builds it
//! and runs these.

use crate::suite::chart::manifests::{documents, find};
use crate::suite::support::data;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const NAMESPACE: &str = "keysluice-system";
/// In front of the rendered default: Helm makes the namespace itself.
const INSTALL_HEAD: &str = "\
# The chart with its default values, for `kubectl apply`. A test generates this file. \
docs/install.md has the command that
# sets your own images, in three places (the Deployment's image, its KEYSLUICE_INJECTOR_IMAGE, \
and the policy
# keysluice-guard-sidecar, which allows only that image), and your tenant (KEYSLUICE_TENANT_ID).
apiVersion: v1
kind: Namespace
metadata:
  name: keysluice-system
  labels:
    pod-security.kubernetes.io/enforce: restricted
    pod-security.kubernetes.io/audit: restricted
    pod-security.kubernetes.io/warn: restricted
";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Helm, if somebody built it: minutes of work, and Go, are not part of `make test`.
struct Helm(PathBuf);

impl Helm {
    fn find(test: &str) -> Option<Self> {
        let output = Command::new(root().join("scripts/helm")).arg("--path").output().unwrap();
        if !output.status.success() {
            assert!(std::env::var_os("KEYSLUICE_NEED_HELM").is_none(), "Helm is not built");
            eprintln!("SKIPPED {test}: Helm is not built; `make lint-chart` builds it");
            return None;
        }
        Some(Self(String::from_utf8(output.stdout).unwrap().trim().into()))
    }

    fn template(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(&self.0);
        command.args(["template", "keysluice", "webhook-config/chart", "--namespace", NAMESPACE]);
        // Whatever cluster the developer is connected to has no say here.
        command.current_dir(root()).env("KUBECONFIG", "/dev/null").args(arguments).output().unwrap()
    }

    fn rendered(&self, arguments: &[&str]) -> String {
        let output = self.template(arguments);
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    fn documents(&self, arguments: &[&str]) -> Vec<Value> {
        documents(&self.rendered(arguments))
    }
}

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
    let rendered = helm.rendered(&["--no-hooks"]);
    same(&root().join("webhook-config/install.yaml"), &format!("{INSTALL_HEAD}{rendered}"));
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

#[test]
fn values_that_cannot_work_are_refused_in_words() {
    let Some(helm) = Helm::find("values_that_cannot_work_are_refused_in_words") else { return };
    for (arguments, message) in [
        (
            &["--set", "podDisruptionBudget.minAvailable=1,podDisruptionBudget.maxUnavailable=0"][..],
            "are both set; hint: keep one",
        ),
        (&["--set", "fullnameOverride=azure"], "sorts before azure-wi-webhook"),
        (
            &["--set", "fullnameOverride=azure-wi-webhook-a"],
            "sorts before azure-wi-webhook-mutating-webhook-configuration",
        ),
        (&["--set", "tls.existingSecret=mine"], "tls.existingSecret needs tls.caBundle"),
        (
            &["--set", "tls.existingSecret=keysluice-tls,tls.caBundle=-----BEGIN CERTIFICATE-----"],
            "is the name of the webhook's own Secret",
        ),
        (
            &["--set", "tls.caBundle=-----BEGIN CERTIFICATE-----"],
            "tls.caBundle is set without tls.existingSecret",
        ),
        (
            &["--set", "tls.existingSecret=mine,certManager.enabled=true"],
            "are both set; hint: keep one",
        ),
        (&["--set", "clientCA.configMap=a,clientCA.secret=b"], "are both set; hint: keep one"),
        (&["--set", "clientCA.key=a/b"], "/clientCA/key"),
        (&["--set", "replicaCont=3"], "additional properties 'replicaCont' not allowed"),
        (&["--set", "webhook.failurePolicy=fail"], "must be one of 'Fail', 'Ignore'"),
        (&["--set", "webhook.timeoutSeconds=31"], "maximum: got 31, want 30"),
        (&["--set", "tokenLayout=v1.4"], "must be one of 'v1.5', 'v1.6.0', 'v1.6.1'"),
        (&["--set", "metricsAddr=8095"], "/metricsAddr"),
        (&["--set", "image.repository=a b"], "/image/repository"),
        (&["--set", "image.repository=a.test/b:1"], "/image/repository"),
        (&["--set", "injector.image.repository=a.test/b@sha256"], "/injector/image/repository"),
        (&["--set", "guard.imageRepositories={a'b}"], "/guard/imageRepositories/0"),
        (&["--set", "guard=null"], "missing property 'guard'"),
        (&["--set", "networkPolicy.apiServerPorts=null"], "missing property 'apiServerPorts'"),
        (
            &["--set", r"podLabels.app\.kubernetes\.io/name=a"],
            "invalid propertyName 'app.kubernetes.io/name'",
        ),
        (&["--set", "extraVolumes[0].name=tls"], "/extraVolumes/0/name"),
        (&["--kube-version", "1.29.14"], "requires kubeVersion: >=1.30.0-0"),
    ] {
        let output = helm.template(arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && error.contains(message), "{arguments:?}: {error}");
    }
    for version in ["1.30.0", "1.30.4-gke.1", "1.33.5", "1.37.2"] {
        assert!(helm.template(&["--kube-version", version]).status.success(), "{version}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of values and what each changes")]
fn values_mean_what_they_say() {
    let Some(helm) = Helm::find("values_mean_what_they_say") else { return };
    let pod = "/spec/template/spec";
    let container = |rest: &str| format!("{pod}/containers/0/{rest}");
    for (values, kind, pointer, expected) in [
        // Those that the chart of Azure Workload Identity has and does not heed.
        ("service.port=8443", "Service", "/spec/ports/0/port".to_owned(), json!(8443)),
        (
            "service.port=8443",
            "MutatingWebhookConfiguration",
            "/webhooks/0/clientConfig/service/port".to_owned(),
            json!(8443),
        ),
        ("service.targetPort=1234", "Deployment", container("ports/0/containerPort"), json!(1234)),
        ("service.targetPort=1234", "Deployment", container("env/0/value"), json!("0.0.0.0:1234")),
        (
            "podDisruptionBudget.maxUnavailable=0",
            "PodDisruptionBudget",
            "/spec/maxUnavailable".to_owned(),
            json!(0),
        ),
        (
            "podDisruptionBudget.minAvailable=2",
            "PodDisruptionBudget",
            "/spec/minAvailable".to_owned(),
            json!(2),
        ),
        (
            "podDisruptionBudget.minAvailable=2",
            "PodDisruptionBudget",
            "/spec/maxUnavailable".to_owned(),
            Value::Null,
        ),
        (
            "podDisruptionBudget.minAvailable=50%",
            "PodDisruptionBudget",
            "/spec/minAvailable".to_owned(),
            json!("50%"),
        ),
        ("replicaCount=5", "Deployment", "/spec/replicas".to_owned(), json!(5)),
        ("autoscaling.enabled=true", "Deployment", "/spec/replicas".to_owned(), Value::Null),
        ("metricsAddr=:8095", "Deployment", container("ports/1/containerPort"), json!(8095)),
        ("listenAddress=[::]", "Deployment", container("env/1/value"), json!("[::]:9440")),
        (
            "image.release=v9",
            "Deployment",
            container("image"),
            json!("ghcr.io/keysluice/webhook:v9"),
        ),
        // `warning`, `trace` and `all` of Azure Workload Identity.
        ("logLevel=", "Deployment", container("env/2/value"), json!("warn")),
        ("logLevel=trace", "Deployment", container("env/2/value"), json!("debug")),
        ("logLevel=all", "Deployment", container("env/2/value"), json!("debug")),
        ("logLevel=debug", "Deployment", container("env/2/value"), json!("debug")),
        (
            "drainSeconds=60",
            "Deployment",
            format!("{pod}/terminationGracePeriodSeconds"),
            json!(80),
        ),
        ("priorityClassName=", "Deployment", format!("{pod}/priorityClassName"), Value::Null),
        // They start as `Ignore`: the webhook is told what they become.
        (
            "replicaCount=2",
            "MutatingWebhookConfiguration",
            "/webhooks/0/failurePolicy".to_owned(),
            json!("Ignore"),
        ),
    ] {
        let documents = helm.documents(&["--set", values]);
        let found =
            find(&documents, kind, "keysluice").pointer(&pointer).cloned().unwrap_or_default();
        assert_eq!(found, expected, "{values}: {kind} {pointer}");
    }
    let variable = |values: &str, name: &str| {
        let documents = helm.documents(&["--set", values]);
        let env = container("env");
        let env = find(&documents, "Deployment", "keysluice")
            .pointer(&env)
            .unwrap()
            .as_array()
            .unwrap()
            .clone();
        env.into_iter()
            .find(|variable| variable["name"] == name)
            .map(|variable| variable["value"].clone())
    };
    for (values, name, expected) in [
        ("replicaCount=2", "KEYSLUICE_FAILURE_POLICY", Some("Fail")),
        ("webhook.failurePolicy=Ignore", "KEYSLUICE_FAILURE_POLICY", Some("Ignore")),
        ("replicaCount=2", "KEYSLUICE_CSI_FAILURE_POLICY", Some("Ignore")),
        ("webhook.csiFailurePolicy=Fail", "KEYSLUICE_CSI_FAILURE_POLICY", Some("Fail")),
        ("replicaCount=2", "KEYSLUICE_GUARD_SECRET", Some("keysluice-system/keysluice-tls")),
        (
            "certManager.enabled=true",
            "KEYSLUICE_GUARD_SECRET",
            Some("keysluice-system/keysluice-guard"),
        ),
        ("guard.identity=false", "KEYSLUICE_GUARD_SECRET", None),
        ("replicaCount=2", "KEYSLUICE_CLIENT_CA", None),
        ("clientCA.configMap=a", "KEYSLUICE_CLIENT_CA", Some("/etc/keysluice/client-ca/ca.crt")),
        (
            "clientCA.secret=a,clientCA.key=b.pem",
            "KEYSLUICE_CLIENT_CA",
            Some("/etc/keysluice/client-ca/b.pem"),
        ),
    ] {
        assert_eq!(variable(values, name), expected.map(|value| json!(value)), "{values}: {name}");
    }
}

#[test]
fn a_change_of_what_the_webhook_reads_rolls_its_pods() {
    let Some(helm) = Helm::find("a_change_of_what_the_webhook_reads_rolls_its_pods") else {
        return;
    };
    // A number where a text is wanted needs its quotes.
    let option = |values: &str| if values.contains('"') { "--set-json" } else { "--set" };
    let template = |values: &str| {
        let documents = helm.documents(&[option(values), values]);
        find(&documents, "Deployment", "keysluice")["spec"]["template"].clone()
    };
    let before = template("replicaCount=2");
    for values in [
        "azureTenantID=t",
        "azureEnvironment=AzureChinaCloud",
        "azureEnvironmentDefinition=x",
        "audience=a",
        "tokenLayout=v1.5",
        "customTokenEndpoint.audience=a",
        "csiVolumes=leave",
        "refreshInterval=1m",
        "allowVaults={a}",
        "allowTenants={a}",
        "injector.image.release=v2",
        "injector.cpuRequest=2m",
        "injector.cpuLimit=1m",
        "logLevel=debug",
        r#"tls.minVersion="1.2""#,
        "drainSeconds=11",
        "certManager.enabled=true",
        "webhook.failurePolicy=Ignore",
        "webhook.csiFailurePolicy=Fail",
        "guard.identity=false",
        "clientCA.configMap=a",
    ] {
        assert_ne!(template(values), before, "{values}");
    }
    let definition = |text: &str| {
        template(&format!("azureEnvironmentDefinition={text}"))["metadata"]["annotations"].clone()
    };
    assert_ne!(
        definition("one"),
        definition("two"),
        "a file in a ConfigMap needs its checksum in the template"
    );
    assert_eq!(template("replicaCount=3"), before, "scaling is no reason to restart");
}

#[test]
fn ca_bundle_and_path_are_written_by_one_alone() {
    let Some(helm) = Helm::find("ca_bundle_and_path_are_written_by_one_alone") else { return };
    let paths = |arguments: &[&str]| -> (Vec<Value>, Value) {
        let documents = helm.documents(arguments);
        let configuration = find(&documents, "MutatingWebhookConfiguration", "keysluice");
        let path = |entry: &Value| {
            entry["clientConfig"]["service"].get("path").cloned().unwrap_or_default()
        };
        let mark = configuration["metadata"]["annotations"]["keysluice.dev/path"].clone();
        (configuration["webhooks"].as_array().unwrap().iter().map(path).collect(), mark)
    };
    assert_eq!(paths(&[]), (vec![Value::Null; 3], json!("written-by-webhook")));
    assert_eq!(
        paths(&["--set", "certManager.enabled=true"]),
        (vec![json!("/mutate-v1-pod"); 3], Value::Null)
    );
    let bundles = |arguments: &[&str]| -> Vec<Value> {
        let documents = helm.documents(arguments);
        let configuration = find(&documents, "MutatingWebhookConfiguration", "keysluice");
        let bundle =
            |entry: &Value| entry["clientConfig"].get("caBundle").cloned().unwrap_or_default();
        configuration["webhooks"].as_array().unwrap().iter().map(bundle).collect()
    };
    // An upgrade leaves alone what neither the old nor the new manifest names; an empty text would
    // be a name.
    assert_eq!(bundles(&[]), [Value::Null, Value::Null, Value::Null]);
    assert_eq!(
        bundles(&["--set", "certManager.enabled=true"]),
        [Value::Null, Value::Null, Value::Null]
    );
    let values = data().join("chart/given-certificate.values.yaml");
    let given = bundles(&["--values", &values.display().to_string()]);
    assert!(
        given
            .iter()
            .all(|bundle| bundle.as_str().is_some_and(|text| text.starts_with("LS0tLS1CRUdJTi"))),
        "{given:?}"
    );
    // And the Secret that the webhook fills says nothing of its content.
    let documents = helm.documents(&[]);
    let secret = find(&documents, "Secret", "keysluice-tls").as_object().unwrap();
    assert!(!secret.contains_key("data") && !secret.contains_key("stringData"));
}

#[test]
fn without_own_certificates_there_are_only_the_rights_to_tighten() {
    let Some(helm) = Helm::find("without_own_certificates_there_are_only_the_rights_to_tighten")
    else {
        return;
    };
    for (values, expected) in [
        (
            "certManager.enabled=true",
            &["mutatingwebhookconfigurations/keysluice", "secrets/keysluice-guard"][..],
        ),
        (
            "certManager.enabled=true,guard.identity=false",
            &["mutatingwebhookconfigurations/keysluice"],
        ),
    ] {
        let documents = helm.documents(&["--set", values, "--no-hooks"]);
        let is_role = |document: &&Value| {
            document["kind"].as_str().is_some_and(|kind| kind.ends_with("Role"))
        };
        let rules =
            documents.iter().filter(is_role).flat_map(|role| role["rules"].as_array().unwrap());
        let (writing, reading): (Vec<&Value>, Vec<&Value>) =
            rules.partition(|rule| rule["verbs"] != json!(["get", "list", "watch"]));
        assert_eq!(reading.len(), 3, "{reading:?}");
        // The switch opens nothing.
        let (switch, writing): (Vec<&Value>, Vec<&Value>) =
            writing.into_iter().partition(|rule| rule["apiGroups"] == json!(["keysluice.dev"]));
        assert_eq!(switch.len(), 1, "{switch:?}");
        let named = writing.iter().map(|rule| {
            format!(
                "{}/{}",
                rule["resources"][0].as_str().unwrap(),
                rule["resourceNames"][0].as_str().unwrap()
            )
        });
        assert_eq!(named.collect::<Vec<_>>(), expected);
        // And of the configuration it may change nothing else.
        let policy = find(&documents, "ValidatingAdmissionPolicy", "keysluice-own-configuration")
            .to_string();
        assert!(
            policy.contains("a.clientConfig == b.clientConfig") && !policy.contains("matches("),
            "{policy}"
        );
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
    let selector = r#"mutatingWebhookNamespaceSelector={"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "c", "operator": "Exists"}]}"#;
    let documents = helm.documents(&["--set-json", selector]);
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

/// cert-manager leaves its Secret behind, and Helm takes over nothing that it did not make: so one
/// name cannot serve both.
#[test]
fn the_secret_of_cert_manager_is_not_the_webhooks_own() {
    let Some(helm) = Helm::find("the_secret_of_cert_manager_is_not_the_webhooks_own") else {
        return;
    };
    let documents = helm.documents(&["--set", "certManager.enabled=true"]);
    let certificate = find(&documents, "Certificate", "keysluice");
    assert_eq!(certificate["spec"]["secretName"], "keysluice-cert-manager-tls");
    let volumes =
        &find(&documents, "Deployment", "keysluice")["spec"]["template"]["spec"]["volumes"];
    assert_eq!(volumes[0]["secret"]["secretName"], "keysluice-cert-manager-tls");
    find(&helm.documents(&[]), "Secret", "keysluice-tls");
}
