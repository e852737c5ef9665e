//! Test support: mutate a JSON pod and apply the patch.

use super::{ClassFact, Context, Facts, Mutation, ServiceAccount, mutate};
use crate::cloud::Cloud;
use crate::provider_class::ProviderClass;
use crate::settings::{Settings, TokenEndpointText};
use keysluice_plan::Plan;
use serde_json::{Value, json};
use std::sync::Arc;

/// Client id of the ServiceAccount in [`facts`].
pub(super) const CLIENT: &str = "8c1d7a52-66b0-4f3e-8a11-90d3c7e2b4a8";

pub(super) fn settings() -> Settings {
    let mut settings = Settings::new(Cloud::well_known("AzurePublicCloud").unwrap());
    settings.tenant_id = Some("cluster-tenant".to_owned());
    settings
}

/// The same with the token proxy of AKS identity bindings.
pub(super) fn bound() -> Settings {
    let text = TokenEndpointText {
        suffix: "identity-binding".to_owned(),
        audience: "api://AKSIdentityBinding".to_owned(),
        proxy: "https://kubernetes.default.svc".to_owned(),
        sni_name: "ab.ests.aks".to_owned(),
        ca_config_map: "kube-root-ca.crt".to_owned(),
        ..TokenEndpointText::default()
    };
    Settings { token_endpoint: text.parse().unwrap(), ..settings() }
}

pub(super) fn account(annotations: &[(&str, &str)]) -> ServiceAccount {
    ServiceAccount::from_annotations(annotations.iter().copied())
}

/// Facts with an annotated ServiceAccount and the class `kv`: two secrets, `db` (0644) and
/// `tls/key` (0440).
pub(super) fn facts() -> Facts {
    let objects = "array:\n  - |\n    objectName: db\n    objectType: secret\n  - \
        |\n    objectName: key\n    objectType: secret\n    objectAlias: \
        tls/key\n    filePermission: \"0440\"\n";
    let mut facts = Facts {
        service_account: Some(account(&[("azure.workload.identity/client-id", CLIENT)])),
        ..Facts::default()
    };
    facts.classes.insert(
        "kv".to_owned(),
        class("kv", &json!({"keyvaultName": "vault-1", "objects": objects})),
    );
    facts
}

pub(super) fn class(name: &str, parameters: &Value) -> ClassFact {
    let object = json!({"apiVersion": "secrets-store.csi.x-k8s.io/v1",
        "kind": "SecretProviderClass",
        "metadata": {"name": name, "namespace": "ns"},
        "spec": {"provider": "azure", "parameters": parameters}});
    ClassFact::Found(Arc::new(ProviderClass::from_value(&object).unwrap()))
}

/// A class with the secret `db` and the certificate `tls`, which makes these Secrets.
pub(super) fn class_with_secrets(name: &str, provider: &str, secrets: &Value) -> ClassFact {
    let objects = "array:\n  - |\n    objectName: db\n    objectType: secret\n  - |\n    \
        objectName: tls\n    objectType: secret\n";
    let object = json!({"kind": "SecretProviderClass",
        "metadata": {"name": name, "namespace": "ns"}, "spec": {"provider": provider,
        "parameters": {"keyvaultName": "vault-1", "objects": objects}, "secretObjects": secrets}});
    ClassFact::Found(Arc::new(ProviderClass::from_value(&object).unwrap()))
}

/// A Secret of the key `k` from the file `db`.
pub(super) fn opaque(name: &str) -> Value {
    json!({"secretName": name, "type": "Opaque", "data": [{"objectName": "db", "key": "k"}]})
}

pub(super) fn labelled(name: &str, spec: Value) -> Value {
    let labels = json!({"azure.workload.identity/use": "true"});
    let mut pod =
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}});
    pod["spec"] = spec;
    pod
}

pub(super) fn csi_volume(name: &str, class: &str) -> Value {
    json!({"name": name,
        "csi": {"driver": "secrets-store.csi.k8s.io", "readOnly": true,
        "volumeAttributes": {"secretProviderClass": class}}})
}

pub(super) fn native_sidecar(name: &str) -> Value {
    json!({"name": name, "restartPolicy": "Always"})
}

/// The mounts of a volume in a container.
pub(super) fn mounts_of<'c>(container: &'c Value, volume: &str) -> Vec<&'c Value> {
    let mounts = container["volumeMounts"].as_array().into_iter().flatten();
    mounts.filter(|mount| mount["name"] == volume).collect()
}

/// Where a variable stands among those of a container.
pub(super) fn variable_index(container: &Value, name: &str) -> usize {
    let variables = container["env"].as_array().unwrap();
    variables.iter().position(|variable| variable["name"] == name).unwrap()
}

pub(super) fn run_with(
    pod: &Value,
    settings: &Settings,
    facts: &Facts,
) -> Result<(Value, Mutation), String> {
    let text = pod.to_string();
    let view = crate::pod::Pod::from_json(text.as_bytes()).unwrap();
    let mutation = mutate(&view, Context { settings, namespace: "ns", uid: "u", facts })
        .map_err(|refusal| refusal.to_string())?;
    let mut patched = pod.clone();
    json_patch::patch(&mut patched, &mutation.patch.to_json_patch()).unwrap();
    Ok((patched, mutation))
}

pub(super) fn run(pod: &Value) -> Result<(Value, Mutation), String> {
    run_with(pod, &settings(), &facts())
}

/// A pod with one volume of the class `kv`.
pub(super) fn pod_with_volume() -> Value {
    labelled(
        "pod",
        json!({"containers": [{"name": "app",
            "volumeMounts": [{"name": "secrets", "mountPath": "/mnt/secrets"}]}],
            "volumes": [csi_volume("secrets", "kv")]}),
    )
}

/// The Plan of a mutated pod whose sidecar is the first init container.
pub(super) fn plan_of(pod: &Value) -> Plan {
    let text = pod["spec"]["initContainers"][0]["env"][0]["value"].as_str().unwrap();
    Plan::from_json(&text.replace("$$", "$")).unwrap()
}
