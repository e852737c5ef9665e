//! Where a call leads: host and path, parsed.

use http::Method;
use serde::{Deserialize, Serialize};

use crate::call::Call;

/// What a call asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route<'a> {
    Token {
        tenant: &'a str,
    },
    /// A token request by way of the token proxy.
    TokenProxy {
        tenant: &'a str,
    },
    TenantDiscovery {
        tenant: &'a str,
    },
    TenantKeys,
    InstanceDiscovery,
    IssuerDiscovery,
    IssuerKeys,
    Vault {
        vault: &'a str,
        domain: Domain,
        operation: Operation<'a>,
    },
    Imds,
    /// The token service of GitHub Actions.
    GithubToken,
    /// The token service of Azure Pipelines.
    AzurePipelinesToken,
    /// PATCH of a Kubernetes Secret.
    SecretPatch {
        namespace: &'a str,
        name: &'a str,
    },
    /// POST of an eviction.
    Eviction {
        namespace: &'a str,
        name: &'a str,
    },
    /// PATCH of a Deployment, StatefulSet or DaemonSet.
    WorkloadPatch {
        namespace: &'a str,
        resource: &'a str,
        name: &'a str,
    },
    Control,
    Nowhere,
}

impl<'a> Route<'a> {
    /// Where a call leads, by its host and path.
    pub(crate) fn of(call: &'a Call) -> Self {
        let host = call.host();
        let segments = call.segments();
        if call.is_for_token_proxy() {
            // The API server hands on what comes under this TLS server name, below any path.
            return match *segments {
                [.., tenant, "oauth2", "v2.0", "token"] => Self::TokenProxy { tenant },
                _ => Self::Nowhere,
            };
        }
        match host {
            "login.localhost" | "login.microsoftonline.com" => Self::entra(&segments),
            "oidc.localhost" => Self::issuer(&segments),
            _ => match Domain::of(host) {
                Some((vault, domain)) => Self::Vault {
                    vault,
                    domain,
                    operation: Operation::parse(&call.method, &segments),
                },
                None => Self::local(&call.method, &segments),
            },
        }
    }

    fn entra(segments: &[&'a str]) -> Self {
        match *segments {
            [tenant, "oauth2", "v2.0", "token"] => Self::Token { tenant },
            [tenant, "v2.0", ".well-known", "openid-configuration"] => {
                Self::TenantDiscovery { tenant }
            }
            [_, "discovery", "v2.0", "keys"] => Self::TenantKeys,
            ["common", "discovery", "instance"] => Self::InstanceDiscovery,
            _ => Self::Nowhere,
        }
    }

    fn issuer(segments: &[&'a str]) -> Self {
        match *segments {
            [".well-known", "openid-configuration"] => Self::IssuerDiscovery,
            ["openid", "v1", "jwks"] => Self::IssuerKeys,
            _ => Self::Nowhere,
        }
    }

    fn local(method: &Method, segments: &[&'a str]) -> Self {
        match *segments {
            ["control", ..] => Self::Control,
            ["pipelines", "github", "token"] => Self::GithubToken,
            ["pipelines", "azure", "oidctoken"] => Self::AzurePipelinesToken,
            [first, "identity", "oauth2", "token"] if first.eq_ignore_ascii_case("metadata") => {
                Self::Imds
            }
            ["api", "v1", "namespaces", namespace, "secrets", name] if *method == Method::PATCH => {
                Self::SecretPatch { namespace, name }
            }
            ["api", "v1", "namespaces", namespace, "pods", name, "eviction"]
                if *method == Method::POST =>
            {
                Self::Eviction { namespace, name }
            }
            ["apis", "apps", "v1", "namespaces", namespace, resource, name]
                if *method == Method::PATCH =>
            {
                Self::WorkloadPatch { namespace, resource, name }
            }
            _ => Self::Nowhere,
        }
    }

    /// How the call is counted.
    pub(crate) fn kind(&self) -> CallKind {
        match self {
            Self::Token { .. } | Self::TokenProxy { .. } => CallKind::Token,
            Self::TenantDiscovery { .. }
            | Self::TenantKeys
            | Self::InstanceDiscovery
            | Self::IssuerDiscovery
            | Self::IssuerKeys => CallKind::Discovery,
            Self::Imds => CallKind::Imds,
            Self::GithubToken | Self::AzurePipelinesToken => CallKind::PipelineToken,
            Self::SecretPatch { .. } => CallKind::SecretPatch,
            Self::Eviction { .. } => CallKind::Eviction,
            Self::WorkloadPatch { .. } => CallKind::WorkloadPatch,
            Self::Vault { operation, .. } => match operation {
                Operation::Get { collection: Collection::Secrets, .. } => CallKind::SecretGet,
                Operation::Get { collection: Collection::Keys, .. } => CallKind::KeyGet,
                Operation::Get { collection: Collection::Certificates, .. } => {
                    CallKind::CertificateGet
                }
                Operation::List { .. } | Operation::Versions { .. } => CallKind::List,
                Operation::SetSecret { .. } => CallKind::SecretSet,
                Operation::Unknown => CallKind::Other,
            },
            Self::Control => CallKind::Control,
            Self::Nowhere => CallKind::Other,
        }
    }

    /// Name of the Key Vault object asked for.
    pub(crate) fn object(&self) -> Option<&'a str> {
        match *self {
            Self::Vault {
                operation:
                    Operation::Get { name, .. }
                    | Operation::Versions { name, .. }
                    | Operation::SetSecret { name },
                ..
            }
            | Self::SecretPatch { name, .. } => Some(name),
            _ => None,
        }
    }
}

/// A kind of call, as counted, logged and chosen for a [`Fault`](crate::Fault).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CallKind {
    /// Entra's token endpoint.
    Token,
    /// IMDS' token endpoint.
    Imds,
    /// The token of a job of a pipeline.
    PipelineToken,
    /// Discovery document or keys, of the tenant or of the issuer.
    Discovery,
    /// One secret, newest or a version.
    SecretGet,
    /// A new version of a secret.
    SecretSet,
    /// One key.
    KeyGet,
    /// One certificate.
    CertificateGet,
    /// A page of objects or of versions.
    List,
    /// PATCH of a Kubernetes Secret.
    SecretPatch,
    /// POST of an eviction of a pod.
    Eviction,
    /// PATCH of a workload.
    WorkloadPatch,
    /// Something the emulator does not know.
    Other,
    /// The control interface; never counted, logged, delayed or failed.
    Control,
}

/// The DNS domain under which a vault was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Domain {
    AzureNet,
    Localhost,
}

impl Domain {
    fn of(host: &str) -> Option<(&str, Self)> {
        let (vault, domain) = host.split_once('.')?;
        match domain {
            "vault.azure.net" => Some((vault, Self::AzureNet)),
            "vault.localhost" => Some((vault, Self::Localhost)),
            _ => None,
        }
    }

    /// Audience of the tokens this domain takes.
    pub(crate) fn resource(self) -> &'static str {
        match self {
            Self::AzureNet => "https://vault.azure.net",
            Self::Localhost => "https://vault.localhost",
        }
    }
}

/// A kind of Key Vault object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Collection {
    Secrets,
    Keys,
    Certificates,
}

impl Collection {
    fn parse(segment: &str) -> Option<Self> {
        [Self::Secrets, Self::Keys, Self::Certificates]
            .into_iter()
            .find(|one| one.path().eq_ignore_ascii_case(segment))
    }

    /// First path segment, `secrets`.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Secrets => "secrets",
            Self::Keys => "keys",
            Self::Certificates => "certificates",
        }
    }
}

/// What is asked of a vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation<'a> {
    Get { collection: Collection, name: &'a str, version: Option<&'a str> },
    List { collection: Collection },
    Versions { collection: Collection, name: &'a str },
    SetSecret { name: &'a str },
    Unknown,
}

impl<'a> Operation<'a> {
    fn parse(method: &Method, segments: &[&'a str]) -> Self {
        let Some(collection) = segments.first().and_then(|first| Collection::parse(first)) else {
            return Self::Unknown;
        };
        match (method, &segments[1..]) {
            (&Method::GET, []) => Self::List { collection },
            (&Method::GET, [name]) => Self::Get { collection, name, version: None },
            (&Method::GET, [name, last]) if last.eq_ignore_ascii_case("versions") => {
                Self::Versions { collection, name }
            }
            (&Method::GET, [name, version]) => {
                Self::Get { collection, name, version: Some(version) }
            }
            (&Method::PUT, [name]) if collection == Collection::Secrets => Self::SetSecret { name },
            _ => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn call(method: &str, uri: &str, host: &str) -> Call {
        let request =
            http::Request::builder().method(method).uri(uri).header("host", host).body(()).unwrap();
        Call::new(request.into_parts().0, Bytes::new())
    }

    #[test]
    fn paths_take_extra_slashes_and_any_port() {
        for path in
            ["/secrets/db", "/secrets/db/", "//secrets/db", "/secrets/db/?api%2Dversion=7.4"]
        {
            let call = call("GET", path, "Shop.vault.azure.net:8443");
            let get = Operation::Get { collection: Collection::Secrets, name: "db", version: None };
            assert_eq!(
                Route::of(&call),
                Route::Vault { vault: "shop", domain: Domain::AzureNet, operation: get },
                "{path}"
            );
        }
    }

    #[test]
    fn query_keys_are_decoded() {
        assert_eq!(
            call("GET", "/secrets?api%2Dversion=2025-07-01", "v").parameter("api-version"),
            Some("2025-07-01")
        );
    }

    #[test]
    fn calls_are_classified_by_host_and_path() {
        for (method, uri, host, expected) in [
            ("POST", "/t/oauth2/v2.0/token", "login.localhost:1", CallKind::Token),
            (
                "GET",
                "/t/v2.0/.well-known/openid-configuration",
                "login.microsoftonline.com",
                CallKind::Discovery,
            ),
            ("GET", "/.well-known/openid-configuration", "oidc.localhost", CallKind::Discovery),
            ("GET", "/secrets", "v.vault.localhost", CallKind::List),
            ("GET", "/secrets/a/versions", "v.vault.localhost", CallKind::List),
            ("GET", "/keys/a/0123", "v.vault.localhost", CallKind::KeyGet),
            ("GET", "/certificates/a", "v.vault.localhost", CallKind::CertificateGet),
            ("PUT", "/secrets/a", "v.vault.localhost", CallKind::SecretSet),
            ("DELETE", "/secrets/a", "v.vault.localhost", CallKind::Other),
            ("GET", "/METADATA/identity/oauth2/token/?resource=x", "127.0.0.1:80", CallKind::Imds),
            ("GET", "/control/counts", "localhost", CallKind::Control),
            ("GET", "/control/counts", "v.vault.localhost", CallKind::Other),
        ] {
            assert_eq!(
                Route::of(&call(method, uri, host)).kind(),
                expected,
                "{method} {host}{uri}"
            );
        }
    }
}
