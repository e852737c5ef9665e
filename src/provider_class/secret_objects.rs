//! `spec.secretObjects`: Kubernetes Secrets made from the files, read and checked.

use super::error::{ClassCause, ClassError, SecretObjectCause};
use super::{ClassPlan, labels, layout};
use keysluice_plan::{FileIndex, RelativePath, is_object_name, is_secret_key};
use std::collections::{BTreeMap, BTreeSet};

/// Types that Kubernetes or Helm trusts: a Secret of one gives rights, or is a release.
const NEVER_MADE: [&str; 3] =
    ["kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token", "helm.sh/release.v1"];

/// Whether Secrets of this type are never made.
pub(crate) fn is_never_made(secret_type: &str) -> bool {
    NEVER_MADE.contains(&secret_type)
}

const TLS: &str = "kubernetes.io/tls";
/// Keys without which the API server refuses a Secret; one of each entry's.
const REQUIRED: &[(&str, &[&str])] = &[
    (TLS, &["tls.crt"]),
    (TLS, &["tls.key"]),
    ("kubernetes.io/dockerconfigjson", &[".dockerconfigjson"]),
    ("kubernetes.io/dockercfg", &[".dockercfg"]),
    ("kubernetes.io/ssh-auth", &["ssh-privatekey"]),
    ("kubernetes.io/basic-auth", &["username", "password"]),
];
/// Labels and annotations below it mark the Secrets of Keysluice.
const RESERVED: &str = "keysluice.dev/";

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
            if !files.contains(object_name) || object_name.parse::<RelativePath>().is_err() {
                return Err(SecretObjectCause::FileMissing {
                    index,
                    object_name: object_name.clone(),
                });
            }
            let is_tls_key = ["tls.key", "tls.crt", "ca.crt"].contains(&key.as_str());
            if self.secret_type == TLS && !is_tls_key {
                let (object_name, key) = (object_name.clone(), key.clone());
                return Err(SecretObjectCause::TlsKey { index, object_name, key });
            }
        }
        self.check_more()
    }

    /// What the driver leaves to the API server, and what is never made.
    fn check_more(&self) -> Result<(), SecretObjectCause> {
        if !is_object_name(&self.secret_name) {
            return Err(SecretObjectCause::Name(self.secret_name.clone()));
        }
        if is_never_made(&self.secret_type) {
            return Err(SecretObjectCause::Type(self.secret_type.clone()));
        }
        let mut keys = BTreeSet::new();
        for (index, SecretObjectData { key, .. }) in self.data.iter().enumerate() {
            if !is_secret_key(key) {
                return Err(SecretObjectCause::Key { index, key: key.clone() });
            }
            if !keys.insert(key.as_str()) {
                return Err(SecretObjectCause::KeyTwice { index, key: key.clone() });
            }
        }
        let mut required = REQUIRED.iter().filter(|(of_type, _)| *of_type == self.secret_type);
        if let Some((_, missing)) =
            required.find(|(_, any)| !any.iter().any(|key| keys.contains(key)))
        {
            let secret_type = self.secret_type.clone();
            return Err(SecretObjectCause::KeyMissing { secret_type, key: missing[0] });
        }
        for (field, texts) in [("labels", &self.labels), ("annotations", &self.annotations)] {
            if let Some(key) = texts.keys().find(|key| key.starts_with(RESERVED)) {
                return Err(SecretObjectCause::Reserved { field, key: key.clone() });
            }
            if let Some(problem) = labels::refused(field, texts) {
                return Err(SecretObjectCause::Label(problem));
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
    let files = layout(&plan.files, &plan.selections, &plan.templates).index();
    let mut names = BTreeSet::new();
    for (index, object) in secret_objects.iter().enumerate() {
        let checked = object.check(&files).and_then(|()| {
            if names.insert(object.secret_name.as_str()) {
                Ok(())
            } else {
                Err(SecretObjectCause::NameTwice(object.secret_name.clone()))
            }
        });
        checked.map_err(|source| ClassCause::SecretObject { index, source })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{SelectionPlan, tests};
    use super::*;

    fn object(secret_name: &str, secret_type: &str, data: &[(&str, &str)]) -> SecretObject {
        let data = data.iter().map(|(object_name, key)| SecretObjectData {
            object_name: (*object_name).into(),
            key: (*key).into(),
        });
        SecretObject {
            secret_name: secret_name.into(),
            secret_type: secret_type.into(),
            data: data.collect(),
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
        let files = layout(&plan.files, &plan.selections, &plan.templates).index();
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
                object("s", "kubernetes.io/tls", &[("dir/tls", "tls.pem")]),
                Some(
                    "data[0]: failed to get cert data from file dir/tls, err: key 'tls.pem' is \
                     not supported. Only 'tls.key', 'tls.crt' and 'ca.crt' are supported",
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

    /// A Secret of these keys, each from the file `db`.
    fn one(name: &str, secret_type: &str, keys: &[&str]) -> SecretObject {
        let data: Vec<_> = keys.iter().map(|key| ("db", *key)).collect();
        object(name, secret_type, &data)
    }

    #[test]
    fn a_secret_that_the_api_server_would_refuse_or_trust_is_named() {
        let plan = plan();
        let tls = "kubernetes.io/tls";
        for (secret, code, expected) in [
            (one("a.b-1", "Opaque", &["K_1.x"]), "", ""),
            (one("s", tls, &["tls.crt", "tls.key", "ca.crt"]), "", ""),
            (one("s", tls, &["tls.crt", "ca.crt"]), "KS151", "has no key tls.key"),
            (one("s", "kubernetes.io/basic-auth", &["password"]), "", ""),
            (one("s", "kubernetes.io/basic-auth", &["user"]), "KS151", "has no key username"),
            (one("s", "kubernetes.io/dockerconfigjson", &["k"]), "KS151", ".dockerconfigjson"),
            (one("s", "example.com/own", &["k"]), "", ""),
            (one("S", "Opaque", &["k"]), "KS148", "secretName \"S\" is not a name of an object"),
            (one("s", "Opaque", &["a/b"]), "KS148", "data[0]: key \"a/b\" is not a key"),
            (one("s", "Opaque", &["a", "a"]), "KS148", "data[1]: key \"a\" is used twice"),
            (one("s", "kubernetes.io/service-account-token", &["k"]), "KS149", "is never made"),
            (one("s", "bootstrap.kubernetes.io/token", &["k"]), "KS149", "is never made"),
            (one("s", "helm.sh/release.v1", &["k"]), "KS149", "is never made"),
        ] {
            let error = check_secret_objects(std::slice::from_ref(&secret), &plan).err();
            let error = error.map(|error| error.to_string()).unwrap_or_default();
            assert!(error.starts_with(code) && error.contains(expected), "{secret:?}: {error}");
            assert_eq!(error.is_empty(), code.is_empty(), "{secret:?}: {error}");
        }
        let mut marked = one("s", "Opaque", &["k"]);
        marked.labels.insert("keysluice.dev/managed".into(), "true".into());
        let error = check_secret_objects(&[marked], &plan).unwrap_err().to_string();
        assert!(error.contains("labels: \"keysluice.dev/managed\" is reserved"), "{error}");
        let mut labelled = one("s", "Opaque", &["k"]);
        labelled.labels.insert("app".into(), "a b".into());
        let error = check_secret_objects(&[labelled], &plan).unwrap_err().to_string();
        assert!(error.starts_with("KS148 secretObjects[0]: labels: value \"a b\""), "{error}");
        let twice = [one("s", "Opaque", &["k"]), one("s", "Opaque", &["l"])];
        let error = check_secret_objects(&twice, &plan).unwrap_err().to_string();
        assert!(error.starts_with("KS148 secretObjects[1]: secretName \"s\" is used twice"));
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
            let files = layout(&plan.files, &plan.selections, &plan.templates).index();
            assert_eq!(files.contains(path), found, "{path}");
        }
        plan.selections[0] = SelectionPlan { directory: None, ..plan.selections[0].clone() };
        let files = layout(&plan.files, &plan.selections, &plan.templates).index();
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
