//! What the webhook says of the new manifests, and what their pods need.

use super::input::Input;
use crate::admission::Outcome;
use crate::azure::Usage;
use crate::cli::azure::{Objects, usage};
use crate::cli::{Failure, decision};
use crate::cluster::manifests::Document;
use crate::migrate::{Migration, Section};
use crate::provider_class::ProviderClass;
use crate::reason;
use crate::rights::{Classes, Form, Grants, Workload};
use crate::settings::{CsiVolumes, Settings};
use keysluice_plan::Credential;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What all pods need together.
#[derive(Debug, Default)]
pub(super) struct Review {
    /// Hosts that sidecars must reach.
    pub(super) hosts: BTreeSet<String>,
    /// Roles and the policies that bound them, as YAML.
    pub(super) roles: Option<String>,
}

/// Asks the webhook's own code about each pod as it will be.
pub(super) fn of(
    migration: &mut Migration,
    input: &Input,
    settings: &mut Settings,
    namespace: &str,
) -> Result<Review, Failure> {
    let mut review = Review::default();
    if migration.report.is_empty() {
        return Ok(review);
    }
    settings.csi_volumes = CsiVolumes::Replace;
    settings.tenant_id.get_or_insert_with(|| crate::azure::stand_in(0));
    let objects = Objects::of(documents(migration, input, namespace));
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let mut without_identity = BTreeSet::new();
    for (pod, document) in &objects.pods {
        let answer =
            runtime.block_on(decision::decide(pod, document, settings, &objects.cluster))?;
        if answer.outcome == Outcome::Denied {
            // A missing class is told already.
            if answer.reason.map(|code| code.code) != Some(reason::KS207.code) {
                let message = answer.message.unwrap_or_default();
                migration.report.add(Section::ByHand, &pod.owner, message);
            }
            continue;
        }
        let Some(usage) = usage(pod, &answer, &objects.cluster_ids) else { continue };
        tell_needs(migration, &pod.owner, &usage, &objects);
        let mut ids = usage.client_ids.clone();
        for identity in usage.plan.iter().flat_map(|plan| &plan.identities) {
            if let Credential::Federated { client_id, authority, .. } = &identity.credential {
                ids.insert(client_id.clone());
                review.hosts.insert(host(authority));
            }
        }
        let volumes = usage.plan.iter().flat_map(|plan| &plan.volumes);
        for volume in volumes {
            review.hosts.extend(volume.files.iter().map(|file| host(file.vault.as_str())));
            review.hosts.extend(volume.selections.iter().map(|set| host(set.vault.as_str())));
        }
        if ids.iter().any(|id| objects.stand_ins.contains_key(id)) {
            without_identity.insert((pod.owner.clone(), usage.account.1.clone()));
        }
        for warning in answer.warnings {
            migration.report.add(Section::Differs, &pod.owner, warning);
        }
    }
    for (owner, account) in without_identity {
        migration.report.add(
            Section::First,
            &owner,
            format!(
                "ServiceAccount {account} has no azure.workload.identity/client-id: keysluice \
                 azure prints an identity for it"
            ),
        );
    }
    review.roles = roles(&objects, migration, input, namespace);
    Ok(review)
}

/// As whom a pod reads what, and what that takes.
fn tell_needs(migration: &mut Migration, owner: &str, usage: &Usage, objects: &Objects) {
    let Some(plan) = &usage.plan else { return };
    let (namespace, account) = &usage.account;
    for identity in &plan.identities {
        let files = plan.volumes.iter().flat_map(|volume| &volume.files);
        let of_files = files.filter(|file| file.identity == identity.name).map(|file| &file.vault);
        let sets = plan.volumes.iter().flat_map(|volume| &volume.selections);
        let of_sets = sets.filter(|set| set.identity == identity.name).map(|set| &set.vault);
        let mut hosts: BTreeSet<String> =
            of_files.chain(of_sets).map(|vault| host(vault.as_str())).collect();
        let whom = match &identity.credential {
            Credential::Federated { client_id, authority, .. } => {
                hosts.insert(host(authority));
                let id = if objects.stand_ins.contains_key(client_id) {
                    "an identity".to_owned()
                } else {
                    format!("identity {client_id}")
                };
                format!(
                    "{id} with a federated credential for \
                     system:serviceaccount:{namespace}:{account}"
                )
            }
            Credential::ServicePrincipal { authority, .. } => {
                hosts.insert(host(authority));
                "the service principal of its Secret".to_owned()
            }
            Credential::ManagedIdentity { endpoint, .. } => {
                hosts.insert(host(endpoint));
                "the node's managed identity".to_owned()
            }
        };
        let hosts = hosts.into_iter().collect::<Vec<_>>().join(", ");
        migration.report.add(Section::First, owner, format!("{whom}; egress to {hosts}"));
    }
    let secrets: Vec<&str> = plan.secrets.iter().map(|secret| secret.name.as_str()).collect();
    if !secrets.is_empty() {
        migration.report.add(
            Section::First,
            owner,
            format!(
                "the Role for the Secrets {} (keysluice-roles.yaml), and egress to the API server",
                secrets.join(", ")
            ),
        );
    }
}

/// The objects as they are to be, with the places of what was read.
fn documents(migration: &Migration, input: &Input, namespace: &str) -> Vec<Document> {
    let read = input.objects.iter().map(|(document, _)| document);
    let wanted = migration.objects.iter().zip(read).map(|(object, read)| {
        let mut document = read.clone();
        document.value = object.wanted.clone();
        document
    });
    let added = migration
        .additions
        .iter()
        .map(|addition| Document { value: addition.value.clone(), ..Document::default() });
    let mut all: Vec<Document> = wanted.chain(added).collect();
    if !namespace.is_empty() {
        for document in &mut all {
            document.default_namespace(namespace);
        }
    }
    all
}

/// What `keysluice rbac` prints for these objects.
fn roles(
    objects: &Objects,
    migration: &mut Migration,
    input: &Input,
    namespace: &str,
) -> Option<String> {
    let pods = objects.pods.iter().map(|(pod, _)| pod);
    let workloads: Vec<Workload> =
        pods.filter_map(|pod| Workload::read(&pod.owner, &pod.namespace, &pod.pod)).collect();
    let mut classes = Classes::new();
    for document in documents(migration, input, namespace) {
        if document.value["kind"] == "SecretProviderClass" {
            let class = ProviderClass::from_value(&document.value);
            let metadata = &document.value["metadata"];
            let place = [("namespace", "default"), ("name", "")].map(|(field, default)| {
                let text = metadata[field].as_str().filter(|text| !text.is_empty());
                text.unwrap_or(default).to_owned()
            });
            let class = class.map(Arc::new).map_err(|error| error.to_string());
            classes.insert(place.into(), class);
        }
    }
    let found = Grants::of(&workloads, &classes);
    for fault in &found.faults {
        migration.report.add(Section::ByHand, "Roles", fault.to_string());
    }
    if found.grants.is_empty() || !found.faults.is_empty() {
        return None;
    }
    let note = "# Check first that no Secret of these names belongs to something else: keysluice \
        rbac -n NAMESPACE does.\n";
    Some(format!("{note}{}{}", found.grants.policy_files(), found.grants.print(Form::ByAccount)))
}

/// The host of a URL.
fn host(url: &str) -> String {
    let rest = url.trim_start_matches("https://").trim_start_matches("http://");
    rest.split('/').next().unwrap_or_default().to_owned()
}
