//! The `objects` parameter: a YAML document with a list of strings, each of them a YAML document of its own.

use super::Warning;
use super::document::{Document, YamlError};
use super::error::{ClassCause, ClassError, ObjectCause, Unsupported};
use crate::reason;
use crate::spelling::nearest;
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
        let unreadable = |source: YamlError| ObjectCause::Document { index, source };
        let document = Document::parse(text).map_err(unreadable)?;
        let mut raw = Self::default();
        for (key, value) in document.fields("types.KeyVaultObject").map_err(unreadable)? {
            let Some(field) = FIELDS.iter().find(|field| **field == key) else {
                warnings.extend(misspelled(&format!("objects[{index}]"), key, FIELDS));
                continue;
            };
            let wrong = |source: YamlError| ObjectCause::Field { index, field, source };
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
        let (field, path) = if self.object_alias.is_empty() {
            ("objectName", &self.object_name)
        } else {
            ("objectAlias", &self.object_alias)
        };
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
            return Err(ClassCause::Object {
                index: spec.index,
                source: ObjectCause::Collision { path, other, other_index },
            }
            .into());
        }
        files.insert(path, spec);
        for parent in parents() {
            directories.entry(parent).or_insert(spec);
        }
    }
    Ok(())
}

fn misspelled(place: &str, key: &str, known: &[&'static str]) -> Option<Warning> {
    let meant = nearest(key, known, 2)?;
    let text = format!("{place}: field {key:?} is unknown and ignored; did you mean {meant:?}?");
    Some(Warning { reason: reason::KS141, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn specs(text: &str) -> Result<Vec<ObjectSpec>, String> {
        parse(text, &mut Vec::new()).map_err(|error| error.to_string())
    }

    /// One object of these lines, checked.
    fn one(lines: &str) -> Result<ObjectSpec, String> {
        specs(&format!("array:\n  - |\n    {}", lines.replace('\n', "\n    "))).map(|mut specs| specs.remove(0))
    }

    #[test]
    fn elements_are_strings_however_they_are_written() {
        for text in [
            "array:\n  - |\n    objectName: a\n    objectType: secret\n",
            "array:\r\n  - |\r\n    objectName: a\r\n    objectType: secret\r\n",
            "array:\n- |\n  objectName: a\n  objectType: secret",
            "array:\n  - \"objectName: a\\nobjectType: secret\"",
            "array:\n  - '{\"objectName\": \"a\", \"objectType\": \"secret\"}'",
            "array: ['{objectName: a, objectType: secret}']",
            "{\"array\": [\"{objectName: a, objectType: secret}\"]}",
            "array:\n  # comment\n  - | # comment\n    objectName: a # comment\n    objectType: secret\nother: [ignored]\n",
            "array:\n  - |\n    objectName:\ta\n    objectType:  secret\t\n",
            "array:\n  -\n  - &x |\n    objectName: a\n    objectType: secret\n",
        ] {
            let found = specs(text.trim()).unwrap();
            assert_eq!(found.len(), 1, "{text:?}");
            assert_eq!((found[0].name.as_str(), found[0].object_type), ("a", ObjectType::Secret), "{text:?}");
        }
        // A null element is dropped, but counted.
        assert_eq!(specs("array: [~, '{objectName: a, objectType: key}']").unwrap()[0].index, 1);
    }

    #[test]
    fn documents_that_are_no_list_of_strings_are_refused() {
        for (text, expected) in [
            (
                "- |\n  objectName: a",
                "KS106 objects: failed to yaml unmarshal objects, error: yaml: unmarshal errors: line 1: cannot unmarshal !!seq into types.StringArray; hint: put the key \"array:\" above the list",
            ),
            (
                "array:\n  - objectName: a\n    objectType: secret",
                "KS106 objects[0]: failed to yaml unmarshal objects, error: yaml: unmarshal errors: line 2: cannot unmarshal !!map into string; hint: write \"- |\" before the object",
            ),
            (
                "array:\n  - '{}'\n  - [a]",
                "KS106 objects[1]: failed to yaml unmarshal objects, error: yaml: unmarshal errors: line 3: cannot unmarshal !!seq into string",
            ),
            (
                "array: x",
                "KS106 objects: failed to yaml unmarshal objects, error: yaml: unmarshal errors: line 1: cannot unmarshal !!str `x` into []string",
            ),
            ("array: {a: b}", "cannot unmarshal !!map into []string"),
            ("<objects>", "cannot unmarshal !!str `<objects>` into types.StringArray"),
            ("array:\n\t- |", "KS106 objects: failed to yaml unmarshal objects, error: yaml: line 2"),
            ("array: [\narray: [", "KS106 objects: failed to yaml unmarshal objects, error: yaml: line"),
            ("array: []\narray: []", "mapping key \"array\" already defined at line 1"),
            (
                "array: [5]",
                "KS121 objects[0]: unmarshal failed for keyVaultObjects at index 0, error: yaml: unmarshal errors: line 1: cannot unmarshal !!int `5` into types.KeyVaultObject",
            ),
            ("array: ['']", "KS125 objects[0]: objectName: file name must not be empty"),
        ] {
            let error = specs(text).unwrap_err();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }

    #[test]
    fn hostile_documents_are_refused_by_size() {
        let long = "x".repeat(LIMIT_BYTES + 1);
        let many_aliases = format!("array: [&a \"{}\"{}]", "# ".repeat(4000), ", *a".repeat(40));
        for text in [long, many_aliases] {
            assert_eq!(
                specs(&text).unwrap_err(),
                "KS120 objects: the document is larger than 262144 bytes; hint: split the objects over several classes"
            );
        }
    }

    #[test]
    fn fields_are_trimmed_and_none_is_lost() {
        let text = "objectName: 'name '\nobjectAlias: \"\\talias\\n\"\nobjectVersion: ' 0123 '\nobjectVersionHistory: 3.0\nobjectType: ' secret'\n\
                    objectFormat: ' pem '\nobjectEncoding: ' hex '\nfilePermission: ' 0600 '\nObjectName: ignored";
        let raw = RawObject::parse(text, 0, &mut Vec::new()).unwrap();
        let expected = RawObject {
            object_name: "name".into(),
            object_alias: "alias".into(),
            object_version: "0123".into(),
            object_version_history: 3,
            object_type: "secret".into(),
            object_format: "pem".into(),
            object_encoding: "hex".into(),
            file_permission: "0600".into(),
        };
        assert_eq!(raw, expected);
    }

    #[test]
    fn refused_objects_name_themselves_and_the_field() {
        let base = "objectName: a\nobjectType: secret\n";
        for (lines, expected) in [
            (
                "filePermission: rw-r--r--",
                "KS107 objects[0]: filePermission \"rw-r--r--\" is not octal; hint: write it as \"0640\"",
            ),
            ("filePermission: 0999", "KS107 objects[0]: filePermission \"0999\" is not octal"),
            ("filePermission: 900", "KS107"),
            ("filePermission: 0o644", "KS107"),
            (
                "filePermission: [6]",
                "KS121 objects[0]: filePermission: unmarshal failed for keyVaultObjects at index 0, error: yaml: unmarshal errors: line 3: cannot unmarshal !!seq into string",
            ),
            (
                "objectVersionHistory: \"5\"",
                "KS121 objects[0]: objectVersionHistory: unmarshal failed for keyVaultObjects at index 0, error: yaml: unmarshal errors: line 3: cannot unmarshal !!str `5` into int32; hint: write a number without quotes",
            ),
            (
                "objectName: b",
                "KS121 objects[0]: unmarshal failed for keyVaultObjects at index 0, error: yaml: unmarshal errors: line 3: mapping key \"objectName\" already defined at line 1; hint: delete one objectName",
            ),
            ("objectFormat: pkcs", "KS123 objects[0]: invalid objectFormat: pkcs, should be PEM or PFX; hint: "),
            (
                "objectEncoding: NOT_VALID",
                "KS124 objects[0]: invalid objectEncoding: NOT_VALID, should be hex, base64 or utf-8; hint: ",
            ),
            ("objectAlias: /a", "KS125 objects[0]: objectAlias: file name must be a relative path"),
            ("objectAlias: a/../b", "KS125 objects[0]: objectAlias: file name must not contain '..'"),
            ("objectAlias: a..b", "file name must not contain '..'"),
            ("objectAlias: ..a", "file name must not contain '..'"),
            ("objectAlias: a//b", "KS125"),
            ("objectAlias: ./a", "KS125"),
            (
                "objectVersion: a/b",
                "KS127 objects[0]: objectVersion: object version \"a/b\" is not a Key Vault version",
            ),
            (
                "objectVersionHistory: 2",
                "KS129 objects[0]: objectVersionHistory: 2 is not supported by this version; hint: ",
            ),
            ("objectFormat: PFX", "KS129 objects[0]: objectFormat: pfx is not supported by this version"),
        ] {
            let error = one(&format!("{base}{lines}")).unwrap_err();
            assert!(error.contains(expected), "{lines}: {error}");
        }
    }

    #[test]
    fn objects_need_a_name_and_a_type_that_fit_the_rest() {
        for (lines, expected) in [
            ("objectType: secret", "KS125 objects[0]: objectName: file name must not be empty"),
            ("ObjectName: a\nobjectType: secret", "file name must not be empty"),
            ("objectName: ~\nobjectType: secret", "file name must not be empty"),
            ("objectName: a_b\nobjectType: secret", "KS126 objects[0]: objectName: object name \"a_b\" is not"),
            (
                "objectName: null\nobjectAlias: x\nobjectType: secret",
                "KS126 objects[0]: objectName: object name \"\" is not",
            ),
            (
                "objectName: a",
                "KS122 objects[0]: objectType \"\": Invalid vaultObjectTypes. Should be secret, key, or cert; hint: ",
            ),
            ("objectName: a\nobjectType: Secret", "KS122 objects[0]: objectType \"Secret\": Invalid vaultObjectTypes"),
            (
                "objectName: a\nobjectType: key\nobjectFormat: pfx",
                "KS123 objects[0]: objectFormat: PFX format only supported for objectType: secret",
            ),
            ("objectName: a\nobjectType: cert\nobjectFormat: pfx", "PFX format only supported for objectType: secret"),
            (
                "objectName: a\nobjectType: key\nobjectEncoding: utf-8",
                "KS124 objects[0]: objectEncoding only supported for objectType: secret",
            ),
            (
                "objectName: a\nobjectType: cert",
                "KS129 objects[0]: objectType: cert is not supported by this version; hint: this version delivers",
            ),
        ] {
            let error = one(lines).unwrap_err();
            assert!(error.contains(expected), "{lines}: {error}");
        }
    }

    #[test]
    fn accepted_objects_mean_what_the_provider_means() {
        let base = "objectName: a\nobjectType: secret\n";
        for (lines, check) in [
            ("objectVersion: latest", (|spec| spec.version.is_none()) as fn(&ObjectSpec) -> bool),
            ("objectVersion: \"\"", |spec| spec.version.is_none()),
            ("objectVersion: ~", |spec| spec.version.is_none()),
            ("objectVersion: 0123", |spec| spec.version.as_ref().unwrap().as_str() == "0123"),
            ("objectVersion: 1e5", |spec| spec.version.as_ref().unwrap().as_str() == "1e5"),
            ("objectVersionHistory: 1", |spec| spec.history == 1),
            ("objectVersionHistory: -3", |spec| spec.history == -3),
            ("objectVersionHistory: ~", |spec| spec.history == 0),
            ("filePermission: 0755", |spec| spec.mode.bits() == 0o755),
            ("filePermission: 600", |spec| spec.mode.bits() == 0o600),
            ("filePermission: ''", |spec| spec.mode == FileMode::DEFAULT),
            ("objectFormat: PeM", |spec| spec.format == ObjectFormat::Pem),
            ("objectEncoding: UTF-8", |spec| spec.encoding == ObjectEncoding::Utf8),
            ("objectEncoding: Base64", |spec| spec.encoding == ObjectEncoding::Base64),
            ("objectEncoding: HEX", |spec| spec.encoding == ObjectEncoding::Hex),
            ("objectAlias: dir/sub/file", |spec| spec.path.as_str() == "dir/sub/file"),
            ("objectAlias: a b", |spec| spec.path.as_str() == "a b"),
            ("objectAlias: '  '", |spec| spec.path.as_str() == "a"),
            ("unknown: {nested: [values]}", |spec| spec.path.as_str() == "a"),
        ] {
            let spec = one(&format!("{base}{lines}")).unwrap();
            assert!(check(&spec), "{lines}: {spec:?}");
        }
        for name in ["007", "true", "yes", "2024-01-01"] {
            assert_eq!(one(&format!("objectName: {name}\nobjectType: secret")).unwrap().name.as_str(), name);
        }
        // In this spelling the provider lets the format pass on a key, and ignores it.
        assert_eq!(one("objectName: a\nobjectType: key\nobjectFormat: PFX").unwrap().format, ObjectFormat::Pem);
    }

    #[test]
    fn two_objects_never_share_a_place() {
        for (paths, expected) in [
            (
                &["a", "a"][..],
                Some(
                    "KS128 objects[1]: path a collides with path a of objects[0]; hint: give one of them another objectAlias",
                ),
            ),
            (
                &["s", "t", "s/0"],
                Some(
                    "KS128 objects[2]: path s/0 collides with path s of objects[0]; hint: give one of them another objectAlias",
                ),
            ),
            (
                &["x/s/0", "t", "x/s"],
                Some(
                    "KS128 objects[2]: path x/s collides with path x/s/0 of objects[0]; hint: give one of them another objectAlias",
                ),
            ),
            (&["s", "s0", "S", "d/a", "d/b", "d/c/e", "d/c/f"], None),
        ] {
            let items: Vec<_> =
                paths.iter().map(|path| format!("'{{objectName: a, objectType: key, objectAlias: {path}}}'")).collect();
            let error = specs(&format!("array: [{}]", items.join(", "))).err();
            assert_eq!(error.as_deref(), expected, "{paths:?}");
        }
    }
}
