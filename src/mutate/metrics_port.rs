//! The port on which the sidecar serves its metrics, if the pod asks for one.

use super::annotations::Annotations;
use super::managed_identity::declaring;
use super::metrics_port_cause::MetricsPortCause;
use super::refusal::{Cause, Refusal, cut};
use crate::pod::Pod;
use keysluice_plan::ManagedIdentityEndpoint;

/// The port, if the pod asks for one that it can have; `ends` is whether its sidecar does.
///
/// # Errors
/// [`Cause::MetricsPort`].
pub(super) fn of(
    pod: &Pod<'_>,
    annotations: &Annotations,
    endpoint: Option<&ManagedIdentityEndpoint>,
    ends: bool,
) -> Result<Option<u16>, Refusal> {
    let Some(port) = annotations.metrics_port else { return Ok(None) };
    let cause = if pod.spec.host_network == Some(true) {
        MetricsPortCause::HostNetwork
    } else if ends {
        MetricsPortCause::Init
    } else if endpoint.is_some_and(|endpoint| endpoint.port == port) {
        MetricsPortCause::Endpoint { port }
    } else if let Some(container) = declaring(pod, port) {
        MetricsPortCause::Taken { container: cut(container), port }
    } else {
        return Ok(Some(port));
    };
    Err(Cause::MetricsPort(cause).into())
}

#[cfg(test)]
mod tests {
    use crate::mutate::testing::{plan_of, pod_with_volume, run};
    use serde_json::{Value, json};

    fn asking(port: &str) -> Value {
        let mut pod = pod_with_volume();
        pod["metadata"]["annotations"] = json!({"keysluice.dev/metrics-port": port});
        pod
    }

    #[test]
    fn the_plan_has_the_port_that_the_pod_asks_for() {
        let (patched, _) = run(&asking("9102")).unwrap();
        assert_eq!(plan_of(&patched).metrics_port, Some(9102));
        assert_eq!(run(&patched).unwrap().0, patched);
        // The guard allows no port of this container; Prometheus takes it from the annotation.
        assert!(patched["spec"]["initContainers"][0]["ports"].is_null());
        let (patched, _) = run(&pod_with_volume()).unwrap();
        assert_eq!(plan_of(&patched).metrics_port, None);
    }

    #[test]
    fn a_pod_that_cannot_have_the_port_is_refused() {
        let mut on_node = asking("9102");
        on_node["spec"]["hostNetwork"] = true.into();
        let mut ends = asking("9102");
        ends["metadata"]["annotations"]["keysluice.dev/mode"] = "init".into();
        let mut taken = asking("9102");
        taken["spec"]["containers"][0]["ports"] = json!([{"containerPort": 9102}]);
        let mut endpoint = asking("8000");
        endpoint["metadata"]["annotations"]["keysluice.dev/managed-identity-endpoint"] =
            "true".into();
        for (pod, expected) in [
            (on_node, "KS297 spec.hostNetwork is true"),
            (ends, "KS297 annotation keysluice.dev/metrics-port asks for a port of the sidecar"),
            (taken, "KS297 container \"app\" declares port 9102"),
            (endpoint, "KS297 the managed-identity endpoint listens on port 8000"),
            (asking("80"), "KS209 annotation keysluice.dev/metrics-port"),
            (asking("+9102"), "KS209 annotation keysluice.dev/metrics-port"),
            (asking("65536"), "KS209 annotation keysluice.dev/metrics-port"),
        ] {
            let error = run(&pod).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
