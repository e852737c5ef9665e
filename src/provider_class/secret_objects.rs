//! `spec.secretObjects`: Kubernetes Secrets made from the files. Read and checked; not synced by this version.

use super::FilePlan;
use super::error::{ClassCause, ClassError, SecretObjectCause};
use super::manifest::Object;
use std::collections::{BTreeMap, HashSet};

/// One Kubernetes Secret to make.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SecretObject {
    /// Name of the Secret.
    pub secret_name: String,
    /// Its type, `Opaque`, `kubernetes.io/tls`, …
    pub secret_type: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Its content.
    pub data: Vec<SecretObjectData>,
}

/// One key of a Secret.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SecretObjectData {
    /// Path of the file below the volume: the alias, or the object's name without one.
    pub object_name: String,
    /// Key in the Secret.
    pub key: String,
}

impl SecretObject {
    /// Reads one element; the four names are trimmed, as the driver does.
    pub(super) fn from_object(object: &Object<'_>) -> Result<Self, ClassError> {
        Ok(Self {
            secret_name: object.trimmed("secretName")?,
            secret_type: object.trimmed("type")?,
            labels: object.texts("labels")?,
            annotations: object.texts("annotations")?,
            data: object.list("data")?.iter().map(SecretObjectData::from_object).collect::<Result<_, _>>()?,
        })
    }

    /// The driver's checks, in its order and words.
    fn check(&self, paths: &HashSet<&str>) -> Result<(), SecretObjectCause> {
        if self.secret_name.is_empty() {
            return Err(SecretObjectCause::NameEmpty);
        }
        if self.secret_type.is_empty() {
            return Err(SecretObjectCause::TypeEmpty);
        }
        if self.data.is_empty() {
            return Err(SecretObjectCause::DataEmpty);
        }
        for (index, SecretObjectData { object_name, key }) in self.data.iter().enumerate() {
            if object_name.is_empty() {
                return Err(SecretObjectCause::ObjectNameEmpty(index));
            }
            if key.is_empty() {
                return Err(SecretObjectCause::KeyEmpty(index));
            }
            if !paths.contains(object_name.as_str()) {
                return Err(SecretObjectCause::FileMissing { index, object_name: object_name.clone() });
            }
            if self.secret_type == "kubernetes.io/tls" && key != "tls.key" && key != "tls.crt" {
                let (object_name, key) = (object_name.clone(), key.clone());
                return Err(SecretObjectCause::TlsKey { index, object_name, key });
            }
        }
        Ok(())
    }
}

impl SecretObjectData {
    fn from_object(object: &Object<'_>) -> Result<Self, ClassError> {
        Ok(Self { object_name: object.trimmed("objectName")?, key: object.trimmed("key")? })
    }
}

/// Checks all of a class's secret objects against the files of the volume.
pub fn check_secret_objects(secret_objects: &[SecretObject], files: &[FilePlan]) -> Result<(), ClassError> {
    let paths: HashSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
    for (index, object) in secret_objects.iter().enumerate() {
        object.check(&paths).map_err(|source| ClassCause::SecretObject { index, source })?;
    }
    Ok(())
}
