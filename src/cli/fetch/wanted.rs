//! What to fetch: references and classes to one volume of one Plan. Pure.

use super::error::{Cause, FetchError};
use super::names::Names;
use crate::inline::{self, Entry, InlineCause, InlineError};
use crate::plan;
use crate::provider_class::{ClassCause, ClassPlan, Context, ProviderClass, resolve};
use keysluice_plan::{Credential, FileMode, Plan};
use std::collections::BTreeMap;
use std::time::Duration;

/// Name of the one volume.
const VOLUME: &str = "fetch";
/// Not used by a run that ends after one round.
const INTERVAL: Duration = Duration::from_secs(3600);

/// What the command line asks for.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    /// `NAME=kv://VAULT/secrets/NAME`, or without `NAME=`.
    pub(super) references: &'a [String],
    /// The vault of references that name none.
    pub(super) vault: Option<&'a str>,
    /// The classes, each for provider `azure`.
    pub(super) classes: Vec<&'a ProviderClass>,
    /// Clouds and limits; the identity of the command line.
    pub(super) context: Context<'a>,
    /// Client and tenant id of a ServiceAccount among the manifests.
    pub(super) account: (Option<&'a str>, Option<&'a str>),
}

/// Where the Plan is carried out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    /// Directory of the files.
    pub(super) directory: &'a str,
    /// The assertion.
    pub(super) token_file: &'a str,
    /// Whether others read the files, so that modes and groups matter.
    pub(super) is_for_others: bool,
}

/// What the classes and references come to.
#[derive(Debug)]
pub(super) struct Resolved<'a> {
    references: Option<ClassPlan>,
    pub(super) classes: Vec<(&'a ProviderClass, ClassPlan)>,
    pub(super) names: Names,
}

impl<'a> Wanted<'a> {
    /// Reads all of them.
    pub(super) fn resolve(&self) -> Result<Resolved<'a>, FetchError> {
        if self.references.is_empty() && self.classes.is_empty() {
            return Err(Cause::Usage("there is nothing to fetch: no reference and no class").into());
        }
        let mut names = Names::default();
        let references = match self.references {
            [] => None,
            references => Some(self.of_references(references, &mut names)?),
        };
        let classes = self.classes.iter().map(|class| Ok((*class, self.of_class(class)?)));
        let classes = classes.collect::<Result<_, FetchError>>()?;
        Ok(Resolved { references, classes, names })
    }

    fn of_references(
        &self,
        references: &[String],
        names: &mut Names,
    ) -> Result<ClassPlan, FetchError> {
        if self.context.client_id.is_none() {
            return Err(missing("the client id", "the references").into());
        }
        if self.context.tenant_id.is_none() {
            return Err(missing("the tenant id", "the references").into());
        }
        let mut entries = Vec::with_capacity(references.len());
        for text in references {
            let (name, reference) = split(text);
            if self.vault.is_none() && names_no_vault(reference) {
                return Err(Cause::NoVault { reference: text.clone() }.into());
            }
            let name = name.unwrap_or_else(|| object_name(reference));
            entries.push(Entry { key: text, name, reference });
        }
        let plan = inline::files(&entries, &[], self.vault, &self.context).map_err(of_reference)?;
        for (text, file) in references.iter().zip(&plan.files) {
            if let (Some(name), _) = split(text) {
                names.give(file.path.as_str(), name);
            }
        }
        Ok(plan)
    }

    /// The identity of the command line goes before that of the class, which is the pods'.
    fn of_class(&self, class: &ProviderClass) -> Result<ClassPlan, FetchError> {
        let mut attributes = BTreeMap::new();
        if let Some(client_id) = self.context.client_id {
            let federated = [
                ("clientID", client_id),
                ("usePodIdentity", "false"),
                ("useVMManagedIdentity", "false"),
                ("useAzureTokenProxy", "false"),
            ];
            attributes.extend(federated.map(|(key, value)| (key.to_owned(), value.to_owned())));
        }
        if let Some(tenant_id) = self.context.tenant_id {
            attributes.insert("tenantID".to_owned(), tenant_id.to_owned());
        }
        let context = Context {
            client_id: self.context.client_id.or(self.account.0),
            tenant_id: self.context.tenant_id.or(self.account.1),
            ..self.context
        };
        resolve(class, &attributes, &context).map_err(|source| {
            let named = format!("{}/{}", class.namespace, class.name);
            let cause = match source.cause() {
                ClassCause::ClientMissing { .. } => {
                    missing("the client id", &format!("class {named}"))
                }
                ClassCause::TenantMissing { .. } => {
                    missing("the tenant id", &format!("class {named}"))
                }
                _ => Cause::Class { class: named, source },
            };
            cause.into()
        })
    }
}

/// That an id of the identity is not given, and what needs it.
fn missing(id: &'static str, subject: &str) -> Cause {
    Cause::Identity { what: id, place: format!(" (for {subject})") }
}

impl Resolved<'_> {
    /// One volume with all files: all of them are written, or none.
    pub(super) fn plan(&self, place: Place<'_>) -> Result<Plan, FetchError> {
        let mut plan = plan::empty(true);
        for class in self.references.iter().chain(self.classes.iter().map(|(_, class)| class)) {
            let target = plan::Target {
                name: VOLUME,
                directory: place.directory.to_owned(),
                token_file: place.token_file,
                token_proxy: None,
                refresh_interval: INTERVAL,
            };
            plan::add_volume(&mut plan, class, target);
        }
        let mut volumes = std::mem::take(&mut plan.volumes).into_iter();
        let mut all = volumes.next().expect("there is a class or a reference");
        for volume in volumes {
            all.files.extend(volume.files);
            all.selections.extend(volume.selections);
            all.templates.extend(volume.templates);
        }
        if !place.is_for_others {
            let own: FileMode = "0600".parse().expect("0600 is a mode");
            all.files.iter_mut().for_each(|file| (file.mode, file.group) = (own, None));
            all.selections.iter_mut().for_each(|set| (set.mode, set.group) = (own, None));
            all.templates.iter_mut().for_each(|made| (made.mode, made.group) = (own, None));
        }
        plan.volumes.push(all);
        plan.check().map_err(|source| Cause::Plan { source })?;
        Ok(plan)
    }

    /// Paths that are known before anything is fetched. Of a history each version is a file.
    pub(super) fn paths(&self) -> Vec<String> {
        let classes = self.references.iter().chain(self.classes.iter().map(|(_, class)| class));
        let paths = classes.flat_map(|class| {
            let files = class.files.iter().map(|file| match file.history {
                Some(_) => format!("{}/0", file.path),
                None => file.path.to_string(),
            });
            files.chain(class.templates.iter().map(|made| made.path.to_string()))
        });
        paths.collect()
    }
}

/// What two annotations cannot have in common two references cannot either.
fn of_reference(source: InlineError) -> Cause {
    match source.cause() {
        InlineCause::Collision { path, other } => Cause::SameFile {
            reference: source.key().to_owned(),
            other: other.clone(),
            path: path.to_string(),
        },
        _ => Cause::Reference { source },
    }
}

/// Whether an assertion is needed.
pub(super) fn is_federated(plan: &Plan) -> bool {
    plan.identities.iter().any(|one| matches!(one.credential, Credential::Federated { .. }))
}

/// `NAME=REFERENCE`. An `=` in the query of a reference is not one of these.
fn split(text: &str) -> (Option<&str>, &str) {
    match text.split_once('=') {
        Some((name, reference)) if !name.contains(['/', ':', '?']) => (Some(name), reference),
        _ => (None, text),
    }
}

fn names_no_vault(reference: &str) -> bool {
    match reference.strip_prefix("kv://") {
        Some(rest) => rest.starts_with('/'),
        None => !reference.contains("://") && reference.contains('/'),
    }
}

/// The second segment of the path; whether it is a name is checked with the reference.
fn object_name(reference: &str) -> &str {
    let object = reference.split('?').next().unwrap_or_default();
    let path = match object.strip_prefix("kv://") {
        Some(rest) => rest.split_once('/').map_or("", |(_, path)| path),
        None => object,
    };
    path.split('/').nth(1).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_stands_before_the_first_equals_sign_unless_that_is_of_the_query() {
        for (text, name, reference) in [
            ("A=kv://v/secrets/x", Some("A"), "kv://v/secrets/x"),
            ("A=kv://v/secrets/x?mode=0400", Some("A"), "kv://v/secrets/x?mode=0400"),
            ("kv://v/secrets/x?mode=0400", None, "kv://v/secrets/x?mode=0400"),
            ("secrets/x?mode=0400", None, "secrets/x?mode=0400"),
            ("=kv://v/secrets/x", Some(""), "kv://v/secrets/x"),
            ("A", None, "A"),
        ] {
            assert_eq!(split(text), (name, reference), "{text}");
        }
    }

    #[test]
    fn without_a_name_the_object_names_the_file() {
        for (reference, name) in [
            ("kv://v/secrets/db-password", "db-password"),
            ("kv://v/secrets/db/0123?mode=0400", "db"),
            ("kv:///keys/sign", "sign"),
            ("secrets/db", "db"),
            ("kv://v", ""),
        ] {
            assert_eq!(object_name(reference), name, "{reference}");
        }
    }

    #[test]
    fn a_reference_without_a_vault_is_recognised() {
        assert!(names_no_vault("secrets/x") && names_no_vault("kv:///secrets/x"));
        assert!(!names_no_vault("kv://v/secrets/x") && !names_no_vault("https://v/secrets/x"));
    }
}
