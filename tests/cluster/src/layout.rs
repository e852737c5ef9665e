//! Where things are in an enclosure: addresses, and files below one directory.

use std::path::{Path, PathBuf};

/// The bridge: the node's address, where pods find the API server, names, the emulator.
pub const NODE_ADDRESS: &str = "10.88.0.1";
/// Pods.
pub const POD_RANGE: &str = "10.88.0.0/16";
/// Services.
pub const SERVICE_RANGE: &str = "10.96.0.0/16";
/// Azure's instance metadata service, for managed identities.
pub const METADATA_ADDRESS: &str = "169.254.169.254";
/// The API server's port.
pub const API_PORT: u16 = 6443;
/// The registry's port on the loopback.
pub const REGISTRY_PORT: u16 = 5000;
/// Name of the node.
pub const NODE: &str = "node";
/// `iss` of the tokens of ServiceAccounts.
pub const ISSUER: &str = "https://cluster.test";
/// Token of a user who may do anything.
pub const ADMIN_TOKEN: &str = "admin";

/// Files of one enclosure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The enclosure whose files lie below `root`, an absolute path.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The directory that holds everything.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A file or directory of ours.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// The same as text: what configuration files and command lines take.
    pub fn text(&self, relative: &str) -> String {
        self.path(relative).display().to_string()
    }

    /// Name of the cgroup that holds every pod, unique to the enclosure.
    pub fn cgroup(&self) -> String {
        self.root.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Appears when the node is ready.
    pub fn ready(&self) -> PathBuf {
        self.path("ready")
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.path("admin.kubeconfig")
    }

    /// The one binary with all components.
    pub fn components(&self) -> PathBuf {
        self.path("bin/components")
    }

    /// What trusts the API server's certificate.
    pub fn authority(&self) -> PathBuf {
        self.path("certificates/apiserver.crt")
    }

    /// Log of a daemon.
    pub fn log(&self, daemon: &str) -> PathBuf {
        self.path(&format!("logs/{daemon}.log"))
    }

    /// While this file is there, a daemon that ended is not started again.
    pub fn hold(&self, daemon: &str) -> PathBuf {
        self.path(&format!("hold/{daemon}"))
    }

    /// Process id of a daemon, as seen inside.
    pub fn pid(&self, daemon: &str) -> PathBuf {
        self.path(&format!("pids/{daemon}"))
    }
}
