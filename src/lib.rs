//! Keysluice: Azure identity and Key Vault secrets for Kubernetes pods.

pub mod cloud;
pub mod provider_class;
pub mod reason;
