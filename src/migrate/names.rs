//! Names of other injectors.

/// Selects a binding of an identity.
pub(super) const POD_IDENTITY_LABEL: &str = "aadpodidbinding";
/// What follows the name of an object in a variable.
pub(super) const AKV2K8S_MARK: &str = "@azurekeyvault";
pub(super) const VAULT_PREFIX: &str = "vault.hashicorp.com/";
/// Of Keysluice.
pub(super) const CSI_VOLUMES: &str = "keysluice.dev/csi-volumes";
