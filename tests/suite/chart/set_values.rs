//! What a value of the chart changes in the rendering, and which values are refused.

use crate::suite::chart::helm::Helm;
use crate::suite::chart::manifests::find;
use serde_json::{Value, json};

#[test]
fn values_that_cannot_work_are_refused_in_words() {
    let Some(helm) = Helm::find("values_that_cannot_work_are_refused_in_words") else { return };
    let both_bounds = "podDisruptionBudget.minAvailable=1,podDisruptionBudget.maxUnavailable=0";
    for (arguments, message) in [
        (&["--set", both_bounds][..], "are both set; hint: keep one"),
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
        (&["--set", "livePlans.port=9443"], "KS754 livePlans.port 9443 is also the port of"),
        (&["--set", "livePlans.port=9440"], "KS754 livePlans.port 9440 is also the port of"),
        (&["--set", "clientCA.key=a/b"], "/clientCA/key"),
        (&["--set", "replicaCont=3"], "additional properties 'replicaCont' not allowed"),
        (&["--set", "webhook.failurePolicy=fail"], "must be one of 'Fail', 'Ignore'"),
        (&["--set", "webhook.timeoutSeconds=31"], "maximum: got 31, want 30"),
        (&["--set", "webhook.applyWarnings=1"], "/webhook/applyWarnings"),
        (&["--set", "envMode=secret"], "must be one of 'auto', 'file', 'exec'"),
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

/// Neither a configuration nor a right nor an option is left.
#[test]
fn warnings_at_apply_can_be_switched_off() {
    let Some(helm) = Helm::find("warnings_at_apply_can_be_switched_off") else { return };
    let rendered = |values: &str| {
        let documents = helm.documents(&["--set", values]);
        documents.iter().map(Value::to_string).collect::<Vec<_>>().join("\n")
    };
    for words in ["keysluice-workloads", "alidatingwebhookconfigurations", "workloads.keysluice"] {
        assert!(rendered("webhook.applyWarnings=true").contains(words), "{words}");
        assert!(!rendered("webhook.applyWarnings=false").contains(words), "{words}");
    }
    // Without certificates of its own the webhook writes nothing there.
    let documents = helm.documents(&["--set", "certManager.enabled=true"]);
    let configuration = find(&documents, "ValidatingWebhookConfiguration", "keysluice-workloads");
    let injected = "keysluice-system/keysluice";
    let annotations = &configuration["metadata"]["annotations"];
    assert_eq!(annotations["cert-manager.io/inject-ca-from"], injected);
    let service = &configuration["webhooks"][0]["clientConfig"]["service"];
    assert_eq!(service["path"], "/validate-v1-pod");
    let role = find(&documents, "ClusterRole", "keysluice").to_string();
    assert!(!role.contains("validatingwebhookconfigurations"), "{role}");
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
        "injector.logFormat=text",
        "injector.caBundle=-----BEGIN CERTIFICATE-----",
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
