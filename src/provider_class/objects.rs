//! The `objects` parameter: a YAML document with a list of strings, each of them a YAML document of its own.

use super::Warning;
use super::document::{Document, YamlError};
use super::error::{ClassCause, ClassError, ObjectCause, Unsupported};
use super::spelling::nearest;
use crate::reason;
use keysluice_plan::{FileMode, ObjectEncoding, ObjectFormat, ObjectName, ObjectType, ObjectVersion, RelativePath};
use std::collections::HashMap;

/// Far above what fits into a Plan (96 KiB); keeps a hostile document from costing time.
const LIMIT_BYTES: usize = 256 * 1024;

/// One object, read and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ObjectSpec {
    /// Position in `array`, from 0.
    pub(super) index: usize,
    pub(super) name: ObjectName,
    pub(super) path: RelativePath,
    pub(super) mode: FileMode,
    pub(super) object_type: ObjectType,
    /// `None` is the latest.
    pub(super) version: Option<ObjectVersion>,
    pub(super) format: ObjectFormat,
    pub(super) encoding: ObjectEncoding,
    /// 0 and 1 mean one version.
    history: i32,
}

/// Reads all objects. No document, no `array` or an empty one give none, with a warning.
pub(super) fn parse(text: &str, warnings: &mut Vec<Warning>) -> Result<Vec<ObjectSpec>, ClassError> {
    let mut specs = Vec::new();
    for (index, item) in strings(text, warnings)?.iter().enumerate() {
        // A null element is dropped, as yaml.v3 does; the others keep the position the user counts.
        let Some(item) = item else { continue };
        let spec = RawObject::parse(item, index, warnings).and_then(|raw| raw.check(index));
        specs.push(spec.map_err(|source| ClassCause::Object { index, source })?);
    }
    if specs.is_empty() {
        let text = "objects is not set or has no element: the volume will be empty".to_owned();
        warnings.push(Warning { reason: reason::KS140, text });
    }
    collide(&specs)?;
    Ok(specs)
}

/// The strings below `array`, null ones as `None`.
fn strings(text: &str, warnings: &mut Vec<Warning>) -> Result<Vec<Option<String>>, ClassError> {
    if text.len() > LIMIT_BYTES {
        return Err(ClassCause::ObjectsSize { limit: LIMIT_BYTES }.into());
    }
    let document = Document::parse(text).map_err(ClassCause::Objects)?;
    let mut strings = Vec::new();
    let mut bytes = 0;
    for (key, value) in document.fields("types.StringArray").map_err(ClassCause::Objects)? {
        if key != "array" {
            warnings.extend(misspelled("objects", key, &["array"]));
            continue;
        }
        for (index, item) in document.items(value).map_err(ClassCause::Objects)?.iter().enumerate() {
            let item = document.string(*item);
            let item = item.map_err(|error| ClassCause::Object { index, source: ObjectCause::NotString(error) })?;
            bytes += item.map_or(1, str::len);
            if bytes > LIMIT_BYTES {
                return Err(ClassCause::ObjectsSize { limit: LIMIT_BYTES }.into());
            }
            strings.push(item.map(str::to_owned));
        }
    }
    Ok(strings)
}

const FIELDS: &[&str] = &[
    "objectName",
    "objectAlias",
    "objectVersion",
    "objectVersionHistory",
    "objectType",
    "objectFormat",
    "objectEncoding",
    "filePermission",
];

/// The fields as the provider has them after trimming.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct RawObject {
    pub(super) object_name: String,
    pub(super) object_alias: String,
    pub(super) object_version: String,
    pub(super) object_version_history: i32,
    pub(super) object_type: String,
    pub(super) object_format: String,
    pub(super) object_encoding: String,
    pub(super) file_permission: String,
}

impl RawObject {
    fn parse(text: &str, index: usize, warnings: &mut Vec<Warning>) -> Result<Self, ObjectCause> {
        let document = Document::parse(text).map_err(ObjectCause::Document)?;
        let mut raw = Self::default();
        for (key, value) in document.fields("types.KeyVaultObject").map_err(ObjectCause::Document)? {
            let Some(field) = FIELDS.iter().find(|field| **field == key) else {
                warnings.extend(misspelled(&format!("objects[{index}]"), key, FIELDS));
                continue;
            };
            let wrong = |source: YamlError| ObjectCause::Field { field, source };
            match raw.text_field(field) {
                Some(text) => document.string(value).map_err(wrong)?.unwrap_or_default().trim().clone_into(text),
                None => raw.object_version_history = document.int32(value).map_err(wrong)?.unwrap_or_default(),
            }
        }
        Ok(raw)
    }

    /// The field of that name; `None` for the one number.
    fn text_field(&mut self, field: &str) -> Option<&mut String> {
        match field {
            "objectName" => Some(&mut self.object_name),
            "objectAlias" => Some(&mut self.object_alias),
            "objectVersion" => Some(&mut self.object_version),
            "objectType" => Some(&mut self.object_type),
            "objectFormat" => Some(&mut self.object_format),
            "objectEncoding" => Some(&mut self.object_encoding),
            "filePermission" => Some(&mut self.file_permission),
            _ => None,
        }
    }

    /// The provider's checks in its order (format, encoding, path), then those it leaves to the vault or forgets.
    fn check(self, index: usize) -> Result<ObjectSpec, ObjectCause> {
        let format = self.format()?;
        let encoding = self.encoding()?;
        let (field, path) =
            if self.object_alias.is_empty() { ("objectName", &self.object_name) } else { ("objectAlias", &self.object_alias) };
        let path = path.parse().map_err(|source| ObjectCause::Path { field, source })?;
        let mode = match self.file_permission.as_str() {
            "" => FileMode::DEFAULT,
            octal => octal.parse().map_err(|_| ObjectCause::Permission(octal.to_owned()))?,
        };
        let object_type = match self.object_type.as_str() {
            "secret" => ObjectType::Secret,
            "key" => ObjectType::Key,
            "cert" => ObjectType::Cert,
            _ => return Err(ObjectCause::Type(self.object_type)),
        };
        let name = self.object_name.parse().map_err(ObjectCause::Name)?;
        let version = match self.object_version.as_str() {
            "" => None,
            latest if latest.eq_ignore_ascii_case("latest") => None,
            version => Some(version.parse().map_err(ObjectCause::Version)?),
        };
        let history = self.object_version_history;
        let spec = ObjectSpec { index, name, path, mode, object_type, version, format, encoding, history };
        unsupported(&spec)?;
        Ok(spec)
    }

    fn format(&self) -> Result<ObjectFormat, ObjectCause> {
        let (format, secret) = (self.object_format.as_str(), self.object_type == "secret");
        match format {
            "" => Ok(ObjectFormat::Pem),
            _ if format.eq_ignore_ascii_case("pem") => Ok(ObjectFormat::Pem),
            "pfx" if !secret => Err(ObjectCause::FormatType),
            _ if format.eq_ignore_ascii_case("pfx") && secret => Ok(ObjectFormat::Pfx),
            // The provider compares "pfx" exactly here: in other spellings it lets it pass, and ignores it.
            _ if format.eq_ignore_ascii_case("pfx") => Ok(ObjectFormat::Pem),
            _ => Err(ObjectCause::Format(format.to_owned())),
        }
    }

    fn encoding(&self) -> Result<ObjectEncoding, ObjectCause> {
        let encoding = self.object_encoding.as_str();
        match encoding {
            "" => Ok(ObjectEncoding::Utf8),
            _ if self.object_type != "secret" => Err(ObjectCause::EncodingType),
            _ if encoding.eq_ignore_ascii_case("utf-8") => Ok(ObjectEncoding::Utf8),
            _ if encoding.eq_ignore_ascii_case("base64") => Ok(ObjectEncoding::Base64),
            _ if encoding.eq_ignore_ascii_case("hex") => Ok(ObjectEncoding::Hex),
            _ => Err(ObjectCause::Encoding(encoding.to_owned())),
        }
    }
}

/// What this version reads but does not deliver. To be deleted when it does.
fn unsupported(spec: &ObjectSpec) -> Result<(), ObjectCause> {
    let what = match spec {
        ObjectSpec { object_type: ObjectType::Cert, .. } => Unsupported::Certificate,
        ObjectSpec { format: ObjectFormat::Pfx, .. } => Unsupported::Pfx,
        ObjectSpec { history: 2.., .. } => Unsupported::History(spec.history),
        _ => return Ok(()),
    };
    Err(ObjectCause::Unsupported(what))
}

/// Refuses two objects on one path, and a file where another object needs a directory.
fn collide(specs: &[ObjectSpec]) -> Result<(), ClassError> {
    let mut files: HashMap<&str, &ObjectSpec> = HashMap::new();
    let mut directories: HashMap<&str, &ObjectSpec> = HashMap::new();
    for spec in specs {
        let path = spec.path.as_str();
        let parents = || path.match_indices('/').map(|(end, _)| &path[..end]);
        let other = parents().chain([path]).find_map(|place| files.get(place)).or_else(|| directories.get(path));
        if let Some(other) = other {
            let (path, other_index, other) = (spec.path.clone(), other.index, other.path.clone());
            return Err(ClassCause::Object { index: spec.index, source: ObjectCause::Collision { path, other, other_index } }.into());
        }
        files.insert(path, spec);
        for parent in parents() {
            directories.entry(parent).or_insert(spec);
        }
    }
    Ok(())
}

fn misspelled(place: &str, key: &str, known: &[&'static str]) -> Option<Warning> {
    let meant = nearest(key, known)?;
    let text = format!("{place}: field {key:?} is unknown and ignored; did you mean {meant:?}?");
    Some(Warning { reason: reason::KS141, text })
}
