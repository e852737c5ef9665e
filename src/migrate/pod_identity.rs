//! AAD Pod Identity: a label of pods, bound to an identity.

use super::names::POD_IDENTITY_LABEL;
use super::{Migration, Place, Section, Source, account_of, any_case, select, written};
use crate::provider_class::is_guid;
use crate::reason;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// `UserAssignedMSI`
const USER_ASSIGNED: u64 = 0;

pub(super) fn rewrite(migration: &mut Migration) {
    let bindings = bindings(migration);
    for (index, pointer) in migration.pods() {
        let pod = migration.objects[index].pod(&pointer);
        let Some(selector) = pod["metadata"]["labels"][POD_IDENTITY_LABEL].as_str() else {
            continue;
        };
        let selector = selector.to_owned();
        migration.sources.insert(Source::PodIdentity);
        let owner = migration.objects[index].owner();
        match identity(&bindings, &migration.objects[index].place().0, &selector) {
            Ok((client_id, others)) => {
                if others > 0 {
                    migration.report.add(
                        Section::ByHand,
                        &owner,
                        format!(
                            "{} {} identities are bound to {POD_IDENTITY_LABEL}: {selector}; the \
                             pod gets {client_id}, the first by name; hint: {}",
                            reason::KS765,
                            others + 1,
                            reason::KS765.fix
                        ),
                    );
                }
                assign(migration, index, &pointer, &client_id);
            }
            Err(problem) => migration.report.add(
                Section::ByHand,
                &owner,
                format!("{} {problem}; hint: {}", reason::KS764, reason::KS764.fix),
            ),
        }
    }
}

/// Gives the pods of a template the identity of a ServiceAccount of their own, and its classes too.
fn assign(migration: &mut Migration, index: usize, pointer: &str, client_id: &str) {
    let object = &mut migration.objects[index];
    let (owner, (namespace, name)) = (object.owner(), object.place());
    let mut account = account_of(object.pod(pointer));
    let is_default = account == "default";
    if is_default {
        account = name;
    }
    let place = (namespace.clone(), account.clone());
    if let Err(other) = migration.identify(&place, client_id) {
        migration.report.add(
            Section::ByHand,
            &owner,
            format!(
                "{} ServiceAccount {} has the client id {other}, and the \
                 binding says {client_id}; hint: {}",
                reason::KS766,
                written(&place),
                reason::KS766.fix
            ),
        );
        return;
    }
    let pod = migration.objects[index].pod_mut(pointer);
    select(pod);
    if is_default {
        pod["spec"]["serviceAccountName"] = json!(account);
        migration.report.add(
            Section::First,
            &owner,
            format!(
                "it gets the ServiceAccount {account} instead of default: bind the Roles of \
                 default to it, if it uses the API server"
            ),
        );
    }
    let classes: Vec<String> = classes(&migration.objects[index].pod(pointer)["spec"]);
    for class in classes {
        release(migration, &(namespace.clone(), class), client_id);
    }
    let report = &mut migration.report;
    report.add(
        Section::Changed,
        &owner,
        format!(
            "the label azure.workload.identity/use on the pod template, ServiceAccount {account} \
             with the client id {client_id}; the label {POD_IDENTITY_LABEL} stays until NMI is gone"
        ),
    );
    report.add(
        Section::First,
        &owner,
        format!(
            "a federated credential of {client_id} for system:serviceaccount:{}:{account} \
             (keysluice azure prints it)",
            if namespace.is_empty() { "NAMESPACE" } else { &namespace }
        ),
    );
    report.add(
        Section::Differs,
        &owner,
        "its SDK must know workload identity (WorkloadIdentityCredential or \
         DefaultAzureCredential): NMI no longer answers in place of 169.254.169.254",
    );
}

/// The classes of the pod's Secrets Store CSI volumes.
fn classes(spec: &Value) -> Vec<String> {
    let volumes = spec["volumes"].as_array().into_iter().flatten();
    volumes
        .filter_map(|volume| {
            volume["csi"]["volumeAttributes"]["secretProviderClass"].as_str().map(str::to_owned)
        })
        .collect()
}

/// A class that asks NMI uses the pod's own identity instead, with the driver too.
fn release(migration: &mut Migration, class: &Place, client_id: &str) {
    let Some(index) = migration.find("SecretProviderClass", class) else { return };
    let parameters = &mut migration.objects[index].wanted["spec"]["parameters"];
    if parameters["usePodIdentity"].as_str().is_none_or(|text| text.trim() != "true") {
        return;
    }
    parameters["usePodIdentity"] = json!("false");
    if parameters["clientID"].as_str().is_none_or(|id| id.trim().is_empty()) {
        parameters["clientID"] = json!(client_id);
    }
    let owner = migration.objects[index].owner();
    migration.report.add(
        Section::Changed,
        &owner,
        format!("usePodIdentity is false and clientID is {client_id}"),
    );
}

/// What is bound to a selector.
struct Binding {
    namespace: String,
    name: String,
    /// Client id, or why there is none.
    identity: Result<String, String>,
}

/// By selector, in order of name.
fn bindings(migration: &Migration) -> BTreeMap<String, Vec<Binding>> {
    let mut bindings: BTreeMap<String, Vec<Binding>> = BTreeMap::new();
    for object in migration.objects.iter().filter(|object| object.kind() == "AzureIdentityBinding")
    {
        let ((namespace, name), spec) = (object.place(), &object.value["spec"]);
        let identity = text_any_case(spec, "azureIdentity").to_owned();
        let place = (namespace.clone(), identity.clone());
        let found = migration.find("AzureIdentity", &place);
        let identity = found.map(|index| client_id(&migration.objects[index].value["spec"]));
        let identity = identity.unwrap_or_else(|| {
            Err(format!("AzureIdentity {} is not in the input", written(&place)))
        });
        let selector = text_any_case(spec, "selector").to_owned();
        bindings.entry(selector).or_default().push(Binding { namespace, name, identity });
    }
    for bound in bindings.values_mut() {
        bound.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    }
    bindings
}

fn text_any_case<'v>(object: &'v Value, field: &str) -> &'v str {
    any_case(object, field).and_then(Value::as_str).unwrap_or_default()
}

fn client_id(spec: &Value) -> Result<String, String> {
    let id = any_case(spec, "clientID").and_then(Value::as_str).unwrap_or_default().trim();
    match any_case(spec, "type").map(Value::as_u64) {
        Some(Some(USER_ASSIGNED)) | None if is_guid(id) => Ok(id.to_ascii_lowercase()),
        Some(Some(USER_ASSIGNED)) | None => Err(format!("clientID {id:?} is not a GUID")),
        _ => Err("it is a service principal, whose password or certificate stays outside of \
            Keysluice"
            .to_owned()),
    }
}

/// The client id for a selector, and how many others there are. NMI looks in all namespaces unless
/// it is told to look in the pod's alone, so that one comes first.
fn identity(
    bindings: &BTreeMap<String, Vec<Binding>>,
    namespace: &str,
    selector: &str,
) -> Result<(String, usize), String> {
    let all = bindings.get(selector).map(Vec::as_slice).unwrap_or_default();
    let own: Vec<&Binding> = all.iter().filter(|bound| bound.namespace == namespace).collect();
    let bound = if own.is_empty() { all.iter().collect() } else { own };
    let mut ids: Vec<String> = Vec::new();
    for binding in &bound {
        if let Ok(id) = &binding.identity
            && !ids.contains(id)
        {
            ids.push(id.clone());
        }
    }
    let problem = bound.iter().find_map(|bound| bound.identity.clone().err());
    match (ids.split_first(), problem) {
        (Some((first, others)), _) => Ok((first.clone(), others.len())),
        (None, Some(problem)) => Err(problem),
        (None, None) => {
            Err(format!("no AzureIdentityBinding of the input has the selector {selector:?}"))
        }
    }
}
