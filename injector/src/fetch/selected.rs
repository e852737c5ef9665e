//! Which secrets a selection has, and where they go.

use crate::vault::Listed;
use keysluice_plan::{ObjectName, PathError, RelativePath, Selection};

/// More in one pod is a mistake: the volume's `sizeLimit` is far below.
pub(super) const MOST: usize = 1000;

/// Enabled secrets with the prefix and all tags, by name. Those behind certificates are secrets too.
pub(super) fn names(selection: &Selection, listed: Vec<Listed>) -> Vec<ObjectName> {
    let prefix = selection.name_prefix.as_deref().unwrap_or_default();
    let chosen = |secret: &Listed| {
        let start = secret.name.get(..prefix.len());
        secret.enabled == Some(true)
            && start.is_some_and(|start| start.eq_ignore_ascii_case(prefix))
            && selection.tags.iter().all(|(name, value)| secret.tags.get(name) == Some(value))
    };
    let mut names: Vec<ObjectName> =
        listed.into_iter().filter(chosen).filter_map(|secret| secret.name.parse().ok()).collect();
    names.sort_unstable();
    names.dedup();
    names
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

    fn listed(name: &str, enabled: Option<bool>, tags: &[(&str, &str)]) -> Listed {
        let tags = tags.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        Listed { name: name.to_owned(), enabled, created: 0, tags }
    }

    #[test]
    fn prefix_and_tags_select_among_the_enabled() {
        let vault = vec![
            listed("web-db", Some(true), &[("team", "shop"), ("tier", "1")]),
            listed("Web-api", Some(true), &[("team", "shop")]),
            listed("other", Some(true), &[("team", "Shop")]),
            listed("web-off", Some(false), &[("team", "shop")]),
            listed("web-bare", None, &[]),
            listed("../web", Some(true), &[]),
            listed("web-db", Some(true), &[("team", "shop"), ("tier", "1")]),
        ];
        let cases: &[(serde_json::Value, &[&str])] = &[
            (json!({}), &["Web-api", "other", "web-db"]),
            (json!({"namePrefix": "WEB-"}), &["Web-api", "web-db"]),
            (json!({"namePrefix": "web-db-and-more"}), &[]),
            (json!({"tags": {"team": "shop"}}), &["Web-api", "web-db"]),
            (json!({"tags": {"team": "shop", "tier": "1"}}), &["web-db"]),
            (json!({"namePrefix": "o", "tags": {"team": "shop"}}), &[]),
        ];
        for (chosen, expected) in cases {
            let names = names(&selection(chosen), vault.clone());
            assert_eq!(names.iter().map(ObjectName::as_str).collect::<Vec<_>>(), *expected, "{chosen}");
        }
    }

    #[test]
    fn files_are_named_like_the_secrets() {
        let name: ObjectName = "db".parse().unwrap();
        assert_eq!(path(&selection(&json!({})), &name).unwrap().as_str(), "db");
        assert_eq!(path(&selection(&json!({"directory": "a/b"})), &name).unwrap().as_str(), "a/b/db");
        let deep = vec!["d"; 32].join("/");
        assert!(path(&selection(&json!({"directory": deep})), &name).is_err());
    }
}
