//! The values of the annotations for inline files and variables.

use super::bounds::MAX_CONTAINERS;
use crate::settings::EnvMode;
use keysluice_plan::{RelativePath, is_label, is_object_name};
use std::collections::{BTreeMap, BTreeSet};

/// What precedes the name of a file.
pub(super) const FILE_PREFIX: &str = "keysluice.dev/file.";
/// What precedes the name of a variable.
pub(super) const ENV_PREFIX: &str = "keysluice.dev/env.";
/// What precedes the name of a file that a template makes.
pub(super) const TEMPLATE_PREFIX: &str = "keysluice.dev/template.";
pub(super) const ENV_FROM: &str = "keysluice.dev/env-from";

/// Where files go if the pod does not say.
const DEFAULT_MOUNT_PATH: &str = "/mnt/secrets-store";
/// Directories of the token and of the sidecar's parts, which nothing may cover.
const OWN_DIRECTORIES: [&str; 6] =
    ["/var/run/secrets", "/run/secrets", "/run/keysluice", "/proc", "/sys", "/dev"];

/// What a pod says about files and variables without a class.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InlineAnnotations {
    /// `keysluice.dev/file.NAME`: value by key.
    pub files: BTreeMap<String, String>,
    /// `keysluice.dev/template.NAME`: value by key.
    pub templates: BTreeMap<String, String>,
    /// `keysluice.dev/env.NAME`: value by key.
    pub variables: BTreeMap<String, String>,
    /// `keysluice.dev/env-from`: a class.
    pub env_from: Option<String>,
    /// `keysluice.dev/vault`: a name or a host.
    pub vault: Option<String>,
    /// `keysluice.dev/mount-path` of the files.
    pub mount_path: Option<String>,
    /// `keysluice.dev/containers` that get them.
    pub containers: Option<Vec<String>>,
    /// `keysluice.dev/env-mode`.
    pub env_mode: Option<EnvMode>,
}

impl InlineAnnotations {
    /// Takes an annotation whose key has the name of a file or variable.
    pub(super) fn take(&mut self, key: &str, value: &str) {
        let list = if key.starts_with(FILE_PREFIX) {
            &mut self.files
        } else if key.starts_with(TEMPLATE_PREFIX) {
            &mut self.templates
        } else {
            &mut self.variables
        };
        list.insert(key.to_owned(), value.to_owned());
    }

    /// Whether there are variables.
    pub(super) fn has_variables(&self) -> bool {
        !self.variables.is_empty() || self.env_from.is_some()
    }

    /// Whether anything is asked for.
    pub(super) fn is_wanted(&self) -> bool {
        !self.files.is_empty() || self.has_variables()
    }

    /// Where the files go.
    pub(super) fn mount_path(&self) -> &str {
        self.mount_path.as_deref().unwrap_or(DEFAULT_MOUNT_PATH)
    }

    /// The first annotation that has nothing to belong to.
    pub(super) fn alone(&self) -> Option<&'static str> {
        let has_references = !self.files.is_empty() || !self.variables.is_empty();
        let annotations = [
            ("keysluice.dev/vault", self.vault.is_some() && !has_references),
            ("keysluice.dev/template.NAME", !self.templates.is_empty() && self.files.is_empty()),
            ("keysluice.dev/mount-path", self.mount_path.is_some() && self.files.is_empty()),
            ("keysluice.dev/containers", self.containers.is_some() && !self.is_wanted()),
            ("keysluice.dev/env-mode", self.env_mode.is_some() && !self.has_variables()),
        ];
        annotations.into_iter().find(|(_, is_alone)| *is_alone).map(|(key, _)| key)
    }
}

/// Whether a key has the name of a file or variable.
pub(super) fn is_reference(key: &str) -> bool {
    [FILE_PREFIX, ENV_PREFIX, TEMPLATE_PREFIX].iter().any(|prefix| key.starts_with(prefix))
}

/// The kind of annotation that a key with a name is meant to be.
pub(super) fn nearest(key: &str) -> Option<&'static str> {
    let key = key.strip_prefix("keysluice.dev/")?;
    let kinds = ["file", "env", "template"];
    let meant = match key.split_once('.') {
        Some((kind, name)) => {
            crate::spelling::nearest(kind, &kinds, 2).filter(|_| !name.is_empty())
        }
        // `file` alone, or a dash in place of the dot: `env-DB_PASSWORD`.
        None => kinds.into_iter().find(|kind| {
            let rest = key.strip_prefix(kind).map(|rest| rest.strip_prefix('s').unwrap_or(rest));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['_', '-', '/']))
        }),
    };
    match meant? {
        "env" => Some("keysluice.dev/env.NAME"),
        "template" => Some("keysluice.dev/template.NAME"),
        _ => Some("keysluice.dev/file.NAME"),
    }
}

pub(super) fn class(value: &str) -> Option<String> {
    is_object_name(value).then(|| value.to_owned())
}

/// A vault's name or host; whether it is one of the cloud is known later.
pub(super) fn vault(value: &str) -> Option<String> {
    let is_host = (1..=253).contains(&value.len())
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
    is_host.then(|| value.to_owned())
}

/// An absolute path without `.` and `..`, outside of our own directories.
pub(super) fn mount_path(value: &str) -> Option<String> {
    let path: RelativePath = value.strip_prefix('/')?.trim_end_matches('/').parse().ok()?;
    let path = format!("/{path}");
    let is_free = !OWN_DIRECTORIES.into_iter().any(|own| is_within(&path, own));
    // A colon separates the parts of a mount for the container runtime.
    (is_free && !path.contains(':') && !path.chars().any(char::is_control)).then_some(path)
}

/// The first of our own directories that a mount at this path would cover.
pub(super) fn covered_by(path: &str) -> Option<&'static str> {
    OWN_DIRECTORIES.into_iter().find(|own| is_within(own, path))
}

/// Whether an absolute path is that of a directory, or below it.
pub(super) fn is_within(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// `app, worker`; each counts once. No pod has more than [`MAX_CONTAINERS`].
pub(super) fn containers(value: &str) -> Option<Vec<String>> {
    let (mut names, mut known) = (Vec::new(), BTreeSet::new());
    for name in value.split(',').map(str::trim) {
        if !is_label(name) {
            return None;
        }
        if known.insert(name) {
            names.push(name.to_owned());
        }
        if names.len() > MAX_CONTAINERS {
            return None;
        }
    }
    Some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_containers_and_vaults_are_checked() {
        let paths = [
            ("/mnt/x/", Some("/mnt/x")),
            ("/a", Some("/a")),
            ("/", None),
            ("", None),
            ("mnt", None),
            ("/a/../b", None),
            ("/a//b", None),
            ("/a:b", None),
            ("/proc", None),
            ("/var/run/secrets/azure", None),
            ("/run/keysluice/env", None),
            ("/run/secretsx", Some("/run/secretsx")),
        ];
        for (value, expected) in paths {
            assert_eq!(mount_path(value).as_deref(), expected, "{value}");
        }
        for (path, covered) in [
            ("/var", Some("/var/run/secrets")),
            ("/var/run", Some("/var/run/secrets")),
            ("/run", Some("/run/secrets")),
            ("/var/run/app", None),
            ("/var/r", None),
        ] {
            assert_eq!(covered_by(path), covered, "{path}");
        }
        assert_eq!(containers("app, b,app"), Some(vec!["app".to_owned(), "b".to_owned()]));
        assert_eq!((containers(""), containers("a,,b"), containers("A")), (None, None, None));
        assert!(vault("kv-1").is_some() && vault("kv-1.vault.azure.net").is_some());
        assert!(vault("").is_none() && vault("kv/1").is_none() && vault("https://kv").is_none());
        assert_eq!(nearest("keysluice.dev/files.db"), Some("keysluice.dev/file.NAME"));
        assert_eq!(nearest("keysluice.dev/Env.DB"), Some("keysluice.dev/env.NAME"));
        assert_eq!(nearest("keysluice.dev/other.db"), None);
        assert_eq!(nearest("keysluice.dev/file"), Some("keysluice.dev/file.NAME"));
        assert_eq!(nearest("keysluice.dev/templates"), Some("keysluice.dev/template.NAME"));
        assert_eq!(nearest("keysluice.dev/gate"), None);
    }
}
