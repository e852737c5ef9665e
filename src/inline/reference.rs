//! `kv://VAULT/secrets/NAME/VERSION?mode=0400`, in one of its forms.

use super::error::{InlineCause, cut};
use super::query::Query;
use crate::cloud::Cloud;
use crate::provider_class::{Allowlist, FilePlan, vault_of};
use crate::spelling;
use keysluice_plan::{FileMode, ObjectName, ObjectType, ObjectVersion, Part, VaultUrl};

const SCHEME: &str = "kv://";
/// Kinds of objects, as the URLs of Key Vault have them.
const KINDS: [(&str, ObjectType); 3] = [
    ("secrets", ObjectType::Secret),
    ("keys", ObjectType::Key),
    ("certificates", ObjectType::Cert),
];
/// The longest that can be meant: a host, an object with its version, and every word of the query.
const MAX_BYTES: usize = 8 << 10;

/// An object, where it is, and how it becomes a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    vault: VaultUrl,
    object_type: ObjectType,
    name: ObjectName,
    version: Option<ObjectVersion>,
    pub(super) query: Query,
}

impl Reference {
    pub(super) fn parse(
        text: &str,
        default_vault: Option<&str>,
        cloud: &Cloud,
        limits: &Allowlist,
    ) -> Result<Self, InlineCause> {
        if text.len() > MAX_BYTES {
            return Err(InlineCause::form(text, format!("it has more than {MAX_BYTES} bytes")));
        }
        let (object, query) = text.split_once('?').unwrap_or((text, ""));
        let (vault, path) = match object.strip_prefix(SCHEME) {
            Some(rest) => rest.split_once('/').ok_or_else(|| {
                InlineCause::form(text, "it ends after the vault; write kv://VAULT/secrets/NAME")
            })?,
            None if object.starts_with("https://") => {
                let problem = "it is a URL; write kv:// instead of https://";
                return Err(InlineCause::form(text, problem));
            }
            None if object.contains("://") => {
                return Err(InlineCause::form(text, "it begins with another scheme than kv://"));
            }
            None => ("", object),
        };
        let segments: Vec<&str> = path.split('/').collect();
        let (kind, name, version) = match segments[..] {
            [kind, name] => (kind, name, None),
            [kind, name, version] => (kind, name, Some(version)),
            _ => {
                let problem = "the path is KIND/NAME or KIND/NAME/VERSION, as in secrets/db";
                return Err(InlineCause::form(text, problem));
            }
        };
        let object_type = object_type(kind).map_err(|problem| InlineCause::form(text, problem))?;
        let name: ObjectName = name.parse().map_err(|source| InlineCause::ObjectName { source })?;
        let query = Query::parse(query)?;
        query.check(object_type)?;
        let version = match (version, query.has_version()) {
            (Some(_), true) => {
                let problem = "the version is there twice: in the path and in the query".to_owned();
                return Err(InlineCause::Together { problem });
            }
            (Some(latest), false) if latest.eq_ignore_ascii_case("latest") => None,
            (Some(version), false) => {
                let version: Result<ObjectVersion, _> = version.parse();
                Some(version.map_err(|error| InlineCause::form(text, error.to_string()))?)
            }
            (None, _) => query.version.clone(),
        };
        let vault = if vault.is_empty() { default_vault.unwrap_or_default() } else { vault };
        let vault = vault_of(vault, cloud, limits);
        let vault = vault.map_err(|source| InlineCause::Vault { source })?;
        let vault = vault.ok_or_else(|| InlineCause::VaultMissing { value: cut(text) })?;
        Ok(Self { vault, object_type, name, version, query })
    }

    /// The file of the object; path and mode are the caller's.
    pub(super) fn file(&self, index: usize) -> FilePlan {
        let query = &self.query;
        // A certificate's secret carries its chain and its key too.
        let is_of_secret = query.part.is_some_and(|part| part != Part::Cert);
        FilePlan {
            path: self.name.as_str().parse().expect("the name of an object is a path"),
            mode: FileMode::DEFAULT,
            vault: self.vault.clone(),
            object_type: if is_of_secret { ObjectType::Secret } else { self.object_type },
            name: self.name.clone(),
            version: self.version.clone(),
            format: query.format.unwrap_or_default(),
            encoding: query.encoding.unwrap_or_default(),
            history: None,
            part: query.part,
            split: false,
            json_key: query.json_key.clone(),
            optional: query.optional,
            owner: None,
            group: None,
            variable: None,
            index,
        }
    }
}

fn object_type(kind: &str) -> Result<ObjectType, String> {
    if kind.is_empty() {
        return Err("there is nothing before a slash of its path".to_owned());
    }
    if let Some((_, object_type)) = KINDS.iter().find(|(known, _)| *known == kind) {
        return Ok(*object_type);
    }
    let nearest = spelling::nearest(kind, &KINDS.map(|(known, _)| known), 4);
    let hint = nearest.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
    // Not shown: it may be the beginning of a secret.
    Err(format!("its path begins with something else than secrets, keys or certificates{hint}"))
}
