//! Annotations of the Vault Agent Injector, as far as a path means an object of a Key Vault.

use super::names::VAULT_PREFIX;
use super::{Choices, Migration, Section, Source, account_of, select, set, written};
use crate::reason;
use serde_json::Value;
use std::collections::BTreeMap;

const SECRET: &str = "agent-inject-secret-";
/// What Kubernetes allows behind the slash of an annotation's key.
const MAX_KEY_BYTES: usize = 63;
/// What `strconv.ParseBool` takes for true.
const TRUE: [&str; 6] = ["1", "t", "T", "true", "TRUE", "True"];
const DEFAULT_PATH: &str = "/vault/secrets";

pub(super) fn rewrite(migration: &mut Migration, choices: &Choices) {
    for (index, pointer) in migration.pods() {
        let object = &migration.objects[index];
        let annotations = of_vault(object.pod(&pointer));
        let is_on = annotations.get("agent-inject").is_some_and(|on| TRUE.contains(&on.as_str()));
        if !is_on {
            continue;
        }
        let owner = object.owner();
        migration.sources.insert(Source::VaultAgent);
        match converted(&annotations, choices) {
            Ok(converted) => apply(migration, index, &pointer, &annotations, &converted),
            Err(problems) => {
                for problem in problems {
                    let fix = reason::KS769.fix;
                    let text = format!("{} {problem}; hint: {fix}", reason::KS769);
                    migration.report.add(Section::ByHand, &owner, text);
                }
            }
        }
    }
}

/// The annotations without their prefix.
fn of_vault(pod: &Value) -> BTreeMap<String, String> {
    let annotations = pod["metadata"]["annotations"].as_object().into_iter().flatten();
    let of_vault = annotations.filter_map(|(key, value)| {
        let name = key.strip_prefix(VAULT_PREFIX)?;
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Some((name.to_owned(), value))
    });
    of_vault.collect()
}

/// Keysluice's annotations for these, or everything that has no counterpart.
fn converted(
    annotations: &BTreeMap<String, String>,
    choices: &Choices,
) -> Result<Vec<(String, String)>, Vec<String>> {
    let (mut ours, mut problems) = (Vec::new(), Vec::new());
    let mount = match get(annotations, "secret-volume-path").unwrap_or_default() {
        "" => DEFAULT_PATH,
        path => path.trim_end_matches('/'),
    };
    for (key, path) in annotations {
        let Some(name) = key.strip_prefix(SECRET) else { continue };
        match file(annotations, name, path, mount, choices) {
            Ok(file) => ours.push(file),
            Err(problem) => problems.push(problem),
        }
    }
    for (key, wanted) in
        [("agent-configmap", "its configuration"), ("agent-inject-token", "the token")]
    {
        if annotations.contains_key(key) {
            problems.push(format!("{VAULT_PREFIX}{key}: {wanted} is Vault's own"));
        }
    }
    if ours.is_empty() && problems.is_empty() {
        problems.push("it names no secret".to_owned());
    }
    ours.push(("keysluice.dev/mount-path".to_owned(), mount.to_owned()));
    let containers = get(annotations, "agent-inject-containers").unwrap_or_default();
    if !containers.is_empty() {
        ours.push(("keysluice.dev/containers".to_owned(), containers.to_owned()));
    }
    if get(annotations, "agent-pre-populate-only").is_some_and(|only| TRUE.contains(&only)) {
        ours.push(("keysluice.dev/mode".to_owned(), "init".to_owned()));
    }
    if problems.is_empty() { Ok(ours) } else { Err(problems) }
}

/// The annotation of one file.
fn file(
    annotations: &BTreeMap<String, String>,
    name: &str,
    path: &str,
    mount: &str,
    choices: &Choices,
) -> Result<(String, String), String> {
    let at = format!("{VAULT_PREFIX}{SECRET}{name}");
    let templates = ["agent-inject-template", "agent-inject-template-file"];
    if templates.iter().any(|kind| get_of(annotations, kind, name).is_some()) {
        return Err(format!("{at}: its template is written in another language"));
    }
    let own_mount = get_of(annotations, "secret-volume-path", name);
    if own_mount.is_some_and(|path| path.trim_end_matches('/') != mount) {
        return Err(format!("{at}: it has a directory of its own"));
    }
    let reference = reference(path, choices)
        .ok_or_else(|| format!("{at}: which object of a Key Vault {path} means is not known"))?;
    let keeps_case = [
        get(annotations, "preserve-secret-case"),
        get_of(annotations, "preserve-secret-case", name),
    ];
    let keeps_case = keeps_case.into_iter().flatten().any(|value| TRUE.contains(&value));
    let default = if keeps_case { name.to_owned() } else { name.to_ascii_lowercase() };
    let file = get_of(annotations, "agent-inject-file", name).unwrap_or(&default);
    let key = format!("file.{name}");
    let is_valid = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if key.len() > MAX_KEY_BYTES || !is_valid {
        return Err(format!("{at}: {name} cannot be part of keysluice.dev/file.NAME"));
    }
    let mut words = Vec::new();
    if file != name {
        words.push(format!("path={}", escaped(file)));
    }
    if let Some(mode) = get_of(annotations, "agent-inject-perms", name) {
        words.push(format!("mode={mode}"));
    }
    let separator = if reference.contains('?') { '&' } else { '?' };
    let query =
        if words.is_empty() { String::new() } else { format!("{separator}{}", words.join("&")) };
    Ok((format!("keysluice.dev/{key}"), format!("{reference}{query}")))
}

fn get<'a>(annotations: &'a BTreeMap<String, String>, key: &str) -> Option<&'a str> {
    annotations.get(key).map(String::as_str)
}

/// An annotation about one secret.
fn get_of<'a>(
    annotations: &'a BTreeMap<String, String>,
    kind: &str,
    secret: &str,
) -> Option<&'a str> {
    get(annotations, &format!("{kind}-{secret}"))
}

/// The object that a path means: as the user says, as it says itself, or by its name in the vault
/// that the user names.
fn reference(path: &str, choices: &Choices) -> Option<String> {
    if let Some(reference) = choices.paths.get(path) {
        return Some(reference.clone());
    }
    if path.starts_with("kv://") {
        return Some(path.to_owned());
    }
    if let Some((host, object)) = path.strip_prefix("https://").and_then(|url| url.split_once('/'))
        && host.contains(".vault.")
    {
        return Some(format!("kv://{host}/{object}"));
    }
    let vault = choices.vault.as_ref()?;
    Some(format!("kv://{vault}/secrets/{}", object_name(path)?))
}

/// `secret/data/shop/db` is stored as `shop-db`: without the mount, and without the `data` of the
/// second version of Vault's store.
fn object_name(path: &str) -> Option<String> {
    let (_, rest) = path.trim_matches('/').split_once('/')?;
    let rest = rest.strip_prefix("data/").unwrap_or(rest);
    let name = rest.replace(['/', '_', '.'], "-");
    let is_valid = (1..=127).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    is_valid.then_some(name)
}

fn escaped(path: &str) -> String {
    path.replace('%', "%25").replace('&', "%26").replace('#', "%23").replace(' ', "%20")
}

fn apply(
    migration: &mut Migration,
    index: usize,
    pointer: &str,
    annotations: &BTreeMap<String, String>,
    converted: &[(String, String)],
) {
    let owner = migration.objects[index].owner();
    let namespace = migration.objects[index].place().0;
    let pod = migration.objects[index].pod_mut(pointer);
    if let Some(known) = pod["metadata"]["annotations"].as_object_mut() {
        known.retain(|key, _| !key.starts_with(VAULT_PREFIX));
    }
    for (key, value) in converted {
        set(pod, "annotations", key, value);
    }
    select(pod);
    let account = account_of(pod);
    let report = &mut migration.report;
    let removed: Vec<&str> = annotations
        .keys()
        .map(String::as_str)
        .filter(|key| !key.starts_with("agent-inject"))
        .collect();
    let removed = if removed.is_empty() {
        String::new()
    } else {
        format!("; without a counterpart and left out: {}", removed.join(", "))
    };
    report.add(
        Section::Changed,
        &owner,
        format!("files from annotations of Keysluice instead of Vault's{removed}"),
    );
    report.add(
        Section::First,
        &owner,
        format!(
            "the secrets in the Key Vault under these names, and an identity of ServiceAccount \
             {} that may read them (keysluice azure)",
            written(&(namespace, account))
        ),
    );
    report.add(
        Section::Differs,
        &owner,
        "a file holds the value of its secret; Vault Agent wrote a line for each field",
    );
    if annotations.keys().any(|key| key.starts_with("agent-inject-command-")) {
        report.add(
            Section::Differs,
            &owner,
            "its commands after a change are left out: keysluice.dev/on-change has a signal, a \
             restart, a request or a rollout",
        );
    }
}
