//! The managed-identity endpoint of a pod: whether it gets one, on which port, and of whom it gives
//! tokens. What containers get of it is in `managed_identity_given`.

use super::annotations::{Annotations, MANAGED_IDENTITIES, MANAGED_IDENTITY_ENDPOINT};
use super::context::Context;
use super::earlier_run::{is_sidecar, plan_of};
use super::managed_identity_cause::ManagedIdentityCause;
use super::managed_identity_given::EndpointVariables;
use super::managed_identity_values::{EndpointChoice, MappedIdentity, port, truth};
use super::mutation::{Mutation, Note};
use super::refusal::{Refusal, cut};
use super::{identity, intercept, operating_system, token_proxy};
use crate::plan;
use crate::pod::Pod;
use crate::provider_class::{Mode, TokenProxyUse, hex};
use crate::reason;
use crate::settings::Settings;
use keysluice_plan::{
    Credential, EndpointIdentity, IMDS_PORT, MOST_ENDPOINT_IDENTITIES, ManagedIdentityEndpoint,
    TokenProxy,
};
use sha2::{Digest as _, Sha256};

const PROXY_ANNOTATION: &str = "azure.workload.identity/inject-proxy-sidecar";
const PORT_ANNOTATION: &str = "azure.workload.identity/proxy-sidecar-port";
/// What Azure Workload Identity makes of these annotations.
const PROXY_CONTAINERS: [&str; 2] = ["azwi-proxy", "azwi-proxy-init"];
/// The port of Azure Workload Identity's proxy.
const DEFAULT_PORT: u16 = 8000;
/// Characters of the header: 128 bits.
const HEADER_LENGTH: usize = 32;

/// The endpoint of a pod.
#[derive(Debug)]
pub(super) struct Endpoint {
    /// What containers get.
    pub(super) variables: EndpointVariables,
    /// What the sidecar serves, but for the path of the token; `None` where the pod has a sidecar
    /// that does.
    plan: Option<ManagedIdentityEndpoint>,
}

impl Endpoint {
    /// Whether the pod gets a sidecar for it.
    pub(super) fn is_new(&self) -> bool {
        self.plan.is_some()
    }

    /// Whether the pod's own token is needed for a new sidecar.
    pub(super) fn is_federated(&self) -> bool {
        let mut identities = self.plan.iter().flat_map(|plan| &plan.identities);
        identities.any(|identity| {
            matches!(identity.credential, Credential::Federated { token_proxy: None, .. })
        })
    }

    /// What a new sidecar serves, with the pod's token at `path`.
    pub(super) fn plan(&self, path: &str) -> Option<ManagedIdentityEndpoint> {
        let mut plan = self.plan.clone()?;
        for identity in &mut plan.identities {
            if let Credential::Federated { token_file, token_proxy: None, .. } =
                &mut identity.credential
            {
                path.clone_into(token_file);
            }
        }
        Some(plan)
    }
}

/// The endpoint, if the pod asks for one.
///
/// # Errors
/// [`ManagedIdentityCause`] for values that are not valid, and pods in which it cannot be served.
pub(super) fn select(
    pod: &Pod<'_>,
    annotations: &Annotations,
    context: Context<'_>,
    mutation: &mut Mutation,
) -> Result<Option<Endpoint>, Refusal> {
    let Some(Asked { annotation, port, intercepts }) = asked(pod, annotations)? else {
        if !annotations.managed_identities.is_empty() && !has_proxy(pod) {
            return Err(ManagedIdentityCause::Alone { annotation: MANAGED_IDENTITIES }.into());
        }
        return Ok(None);
    };
    if !identity::is_opted_in(pod) {
        return Err(ManagedIdentityCause::Label { annotation }.into());
    }
    if let Some(name) = proxy_of(pod) {
        mutation.warn(format_args!(
            "{} container {name} was injected by another webhook, which Keysluice does not do",
            reason::KS271
        ));
        return Ok(None);
    }
    if pod.spec.host_network == Some(true) {
        return Err(ManagedIdentityCause::HostNetwork { annotation }.into());
    }
    if operating_system::is_windows(pod) {
        return Err(ManagedIdentityCause::Windows { annotation }.into());
    }
    if let Some(sidecar) = pod.init_containers().iter().find(|container| is_sidecar(container)) {
        // Another version's Plan may say it in another way.
        let Some(plan) = plan_of(sidecar) else { return Ok(None) };
        let served = plan.managed_identity.filter(|served| served.intercept || !intercepts);
        let Some(served) = served else {
            return Err(ManagedIdentityCause::Late { annotation }.into());
        };
        if served.intercept {
            intercept::set_port_start(pod, mutation)?;
        }
        let variables = EndpointVariables::new(served.port, &served.header);
        return Ok(Some(Endpoint { variables, plan: None }));
    }
    if annotations.mode == Some(Mode::Init) {
        return Err(ManagedIdentityCause::Init.into());
    }
    check_ports(pod, port, intercepts)?;
    let identities = identities(pod, annotations, context)?;
    mutation.notes.push(Note::ManagedIdentity { port, identities: identities.len() });
    if intercepts {
        intercept::check(pod, context.settings)?;
        intercept::set_port_start(pod, mutation)?;
    }
    let header = header(pod, context);
    let variables = EndpointVariables::new(port, &header);
    let plan = ManagedIdentityEndpoint { port, header, identities, intercept: intercepts };
    Ok(Some(Endpoint { variables, plan: Some(plan) }))
}

/// What a pod asks for.
struct Asked {
    annotation: &'static str,
    port: u16,
    /// Whether also on the address of IMDS.
    intercepts: bool,
}

/// Which annotation asks for an endpoint, and on which port: ours before Azure Workload Identity's.
fn asked(pod: &Pod<'_>, annotations: &Annotations) -> Result<Option<Asked>, ManagedIdentityCause> {
    let of_pod = &pod.metadata.annotations;
    let theirs = of_pod.find(PROXY_ANNOTATION);
    let is_theirs = theirs.map_or(Ok(false), |value| {
        let (annotation, value) = (PROXY_ANNOTATION, value);
        truth(value).ok_or_else(|| ManagedIdentityCause::Choice { annotation, value: cut(value) })
    });
    let (annotation, port) = match annotations.managed_identity_endpoint {
        Some(EndpointChoice::On(port)) => (MANAGED_IDENTITY_ENDPOINT, port),
        Some(EndpointChoice::Intercept) => (MANAGED_IDENTITY_ENDPOINT, None),
        None if is_theirs? => (PROXY_ANNOTATION, None),
        Some(EndpointChoice::Off) | None => return Ok(None),
    };
    let port = match (port, of_pod.find(PORT_ANNOTATION)) {
        (Some(port), _) => port,
        (None, None) => DEFAULT_PORT,
        (None, Some(value)) => self::port(value).ok_or_else(|| ManagedIdentityCause::Port {
            annotation: PORT_ANNOTATION,
            value: cut(value),
        })?,
    };
    let intercepts = annotations.managed_identity_endpoint == Some(EndpointChoice::Intercept);
    Ok(Some(Asked { annotation, port, intercepts }))
}

/// Name of the other webhook's proxy in the pod: it goes on with that.
fn proxy_of<'p>(pod: &'p Pod<'_>) -> Option<&'p str> {
    let mut names = pod.all_containers().map(|(_, container)| &*container.name);
    names.find(|name| PROXY_CONTAINERS.contains(name))
}

fn has_proxy(pod: &Pod<'_>) -> bool {
    proxy_of(pod).is_some()
}

fn check_ports(pod: &Pod<'_>, port: u16, intercepts: bool) -> Result<(), ManagedIdentityCause> {
    if let Some(container) = declaring(pod, port) {
        return Err(ManagedIdentityCause::PortTaken { container: cut(container), port });
    }
    match declaring(pod, IMDS_PORT) {
        Some(container) if intercepts => {
            Err(ManagedIdentityCause::ImdsPortTaken { container: cut(container) })
        }
        _ => Ok(()),
    }
}

/// Name of a container that says that it listens on this port.
pub(super) fn declaring<'p>(pod: &'p Pod<'_>, port: u16) -> Option<&'p str> {
    let mut all = pod.all_containers().map(|(_, container)| container);
    let found = all.find(|container| {
        container.ports.iter().flatten().any(|declared| {
            declared.container_port == Some(port.into())
                && declared.protocol.as_deref().is_none_or(|protocol| protocol == "TCP")
        })
    });
    found.map(|container| &*container.name)
}

/// The ServiceAccount's identity, those of single containers, and those that the pod names.
fn identities(
    pod: &Pod<'_>,
    annotations: &Annotations,
    context: Context<'_>,
) -> Result<Vec<EndpointIdentity>, ManagedIdentityCause> {
    let account = context.facts.service_account.as_ref();
    let own = account.and_then(|account| account.client_id.as_deref());
    let tenant = account.and_then(|account| account.tenant_id.as_deref());
    let tenant = tenant.or(context.settings.tenant_id.as_deref());
    let federation = Federation::of(pod, context.settings);
    let mut identities: Vec<EndpointIdentity> = Vec::new();
    if let Some(own) = own {
        identities.push(federation.identity(own, tenant)?);
    }
    for (container, client_id) in &annotations.client_ids {
        // Before the search: the annotation may have tens of thousands.
        if identities.len() > MOST_ENDPOINT_IDENTITIES {
            return Err(ManagedIdentityCause::TooMany);
        }
        if find(&identities, client_id).is_none() {
            let tenant = annotations.tenant_ids.get(container).map(String::as_str).or(tenant);
            identities.push(federation.identity(client_id, tenant)?);
        }
    }
    for MappedIdentity { client_id, object_ids, resource_ids } in &annotations.managed_identities {
        let index = if let Some(index) = find(&identities, client_id) {
            index
        } else {
            identities.push(federation.identity(client_id, tenant)?);
            identities.len() - 1
        };
        identities[index].object_ids.clone_from(object_ids);
        identities[index].resource_ids.clone_from(resource_ids);
    }
    let names = annotations.managed_identities.iter().flat_map(|one| &one.object_ids);
    if let Some(name) = names.into_iter().find(|name| find(&identities, name).is_some()) {
        return Err(ManagedIdentityCause::Twice { name: name.clone() });
    }
    if identities.len() > MOST_ENDPOINT_IDENTITIES {
        return Err(ManagedIdentityCause::TooMany);
    }
    // As IMDS does: without one of its own, a machine with a single identity gives that.
    let is_single = identities.len() == 1;
    let Some(first) = identities.first_mut() else {
        let account = cut(pod.service_account());
        return Err(ManagedIdentityCause::NoIdentity { account });
    };
    first.default = own.is_some() || is_single;
    Ok(identities)
}

fn find(identities: &[EndpointIdentity], client_id: &str) -> Option<usize> {
    identities.iter().position(|identity| {
        identity.client_id().is_some_and(|known| known.eq_ignore_ascii_case(client_id))
    })
}

/// What the federated identities of a pod's endpoint have in common.
struct Federation<'p> {
    account: &'p str,
    settings: &'p Settings,
    token_proxy: Option<Box<TokenProxy>>,
    token_file: String,
}

impl<'p> Federation<'p> {
    fn of(pod: &'p Pod<'_>, settings: &'p Settings) -> Self {
        let token_proxy = match token_proxy::use_by(pod, settings) {
            TokenProxyUse::Always => settings.token_proxy().map(Box::new),
            _ => None,
        };
        let token_file =
            if token_proxy.is_some() { plan::token_proxy_file() } else { String::new() };
        Self { account: pod.service_account(), settings, token_proxy, token_file }
    }

    fn identity(
        &self,
        client_id: &str,
        tenant: Option<&str>,
    ) -> Result<EndpointIdentity, ManagedIdentityCause> {
        let Some(tenant) = tenant else {
            return Err(ManagedIdentityCause::NoTenant { account: cut(self.account) });
        };
        if !self.settings.limits.allows_tenant(tenant) {
            return Err(ManagedIdentityCause::Tenant { tenant: cut(tenant) });
        }
        Ok(EndpointIdentity {
            credential: Credential::Federated {
                client_id: client_id.to_owned(),
                tenant_id: tenant.to_owned(),
                token_file: self.token_file.clone(),
                authority: self.settings.clouds.default_cloud().authority.clone(),
                token_proxy: self.token_proxy.clone(),
            },
            default: false,
            object_ids: Vec::new(),
            resource_ids: Vec::new(),
        })
    }
}

/// What an application shows the endpoint. The webhook's key and the uid of the review make it
/// another one for each pod; a second run finds it in the pod.
fn header(pod: &Pod<'_>, context: Context<'_>) -> String {
    let mut of_pod = Sha256::new();
    for part in [context.uid, context.namespace, &*pod.display_name()] {
        of_pod.update((part.len() as u64).to_be_bytes());
        of_pod.update(part);
    }
    let mut keyed = Sha256::new();
    keyed.update(context.settings.endpoint_key.bytes());
    keyed.update(of_pod.finalize());
    let mut header = hex(&keyed.finalize());
    header.truncate(HEADER_LENGTH);
    header
}

#[cfg(test)]
#[path = "managed_identity_tests.rs"]
mod tests;
