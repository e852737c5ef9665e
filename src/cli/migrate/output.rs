//! What is written: changed files, new objects, a backup of the classes.

use super::{File, Input};
use crate::cli::output::write_whole;
use crate::migrate::{Migration, Section, edited};
use crate::reason;
use crate::rights::document;
use crate::yaml;
use anyhow::{Context as _, anyhow};
use serde_json::Value;
use std::path::Path;

/// An output directory that holds something is refused.
pub(super) fn check(directory: &Path) -> anyhow::Result<()> {
    let problem = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => error.to_string(),
        Ok(mut entries) => match entries.next() {
            None => return Ok(()),
            Some(_) => "it is not empty".to_owned(),
        },
    };
    let (code, fix) = (reason::KS762, reason::KS762.fix);
    Err(anyhow!("{code} --out {}: {problem}; hint: {fix}", directory.display()))
}

/// The files that change, with their new text. One that cannot be edited is told in the report.
pub(super) fn files(files: &[File], migration: &mut Migration) -> Vec<(String, String)> {
    let mut written = Vec::new();
    for file in files {
        let mut indices = file.parts.iter().flat_map(|part| &part.objects);
        if !indices.any(|(index, ..)| migration.objects[*index].is_changed()) {
            continue;
        }
        match text(file, migration) {
            Ok(text) => written.push((file.name.clone(), text)),
            Err((origin, problem)) => {
                migration.report.add(Section::ByHand, &origin, problem);
                tell_changes(file, migration);
            }
        }
    }
    written
}

fn text(file: &File, migration: &Migration) -> Result<String, (String, String)> {
    let (mut out, mut at) = (String::new(), 0);
    for part in &file.parts {
        let mut wanted = part.value.clone();
        let mut secrets = Vec::new();
        for (index, pointer, is_unnamed) in &part.objects {
            let object = &migration.objects[*index];
            if holds_values(&object.value) {
                secrets.push(pointer.as_str());
            }
            let mut value = object.wanted.clone();
            if let (true, Some(fields)) = (*is_unnamed, value.as_object_mut()) {
                fields.shift_remove("kind");
                fields.shift_remove("apiVersion");
            }
            if let Some(place) = wanted.pointer_mut(pointer).filter(|_| object.is_changed()) {
                *place = value;
            }
        }
        out += &file.text[at..part.range.start];
        at = part.range.end;
        let old = &file.text[part.range.clone()];
        match secrets[..] {
            [] => {
                let new = edited(old, &part.value, &wanted);
                out += &new.map_err(|error| (part.origin.clone(), error.to_string()))?;
            }
            [""] => {
                out += "# A Secret is left out here: its values stay where they are.\n";
            }
            _ => {
                let problem = format!(
                    "{} a Secret in a list is not copied; hint: {}",
                    reason::KS763,
                    reason::KS763.fix
                );
                return Err((part.origin.clone(), problem));
            }
        }
    }
    out += &file.text[at..];
    Ok(out)
}

fn holds_values(object: &Value) -> bool {
    object["kind"] == "Secret" && (object["data"].is_object() || object["stringData"].is_object())
}

/// What a person must write into the file.
fn tell_changes(file: &File, migration: &mut Migration) {
    let indices = file.parts.iter().flat_map(|part| part.objects.iter().map(|one| one.0));
    for index in indices.collect::<Vec<_>>() {
        let object = &migration.objects[index];
        let (mut changes, owner) = (Vec::new(), object.owner());
        differences(&object.value, &object.wanted, "", &mut changes);
        if !changes.is_empty() {
            migration.report.retract(&owner);
        }
        for change in changes {
            migration.report.add(Section::ByHand, &owner, change);
        }
    }
}

/// Fields that differ, without the values that are there now.
fn differences(old: &Value, wanted: &Value, path: &str, found: &mut Vec<String>) {
    if old == wanted {
        return;
    }
    match (old, wanted) {
        (Value::Object(old), Value::Object(wanted)) => {
            for (key, value) in wanted {
                differences(old.get(key).unwrap_or(&Value::Null), value, &below(path, key), found);
            }
            let gone = old.keys().filter(|key| !wanted.contains_key(*key));
            found.extend(gone.map(|key| format!("remove {}", below(path, key))));
        }
        (Value::Null, Value::Object(fields)) => {
            for (key, value) in fields {
                differences(&Value::Null, value, &below(path, key), found);
            }
        }
        (Value::Array(old), Value::Array(wanted)) if old.len() == wanted.len() => {
            for (index, (old, wanted)) in old.iter().zip(wanted).enumerate() {
                differences(old, wanted, &format!("{path}[{index}]"), found);
            }
        }
        (Value::Array(old), Value::Array(wanted)) => {
            for (index, item) in old.iter().enumerate() {
                let name = item["name"].as_str().unwrap_or_default();
                let same = wanted.iter().find(|wanted| wanted["name"] == *name);
                let path = format!("{path}[{index}]");
                match same.or_else(|| wanted.iter().find(|wanted| *wanted == item)) {
                    Some(wanted) => differences(item, wanted, &path, found),
                    None => found.push(format!("remove {path} ({name})")),
                }
            }
        }
        (_, wanted) => found.push(format!("set {path} to {wanted}")),
    }
}

/// The path of a field below another.
fn below(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// New objects, in one file.
pub(super) fn additions(migration: &Migration) -> Option<(String, String)> {
    let mut text = String::new();
    for addition in &migration.additions {
        document(&mut text, &addition.comment, &addition.value);
    }
    (!text.is_empty()).then(|| ("keysluice-new.yaml".to_owned(), text))
}

/// The classes as they were read.
pub(super) fn backup(input: &Input) -> Option<(String, String)> {
    let classes = input.objects.iter().map(|(document, _)| &document.value);
    let classes = classes.filter(|value| value["kind"] == "SecretProviderClass");
    let documents: Vec<String> = classes.map(yaml::write).collect();
    let text = documents.iter().fold(String::new(), |text, class| text + "---\n" + class);
    (!text.is_empty()).then(|| ("backup/secretproviderclasses.yaml".to_owned(), text))
}

/// Writes all files beside the directory and moves it into its place, so it is whole or not there.
pub(super) fn write(directory: &Path, files: &[(String, String)]) -> anyhow::Result<()> {
    let name = directory.file_name().context("--out has no name")?.to_string_lossy();
    let beside = directory.with_file_name(format!(".{name}.{}.new", std::process::id()));
    let written = (|| {
        std::fs::create_dir_all(&beside)?;
        for (name, text) in files {
            let path = beside.join(name);
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent)?;
            }
            write_whole(&path, text.as_bytes(), 0o644)?;
        }
        std::fs::rename(&beside, directory)?;
        anyhow::Ok(())
    })();
    if written.is_err() {
        let _ = std::fs::remove_dir_all(&beside);
    }
    written.with_context(|| format!("cannot write {}", directory.display()))
}
