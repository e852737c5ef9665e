//! `keysluice azure`: the Azure side of ServiceAccounts, printed and never executed.

use super::decision;
use super::live_documents::{ACCOUNTS, CLASSES, WORKLOADS, each};
use super::manifest_pods::{ManifestPod, pods_of};
use super::options::Options;
use super::rbac_inputs::account_of;
use super::{FAILED, Failure};
use crate::admission::{Answer, Outcome};
use crate::azure::{Form, IdentityKind, Side, StandIns, Target, Usage, stand_in};
use crate::cli::input_options::InputOptions;
use crate::cluster::manifests::{Document, Manifests, read_documents};
use crate::migrate::set;
use crate::mutate::{CLIENT_ID_ANNOTATION, SIDECAR, USE_LABEL};
use crate::plan;
use crate::provider_class::is_guid;
use crate::rights::Place;
use crate::settings::CsiVolumes;
use clap::{Args, ValueEnum};
use keysluice_plan::PLAN_ENV;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::ExitCode;
use std::rc::Rc;

/// Print the Azure side of ServiceAccounts: identities, federated credentials, and the least role
/// assignments for the vault objects that their pods read. Nothing is executed.
#[derive(Debug, Args)]
pub(super) struct Azure {
    #[command(flatten)]
    input: InputOptions,
    /// az (a shell script), bicep or terraform.
    #[arg(short = 'o', long, default_value = "az", value_name = "FORMAT")]
    output: Output,
    /// What identities are: managed (user-assigned managed identities) or application.
    #[arg(long, default_value = "managed", value_name = "KIND")]
    identity: Kind,
    /// OIDC issuer of the cluster; without it, a variable of the output.
    #[arg(long, value_name = "URL", value_parser = issuer)]
    issuer: Option<String>,
    /// Resource group of identities that are created; without it, a variable of the output.
    #[arg(long, value_name = "NAME")]
    resource_group: Option<String>,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    Az,
    Bicep,
    Terraform,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    #[value(alias = "managed-identity")]
    Managed,
    #[value(alias = "app")]
    Application,
}

impl Azure {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let (documents, mut warnings) = self.documents()?;
        let mut objects = Objects::of(documents);
        let mut settings = self.options.settings()?;
        // What the driver reads needs the same rights.
        settings.csi_volumes = CsiVolumes::Replace;
        settings.tenant_id.get_or_insert_with(|| stand_in(0));
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let (mut usages, mut refused) = (objects.annotated(), Vec::new());
        for (pod, document) in &objects.pods {
            let answer =
                runtime.block_on(decision::decide(pod, document, &settings, &objects.cluster))?;
            match answer.outcome {
                Outcome::Denied if answer.reason.map(|code| code.code) != Some("KS216") => {
                    refused.push(format!("{}: {}", pod.owner, answer.message.unwrap_or_default()));
                }
                _ => usages.extend(usage(pod, &answer, &objects.cluster_ids)),
            }
        }
        warnings.append(&mut objects.warnings);
        let side = Side::of(&usages, &objects.stand_ins);
        for warning in warnings.iter().chain(&side.warnings) {
            eprintln!("keysluice: warning: {warning}");
        }
        let faults = side.faults.iter().map(ToString::to_string);
        let faults: Vec<String> = refused.into_iter().chain(faults).collect();
        for fault in &faults {
            eprintln!("keysluice: {fault}");
        }
        if !faults.is_empty() {
            return Ok(ExitCode::from(FAILED));
        }
        if side.is_empty() {
            eprintln!(
                "keysluice: note: no ServiceAccount has an identity, and no pod asks for one or \
                 reads a vault: there is nothing to create"
            );
            return Ok(ExitCode::SUCCESS);
        }
        let text =
            side.print(self.form(), &self.target(settings.audience)).map_err(Failure::usage)?;
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()?;
        Ok(ExitCode::SUCCESS)
    }

    fn form(&self) -> Form {
        match self.output {
            Output::Az => Form::Az,
            Output::Bicep => Form::Bicep,
            Output::Terraform => Form::Terraform,
        }
    }

    fn target(&self, audience: String) -> Target {
        let kind = match self.identity {
            Kind::Managed => IdentityKind::Managed,
            Kind::Application => IdentityKind::Application,
        };
        Target {
            kind,
            issuer: self.issuer.clone(),
            resource_group: self.resource_group.clone(),
            audience,
        }
    }

    fn documents(&self) -> Result<(Vec<Document>, Vec<String>), Failure> {
        let mut documents = Vec::new();
        if self.input.is_live()? {
            let (runtime, client) = self.input.connect()?;
            let kinds = [&[ACCOUNTS, CLASSES], &WORKLOADS[..]].concat();
            let namespace = self.input.namespace.as_deref();
            runtime.block_on(each(&client, namespace, &kinds, |one| documents.push(one)))?;
            return Ok((documents, Vec::new()));
        }
        let mut warnings = Vec::new();
        for path in &self.input.files {
            let files = read_documents(path)?;
            warnings.extend(files.notes);
            for mut document in files.documents {
                if let Some(namespace) = &self.input.namespace {
                    document.default_namespace(namespace);
                }
                warnings.append(&mut document.warnings);
                documents.push(document);
            }
        }
        Ok((documents, warnings))
    }
}

/// What was read, with an identity for each ServiceAccount.
#[derive(Default)]
pub(super) struct Objects {
    pub(super) cluster: Manifests,
    pub(super) pods: Vec<(ManifestPod, Rc<Document>)>,
    /// Client id of each account: its annotation, or what stands in for it.
    pub(super) cluster_ids: BTreeMap<Place, String>,
    /// Accounts whose annotation names an identity.
    annotated: BTreeSet<Place>,
    pub(super) stand_ins: StandIns,
    pub(super) warnings: Vec<String>,
}

impl Objects {
    pub(super) fn of(documents: Vec<Document>) -> Self {
        let mut objects = Self::default();
        let mut accounts = BTreeMap::new();
        for document in documents {
            if document.value["kind"] == "ServiceAccount" {
                accounts.insert(place(&document.value), document);
                continue;
            }
            objects.cluster.add(&document);
            let found = pods_of(&document);
            objects.warnings.extend(found.skipped);
            let document = Rc::new(document);
            for mut pod in found.pods {
                if let Some(annotations) = pod.pod["metadata"]["annotations"].as_object_mut() {
                    annotations.remove("keysluice.dev/csi-volumes");
                }
                objects.pods.push((pod, Rc::clone(&document)));
            }
        }
        let of_pods = objects.pods.iter().map(|(pod, _)| account_of(pod));
        for account in of_pods.collect::<BTreeSet<_>>() {
            accounts.entry(account.clone()).or_insert_with(|| Document {
                value: json!({"kind": "ServiceAccount",
                    "metadata": {"namespace": account.0, "name": account.1}}),
                ..Document::default()
            });
        }
        for (number, (place, mut document)) in (1..).zip(accounts) {
            let written = &document.value["metadata"]["annotations"][CLIENT_ID_ANNOTATION];
            let written = written.as_str().map(str::trim).filter(|id| !id.is_empty());
            let client_id = if let Some(id) = written {
                objects.annotated.insert(place.clone());
                id.to_owned()
            } else {
                let id = stand_in(number);
                set(&mut document.value, "annotations", CLIENT_ID_ANNOTATION, &id);
                objects.stand_ins.insert(id.clone(), place.clone());
                id
            };
            objects.cluster.add(&document);
            objects.cluster_ids.insert(place, client_id);
        }
        objects
    }

    /// Accounts of the input whose annotation names an identity; without any pod in it, all.
    fn annotated(&self) -> Vec<Usage> {
        self.cluster_ids
            .iter()
            .filter(|(place, _)| self.pods.is_empty() || self.annotated.contains(*place))
            .map(|(place, client_id)| Usage {
                account: place.clone(),
                client_ids: BTreeSet::from([client_id.clone()]),
                plan: None,
            })
            .collect()
    }
}

/// What a pod does as whom; `None` where it gets nothing.
pub(super) fn usage(
    pod: &ManifestPod,
    answer: &Answer,
    ids: &BTreeMap<Place, String>,
) -> Option<Usage> {
    let account = account_of(pod);
    let is_labelled = pod.pod["metadata"]["labels"][USE_LABEL] == "true";
    let mut client_ids = BTreeSet::new();
    if is_labelled {
        client_ids.extend(ids.get(&account).cloned());
    }
    let mut patched = pod.pod.clone();
    if answer.outcome == Outcome::Mutated {
        json_patch::patch(&mut patched, &answer.patch.to_json_patch()).ok()?;
    }
    let lists = ["initContainers", "containers"].map(|list| patched["spec"][list].as_array());
    let containers: Vec<&Value> = lists.into_iter().flatten().flatten().collect();
    let of_containers = containers.iter().filter_map(|one| variable(one, "AZURE_CLIENT_ID"));
    client_ids.extend(of_containers.filter(|id| is_labelled && is_guid(id)));
    let sidecar = containers.iter().find(|container| container["name"] == SIDECAR);
    let plan = sidecar.and_then(|sidecar| variable(sidecar, PLAN_ENV));
    let plan = plan.and_then(|text| plan::from_variable(&text));
    (is_labelled || plan.is_some()).then_some(Usage { account, client_ids, plan })
}

/// The value of a container's variable.
fn variable(container: &Value, name: &str) -> Option<String> {
    let entries = container["env"].as_array().into_iter().flatten();
    let mut named = entries.filter(|entry| entry["name"] == name);
    named.find_map(|entry| entry["value"].as_str().map(str::to_owned))
}

fn place(object: &Value) -> Place {
    let metadata = &object["metadata"];
    let namespace = metadata["namespace"].as_str().filter(|name| !name.is_empty());
    let name = metadata["name"].as_str().unwrap_or_default();
    (namespace.unwrap_or("default").to_owned(), name.to_owned())
}

fn issuer(text: &str) -> Result<String, String> {
    let is_url = text.starts_with("https://") && !text.contains(|c: char| c.is_whitespace());
    if is_url { Ok(text.to_owned()) } else { Err("not an https:// URL".to_owned()) }
}
