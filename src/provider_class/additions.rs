//! The fields of an object that only we read.

use super::document::{Document, NodeId};
use super::error::ObjectCause;
use super::parameters::parse_bool;
use super::vault::VaultChoice;
use keysluice_plan::{JsonPath, ObjectType, Part, RelativePath};

/// What they say. Empty values count as absent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Additions {
    pub(super) optional: bool,
    pub(super) json_key: Option<JsonPath>,
    pub(super) parts: Vec<Part>,
    pub(super) owner: Option<u32>,
    pub(super) group: Option<u32>,
    pub(super) vault: VaultChoice,
}

impl Additions {
    /// Reads one field.
    pub(super) fn read(
        &mut self,
        index: usize,
        field: &'static str,
        document: &Document<'_>,
        value: NodeId,
    ) -> Result<(), ObjectCause> {
        if field == "parts"
            && let Some(items) = document.sequence(value)
        {
            for item in items {
                let part = document.string(*item).map_err(ObjectCause::field(index, field))?;
                self.add_part(part.unwrap_or_default().trim())?;
            }
            return Ok(());
        }
        let text = document.string(value).map_err(ObjectCause::field(index, field))?;
        let text = text.unwrap_or_default().trim();
        if text.is_empty() {
            return Ok(());
        }
        match field {
            "optional" => {
                self.optional = parse_bool(text)
                    .ok_or_else(|| ObjectCause::Flag { field, value: text.to_owned() })?;
            }
            "jsonKey" => self.json_key = Some(text.parse().map_err(ObjectCause::JsonKey)?),
            "parts" => text.split(',').try_for_each(|part| self.add_part(part.trim()))?,
            "fileOwner" => self.owner = Some(id(field, text)?),
            "fileGroup" => self.group = Some(id(field, text)?),
            "keyvaultName" => text.clone_into(&mut self.vault.name),
            "vaultUrl" => text.clone_into(&mut self.vault.url),
            _ => {}
        }
        Ok(())
    }

    fn add_part(&mut self, name: &str) -> Result<(), ObjectCause> {
        let known = [Part::Cert, Part::Chain, Part::Key, Part::Ca, Part::Pfx];
        let part = known.into_iter().find(|part| part.as_str() == name);
        let part = part.ok_or_else(|| ObjectCause::PartUnknown(name.to_owned()))?;
        if self.parts.contains(&part) {
            return Err(ObjectCause::PartTwice(part.as_str()));
        }
        self.parts.push(part);
        Ok(())
    }

    /// Whether they go together, and with the type.
    pub(super) fn check(&self, object_type: ObjectType) -> Result<(), ObjectCause> {
        if self.json_key.is_some() && object_type != ObjectType::Secret {
            return Err(ObjectCause::JsonKeyType(object_type.as_str()));
        }
        if !self.parts.is_empty() && object_type == ObjectType::Key {
            return Err(ObjectCause::PartsType);
        }
        if self.json_key.is_some() && !self.parts.is_empty() {
            return Err(ObjectCause::JsonKeyOfParts);
        }
        Ok(())
    }

    /// What is fetched: a certificate's secret carries its chain and its key too, the certificate
    /// itself is the leaf alone.
    pub(super) fn fetched_type(&self, object_type: ObjectType) -> ObjectType {
        if self.parts.iter().any(|part| *part != Part::Cert) {
            ObjectType::Secret
        } else {
            object_type
        }
    }

    /// The files: the path itself for the whole or for one part, else one name a part.
    pub(super) fn paths(
        &self,
        path: &RelativePath,
    ) -> Result<Vec<(Option<Part>, RelativePath)>, ObjectCause> {
        match self.parts[..] {
            [] => Ok(vec![(None, path.clone())]),
            [part] => Ok(vec![(Some(part), path.clone())]),
            _ => self
                .parts
                .iter()
                .map(|part| Ok((Some(*part), with_suffix(path, suffix(*part))?)))
                .collect(),
        }
    }
}

fn with_suffix(path: &RelativePath, suffix: &str) -> Result<RelativePath, ObjectCause> {
    format!("{path}{suffix}").parse().map_err(|source| ObjectCause::Path { field: "parts", source })
}

fn suffix(part: Part) -> &'static str {
    match part {
        Part::Cert => ".crt",
        Part::Chain => ".chain.crt",
        Part::Key => ".key",
        Part::Ca => ".ca.crt",
        Part::Pfx => ".pfx",
    }
}

fn id(field: &'static str, text: &str) -> Result<u32, ObjectCause> {
    text.parse().map_err(|_| ObjectCause::Id { field, value: text.to_owned() })
}
