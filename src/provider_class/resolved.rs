//! Classes that were resolved lately: most pods of a class bring the same attributes and the same
//! identity.
//!
//! What a class comes to is kept with the class, so it goes when the class changes; how much all
//! classes of a cluster may keep so is bounded in bytes.

use super::fingerprint;
use super::{
    ClassError, ClassPlan, Context, FilePlan, ProviderClass, SelectionPlan, TemplatePlan, resolve,
};
use crate::heap;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

/// Different attributes or identities that are remembered of one class.
const MOST_PLANS: usize = 4;

/// The plans of all classes of a cluster; the oldest go where they would take more than
/// `limit_bytes`.
#[derive(Debug)]
pub(crate) struct Plans {
    limit_bytes: usize,
    kept: Mutex<(VecDeque<Arc<Resolved>>, usize)>,
}

impl Plans {
    /// No plans yet.
    pub(crate) fn new(limit_bytes: usize) -> Self {
        Self { limit_bytes, kept: Mutex::default() }
    }

    /// What they may take.
    pub(crate) fn limit_bytes(&self) -> usize {
        self.limit_bytes
    }

    fn keep(&self, resolved: &Arc<Resolved>) {
        let mut kept = lock(&self.kept);
        let (queue, bytes) = &mut *kept;
        if resolved.bytes > self.limit_bytes / 4 {
            return;
        }
        *bytes += resolved.bytes;
        queue.push_back(Arc::clone(resolved));
        while *bytes > self.limit_bytes {
            let Some(oldest) = queue.pop_front() else { break };
            *bytes -= oldest.bytes;
        }
    }

    /// What they take.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        lock(&self.kept).1
    }
}

/// What a class came to with one volume's attributes in one pod's surroundings.
#[derive(Debug)]
struct Resolved {
    attributes: Vec<(String, String)>,
    surroundings: Surroundings,
    plan: Result<Arc<ClassPlan>, ClassError>,
    bytes: usize,
}

impl Resolved {
    fn has_attributes(&self, attributes: &[(&str, &str)]) -> bool {
        self.attributes.iter().map(|(key, value)| (&**key, &**value)).eq(attributes.iter().copied())
    }
}

/// What of a [`Context`] a plan depends on.
#[derive(Debug, PartialEq, Eq)]
struct Surroundings {
    client_id: Option<String>,
    tenant_id: Option<String>,
    service_principal: Option<String>,
    /// Of the operator's settings; no stranger chooses them.
    settings: u64,
}

impl Surroundings {
    fn is(&self, context: &Context<'_>, settings: u64) -> bool {
        self.settings == settings
            && self.client_id.as_deref() == context.client_id
            && self.tenant_id.as_deref() == context.tenant_id
            && self.service_principal.as_deref() == context.service_principal
    }
}

/// The plans that are remembered of one class.
#[derive(Default)]
pub(crate) struct Memory {
    /// Where they are counted; a class of a manifest keeps its own.
    plans: Option<Arc<Plans>>,
    known: Mutex<Vec<Known>>,
    fingerprint: OnceLock<String>,
}

enum Known {
    Own(Arc<Resolved>),
    Counted(Weak<Resolved>),
}

impl Known {
    fn get(&self) -> Option<Arc<Resolved>> {
        match self {
            Self::Own(resolved) => Some(Arc::clone(resolved)),
            Self::Counted(resolved) => resolved.upgrade(),
        }
    }
}

impl ProviderClass {
    /// The same class, whose plans count among these.
    pub(crate) fn counted_in(mut self, plans: &Arc<Plans>) -> Self {
        self.memory.plans = Some(Arc::clone(plans));
        self
    }

    /// Tells this content of the class from every other, in any process; it takes no part in what a
    /// class is worth, and metadata takes none in it.
    pub(crate) fn fingerprint(&self) -> &str {
        self.memory.fingerprint.get_or_init(|| fingerprint::of(self))
    }

    /// As [`resolve`], from memory where the class was resolved so before.
    pub(crate) fn resolved(
        &self,
        attributes: &[(&str, &str)],
        context: &Context<'_>,
    ) -> Result<Arc<ClassPlan>, ClassError> {
        let settings = of_settings(context);
        let mut known = lock(&self.memory.known);
        let found = known.iter().filter_map(Known::get).find(|resolved| {
            resolved.surroundings.is(context, settings) && resolved.has_attributes(attributes)
        });
        if let Some(resolved) = found {
            return resolved.plan.clone();
        }
        let attributes: Vec<(String, String)> = attributes
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let merged: BTreeMap<String, String> = attributes.iter().cloned().collect();
        let plan = resolve(self, &merged, context).map(Arc::new);
        let surroundings = Surroundings {
            client_id: context.client_id.map(str::to_owned),
            tenant_id: context.tenant_id.map(str::to_owned),
            service_principal: context.service_principal.map(str::to_owned),
            settings,
        };
        let bytes = bytes_of(&attributes, &surroundings, &plan);
        let resolved = Arc::new(Resolved { attributes, surroundings, plan, bytes });
        known.retain(|known| known.get().is_some());
        if known.len() == MOST_PLANS {
            known.remove(0);
        }
        known.push(match &self.memory.plans {
            Some(plans) => {
                plans.keep(&resolved);
                Known::Counted(Arc::downgrade(&resolved))
            }
            None => Known::Own(Arc::clone(&resolved)),
        });
        resolved.plan.clone()
    }
}

fn of_settings(context: &Context<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    (context.clouds, context.limits, context.split_certificates, context.token_proxy)
        .hash(&mut hasher);
    hasher.finish()
}

fn bytes_of(
    attributes: &[(String, String)],
    surroundings: &Surroundings,
    plan: &Result<Arc<ClassPlan>, ClassError>,
) -> usize {
    let attributes: usize = attributes
        .iter()
        .map(|(key, value)| {
            size_of::<(String, String)>() + heap::block(key.len()) + heap::block(value.len())
        })
        .sum();
    let ids = [&surroundings.client_id, &surroundings.tenant_id, &surroundings.service_principal];
    let ids: usize = ids.into_iter().flatten().map(|id| heap::block(id.len())).sum();
    let plan = match plan {
        Ok(plan) => plan_bytes(plan),
        // Names and values of the class, at most; each stands there once or twice.
        Err(error) => 1024 + 2 * error.to_string().len(),
    };
    heap::block(size_of::<Resolved>()) + attributes + ids + plan
}

fn plan_bytes(plan: &ClassPlan) -> usize {
    let files: usize = plan.files.iter().map(file_bytes).sum();
    let selections: usize = plan.selections.iter().map(selection_bytes).sum();
    let templates: usize = plan.templates.iter().map(template_bytes).sum();
    let warnings: usize =
        plan.warnings.iter().map(|warning| 64 + heap::block(warning.text.len())).sum();
    // The cloud and the identity: a dozen short texts.
    2048 + files + selections + templates + warnings
}

fn file_bytes(file: &FilePlan) -> usize {
    let texts = [file.path.as_str(), file.vault.as_str(), file.name.as_str()];
    let texts = texts.into_iter().map(|text| heap::block(text.len())).sum::<usize>();
    let version = file.version.as_ref().map_or(0, |version| heap::block(version.as_str().len()));
    let key = file
        .json_key
        .as_ref()
        .map_or(0, |key| 2 * heap::block(key.to_string().len()) + key.steps().len() * 64);
    size_of::<FilePlan>() + texts + version + key
}

fn selection_bytes(selection: &SelectionPlan) -> usize {
    let tags = &selection.tags;
    let texts: usize =
        tags.iter().map(|(name, value)| heap::block(name.len()) + heap::block(value.len())).sum();
    let prefix = selection.name_prefix.as_ref().map_or(0, |prefix| heap::block(prefix.len()));
    let directory = selection.directory.as_ref().map_or(0, |path| heap::block(path.as_str().len()));
    size_of::<SelectionPlan>()
        + texts
        + heap::tree::<String, String>(tags.len())
        + prefix
        + directory
        + heap::block(selection.vault.as_str().len())
}

fn template_bytes(made: &TemplatePlan) -> usize {
    // The text, and what it was read into.
    let text = made.template.as_str().len();
    size_of::<TemplatePlan>() + heap::block(made.path.as_str().len()) + 8 * text
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A copy remembers nothing yet.
impl Clone for Memory {
    fn clone(&self) -> Self {
        Self { plans: self.plans.clone(), known: Mutex::default(), fingerprint: OnceLock::new() }
    }
}

/// What is remembered makes no other class of it.
impl PartialEq for Memory {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Memory {}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memory")
    }
}

#[cfg(test)]
#[path = "resolved_tests.rs"]
mod tests;
