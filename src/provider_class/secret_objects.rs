//! `spec.secretObjects`: Kubernetes Secrets made from the files. Read and checked; not synced by
//! this version.

use super::error::{ClassCause, ClassError, SecretObjectCause};
use super::{ClassPlan, layout};
use keysluice_plan::FileIndex;
use std::collections::BTreeMap;

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
    /// The driver's checks, in its order and words.
    fn check(&self, files: &FileIndex<'_>) -> Result<(), SecretObjectCause> {
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
            if !files.contains(object_name) {
                return Err(SecretObjectCause::FileMissing {
                    index,
                    object_name: object_name.clone(),
                });
            }
            if self.secret_type == "kubernetes.io/tls" && key != "tls.key" && key != "tls.crt" {
                let (object_name, key) = (object_name.clone(), key.clone());
                return Err(SecretObjectCause::TlsKey { index, object_name, key });
            }
        }
        Ok(())
    }
}

/// Checks all of a class's secret objects against the files of the volume.
pub fn check_secret_objects(
    secret_objects: &[SecretObject],
    plan: &ClassPlan,
) -> Result<(), ClassError> {
    let files = layout(&plan.files, &plan.selections).index();
    for (index, object) in secret_objects.iter().enumerate() {
        object.check(&files).map_err(|source| ClassCause::SecretObject { index, source })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{SelectionPlan, tests};
    use super::*;

    fn object(secret_name: &str, secret_type: &str, data: &[(&str, &str)]) -> SecretObject {
        let item = |(object_name, key): &(&str, &str)| SecretObjectData {
            object_name: (*object_name).into(),
            key: (*key).into(),
        };
        let data = data.iter().map(item).collect();
        SecretObject {
            secret_name: secret_name.into(),
            secret_type: secret_type.into(),
            data,
            ..SecretObject::default()
        }
    }

    /// Files `db`, `dir/tls` (split), `name/0` to `name/2`, and a selection below `all/`.
    fn plan() -> ClassPlan {
        let objects = "array: ['{objectName: db, objectType: key}', '{objectName: tls, \
            objectType: secret, objectAlias: dir/tls}', \
                       '{objectName: name, objectType: key, objectVersionHistory: 3}']";
        let parameters = [
            ("objects", objects),
            ("select", "{namePrefix: a, directory: all}"),
            ("writeCertAndKeyInSeparateFiles", "true"),
        ];
        tests::bare(&tests::with(&parameters)).unwrap()
    }

    #[test]
    fn the_drivers_checks_in_its_order_and_words() {
        let plan = plan();
        let files = layout(&plan.files, &plan.selections).index();
        for (secret, expected) in [
            (object("", "", &[]), Some("secret name is empty")),
            (object("s", "", &[]), Some("secret type is empty")),
            (object("s", "Opaque", &[]), Some("data is empty")),
            (
                object("s", "Opaque", &[("db", "k"), ("", "")]),
                Some("data[1]: object name in secretObjects.data is empty"),
            ),
            (
                object("s", "Opaque", &[("db", "")]),
                Some("data[0]: key in secretObjects.data is empty"),
            ),
            (
                object("s", "Opaque", &[("DB", "k")]),
                Some("data[0]: file matching objectName DB not found in the pod"),
            ),
            (
                object("s", "Opaque", &[("tls", "k")]),
                Some("data[0]: file matching objectName tls not found in the pod"),
            ),
            (
                object("s", "kubernetes.io/tls", &[("dir/tls", "ca.crt")]),
                Some(
                    "data[0]: failed to get cert data from file dir/tls, err: key 'ca.crt' is not \
                     supported. Only 'tls.key' and 'tls.crt' are supported",
                ),
            ),
            (
                object("s", "kubernetes.io/tls", &[("dir/tls", "tls.crt"), ("dir/tls", "tls.key")]),
                None,
            ),
        ] {
            let error = secret.check(&files).err().map(|error| error.to_string());
            assert_eq!(error.as_deref(), expected, "{secret:?}");
        }
    }

    #[test]
    fn files_of_histories_split_certificates_and_selections_count() {
        let mut plan = plan();
        for (path, found) in [
            ("name/0", true),
            ("name/2", true),
            ("name/3", false),
            ("name/00", false),
            ("name", false),
            ("dir/tls.crt", true),
            ("dir/tls.key", true),
            ("dir/tls.pem", false),
            ("db.crt", false),
            ("name/0.crt", false),
            ("all/app-1", true),
            ("all/deep/app-1", false),
            ("app-1", false),
        ] {
            let files = layout(&plan.files, &plan.selections).index();
            assert_eq!(files.contains(path), found, "{path}");
        }
        plan.selections[0] = SelectionPlan { directory: None, ..plan.selections[0].clone() };
        let files = layout(&plan.files, &plan.selections).index();
        assert!(files.contains("app-1") && !files.contains("all/app-1"));
    }

    #[test]
    fn the_message_names_the_entry() {
        let entries = [object("s", "Opaque", &[("a", "k")])];
        let error = check_secret_objects(&entries, &plan()).unwrap_err().to_string();
        assert_eq!(
            error,
            "KS132 secretObjects[0]: data[0]: file matching objectName a not found in the pod; \
             hint: set objectName to the path of the file: the objectAlias, or the objectName of \
             an object that has no alias"
        );
        assert_eq!(
            check_secret_objects(&[SecretObject::default()], &plan()).unwrap_err().reason().code,
            "KS131"
        );
    }
}
