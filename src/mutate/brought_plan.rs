//! The Plan of a sidecar that the pod brings: from an earlier run, or of its author's own.
//!
//! Endpoints come from the operator, and so do the vaults and tenants that may be used. That holds
//! for every container of the sidecar's name, whoever wrote its Plan. An earlier or later version's
//! Plan may have other fields; those that name an endpoint are the same.

use super::basis::PLAN_PATH;
use super::names::SIDECAR;
use super::refusal::{Cause, Refusal, cut};
use crate::cloud::Cloud;
use crate::pod::{Container, EnvVar, Pod};
use crate::settings::Settings;
use keysluice_plan::{PLAN_ENV, VaultUrl, is_loopback_url};
use serde_json::Value;

/// Variables of the sidecar's that the webhook never writes: a Plan that does not stand in the pod,
/// another root, other authorities.
const FOREIGN_VARIABLES: [&str; 4] =
    ["KEYSLUICE_PLAN_FILE", "KEYSLUICE_ROOT", "SSL_CERT_FILE", "SSL_CERT_DIR"];

/// The kernel takes no longer variable (`MAX_ARG_STRLEN`).
const MAX_VARIABLE_BYTES: usize = 128 << 10;

/// Refuses a Plan with endpoints, vaults or tenants that the operator does not allow.
pub(super) fn check(pod: &Pod<'_>, settings: &Settings) -> Result<(), Refusal> {
    let mut brought = pod.all_containers().filter(|(_, container)| &*container.name == SIDECAR);
    let Some((pointer, container)) = brought.next() else { return Ok(()) };
    let is_on_node = pod.spec.host_network == Some(true);
    let problem = match problem_of(container, settings, is_on_node) {
        Some(problem) => problem,
        None if brought.next().is_some() => {
            "another container of the pod has the same name".to_owned()
        }
        None => return Ok(()),
    };
    Err(Cause::BroughtPlan { field: pointer.to_string(), problem }.into())
}

fn problem_of(container: &Container<'_>, settings: &Settings, is_on_node: bool) -> Option<String> {
    let env = container.env.as_deref().unwrap_or_default();
    if let Some(entry) = env.iter().find(|entry| FOREIGN_VARIABLES.contains(&&*entry.name)) {
        return Some(format!(
            "the variable {} is not one that the webhook gives the sidecar",
            entry.name
        ));
    }
    if container.has_env_from() {
        return Some("envFrom may contain a Plan that the pod does not show".to_owned());
    }
    let mut plans = env.iter().filter(|entry| &*entry.name == PLAN_ENV);
    let text = plan_text(plans.next()?);
    if plans.next().is_some() {
        return Some(format!("the variable {PLAN_ENV} occurs twice"));
    }
    text.and_then(|text| serde_json::from_str(&text).ok()).map_or_else(
        || Some(format!("{PLAN_ENV} is not a plan that the webhook writes")),
        |plan: Value| {
            let serves = !plan["managedIdentity"].is_null();
            let of_endpoint = (is_on_node && serves).then(|| {
                "with spec.hostNetwork its managed-identity endpoint would serve the whole node"
                    .to_owned()
            });
            of_endpoint.or_else(|| Allowed::by(settings).problem_of(&plan))
        },
    )
}

/// The Plan as the sidecar will read it; `None` where Kubernetes would expand a variable in it, or
/// it is longer than any.
fn plan_text(entry: &EnvVar<'_>) -> Option<String> {
    let text = entry.value.as_deref().filter(|text| text.len() < MAX_VARIABLE_BYTES)?;
    // The webhook writes each dollar twice.
    let expands = text.contains('$') && text.replace("$$", "").contains('$');
    (!expands).then(|| text.replace("$$", "$"))
}

/// What the operator allows.
struct Allowed<'s> {
    clouds: Vec<Cloud>,
    settings: &'s Settings,
}

impl<'s> Allowed<'s> {
    fn by(settings: &'s Settings) -> Self {
        Self { clouds: settings.clouds.all(), settings }
    }

    fn problem_of(&self, plan: &Value) -> Option<String> {
        let of_endpoint = list(&plan["managedIdentity"], "identities").iter();
        let mut identities = list(plan, "identities").iter().chain(of_endpoint);
        let of_identities = identities.find_map(|identity| self.problem_of_identity(identity));
        let volumes = list(plan, "volumes").iter();
        let mut files = volumes
            .flat_map(|volume| list(volume, "files").iter().chain(list(volume, "selections")));
        let intercepts = plan["managedIdentity"]["intercept"] == true;
        let of_address = (intercepts && !self.settings.allow_intercept).then(|| {
            "its managed-identity endpoint intercepts 169.254.169.254, which the operator does not \
             allow"
                .to_owned()
        });
        of_identities
            .or(of_address)
            .or_else(|| files.find_map(|file| self.problem_of_vault(text(file, "vault"))))
            .or_else(|| self.problem_of_authorities(plan))
            .or_else(|| problem_of_reaction(plan))
            .or_else(|| self.problem_of_source(plan))
    }

    fn problem_of_identity(&self, identity: &Value) -> Option<String> {
        let credential = &identity["credential"];
        let (authority, endpoint) = (text(credential, "authority"), text(credential, "endpoint"));
        if !self.has_cloud(authority, |cloud| &cloud.authority) {
            return Some(format!(
                "the authority {} is not of a cloud of the operator's",
                shown(authority)
            ));
        }
        if !self.has_cloud(endpoint, |cloud| &cloud.managed_identity_endpoint) {
            return Some(format!(
                "the managed-identity endpoint {} is not the operator's",
                shown(endpoint)
            ));
        }
        let proxy = &credential["tokenProxy"];
        let own = self.settings.token_proxy().map(|own| serde_json::to_value(own).ok());
        if !proxy.is_null() && own.flatten().as_ref() != Some(proxy) {
            let url = shown(text(proxy, "url"));
            return Some(format!("the token proxy {url} is not the operator's, or is changed"));
        }
        let tenant = text(credential, "tenantId");
        if tenant.is_some_and(|tenant| !self.settings.limits.allows_tenant(tenant)) {
            return Some(format!(
                "the tenant {} is not among those that the operator allows",
                shown(tenant)
            ));
        }
        let scope = text(identity, "scope");
        if scope
            .is_some_and(|scope| !self.clouds.iter().any(|cloud| cloud.key_vault_scope() == scope))
        {
            return Some(format!(
                "the scope {} is not Key Vault's in a cloud of the operator's",
                shown(scope)
            ));
        }
        None
    }

    /// Whether a cloud of the operator's has this value, or there is none.
    fn has_cloud(&self, value: Option<&str>, of_cloud: fn(&Cloud) -> &str) -> bool {
        value.is_none_or(|value| self.clouds.iter().any(|cloud| of_cloud(cloud) == value))
    }

    fn problem_of_vault(&self, vault: Option<&str>) -> Option<String> {
        match self.vault_name(vault?) {
            None => Some(format!("the vault {} is not in a cloud of the operator's", shown(vault))),
            Some(name) if !self.settings.limits.allows_vault(&name) => Some(format!(
                "the vault {} is not among those that the operator allows",
                shown(vault)
            )),
            Some(_) => None,
        }
    }

    /// The name of a vault that is in a cloud of the operator's.
    fn vault_name(&self, url: &str) -> Option<String> {
        let url: VaultUrl = url.parse().ok()?;
        let host = url.as_str().strip_prefix("https://")?.trim_end_matches('/');
        let mut clouds = self.clouds.iter();
        let name = clouds
            .find_map(|cloud| host.strip_suffix(&cloud.key_vault_suffix)?.strip_suffix('.'))?;
        (!name.is_empty() && !name.contains('.')).then(|| name.to_owned())
    }

    /// The sidecar shows its token for the webhook to the webhook alone.
    fn problem_of_source(&self, plan: &Value) -> Option<String> {
        let url = &plan["source"]["url"];
        let live = self.settings.live_plans.as_ref();
        let own = live.map(|live| format!("{}{PLAN_PATH}", live.url));
        let is_own = url.as_str().is_some_and(|url| own.as_deref() == Some(url));
        (!url.is_null() && !is_own)
            .then(|| format!("the source {} is not the webhook", shown(url.as_str())))
    }

    /// `trustedCa` holds the authorities of clouds, one after the other.
    fn problem_of_authorities(&self, plan: &Value) -> Option<String> {
        let mut rest = text(plan, "trustedCa").unwrap_or_default().to_owned();
        for ca in self.clouds.iter().filter_map(|cloud| cloud.trusted_ca.as_deref()) {
            rest = rest.replace(ca, "");
        }
        (!rest.trim().is_empty())
            .then(|| "trustedCa holds certificates that are not the operator's".to_owned())
    }
}

/// The sidecar sends a request to nothing but the pod itself.
fn problem_of_reaction(plan: &Value) -> Option<String> {
    let url = &plan["reaction"]["action"]["url"];
    if url.is_null() || url.as_str().is_some_and(is_loopback_url) {
        return None;
    }
    Some(format!("the reaction's url {} is not on the loopback", shown(url.as_str())))
}

fn list<'v>(object: &'v Value, field: &str) -> &'v [Value] {
    object[field].as_array().map_or(&[], Vec::as_slice)
}

fn text<'v>(object: &'v Value, field: &str) -> Option<&'v str> {
    object[field].as_str()
}

fn shown(value: Option<&str>) -> String {
    format!("{:?}", cut(value.unwrap_or_default()))
}

#[cfg(test)]
#[path = "brought_plan_tests.rs"]
mod tests;
