//! All objects of a class as variables: `db-password` becomes `DB_PASSWORD`.

use super::error::{InlineCause, InlineError, cut};
use super::{variable, variable_file};
use crate::provider_class::{ClassPlan, FilePlan};
use std::collections::BTreeMap;

/// The variables of a class; `taken` are those that the pod has by annotations of their own, with
/// their keys.
pub(crate) fn of_class(
    key: &str,
    class: &str,
    plan: &ClassPlan,
    taken: &BTreeMap<&str, &str>,
    for_kubelet: bool,
) -> Result<ClassPlan, InlineError> {
    let files = files_of(plan, taken, for_kubelet).map_err(|problem| {
        InlineError::new(key, InlineCause::OfClass { class: cut(class), problem })
    })?;
    Ok(ClassPlan { files, warnings: Vec::new(), ..plan.clone() })
}

/// The files of the variables, or what prevents them.
fn files_of(
    plan: &ClassPlan,
    taken: &BTreeMap<&str, &str>,
    for_kubelet: bool,
) -> Result<Vec<FilePlan>, String> {
    if !plan.selections.is_empty() {
        return Err("the names of variables are unknown where the class selects".to_owned());
    }
    let mut files = Vec::with_capacity(plan.files.len());
    let mut names: BTreeMap<String, &FilePlan> = BTreeMap::new();
    for file in &plan.files {
        let path = &file.path;
        if file.history.is_some() {
            return Err(format!("{path} has a history, and a variable has one value"));
        }
        let name = name_of(path.as_str());
        let valid =
            variable(&name).map_err(|cause| format!("{path} cannot be a variable: {cause}"))?;
        if let Some(annotation) = taken.get(name.as_str()) {
            return Err(format!("{path} becomes {name}, which {annotation} sets too"));
        }
        if let Some(other) = names.get(&name) {
            return Err(format!("{path} and {} both become {name}", other.path));
        }
        files.push(variable_file(file.clone(), valid, for_kubelet));
        names.insert(name, file);
    }
    Ok(files)
}

/// `db-password` as a variable: `DB_PASSWORD`.
pub(crate) fn name_of(path: &str) -> String {
    let upper = path.chars().map(|c| match c {
        '-' | '.' | '/' => '_',
        other => other.to_ascii_uppercase(),
    });
    upper.collect()
}
