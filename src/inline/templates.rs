//! Files that a pod's annotations make of its inline files.

use super::{Entry, InlineCause, InlineError};
use crate::provider_class::{ClassPlan, TemplateCause, TemplatePlan, check_template};
use keysluice_plan::{EntryPaths, FileMode, Layout, MOST_TEMPLATES};

/// Adds the templates to the plan of the files.
pub(super) fn add(
    mut plan: ClassPlan,
    files: &[Entry<'_>],
    templates: &[Entry<'_>],
) -> Result<ClassPlan, InlineError> {
    for entry in templates {
        let template = planned(entry, &plan);
        plan.templates.push(template.map_err(|cause| InlineError::new(entry.key, cause))?);
    }
    let of_files = plan.files.iter().map(|file| EntryPaths {
        path: &file.path,
        history: file.history,
        split: file.split,
    });
    let of_templates = plan.templates.iter().map(|made| EntryPaths {
        path: &made.path,
        history: None,
        split: false,
    });
    Layout::new(of_files.chain(of_templates), []).path_set().map_err(|collision| {
        let keys: Vec<&str> = files.iter().chain(templates).map(|entry| entry.key).collect();
        let other = keys[collision.other].to_owned();
        InlineError::new(
            keys[collision.entry],
            InlineCause::Collision { path: collision.path, other },
        )
    })?;
    Ok(plan)
}

/// The next template, for a plan with those before it.
fn planned(entry: &Entry<'_>, plan: &ClassPlan) -> Result<TemplatePlan, InlineCause> {
    if plan.templates.len() == MOST_TEMPLATES {
        return Err(TemplateCause::TooMany { limit: MOST_TEMPLATES }.into());
    }
    let path = entry.name.parse().map_err(|source| InlineCause::FileName { source })?;
    let template = entry.reference.parse().map_err(TemplateCause::Template)?;
    let (mode, owner, group) = (FileMode::DEFAULT, None, None);
    let planned = TemplatePlan { path, mode, owner, group, template };
    check_template(&planned, &plan.files, &plan.selections)?;
    Ok(planned)
}
