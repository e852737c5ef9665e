//! An item of a volume: what one entry of the Plan asks for. It makes no file, one or several.

use crate::vault::Object;
use keysluice_plan::{Credential, File, FileMode, Plan, RelativePath, Selection, VaultUrl, Volume};
use std::collections::BTreeSet;

/// One entry of a volume. Items are counted by index: the files, then the selections.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Item<'a> {
    /// One object.
    File(&'a File),
    /// Secrets that only the vault knows by name.
    Selection(&'a Selection),
}

impl<'a> Item<'a> {
    /// All of a volume, in order of their index.
    pub(crate) fn all(volume: &'a Volume) -> impl Iterator<Item = Self> {
        volume.files.iter().map(Self::File).chain(volume.selections.iter().map(Self::Selection))
    }

    /// How many there are.
    pub(crate) fn count(volume: &Volume) -> usize {
        volume.files.len() + volume.selections.len()
    }

    /// The one with this index; an index comes from counting the same volume.
    pub(crate) fn at(volume: &'a Volume, index: usize) -> Self {
        match volume.files.get(index) {
            Some(file) => Self::File(file),
            None => Self::Selection(&volume.selections[index - volume.files.len()]),
        }
    }

    /// Mode of its files.
    pub(crate) fn mode(&self) -> FileMode {
        match self {
            Self::File(file) => file.mode,
            Self::Selection(selection) => selection.mode,
        }
    }

    /// Group of its files.
    pub(crate) fn group(&self) -> Option<u32> {
        match self {
            Self::File(file) => file.group,
            Self::Selection(selection) => selection.group,
        }
    }

    /// Where its files are: the path of the one, or the directory of all.
    pub(crate) fn path(&self) -> &'a str {
        match self {
            Self::File(file) => file.path.as_str(),
            Self::Selection(selection) => {
                selection.directory.as_ref().map_or(".", RelativePath::as_str)
            }
        }
    }

    /// The vault it comes from.
    pub(crate) fn vault(&self) -> &'a VaultUrl {
        match self {
            Self::File(file) => &file.vault,
            Self::Selection(selection) => &selection.vault,
        }
    }

    /// What it comes from, for messages.
    pub(crate) fn source(&self) -> String {
        match self {
            Self::File(file) => Object::of(file).to_string(),
            Self::Selection(selection) => described(selection),
        }
    }

    /// Whether a generation with these files can be one of this item's: a file that must be there
    /// is.
    pub(crate) fn may_have_made(&self, files: &BTreeSet<RelativePath>) -> bool {
        match self {
            Self::File(file) => {
                file.optional || file.history.is_some() || files.contains(&file.path)
            }
            Self::Selection(_) => true,
        }
    }
}

/// For each item of a volume of the new Plan the index of the same item in the old one: it asks for
/// the same, as the same identity, whatever that is called.
pub(crate) fn unchanged_items(old: &Plan, new: &Plan, volume: usize) -> Vec<Option<usize>> {
    let (before, after) = (&old.volumes[volume], &new.volumes[volume]);
    let files = after.files.iter().map(|file| {
        before.files.iter().position(|known| {
            File { identity: file.identity.clone(), ..known.clone() } == *file
                && identity(old, &known.identity) == identity(new, &file.identity)
        })
    });
    let selections = after.selections.iter().map(|selection| {
        let same = before.selections.iter().position(|known| {
            Selection { identity: selection.identity.clone(), ..known.clone() } == *selection
                && identity(old, &known.identity) == identity(new, &selection.identity)
        });
        same.map(|index| before.files.len() + index)
    });
    files.chain(selections).collect()
}

/// Credential and scope of the identity with this name.
fn identity<'p>(plan: &'p Plan, name: &str) -> Option<(&'p Credential, &'p str)> {
    let known = plan.identities.iter().find(|identity| identity.name == name)?;
    Some((&known.credential, &known.scope))
}

/// `secrets "app-*" in https://kv.vault.azure.net/`
fn described(selection: &Selection) -> String {
    let prefix = selection.name_prefix.as_deref().unwrap_or_default();
    let tags: Vec<_> =
        selection.tags.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let tagged =
        if tags.is_empty() { String::new() } else { format!(" tagged {:?}", tags.join(" ")) };
    format!("secrets {:?}{tagged} in {}", format!("{prefix}*"), selection.vault)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(extra: &serde_json::Value) -> Selection {
        let mut json = serde_json::json!({"mode": "0600", "identity": "a", "vault": "https://kv/"});
        json.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_selection_is_described_by_what_it_selects() {
        let chosen =
            selection(&serde_json::json!({"namePrefix": "app-", "tags": {"team": "shop"}}));
        assert_eq!(
            Item::Selection(&chosen).source(),
            "secrets \"app-*\" tagged \"team=shop\" in https://kv/"
        );
    }
}
