//! What containers get of inline files and variables: mounts, entries of `env`, or a command that
//! starts theirs.

use super::entries::{FileKeyEntry, FileKeyRefEntry, FileKeySource, MountEntry};
use super::expansion::{Occurrences, references};
use super::inline::{Inline, Variable};
use super::inline_annotations::{covered_by, is_within};
use super::inline_cause::PodInlineCause;
use super::mutation::Mutation;
use super::names::{CSI_DRIVER, ENV_FROM_VOLUME, ENV_VOLUME, INLINE_VOLUME, PROGRAM_VOLUME};
use super::refusal::{Refusal, cut};
use crate::pod::{Container, Pod, Pointer, VolumeMount};
use crate::reason;
use crate::settings::EnvMode;
use std::collections::BTreeSet;

/// The program in a container, and the directories of its variables.
const PROGRAM: &str = "/run/keysluice/exec/keysluice-injector";
const PROGRAM_DIRECTORY: &str = "/run/keysluice/exec";
const ENV_DIRECTORY: &str = "/run/keysluice/env";
const ENV_FROM_DIRECTORY: &str = "/run/keysluice/env-from";

/// Gives each container what it is to have and does not have yet.
pub(super) fn give(pod: &Pod<'_>, inline: &Inline, mutation: &mut Mutation) -> Result<(), Refusal> {
    let covered = inline.mount_path.as_deref().and_then(|path| Some((path, covered_by(path)?)));
    if let Some((path, directory)) = covered {
        return Err(PodInlineCause::Covers { path: cut(path), directory }.into());
    }
    let targets: BTreeSet<_> = inline.targets.iter().copied().collect();
    let names: BTreeSet<_> = inline.variables.iter().map(|variable| &*variable.name).collect();
    let mut all = pod.all_containers();
    while let Some((pointer, container)) = all.find(|(pointer, _)| targets.contains(pointer)) {
        // It is refused; a pod may have a thousand variables for each of a thousand containers.
        if mutation.patch.is_too_large() {
            break;
        }
        let mut mounts = Mounts { pod, pointer, container, mutation };
        if let Some(path) = &inline.mount_path {
            mounts.add(INLINE_VOLUME, path)?;
        }
        if inline.variables.is_empty() {
            continue;
        }
        match inline.env_mode {
            EnvMode::File => {
                let env = container.env.as_deref().unwrap_or_default();
                let occurrences = Occurrences::of(env, &names);
                for variable in &inline.variables {
                    add_entry(pointer, container, variable, &occurrences, mutation);
                }
            }
            EnvMode::Exec => wrap(pod, pointer, container, inline, &names, mutation)?,
        }
    }
    Ok(())
}

/// The mounts of one container.
struct Mounts<'m, 'p, 'a> {
    pod: &'p Pod<'a>,
    pointer: Pointer,
    container: &'p Container<'a>,
    mutation: &'m mut Mutation,
}

impl Mounts<'_, '_, '_> {
    fn add(&mut self, volume: &str, path: &str) -> Result<(), Refusal> {
        let (pointer, container) = (self.pointer, self.container);
        let mounts = container.mounts();
        // The container runtime cannot make a directory for a mount below a read-only one.
        let occupied = mounts
            .iter()
            .position(|mount| &*mount.name != volume && is_within(&mount.mount_path, path));
        if let Some(index) = occupied {
            return Err(PodInlineCause::Occupied {
                field: format!("{pointer}/volumeMounts/{index}"),
                container: container.name.to_string(),
                volume: cut(&mounts[index].name),
                path: cut(&mounts[index].mount_path),
                ours: cut(path),
            }
            .into());
        }
        if mounts.iter().any(|mount| &*mount.name == volume) {
            return Ok(());
        }
        if let Some((index, mount)) = self.around(path).filter(|(_, mount)| self.is_fixed(mount)) {
            return Err(PodInlineCause::ReadOnly {
                field: format!("{pointer}/volumeMounts/{index}"),
                mount: cut(&format!(
                    "container {:?} mounts volume {:?}",
                    container.name, mount.name
                )),
                path: cut(&mount.mount_path),
                ours: cut(path),
            }
            .into());
        }
        let has_list = container.volume_mounts.is_some() || self.mutation.has_new_mounts(pointer);
        let entry = MountEntry { name: volume, mount_path: path, read_only: true };
        self.mutation.patch.insert((pointer, "/volumeMounts"), has_list.then_some(0), 0, entry);
        if !has_list {
            self.mutation.new_mounts.insert(pointer);
        }
        Ok(())
    }

    /// The innermost mount that a path is within, with its position.
    fn around(&self, path: &str) -> Option<(usize, &VolumeMount<'_>)> {
        let mounts = self.container.mounts().iter().enumerate();
        let around =
            mounts.filter(|(_, mount)| is_within(path, mount.mount_path.trim_end_matches('/')));
        around.max_by_key(|(_, mount)| mount.mount_path.trim_end_matches('/').len())
    }

    /// Whether no directory can be made in a mount's volume. In a ConfigMap, Secret or projected
    /// volume the kubelet makes one for each mount below it, and any other volume may have it.
    fn is_fixed(&self, mount: &VolumeMount<'_>) -> bool {
        let volume = self.pod.volumes().iter().find(|volume| volume.name == mount.name);
        let csi = volume.and_then(|volume| volume.csi.as_ref());
        csi.is_some_and(|csi| &*csi.driver == CSI_DRIVER)
    }
}

/// Adds an entry that the kubelet reads from the file: at the end, or before the first entry that
/// refers to it by `$(NAME)`.
fn add_entry(
    pointer: Pointer,
    container: &Container<'_>,
    variable: &Variable,
    occurrences: &Occurrences<'_>,
    mutation: &mut Mutation,
) {
    let Variable { name, is_optional, volume } = variable;
    let env = container.env.as_deref().unwrap_or_default();
    if let Some(&index) = occurrences.named.get(&**name) {
        let entry = &env[index];
        if &*entry.value_from.file_key_ref.volume_name != *volume {
            warn_of_entry(container, name, mutation);
        }
        return;
    }
    let entry = FileKeyEntry {
        name,
        value_from: FileKeySource {
            file_key_ref: FileKeyRefEntry {
                volume_name: volume,
                path: name,
                key: name,
                optional: *is_optional,
            },
        },
    };
    if let Some(&index) = occurrences.referring.get(&**name) {
        let index = mutation.shifted_env(pointer, index);
        mutation.patch.add((pointer, "/env/", index), entry);
        mutation.inserted_env(pointer, index);
        return;
    }
    let has_list = container.env.is_some() || mutation.has_new_env(pointer);
    mutation.patch.insert((pointer, "/env"), has_list.then_some(0), 0, entry);
    if !has_list {
        mutation.new_envs.insert(pointer);
    }
}

/// Lets the sidecar's program start the container's command.
fn wrap(
    pod: &Pod<'_>,
    pointer: Pointer,
    container: &Container<'_>,
    inline: &Inline,
    names: &BTreeSet<&str>,
    mutation: &mut Mutation,
) -> Result<(), Refusal> {
    let own = container.command.as_deref().unwrap_or_default();
    if own.first().is_some_and(|first| &**first == PROGRAM) {
        return Ok(());
    }
    if own.is_empty() {
        let (field, container) = (format!("{pointer}/command"), container.name.to_string());
        let cause = PodInlineCause::NoCommand { field, container };
        if inline.is_later_run {
            // Another webhook has added the container, and the pod starts without it.
            mutation.warn(format_args!("{} {cause}", cause.reason()));
            return Ok(());
        }
        return Err(cause.into());
    }
    let mut command = vec![PROGRAM, "exec"];
    let mut mounts = Mounts { pod, pointer, container, mutation };
    mounts.add(PROGRAM_VOLUME, PROGRAM_DIRECTORY)?;
    for (volume, directory) in [(ENV_VOLUME, ENV_DIRECTORY), (ENV_FROM_VOLUME, ENV_FROM_DIRECTORY)]
    {
        if inline.variables.iter().any(|variable| variable.volume == volume) {
            mounts.add(volume, directory)?;
            command.extend(["--from", directory]);
        }
    }
    let env = container.env.as_deref().unwrap_or_default();
    let occurrences = Occurrences::of(env, names);
    let texts = own.iter().chain(container.args.iter().flatten());
    let expanded: BTreeSet<_> =
        texts.flat_map(|text| references(text)).filter_map(|name| names.get(name)).collect();
    for Variable { name, .. } in &inline.variables {
        if occurrences.named.contains_key(&**name) {
            warn_of_entry(container, name, mutation);
            command.extend(["--keep", name]);
            continue;
        }
        if expanded.contains(&&**name) || occurrences.referring.contains_key(&**name) {
            mutation.warn(format_args!(
                "{} container {}: $({name}) in command, args or env is not expanded with \
                 keysluice.dev/env-mode: exec",
                reason::KS269,
                container.name
            ));
        }
    }
    command.push("--");
    command.extend(own.iter().map(|text| &**text));
    mutation.patch.replace((pointer, "/command"), command);
    Ok(())
}

fn warn_of_entry(container: &Container<'_>, name: &str, mutation: &mut Mutation) {
    mutation.warn(format_args!(
        "{} container {}: env already sets {name}; the inline annotation is ignored there",
        reason::KS268,
        container.name
    ));
}

#[cfg(test)]
mod tests {
    use crate::mutate::testing::{csi_volume, facts, labelled, run_with, settings};
    use serde_json::{Value, json};

    #[test]
    fn another_mount_at_or_below_the_mount_path_is_refused() {
        for (path, is_refused) in [
            ("/mnt/secrets-store", true),
            ("/mnt/secrets-store/", true),
            ("/mnt/secrets-store/sub", true),
            ("/mnt/secrets-store2", false),
            ("/mnt", false),
        ] {
            let mounts = json!([{"name": "data", "mountPath": path}]);
            let containers = json!([{"name": "app", "volumeMounts": mounts}]);
            let volumes = json!([{"name": "data", "emptyDir": {}}]);
            let mut pod = labelled("pod", json!({"containers": containers, "volumes": volumes}));
            let annotation = json!({"keysluice.dev/file.a": "kv://vault-1/secrets/a"});
            pod["metadata"]["annotations"] = annotation;
            let error = run_with(&pod, &settings(), &facts()).err();
            let expected = format!(
                "KS265 /spec/containers/0/volumeMounts/0: container \"app\" mounts volume \
                 \"data\" at {path}, and the inline files are mounted at /mnt/secrets-store; \
                 hint: "
            );
            assert_eq!(error.is_some(), is_refused, "{path}: {error:?}");
            assert!(error.is_none_or(|error| error.starts_with(&expected)), "{path}");
        }
    }

    /// What becomes of a pod with an inline file at this path.
    fn run_at(path: &str, volumes: &Value, mounts: &Value) -> Result<(), String> {
        let containers = json!([{"name": "app", "volumeMounts": mounts}]);
        let mut pod = labelled("pod", json!({"containers": containers, "volumes": volumes}));
        pod["metadata"]["annotations"] = json!({"keysluice.dev/file.a": "kv://vault-1/secrets/a",
            "keysluice.dev/mount-path": path});
        let (once, _) = run_with(&pod, &settings(), &facts())?;
        let (_, again) = run_with(&once, &settings(), &facts()).unwrap();
        assert!(again.patch.is_empty(), "{:?}", again.patch);
        Ok(())
    }

    #[test]
    fn a_mount_path_in_the_volume_of_a_class_is_refused() {
        let class = csi_volume("v", "kv");
        for (volume, is_read_only, is_refused) in [
            (&json!({"name": "v", "emptyDir": {}}), true, false),
            (&class, true, true),
            (&class, false, true),
            (&json!({"name": "v", "configMap": {"name": "c"}}), true, false),
            (&json!({"name": "v", "secret": {"secretName": "s"}}), true, false),
            (&json!({"name": "v", "projected": {"sources": []}}), false, false),
            (&json!({"name": "v", "csi": {"driver": "d", "readOnly": true}}), true, false),
        ] {
            let mount = json!({"name": "v", "mountPath": "/etc/app/", "readOnly": is_read_only});
            let error = run_at("/etc/app/secrets", &json!([volume]), &json!([mount])).err();
            assert_eq!(error.is_some(), is_refused, "{volume}: {error:?}");
            let expected = "KS265 /spec/containers/0/volumeMounts/0: container \"app\" mounts \
                            volume \"v\" at /etc/app/, which is read-only, and the inline files \
                            are mounted below it, at /etc/app/secrets; hint: ";
            assert!(error.is_none_or(|error| error.starts_with(expected)), "{volume}");
        }
        // A mount between the two has room for it; a neighbour does not count.
        let volumes = json!([csi_volume("s", "kv"), {"name": "v", "emptyDir": {}}]);
        let mounts = json!([{"name": "s", "mountPath": "/etc"}, {"name": "v", "mountPath":
            "/etc/app"}, {"name": "s", "mountPath": "/etc/app/sec"}]);
        assert_eq!(run_at("/etc/app/secrets", &volumes, &mounts), Ok(()));
    }

    #[test]
    fn a_mount_path_above_our_own_mounts_is_refused_at_once() {
        for (path, is_refused) in
            [("/var", true), ("/var/run", true), ("/run", true), ("/var/lib", false)]
        {
            let error = run_at(path, &json!([]), &json!(null)).err();
            assert_eq!(error.is_some(), is_refused, "{path}: {error:?}");
            let expected = format!("KS265 annotation keysluice.dev/mount-path: {path} is above ");
            assert!(error.is_none_or(|error| error.starts_with(&expected)), "{path}");
        }
    }
}
