//! Reviews as the API server sends them, answered by the library, the patch applied.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use keysluice::admission;
use keysluice::cloud::Cloud;
use keysluice::mutate::{ClassFact, Facts, Needs, ServiceAccount};
use keysluice::provider_class::ProviderClass;
use keysluice::settings::Settings;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Client id of the ServiceAccount.
pub(crate) const CLIENT: &str = "8c1d7a52-66b0-4f3e-8a11-90d3c7e2b4a8";

/// Settings and a cluster with the annotated ServiceAccounts `default` and `sa` and the class `kv`,
/// all in namespace `ns`.
pub(crate) struct Reviewer {
    pub(crate) settings: Settings,
    annotations: BTreeMap<String, String>,
    has_account: bool,
}

impl Reviewer {
    pub(crate) fn new() -> Self {
        let mut settings = Settings::new(Cloud::well_known("AzurePublicCloud").unwrap());
        settings.tenant_id = Some("cluster-tenant".to_owned());
        let annotations =
            BTreeMap::from([("azure.workload.identity/client-id".to_owned(), CLIENT.to_owned())]);
        Self { settings, annotations, has_account: true }
    }

    pub(crate) fn account(mut self, key: &str, value: &str) -> Self {
        self.annotations.insert(key.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn without_account(mut self) -> Self {
        self.has_account = false;
        self
    }

    /// What the cluster knows of that for which a review asks; nothing else is looked up.
    pub(crate) fn facts(&self, namespace: &str, needs: &Needs<'_>) -> Facts {
        let needs = needs.clone().with_driver(false);
        let mut facts = Facts::default();
        if namespace != "ns" {
            return facts;
        }
        let pairs = self.annotations.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let is_there = self.has_account
            && needs.service_account.is_some_and(|name| ["default", "sa"].contains(&name));
        facts.service_account = is_there.then(|| ServiceAccount::from_annotations(pairs));
        if !needs.classes.contains(&"kv") {
            return facts;
        }
        let objects = "array:\n  - |\n    objectName: a\n    objectType: secret\n  - \
            |\n    objectName: b\n    objectType: key\n";
        let class = json!({"kind": "SecretProviderClass", "metadata": {"name": "kv"},
            "spec": {"provider": "azure",
            "parameters": {"keyvaultName": "vault-1", "tenantId": "t", "objects": objects}}});
        facts.classes.insert(
            "kv".to_owned(),
            ClassFact::Found(Arc::new(ProviderClass::from_value(&class).unwrap())),
        );
        facts
    }

    fn respond(&self, request: &Value) -> Value {
        let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": request});
        let body = serde_json::to_vec(&review).unwrap();
        let incoming = admission::read(&body).unwrap();
        let facts = self.facts(incoming.namespace(), &incoming.needs(&self.settings));
        let review: Value =
            serde_json::from_slice(&incoming.answer(&self.settings, &facts).body).unwrap();
        review["response"].clone()
    }

    fn create(&self, pod: &Value) -> Value {
        self.respond(&json!({"uid": "u", "operation": "CREATE", "namespace": "ns", "object": pod}))
    }

    /// The patched pod and the operations.
    pub(crate) fn answer(&self, pod: &Value) -> (Value, Vec<Value>) {
        self.attempt(pod).unwrap_or_else(|message| panic!("refused: {message}"))
    }

    /// The same, or the message of a refusal.
    pub(crate) fn attempt(&self, pod: &Value) -> Result<(Value, Vec<Value>), String> {
        apply(pod, &self.create(pod))
    }

    pub(crate) fn allowed(&self, pod: &Value) -> Value {
        self.answer(pod).0
    }

    pub(crate) fn refused(&self, pod: &Value) -> String {
        self.attempt(pod).expect_err("the pod is refused")
    }

    pub(crate) fn warnings(&self, pod: &Value) -> Vec<String> {
        warnings(&self.create(pod))
    }

    /// The pod with new ephemeral containers, patched.
    pub(crate) fn ephemeral(&self, pod: &Value, old: &Value) -> Value {
        self.ephemeral_with_warnings(pod, old).0
    }

    pub(crate) fn ephemeral_with_warnings(&self, pod: &Value, old: &Value) -> (Value, Vec<String>) {
        let response = self.respond(
            &json!({"uid": "u", "operation": "UPDATE", "subResource": "ephemeralcontainers",
            "namespace": "ns", "object": pod, "oldObject": old}),
        );
        (apply(pod, &response).unwrap().0, warnings(&response))
    }
}

fn warnings(response: &Value) -> Vec<String> {
    let warnings = response["warnings"].as_array().into_iter().flatten();
    warnings.map(|warning| warning.as_str().unwrap().to_owned()).collect()
}

fn apply(pod: &Value, response: &Value) -> Result<(Value, Vec<Value>), String> {
    if response["allowed"] == false {
        return Err(response["status"]["message"].as_str().unwrap().to_owned());
    }
    let Some(patch) = response["patch"].as_str() else { return Ok((pod.clone(), Vec::new())) };
    let patch = BASE64_STANDARD.decode(patch).unwrap();
    let mut patched = pod.clone();
    json_patch::patch(&mut patched, &serde_json::from_slice::<json_patch::Patch>(&patch).unwrap())
        .unwrap();
    Ok((patched, serde_json::from_slice(&patch).unwrap()))
}

/// A labelled pod called `pod`.
pub(crate) fn labelled(spec: Value) -> Value {
    let labels = json!({"azure.workload.identity/use": "true"});
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "pod", "labels": labels, "annotations": {}}});
    pod["spec"] = spec;
    pod
}

/// A labelled pod that mounts a volume of the class `kv`.
pub(crate) fn csi_pod() -> Value {
    labelled(json!({"containers": [{"name": "app",
            "volumeMounts": [{"name": "secrets", "mountPath": "/s", "readOnly": true}]}],
        "volumes": [{"name": "secrets",
            "csi": {"driver": "secrets-store.csi.k8s.io", "readOnly": true,
            "volumeAttributes": {"secretProviderClass": "kv"}}}]}))
}

pub(crate) fn env_names(container: &Value) -> Vec<&str> {
    container["env"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|entry| entry["name"].as_str().unwrap())
        .collect()
}

/// How many volumes project a ServiceAccount token.
pub(crate) fn token_volumes(pod: &Value) -> usize {
    let volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
    volumes
        .filter(|volume| volume["projected"]["sources"][0]["serviceAccountToken"].is_object())
        .count()
}
