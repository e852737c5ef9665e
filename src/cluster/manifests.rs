//! Cluster objects from manifests: YAML or JSON files and directories of them.

use super::{Cluster, ClusterError};
use crate::mutate::{CSI_DRIVER, ClassFact, ServiceAccount};
use crate::provider_class::ProviderClass;
use serde_json::Value;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Cluster objects that stand in files.
#[derive(Debug, Default)]
pub struct Manifests {
    service_accounts: HashMap<(String, String), ServiceAccount>,
    classes: HashMap<(String, String), ClassFact>,
    csi_driver: bool,
}

/// One document and where it stands.
#[derive(Debug, Clone)]
pub struct Document {
    /// `pod.yaml` or `pod.yaml, document 2`.
    pub origin: String,
    /// The object.
    pub value: Value,
}

/// Why a manifest could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The file system said no.
    #[error("KS704 cannot read {path}: {source}")]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// What happened.
        #[source]
        source: std::io::Error,
    },
    /// Neither YAML nor JSON.
    #[error("KS704 {path}: {message}; hint: kubectl apply --dry-run=client -f {path} shows the same place")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and what.
        message: String,
    },
    /// A document that is no object.
    #[error("KS704 {origin}: not a Kubernetes object (a mapping with kind)")]
    NotAnObject {
        /// File and document.
        origin: String,
    },
}

impl Manifests {
    /// Reads all files; directories with everything below them that ends in .yaml, .yml or .json.
    pub fn load(paths: &[PathBuf]) -> Result<Self, ManifestError> {
        let mut manifests = Self::default();
        for path in paths {
            for document in read_documents(path)? {
                manifests.add(&document.value);
            }
        }
        Ok(manifests)
    }

    /// Takes up an object if it is of a kind that matters.
    pub fn add(&mut self, object: &Value) {
        let metadata = &object["metadata"];
        let key = || {
            let namespace =
                metadata["namespace"].as_str().filter(|namespace| !namespace.is_empty()).unwrap_or("default");
            (namespace.to_owned(), metadata["name"].as_str().unwrap_or_default().to_owned())
        };
        match object["kind"].as_str() {
            Some("ServiceAccount") => {
                let annotations = metadata["annotations"].as_object().into_iter().flatten();
                let strings = annotations.filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)));
                self.service_accounts.insert(key(), ServiceAccount::from_annotations(strings));
            }
            Some("SecretProviderClass") => {
                let fact = match ProviderClass::from_value(object) {
                    Ok(class) => ClassFact::Found(Arc::new(class)),
                    Err(error) => ClassFact::Invalid(Arc::new(error)),
                };
                self.classes.insert(key(), fact);
            }
            Some("CSIDriver") if metadata["name"] == CSI_DRIVER => self.csi_driver = true,
            _ => {}
        }
    }
}

impl Cluster for Manifests {
    async fn service_account(&self, namespace: &str, name: &str) -> Result<Option<ServiceAccount>, ClusterError> {
        let found = self.service_accounts.get(&(namespace.to_owned(), name.to_owned())).cloned();
        // Every namespace has this one, and nobody writes it down.
        Ok(found.or_else(|| (name == "default").then(ServiceAccount::default)))
    }

    async fn provider_class(&self, namespace: &str, name: &str) -> Result<ClassFact, ClusterError> {
        Ok(self.classes.get(&(namespace.to_owned(), name.to_owned())).cloned().unwrap_or(ClassFact::Missing))
    }

    async fn csi_driver_installed(&self) -> Result<bool, ClusterError> {
        Ok(self.csi_driver)
    }
}

/// Reads all documents of a file or of the files below a directory, in order of name; items of a `List` one by one.
pub fn read_documents(path: &Path) -> Result<Vec<Document>, ManifestError> {
    let failed = |source| ManifestError::Read { path: path.to_owned(), source };
    if path.is_dir() {
        let mut entries: Vec<PathBuf> = Vec::new();
        for entry in std::fs::read_dir(path).map_err(failed)? {
            entries.push(entry.map_err(failed)?.path());
        }
        entries.sort();
        let is_manifest = |path: &PathBuf| {
            path.is_dir()
                || path.extension().is_some_and(|ending| ["yaml", "yml", "json"].iter().any(|known| ending == *known))
        };
        let mut documents = Vec::new();
        for entry in entries.into_iter().filter(is_manifest) {
            match read_documents(&entry) {
                // kustomization.yaml, values.yaml: not everything in a directory is for the API server.
                Err(ManifestError::NotAnObject { .. }) => {}
                read => documents.extend(read?),
            }
        }
        return Ok(documents);
    }
    let text =
        if path == Path::new("-") { std::io::read_to_string(std::io::stdin()) } else { std::fs::read_to_string(path) };
    parse_documents(&text.map_err(failed)?, path)
}

/// Parses the documents of one file.
pub fn parse_documents(text: &str, path: &Path) -> Result<Vec<Document>, ManifestError> {
    let mut budget = serde_saphyr::Budget::default();
    (budget.max_documents, budget.max_events, budget.max_nodes) = (1 << 20, 1 << 26, 1 << 26);
    let options = serde_saphyr::options! { budget: Some(budget) };
    let values: Vec<Value> = serde_saphyr::from_multiple_with_options(text, options)
        .map_err(|error| ManifestError::Syntax { path: path.to_owned(), message: error.to_string() })?;
    let count = values.len();
    let mut documents = Vec::with_capacity(count);
    for (index, value) in values.into_iter().enumerate().filter(|(_, value)| !value.is_null()) {
        let origin =
            if count > 1 { format!("{}, document {}", path.display(), index + 1) } else { path.display().to_string() };
        match value["kind"].as_str() {
            None => return Err(ManifestError::NotAnObject { origin }),
            Some("List") => {
                let items = value["items"].as_array().cloned().unwrap_or_default();
                documents.extend(items.into_iter().map(|value| Document { origin: origin.clone(), value }));
            }
            Some(_) => documents.push(Document { origin, value }),
        }
    }
    Ok(documents)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<Document>, String> {
        parse_documents(text, Path::new("x.yaml")).map_err(|error| error.to_string())
    }

    #[test]
    fn documents_lists_and_json_are_read() {
        let documents = parse("kind: A\n---\n# nothing\n---\nkind: List\nitems:\n- kind: B\n- kind: C\n").unwrap();
        let kinds: Vec<_> = documents.iter().map(|document| document.value["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["A", "B", "C"]);
        assert_eq!(parse(r#"{"kind": "Pod", "n": 1}"#).unwrap()[0].value, serde_json::json!({"kind": "Pod", "n": 1}));
    }

    #[test]
    fn scalars_keep_their_types() {
        let documents =
            parse("kind: X\na: \"true\"\nb: true\nc: 3\nd: '3'\ne: 1.5\nf: null\ng: |\n  text\nh: 0400\n").unwrap();
        let expected = serde_json::json!({"kind": "X", "a": "true", "b": true, "c": 3, "d": "3", "e": 1.5, "f": null, "g": "text\n"});
        for (key, value) in expected.as_object().unwrap() {
            assert_eq!(documents[0].value[key], *value, "{key}");
        }
    }

    #[test]
    fn broken_files_are_named_with_the_place() {
        let error = parse("kind: [").unwrap_err();
        assert!(error.starts_with("KS704 x.yaml: "), "{error}");
        assert_eq!(
            parse("kind: A\n---\njust text\n").unwrap_err(),
            "KS704 x.yaml, document 2: not a Kubernetes object (a mapping with kind)"
        );
        let error = read_documents(Path::new("/nonexistent/x.yaml")).unwrap_err().to_string();
        assert!(error.starts_with("KS704 cannot read /nonexistent/x.yaml: "), "{error}");
    }
}
