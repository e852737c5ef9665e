//! The parameter `templates`: files that are made of the other files.

use super::document::{Document, NodeId};
use super::documents;
use super::error::{ClassCause, ClassError, TemplateCause};
use super::reference::{self, TEMPLATE_FIELDS};
use super::{FilePlan, SelectionPlan, TemplatePlan};
use keysluice_plan::{FileMode, MOST_TEMPLATES, RelativePath, Template};

const LIMIT_BYTES: usize = 64 * 1024;
const MOST_VALUES: usize = 512;

/// Reads all templates, and checks that the files that they name are the class's.
pub(super) fn parse(
    text: &str,
    files: &[FilePlan],
    selections: &[SelectionPlan],
) -> Result<Vec<TemplatePlan>, ClassError> {
    if text.len() > LIMIT_BYTES {
        return Err(at("templates", TemplateCause::Size { limit: LIMIT_BYTES }).into());
    }
    // A block scalar in the last line of the document keeps its newline.
    let text = format!("{}\n", text.trim_end());
    let document = Document::parse(&text, MOST_VALUES)
        .map_err(|error| at("templates", TemplateCause::Document(error)))?;
    if let Some(line) = documents::second(&text) {
        return Err(at("templates", TemplateCause::Documents { line }).into());
    }
    let mut templates: Vec<TemplatePlan> = Vec::new();
    for (place, node) in places(&document).map_err(|source| at("templates", source))? {
        let read = read(&document, node)
            .and_then(|plan| check_template(&plan, files, selections).map(|()| plan));
        templates.push(read.map_err(|source| at(&place, source))?);
    }
    Ok(templates)
}

fn at(place: &str, source: TemplateCause) -> ClassCause {
    ClassCause::Template { place: place.to_owned(), source }
}

/// The templates of a document, each with what messages call it.
fn places(document: &Document<'_>) -> Result<Vec<(String, NodeId)>, TemplateCause> {
    let Some(root) = document.root() else { return Ok(Vec::new()) };
    let Some(items) = document.sequence(root) else {
        return Ok(vec![("templates".to_owned(), root)]);
    };
    if items.len() > MOST_TEMPLATES {
        return Err(TemplateCause::TooMany { limit: MOST_TEMPLATES });
    }
    Ok(items.iter().enumerate().map(|(at, item)| (format!("templates[{at}]"), *item)).collect())
}

fn read(document: &Document<'_>, node: NodeId) -> Result<TemplatePlan, TemplateCause> {
    let (mut path, mut template) = (None::<RelativePath>, None::<Template>);
    let (mut mode, mut owner, mut group) = (FileMode::DEFAULT, None, None);
    let fields = document.fields_of(node, "map[string]string").map_err(TemplateCause::Document)?;
    for (key, value) in fields {
        let Some(entry) = reference::find(TEMPLATE_FIELDS, key) else {
            let near = reference::nearest(TEMPLATE_FIELDS, key);
            return Err(TemplateCause::Unknown { field: key.to_owned(), near });
        };
        let field = entry.name;
        let text = document
            .string(value)
            .map_err(|source| TemplateCause::Field { field, source })?
            .unwrap_or_default();
        let trimmed = text.trim();
        match field {
            "template" => template = Some(text.parse().map_err(TemplateCause::Template)?),
            _ if trimmed.is_empty() => {}
            "path" => path = Some(trimmed.parse().map_err(TemplateCause::Path)?),
            "filePermission" => mode = trimmed.parse().map_err(TemplateCause::Permission)?,
            "fileOwner" => owner = Some(id(field, trimmed)?),
            "fileGroup" => group = Some(id(field, trimmed)?),
            _ => {}
        }
    }
    let path = path.ok_or(TemplateCause::Missing("path"))?;
    let template = template.ok_or(TemplateCause::Missing("template"))?;
    Ok(TemplatePlan { path, mode, owner, group, template })
}

fn id(field: &'static str, text: &str) -> Result<u32, TemplateCause> {
    text.parse().map_err(|_| TemplateCause::Id { field, value: text.to_owned() })
}

/// A file that no object makes would be missing for ever.
pub(crate) fn check_template(
    plan: &TemplatePlan,
    files: &[FilePlan],
    selections: &[SelectionPlan],
) -> Result<(), TemplateCause> {
    let index = super::layout(files, selections, &[]).index();
    match plan.template.files().find(|(path, _)| !index.contains(path)) {
        None => Ok(()),
        Some((path, line)) => {
            let known: Vec<_> = index.paths().collect();
            let known: Vec<&str> = known.iter().map(|path| &**path).collect();
            let near = crate::spelling::nearest(path, &known, 3).map(str::to_owned);
            Err(TemplateCause::FileMissing { path: path.to_owned(), line, near })
        }
    }
}

#[cfg(test)]
#[path = "templates_tests.rs"]
mod tests;
