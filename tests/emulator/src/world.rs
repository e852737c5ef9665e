//! Everything the emulator knows, behind one lock.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::diagnostics::Diagnostics;
use crate::directory::{App, Directory};
use crate::fault::Faults;
use crate::journal::Journal;
use crate::kubernetes::Kubernetes;
use crate::seed::{IssuerSeed, Seed};
use crate::signing::SigningKeys;
use crate::vault::{ListShape, SeedError, Vault};

/// Where the emulator answers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) https: u16,
    pub(crate) http: u16,
}

impl Ports {
    /// The emulator's own issuer, without a trailing slash.
    pub(crate) fn issuer(self) -> String {
        format!("https://oidc.localhost:{}", self.https)
    }
}

/// The state. Answers are functions of it, the call and the time.
pub(crate) struct World {
    pub(crate) ports: Ports,
    pub(crate) ca_pem: String,
    pub(crate) keys: SigningKeys,
    pub(crate) directory: Directory,
    pub(crate) vaults: BTreeMap<String, Vault>,
    pub(crate) faults: Faults,
    pub(crate) journal: Journal,
    pub(crate) diagnostics: Diagnostics,
    /// Round-trip time of every call.
    pub(crate) delay: Duration,
    /// How lists are cut.
    pub(crate) lists: ListShape,
    /// Lifetime of access tokens, instead of the identity's own.
    pub(crate) token_lifetime: Option<Duration>,
    /// Secrets of the cluster.
    pub(crate) kubernetes: Kubernetes,
}

impl World {
    pub(crate) fn new(ports: Ports, ca_pem: String, keys: SigningKeys) -> Self {
        let mut directory = Directory::default();
        directory.add_issuer(IssuerSeed { issuer: ports.issuer(), jwks: keys.issuer.jwks() });
        Self {
            ports,
            ca_pem,
            keys,
            directory,
            vaults: BTreeMap::new(),
            faults: Faults::default(),
            journal: Journal::default(),
            diagnostics: Diagnostics::default(),
            delay: Duration::ZERO,
            lists: ListShape::default(),
            token_lifetime: None,
            kubernetes: Kubernetes::default(),
        }
    }

    /// Adds what `seed` holds; nothing if a part of it is wrong.
    pub(crate) fn seed(&mut self, seed: Seed, now: i64) -> Result<(), SeedError> {
        let default_issuer = self.ports.issuer();
        let apps: Vec<App> = seed
            .apps
            .into_iter()
            .map(|app| App::new(app, &default_issuer))
            .collect::<Result<_, _>>()?;
        let mut vaults = self.vaults.clone();
        for vault in seed.vaults {
            vaults.entry(vault.name.to_ascii_lowercase()).or_default().seed(vault, now)?;
        }
        self.vaults = vaults;
        for vault in self.vaults.values() {
            self.directory.add_tenant(&vault.tenant_id);
        }
        for tenant in &seed.tenants {
            self.directory.add_tenant(tenant);
        }
        for issuer in seed.issuers {
            self.directory.add_issuer(issuer);
        }
        for app in apps {
            self.directory.add_app(app);
        }
        Ok(())
    }

    /// The vault `name`, in any case.
    pub(crate) fn vault(&self, name: &str) -> Option<&Vault> {
        self.vaults.get(&name.to_ascii_lowercase())
    }

    /// The vault `name`, in any case, for a change.
    pub(crate) fn vault_mut(&mut self, name: &str) -> Option<&mut Vault> {
        self.vaults.get_mut(&name.to_ascii_lowercase())
    }

    /// Lifetime of the next access token of `app`.
    pub(crate) fn token_lifetime_seconds(&self, app: &App) -> i64 {
        self.token_lifetime.map_or_else(
            || app.token_lifetime_seconds(),
            |lifetime| i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX / 2),
        )
    }
}
