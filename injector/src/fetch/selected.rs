//! A selection: which secrets it has, where they go, and which of them changed.

use super::making::{Job, Place};
use super::{Fetcher, ItemUpdate, no_result};
use crate::changes::{Seen, settled};
use crate::content::Fetched;
use crate::fault::{Class, Fault, FaultKind};
use crate::item::Item;
use crate::vault::{Lifetime, Listed, Object, of_object};
use keysluice_plan::reason::{KS404, KS430, KS601, KS608};
use keysluice_plan::{ObjectName, PathError, RelativePath, Selection};
use secrecy::ExposeSecret;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::task::JoinSet;

/// More in one pod is a mistake: the volume's `sizeLimit` is far below.
pub(super) const MOST: usize = 1000;
/// More than this at once would not fit into the sidecar's memory; a volume holds it twice.
const MOST_BYTES: usize = 8 * 1024 * 1024;
/// Removed secrets that a line of the log names.
const MOST_NAMED: usize = 20;

impl Fetcher {
    /// Secrets that the list shows unchanged keep their files, and so does one that fails; the
    /// others go on.
    pub(super) async fn selection(
        self: Arc<Self>,
        volume: usize,
        index: usize,
    ) -> Result<ItemUpdate, Fault> {
        let item = Item::at(&self.plan.volumes[volume], index);
        let Item::Selection(selection) = item else { return Ok(ItemUpdate::default()) };
        let source = self.source(&selection.identity)?;
        let chosen = self.vaults.secrets(&selection.vault, source, &selection.tags, |listed| {
            is_chosen(selection, listed)
        });
        let listed = chosen.await?;
        // Not sooner: another round may have had everything forgotten.
        let before = self.tracker(volume).selected(index);
        let stood = self.stood.names(&self.plan.volumes, volume, index);
        let lifetime = Lifetime::of_all(&listed, |secret| named(selection, secret));
        let names = names(listed);
        let mut update = ItemUpdate::default();
        update.fetched.lifetime = lifetime;
        if names.len() > MOST {
            let message = format_args!("{} secrets, more than {MOST}", names.len());
            return Err(too_large(item, message));
        }
        // A list that leaves them out, or is empty, does not show that they are deleted.
        let missing = missing(&stood.all, &names).into_iter().map(|name| (name, None, true));
        let listed = names.into_iter().map(|(name, seen)| (name, seen, false));
        let (mut known, mut bytes, mut tasks) = (BTreeMap::new(), 0, JoinSet::new());
        let mut here = BTreeSet::new();
        for (name, seen, is_missing) in listed.chain(missing) {
            update.fetched.updated = update.fetched.updated.max(seen.map(|seen| seen.updated));
            let object = Object::selected(selection, name.clone());
            let path = path(selection, &name).map_err(|error| {
                Fault::new(KS601, Class::Permanent, format_args!("{object}: {error}"))
            })?;
            if let Some(seen) = seen.filter(|seen| before.get(&name) == Some(&seen.updated)) {
                here.insert(name.clone());
                known.insert(name, seen.updated);
                update.kept.push((path, None));
                continue;
            }
            let fetcher = Arc::clone(&self);
            tasks.spawn(async move {
                let one = fetcher.one(volume, index, &object, &path, is_missing).await;
                (name, path, one.map(|(one, got)| (one, got, settled(seen, got))))
            });
        }
        while let Some(done) = tasks.join_next().await {
            let done = done.map_err(|_| {
                let source = item.source();
                let message = format_args!("{source}: a fetch ended without a result");
                Fault::new(KS608, Class::Transient, message)
            });
            match done? {
                (name, _, Ok((one, got, updated))) => {
                    here.insert(name.clone());
                    known.extend(updated.map(|updated| (name, updated)));
                    bytes +=
                        one.files.iter().map(|file| file.content.expose().len()).sum::<usize>();
                    if bytes > MOST_BYTES {
                        return Err(too_large(item, format_args!("more than {MOST_BYTES} bytes")));
                    }
                    let updated = got.map(|got| got.updated);
                    update.fetched.updated = update.fetched.updated.max(updated);
                    update.fetched.files.extend(one.files);
                    update.fetched.warnings.extend(one.warnings);
                }
                // Deleted or disabled, in Key Vault's own words.
                (_, _, Err(fault)) if is_gone(&fault) => {}
                (_, _, Err(fault)) if fault.class == Class::Permanent => return Err(fault),
                (name, path, Err(fault)) => {
                    here.insert(name);
                    update.kept.push((path, Some(fault)));
                }
            }
        }
        if here.is_empty() {
            update.fetched.warnings.push(warning(item, "no secret matches"));
        }
        let gone = stood.all.difference(&here).map(ObjectName::as_str).collect::<Vec<_>>();
        if !gone.is_empty() && !stood.is_guess {
            update.fetched.warnings.push(warning(item, &removed(&gone)));
        }
        update.fetched.files.sort_by(|a, b| a.path.cmp(&b.path));
        self.tracker(volume).set_selected(index, known);
        self.stood.set(volume, index, here);
        Ok(update)
    }

    /// One of its secrets, and what the answer tells of its update. One that the list leaves out
    /// may have other tags now.
    async fn one(
        &self,
        volume: usize,
        index: usize,
        object: &Object,
        path: &RelativePath,
        is_missing: bool,
    ) -> Result<(Fetched, Option<Seen>), Fault> {
        let answer = self.vaults.get(object, self.source(object.identity())?).await?;
        if let Item::Selection(selection) = Item::at(&self.plan.volumes[volume], index)
            && is_missing
            && !has_tags(selection, answer.body.expose_secret())
        {
            let message = format_args!("{object}: it does not have the tags");
            return Err(Fault::new(KS404, Class::Slow, message).of_kind(FaultKind::NotFound));
        }
        let (seen, _) = of_object(answer.body.expose_secret(), answer.date);
        let (object, place) = (object.clone(), Place::At(path.clone()));
        let made = self.make(Job { volume, items: vec![index], object, place, answer }).await;
        let made = made.into_iter().next().map(|(_, made)| made);
        let fetched = made.unwrap_or_else(|| Err(no_result("making of files")))?;
        Ok((fetched, seen))
    }
}

fn too_large(item: Item<'_>, what: std::fmt::Arguments<'_>) -> Fault {
    Fault::new(KS430, Class::Slow, format_args!("{}: {what}", item.source()))
}

/// In the form of a fault; it fails nothing.
fn warning(item: Item<'_>, what: &str) -> String {
    Fault::new(KS404, Class::Slow, format_args!("{}: {what}", item.source())).to_string()
}

/// Names those whose files go.
fn removed(gone: &[&str]) -> String {
    let named = gone.iter().take(MOST_NAMED).copied().collect::<Vec<_>>().join(", ");
    let more = match gone.len().saturating_sub(MOST_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "not in the vault, disabled or with other tags, so the files are removed: {named}{more}"
    )
}

/// Those that the list leaves out; Key Vault's names are the same in any case.
fn missing<T>(stood: &BTreeSet<ObjectName>, listed: &BTreeMap<ObjectName, T>) -> Vec<ObjectName> {
    let listed: BTreeSet<_> =
        listed.keys().map(|name| name.as_str().to_ascii_lowercase()).collect();
    let missing = stood.iter().filter(|name| !listed.contains(&name.as_str().to_ascii_lowercase()));
    missing.cloned().collect()
}

/// Whether a secret has the tags of the selection; its body says. A body that is not a secret's
/// says nothing.
fn has_tags(selection: &Selection, body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Tagged {
        #[serde(rename = "id")]
        _id: String,
        tags: Option<BTreeMap<String, String>>,
    }
    let Ok(Tagged { tags, .. }) = serde_json::from_slice(body) else { return true };
    let tags = tags.unwrap_or_default();
    selection.tags.iter().all(|(name, value)| tags.get(name) == Some(value))
}

fn is_gone(fault: &Fault) -> bool {
    matches!(fault.kind, FaultKind::NotFound | FaultKind::Disabled)
}

/// An enabled secret with the prefix; those behind certificates are secrets too.
fn is_chosen(selection: &Selection, secret: &Listed) -> bool {
    secret.enabled == Some(true) && has_prefix(selection, &secret.name)
}

pub(super) fn has_prefix(selection: &Selection, name: &str) -> bool {
    let prefix = selection.name_prefix.as_deref().unwrap_or_default();
    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// The way every message names an object.
fn named(selection: &Selection, secret: &Listed) -> String {
    let name = secret.name.parse();
    name.map_or_else(|_| secret.name.clone(), |name| Object::selected(selection, name).to_string())
}

fn names(listed: Vec<Listed>) -> BTreeMap<ObjectName, Option<Seen>> {
    listed
        .into_iter()
        .filter_map(|secret| Some((secret.name.parse().ok()?, secret.updated)))
        .collect()
}

/// The file of a selected secret.
pub(super) fn path(selection: &Selection, name: &ObjectName) -> Result<RelativePath, PathError> {
    match &selection.directory {
        None => name.as_str().parse(),
        Some(directory) => format!("{directory}/{name}").parse(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn selection(extra: &serde_json::Value) -> Selection {
        let mut json = json!({"mode": "0600", "identity": "a", "vault": "https://kv/"});
        json.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        serde_json::from_value(json).unwrap()
    }

    fn listed(name: &str, enabled: Option<bool>) -> Listed {
        let (starts, expires, updated) = (None, None, None);
        Listed { name: name.to_owned(), enabled, created: 0, starts, expires, updated }
    }

    #[test]
    fn the_prefix_selects_among_the_enabled() {
        let vault = [
            listed("web-db", Some(true)),
            listed("Web-api", Some(true)),
            listed("other", Some(true)),
            listed("web-off", Some(false)),
            listed("web-bare", None),
            listed("web-db", Some(true)),
        ];
        let cases: &[(serde_json::Value, &[&str])] = &[
            (json!({}), &["Web-api", "other", "web-db"]),
            (json!({"namePrefix": "WEB-"}), &["Web-api", "web-db"]),
            (json!({"namePrefix": "web-db-and-more"}), &[]),
        ];
        for (chosen, expected) in cases {
            let selection = selection(chosen);
            let chosen =
                vault.iter().filter(|secret| is_chosen(&selection, secret)).cloned().collect();
            assert_eq!(names(chosen).keys().map(ObjectName::as_str).collect::<Vec<_>>(), *expected);
        }
    }

    #[test]
    fn what_a_list_leaves_out_is_missing_in_any_case() {
        let set: fn(&[&str]) -> BTreeSet<ObjectName> =
            |names| names.iter().map(|name| name.parse().unwrap()).collect();
        let list: BTreeMap<_, _> = set(&["DB", "new"]).into_iter().map(|name| (name, 0)).collect();
        assert_eq!(missing(&set(&["db", "api", "new"]), &list), ["api".parse().unwrap()]);
        assert_eq!(missing(&set(&["db"]), &BTreeMap::<_, u8>::new()).len(), 1);
    }

    #[test]
    fn a_secret_with_other_tags_is_not_selected() {
        let (any, tagged) = (selection(&json!({})), selection(&json!({"tags": {"team": "shop"}})));
        for (body, is_tagged) in [
            (json!({"id": "x", "tags": {"team": "shop", "x": "y"}}), true),
            (json!({"id": "x", "tags": {"team": "other"}}), false),
            (json!({"id": "x", "tags": null}), false),
            (json!({"id": "x"}), false),
            (json!({"proxy": "x"}), true),
        ] {
            let body = body.to_string();
            assert_eq!(has_tags(&tagged, body.as_bytes()), is_tagged, "{body}");
            assert!(has_tags(&any, body.as_bytes()), "{body}");
        }
    }

    #[test]
    fn a_line_names_a_bounded_number_of_secrets() {
        assert!(removed(&["a", "b"]).ends_with("removed: a, b"));
        let text = removed(&["x"; MOST_NAMED + 5]);
        assert!(
            text.ends_with("x and 5 more") && text.matches("x,").count() < MOST_NAMED,
            "{text}"
        );
    }

    #[test]
    fn files_are_named_like_the_secrets() {
        let name: ObjectName = "db".parse().unwrap();
        assert_eq!(path(&selection(&json!({})), &name).unwrap().as_str(), "db");
        assert_eq!(
            path(&selection(&json!({"directory": "a/b"})), &name).unwrap().as_str(),
            "a/b/db"
        );
        let deep = vec!["d"; 32].join("/");
        assert!(path(&selection(&json!({"directory": deep})), &name).is_err());
    }
}
