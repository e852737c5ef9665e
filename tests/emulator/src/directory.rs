//! Tenants, applications and the issuers they trust.

use std::collections::{BTreeMap, BTreeSet};

use jsonwebtoken::jwk::JwkSet;
use serde_json::json;

use crate::random;
use crate::seed::{AppKind, AppSeed, FederatedCredentialSeed, IssuerSeed, SecretValue};
use crate::signing::{ClientCertificate, SigningKey};
use crate::vault::SeedError;

/// Audience of federated credentials that name none.
pub(crate) const TOKEN_EXCHANGE_AUDIENCE: &str = "api://AzureADTokenExchange";

/// All of Entra that is not protocol. Names compare as Entra does: tenants and client ids without
/// case.
#[derive(Default)]
pub(crate) struct Directory {
    tenants: BTreeSet<String>,
    apps: BTreeMap<String, App>,
    issuers: BTreeMap<String, JwkSet>,
}

/// One identity.
#[derive(Debug, Clone)]
pub(crate) struct App {
    pub(crate) client_id: String,
    pub(crate) tenant_id: String,
    pub(crate) object_id: String,
    pub(crate) kind: AppKind,
    pub(crate) resource_id: Option<String>,
    pub(crate) client_secret: Option<SecretValue>,
    pub(crate) client_certificates: Vec<ClientCertificate>,
    pub(crate) federated_credentials: Vec<FederatedCredential>,
}

/// One trust, with its defaults filled in.
#[derive(Debug, Clone)]
pub(crate) struct FederatedCredential {
    pub(crate) issuer: String,
    pub(crate) subject: String,
    pub(crate) audience: String,
}

impl Directory {
    pub(crate) fn add_tenant(&mut self, tenant: &str) {
        self.tenants.insert(tenant.to_ascii_lowercase());
    }

    pub(crate) fn has_tenant(&self, tenant: &str) -> bool {
        self.tenants.contains(&tenant.to_ascii_lowercase())
    }

    pub(crate) fn add_issuer(&mut self, seed: IssuerSeed) {
        self.issuers.insert(seed.issuer, seed.jwks);
    }

    /// The published keys of an issuer.
    pub(crate) fn issuer_keys(&self, issuer: &str) -> Option<&JwkSet> {
        self.issuers.get(issuer)
    }

    /// Adds or replaces an application.
    pub(crate) fn add_app(&mut self, app: App) {
        self.add_tenant(&app.tenant_id);
        self.apps.insert(app.client_id.to_ascii_lowercase(), app);
    }

    /// The application `client_id` of `tenant`.
    pub(crate) fn app(&self, tenant: &str, client_id: &str) -> Option<&App> {
        self.apps
            .get(&client_id.to_ascii_lowercase())
            .filter(|app| app.tenant_id.eq_ignore_ascii_case(tenant))
    }

    pub(crate) fn managed_identities(&self) -> impl Iterator<Item = &App> {
        self.apps.values().filter(|app| app.kind == AppKind::ManagedIdentity)
    }
}

impl App {
    /// Fills in defaults; credentials without an issuer trust `default_issuer`.
    pub(crate) fn new(seed: AppSeed, default_issuer: &str) -> Result<Self, SeedError> {
        let client_certificates =
            seed.client_certificates.iter().map(|pem| ClientCertificate::parse(pem)).collect();
        let Some(client_certificates) = client_certificates else {
            return Err(SeedError::ClientCertificate { client_id: seed.client_id });
        };
        let credential = |credential: FederatedCredentialSeed| FederatedCredential {
            issuer: credential.issuer.unwrap_or_else(|| default_issuer.to_owned()),
            subject: credential.subject,
            audience: credential.audience.unwrap_or_else(|| TOKEN_EXCHANGE_AUDIENCE.to_owned()),
        };
        Ok(Self {
            client_id: seed.client_id,
            tenant_id: seed.tenant_id,
            object_id: seed.object_id.unwrap_or_else(random::guid),
            kind: seed.kind,
            resource_id: seed.resource_id,
            client_secret: seed.client_secret,
            client_certificates,
            federated_credentials: seed.federated_credentials.into_iter().map(credential).collect(),
        })
    }

    /// Lifetime of this identity's access tokens in seconds, unless the emulator was told another.
    pub(crate) fn token_lifetime_seconds(&self) -> i64 {
        match self.kind {
            AppKind::Application => 3599,
            AppKind::ManagedIdentity => 86399,
        }
    }

    /// A signed access token for `resource`, valid from `now` on.
    pub(crate) fn access_token(
        &self,
        resource: &str,
        now: i64,
        lifetime_seconds: i64,
        key: &SigningKey,
    ) -> String {
        key.sign(&json!({
            "aud": resource,
            "iss": token_issuer(&self.tenant_id),
            "iat": now,
            "nbf": now,
            "exp": now + lifetime_seconds,
            "appid": self.client_id,
            "appidacr": "2",
            "idp": token_issuer(&self.tenant_id),
            "idtyp": "app",
            "oid": self.object_id,
            "sub": self.object_id,
            "tid": self.tenant_id,
            "uti": random::hex(11),
            "ver": "1.0",
        }))
    }
}

/// Issuer of a tenant's version 1.0 access tokens.
pub(crate) fn token_issuer(tenant: &str) -> String {
    format!("https://sts.windows.net/{tenant}/")
}
