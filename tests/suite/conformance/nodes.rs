//! Nodes of other kinds: Windows, and virtual nodes, which run no DaemonSet.

use crate::suite::support::reviews::{Reviewer, csi_pod, env_names, labelled, token_volumes};
use serde_json::{Value, json};

#[test]
fn a_windows_pod_gets_the_identity_and_no_sidecar_however_it_says_windows() {
    for (field, value) in [
        ("os", json!({"name": "windows"})),
        ("nodeSelector", json!({"kubernetes.io/os": "windows"})),
        ("securityContext", json!({"windowsOptions": {"runAsUserName": "ContainerUser"}})),
        ("tolerations", json!([{"key": "os", "value": "windows"}])),
        ("runtimeClassName", json!("windows-2022")),
        (
            "affinity",
            json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
                {"nodeSelectorTerms": [{"matchExpressions": [{"key": "kubernetes.io/os",
                    "operator": "In", "values": ["windows"]}]}]}}}),
        ),
    ] {
        let with = |mut pod: Value| {
            pod["spec"][field] = value.clone();
            pod
        };
        let plain = labelled(json!({"containers": [{"name": "app"}]}));
        let pod = Reviewer::new().allowed(&with(plain));
        assert_eq!(token_volumes(&pod), 1, "{field}");
        assert!(env_names(&pod["spec"]["containers"][0]).contains(&"AZURE_CLIENT_ID"));
        assert!(pod["spec"]["initContainers"].is_null(), "{field}");

        let error = Reviewer::new().refused(&with(csi_pod()));
        assert!(error.starts_with("KS216 ") && error.contains("kubernetes.io/os: linux"));

        let mut inline = labelled(json!({"containers": [{"name": "app"}]}));
        inline["metadata"]["annotations"] =
            json!({"keysluice.dev/file.db": "kv://vault-1/secrets/db"});
        assert!(Reviewer::new().refused(&with(inline)).starts_with("KS216 "), "{field}");
    }
}

/// What a virtual node does not have: daemons, paths and networks of a host, privileges.
#[test]
fn a_pod_with_the_sidecar_requires_nothing_of_its_node_that_a_virtual_node_lacks() {
    let mut pod = csi_pod();
    pod["spec"]["nodeSelector"] = json!({"type": "virtual-kubelet"});
    pod["spec"]["tolerations"] =
        json!([{"key": "virtual-kubelet.io/provider", "operator": "Exists"}]);
    let before = pod.clone();
    let pod = Reviewer::new().allowed(&pod);
    let spec = &pod["spec"];
    for volume in spec["volumes"].as_array().unwrap() {
        let kinds: Vec<&str> = volume
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .filter(|key| *key != "name")
            .collect();
        assert!(matches!(kinds[..], ["emptyDir" | "projected"]), "{volume}");
    }
    for field in ["nodeSelector", "tolerations", "hostNetwork", "hostPID", "hostIPC", "nodeName"] {
        assert_eq!(spec[field], before["spec"][field], "{field}");
    }
    let sidecar = &spec["initContainers"][0];
    assert_eq!(
        (&sidecar["name"], &sidecar["restartPolicy"]),
        (&json!("keysluice"), &json!("Always"))
    );
    let context = &sidecar["securityContext"];
    assert_eq!(context["allowPrivilegeEscalation"], false);
    assert_eq!(context["capabilities"], json!({"drop": ["ALL"]}));
    assert_ne!(context["privileged"], true);
    let no_port = |container: &Value| container["ports"].as_array().is_none_or(Vec::is_empty);
    assert!(no_port(sidecar) && sidecar["volumeDevices"].is_null(), "{sidecar}");
}
