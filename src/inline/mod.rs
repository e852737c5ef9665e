//! Inline references: one line of an annotation instead of an object of a `SecretProviderClass`.
//! Both yield the same plan of a volume. Pure.
//!
//! `kv://VAULT/secrets/NAME/VERSION?mode=0400`, `kv:///secrets/NAME` or `secrets/NAME`.

mod error;
mod query;
mod reference;
mod templates;
mod variables;

pub use error::{InlineCause, InlineError};
pub use query::{QUERY, Word};
pub(crate) use variables::{name_of, of_class};

use crate::provider_class::{self, ClassPlan, Context, FilePlan};
use keysluice_plan::{EntryPaths, FileMode, Layout, RelativePath, VariableName};
use reference::Reference;

/// What the names of Keysluice's own variables begin with.
const RESERVED_PREFIX: &str = "KEYSLUICE_";
/// What the webhook sets for the identity.
const OF_IDENTITY: [&str; 8] = [
    "AZURE_CLIENT_ID",
    "AZURE_TENANT_ID",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_AUTHORITY_HOST",
    "AZURE_KUBERNETES_TOKEN_PROXY",
    "AZURE_KUBERNETES_SNI_NAME",
    "AZURE_KUBERNETES_CA_FILE",
    "AZURE_KUBERNETES_CA_DATA",
];
/// What Kubernetes allows behind the slash of an annotation's key.
const MAX_KEY_BYTES: usize = 63;

/// One annotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    /// Its key, `keysluice.dev/file.db`.
    pub(crate) key: &'a str,
    /// What follows the kind: `db`.
    pub(crate) name: &'a str,
    /// Its value.
    pub(crate) reference: &'a str,
}

/// What the annotations of files come to; the reference of a template is its text.
pub(crate) fn files(
    entries: &[Entry<'_>],
    templates: &[Entry<'_>],
    default_vault: Option<&str>,
    context: &Context<'_>,
) -> Result<ClassPlan, InlineError> {
    let plan = plan(entries, default_vault, context, |entry, index, reference| {
        let query = &reference.query;
        let path: RelativePath = match &query.path {
            Some(path) => path.clone(),
            None => entry.name.parse().map_err(|source| InlineCause::FileName { source })?,
        };
        let paths = EntryPaths { path: &path, history: query.history, split: false };
        paths.check().map_err(|source| InlineCause::FileName { source })?;
        let mode = query.mode.unwrap_or(FileMode::DEFAULT);
        Ok(FilePlan {
            path,
            mode,
            history: query.history,
            owner: query.owner,
            group: query.group,
            ..reference.file(index)
        })
    })?;
    templates::add(plan, entries, templates)
}

/// What the annotations of variables come to: each variable is a file of its name. With
/// `for_kubelet` the file is one that the kubelet reads.
pub(crate) fn variables(
    entries: &[Entry<'_>],
    default_vault: Option<&str>,
    for_kubelet: bool,
    context: &Context<'_>,
) -> Result<ClassPlan, InlineError> {
    plan(entries, default_vault, context, |entry, index, reference| {
        if let Some(key) = reference.query.of_files() {
            return Err(InlineCause::Together {
                problem: format!("{key} is for files, not variables"),
            });
        }
        let name = variable(entry.name)?;
        Ok(variable_file(reference.file(index), name, for_kubelet))
    })
}

/// The file of a variable. Its mode does not matter to the kubelet, which is root; whoever mounts
/// the volume may read it.
fn variable_file(file: FilePlan, name: VariableName, for_kubelet: bool) -> FilePlan {
    FilePlan {
        path: name.as_str().parse().expect("a C identifier is a path of one component"),
        mode: FileMode::DEFAULT,
        history: None,
        split: false,
        owner: None,
        group: None,
        variable: for_kubelet.then_some(name),
        ..file
    }
}

/// A name that a variable of the pod may have.
fn variable(name: &str) -> Result<VariableName, InlineCause> {
    let is_reserved = name.starts_with(RESERVED_PREFIX) || OF_IDENTITY.contains(&name);
    if is_reserved {
        return Err(InlineCause::Reserved { name: name.to_owned() });
    }
    name.parse().map_err(|source| InlineCause::VariableName { source })
}

fn plan(
    entries: &[Entry<'_>],
    default_vault: Option<&str>,
    context: &Context<'_>,
    make: impl Fn(&Entry<'_>, usize, &Reference) -> Result<FilePlan, InlineCause>,
) -> Result<ClassPlan, InlineError> {
    let mut files = Vec::with_capacity(entries.len());
    let (identity, cloud) = provider_class::of_pod(context)
        .map_err(|source| InlineError::new(entries[0].key, InlineCause::Class { source }))?;
    for (index, entry) in entries.iter().enumerate() {
        let file = check_length(entry.key)
            .and_then(|()| Reference::parse(entry.reference, default_vault, &cloud, context.limits))
            .and_then(|reference| make(entry, index, &reference));
        files.push(file.map_err(|cause| InlineError::new(entry.key, cause))?);
    }
    let paths = files.iter().map(|file| EntryPaths {
        path: &file.path,
        history: file.history,
        split: false,
    });
    Layout::new(paths, []).path_set().map_err(|collision| {
        let cause = InlineCause::Collision {
            path: collision.path,
            other: entries[collision.other].key.to_owned(),
        };
        InlineError::new(entries[collision.entry].key, cause)
    })?;
    Ok(ClassPlan {
        identity,
        cloud,
        files,
        selections: Vec::new(),
        templates: Vec::new(),
        refresh_interval: None,
        mode: None,
        warnings: Vec::new(),
    })
}

fn check_length(key: &str) -> Result<(), InlineCause> {
    let length = key.split_once('/').map_or(0, |(_, name)| name.len());
    if length > MAX_KEY_BYTES {
        return Err(InlineCause::KeyLength { length, limit: MAX_KEY_BYTES });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
