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
        let at = |cause| InlineError::new(entry.key, cause);
        if plan.templates.len() == MOST_TEMPLATES {
            let source = TemplateCause::TooMany { limit: MOST_TEMPLATES };
            return Err(at(InlineCause::Template { source }));
        }
        let path = entry.name.parse().map_err(|source| at(InlineCause::FileName { source }))?;
        let template = entry.reference.parse().map_err(TemplateCause::Template);
        let template = template.map_err(|source| at(InlineCause::Template { source }))?;
        let (mode, owner, group) = (FileMode::DEFAULT, None, None);
        let planned = TemplatePlan { path, mode, owner, group, template };
        check_template(&planned, &plan.files, &plan.selections)
            .map_err(|source| at(InlineCause::Template { source }))?;
        plan.templates.push(planned);
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
        let key = |at: usize| files.iter().chain(templates).nth(at).map_or("", |entry| entry.key);
        let other = key(collision.other).to_owned();
        InlineError::new(
            key(collision.entry),
            InlineCause::Collision { path: collision.path, other },
        )
    })?;
    Ok(plan)
}
