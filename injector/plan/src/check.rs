//! What makes a Plan good beyond the types of its fields.

use crate::{
    Collision, EntryPaths, LONGEST_WAIT_SECONDS, Layout, MOST_VERSIONS, PathError, Plan,
    RelativePath, SecretKey, check_selection_directory,
};
use std::collections::BTreeSet;

impl Plan {
    /// Parses and checks a Plan.
    ///
    /// # Errors
    /// [`PlanError::Json`] for anything serde refuses (the message names field, line and column);
    /// the others for references and paths that cannot work together.
    pub fn from_json(text: &str) -> Result<Self, PlanError> {
        let plan: Self = serde_json::from_str(text).map_err(PlanError::Json)?;
        plan.check()?;
        Ok(plan)
    }

    /// Checks what types alone cannot: references resolve, names are unique, directories are
    /// absolute, no two files collide.
    pub fn check(&self) -> Result<(), PlanError> {
        let mut identities = BTreeSet::new();
        for identity in &self.identities {
            if !identities.insert(identity.name.as_str()) {
                return Err(PlanError::DuplicateIdentity { name: identity.name.clone() });
            }
        }
        if self.start_timeout_seconds.is_some_and(|seconds| seconds > LONGEST_WAIT_SECONDS) {
            return Err(PlanError::StartTimeout);
        }
        check_directory(&self.run_directory)?;
        let mut directories = BTreeSet::new();
        for volume in &self.volumes {
            check_directory(&volume.directory)?;
            if !directories.insert(volume.directory.trim_end_matches('/')) {
                return Err(PlanError::DuplicateDirectory { directory: volume.directory.clone() });
            }
            if volume.refresh_interval_seconds == 0 {
                return Err(PlanError::RefreshInterval { volume: volume.name.clone() });
            }
            for selection in &volume.selections {
                if !identities.contains(selection.identity.as_str()) {
                    return Err(PlanError::UnknownSelectionIdentity {
                        volume: volume.name.clone(),
                        identity: selection.identity.clone(),
                    });
                }
                let too_long = |source| PlanError::Made { volume: volume.name.clone(), source };
                let directory = selection.directory.as_ref();
                directory.map_or(Ok(()), check_selection_directory).map_err(too_long)?;
            }
            for file in &volume.files {
                if !identities.contains(file.identity.as_str()) {
                    return Err(PlanError::UnknownIdentity {
                        path: file.path.clone(),
                        identity: file.identity.clone(),
                    });
                }
                if file.history.is_some_and(|versions| !(2..=MOST_VERSIONS).contains(&versions)) {
                    return Err(PlanError::History { path: file.path.clone() });
                }
                let too_long = |source| PlanError::Made { volume: volume.name.clone(), source };
                EntryPaths::from(file).check().map_err(too_long)?;
            }
            Layout::of(volume).path_set().map_err(|Collision { path, other, .. }| {
                let other = volume.files[other].path.clone();
                PlanError::PathCollision { path, other }
            })?;
        }
        self.check_secrets()?;
        self.check_reaction()
    }

    /// Every Secret once, every key once in it and from a file that its volume has.
    fn check_secrets(&self) -> Result<(), PlanError> {
        if let Some(kubernetes) = &self.kubernetes {
            check_directory(&kubernetes.directory)?;
        }
        let mut names = BTreeSet::new();
        for secret in &self.secrets {
            let refuse =
                |problem: String| Err(PlanError::Secret { name: secret.name.clone(), problem });
            if self.kubernetes.is_none() {
                return refuse("the plan has no field kubernetes".to_owned());
            }
            if !is_object_name(&secret.name) || !names.insert(&secret.name) {
                return refuse("it is not a name of a Secret, or is used twice".to_owned());
            }
            let mut keys = BTreeSet::new();
            for SecretKey { key, volume: name, path } in &secret.data {
                if !is_secret_key(key) || !keys.insert(key) {
                    return refuse(format!("key {key:?} is not valid, or is used twice"));
                }
                let Some(volume) = self.volumes.iter().find(|volume| volume.name == *name) else {
                    return refuse(format!("volume {name:?} is not in the plan"));
                };
                if !Layout::of(volume).index().contains(path.as_str()) {
                    return refuse(format!("volume {name:?} has no file {path}"));
                }
            }
        }
        Ok(())
    }
}

/// Whether an object can have this name: a DNS subdomain.
pub fn is_object_name(name: &str) -> bool {
    let is_label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !label.is_empty()
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

/// Whether a Secret can have this key.
pub fn is_secret_key(key: &str) -> bool {
    let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=253).contains(&key.len())
        && key.bytes().all(is_valid)
        && key != "."
        && !key.starts_with("..")
}

fn check_directory(directory: &str) -> Result<(), PlanError> {
    let relative =
        directory.strip_prefix('/').map(|rest| rest.trim_end_matches('/').parse::<RelativePath>());
    match relative {
        Some(Ok(_)) => Ok(()),
        _ => Err(PlanError::Directory { directory: directory.to_owned() }),
    }
}

/// Why a Plan was refused.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Not JSON, an unknown or missing field, or a value of the wrong form.
    #[error("the plan is not valid: {0}")]
    Json(#[source] serde_json::Error),
    /// Two identities share a name.
    #[error("identities: {name:?} is defined twice")]
    DuplicateIdentity {
        /// The name.
        name: String,
    },
    /// A file names an identity that is not defined.
    #[error("file {path}: identity {identity:?} is not defined in identities")]
    UnknownIdentity {
        /// The file.
        path: RelativePath,
        /// The name it uses.
        identity: String,
    },
    /// A selection names an identity that is not defined.
    #[error("volume {volume:?}: a selection's identity {identity:?} is not defined in identities")]
    UnknownSelectionIdentity {
        /// The volume.
        volume: String,
        /// The name it uses.
        identity: String,
    },
    /// A number of versions that makes no history, or is above the limit.
    #[error("file {path}: history must be 2 to {MOST_VERSIONS} versions")]
    History {
        /// The file.
        path: RelativePath,
    },
    /// A directory is relative or not in its plain form.
    #[error(
        "directory {directory:?} must be an absolute path without \"..\", \".\" or empty components"
    )]
    Directory {
        /// The path.
        directory: String,
    },
    /// Two volumes share a directory.
    #[error("directory {directory:?} is used by two volumes")]
    DuplicateDirectory {
        /// The path.
        directory: String,
    },
    /// A start that waits for longer than a day.
    #[error("startTimeoutSeconds must be at most {LONGEST_WAIT_SECONDS}")]
    StartTimeout,
    /// A refresh interval of zero.
    #[error("volume {volume:?}: refreshIntervalSeconds must be at least 1")]
    RefreshInterval {
        /// The volume.
        volume: String,
    },
    /// A version, half of a certificate or a selected secret would have no path.
    #[error("volume {volume:?}: {source}")]
    Made {
        /// The volume.
        volume: String,
        /// Its path.
        source: PathError,
    },
    /// A reaction that cannot be carried out.
    #[error("reaction: {problem}")]
    Reaction {
        /// What is wrong with it.
        problem: String,
    },
    /// A Secret that cannot be made.
    #[error("secret {name:?}: {problem}")]
    Secret {
        /// Its name.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Two files on one path, or a file where another needs a directory.
    #[error("file {path} collides with file {other} in the same volume")]
    PathCollision {
        /// The later file.
        path: RelativePath,
        /// The earlier file.
        other: RelativePath,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> serde_json::Value {
        serde_json::json!({
            "schema": 1,
            "startTimeoutSeconds": 30,
            "identities": [
                {"name": "a", "scope": "https://vault.azure.net/.default",
                 "credential": {"kind": "federated", "clientId": "c", "tenantId": "t",
                     "tokenFile": "/t", "authority": "https://login.microsoftonline.com/"}},
                {"name": "b", "scope": "https://vault.azure.net/.default",
                 "credential": {"kind": "managedIdentity", "endpoint": "http://169.254.169.254/"}}],
            "volumes": [{"name": "v", "directory": "/mnt/v", "refreshIntervalSeconds": 120,
                "files": [{"path": "db", "mode": "0644", "identity": "a",
                    "vault": "https://kv.vault.azure.net/", "type": "secret", "name": "db"}]}]
        })
    }

    #[test]
    fn a_plan_survives_a_round_trip() {
        let plan = Plan::from_json(&sample().to_string()).unwrap();
        assert_eq!(plan.run_directory, "/run/keysluice");
        let text = serde_json::to_string(&plan).unwrap();
        assert_eq!(Plan::from_json(&text).unwrap(), plan);
    }

    fn secret(name: &str, key: &str, volume: &str, path: &str) -> serde_json::Value {
        serde_json::json!({"name": name, "type": "Opaque", "class": "c",
            "data": [{"key": key, "volume": volume, "path": path}]})
    }

    #[test]
    fn secrets_are_made_from_files_of_the_plan() {
        let good = || secret("db", "password", "v", "db");
        let cases = [
            (vec![good()], None),
            (vec![good(), secret("db.2", "..p", "v", "db")], Some("key \"..p\" is not valid")),
            (vec![good(), good()], Some("is used twice")),
            (vec![secret("Db", "p", "v", "db")], Some("not a name of a Secret")),
            (vec![secret("a..b", "p", "v", "db")], Some("not a name of a Secret")),
            (vec![secret("db", "a b", "v", "db")], Some("key \"a b\" is not valid")),
            (vec![secret("db", "p", "w", "db")], Some("volume \"w\" is not in the plan")),
            (vec![secret("db", "p", "v", "other")], Some("volume \"v\" has no file other")),
        ];
        for (secrets, expected) in cases {
            let mut plan = sample();
            plan["kubernetes"] = serde_json::json!({"directory": "/api", "hasDriver": true});
            plan["secrets"] = secrets.into();
            let error = Plan::from_json(&plan.to_string()).err().map(|error| error.to_string());
            assert_eq!(error.is_some(), expected.is_some(), "{error:?}");
            assert!(error.is_none_or(|error| error.contains(expected.unwrap())), "{expected:?}");
        }
    }

    #[test]
    fn refused_plans_name_the_field() {
        let cases: &[(&str, serde_json::Value, &str)] = &[
            ("/schema", serde_json::json!(2), "schema 2 is not supported"),
            ("/volumes/0/files/0/colour", serde_json::json!("red"), "unknown field `colour`"),
            ("/identities/0/credential/secret", serde_json::json!("x"), "unknown field `secret`"),
            (
                "/volumes/0/files/0/identity",
                serde_json::json!("z"),
                "identity \"z\" is not defined",
            ),
            ("/volumes/0/files/0/mode", serde_json::json!("0999"), "is not octal"),
            ("/volumes/0/files/0/path", serde_json::json!("../x"), "must not contain '..'"),
            ("/volumes/0/directory", serde_json::json!("mnt"), "must be an absolute path"),
            ("/volumes/0/refreshIntervalSeconds", serde_json::json!(0), "must be at least 1"),
            ("/startTimeoutSeconds", serde_json::json!(86_401), "must be at most 86400"),
            ("/startTimeoutSeconds", serde_json::json!(u64::MAX), "must be at most 86400"),
            (
                "/volumes/0/files/0/vault",
                serde_json::json!("http://x/"),
                "must start with https://",
            ),
            (
                "/volumes/0/files/0/history",
                serde_json::json!(1),
                "history must be 2 to 500 versions",
            ),
            ("/volumes/0/files/0/jsonKey", serde_json::json!("a[x]"), "jsonKey"),
            ("/volumes/0/files/0/part", serde_json::json!("leaf"), "unknown variant `leaf`"),
            (
                "/reaction",
                serde_json::json!({"action": {"kind": "http", "url": "http://kv/"},
                    "spreadSeconds": 1}),
                "reaction: url \"http://kv/\" is not on the loopback",
            ),
            (
                "/reaction",
                serde_json::json!({"action": {"kind": "restart", "containers": []},
                    "spreadSeconds": 1}),
                "reaction: containers is empty",
            ),
            (
                "/secrets",
                serde_json::json!([secret("db", "password", "v", "db")]),
                "secret \"db\": the plan has no field kubernetes",
            ),
            (
                "/volumes/0/selections",
                serde_json::json!([{"mode": "0400", "identity": "z",
                    "vault": "https://kv.vault.azure.net/"}]),
                "a selection's identity \"z\" is not defined",
            ),
        ];
        for (pointer, value, expected) in cases {
            let mut plan = sample();
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            plan.pointer_mut(parent).unwrap()[key] = value.clone();
            let error = Plan::from_json(&plan.to_string()).unwrap_err().to_string();
            assert!(error.contains(expected), "{pointer}: {error}");
        }
    }

    #[test]
    fn two_files_on_one_path_are_refused() {
        for second in ["db", "db/inner"] {
            let mut plan = sample();
            let mut file = plan["volumes"][0]["files"][0].clone();
            file["path"] = second.into();
            plan["volumes"][0]["files"].as_array_mut().unwrap().push(file);
            let error = Plan::from_json(&plan.to_string()).unwrap_err();
            assert!(matches!(error, PlanError::PathCollision { .. }), "{error}");
        }
    }

    /// The sample with these fields over its file, and these files beside it.
    fn with(fields: &serde_json::Value, others: &[&str]) -> Result<Plan, String> {
        let mut plan = sample();
        let files = plan["volumes"][0]["files"].as_array_mut().unwrap();
        for path in others {
            let mut other = files[0].clone();
            other["path"] = (*path).into();
            files.push(other);
        }
        files[0].as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        Plan::from_json(&plan.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_half_of_a_certificate_has_a_place_of_its_own() {
        let split = serde_json::json!({"split": true});
        for (other, path) in [("db.crt", "db.crt"), ("db.key", "db.key"), ("db.key/x", "db.key")] {
            let expected = format!("file {path} collides with file {other} in the same volume");
            assert_eq!(with(&split, &[other]).unwrap_err(), expected);
            assert!(with(&serde_json::json!({}), &[other]).is_ok());
        }
        // Its halves stand below its directory, where nothing else may be.
        assert!(with(&serde_json::json!({"split": true, "history": 2}), &["db.crt"]).is_ok());
    }

    #[test]
    fn every_file_that_an_entry_makes_has_a_path() {
        let (long, deep) = ("x".repeat(253), "d/".repeat(31) + "d");
        for (fields, refused) in [
            (serde_json::json!({"path": long}), false),
            (serde_json::json!({"path": long, "split": true}), true),
            (serde_json::json!({"path": long, "split": true, "history": 2}), false),
            (serde_json::json!({"path": deep}), false),
            (serde_json::json!({"path": deep, "history": 2}), true),
        ] {
            let error = with(&fields, &[]).err();
            assert_eq!(error.is_some(), refused, "{fields}");
            assert!(
                error.is_none_or(|error| error.starts_with("volume \"v\": file name ")),
                "{fields}"
            );
        }
        let mut plan = sample();
        for (directory, refused) in
            [("d/".repeat(30) + "d", false), (deep, true), ("d".repeat(255), false)]
        {
            plan["volumes"][0]["selections"] = serde_json::json!([{"mode": "0400", "identity": "a",
                "vault": "https://kv.vault.azure.net/", "directory": directory}]);
            assert_eq!(Plan::from_json(&plan.to_string()).is_err(), refused, "{directory}");
        }
    }
}
