//! Which containers get inline files and variables.

use super::annotations::Annotations;
use super::earlier_run::is_sidecar;
use super::inline_cause::PodInlineCause;
use super::names::{INTERCEPTOR, SIDECAR};
use super::refusal::{Refusal, cut};
use super::{mesh, position};
use crate::pod::{Container, Pod, Pointer};
use std::collections::BTreeMap;

/// Those that the pod names; else all that start after the sidecar, without those of a mesh.
pub(super) fn of(pod: &Pod<'_>, annotations: &Annotations) -> Result<Vec<Pointer>, Refusal> {
    let first = match pod.init_containers().iter().position(is_sidecar) {
        Some(sidecar) => sidecar + 1,
        None => position::index(pod, annotations)?,
    };
    let Some(names) = &annotations.inline.containers else { return all_from(pod, first) };
    let mut targets = Vec::with_capacity(names.len());
    let mut by_name = BTreeMap::new();
    for (pointer, container) in containers(pod) {
        by_name.entry(&*container.name).or_insert(pointer);
    }
    for name in names {
        let Some(&pointer) = by_name.get(&**name) else {
            let known: Vec<_> = containers(pod).map(|(_, container)| &*container.name).collect();
            let (name, known) = (cut(name), cut(&known.join(", ")));
            return Err(PodInlineCause::UnknownContainer { name, known }.into());
        };
        if !starts_from(first, pointer) {
            return Err(PodInlineCause::TooEarly { name: cut(name) }.into());
        }
        targets.push(pointer);
    }
    Ok(targets)
}

/// All that start from this position among the init containers on, without those of a mesh.
fn all_from(pod: &Pod<'_>, first: usize) -> Result<Vec<Pointer>, Refusal> {
    let later = containers(pod).filter(|(pointer, container)| {
        starts_from(first, *pointer) && !mesh::is_of_mesh(pod, &container.name)
    });
    let targets: Vec<_> = later.map(|(pointer, _)| pointer).collect();
    // A container of the sidecar's name that is not the sidecar is refused as such.
    let mut all = pod.all_containers().map(|(_, container)| container);
    if targets.is_empty() && !all.any(|one| &*one.name == SIDECAR && !is_sidecar(one)) {
        return Err(PodInlineCause::NoContainer.into());
    }
    Ok(targets)
}

/// Those without the names of our own.
fn containers<'p, 'a>(pod: &'p Pod<'a>) -> impl Iterator<Item = (Pointer, &'p Container<'a>)> {
    pod.all_containers()
        .filter(|(_, container)| ![SIDECAR, INTERCEPTOR].contains(&&*container.name))
}

fn starts_from(first: usize, pointer: Pointer) -> bool {
    pointer.list != "initContainers" || pointer.index >= first
}

#[cfg(test)]
mod tests {
    use crate::mutate::testing::{facts, labelled, run_with, settings};
    use serde_json::json;

    #[test]
    fn a_container_of_the_sidecars_name_is_refused_as_such() {
        let mut pod = labelled("pod", json!({"containers": [{"name": "keysluice"}]}));
        let annotation = json!({"keysluice.dev/file.a": "kv://vault-1/secrets/a"});
        pod["metadata"]["annotations"] = annotation;
        let error = run_with(&pod, &settings(), &facts()).map(|_| ()).unwrap_err();
        assert!(error.starts_with("KS206 /spec/containers/0/name"), "{error}");
    }
}
