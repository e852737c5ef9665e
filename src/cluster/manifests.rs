//! A cluster that stands in files: YAML or JSON files and directories of them.

mod directory;
mod encoding;
mod files;
mod json;
mod rbac;
mod unquoted;

pub(crate) use directory::{entries, is_special};
pub(crate) use encoding::decode;
pub use files::{Document, Files, ManifestError, parse_documents, read_documents, read_neighbours};
pub(crate) use files::{chunks, objects_of};
pub use rbac::{Account, Object, Rbac};
pub(crate) use unquoted::{dotted, unquoted};

use super::{Cluster, ClusterError};
use crate::mutate::{CSI_DRIVER, ClassFact, ServiceAccount};
use crate::provider_class::ProviderClass;
use crate::reason;
use serde_json::Value;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Cluster objects that stand in files.
#[derive(Debug, Default)]
pub struct Manifests {
    service_accounts: HashMap<(String, String), ServiceAccount>,
    /// ServiceAccounts and classes that the API server refuses, by kind, namespace and name, and
    /// why.
    refused: HashMap<(String, String, String), String>,
    classes: HashMap<(String, String), ClassFact>,
    csi_driver: bool,
    rbac: Rbac,
}

impl Manifests {
    /// Reads all files; directories with every regular file below them that ends in .yaml, .yml
    /// or .json. Objects without a namespace go into the one given. Gives what was left out or is
    /// doubtful too.
    pub fn load(
        paths: &[PathBuf],
        namespace: Option<&str>,
    ) -> Result<(Self, Vec<String>), ManifestError> {
        let (mut manifests, mut notes) = (Self::default(), Vec::new());
        for path in paths {
            let files = read_neighbours(path)?;
            notes.extend(files.notes);
            for mut document in files.documents {
                if let Some(namespace) = namespace {
                    document.default_namespace(namespace);
                }
                notes.append(&mut document.warnings);
                manifests.add(&document);
            }
        }
        Ok((manifests, notes))
    }

    /// Takes up an object if it is of a kind that matters.
    pub fn add(&mut self, document: &Document) {
        let object = &document.value;
        let metadata = &object["metadata"];
        if let Some(kind @ ("ServiceAccount" | "SecretProviderClass")) = object["kind"].as_str() {
            let (namespace, name) = key(metadata);
            let unquoted = unquoted(document, &["/metadata"]);
            let why = unquoted
                .map(|unquoted| format!("{} {kind} {namespace}/{name}: {unquoted}", reason::KS736));
            let place = (kind.to_owned(), namespace, name);
            match why {
                Some(why) => drop(self.refused.insert(place, why)),
                None => drop(self.refused.remove(&place)),
            }
        }
        match object["kind"].as_str() {
            Some("ServiceAccount") => {
                let annotations = metadata["annotations"].as_object().into_iter().flatten();
                let strings =
                    annotations.filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)));
                self.service_accounts
                    .insert(key(metadata), ServiceAccount::from_annotations(strings));
            }
            Some("SecretProviderClass") => {
                let fact = match ProviderClass::from_value(object) {
                    Ok(class) => ClassFact::Found(Arc::new(class)),
                    Err(error) => ClassFact::Invalid(Arc::new(error)),
                };
                self.classes.insert(key(metadata), fact);
            }
            Some("CSIDriver") if metadata["name"] == CSI_DRIVER => self.csi_driver = true,
            _ => self.rbac.add(object),
        }
    }

    /// Roles and bindings.
    pub fn rbac(&self) -> &Rbac {
        &self.rbac
    }

    /// Why the API server refuses a ServiceAccount or a class as it is written.
    pub fn refused(&self, kind: &str, namespace: &str, name: &str) -> Option<&str> {
        self.refused
            .get(&(kind.to_owned(), namespace.to_owned(), name.to_owned()))
            .map(String::as_str)
    }

    /// The namespaces that have a class of this name.
    pub fn namespaces_of_class<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.classes
            .keys()
            .filter(move |(_, class)| class == name)
            .map(|(namespace, _)| namespace.as_str())
    }

    /// The namespaces that have a ServiceAccount of this name.
    pub fn namespaces_of_service_account<'a>(
        &'a self,
        name: &'a str,
    ) -> impl Iterator<Item = &'a str> {
        self.service_accounts
            .keys()
            .filter(move |(_, account)| account == name)
            .map(|(namespace, _)| namespace.as_str())
    }
}

/// Namespace and name.
fn key(metadata: &Value) -> (String, String) {
    let namespace = metadata["namespace"].as_str().filter(|namespace| !namespace.is_empty());
    let name = metadata["name"].as_str().unwrap_or_default();
    (namespace.unwrap_or("default").to_owned(), name.to_owned())
}

impl Cluster for Manifests {
    async fn service_account(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<ServiceAccount>, ClusterError> {
        let found = self.service_accounts.get(&(namespace.to_owned(), name.to_owned())).cloned();
        // Every namespace has this one, and manifests leave it out.
        Ok(found.or_else(|| (name == "default").then(ServiceAccount::default)))
    }

    async fn provider_class(&self, namespace: &str, name: &str) -> Result<ClassFact, ClusterError> {
        Ok(self
            .classes
            .get(&(namespace.to_owned(), name.to_owned()))
            .cloned()
            .unwrap_or(ClassFact::Missing))
    }

    async fn csi_driver_installed(&self) -> Result<bool, ClusterError> {
        Ok(self.csi_driver)
    }
}
