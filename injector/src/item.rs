//! An item of a volume: what one entry of the Plan asks for. It makes no file, one or several.

use crate::vault::Object;
use keysluice_plan::{File, FileMode, RelativePath, Selection, VaultUrl, Volume};
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

    /// The paths of a file and of what it may be split into; a history is below its own.
    pub(crate) fn paths(&self) -> Vec<RelativePath> {
        let Self::File(file) = self else { return Vec::new() };
        let suffixes: &[&str] =
            if file.split && file.history.is_none() { &["", ".crt", ".key"] } else { &[""] };
        suffixes.iter().filter_map(|suffix| format!("{}{suffix}", file.path).parse().ok()).collect()
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

    /// Whether a file at this path would be its own.
    pub(crate) fn claims(&self, path: &RelativePath) -> bool {
        let rest = |of: &RelativePath| path.as_str().strip_prefix(of.as_str());
        match self {
            Self::File(file) => match rest(&file.path) {
                // The path itself is the directory of a history: nobody else's file.
                Some(rest) if file.history.is_some() => rest.is_empty() || rest.starts_with('/'),
                Some("") => true,
                Some(".crt" | ".key") => file.split,
                _ => false,
            },
            Self::Selection(selection) => {
                let name = match &selection.directory {
                    None => Some(path.as_str()),
                    Some(directory) => rest(directory).and_then(|rest| rest.strip_prefix('/')),
                };
                name.is_some_and(|name| name.parse::<keysluice_plan::ObjectName>().is_ok())
            }
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

    fn file(extra: &serde_json::Value) -> File {
        let mut json = serde_json::json!({"path": "tls", "mode": "0644", "identity": "a", "vault": "https://kv/", "type": "secret", "name": "c"});
        json.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        serde_json::from_value(json).unwrap()
    }

    fn selection(extra: &serde_json::Value) -> Selection {
        let mut json = serde_json::json!({"mode": "0600", "identity": "a", "vault": "https://kv/"});
        json.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn an_item_claims_the_paths_it_can_write() {
        let path = |text: &str| text.parse::<RelativePath>().unwrap();
        let claims = |item: Item<'_>, paths: &[&str]| {
            paths.iter().map(|text| item.claims(&path(text))).collect::<Vec<_>>()
        };
        let asked = ["tls", "tls.crt", "tls.key", "tls/0", "tlsx", "other"];
        let plain = file(&serde_json::json!({}));
        assert_eq!(claims(Item::File(&plain), &asked), [true, false, false, false, false, false]);
        let split = file(&serde_json::json!({"split": true}));
        assert_eq!(claims(Item::File(&split), &asked), [true, true, true, false, false, false]);
        let history = file(&serde_json::json!({"history": 2}));
        assert_eq!(claims(Item::File(&history), &asked), [true, false, false, true, false, false]);
        let asked = ["db", "app/db", "app/x/db", "app/d.b", "apps"];
        let top = selection(&serde_json::json!({}));
        assert_eq!(claims(Item::Selection(&top), &asked), [true, false, false, false, true]);
        let below = selection(&serde_json::json!({"directory": "app"}));
        assert_eq!(claims(Item::Selection(&below), &asked), [false, true, false, false, false]);
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
