//! What a patch changes in a pod, item by item.

use serde_json::{Map, Value};

/// One changed item of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    /// `containers[app]: + env AZURE_CLIENT_ID, AZURE_TENANT_ID; + mount /mnt/secrets`.
    pub(super) text: String,
    /// The same with numbers in place of names: `containers[app]: + 2 env, + 1 mount`. Empty where
    /// another change has it.
    pub(super) short: String,
}

impl Change {
    fn of(text: String) -> Self {
        Self { short: text.clone(), text }
    }

    /// Of the texts and short texts of its parts, if it has some.
    fn joined(item: &str, parts: Vec<(String, String)>) -> Option<Self> {
        let (texts, shorts): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        (!texts.is_empty()).then(|| Self {
            text: format!("{item}: {}", texts.join("; ")),
            short: format!("{item}: {}", shorts.join(", ")),
        })
    }
}

/// The items that differ, in the order of the pod: metadata, containers, volumes, the rest.
pub(super) fn changes(before: &Value, after: &Value) -> Vec<Change> {
    let mut found = Vec::new();
    for field in ["labels", "annotations"] {
        let (old, new) = (&before["metadata"][field], &after["metadata"][field]);
        found.extend(of_map(old, new).change(field));
    }
    let (old, new) = (&before["spec"], &after["spec"]);
    for field in ["initContainers", "containers", "ephemeralContainers"] {
        containers(field, &old[field], &new[field], &mut found);
    }
    volumes(&old["volumes"], &new["volumes"], &mut found);
    let rest = of_map(&without_lists(old), &without_lists(new));
    found.extend(rest.change("spec"));
    found
}

fn without_lists(spec: &Value) -> Value {
    let mut fields = spec.as_object().cloned().unwrap_or_default();
    fields.retain(|key, _| {
        !matches!(key.as_str(), "containers" | "initContainers" | "ephemeralContainers" | "volumes")
    });
    Value::Object(fields)
}

fn containers(field: &str, before: &Value, after: &Value, found: &mut Vec<Change>) {
    for new in items(after) {
        let name = new["name"].as_str().unwrap_or_default();
        match items(before).find(|old| old["name"] == new["name"]) {
            Some(old) if old == new => {}
            Some(old) => found.extend(container(&format!("{field}[{name}]"), old, new)),
            None => {
                let what = match (field, new["restartPolicy"].as_str()) {
                    ("initContainers", Some("Always")) => "sidecar",
                    ("initContainers", _) => "init container",
                    _ => "container",
                };
                let image = new["image"].as_str().unwrap_or_default();
                let short = format!("+ {what} {name}");
                found.push(Change { text: format!("{short} ({image})"), short });
            }
        }
    }
}

fn container(item: &str, before: &Value, after: &Value) -> Option<Change> {
    let mut parts =
        of_map(&named(before, "env", "name"), &named(after, "env", "name")).texts("env");
    let [mounts_before, mounts_after] =
        [before, after].map(|container| named(container, "volumeMounts", "mountPath"));
    parts.extend(of_map(&mounts_before, &mounts_after).texts("mount"));
    parts.extend(of_map(&other_fields(before), &other_fields(after)).texts("field"));
    Change::joined(item, parts)
}

/// The entries of a list by their key.
fn named(container: &Value, field: &str, key: &str) -> Value {
    let entries = items(&container[field])
        .filter_map(|entry| Some((entry[key].as_str()?.to_owned(), entry.clone())));
    Value::Object(entries.collect::<Map<_, _>>())
}

fn other_fields(container: &Value) -> Value {
    let mut fields = container.as_object().cloned().unwrap_or_default();
    fields.retain(|key, _| key != "env" && key != "volumeMounts");
    Value::Object(fields)
}

fn volumes(before: &Value, after: &Value, found: &mut Vec<Change>) {
    let mut added = Vec::new();
    for new in items(after) {
        let name = new["name"].as_str().unwrap_or_default();
        match items(before).find(|old| old["name"] == new["name"]) {
            Some(old) if old == new => {}
            Some(old) => found.push(Change::of(format!(
                "volumes[{name}]: {} -> {}",
                source(old),
                source(new)
            ))),
            None => added.push(format!("+ volume {name}: {}", source(new))),
        }
    }
    // Their names say little: in short they are a number, beside the first.
    let mut short = match added.len() {
        1 => "+ 1 volume".to_owned(),
        count => format!("+ {count} volumes"),
    };
    let added = added.into_iter();
    found.extend(added.map(|text| Change { text, short: std::mem::take(&mut short) }));
}

/// What a volume is, in a word or two: `csi`, `tmpfs 1Mi`, `projected token`.
fn source(volume: &Value) -> String {
    let empty = &volume["emptyDir"];
    if empty["medium"] == "Memory" {
        let limit = empty["sizeLimit"].as_str().map(|limit| format!(" {limit}"));
        return format!("tmpfs{}", limit.unwrap_or_default());
    }
    if let Some(source) = items(&volume["projected"]["sources"]).next() {
        let audience = source["serviceAccountToken"]["audience"].as_str();
        if let Some(audience) = audience {
            return format!("token for {audience}");
        }
    }
    if let Some(name) = volume["secret"]["secretName"].as_str() {
        return format!("secret {name}");
    }
    let kind = volume.as_object().and_then(|volume| volume.keys().find(|key| *key != "name"));
    kind.cloned().unwrap_or_else(|| "emptyDir".to_owned())
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// What two maps differ in.
#[derive(Debug, Default)]
struct Parts {
    added: Vec<String>,
    changed: Vec<String>,
}

fn of_map(before: &Value, after: &Value) -> Parts {
    let mut parts = Parts::default();
    for (key, value) in after.as_object().into_iter().flatten() {
        match before.get(key) {
            Some(old) if old == value => {}
            Some(_) => parts.changed.push(key.clone()),
            None => parts.added.push(key.clone()),
        }
    }
    parts
}

impl Parts {
    /// `+ env A, B` and `+ 2 env`; the same with `~` for what has another value.
    fn texts(&self, what: &str) -> Vec<(String, String)> {
        let signs = [('+', &self.added), ('~', &self.changed)];
        let signs = signs.into_iter().filter(|(_, names)| !names.is_empty());
        let blank = if what.is_empty() { "" } else { " " };
        signs
            .map(|(sign, names)| {
                let (list, count) = (names.join(", "), names.len());
                (format!("{sign} {what}{blank}{list}"), format!("{sign} {count}{blank}{what}"))
            })
            .collect()
    }

    fn change(&self, item: &str) -> Option<Change> {
        Change::joined(item, self.texts(""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn texts(before: &Value, after: &Value) -> (Vec<String>, Vec<String>) {
        changes(before, after).into_iter().map(|change| (change.text, change.short)).unzip()
    }

    #[test]
    fn each_item_has_one_line() {
        let before = json!({"metadata": {"labels": {"a": "b"}}, "spec": {
            "containers": [
                {"name": "app", "env": [{"name": "A", "value": "1"}], "command": ["x"]},
                {"name": "same"}],
            "volumes": [
                {"name": "secrets", "csi": {"driver": "d"}}, {"name": "w", "emptyDir": {}}]}});
        let after = json!({"metadata": {"labels": {"a": "b"}, "annotations": {"k": "v"}}, "spec": {
            "initContainers": [
                {"name": "keysluice", "image": "i:1", "restartPolicy": "Always"},
                {"name": "once", "image": "i:2"}],
            "containers": [
                {"name": "app", "command": ["y", "x"], "env": [{"name": "A", "value": "2"},
                    {"name": "B"}, {"name": "C"}], "volumeMounts": [{"mountPath": "/m"}]},
                {"name": "same"}],
            "volumes": [
                {"name": "secrets", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
                {"name": "w", "emptyDir": {}},
                {"name": "t", "projected": {"sources":
                    [{"serviceAccountToken": {"audience": "api://x"}}]}}],
            "hostNetwork": false}});
        let (long, short) = texts(&before, &after);
        assert_eq!(
            long,
            [
                "annotations: + k",
                "+ sidecar keysluice (i:1)",
                "+ init container once (i:2)",
                "containers[app]: + env B, C; ~ env A; + mount /m; ~ field command",
                "volumes[secrets]: csi -> tmpfs 1Mi",
                "+ volume t: token for api://x",
                "spec: + hostNetwork",
            ]
        );
        assert_eq!(
            short,
            [
                "annotations: + 1",
                "+ sidecar keysluice",
                "+ init container once",
                "containers[app]: + 2 env, ~ 1 env, + 1 mount, ~ 1 field",
                "volumes[secrets]: csi -> tmpfs 1Mi",
                "+ 1 volume",
                "spec: + 1",
            ]
        );
        assert_eq!(changes(&after, &after), []);
    }

    #[test]
    fn a_volume_is_told_by_its_source() {
        for (volume, expected) in [
            (json!({"name": "v"}), "emptyDir"),
            (json!({"name": "v", "emptyDir": {"medium": "Memory"}}), "tmpfs"),
            (json!({"name": "v", "secret": {"secretName": "s"}}), "secret s"),
            (json!({"name": "v", "projected": {"sources": []}}), "projected"),
            (json!({"name": "v", "csi": {}}), "csi"),
        ] {
            assert_eq!(source(&volume), expected);
        }
    }
}
