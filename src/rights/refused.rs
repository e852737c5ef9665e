//! Classes that the webhook refuses: a Role for them would be the Role of a pod that never starts.

use super::workload::CLASS_ATTRIBUTE;
use super::{Classes, RightsError, Workload, written};
use crate::cloud::{Cloud, Clouds};
use crate::provider_class::{
    Allowlist, ClassCause, ClassError, ClassPlan, Context, ProviderClass, TokenProxyUse,
    check_secret_objects, resolve,
};
use std::collections::BTreeMap;

/// Stands in for ids that only the pod's ServiceAccount or the operator knows.
const STAND_IN: &str = "00000000-0000-0000-0000-000000000001";

/// Why the webhook refuses classes of these workloads that have Secrets to write, whatever
/// ServiceAccount and operator add.
pub fn refused(workloads: &[Workload], classes: &Classes) -> Vec<RightsError> {
    let public = Cloud::well_known("").expect("the empty name is the public cloud's");
    let (clouds, limits) = (Clouds::new(public), Allowlist::default());
    let context = Context {
        clouds: &clouds,
        client_id: Some(STAND_IN),
        tenant_id: Some(STAND_IN),
        limits: &limits,
        service_principal: None,
        split_certificates: false,
        token_proxy: TokenProxyUse::OnRequest,
    };
    let mut faults = Vec::new();
    for workload in workloads {
        for name in &workload.classes {
            let place = (workload.namespace.clone(), name.clone());
            let Some(Ok(class)) = classes.get(&place) else { continue };
            if !class.is_azure() || class.secret_objects.is_empty() {
                continue;
            }
            let all = workload.attributes.iter();
            let ours = all.filter(|attributes| attributes.get(CLASS_ATTRIBUTE) == Some(name));
            if let Err(error) = check(class, ours, &context) {
                let fault =
                    RightsError::Class { class: written(&place), problem: error.to_string() };
                if !faults.contains(&fault) {
                    faults.push(fault);
                }
            }
        }
    }
    faults
}

/// Every volume must be resolved, and one must have all files of the Secrets.
fn check<'a>(
    class: &ProviderClass,
    volumes: impl Iterator<Item = &'a BTreeMap<String, String>>,
    context: &Context<'_>,
) -> Result<(), ClassError> {
    let plans: Result<Vec<ClassPlan>, ClassError> =
        volumes.map(|attributes| resolve(class, attributes, context)).collect();
    let plans = match plans {
        Err(error) if is_operators(error.cause()) => return Ok(()),
        plans => plans?,
    };
    let mut checked = plans.iter().map(|plan| check_secret_objects(&class.secret_objects, plan));
    match checked.next() {
        Some(Err(error)) if !checked.any(|checked| checked.is_ok()) => Err(error),
        _ => Ok(()),
    }
}

/// Whether the operator's clouds decide it, which are not known here.
fn is_operators(cause: &ClassCause) -> bool {
    match cause {
        ClassCause::Cloud { .. } | ClassCause::VaultForeign { .. } => true,
        ClassCause::Within { source, .. } => is_operators(source.cause()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::sync::Arc;

    /// Why a class with these parameters is refused, in a volume with these attributes.
    fn refusal(parameters: &Value, attributes: &Value) -> Option<String> {
        let value = json!({"apiVersion": "secrets-store.csi.x-k8s.io/v1",
            "kind": "SecretProviderClass", "metadata": {"name": "c", "namespace": "app"},
            "spec": {"provider": "azure", "parameters": parameters, "secretObjects": [{
                "secretName": "db", "type": "Opaque",
                "data": [{"objectName": "a", "key": "a"}]}]}});
        let class = ProviderClass::from_value(&value).unwrap();
        let place = ("app".to_owned(), "c".to_owned());
        let all = Classes::from([(place, Ok(Arc::new(class)))]);
        let mut pod = json!({"spec": {"volumes": [{"name": "a", "csi": {
            "driver": "secrets-store.csi.k8s.io",
            "volumeAttributes": {"secretProviderClass": "c"}}}]}});
        let written = &mut pod["spec"]["volumes"][0]["csi"]["volumeAttributes"];
        for (key, value) in attributes.as_object().unwrap() {
            written[key] = value.clone();
        }
        let workload = Workload::read("Pod app/p", "app", &pod).unwrap();
        let faults = refused(&[workload.clone(), workload], &all);
        assert!(faults.len() <= 1, "{faults:?}");
        faults.first().map(ToString::to_string)
    }

    #[test]
    fn a_class_that_the_webhook_refuses_is_told_once_and_what_the_pod_adds_counts() {
        let objects = |element: &str| format!("array: ['{{{element}}}']");
        let good = objects("objectName: a, objectType: secret");
        let wrong = objects("objectNme: a, objectType: secret");
        let other = objects("objectName: b, objectType: secret");
        let vault = "my-vault";
        for (parameters, attributes, expected) in [
            (json!({"keyvaultName": vault, "objects": good}), json!({}), None),
            (json!({"keyvaultName": vault, "objects": wrong}), json!({}), Some("KS125 ")),
            (json!({"keyvaultName": vault, "objects": wrong}), json!({"objects": good}), None),
            (json!({"keyvaultName": vault, "objects": other}), json!({}), Some("secretObjects[0]")),
            (json!({"objects": good}), json!({}), Some("KS103 ")),
            (json!({"objects": good}), json!({"keyvaultName": vault}), None),
            // The operator may have made this cloud known.
            (
                json!({"keyvaultName": vault, "cloudName": "Stack", "objects": good}),
                json!({}),
                None,
            ),
            (
                json!({"vaultUrl": "https://a-b.vault.stack.example/", "objects": good}),
                json!({}),
                None,
            ),
            (
                json!({"keyvaultName": vault, "useAzureTokenProxy": "true", "objects": good}),
                json!({}),
                None,
            ),
        ] {
            let found = refusal(&parameters, &attributes);
            assert_eq!(found.is_some(), expected.is_some(), "{parameters} {attributes}: {found:?}");
            assert!(
                found.is_none_or(|text| text.starts_with("KS747 SecretProviderClass app/c: KS")
                    && text.contains(expected.unwrap_or_default())),
                "{parameters}"
            );
        }
    }
}
