//! akv2k8s: variables `NAME@azurekeyvault`, and Secrets that its controller makes.

use super::akv2k8s_query::{encoding, reference};
use super::names::AKV2K8S_MARK;
use super::{
    Addition, Migration, Place, Section, Source, account_of, select, set, text,
    without_empty_namespace, written,
};
use crate::reason;
use crate::rights::shortened;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const KIND: &str = "AzureKeyVaultSecret";
/// What Kubernetes allows behind the slash of an annotation's key.
const MAX_KEY_BYTES: usize = 63;

pub(super) fn rewrite(migration: &mut Migration) {
    for (index, pointer) in migration.pods() {
        variables(migration, index, &pointer);
    }
    secrets(migration);
}

/// What the variables of one pod template come to.
#[derive(Default)]
struct Variables {
    references: BTreeMap<String, String>,
    containers: BTreeSet<String>,
    all: BTreeSet<String>,
}

fn variables(migration: &mut Migration, index: usize, pointer: &str) {
    let owner = migration.objects[index].owner();
    let found = match find(migration, index, pointer) {
        Ok(found) if found.references.is_empty() => return,
        Ok(found) => found,
        Err(problem) => {
            let fix = reason::KS768.fix;
            let text = format!("{} {problem}; hint: {fix}", reason::KS768);
            migration.report.add(Section::ByHand, &owner, text);
            return;
        }
    };
    migration.sources.insert(Source::Akv2k8s);
    let namespace = migration.objects[index].place().0;
    let pod = migration.objects[index].pod_mut(pointer);
    for list in ["initContainers", "containers"] {
        let containers = pod["spec"].get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            let env = container.get_mut("env").and_then(Value::as_array_mut);
            let Some(env) = env else { continue };
            env.retain(|entry| !is_marked(entry));
            if let (true, Some(fields)) = (env.is_empty(), container.as_object_mut()) {
                fields.remove("env");
            }
        }
    }
    select(pod);
    for (name, reference) in &found.references {
        set(pod, "annotations", &format!("keysluice.dev/env.{name}"), reference);
    }
    if found.containers != found.all {
        let names = found.containers.iter().cloned().collect::<Vec<_>>().join(",");
        set(pod, "annotations", "keysluice.dev/containers", &names);
    }
    let account = account_of(pod);
    let names = found.references.keys().cloned().collect::<Vec<_>>().join(", ");
    let report = &mut migration.report;
    report.add(
        Section::Changed,
        &owner,
        format!("{names} from annotations of the pod template instead of env, and the pod's label"),
    );
    report.add(
        Section::First,
        &owner,
        format!(
            "an identity of ServiceAccount {} that may read these objects (keysluice azure): \
             akv2k8s may have used one identity for all pods",
            written(&(namespace, account))
        ),
    );
    report.add(
        Section::Differs,
        &owner,
        "variables come from a file that the kubelet reads (Kubernetes 1.35), or with \
         keysluice.dev/env-mode: exec from the sidecar's program, which needs an explicit command",
    );
    report.add(
        Section::Differs,
        &owner,
        "the label azure-key-vault-env-injection of its namespace has no meaning for Keysluice; \
         remove it last",
    );
}

fn find(migration: &Migration, index: usize, pointer: &str) -> Result<Variables, String> {
    let object = &migration.objects[index];
    let (namespace, pod) = (object.place().0, object.pod(pointer));
    let mut found = Variables::default();
    for list in ["initContainers", "containers"] {
        for container in pod["spec"][list].as_array().into_iter().flatten() {
            let of_container = text(container, "name").to_owned();
            found.all.insert(of_container.clone());
            for entry in container["env"].as_array().into_iter().flatten() {
                let Some((secret, query)) = marked(entry) else { continue };
                let name = text(entry, "name");
                let place = (namespace.clone(), secret.to_owned());
                let known = migration.find(KIND, &place).ok_or_else(|| {
                    format!("{name}: {KIND} {} is not in the input", written(&place))
                })?;
                let spec = &migration.objects[known].value["spec"];
                let reference = reference(spec, query)
                    .map_err(|problem| format!("{name} ({KIND} {secret}): {problem}"))?;
                check_name(name)?;
                let before = found.references.insert(name.to_owned(), reference.clone());
                if before.is_some_and(|before| before != reference) {
                    return Err(format!("containers want different values of {name}"));
                }
                found.containers.insert(of_container.clone());
            }
        }
    }
    Ok(found)
}

/// Whether an annotation can have the name.
fn check_name(name: &str) -> Result<(), String> {
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !name.starts_with(|c: char| c.is_ascii_digit());
    let fits = "env.".len() + name.len() <= MAX_KEY_BYTES && !name.ends_with('_');
    if is_name && fits { Ok(()) } else { Err(format!("{name} cannot be part of an annotation")) }
}

fn marked(entry: &Value) -> Option<(&str, &str)> {
    let (name, rest) = entry["value"].as_str()?.split_once(AKV2K8S_MARK)?;
    match rest {
        "" => Some((name, "")),
        rest => Some((name, rest.strip_prefix('?')?)),
    }
}

fn is_marked(entry: &Value) -> bool {
    marked(entry).is_some()
}

/// Classes for the Secrets that the controller makes.
fn secrets(migration: &mut Migration) {
    let mut outputs: BTreeMap<Place, Vec<(String, Value)>> = BTreeMap::new();
    for object in migration.objects.iter().filter(|object| object.kind() == KIND) {
        let (spec, owner) = (&object.value["spec"], object.owner());
        if !spec["output"]["configMap"].is_null() {
            let text = format!(
                "{} it makes a ConfigMap, and Keysluice makes Secrets; hint: {}",
                reason::KS768,
                reason::KS768.fix
            );
            migration.report.add(Section::ByHand, &owner, text);
        }
        let secret = text(&spec["output"]["secret"], "name");
        if !secret.is_empty() {
            let place = (object.place().0, secret.to_owned());
            outputs.entry(place).or_default().push((owner, spec.clone()));
        }
    }
    if !outputs.is_empty() {
        migration.sources.insert(Source::Akv2k8s);
    }
    for ((namespace, secret), sources) in outputs {
        match class(&namespace, &secret, &sources) {
            Ok(mut class) => {
                without_empty_namespace(&mut class);
                let name = text(&class["metadata"], "name").to_owned();
                let owner = format!("Secret {}", written(&(namespace, secret.clone())));
                migration.report.add(
                    Section::Changed,
                    &owner,
                    format!("SecretProviderClass {name} makes it instead of akv2k8s"),
                );
                migration.report.add(
                    Section::First,
                    &owner,
                    format!(
                        "a pod that mounts {name}, or a Deployment without an application: \
                         keysluice render sync --service-account NAME; the Secret belongs to \
                         akv2k8s until it has the label keysluice.dev/managed: \"true\""
                    ),
                );
                migration.additions.push(Addition {
                    comment: format!("Makes the Secret {secret}, as akv2k8s does."),
                    value: class,
                });
            }
            Err((owner, problem)) => migration.report.add(
                Section::ByHand,
                &owner,
                format!("{} {problem}; hint: {}", reason::KS768, reason::KS768.fix),
            ),
        }
    }
}

fn class(
    namespace: &str,
    secret: &str,
    sources: &[(String, Value)],
) -> Result<Value, (String, String)> {
    let (mut objects, mut data) = ("array:\n".to_owned(), Vec::new());
    let vault = text(&sources[0].1["vault"], "name");
    let secret_type = match text(&sources[0].1["output"]["secret"], "type") {
        "" => "Opaque",
        secret_type => secret_type,
    };
    for (owner, spec) in sources {
        if text(&spec["vault"], "name") != vault {
            let problem = format!("the Secret {secret} comes from several vaults");
            return Err((owner.clone(), problem));
        }
        let encoding = encoding(spec).map_err(|problem| (owner.clone(), problem))?.is_some();
        let (object, output) = (&spec["vault"]["object"], &spec["output"]["secret"]);
        let (name, kind) = (text(object, "name"), text(object, "type"));
        let keys: Vec<&str> = match (kind, secret_type, text(output, "dataKey")) {
            ("secret", "kubernetes.io/dockerconfigjson", "") => vec![".dockerconfigjson"],
            ("secret", "kubernetes.io/ssh-auth", "") => vec!["ssh-privatekey"],
            ("secret", "Opaque", key) if !key.is_empty() => vec![key],
            ("secret", "kubernetes.io/dockerconfigjson" | "kubernetes.io/ssh-auth", key) => {
                vec![key]
            }
            ("certificate", "kubernetes.io/tls", _) => vec!["tls.crt", "tls.key"],
            _ => {
                let problem = format!(
                    "a Secret of type {secret_type} from an object of type {kind} has no \
                     counterpart"
                );
                return Err((owner.clone(), problem));
            }
        };
        objects += &format!("  - |\n    objectName: {name}\n    objectType: secret\n");
        match text(object, "version") {
            "" => {}
            version => objects += &format!("    objectVersion: {version}\n"),
        }
        if encoding {
            objects += "    objectEncoding: base64\n";
        }
        data.extend(keys.into_iter().map(|key| json!({"objectName": name, "key": key})));
    }
    Ok(json!({
        "apiVersion": "secrets-store.csi.x-k8s.io/v1",
        "kind": "SecretProviderClass",
        "metadata": {"name": shortened(format!("akv2k8s-{secret}"), 253), "namespace": namespace},
        "spec": {
            "provider": "azure",
            "parameters": {"keyvaultName": vault, "objects": objects},
            "secretObjects": [{"secretName": secret, "type": secret_type, "data": data}],
        },
    }))
}
