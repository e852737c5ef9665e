//! Files with their documents, each with its place in the text.

use crate::cli::manifest_pods::pods_of;
use crate::cluster::manifests::{Document, chunks, decode, entries, objects_of};
use crate::migrate::prune;
use crate::reason;
use crate::yaml::{self, Parsed};
use serde_json::Value;
use std::collections::{BTreeSet, HashSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A file of the input.
#[derive(Debug, Default)]
pub(super) struct File {
    /// Its path in the output.
    pub(super) name: String,
    pub(super) text: String,
    pub(super) parts: Vec<Part>,
}

/// One document of a file.
#[derive(Debug)]
pub(super) struct Part {
    /// Where it is in the text.
    pub(super) range: Range<usize>,
    /// File and document.
    pub(super) origin: String,
    /// What it says, as the API server keeps it.
    pub(super) value: Value,
    /// Its objects: index, where in the document, and whether only the list names the kind.
    pub(super) objects: Vec<(usize, String, bool)>,
}

/// Everything that was read.
#[derive(Debug, Default)]
pub(super) struct Input {
    pub(super) files: Vec<File>,
    /// Objects with the pointers of their pod templates.
    pub(super) objects: Vec<(Document, Vec<String>)>,
    /// What could not be read, and why.
    pub(super) unread: Vec<(String, String)>,
}

impl Input {
    /// Reads files and directories; one that cannot be read is told and left out.
    pub(super) fn read(paths: &[PathBuf]) -> anyhow::Result<Self> {
        let mut input = Self::default();
        let mut names = BTreeSet::new();
        for root in paths {
            let mut found = Vec::new();
            let is_directory = root.is_dir();
            if is_directory {
                walk(root, &mut found, &mut HashSet::new()).map_err(|error| {
                    anyhow::anyhow!("KS704 cannot read {}: {error}", root.display())
                })?;
            } else {
                found.push(root.clone());
            }
            for path in found {
                let name = name_of(root, &path, is_directory);
                let name = unique(&name, &mut names);
                input.read_file(&path, name, is_directory);
            }
        }
        Ok(input)
    }

    /// Objects of a cluster, each as a file of its own.
    pub(super) fn of_live(documents: Vec<Value>) -> Self {
        let mut input = Self::default();
        for value in documents {
            let metadata = &value["metadata"];
            let [namespace, name] =
                ["namespace", "name"].map(|field| metadata[field].as_str().unwrap_or("cluster"));
            let kind = value["kind"].as_str().unwrap_or_default().to_ascii_lowercase();
            let name = format!("{namespace}/{kind}-{name}.yaml");
            let text = yaml::write(&value);
            let mut file = File { name: name.clone(), text, parts: Vec::new() };
            let range = 0..file.text.len();
            let parsed = Parsed { value, ..Parsed::default() };
            input.take(&mut file, name, range, parsed);
            input.files.push(file);
        }
        input
    }

    fn read_file(&mut self, path: &Path, name: String, is_neighbour: bool) {
        let shown = if path == Path::new("-") {
            "standard input".into()
        } else {
            path.display().to_string()
        };
        let bytes = if path == Path::new("-") {
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut std::io::stdin(), &mut bytes).map(|_| bytes)
        } else {
            std::fs::read(path)
        };
        let text = bytes.map_err(|error| error.to_string());
        let text = text.and_then(|bytes| decode(&bytes).map(std::borrow::Cow::into_owned));
        match text {
            Ok(text) => self.add_file(&shown, name, text, is_neighbour),
            Err(problem) => self.refuse(&shown, &problem, ""),
        }
    }

    /// All documents, or none and why.
    fn add_file(&mut self, shown: &str, name: String, text: String, is_neighbour: bool) {
        let mut file = File { name, text, parts: Vec::new() };
        let text = std::mem::take(&mut file.text);
        let ranges = ranges(&text);
        let several = ranges.len() > 1;
        let mut parsed = Vec::new();
        for (first_line, range) in &ranges {
            match yaml::parse(&text[range.clone()], *first_line) {
                Ok(part) => parsed.push(part),
                Err(fault) => return self.refuse(shown, &fault.to_string(), fault.hint()),
            }
        }
        for (index, (part, (_, range))) in parsed.into_iter().zip(ranges).enumerate() {
            if part.value.is_null() {
                continue;
            }
            let origin =
                if several { format!("{shown}, document {}", index + 1) } else { shown.to_owned() };
            if !part.value["kind"].is_string() {
                if !is_neighbour {
                    let problem = "not a Kubernetes object (a mapping with kind)";
                    self.refuse(&origin, problem, "");
                }
                continue;
            }
            self.take(&mut file, origin, range, part);
        }
        file.text = text;
        self.files.push(file);
    }

    fn take(&mut self, file: &mut File, origin: String, range: Range<usize>, parsed: Parsed) {
        let mut value = parsed.value.clone();
        prune(&mut value);
        let mut objects = Vec::new();
        for mut document in objects_of(&origin, parsed).unwrap_or_default() {
            let written = value.pointer(&document.pointer);
            let is_named = written.is_some_and(|written| written["kind"].is_string());
            let found = pods_of(&document);
            self.unread.extend(found.skipped.into_iter().map(|text| (origin.clone(), text)));
            let pods = found.pods.into_iter().map(|pod| pod.pointer).collect();
            objects.push((self.objects.len(), document.pointer.clone(), !is_named));
            document.warnings.clear();
            self.objects.push((document, pods));
        }
        file.parts.push(Part { range, origin, value, objects });
    }

    fn refuse(&mut self, shown: &str, problem: &str, hint: &str) {
        let hint = if hint.is_empty() { reason::KS770.fix } else { hint };
        let text = format!("{} {problem}; hint: {hint}", reason::KS770);
        self.unread.push((shown.to_owned(), text));
    }
}

/// The documents of a text with their first lines: YAML between markers, or one JSON object after
/// the other.
fn ranges(text: &str) -> Vec<(usize, Range<usize>)> {
    if text.trim_start().starts_with('{') {
        let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
        let (mut ranges, mut start, mut is_json) = (Vec::new(), 0, true);
        while let Some(value) = values.next() {
            is_json &= value.is_ok();
            let line = text[..start].lines().count().max(1);
            ranges.push((line, start..values.byte_offset()));
            start = values.byte_offset();
        }
        if is_json && ranges.len() > 1 {
            return ranges;
        }
    }
    let mark = text.len() - text.strip_prefix('\u{FEFF}').unwrap_or(text).len();
    let all = chunks(&text[mark..]);
    all.map(|(line, chunk)| {
        let start = chunk.as_ptr() as usize - text.as_ptr() as usize;
        (line, start..start + chunk.len())
    })
    .collect()
}

/// Manifests below a directory, in order of name; links may lead back.
fn walk(
    directory: &Path,
    found: &mut Vec<PathBuf>,
    seen: &mut HashSet<PathBuf>,
) -> std::io::Result<()> {
    if !seen.insert(directory.canonicalize()?) {
        return Ok(());
    }
    for entry in entries(directory)? {
        if entry.is_dir() {
            walk(&entry, found, seen)?;
        } else {
            found.push(entry);
        }
    }
    Ok(())
}

fn name_of(root: &Path, path: &Path, is_directory: bool) -> String {
    if path == Path::new("-") {
        return "stdin.yaml".to_owned();
    }
    let relative = if is_directory { path.strip_prefix(root).ok() } else { None };
    let name = relative.map_or_else(
        || path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        |relative| relative.to_string_lossy().into_owned(),
    );
    if name.is_empty() { "manifest.yaml".to_owned() } else { name }
}

/// Files of one name from different directories get a number.
fn unique(name: &str, names: &mut BTreeSet<String>) -> String {
    let mut free = name.to_owned();
    let mut number = 1;
    while !names.insert(free.clone()) {
        number += 1;
        free = format!("{number}/{name}");
    }
    free
}
