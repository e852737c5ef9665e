//! Where the sidecar goes among the init containers.

use super::annotations::{Annotations, Gate};
use super::refusal::{Cause, Refusal};
use crate::admission::pod::Pod;

/// Proxies of meshes; nothing leaves a pod before its proxy runs.
const MESH_PROXIES: &[&str] = &["istio-proxy", "linkerd-proxy", "kuma-sidecar", "consul-dataplane"];
/// Init containers that redirect the pod's traffic to a proxy.
const MESH_INITS: &[&str] = &[
    "istio-init",
    "istio-validation",
    "linkerd-init",
    "linkerd-network-validator",
    "kuma-init",
    "consul-connect-inject-init",
];
/// Annotations by which a user takes destinations out of a mesh's capture.
const MESH_EXCLUSIONS: &[&str] = &[
    "traffic.sidecar.istio.io/excludeOutboundIPRanges",
    "traffic.sidecar.istio.io/excludeOutboundPorts",
    "config.linkerd.io/skip-outbound-ports",
    "traffic.kuma.io/exclude-outbound-ports",
    "consul.hashicorp.com/transparent-proxy-exclude-outbound-cidrs",
    "consul.hashicorp.com/transparent-proxy-exclude-outbound-ports",
];

/// Index among the init containers: first, so that the others have the secrets too, but behind a mesh's native sidecar.
pub(super) fn of_sidecar(pod: &Pod<'_>, annotations: &Annotations) -> Result<usize, Refusal> {
    let init = pod.init_containers();
    if let Some(name) = &annotations.after {
        let found = init.iter().position(|container| *container.name == **name && container.is_native_sidecar());
        return found.map(|index| index + 1).ok_or_else(|| Cause::AfterMissing { name: name.clone() }.into());
    }
    let is_proxy = |name: &str| MESH_PROXIES.contains(&name);
    if annotations.gate != Gate::None
        && let Some(proxy) = pod.containers().iter().find(|container| is_proxy(&container.name))
        && init.iter().any(|container| MESH_INITS.contains(&&*container.name))
        && !MESH_EXCLUSIONS.iter().any(|key| pod.metadata.annotations.find(key).is_some_and(|value| !value.is_empty()))
    {
        return Err(Cause::MeshDeadlock { proxy: proxy.name.to_string() }.into());
    }
    let proxy = init.iter().rposition(|container| container.is_native_sidecar() && is_proxy(&container.name));
    Ok(proxy.map_or(0, |index| index + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn position(spec: &Value, annotations: &Value) -> Result<usize, String> {
        let json = json!({"metadata": {"annotations": annotations}, "spec": spec}).to_string();
        let pod = Pod::from_json(json.as_bytes()).unwrap();
        of_sidecar(&pod, &Annotations::read(&pod).unwrap()).map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn first_but_behind_a_native_mesh_proxy() {
        let native = json!({"name": "istio-proxy", "restartPolicy": "Always"});
        assert_eq!(position(&json!({}), &json!({})), Ok(0));
        assert_eq!(position(&json!({"initContainers": [{"name": "a"}]}), &json!({})), Ok(0));
        assert_eq!(
            position(&json!({"initContainers": [{"name": "istio-init"}, native, {"name": "b"}]}), &json!({})),
            Ok(2)
        );
    }

    #[test]
    fn the_after_annotation_decides() {
        let spec = json!({"initContainers": [{"name": "a"}, {"name": "vpn", "restartPolicy": "Always"}]});
        assert_eq!(position(&spec, &json!({"keysluice.dev/after": "vpn"})), Ok(2));
        assert!(position(&spec, &json!({"keysluice.dev/after": "a"})).unwrap_err().starts_with("KS211"));
    }

    #[test]
    fn an_ordinary_mesh_proxy_behind_a_redirect_is_refused_unless_excluded() {
        let spec = json!({"initContainers": [{"name": "istio-init"}], "containers": [{"name": "app"}, {"name": "istio-proxy"}]});
        let error = position(&spec, &json!({})).unwrap_err();
        assert!(
            error.starts_with("KS212") && error.contains("istio-proxy") && error.contains("excludeOutboundPorts"),
            "{error}"
        );
        assert_eq!(position(&spec, &json!({"keysluice.dev/gate": "none"})), Ok(0));
        assert_eq!(position(&spec, &json!({"traffic.sidecar.istio.io/excludeOutboundPorts": "443"})), Ok(0));
        assert_eq!(position(&json!({"containers": [{"name": "istio-proxy"}]}), &json!({})), Ok(0));
    }
}
