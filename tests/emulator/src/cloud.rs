//! The definition of the emulator's cloud, in the format Azure Stack users have.

use serde_json::json;

use crate::world::Ports;

/// Entra's base URL, with a trailing slash.
pub(crate) fn authority(ports: Ports) -> String {
    format!("https://login.localhost:{}/", ports.https)
}

/// IMDS' base URL, with a trailing slash.
pub(crate) fn imds(ports: Ports) -> String {
    format!("http://127.0.0.1:{}/", ports.http)
}

/// URL of a vault, with a trailing slash.
pub(crate) fn vault(ports: Ports, name: &str) -> String {
    format!("https://{name}.vault.localhost:{}/", ports.https)
}

/// The definition as JSON.
pub(crate) fn definition(ports: Ports, ca_pem: &str) -> String {
    let definition = json!({
        "name": "KeysluiceEmulator",
        "activeDirectoryEndpoint": authority(ports),
        "keyVaultEndpoint": "https://vault.localhost/",
        "keyVaultDNSSuffix": format!("vault.localhost:{}", ports.https),
        "managedIdentityEndpoint": imds(ports),
        "trustedCa": ca_pem,
    });
    format!("{definition:#}\n")
}
