//! Which object of which vault, and its URLs.

use keysluice_plan::{File, ObjectName, ObjectType, ObjectVersion, Selection, VaultUrl};

/// The widest supported version (all clouds, private endpoints, emulators).
const API_VERSION: &str = "7.4";

/// Which object; files that share it share one GET.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Object {
    vault: VaultUrl,
    kind: ObjectType,
    name: ObjectName,
    version: Option<ObjectVersion>,
    identity: String,
}

impl Object {
    /// The object a file comes from.
    pub fn of(file: &File) -> Self {
        Self {
            vault: file.vault.clone(),
            kind: crate::content::source(file),
            name: file.name.clone(),
            // The Azure provider asks the vault for a version of that name, unless there is a
            // history.
            version: file.version.clone().filter(|version| version.as_str() != "latest"),
            identity: file.identity.clone(),
        }
    }

    /// A secret that was selected.
    pub fn selected(selection: &Selection, name: ObjectName) -> Self {
        let (vault, identity) = (selection.vault.clone(), selection.identity.clone());
        Self { vault, kind: ObjectType::Secret, name, version: None, identity }
    }

    /// The same object in another version.
    #[must_use]
    pub fn at(&self, version: ObjectVersion) -> Self {
        Self { version: Some(version), ..self.clone() }
    }

    /// The same object in its newest version.
    #[must_use]
    pub fn without_version(&self) -> Self {
        Self { version: None, ..self.clone() }
    }

    /// The pinned version.
    pub fn version(&self) -> Option<&ObjectVersion> {
        self.version.as_ref()
    }

    /// Its name.
    pub fn name(&self) -> &ObjectName {
        &self.name
    }

    /// What it is.
    pub fn kind(&self) -> ObjectType {
        self.kind
    }

    /// The vault it is in.
    pub fn vault(&self) -> &VaultUrl {
        &self.vault
    }

    /// Name of the identity that fetches it.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    pub(super) fn url(&self) -> String {
        let version =
            self.version.as_ref().map(|version| format!("/{version}")).unwrap_or_default();
        format!(
            "{}{}/{}{version}?api-version={API_VERSION}",
            self.vault,
            self.collection(),
            self.name
        )
    }

    pub(super) fn versions_url(&self) -> String {
        format!(
            "{}{}/{}/versions?api-version={API_VERSION}",
            self.vault,
            self.collection(),
            self.name
        )
    }

    /// Of the list of all objects of its kind.
    pub(super) fn list_url(&self) -> String {
        format!("{}{}?api-version={API_VERSION}", self.vault, self.collection())
    }

    pub(super) fn secrets_url(vault: &VaultUrl) -> String {
        format!("{vault}secrets?api-version={API_VERSION}")
    }

    pub(super) fn collection(&self) -> &'static str {
        match self.kind {
            ObjectType::Secret => "secrets",
            ObjectType::Key => "keys",
            ObjectType::Cert => "certificates",
        }
    }
}

/// `secret "db" in https://kv.vault.azure.net/`, the way every message names an object.
impl std::fmt::Display for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?}", self.kind.as_str(), self.name.as_str())?;
        if let Some(version) = &self.version {
            write!(f, " version {version}")?;
        }
        write!(f, " in {}", self.vault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_and_names_follow_the_object() {
        let mut file: File = serde_json::from_value(serde_json::json!({
            "path": "db", "mode": "0644", "identity": "a", "vault": "https://kv.vault.azure.net",
            "type": "secret", "name": "db"
        }))
        .unwrap();
        let object = Object::of(&file);
        assert_eq!(object.url(), "https://kv.vault.azure.net/secrets/db?api-version=7.4");
        assert_eq!(object.to_string(), "secret \"db\" in https://kv.vault.azure.net/");
        file.object_type = ObjectType::Key;
        file.version = Some("0123".parse().unwrap());
        let object = Object::of(&file);
        assert_eq!(object.url(), "https://kv.vault.azure.net/keys/db/0123?api-version=7.4");
        assert_eq!(object.to_string(), "key \"db\" version 0123 in https://kv.vault.azure.net/");
        assert_eq!(
            object.versions_url(),
            "https://kv.vault.azure.net/keys/db/versions?api-version=7.4"
        );
        file.version = Some("latest".parse().unwrap());
        file.object_type = ObjectType::Cert;
        assert_eq!(
            Object::of(&file).url(),
            "https://kv.vault.azure.net/certificates/db?api-version=7.4"
        );
        file.part = Some(keysluice_plan::Part::Chain);
        assert_eq!(
            Object::of(&file).url(),
            "https://kv.vault.azure.net/secrets/db?api-version=7.4"
        );
    }
}
