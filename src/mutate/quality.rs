//! Quality of service: the sidecar must not take a pod out of the Guaranteed class.

use crate::pod::{Container, Pod, Quantity};
use crate::quantity::nanos;

/// Whether every container has CPU and memory limits, and requests that equal them (absent ones
/// default to the limits).
pub(super) fn is_guaranteed(pod: &Pod<'_>) -> bool {
    let mut containers = pod.all_containers().map(|(_, container)| container).peekable();
    containers.peek().is_some() && containers.all(container_is_guaranteed)
}

fn container_is_guaranteed(container: &Container<'_>) -> bool {
    let (limits, requests) = (&container.resources.limits, &container.resources.requests);
    is_limit_requested(limits.cpu.as_ref(), requests.cpu.as_ref())
        && is_limit_requested(limits.memory.as_ref(), requests.memory.as_ref())
}

fn is_limit_requested(limit: Option<&Quantity<'_>>, request: Option<&Quantity<'_>>) -> bool {
    let limit = limit.and_then(|limit| nanos(&limit.0)).filter(|limit| *limit > 0);
    limit.is_some() && request.is_none_or(|request| nanos(&request.0) == limit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn guaranteed(containers: &Value) -> bool {
        let json = json!({"spec": {"containers": containers}}).to_string();
        is_guaranteed(&Pod::from_json(json.as_bytes()).unwrap())
    }

    #[test]
    fn only_equal_requests_and_limits_everywhere() {
        let full = json!({"resources": {"limits": {"cpu": "1", "memory": "1Gi"},
            "requests": {"cpu": "1", "memory": "1Gi"}}});
        let limits = json!({"resources": {"limits": {"cpu": 1, "memory": "1Gi"}}});
        let burst = json!({"resources": {"limits": {"cpu": "1", "memory": "1Gi"},
            "requests": {"cpu": "500m"}}});
        let spelt = json!({"resources": {"limits": {"cpu": 1, "memory": 1_073_741_824},
            "requests": {"cpu": "1000m", "memory": "1Gi"}}});
        let nothing = json!({"resources": {"limits": {"cpu": "0", "memory": "1Gi"},
            "requests": {"cpu": "0", "memory": "1Gi"}}});
        assert!(guaranteed(&json!([full, limits, spelt])));
        for other in [json!([full, burst]), json!([{}]), json!([]), json!([nothing])] {
            assert!(!guaranteed(&other), "{other}");
        }
    }
}
