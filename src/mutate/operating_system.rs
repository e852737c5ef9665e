//! Whether a pod is for Windows nodes, by every sign that a pod carries.

use crate::pod::{NodeRequirement, NodeSelectorTerm, Pod, Toleration, WindowsOptions};

/// Labels of a node that name its operating system.
const OS_LABELS: [&str; 2] = ["kubernetes.io/os", "beta.kubernetes.io/os"];
/// A label that only Windows nodes have.
const WINDOWS_BUILD_LABEL: &str = "node.kubernetes.io/windows-build";
/// AKS: `AzureLinux`, `Ubuntu`, `Windows2022`, …
const OS_SKU_LABEL: &str = "kubernetes.azure.com/os-sku";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OperatingSystem {
    Linux,
    Windows,
}
use OperatingSystem::{Linux, Windows};

/// Whether the pod can only run on Windows. What names the operating system or chooses nodes
/// decides; where nothing does, settings that are meant for Windows: `windowsOptions`, a
/// toleration of the taint of Windows nodes, a `RuntimeClass` for them.
pub(super) fn is_windows(pod: &Pod<'_>) -> bool {
    let of_name = of_name(&pod.spec.os.name);
    let chosen = of_name.or_else(|| of_selector(pod)).or_else(|| of_affinity(pod));
    chosen.map_or_else(|| has_windows_settings(pod), |system| system == Windows)
}

fn has_windows_settings(pod: &Pod<'_>) -> bool {
    let spec = &pod.spec;
    let of_containers =
        pod.all_containers().map(|(_, container)| &container.security_context.windows_options);
    let mut options = std::iter::once(&spec.security_context.windows_options).chain(of_containers);
    options.any(is_said)
        || tolerates_windows(spec.tolerations.as_deref().unwrap_or_default())
        || is_windows_runtime(&spec.runtime_class_name)
}

/// Whether the tolerations name Windows and not Linux. A toleration of every taint names neither.
fn tolerates_windows(tolerations: &[Toleration<'_>]) -> bool {
    tolerates(tolerations, "windows") && !tolerates(tolerations, "linux")
}

fn tolerates(tolerations: &[Toleration<'_>], system: &str) -> bool {
    tolerations.iter().any(|toleration| match &*toleration.operator {
        "Exists" => toleration.key.to_ascii_lowercase().contains(system),
        _ => toleration.value.to_ascii_lowercase().starts_with(system),
    })
}

/// The documentation of Kubernetes names them `windows-2019`, AKS `runhcs-wcow-hypervisor`.
fn is_windows_runtime(name: &str) -> bool {
    ["windows", "wcow"].iter().any(|part| name.contains(part))
}

fn is_said(options: &WindowsOptions) -> bool {
    let WindowsOptions {
        gmsa_credential_spec_name,
        gmsa_credential_spec,
        run_as_user_name,
        host_process,
    } = options;
    gmsa_credential_spec_name.is_some()
        || gmsa_credential_spec.is_some()
        || run_as_user_name.is_some()
        || *host_process == Some(true)
}

fn of_name(name: &str) -> Option<OperatingSystem> {
    match name {
        "windows" => Some(Windows),
        "linux" => Some(Linux),
        _ => None,
    }
}

/// The system of every node that has one of these values of a label.
fn of_label(key: &str, values: &[&str]) -> Option<OperatingSystem> {
    let values = values.iter();
    match key {
        WINDOWS_BUILD_LABEL => Some(Windows),
        OS_SKU_LABEL => agreed(
            values.map(|value| Some(if value.starts_with("Windows") { Windows } else { Linux })),
        ),
        _ if OS_LABELS.contains(&key) => agreed(values.map(|value| of_name(value))),
        _ => None,
    }
}

/// The system that all of them name.
fn agreed(mut systems: impl Iterator<Item = Option<OperatingSystem>>) -> Option<OperatingSystem> {
    let first = systems.next()??;
    systems.all(|system| system == Some(first)).then_some(first)
}

fn of_selector(pod: &Pod<'_>) -> Option<OperatingSystem> {
    let labels = pod.spec.node_selector.iter();
    let mut found: Vec<_> = labels.filter_map(|(key, value)| of_label(key, &[value])).collect();
    found.sort_by_key(|system| *system == Linux);
    found.first().copied()
}

/// The system that all terms agree on; one that meets no node does not count.
fn of_affinity(pod: &Pod<'_>) -> Option<OperatingSystem> {
    let terms = pod.spec.affinity.node.required.terms.iter().flatten();
    agreed(terms.filter(|term| meets_nodes(term)).map(of_term))
}

fn meets_nodes(term: &NodeSelectorTerm<'_>) -> bool {
    term.fields.is_some()
        || term.expressions.as_ref().is_some_and(|expressions| !expressions.is_empty())
}

fn of_term(term: &NodeSelectorTerm<'_>) -> Option<OperatingSystem> {
    let found: Vec<_> = term.expressions.iter().flatten().filter_map(of_requirement).collect();
    if found.contains(&Windows) { Some(Windows) } else { found.first().copied() }
}

fn of_requirement(requirement: &NodeRequirement<'_>) -> Option<OperatingSystem> {
    let key = &*requirement.key;
    let values: Vec<&str> = requirement.values.iter().flatten().map(|value| &**value).collect();
    match &*requirement.operator {
        "In" => of_label(key, &values),
        // Every node has the label, with one of two values.
        "NotIn" if OS_LABELS.contains(&key) => {
            match (values.contains(&"linux"), values.contains(&"windows")) {
                (true, false) => Some(Windows),
                (false, true) => Some(Linux),
                _ => None,
            }
        }
        "Exists" | "Gt" | "Lt" if key == WINDOWS_BUILD_LABEL => Some(Windows),
        "DoesNotExist" if key == WINDOWS_BUILD_LABEL => Some(Linux),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn reads_as_windows(spec: &Value) -> bool {
        let json = json!({"spec": spec}).to_string();
        is_windows(&Pod::from_json(json.as_bytes()).unwrap())
    }

    fn affinity(terms: &Value) -> Value {
        let required = json!({"nodeSelectorTerms": terms});
        json!({"affinity": {"nodeAffinity":
            {"requiredDuringSchedulingIgnoredDuringExecution": required}}})
    }

    fn expression(key: &str, operator: &str, values: &[&str]) -> Value {
        json!({"key": key, "operator": operator, "values": values})
    }

    #[test]
    fn every_sign_of_windows_counts() {
        let os = "kubernetes.io/os";
        let windows = expression(os, "In", &["windows"]);
        let options = json!({"windowsOptions": {"runAsUserName": "ContainerUser"}});
        for spec in [
            json!({"os": {"name": "windows"}}),
            json!({"nodeSelector": {"kubernetes.io/os": "windows"}}),
            json!({"nodeSelector": {"beta.kubernetes.io/os": "windows", "a": "b"}}),
            json!({"nodeSelector": {"node.kubernetes.io/windows-build": "10.0.20348"}}),
            json!({"nodeSelector": {"kubernetes.azure.com/os-sku": "Windows2022"}}),
            json!({"securityContext": {"windowsOptions": {"hostProcess": true}}}),
            json!({"securityContext": options}),
            json!({"containers": [{"name": "a"}, {"name": "b", "securityContext": options}]}),
            json!({"initContainers": [{"name": "a",
                "securityContext": {"windowsOptions": {"gmsaCredentialSpecName": "x"}}}]}),
            affinity(&json!([{"matchExpressions": [windows]}])),
            affinity(&json!([{"matchExpressions": [expression("zone", "In", &["1"]), windows]}])),
            affinity(&json!([{"matchExpressions": [windows]},
                    {"matchExpressions": [expression(os, "NotIn", &["linux"])]}])),
            affinity(
                &json!([{"matchExpressions": [windows], "matchFields": [{"key": "metadata.name"}]},
                    {}, {"matchExpressions": []}]),
            ),
            affinity(&json!([{"matchExpressions": [expression("beta.kubernetes.io/os", "NotIn",
                    &["linux"])]}])),
            affinity(&json!([{"matchExpressions": [{"key": "node.kubernetes.io/windows-build",
                    "operator": "Exists"}]}])),
            json!({"tolerations": [{"key": "os", "operator": "Equal", "value": "Windows"}]}),
            json!({"tolerations": [{"key": "node.kubernetes.io/os", "value": "windows"},
                {"operator": "Exists"}]}),
            json!({"tolerations": [{"key": "windows", "operator": "Exists"}]}),
            json!({"tolerations": [{"key": "node.kubernetes.io/windows-build",
                "operator": "Exists"}]}),
            json!({"runtimeClassName": "windows-2019"}),
            json!({"runtimeClassName": "runhcs-wcow-hypervisor"}),
        ] {
            assert!(reads_as_windows(&spec), "{spec}");
        }
    }

    #[test]
    fn what_may_run_on_linux_is_not_for_windows() {
        let os = "kubernetes.io/os";
        let (windows, linux) =
            (expression(os, "In", &["windows"]), expression(os, "In", &["linux"]));
        let options = json!({"windowsOptions": {"runAsUserName": "ContainerUser"}});
        let preferred = json!([{"weight": 1, "preference": {"matchExpressions": [windows]}}]);
        for spec in [
            json!({}),
            json!({"tolerations": [{"operator": "Exists"}]}),
            json!({"tolerations": [{"key": "os", "value": "windows"},
                {"key": "os", "value": "linux"}]}),
            json!({"tolerations": [{"key": "os", "value": "windows"}],
                "nodeSelector": {"kubernetes.io/os": "linux"}}),
            json!({"tolerations": null, "runtimeClassName": null}),
            json!({"runtimeClassName": "gvisor"}),
            json!({"securityContext": {"windowsOptions": {}}}),
            json!({"securityContext": {"windowsOptions": null}}),
            json!({"securityContext": options, "nodeSelector": {"kubernetes.io/os": "linux"}}),
            json!({"securityContext": options, "os": {"name": "linux"}}),
            json!({"affinity": {"nodeAffinity":
                {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}}),
            affinity(&json!([])),
            affinity(&json!([{}])),
            affinity(&json!([{"matchExpressions": [windows]}, {"matchExpressions": [linux]}])),
            affinity(&json!([{"matchExpressions": [windows]},
                    {"matchFields": [{"key": "metadata.name"}]}])),
            affinity(&json!([{"matchExpressions": [expression(os, "In", &["windows", "linux"])]}])),
            affinity(&json!([{"matchExpressions": [expression(os, "NotIn", &["windows"])]}])),
            affinity(&json!([{"matchExpressions": [expression(os, "Exists", &[])]}])),
            affinity(&json!([{"matchExpressions": [expression(os, "DoesNotExist", &[])]}])),
        ] {
            assert!(!reads_as_windows(&spec), "{spec}");
        }
    }
}
