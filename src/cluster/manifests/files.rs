//! Manifests in files, as kubectl reads them: documents between lines of `---`, one JSON object
//! after the other, lists of objects.

use super::directory::entries;
use super::encoding::decode;
use super::json::json_objects;
use crate::reason;
use crate::yaml::{self, Fault, Parsed, Written};
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One document and where it stands.
#[derive(Debug, Clone, Default)]
pub struct Document {
    /// `pod.yaml` or `pod.yaml, document 2`.
    pub origin: String,
    /// `pod.yaml:12`: the file with the object's first line. Empty where an API server gave it.
    pub location: String,
    /// The object.
    pub value: Value,
    /// What is doubtful about it, with code.
    pub warnings: Vec<String>,
    /// Booleans and numbers as they are written, by JSON pointer.
    pub(crate) written: Arc<HashMap<String, Written>>,
    /// Where in the file's document the object stands: empty, or `/items/3`.
    pub(crate) pointer: String,
}

/// What files hold.
#[derive(Debug, Clone, Default)]
pub struct Files {
    /// The objects, in order.
    pub documents: Vec<Document>,
    /// Files that were left out, with code and reason.
    pub notes: Vec<String>,
}

/// Why a manifest could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The file system said no.
    #[error("KS704 cannot read {path}: {error}")]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// What happened.
        error: std::io::Error,
    },
    /// Neither YAML nor JSON.
    #[error("KS704 {path}: {problem}; hint: {hint}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, and what is wrong with it.
        problem: String,
        /// What to do.
        hint: &'static str,
    },
    /// Bytes that are not text.
    #[error("KS704 {path}: {problem}; hint: save it as UTF-8")]
    Encoding {
        /// The file.
        path: PathBuf,
        /// What they are.
        problem: String,
    },
    /// A document that is not an object.
    #[error("KS704 {origin}: not a Kubernetes object (a mapping with kind)")]
    NotAnObject {
        /// File and document.
        origin: String,
    },
}

/// Reads all documents of a file or of the files below a directory, in order of name; items of a
/// list one by one. What cannot be read is an error.
pub fn read_documents(path: &Path) -> Result<Files, ManifestError> {
    let mut files = Files::default();
    read(path, &mut files, &mut HashSet::new(), &Err)?;
    Ok(files)
}

/// The same, but a file of a directory that cannot be read becomes a note: it need not be meant.
pub fn read_neighbours(path: &Path) -> Result<Files, ManifestError> {
    let mut files = Files::default();
    read(path, &mut files, &mut HashSet::new(), &note)?;
    Ok(files)
}

fn note(error: ManifestError) -> Result<String, ManifestError> {
    match error.to_string().strip_prefix("KS704 ") {
        Some(text) => Ok(format!("{} not read: {text}", reason::KS737)),
        None => Err(error),
    }
}

/// `unreadable` makes a note, or an error, of a file within a directory; `seen` are the directories
/// read, for links may lead back.
fn read(
    path: &Path,
    files: &mut Files,
    seen: &mut HashSet<PathBuf>,
    unreadable: &dyn Fn(ManifestError) -> Result<String, ManifestError>,
) -> Result<(), ManifestError> {
    if !path.is_dir() {
        let bytes =
            if path == Path::new("-") { read_standard_input() } else { std::fs::read(path) }
                .map_err(unreadable_at(path))?;
        let text = decode(&bytes)
            .map_err(|problem| ManifestError::Encoding { path: path.to_owned(), problem })?;
        files.documents.extend(parse_documents(&text, path)?);
        return Ok(());
    }
    if !seen.insert(path.canonicalize().map_err(unreadable_at(path))?) {
        return Ok(());
    }
    for entry in entries(path).map_err(unreadable_at(path))? {
        match read(&entry, files, seen, unreadable) {
            // kustomization.yaml, values.yaml: not everything in a directory is for the API server.
            Ok(()) | Err(ManifestError::NotAnObject { .. }) => {}
            Err(error) => files.notes.push(unreadable(error)?),
        }
    }
    Ok(())
}

fn unreadable_at(path: &Path) -> impl FnOnce(std::io::Error) -> ManifestError {
    move |error| ManifestError::Read { path: path.to_owned(), error }
}

fn read_standard_input() -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut std::io::stdin(), &mut bytes)?;
    Ok(bytes)
}

/// Parses the documents of one file.
pub fn parse_documents(text: &str, path: &Path) -> Result<Vec<Document>, ManifestError> {
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let parsed = if let Some(objects) = json_objects(text) {
        objects
    } else {
        let parsed: Result<Vec<Parsed>, Fault> =
            chunks(text).map(|(first_line, text)| yaml::parse(text, first_line)).collect();
        parsed.map_err(|fault| {
            let (path, problem, hint) = (path.to_owned(), fault.to_string(), fault.hint());
            ManifestError::Syntax { path, problem, hint }
        })?
    };
    let count = parsed.len();
    let mut documents = Vec::with_capacity(count);
    for (index, parsed) in
        parsed.into_iter().enumerate().filter(|(_, parsed)| !parsed.value.is_null())
    {
        let origin = if count > 1 {
            format!("{}, document {}", path.display(), index + 1)
        } else {
            path.display().to_string()
        };
        let lines = parsed.lines.clone();
        let mut found = objects(origin, parsed)?;
        for document in &mut found {
            document.location = location(path, lines.get(&document.pointer).copied());
        }
        documents.append(&mut found);
    }
    Ok(documents)
}

/// A file and a line of it.
fn location(path: &Path, line: Option<usize>) -> String {
    let file = if path == Path::new("-") { "stdin".into() } else { path.display().to_string() };
    line.map_or_else(|| file.clone(), |line| format!("{file}:{line}"))
}

/// The texts between lines of `---`, each with the number of its first line. A comment may follow
/// on such a line, for kubectl even without a space.
pub(crate) fn chunks(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut chunks = Vec::new();
    let (mut start, mut first_line, mut at) = (0, 1, 0);
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let rest = line.strip_prefix("---").map(str::trim);
        match rest {
            Some(rest)
                if (rest.is_empty() || rest.starts_with('#'))
                    && !has_directives_only(&text[start..at]) =>
            {
                chunks.push((first_line, &text[start..at]));
                (start, first_line) = (at + line.len(), index + 2);
            }
            // Content on the marker's line begins a document there.
            Some(_)
                if line[3..].starts_with([' ', '\t']) && !has_directives_only(&text[start..at]) =>
            {
                chunks.push((first_line, &text[start..at]));
                (start, first_line) = (at, index + 1);
            }
            _ => {}
        }
        at += line.len();
    }
    chunks.push((first_line, &text[start..]));
    // Before the first marker there is nothing, most often, and no document.
    chunks
        .into_iter()
        .enumerate()
        .filter(|(index, (_, chunk))| *index > 0 || !chunk.trim().is_empty())
        .map(|(_, chunk)| chunk)
}

/// Whether there are directives of YAML and no document yet.
fn has_directives_only(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.clone().any(|line| line.starts_with('%'))
        && lines.all(|line| line.starts_with(['%', '#']))
}

/// The objects of one document; `None` where it is not one of Kubernetes.
pub(crate) fn objects_of(origin: &str, parsed: Parsed) -> Option<Vec<Document>> {
    objects(origin.to_owned(), parsed).ok()
}

/// The object of a document, or the items of a list.
fn objects(origin: String, parsed: Parsed) -> Result<Vec<Document>, ManifestError> {
    let Parsed { value, repeated, written, unread_from, .. } = parsed;
    if !value["kind"].is_string() {
        return Err(ManifestError::NotAnObject { origin });
    }
    let mut warnings: Vec<String> = repeated
        .iter()
        .map(|key| {
            let (code, line, path) = (reason::KS738, key.line, &key.path);
            format!(
                "{code} {origin}, line {line}: {path} is there twice: the last one counts; \
                hint: {}",
                code.fix
            )
        })
        .collect();
    if let Some(line) = unread_from {
        warnings.push(format!(
            "{} {origin}, line {line}: what follows the object is not read, nor by kubectl; hint: \
             indent it like the object, or begin a document with \"---\"",
            reason::KS737
        ));
    }
    let written = Arc::new(written);
    let whole = Document { origin, value, warnings, written, ..Document::default() };
    let mut documents = Vec::new();
    flatten(whole, 0, &mut documents);
    Ok(documents)
}

/// Deepest nesting of lists within lists.
const MAX_LISTS: usize = 8;

/// The object, or the items of a list instead; the list's warnings go with the first.
fn flatten(mut document: Document, depth: usize, documents: &mut Vec<Document>) {
    let element = document.value["kind"]
        .as_str()
        .and_then(|kind| kind.strip_suffix("List"))
        .map(str::to_owned);
    let is_list = element.is_some() && document.value["items"].is_array() && depth < MAX_LISTS;
    let (Some(element), Some(items), true) =
        (element, document.value.get_mut("items").map(Value::take), is_list)
    else {
        prune(&mut document.value);
        documents.push(document);
        return;
    };
    let version = document.value.get("apiVersion").cloned();
    let Value::Array(items) = items else { return };
    for (index, mut value) in items.into_iter().enumerate() {
        // Items of a PodList, as the API server sends it, have neither.
        if let Some(fields) = value.as_object_mut().filter(|fields| !fields.contains_key("kind"))
            && !element.is_empty()
        {
            fields.insert("kind".to_owned(), element.clone().into());
            if let Some(version) = &version {
                fields.entry("apiVersion").or_insert_with(|| version.clone());
            }
        }
        if value["kind"].is_string() {
            let (origin, written) = (document.origin.clone(), Arc::clone(&document.written));
            let (warnings, pointer) = (
                std::mem::take(&mut document.warnings),
                format!("{}/items/{index}", document.pointer),
            );
            let location = String::new();
            let item = Document { origin, location, value, warnings, written, pointer };
            flatten(item, depth + 1, documents);
        }
    }
}

/// Leaves the object as the API server keeps it: a field without a value is as if absent, and a
/// label or annotation without one is empty.
fn prune(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for name in ["labels", "annotations"] {
                let texts = fields.get_mut(name).and_then(Value::as_object_mut);
                let values = texts.into_iter().flat_map(|texts| texts.values_mut());
                values.filter(|value| value.is_null()).for_each(|value| *value = "".into());
            }
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(prune);
        }
        Value::Array(items) => items.iter_mut().for_each(prune),
        _ => {}
    }
}

impl Document {
    /// A boolean or number at a JSON pointer of the object, as it is written.
    pub(crate) fn written(&self, pointer: &str) -> Option<&Written> {
        self.written.get(&format!("{}{pointer}", self.pointer))
    }

    /// Puts an object without a namespace into this one, as `kubectl --namespace` does.
    pub fn default_namespace(&mut self, namespace: &str) {
        let Some(fields) = self.value.as_object_mut() else { return };
        let metadata =
            fields.entry("metadata").or_insert_with(|| Value::Object(serde_json::Map::new()));
        if let Some(metadata) = metadata.as_object_mut()
            && metadata.get("namespace").and_then(Value::as_str).is_none_or(str::is_empty)
        {
            metadata.insert("namespace".to_owned(), namespace.into());
        }
    }
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
