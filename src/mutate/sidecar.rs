//! The sidecar: a native sidecar container, PSA `restricted` clean, with its Plan in one
//! environment variable.

use super::annotations::{Annotations, Gate};
use super::identity::TokenVolume;
use super::refusal::{Cause, Refusal};
use super::secrets::SecretVolume;
use super::{Context, Mutation, Note, position, resources, user};
use crate::pod::{Container, Pod};
use crate::provider_class::IdentityChoice;
use keysluice_plan::{Credential, File, Identity, PLAN_ENV, Plan, PlanSchema, Selection, Volume};
use serde_json::{Value, json};
use std::time::Duration;

/// Name of the sidecar container.
pub const SIDECAR: &str = "keysluice";
/// Name of its private volume.
pub const RUN_VOLUME: &str = "keysluice-run";

const BINARY: &str = "/keysluice-injector";
const RUN_DIRECTORY: &str = "/run/keysluice";
const VOLUMES_DIRECTORY: &str = "/mnt/keysluice";
pub(super) const RUN_SIZE_BYTES: u64 = 1 << 20;
/// A string of the environment cannot exceed 128 KiB (Linux `MAX_ARG_STRLEN`); beyond this the pod
/// is refused in words.
pub(super) const PLAN_LIMIT_BYTES: usize = 96 * 1024;
/// Bound of the gate: the kubelet deletes no pod while the hook runs.
const START_TIMEOUT_SECONDS: u64 = 30;
/// How often a probe that waits is repeated: an hour of 27 s and a pause each, about.
const WAIT_ATTEMPTS: u32 = 120;

/// Adds container and private volume.
pub(super) fn add(
    pod: &Pod<'_>,
    annotations: &Annotations,
    volumes: &[SecretVolume<'_>],
    token: Option<&TokenVolume>,
    context: Context<'_>,
    mutation: &mut Mutation,
    volume_count: &mut Option<usize>,
) -> Result<(), Refusal> {
    refuse_reserved_names(pod, volumes)?;
    let plan = plan(annotations, volumes, token, context.settings.refresh_interval);
    let environment = encode(&plan);
    if environment.len() > PLAN_LIMIT_BYTES {
        return Err(Cause::PlanSize { bytes: environment.len(), limit: PLAN_LIMIT_BYTES }.into());
    }
    let user = user::of_sidecar(pod, volumes, mutation)?;
    let position = position::of_sidecar(pod, annotations, &plan, user.uid)?;
    mutation.notes.push(note(annotations, user));

    let mut mounts = vec![json!({"name": RUN_VOLUME, "mountPath": RUN_DIRECTORY})];
    mounts.extend(
        volumes
            .iter()
            .map(|volume| json!({"name": volume.name, "mountPath": directory(volume.name)})),
    );
    mounts.extend(token.map(|token| json!(token.mount())));
    let mut security = json!({
        "allowPrivilegeEscalation": false,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": true,
        "runAsNonRoot": true,
        "runAsUser": user.uid,
        "seccompProfile": {"type": "RuntimeDefault"},
    });
    if let Some(gid) = user.gid {
        security["runAsGroup"] = json!(gid);
    }
    let mut container = json!({
        "name": SIDECAR,
        "image": context.settings.injector_image,
        "command": [BINARY, "run"],
        "restartPolicy": "Always",
        "env": [{"name": PLAN_ENV, "value": environment}],
        "resources": resources::of_sidecar(pod, annotations, volumes, context, mutation),
        "securityContext": security,
        "volumeMounts": mounts,
    });
    if let Some((field, gate)) = gate(annotations) {
        container[field] = gate;
    }
    let init_count = pod.spec.init_containers.as_ref().map(Vec::len);
    mutation.patch.insert("/spec/initContainers", init_count, position, container);
    let run_volume = json!({"name": RUN_VOLUME, "emptyDir": {"medium": "Memory", "sizeLimit": quantity(RUN_SIZE_BYTES)}});
    let end = volume_count.unwrap_or_default();
    mutation.patch.insert("/spec/volumes", *volume_count, end, run_volume);
    *volume_count = Some(end + 1);
    Ok(())
}

fn note(annotations: &Annotations, user: user::User) -> Note {
    let gate = match (annotations.gate, annotations.is_bounded()) {
        (Gate::Hook, _) => {
            "the application waits for its secrets behind a postStart hook, at most 30 s"
        }
        (Gate::Probe, true) => {
            "the application waits for its secrets behind a startup probe, at most 30 s"
        }
        (Gate::Probe, false) => {
            "the application waits for its secrets behind a startup probe, for as long as it takes"
        }
        (Gate::None, _) => "the application does not wait for its secrets",
    };
    let group = user.gid.map(|gid| format!(" and gid {gid}")).unwrap_or_default();
    Note::Sidecar { uid: user.uid, group, gate }
}

/// Whether a container is our sidecar (from an earlier run), not just one of its name.
pub(super) fn is_sidecar(container: &Container<'_>) -> bool {
    &*container.name == SIDECAR
        && container.env.as_deref().unwrap_or_default().iter().any(|entry| &*entry.name == PLAN_ENV)
}

/// A pod that declares our container or volume itself could slip something under our name.
fn refuse_reserved_names(pod: &Pod<'_>, volumes: &[SecretVolume<'_>]) -> Result<(), Refusal> {
    if let (Some(volume), true) = (volumes.first(), pod.init_containers().iter().any(is_sidecar)) {
        return Err(Cause::LateVolume { volume: volume.name.to_owned() }.into());
    }
    let container = pod.all_containers().find(|(_, container)| &*container.name == SIDECAR);
    let volume = pod.volumes().iter().position(|volume| &*volume.name == RUN_VOLUME);
    let (field, name) = match (container, volume) {
        (Some((field, _)), _) => (format!("{field}/name"), SIDECAR),
        (None, Some(index)) => (format!("/spec/volumes/{index}/name"), RUN_VOLUME),
        (None, None) => return Ok(()),
    };
    Err(Cause::ReservedName { field, name: name.to_owned() }.into())
}

/// The directory of a volume in the sidecar.
fn directory(volume: &str) -> String {
    format!("{VOLUMES_DIRECTORY}/{volume}")
}

fn plan(
    annotations: &Annotations,
    volumes: &[SecretVolume<'_>],
    token: Option<&TokenVolume>,
    refresh_interval: Duration,
) -> Plan {
    let mut plan = Plan {
        schema: PlanSchema,
        run_directory: RUN_DIRECTORY.to_owned(),
        start_timeout_seconds: annotations.is_bounded().then_some(START_TIMEOUT_SECONDS),
        trusted_ca: None,
        identities: Vec::new(),
        volumes: Vec::new(),
    };
    let token_file = token.map(TokenVolume::token_file).unwrap_or_default();
    for volume in volumes {
        let (name, directory) = (volume.name.to_owned(), directory(volume.name));
        let interval = annotations
            .refresh_interval
            .or(volume.plan.refresh_interval)
            .unwrap_or(refresh_interval);
        add_volume(&mut plan, name, directory, &volume.plan, &token_file, interval);
    }
    plan
}

/// Adds one class to a Plan as the volume `name` at `directory`; identities that are the same are
/// shared.
pub(crate) fn add_volume(
    plan: &mut Plan,
    name: String,
    directory: String,
    class: &crate::provider_class::ClassPlan,
    token_file: &str,
    refresh_interval: Duration,
) {
    if let Some(ca) = &class.cloud.trusted_ca {
        let trusted = plan.trusted_ca.get_or_insert_default();
        if !trusted.contains(ca.as_str()) {
            trusted.push_str(ca);
        }
    }
    let credential = match &class.identity {
        IdentityChoice::Federated { client_id, tenant_id } => Credential::Federated {
            client_id: client_id.clone(),
            tenant_id: tenant_id.clone(),
            token_file: token_file.to_owned(),
            authority: class.cloud.authority.clone(),
        },
        IdentityChoice::ManagedIdentity { client_id } => Credential::ManagedIdentity {
            client_id: client_id.clone(),
            endpoint: class.cloud.managed_identity_endpoint.clone(),
        },
    };
    let identity = identity_name(plan, credential, class.cloud.key_vault_scope());
    let file = |file: &crate::provider_class::FilePlan| File {
        path: file.path.clone(),
        mode: file.mode,
        identity: identity.clone(),
        vault: file.vault.clone(),
        object_type: file.object_type,
        name: file.name.clone(),
        version: file.version.clone(),
        format: file.format,
        encoding: file.encoding,
        history: file.history,
        part: file.part,
        split: file.split,
        json_key: file.json_key.clone(),
        optional: file.optional,
        group: file.group,
    };
    let selection = |selection: &crate::provider_class::SelectionPlan| Selection {
        directory: selection.directory.clone(),
        mode: selection.mode,
        identity: identity.clone(),
        vault: selection.vault.clone(),
        name_prefix: selection.name_prefix.clone(),
        tags: selection.tags.clone(),
        format: selection.format,
        encoding: selection.encoding,
        group: selection.group,
    };
    let files = class.files.iter().map(file).collect();
    let selections = class.selections.iter().map(selection).collect();
    let refresh_interval_seconds = refresh_interval.as_secs().max(1);
    plan.volumes.push(Volume { name, directory, refresh_interval_seconds, files, selections });
}

/// Name of the identity in the Plan, adding it where it is new.
fn identity_name(plan: &mut Plan, credential: Credential, scope: String) -> String {
    if let Some(same) =
        plan.identities.iter().find(|known| known.credential == credential && known.scope == scope)
    {
        return same.name.clone();
    }
    let kind = match credential {
        Credential::Federated { .. } => "workload-identity",
        Credential::ManagedIdentity { .. } => "managed-identity",
    };
    let name = match plan.identities.iter().filter(|known| known.name.starts_with(kind)).count() {
        0 => kind.to_owned(),
        others => format!("{kind}-{}", others + 1),
    };
    plan.identities.push(Identity { name: name.clone(), scope, credential });
    name
}

/// The Plan as a variable: Kubernetes expands `$(NAME)` in values; `$$` stands for `$`.
pub(super) fn encode(plan: &Plan) -> String {
    serde_json::to_string(plan).expect("a Plan is strings, numbers and lists").replace('$', "$$")
}

fn gate(annotations: &Annotations) -> Option<(&'static str, Value)> {
    match annotations.gate {
        Gate::None => None,
        Gate::Hook => {
            let timeout = START_TIMEOUT_SECONDS.to_string();
            Some((
                "lifecycle",
                json!({"postStart": {"exec": {"command": [BINARY, "ready", "--timeout", timeout]}}}),
            ))
        }
        Gate::Probe => {
            // A probe that hits timeoutSeconds shows only "command timed out", and one that
            // outlives the sidecar only its end. The first begins up to two seconds after the
            // sidecar: it gives up before both, with the reason.
            let attempts = if annotations.waits() { WAIT_ATTEMPTS } else { 2 };
            let timeout = (START_TIMEOUT_SECONDS - 3).to_string();
            Some((
                "startupProbe",
                json!({"exec": {"command": [BINARY, "ready", "--timeout", timeout]}, "periodSeconds": 1,
                    "timeoutSeconds": START_TIMEOUT_SECONDS, "failureThreshold": attempts}),
            ))
        }
    }
}

/// Bytes as a Kubernetes quantity.
pub(super) fn quantity(bytes: u64) -> String {
    let (mebi, kibi) = (1 << 20, 1 << 10);
    if bytes.is_multiple_of(mebi) {
        format!("{}Mi", bytes / mebi)
    } else {
        format!("{}Ki", bytes.div_ceil(kibi))
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod plan_tests;
#[cfg(test)]
#[path = "sidecar_tests.rs"]
mod tests;
