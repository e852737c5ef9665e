//! What a vault holds, and every change of it.

use std::collections::BTreeMap;

use super::body::{CertificateBody, KeyBody, SecretBody};
use super::object::{Attributes, Objects, Version, valid_name};
use super::role::Role;
use super::{SeedError, certificate, key};
use crate::random;
use crate::seed::{CertificateSeed, KeySeed, RoleSeed, SecretSeed, VaultSeed};

/// One key vault.
#[derive(Clone, Default)]
pub(crate) struct Vault {
    pub(crate) name: String,
    pub(crate) tenant_id: String,
    pub(super) secrets: Objects<SecretBody>,
    pub(super) keys: Objects<KeyBody>,
    pub(super) certificates: Objects<CertificateBody>,
    pub(super) roles: Vec<Role>,
}

impl Vault {
    /// Adds what `seed` holds.
    pub(crate) fn seed(&mut self, seed: VaultSeed, now: i64) -> Result<(), SeedError> {
        if !valid_name(&seed.name) {
            return Err(SeedError::Name { vault: seed.name.clone(), name: seed.name });
        }
        self.name.clone_from(&seed.name);
        self.tenant_id = seed.tenant_id;
        for (name, secret) in seed.secrets {
            self.set_secret(&name, secret, now)?;
        }
        for (name, key) in seed.keys {
            self.set_key(&name, &key, now)?;
        }
        for (name, certificate) in seed.certificates {
            self.set_certificate(&name, certificate, now)?;
        }
        for role in seed.roles {
            self.add_role(role);
        }
        Ok(())
    }

    pub(crate) fn add_role(&mut self, role: RoleSeed) {
        self.roles.push(Role::from(role));
    }

    /// Takes every role from an identity.
    pub(crate) fn revoke(&mut self, client_id: &str) {
        self.roles.retain(|role| !role.is_of(client_id));
    }

    /// Adds the versions of `seed`, oldest first; gives the id of the newest.
    pub(crate) fn set_secret(
        &mut self,
        name: &str,
        mut seed: SecretSeed,
        now: i64,
    ) -> Result<String, SeedError> {
        self.check_name(name)?;
        let mut newest = None;
        for earlier in std::mem::take(&mut seed.versions) {
            newest = Some(self.set_secret(name, earlier, now)?);
        }
        if let Some(value) = seed.value {
            let mut attributes = Attributes::new(seed.enabled, seed.created.unwrap_or(now));
            attributes.not_before = seed.not_before;
            attributes.expires = seed.expires;
            let id = seed.version.unwrap_or_else(|| random::hex(16));
            let body = SecretBody { value, content_type: seed.content_type, certificate: false };
            self.secrets.push(name, Version { id: id.clone(), attributes, tags: seed.tags, body });
            newest = Some(id);
        }
        newest.ok_or_else(|| SeedError::NoValue { vault: self.name.clone(), name: name.to_owned() })
    }

    /// Adds a version of a key; gives its id.
    pub(crate) fn set_key(
        &mut self,
        name: &str,
        seed: &KeySeed,
        now: i64,
    ) -> Result<String, SeedError> {
        self.check_name(name)?;
        let reason =
            |reason| SeedError::Key { vault: self.name.clone(), name: name.to_owned(), reason };
        let jwk = key::public_jwk(seed).map_err(reason)?;
        let id = random::hex(16);
        let attributes = Attributes::new(seed.enabled, seed.created.unwrap_or(now));
        let body = KeyBody { jwk, certificate: false };
        self.keys.push(name, Version { id: id.clone(), attributes, tags: seed.tags.clone(), body });
        Ok(id)
    }

    /// Adds a version of a certificate, with its secret and its key under the same name and id.
    pub(crate) fn set_certificate(
        &mut self,
        name: &str,
        seed: CertificateSeed,
        now: i64,
    ) -> Result<String, SeedError> {
        self.check_name(name)?;
        let (enabled, created, tags) =
            (seed.enabled, seed.created.unwrap_or(now), seed.tags.clone());
        let reason = |reason| SeedError::Certificate {
            vault: self.name.clone(),
            name: name.to_owned(),
            reason,
        };
        let parts = certificate::parts(name, seed).map_err(reason)?;
        let (id, attributes) = (random::hex(16), Attributes::new(enabled, created));
        let content_type = parts.content_type;
        if let Some(value) = parts.secret {
            let body =
                SecretBody { value, content_type: Some(content_type.clone()), certificate: true };
            let attributes = attributes.clone();
            self.secrets
                .push(name, Version { id: id.clone(), attributes, tags: tags.clone(), body });
        }
        if let Some(jwk) = parts.jwk {
            let body = KeyBody { jwk, certificate: true };
            let attributes = attributes.clone();
            self.keys.push(name, Version { id: id.clone(), attributes, tags: tags.clone(), body });
        }
        let body = CertificateBody { der: parts.der, content_type, subject: parts.subject };
        self.certificates.push(name, Version { id: id.clone(), attributes, tags, body });
        Ok(id)
    }

    /// Enables or disables a version (the newest if none is named) of every object of this name;
    /// whether there was one.
    pub(crate) fn set_enabled(
        &mut self,
        name: &str,
        version: Option<&str>,
        enabled: bool,
        now: i64,
    ) -> bool {
        let mut found = false;
        let mut change = |attributes: &mut Attributes| {
            attributes.enabled = enabled;
            attributes.updated = now;
            found = true;
        };
        if let Some(version) = self.secrets.version_mut(name, version) {
            change(&mut version.attributes);
        }
        if let Some(version) = self.keys.version_mut(name, version) {
            change(&mut version.attributes);
        }
        if let Some(version) = self.certificates.version_mut(name, version) {
            change(&mut version.attributes);
        }
        found
    }

    /// Replaces the tags of the newest version of a secret; whether there is one.
    pub(crate) fn set_tags(
        &mut self,
        name: &str,
        tags: BTreeMap<String, String>,
        now: i64,
    ) -> bool {
        let Some(version) = self.secrets.version_mut(name, None) else {
            return false;
        };
        version.tags = tags;
        version.attributes.updated = now;
        true
    }

    /// Deletes every object of this name; whether there was one.
    pub(crate) fn delete(&mut self, name: &str) -> bool {
        // All three, without short circuit.
        self.secrets.remove(name) | self.keys.remove(name) | self.certificates.remove(name)
    }

    fn check_name(&self, name: &str) -> Result<(), SeedError> {
        if valid_name(name) {
            Ok(())
        } else {
            Err(SeedError::Name { vault: self.name.clone(), name: name.to_owned() })
        }
    }
}
