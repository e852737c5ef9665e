//! Which containers get inline files and variables.

use super::annotations::Annotations;
use super::earlier_run::is_sidecar;
use super::inline_cause::PodInlineCause;
use super::names::{INTERCEPTOR, SIDECAR};
use super::refusal::{Refusal, cut};
use super::{mesh, position};
use crate::pod::{Container, Pod, Pointer};

/// Those that the pod names; else all that start after the sidecar, without those of a mesh.
pub(super) fn of(pod: &Pod<'_>, annotations: &Annotations) -> Result<Vec<Pointer>, Refusal> {
    let first = match pod.init_containers().iter().position(is_sidecar) {
        Some(sidecar) => sidecar + 1,
        None => position::index(pod, annotations)?,
    };
    let starts_later =
        |pointer: &Pointer| pointer.list != "initContainers" || pointer.index >= first;
    let is_own_name = |name: &str| name == SIDECAR || name == INTERCEPTOR;
    let all = || pod.all_containers().filter(|(_, container)| !is_own_name(&container.name));
    let Some(names) = &annotations.inline.containers else {
        let is_wanted = |(pointer, container): &(Pointer, &Container<'_>)| {
            starts_later(pointer) && !mesh::is_of_mesh(pod, &container.name)
        };
        let targets: Vec<_> = all().filter(is_wanted).map(|(pointer, _)| pointer).collect();
        // A container of the sidecar's name that is not the sidecar is refused as such.
        let is_reserved = |(_, container): (Pointer, &Container<'_>)| {
            &*container.name == SIDECAR && !is_sidecar(container)
        };
        if targets.is_empty() && !pod.all_containers().any(is_reserved) {
            return Err(PodInlineCause::NoContainer.into());
        }
        return Ok(targets);
    };
    let mut targets = Vec::with_capacity(names.len());
    for name in names {
        let Some((pointer, _)) = all().find(|(_, container)| *container.name == **name) else {
            let known: Vec<_> = all().map(|(_, container)| &*container.name).collect();
            let (name, known) = (cut(name), cut(&known.join(", ")));
            return Err(PodInlineCause::UnknownContainer { name, known }.into());
        };
        if !starts_later(&pointer) {
            return Err(PodInlineCause::TooEarly { name: cut(name) }.into());
        }
        targets.push(pointer);
    }
    Ok(targets)
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
