//! The running emulator.

use crate::fault::Fault;
use crate::issuer::TokenClaims;
use crate::journal::{Counts, RequestRecord};
use crate::kubernetes::Stored;
use crate::seed::{CertificateSeed, KeySeed, RoleSeed, SecretSeed, SecretValue, Seed};
use crate::server::{Shared, accept};
use crate::signing::{SigningError, SigningKeys};
use crate::tls::{Tls, TlsError};
use crate::vault::{ListShape, SeedError, Vault};
use crate::world::{Ports, World};
use crate::{cloud, cluster::Cluster, moment};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// Where to listen and what to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// Entra, vaults and issuer. Port 0 picks a free one.
    pub https_addr: SocketAddr,
    /// IMDS and control.
    pub http_addr: SocketAddr,
    /// What exists at start.
    pub seed: Seed,
}

impl Default for Config {
    fn default() -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self { https_addr: any, http_addr: any, seed: Seed::default() }
    }
}

/// A running emulator; it stops when dropped.
pub struct Emulator {
    pub(crate) shared: Shared,
    ports: Ports,
    ca_pem: String,
    stop: watch::Sender<()>,
    listeners: Vec<JoinHandle<()>>,
}

impl Emulator {
    /// Listens, and serves in background tasks of the current Tokio runtime.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let https = listen(config.https_addr).await?;
        let http = listen(config.http_addr).await?;
        let ports =
            Ports { https: port(&https, config.https_addr)?, http: port(&http, config.http_addr)? };
        let tls = Tls::generate()?;
        let mut world = World::new(ports, tls.ca_pem.clone(), SigningKeys::shared()?);
        world.seed(config.seed, moment::now())?;
        let shared = Shared::new(world);
        let (stop, stopped) = watch::channel(());
        let acceptor = TlsAcceptor::from(tls.server);
        let listeners = vec![
            tokio::spawn(accept(https, Some(acceptor), shared.clone(), stopped.clone())),
            tokio::spawn(accept(http, None, shared.clone(), stopped)),
        ];
        Ok(Self { shared, ports, ca_pem: tls.ca_pem, stop, listeners })
    }

    /// Stops and waits until both ports are free. Open connections are closed.
    pub async fn shutdown(self) {
        drop(self.stop);
        for listener in self.listeners {
            // A listener ends by itself; nothing to do if its runtime has gone.
            let _ = listener.await;
        }
    }

    /// Port of Entra, vaults and issuer.
    pub fn https_port(&self) -> u16 {
        self.ports.https
    }

    /// Port of IMDS and control.
    pub fn http_port(&self) -> u16 {
        self.ports.http
    }

    /// The authority that signed the serving certificate, PEM.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The cluster's issuer, `https://oidc.localhost:PORT`.
    pub fn issuer(&self) -> String {
        self.ports.issuer()
    }

    /// Entra, `https://login.localhost:PORT/`.
    pub fn authority(&self) -> String {
        cloud::authority(self.ports)
    }

    /// The vault `name`, `https://NAME.vault.localhost:PORT/`.
    pub fn vault_url(&self, name: &str) -> String {
        cloud::vault(self.ports, name)
    }

    /// IMDS, `http://127.0.0.1:PORT/`.
    pub fn imds_url(&self) -> String {
        cloud::imds(self.ports)
    }

    /// The definition of this cloud, for `--cloud`.
    pub fn cloud_json(&self) -> String {
        cloud::definition(self.ports, &self.ca_pem)
    }

    /// A ServiceAccount token, as the kubelet would project it.
    pub fn mint_token(
        &self,
        namespace: &str,
        service_account: &str,
        audience: &str,
        lifetime: Duration,
    ) -> String {
        self.mint(
            TokenClaims::new(namespace, service_account).audience(audience).lifetime(lifetime),
        )
    }

    /// The JSON Web Key Set of the cluster whose tokens it mints.
    pub fn jwks(&self) -> String {
        serde_json::to_string(&self.shared.lock().keys.issuer.jwks()).unwrap_or_default()
    }

    /// A token with these claims, good or bad.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a caller builds the claims for this one call"
    )]
    pub fn mint(&self, claims: TokenClaims) -> String {
        let keys = self.shared.lock().keys.clone();
        claims.sign(&self.ports.issuer(), &keys)
    }

    /// Adds to what is there.
    pub fn seed(&self, seed: Seed) -> Result<(), SeedError> {
        self.shared.lock().seed(seed, moment::now())
    }

    /// Adds a version of a secret; gives its id.
    ///
    /// # Panics
    /// If the vault does not exist or the name is not one: both are mistakes of the test that
    /// calls.
    pub fn set_secret(&self, vault: &str, name: &str, value: impl Into<SecretValue>) -> String {
        self.put_secret(vault, name, SecretSeed::new(value))
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// Adds versions of a secret with content type, tags and attributes; gives the id of the
    /// newest.
    pub fn put_secret(
        &self,
        vault: &str,
        name: &str,
        seed: SecretSeed,
    ) -> Result<String, SeedError> {
        self.in_vault(vault, |vault, now| vault.set_secret(name, seed, now))?
    }

    /// Adds a version of a key; gives its id.
    pub fn set_key(&self, vault: &str, name: &str, seed: &KeySeed) -> Result<String, SeedError> {
        self.in_vault(vault, |vault, now| vault.set_key(name, seed, now))?
    }

    /// Adds a version of a certificate, its secret and its key; gives their id.
    pub fn set_certificate(
        &self,
        vault: &str,
        name: &str,
        seed: CertificateSeed,
    ) -> Result<String, SeedError> {
        self.in_vault(vault, |vault, now| vault.set_certificate(name, seed, now))?
    }

    /// Enables or disables a version, the newest if none is named, of the objects of this name;
    /// `false` if there is none.
    pub fn set_enabled(
        &self,
        vault: &str,
        name: &str,
        version: Option<&str>,
        enabled: bool,
    ) -> bool {
        self.in_vault(vault, |vault, now| vault.set_enabled(name, version, enabled, now))
            .unwrap_or(false)
    }

    /// Disables the newest version of the objects of this name; `false` if there is none.
    pub fn disable(&self, vault: &str, name: &str) -> bool {
        self.set_enabled(vault, name, None, false)
    }

    /// Replaces the tags of the newest version of a secret; `false` if there is none.
    pub fn set_tags(&self, vault: &str, name: &str, tags: BTreeMap<String, String>) -> bool {
        self.in_vault(vault, |vault, now| vault.set_tags(name, tags, now)).unwrap_or(false)
    }

    /// Deletes the objects of this name; `false` if there is none.
    pub fn delete(&self, vault: &str, name: &str) -> bool {
        self.in_vault(vault, |vault, _| vault.delete(name)).unwrap_or(false)
    }

    /// Adds a role assignment.
    pub fn grant(&self, vault: &str, role: RoleSeed) -> Result<(), SeedError> {
        self.in_vault(vault, |vault, _| vault.add_role(role))
    }

    /// Takes every role of a vault from an identity.
    pub fn revoke(&self, vault: &str, client_id: &str) -> Result<(), SeedError> {
        self.in_vault(vault, |vault, _| vault.revoke(client_id))
    }

    /// What was asked since the start or the last reset.
    pub fn counts(&self) -> Counts {
        self.shared.lock().journal.counts()
    }

    /// Forgets counts and log.
    pub fn reset_counts(&self) {
        self.shared.lock().journal.reset();
    }

    /// The newest requests, oldest first.
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.shared.lock().journal.requests()
    }

    /// Lets calls fail.
    pub fn inject(&self, fault: Fault) {
        self.shared.lock().faults.inject(fault);
    }

    /// Ends every fault.
    pub fn clear_faults(&self) {
        self.shared.lock().faults.clear();
    }

    /// Round-trip time of every call.
    pub fn set_delay(&self, delay: Duration) {
        self.shared.lock().delay = delay;
    }

    /// How lists are cut from now on.
    pub fn set_lists(&self, shape: ListShape) {
        self.shared.lock().lists = shape;
    }

    /// Lifetime of access tokens issued from now on; `None` for an hour or a day by the kind of
    /// identity.
    pub fn set_token_lifetime(&self, lifetime: Option<Duration>) {
        self.shared.lock().token_lifetime = lifetime;
    }

    /// A Kubernetes Secret.
    pub fn secret(&self, namespace: &str, name: &str) -> Option<Stored> {
        let key = (namespace.to_owned(), name.to_owned());
        self.shared.lock().kubernetes.secrets.get(&key).cloned()
    }

    /// Writes a Kubernetes Secret as another program does, with this field manager.
    pub fn put_kubernetes_secret(
        &self,
        namespace: &str,
        name: &str,
        manager: &str,
        object: &serde_json::Value,
    ) {
        self.shared.lock().kubernetes.put(namespace, name, manager, object);
    }

    /// Deletes a Kubernetes Secret.
    pub fn delete_kubernetes_secret(&self, namespace: &str, name: &str) {
        let key = (namespace.to_owned(), name.to_owned());
        self.shared.lock().kubernetes.secrets.remove(&key);
    }

    /// Lets only Secrets of these names be written; `None` for all.
    pub fn allow_secrets(&self, names: Option<&[&str]>) {
        let names = names.map(|names| names.iter().map(|&name| name.to_owned()).collect());
        self.shared.lock().kubernetes.writable = names;
    }

    /// How many patches changed a Kubernetes Secret.
    pub fn secret_writes(&self) -> u64 {
        self.shared.lock().kubernetes.writes
    }

    /// Changes pods and workloads of the cluster, or looks at them.
    pub fn cluster(&self) -> Cluster<'_> {
        Cluster(&self.shared)
    }

    fn in_vault<T>(
        &self,
        name: &str,
        change: impl FnOnce(&mut Vault, i64) -> T,
    ) -> Result<T, SeedError> {
        let mut world = self.shared.lock();
        let vault = world.vault_mut(name).ok_or_else(|| SeedError::NoVault(name.to_owned()))?;
        Ok(change(vault, moment::now()))
    }
}

impl std::fmt::Debug for Emulator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Emulator").field("ports", &self.ports).finish_non_exhaustive()
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| StartError::Listen { address, source })
}

fn port(listener: &TcpListener, address: SocketAddr) -> Result<u16, StartError> {
    Ok(listener.local_addr().map_err(|source| StartError::Listen { address, source })?.port())
}

/// Why the emulator did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// No serving certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// No key to sign tokens with.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// The seed is wrong.
    #[error(transparent)]
    Seed(#[from] SeedError),
}
