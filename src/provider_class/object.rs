//! One element of `objects`: what the provider checks before it asks the vault, then what it leaves
//! to the vault or forgets.

use super::additions::Additions;
use super::document::Document;
use super::doubts::Doubts;
use super::error::ObjectCause;
use super::reference::{self, OBJECT_FIELDS, Reader};
use super::unfilled::is_placeholder;
use crate::reason;
use keysluice_plan::{
    FileMode, MOST_VERSIONS, ObjectEncoding, ObjectFormat, ObjectName, ObjectType, ObjectVersion,
    PathError, RelativePath,
};

/// Values of one object's document: ten times as many as there are fields.
const MOST_VALUES: usize = 256;

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
    /// 2 or more; `None` is one version.
    pub(super) history: Option<u32>,
    pub(super) additions: Additions,
}

/// The fields as the provider has them after trimming, and ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RawObject {
    pub(super) object_name: String,
    pub(super) object_alias: String,
    pub(super) object_version: String,
    pub(super) object_version_history: i32,
    pub(super) object_type: String,
    pub(super) object_format: String,
    pub(super) object_encoding: String,
    pub(super) file_permission: String,
    /// A field that is unknown and looks as if objectName were meant.
    pub(super) near_name: Option<String>,
    /// What is wrong with ours must not hide what the provider says first.
    pub(super) additions: Result<Additions, ObjectCause>,
}

impl RawObject {
    pub(super) fn parse(
        text: &str,
        index: usize,
        doubts: &mut Doubts,
    ) -> Result<Self, ObjectCause> {
        let document = Document::parse(text, MOST_VALUES)
            .map_err(|source| ObjectCause::Document { index, source })?;
        let fields = document
            .fields("types.KeyVaultObject")
            .map_err(|source| ObjectCause::Document { index, source })?;
        let mut raw = Self::empty();
        for (key, value) in fields {
            let Some(entry) = reference::find(OBJECT_FIELDS, key) else {
                if let Some(meant) = doubts.misspelled(OBJECT_FIELDS, key) {
                    if meant == "objectName" {
                        raw.near_name = Some(key.to_owned());
                    }
                    doubts.add(reason::KS141, || unknown(&format!("objects[{index}]"), key, meant));
                }
                continue;
            };
            let field = entry.name;
            if entry.reader == Reader::Keysluice {
                let read = raw
                    .additions
                    .as_mut()
                    .map(|additions| additions.read(index, field, &document, value));
                if let Ok(Err(error)) = read {
                    raw.additions = Err(error);
                }
            } else if let Some(text) = raw.text_field(field) {
                let value = document.string(value).map_err(ObjectCause::field(index, field))?;
                value.unwrap_or_default().trim().clone_into(text);
            } else {
                let history = document.int32(value).map_err(ObjectCause::field(index, field))?;
                raw.object_version_history = history.unwrap_or_default();
            }
        }
        Ok(raw)
    }

    fn empty() -> Self {
        let text = String::new;
        Self {
            object_name: text(),
            object_alias: text(),
            object_version: text(),
            object_version_history: 0,
            object_type: text(),
            object_format: text(),
            object_encoding: text(),
            file_permission: text(),
            near_name: None,
            additions: Ok(Additions::default()),
        }
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

    /// The provider's checks before it asks the vault, in its order and words: format, encoding,
    /// path.
    pub(super) fn validate(&self) -> Result<(), ObjectCause> {
        let checked = self
            .format()
            .map(drop)
            .and_then(|()| self.encoding().map(drop))
            .and_then(|()| self.check_path());
        checked.map_err(|source| self.wrapped(source))
    }

    fn check_path(&self) -> Result<(), ObjectCause> {
        match self.path() {
            Err(source @ (PathError::Empty | PathError::Absolute(_) | PathError::Parent(_))) => {
                Err(self.path_cause(source))
            }
            // What the path is made of is the CSI driver's business, after the vault's answer.
            _ => Ok(()),
        }
    }

    /// The checks that the provider leaves to the vault or to the driver, or forgets; ours last.
    pub(super) fn check(
        self,
        index: usize,
        doubts: &mut Doubts,
    ) -> Result<ObjectSpec, ObjectCause> {
        let object_type = match self.object_type.as_str() {
            "secret" => ObjectType::Secret,
            "key" => ObjectType::Key,
            "cert" => ObjectType::Cert,
            _ => return Err(self.wrapped(ObjectCause::Type)),
        };
        if self.object_name.is_empty() {
            return Err(ObjectCause::NameMissing { near: self.near_name });
        }
        if is_placeholder(&self.object_name) {
            return Err(ObjectCause::Placeholder { field: "objectName", value: self.object_name });
        }
        let name = self.object_name.parse();
        let name =
            name.map_err(|source| ObjectCause::Name { source, value: self.object_name.clone() })?;
        let version = match self.object_version.as_str() {
            "" => None,
            latest if latest.eq_ignore_ascii_case("latest") => None,
            version => Some(version.parse().map_err(ObjectCause::Version)?),
        };
        let history = match u32::try_from(self.object_version_history) {
            Err(_) | Ok(0 | 1) => None,
            Ok(count) if count <= MOST_VERSIONS => Some(count),
            Ok(count) => return Err(ObjectCause::History(count)),
        };
        let path = self.path().map_err(|source| self.path_cause(source))?;
        if let Some(hidden) = path.as_str().chars().find(|c| is_invisible(*c)) {
            let code = hidden as u32;
            doubts.add(reason::KS145, || {
                format!(
                    "objects[{index}]: the file name {:?} holds the invisible character \
                     U+{code:04X}",
                    path.as_str()
                )
            });
        }
        let mode = match self.file_permission.as_str() {
            "" => FileMode::DEFAULT,
            octal => octal.parse().map_err(ObjectCause::Permission)?,
        };
        let (format, encoding) = (self.format()?, self.encoding()?);
        let additions = self.additions?;
        additions.check(object_type)?;
        Ok(ObjectSpec {
            index,
            name,
            path,
            mode,
            object_type,
            version,
            format,
            encoding,
            history,
            additions,
        })
    }

    fn path(&self) -> Result<RelativePath, PathError> {
        if self.object_alias.is_empty() {
            self.object_name.parse()
        } else {
            self.object_alias.parse()
        }
    }

    fn path_cause(&self, source: PathError) -> ObjectCause {
        if self.object_name.is_empty() && self.object_alias.is_empty() {
            return ObjectCause::NameAndAliasMissing { source, near: self.near_name.clone() };
        }
        let field = if self.object_alias.is_empty() { "objectName" } else { "objectAlias" };
        ObjectCause::Path { field, source }
    }

    /// What the provider puts before the errors of an object.
    fn wrapped(&self, source: ObjectCause) -> ObjectCause {
        ObjectCause::Wrapped {
            object_type: self.object_type.clone(),
            name: self.object_name.clone(),
            version: self.object_version.clone(),
            source: Box::new(source),
        }
    }

    fn format(&self) -> Result<ObjectFormat, ObjectCause> {
        let (text, secret) = (self.object_format.as_str(), self.object_type == "secret");
        match format(text) {
            _ if text.is_empty() => Ok(ObjectFormat::Pem),
            None => Err(ObjectCause::Format(text.to_owned())),
            // The provider compares "pfx" exactly here: in other spellings it lets it pass, and
            // ignores it.
            Some(ObjectFormat::Pfx) if !secret && text == "pfx" => Err(ObjectCause::FormatType),
            Some(ObjectFormat::Pfx) if !secret => Ok(ObjectFormat::Pem),
            Some(format) => Ok(format),
        }
    }

    fn encoding(&self) -> Result<ObjectEncoding, ObjectCause> {
        match self.object_encoding.as_str() {
            "" => Ok(ObjectEncoding::Utf8),
            _ if self.object_type != "secret" => Err(ObjectCause::EncodingType),
            text => encoding(text).ok_or_else(|| ObjectCause::Encoding(text.to_owned())),
        }
    }
}

/// `objectFormat`, in any case.
pub(crate) fn format(text: &str) -> Option<ObjectFormat> {
    if text.eq_ignore_ascii_case("pem") {
        Some(ObjectFormat::Pem)
    } else {
        text.eq_ignore_ascii_case("pfx").then_some(ObjectFormat::Pfx)
    }
}

/// `objectEncoding`, in any case.
pub(crate) fn encoding(text: &str) -> Option<ObjectEncoding> {
    let known = [
        ("utf-8", ObjectEncoding::Utf8),
        ("base64", ObjectEncoding::Base64),
        ("hex", ObjectEncoding::Hex),
    ];
    known
        .into_iter()
        .find(|(name, _)| text.eq_ignore_ascii_case(name))
        .map(|(_, encoding)| encoding)
}

/// Control characters, and those without a width that get into names by copying: spaces, joiners,
/// marks of direction.
pub(super) fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}')
        || matches!(c, '\u{2060}'..='\u{2069}' | '\u{FEFF}')
}

/// About a field that is ignored and looks like one that is not.
pub(super) fn unknown(place: &str, key: &str, meant: &str) -> String {
    format!("{place}: field {key:?} is unknown and ignored; did you mean {meant:?}?")
}
