//! Makes the Plan of a sidecar or a pipeline from resolved classes.

use crate::json::write;
use crate::provider_class::{ClassPlan, FilePlan, IdentityChoice, SelectionPlan, TemplatePlan};
use keysluice_plan::{
    Credential, File, Identity, LogFormat, Plan, PlanSchema, Selection, TOKEN_PROXY_DIRECTORY,
    TOKEN_PROXY_TOKEN, TemplateFile, TokenProxy, Volume,
};
use std::time::Duration;

/// Private directory of the sidecar.
pub(crate) const RUN_DIRECTORY: &str = "/run/keysluice";

/// Where the sidecar, and no other container, has the Secrets of service principals, each in a
/// directory of its name.
pub(crate) const PRINCIPALS_DIRECTORY: &str = "/var/run/secrets/keysluice.dev-principal";

/// Longest start that is bounded: the kubelet does not delete a pod while its postStart hook runs.
pub(crate) const START_TIMEOUT_SECONDS: u64 = 30;

/// A Plan without volumes. `is_bounded` says whether a start without all secrets ends.
pub(crate) fn empty(is_bounded: bool) -> Plan {
    Plan {
        schema: PlanSchema,
        run_directory: RUN_DIRECTORY.to_owned(),
        start_timeout_seconds: is_bounded.then_some(START_TIMEOUT_SECONDS),
        trusted_ca: None,
        identities: Vec::new(),
        volumes: Vec::new(),
        kubernetes: None,
        secrets: Vec::new(),
        reaction: None,
        program_directory: None,
        source: None,
        managed_identity: None,
        metrics_port: None,
        log_format: LogFormat::default(),
    }
}

/// Where one class goes.
pub(crate) struct Target<'t> {
    /// Name of the volume.
    pub(crate) name: &'t str,
    /// Its path where the Plan is carried out.
    pub(crate) directory: String,
    /// The federated token there.
    pub(crate) token_file: &'t str,
    /// The token proxy, for classes that use it.
    pub(crate) token_proxy: Option<&'t TokenProxy>,
    /// How often its files are fetched.
    pub(crate) refresh_interval: Duration,
}

/// Adds one class to a Plan as one volume; equal identities are shared.
pub(crate) fn add_volume(plan: &mut Plan, class: &ClassPlan, target: Target<'_>) {
    trust(plan, class.cloud.trusted_ca.as_deref());
    let credential = credential(class, &target);
    let identity = identity_name(plan, credential, class.cloud.key_vault_scope());
    plan.volumes.push(Volume {
        name: target.name.to_owned(),
        directory: target.directory,
        refresh_interval_seconds: target.refresh_interval.as_secs().max(1),
        files: class.files.iter().map(|planned| file(planned, &identity)).collect(),
        selections: class.selections.iter().map(|planned| selection(planned, &identity)).collect(),
        templates: class.templates.iter().map(template).collect(),
    });
}

/// Adds the authorities of a cloud.
pub(crate) fn trust(plan: &mut Plan, authorities: Option<&str>) {
    let Some(ca) = authorities else { return };
    let trusted = plan.trusted_ca.get_or_insert_default();
    if !trusted.contains(ca) {
        trusted.push_str(ca);
    }
}

fn credential(class: &ClassPlan, target: &Target<'_>) -> Credential {
    match &class.identity {
        IdentityChoice::Federated { client_id, tenant_id } => Credential::Federated {
            client_id: client_id.clone(),
            tenant_id: tenant_id.clone(),
            token_file: target.token_file.to_owned(),
            authority: class.cloud.authority.clone(),
            token_proxy: None,
        },
        IdentityChoice::TokenProxy { client_id, tenant_id } => Credential::Federated {
            client_id: client_id.clone(),
            tenant_id: tenant_id.clone(),
            token_file: token_proxy_file(),
            authority: class.cloud.authority.clone(),
            token_proxy: target.token_proxy.cloned().map(Box::new),
        },
        IdentityChoice::ServicePrincipal { secret, tenant_id } => Credential::ServicePrincipal {
            tenant_id: tenant_id.clone(),
            directory: format!("{PRINCIPALS_DIRECTORY}/{secret}"),
            authority: class.cloud.authority.clone(),
        },
        IdentityChoice::ManagedIdentity { client_id } => Credential::ManagedIdentity {
            client_id: client_id.clone(),
            endpoint: class.cloud.managed_identity_endpoint.clone(),
        },
    }
}

/// The sidecar's token for the token proxy.
pub(crate) fn token_proxy_file() -> String {
    format!("{TOKEN_PROXY_DIRECTORY}/{TOKEN_PROXY_TOKEN}")
}

fn file(planned: &FilePlan, identity: &str) -> File {
    File {
        path: planned.path.clone(),
        mode: planned.mode,
        identity: identity.to_owned(),
        vault: planned.vault.clone(),
        object_type: planned.object_type,
        name: planned.name.clone(),
        version: planned.version.clone(),
        format: planned.format,
        encoding: planned.encoding,
        history: planned.history,
        part: planned.part,
        split: planned.split,
        json_key: planned.json_key.clone(),
        optional: planned.optional,
        group: planned.group,
        variable: planned.variable.clone(),
    }
}

fn selection(planned: &SelectionPlan, identity: &str) -> Selection {
    Selection {
        directory: planned.directory.clone(),
        mode: planned.mode,
        identity: identity.to_owned(),
        vault: planned.vault.clone(),
        name_prefix: planned.name_prefix.clone(),
        tags: planned.tags.clone(),
        format: planned.format,
        encoding: planned.encoding,
        group: planned.group,
    }
}

fn template(planned: &TemplatePlan) -> TemplateFile {
    TemplateFile {
        path: planned.path.clone(),
        mode: planned.mode,
        group: planned.group,
        template: planned.template.clone(),
    }
}

/// Name of the identity in the Plan; a new identity is added.
fn identity_name(plan: &mut Plan, credential: Credential, scope: String) -> String {
    if let Some(same) =
        plan.identities.iter().find(|known| known.credential == credential && known.scope == scope)
    {
        return same.name.clone();
    }
    let kind = match credential {
        Credential::Federated { .. } => "workload-identity",
        Credential::ServicePrincipal { .. } => "service-principal",
        Credential::ManagedIdentity { .. } => "managed-identity",
    };
    let name = match plan.identities.iter().filter(|known| known.name.starts_with(kind)).count() {
        0 => kind.to_owned(),
        others => format!("{kind}-{}", others + 1),
    };
    plan.identities.push(Identity { name: name.clone(), scope, credential });
    name
}

/// The Plan as the value of a variable: Kubernetes expands `$(NAME)` there, and `$$` stands for
/// `$`.
pub(crate) fn to_variable(plan: &Plan) -> String {
    let mut json = Vec::with_capacity(1024);
    write::append(&mut json, plan).expect("a Plan is strings, numbers and lists");
    let text = String::from_utf8(json).expect("JSON is UTF-8");
    if text.contains('$') { text.replace('$', "$$") } else { text }
}

/// The Plan that [`to_variable`] wrote, if this version can read it.
pub(crate) fn from_variable(value: &str) -> Option<Plan> {
    serde_json::from_str(&value.replace("$$", "$")).ok()
}
