//! The `objects` parameter: a YAML document with a list of strings, each of them a YAML document of
//! its own.

use super::document::{Document, YamlError};
use super::doubts::Doubts;
use super::error::{ClassCause, ClassError, ObjectCause, TemplateCause};
use super::object::{ObjectSpec, RawObject, unknown};
use super::{Allowlist, FilePlan, TemplatePlan};
use crate::cloud::Cloud;
use crate::reason;
use keysluice_plan::{
    Collision, EntryPaths, Layout, ObjectEncoding, ObjectFormat, ObjectType, PathSet, VaultUrl,
};

/// What fits into a Plan (96 KiB) was written in less: an object takes more bytes there than in the
/// class.
const LIMIT_BYTES: usize = 64 * 1024;
/// A pod has at most as many files (KS214).
const MOST_OBJECTS: usize = 1000;
/// Of the document around them: twice as many, for keys that are not read.
const MOST_VALUES: usize = 2048;

/// Reads all objects and checks what the provider checks before it asks the vault. The number is
/// the position in `array`, from 0.
pub(super) fn parse(
    text: &str,
    doubts: &mut Doubts,
) -> Result<Vec<(usize, RawObject)>, ClassError> {
    let mut objects = Vec::new();
    for (index, item) in strings(text, doubts)?.iter().enumerate() {
        // A null element is dropped, as yaml.v3 does; the others keep the position the user counts.
        let Some(item) = item else { continue };
        let raw =
            RawObject::parse(item, index, doubts).and_then(|raw| raw.validate().map(|()| raw));
        objects.push((index, raw.map_err(|source| ClassCause::Object { index, source })?));
    }
    Ok(objects)
}

/// Checks the rest, and turns the objects into files.
pub(super) fn files(
    objects: Vec<(usize, RawObject)>,
    vault: &VaultUrl,
    cloud: &Cloud,
    limits: &Allowlist,
    split: bool,
    doubts: &mut Doubts,
) -> Result<Vec<FilePlan>, ClassError> {
    let mut files = Vec::with_capacity(objects.len());
    for (index, raw) in objects {
        let spec =
            raw.check(index, doubts).map_err(|source| ClassCause::Object { index, source })?;
        let own = spec.additions.vault.resolve(cloud, limits);
        let own = own
            .map_err(|source| ClassCause::Within { place: format!("objects[{index}]"), source })?;
        let of_object = files_of(&spec, own.as_ref().unwrap_or(vault), split)
            .map_err(|source| ClassCause::Object { index, source })?;
        files.extend(of_object);
    }
    Ok(files)
}

fn files_of(
    spec: &ObjectSpec,
    vault: &VaultUrl,
    split: bool,
) -> Result<Vec<FilePlan>, ObjectCause> {
    let additions = &spec.additions;
    let object_type = additions.fetched_type(spec.object_type);
    let whole = additions.parts.is_empty();
    let paths = additions.paths(&spec.path)?.into_iter();
    let files = paths.map(|(part, path)| FilePlan {
        path,
        mode: spec.mode,
        vault: vault.clone(),
        object_type,
        name: spec.name.clone(),
        version: spec.version.clone(),
        // A part has a format of its own; what stands here is for the provider, which knows no
        // parts.
        format: if whole { spec.format } else { ObjectFormat::Pem },
        encoding: if whole { spec.encoding } else { ObjectEncoding::Utf8 },
        history: spec.history,
        part,
        split: split && whole && object_type == ObjectType::Secret && additions.json_key.is_none(),
        json_key: additions.json_key.clone(),
        optional: additions.optional,
        owner: additions.owner,
        group: additions.group,
        variable: None,
        index: spec.index,
    });
    let files: Vec<_> = files.collect();
    files.iter().try_for_each(check_paths)?;
    Ok(files)
}

/// Whether the versions of a history and the certificates of a split secret have paths.
fn check_paths(file: &FilePlan) -> Result<(), ObjectCause> {
    let paths = file.paths();
    EntryPaths { split: false, ..paths }
        .check()
        .map_err(|source| ObjectCause::Path { field: "objectVersionHistory", source })?;
    paths
        .check()
        .map_err(|source| ObjectCause::Path { field: "writeCertAndKeyInSeparateFiles", source })
}

/// The paths of all files. Refuses two files on one path, and a file where another needs a
/// directory; certificate and key of a split secret are files too.
pub(super) fn path_set<'a>(
    files: &'a [FilePlan],
    templates: &'a [TemplatePlan],
    layout: &Layout<'a>,
) -> Result<PathSet<'a>, ClassError> {
    layout.path_set().map_err(|Collision { entry, path, is_cert_or_key, other }| {
        if entry.max(other) >= files.len() {
            // The template is the later one, unless a certificate or key takes its path.
            let (template, file) = (entry.max(other) - files.len(), entry.min(other));
            let other = if let Some(file) = files.get(file) {
                format!("{} of objects[{}]", file.path, file.index)
            } else {
                let index = file - files.len();
                format!("{} of templates[{index}]", templates[index].path)
            };
            let path = templates[template].path.to_string();
            let source = TemplateCause::Collision { path, other };
            let place = format!("templates[{template}]");
            return ClassCause::Template { place, source }.into();
        }
        let (other, other_index) = (files[other].path.to_string(), files[other].index);
        let source = if is_cert_or_key {
            ObjectCause::HalfCollision { path, other, other_index }
        } else {
            ObjectCause::Collision { path, other, other_index }
        };
        ClassCause::Object { index: files[entry].index, source }.into()
    })
}

/// The strings below `array`, null ones as `None`.
fn strings(text: &str, doubts: &mut Doubts) -> Result<Vec<Option<String>>, ClassError> {
    if text.len() > LIMIT_BYTES {
        return Err(ClassCause::ObjectsSize { limit: LIMIT_BYTES }.into());
    }
    let document = Document::parse(text, MOST_VALUES).map_err(|error| match error {
        YamlError::TooMany { limit, .. } => {
            ClassCause::ObjectsCount { what: "the document", limit }
        }
        error => ClassCause::Objects(error),
    })?;
    let mut strings = Vec::new();
    let mut bytes = 0;
    for (key, value) in document.fields("types.StringArray").map_err(ClassCause::Objects)? {
        if key != "array" {
            if let Some(meant) = doubts.misspelled_one("array", key) {
                doubts.add(reason::KS141, || unknown("objects", key, meant));
            }
            continue;
        }
        let items = document.items(value).map_err(ClassCause::Objects)?;
        if items.len() > MOST_OBJECTS {
            return Err(ClassCause::ObjectsCount { what: "array", limit: MOST_OBJECTS }.into());
        }
        for (index, item) in items.iter().enumerate() {
            let item = document.string(*item);
            let item = item.map_err(|error| ClassCause::Object {
                index,
                source: ObjectCause::NotString(error),
            })?;
            bytes += item.map_or(1, str::len);
            if bytes > LIMIT_BYTES {
                return Err(ClassCause::ObjectsSize { limit: LIMIT_BYTES }.into());
            }
            strings.push(item.map(str::to_owned));
        }
    }
    Ok(strings)
}

#[cfg(test)]
#[path = "object_fields_tests.rs"]
mod field_tests;
#[cfg(test)]
#[path = "objects_tests.rs"]
mod tests;
