//! The stage of the demo and of the end-to-end tests: the real binaries around one emulator.
//!
//! [`Webhook`] runs `keysluice serve`, [`Pod`] plays the kubelet's part for one pod (volumes as
//! directories, the projected token, the sidecar with exactly the environment it was given, its
//! gate), [`Guide`] knows what each guide promises.

mod guide;
mod pod;
mod process;
mod webhook;

pub use guide::{GUIDES, Guide, TENANT};
pub use pod::{Pod, Stage};
pub use process::Process;
pub use webhook::{Reviewed, Webhook};

use std::path::{Path, PathBuf};

/// Where the two binaries are.
#[derive(Debug, Clone)]
pub struct Binaries {
    /// `keysluice`.
    pub keysluice: PathBuf,
    /// `keysluice-injector`.
    pub injector: PathBuf,
}

impl Binaries {
    /// Both in one directory, as `make demo` and `make build` leave them.
    pub fn in_directory(directory: &Path) -> anyhow::Result<Self> {
        let find = |name: &str| {
            let path = directory.join(name);
            anyhow::ensure!(path.is_file(), "{} is missing; `make demo` makes it", path.display());
            Ok(path)
        };
        Ok(Self { keysluice: find("keysluice")?, injector: find("keysluice-injector")? })
    }
}

/// Installs the one crypto provider for TLS clients of this process.
pub fn install_crypto_provider() {
    // An error means that another test was first, with the same provider.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
