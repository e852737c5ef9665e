//! The managed-identity endpoint that the sidecar serves inside its pod.

use crate::check::check_credential;
use crate::{Credential, Identity, Plan, PlanError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::net::Ipv4Addr;

/// Path of the App Service protocol below `http://127.0.0.1:PORT`.
pub const ENDPOINT_PATH: &str = "/msi/token";
/// Most identities of one pod. A ServiceAccount has one, and few pods need more than a handful.
pub const MOST_ENDPOINT_IDENTITIES: usize = 32;
/// Address of Azure's instance metadata service. It has no IPv6 address.
pub const IMDS_ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
/// Its port.
pub const IMDS_PORT: u16 = 80;
/// The sidecar has no right to bind a port below.
pub const LOWEST_ENDPOINT_PORT: u16 = 1024;

/// Gives the pod's containers access tokens by the protocols of App Service and of IMDS.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ManagedIdentityEndpoint {
    /// Port on the loopback.
    pub port: u16,
    /// Value of `X-IDENTITY-HEADER` in requests of the App Service protocol. The containers have it
    /// in `IDENTITY_HEADER`.
    pub header: String,
    /// Whose tokens it gives.
    pub identities: Vec<EndpointIdentity>,
    /// Whether it also listens on [`IMDS_ADDRESS`], which an init container has added to the pod's
    /// loopback interface.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub intercept: bool,
}

/// An identity, and by which names applications ask for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EndpointIdentity {
    /// How its tokens are obtained; its client id is one of its names.
    pub credential: Credential,
    /// Whether a request that names no identity gets it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub default: bool,
    /// Its object ids (`object_id`, `principal_id`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub object_ids: Vec<String>,
    /// Its resource ids (`mi_res_id`, `msi_res_id`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resource_ids: Vec<String>,
}

/// Without the header.
impl fmt::Debug for ManagedIdentityEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManagedIdentityEndpoint")
            .field("port", &self.port)
            .field("identities", &self.identities)
            .field("intercept", &self.intercept)
            .finish_non_exhaustive()
    }
}

impl EndpointIdentity {
    /// The client id; `None` where the credential is not a federated one.
    pub fn client_id(&self) -> Option<&str> {
        let Credential::Federated { client_id, .. } = &self.credential else { return None };
        Some(client_id)
    }
}

impl ManagedIdentityEndpoint {
    fn problem(&self) -> Option<String> {
        let Self { port, header, identities, intercept: _ } = self;
        if *port < LOWEST_ENDPOINT_PORT {
            return Some(format!("port {port} is below {LOWEST_ENDPOINT_PORT}"));
        }
        if header.len() < 16 || !header.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Some("header is not 16 or more letters and digits".to_owned());
        }
        if identities.is_empty() || identities.len() > MOST_ENDPOINT_IDENTITIES {
            return Some(format!("identities must be 1 to {MOST_ENDPOINT_IDENTITIES}"));
        }
        if identities.iter().filter(|identity| identity.default).count() > 1 {
            return Some("identities has two defaults".to_owned());
        }
        let mut names = BTreeSet::new();
        for identity in identities {
            let Some(client_id) = identity.client_id() else {
                return Some("a credential of identities is not federated".to_owned());
            };
            let others = identity.object_ids.iter().chain(&identity.resource_ids);
            for name in std::iter::once(client_id).chain(others.map(String::as_str)) {
                if name.is_empty() || !names.insert(name.to_ascii_lowercase()) {
                    return Some(format!("identities has the id {name:?} twice, or it is empty"));
                }
            }
        }
        None
    }
}

impl Plan {
    /// The endpoint can be served, and each id belongs to one identity.
    pub(crate) fn check_managed_identity(&self) -> Result<(), PlanError> {
        let Some(endpoint) = &self.managed_identity else { return Ok(()) };
        let asks_itself = endpoint.intercept && self.identities.iter().any(is_of_node);
        let asks_itself = asks_itself.then(|| {
            "intercept is true, and an identity of the Plan is the node's managed identity, which \
             only the intercepted address gives"
                .to_owned()
        });
        if let Some(problem) = endpoint.problem().or(asks_itself) {
            return Err(PlanError::ManagedIdentity { problem });
        }
        endpoint.identities.iter().try_for_each(|identity| check_credential(&identity.credential))
    }

    /// The port for metrics can be bound beside the endpoint's.
    pub(crate) fn check_metrics_port(&self) -> Result<(), PlanError> {
        let of_endpoint = self.managed_identity.as_ref().map(|endpoint| endpoint.port);
        let problem = match self.metrics_port {
            Some(port) if port < LOWEST_ENDPOINT_PORT => "the port is below 1024",
            Some(port) if Some(port) == of_endpoint => "the managed-identity endpoint has the port",
            _ => return Ok(()),
        };
        Err(PlanError::MetricsPort { problem })
    }
}

/// Whether an identity comes from the node's metadata service.
fn is_of_node(identity: &Identity) -> bool {
    matches!(identity.credential, Credential::ManagedIdentity { .. })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn plan(endpoint: &Value) -> Result<Plan, String> {
        let plan = json!({"schema": 1, "identities": [], "volumes": [],
            "managedIdentity": endpoint});
        Plan::from_json(&plan.to_string()).map_err(|error| error.to_string())
    }

    fn identity(client_id: &str) -> Value {
        json!({"credential": {"kind": "federated", "clientId": client_id, "tenantId": "t",
            "tokenFile": "/t", "authority": "https://login.microsoftonline.com/"}})
    }

    fn endpoint() -> Value {
        json!({"port": 8000, "header": "a-header".replace('-', "0").repeat(4),
            "identities": [identity("one"), identity("two")]})
    }

    #[test]
    fn an_endpoint_that_cannot_be_served_is_refused() {
        plan(&endpoint()).unwrap();
        let imds = json!({"credential": {"kind": "managedIdentity", "endpoint": "http://x/"}});
        for (pointer, value, expected) in [
            ("/port", json!(80), "port 80 is below 1024"),
            ("/header", json!("short"), "header is not 16 or more"),
            ("/header", json!("a b".repeat(10)), "header is not 16 or more"),
            ("/identities", json!([]), "identities must be 1 to 32"),
            ("/identities/0", imds, "is not federated"),
            ("/identities/1", identity("ONE"), "the id \"ONE\" twice"),
            ("/identities/1/objectIds", json!(["one"]), "the id \"one\" twice"),
            ("/identities/1/colour", json!(1), "unknown field"),
        ] {
            let mut bad = endpoint();
            let (parent, field) = pointer.rsplit_once('/').unwrap();
            match bad.pointer_mut(parent).unwrap() {
                Value::Array(list) => list[field.parse::<usize>().unwrap()] = value,
                object => object[field] = value,
            }
            let error = plan(&bad).unwrap_err();
            assert!(error.contains(expected), "{pointer}: {error}");
        }
        let mut two = endpoint();
        (two["identities"][0]["default"], two["identities"][1]["default"]) =
            (true.into(), true.into());
        assert!(plan(&two).unwrap_err().contains("two defaults"));
    }

    #[test]
    fn an_endpoint_that_intercepts_stands_beside_no_identity_of_the_node() {
        let imds = json!([{"name": "node", "scope": "https://vault.azure.net/.default",
            "credential": {"kind": "managedIdentity", "endpoint": "http://169.254.169.254/"}}]);
        for (intercept, identities, is_valid) in [
            (json!(true), json!([]), true),
            (json!(false), imds.clone(), true),
            (json!(true), imds, false),
        ] {
            let mut endpoint = endpoint();
            endpoint["intercept"] = intercept;
            let plan = json!({"schema": 1, "identities": identities, "volumes": [],
                "managedIdentity": endpoint});
            let read = Plan::from_json(&plan.to_string()).map_err(|error| error.to_string());
            assert_eq!(read.is_ok(), is_valid, "{read:?}");
            let says_why = read.err().is_none_or(|error| error.contains("intercept is true"));
            assert!(says_why, "{plan}");
        }
    }

    #[test]
    fn a_metrics_port_that_cannot_be_bound_is_refused() {
        for (port, expected) in [
            (json!(9102), None),
            (json!(80), Some("metricsPort: the port is below 1024")),
            (json!(8000), Some("metricsPort: the managed-identity endpoint has the port")),
            (json!(65536), Some("65536")),
        ] {
            let plan = json!({"schema": 1, "identities": [], "volumes": [],
                "managedIdentity": endpoint(), "metricsPort": port});
            let error = Plan::from_json(&plan.to_string()).err().map(|error| error.to_string());
            match expected {
                None => assert_eq!(error, None),
                Some(expected) => assert!(error.unwrap().contains(expected), "{port}"),
            }
        }
    }

    #[test]
    fn the_header_is_not_printed() {
        let plan = plan(&endpoint()).unwrap();
        assert!(!format!("{plan:?}").contains("a0header"));
    }
}
