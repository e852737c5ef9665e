//! Facts from manifests.

use super::Facts;
use crate::cli::manifest_pods::pods_of;
use crate::cluster::manifests::{Document, ManifestError, read_documents};
use crate::provider_class::ProviderClass;
use crate::rights::{Place, Workload};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Metadata of Secrets.
pub(in crate::cli) type Secrets = BTreeMap<Place, Value>;

/// Reads all files; objects without a namespace go into the one given.
pub(in crate::cli) fn read(
    paths: &[PathBuf],
    namespace: Option<&str>,
) -> Result<(Facts, Secrets), ManifestError> {
    let (mut facts, mut secrets) = (Facts::default(), Secrets::new());
    for path in paths {
        let files = read_documents(path)?;
        facts.warnings.extend(files.notes);
        for mut document in files.documents {
            if let Some(namespace) = namespace {
                document.default_namespace(namespace);
            }
            facts.warnings.append(&mut document.warnings);
            if document.value["kind"] == "Secret" {
                secrets.insert(place(&document.value), document.value["metadata"].clone());
            }
            facts.add(&document);
        }
    }
    Ok((facts, secrets))
}

impl Facts {
    /// Takes up a workload or a class.
    pub(super) fn add(&mut self, document: &Document) {
        if document.value["kind"] == "SecretProviderClass" {
            let class = ProviderClass::from_value(&document.value);
            let class = class.map(Arc::new).map_err(|error| error.to_string());
            self.classes.insert(place(&document.value), class);
            return;
        }
        let found = pods_of(document);
        self.warnings.extend(found.skipped);
        let pods = found.pods.iter();
        self.workloads
            .extend(pods.filter_map(|pod| Workload::read(&pod.owner, &pod.namespace, &pod.pod)));
    }
}

fn place(object: &Value) -> Place {
    let metadata = &object["metadata"];
    let namespace = metadata["namespace"].as_str().filter(|name| !name.is_empty());
    let name = metadata["name"].as_str().unwrap_or_default();
    (namespace.unwrap_or("default").to_owned(), name.to_owned())
}
