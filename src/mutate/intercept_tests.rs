use crate::mutate::earlier_run::plan_of;
use crate::mutate::testing::{
    CLIENT, account, class, csi_volume, facts, labelled, native_sidecar, run_with, settings,
};
use crate::mutate::{CLIENT_ID_ANNOTATION, Facts, Mutation};
use crate::settings::Settings;
use serde_json::{Value, json};

const ENDPOINT: &str = "keysluice.dev/managed-identity-endpoint";

fn allowing() -> Settings {
    Settings { allow_intercept: true, ..settings() }
}

fn pod() -> Value {
    let spec = json!({"containers": [{"name": "app"}], "initContainers": [{"name": "init"}]});
    let mut pod = labelled("pod", spec);
    pod["metadata"]["annotations"] = json!({ENDPOINT: "intercept"});
    pod
}

fn run(pod: &Value) -> Result<(Value, Mutation), String> {
    run_with(pod, &allowing(), &facts())
}

fn refused(pod: &Value, expected: &str) {
    let error = run(pod).map(|(pod, _)| pod).unwrap_err();
    assert!(error.starts_with(expected), "{error}");
}

fn with_spec(field: &str, value: Value) -> Value {
    let mut pod = pod();
    pod["spec"][field] = value;
    pod
}

fn names(pod: &Value) -> Vec<&str> {
    let init = pod["spec"]["initContainers"].as_array().unwrap().iter();
    init.map(|container| container["name"].as_str().unwrap()).collect()
}

#[test]
fn an_init_container_before_the_sidecar_adds_the_address_and_may_do_nothing_else() {
    let (patched, mutation) = run(&pod()).unwrap();
    assert_eq!(names(&patched), ["keysluice-intercept", "keysluice", "init"]);
    let [added, sidecar] = [0, 1].map(|index| &patched["spec"]["initContainers"][index]);
    let expected = json!({"name": "keysluice-intercept", "image": sidecar["image"],
        "command": ["/keysluice-injector", "intercept"], "resources": sidecar["resources"],
        "securityContext": {"allowPrivilegeEscalation": false,
            "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]},
            "readOnlyRootFilesystem": true, "runAsNonRoot": false, "runAsUser": 0,
            "seccompProfile": {"type": "RuntimeDefault"}}});
    assert_eq!(*added, expected);
    assert_eq!(sidecar["securityContext"]["capabilities"], json!({"drop": ["ALL"]}));
    assert_eq!(sidecar["securityContext"]["runAsUser"], 65532);
    let sysctls = json!([{"name": "net.ipv4.ip_unprivileged_port_start", "value": "80"}]);
    assert_eq!(patched["spec"]["securityContext"], json!({"sysctls": sysctls}));
    let plan = sidecar["env"][0]["value"].as_str().unwrap();
    assert!(plan.contains("\"intercept\":true"), "{plan}");
    let app = patched["spec"]["containers"][0]["env"].to_string();
    assert!(app.contains("http://127.0.0.1:8000/msi/token"), "also found by App Service: {app}");
    assert!(mutation.warnings.is_empty(), "{:?}", mutation.warnings);
    let notes: Vec<String> = mutation.notes.iter().map(ToString::to_string).collect();
    for text in ["169.254.169.254:80", "level privileged"] {
        assert!(notes.iter().any(|note| note.contains(text)), "{notes:?}");
    }
}

#[test]
fn a_second_run_changes_nothing_and_gives_a_late_container_what_the_others_have() {
    let (mut once, _) = run(&pod()).unwrap();
    assert_eq!(run(&once).unwrap().0, once);
    let early = once["spec"]["initContainers"].clone();
    once["metadata"]["name"] = "renamed".into();
    once["spec"]["containers"].as_array_mut().unwrap().push(json!({"name": "late"}));
    let (twice, mutation) = run(&once).unwrap();
    assert_eq!(twice["spec"]["initContainers"], early, "no identity for the init container");
    assert!(twice["spec"]["containers"][1]["env"].to_string().contains("IDENTITY_ENDPOINT"));
    assert!(mutation.warnings.is_empty(), "{:?}", mutation.warnings);
    // Another webhook sets what the sidecar cannot listen with.
    twice_with_port_start(&twice, "1024").unwrap_err();
    assert_eq!(twice_with_port_start(&twice, "0").unwrap()["spec"]["initContainers"], early);
}

fn twice_with_port_start(pod: &Value, value: &str) -> Result<Value, String> {
    let mut pod = pod.clone();
    pod["spec"]["securityContext"]["sysctls"][0]["value"] = value.into();
    run(&pod).map(|(pod, _)| pod)
}

#[test]
fn both_the_operator_and_the_pod_must_ask_for_it() {
    let error = run_with(&pod(), &settings(), &facts()).map(|_| ()).unwrap_err();
    assert!(error.starts_with("KS280 ") && error.contains("allowIntercept"), "{error}");
    assert!(error.contains("Pod Security privileged"), "{error}");
    for value in ["true", "8000", "false"] {
        let mut pod = pod();
        pod["metadata"]["annotations"] = json!({ENDPOINT: value});
        let (patched, _) = run(&pod).unwrap();
        assert!(!patched.to_string().contains("keysluice-intercept"), "{value}");
        assert!(patched["spec"]["securityContext"].is_null(), "{value}");
    }
    // A Plan in a pod's manifest does not get around the operator.
    let (made, _) = run(&pod()).unwrap();
    let error = run_with(&made, &settings(), &facts()).map(|_| ()).unwrap_err();
    assert!(error.starts_with("KS225 ") && error.contains("169.254.169.254"), "{error}");
}

fn sysctl(name: &str, value: &str) -> Value {
    json!({"name": name, "value": value})
}

#[test]
fn a_sysctl_of_the_pods_own_stays_where_the_sidecar_can_listen_with_it() {
    let name = "net.ipv4.ip_unprivileged_port_start";
    let ours = sysctl(name, "80");
    let other = sysctl("net.core.somaxconn", "1024");
    for (context, expected) in [
        (Value::Null, json!({"sysctls": [ours]})),
        (json!({}), json!({"sysctls": [ours]})),
        (json!({"fsGroup": 1, "sysctls": null}), json!({"fsGroup": 1, "sysctls": [ours]})),
        (json!({"sysctls": []}), json!({"sysctls": [ours]})),
        (json!({"sysctls": [other]}), json!({"sysctls": [other, ours]})),
        (json!({"sysctls": [ours, other]}), json!({"sysctls": [ours, other]})),
        (json!({"sysctls": [sysctl(name, "0")]}), json!({"sysctls": [sysctl(name, "0")]})),
    ] {
        let (patched, _) = run(&with_spec("securityContext", context.clone())).unwrap();
        assert_eq!(patched["spec"]["securityContext"], expected, "{context}");
        assert_eq!(run(&patched).unwrap().0, patched);
    }
    for (name, value) in
        [(name, "81"), (name, "1024"), (name, ""), (name, "-1"), (&*name.replace('.', "/"), "443")]
    {
        let context = json!({"sysctls": [other, sysctl(name, value)]});
        refused(&with_spec("securityContext", context), "KS282 spec.securityContext.sysctls");
    }
}

/// A pod whose container declares this port.
fn listening(port: &Value) -> Value {
    with_spec("containers", json!([{"name": "app", "ports": [port]}]))
}

/// An affinity for nodes whose label `type` is, by this operator, `virtual-kubelet`.
fn virtual_kubelet_affinity(operator: &str) -> Value {
    let expression = json!({"key": "type", "operator": operator, "values": ["virtual-kubelet"]});
    let terms = json!([{"matchExpressions": [expression]}]);
    json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
        {"nodeSelectorTerms": terms}}})
}

#[test]
fn a_pod_in_which_it_cannot_work_is_refused() {
    refused(&with_spec("hostNetwork", json!(true)), "KS205 spec.hostNetwork is true");
    refused(&with_spec("os", json!({"name": "windows"})), "KS205 the pod runs on Windows");
    let mut once = pod();
    once["metadata"]["annotations"]["keysluice.dev/mode"] = "init".into();
    refused(&once, "KS277 ");
    refused(&listening(&json!({"containerPort": 80})), "KS283 container \"app\" declares port 80");
    run(&listening(&json!({"containerPort": 80, "protocol": "UDP"}))).unwrap();
    run(&listening(&json!({"containerPort": 8080}))).unwrap();
    for (field, value) in [
        ("nodeSelector", json!({"a": "b", "type": "virtual-kubelet"})),
        ("nodeSelector", json!({"virtualization": "virtualnode2"})),
        ("tolerations", json!([{"key": "virtual-kubelet.io/provider", "operator": "Exists"}])),
        ("tolerations", json!([{"key": "azure.com/aci", "effect": "NoSchedule"}])),
        ("affinity", virtual_kubelet_affinity("In")),
    ] {
        refused(
            &with_spec(field, value),
            &format!("KS284 the pod may run on a virtual node (spec.{field}"),
        );
    }
    run(&with_spec("affinity", virtual_kubelet_affinity("NotIn"))).unwrap();
    run(&with_spec("tolerations", json!([{"operator": "Exists"}]))).unwrap();
}

/// Facts of a class `kv` with one object and this parameter.
fn facts_of_class_with(parameter: &str, value: &str) -> Facts {
    let mut parameters = json!({"keyvaultName": "vault-1",
        "objects": "array:\n  - |\n    objectName: db\n    objectType: secret\n"});
    parameters[parameter] = value.into();
    let mut facts = Facts {
        service_account: Some(account(&[(CLIENT_ID_ANNOTATION, CLIENT)])),
        ..Facts::default()
    };
    facts.classes.insert("kv".to_owned(), class("kv", &parameters));
    facts
}

#[test]
fn a_sidecar_that_needs_the_nodes_own_identity_is_refused() {
    let mut pod = with_spec("volumes", json!([csi_volume("secrets", "kv")]));
    pod["spec"]["containers"][0]["volumeMounts"] =
        json!([{"name": "secrets", "mountPath": "/mnt/secrets"}]);
    let of_node = facts_of_class_with("useVMManagedIdentity", "true");
    let error = run_with(&pod, &allowing(), &of_node).map(|_| ()).unwrap_err();
    assert!(error.starts_with("KS281 the sidecar reads volume \"secrets\""), "{error}");
    let (patched, _) = run_with(&pod, &allowing(), &facts_of_class_with("tenantId", "t")).unwrap();
    assert_eq!(names(&patched), ["keysluice-intercept", "keysluice", "init"]);
    pod["metadata"]["annotations"][ENDPOINT] = "true".into();
    run_with(&pod, &allowing(), &of_node).unwrap();
}

#[test]
fn the_init_container_goes_where_the_sidecar_goes_and_names_what_starts_before() {
    let behind_mesh =
        with_spec("initContainers", json!([native_sidecar("istio-proxy"), {"name": "a"}]));
    let (patched, mutation) = run(&behind_mesh).unwrap();
    assert_eq!(names(&patched), ["istio-proxy", "keysluice-intercept", "keysluice", "a"]);
    assert!(mutation.warnings.is_empty(), "{:?}", mutation.warnings);
    let init = json!([{"name": "first"}, native_sidecar("dns"), {"name": "b"}]);
    let mut after = with_spec("initContainers", init);
    after["metadata"]["annotations"]["keysluice.dev/after"] = "dns".into();
    let (patched, mutation) = run(&after).unwrap();
    assert_eq!(names(&patched), ["first", "dns", "keysluice-intercept", "keysluice", "b"]);
    let expected = "KS285 init containers first, dns start before keysluice-intercept";
    assert!(mutation.warnings[0].starts_with(expected), "{:?}", mutation.warnings);
    assert_eq!(run(&patched).unwrap().0, patched);
    let mut none = pod();
    none["spec"].as_object_mut().unwrap().remove("initContainers");
    assert_eq!(names(&run(&none).unwrap().0), ["keysluice-intercept", "keysluice"]);
}

#[test]
fn a_pod_keeps_its_quality_of_service() {
    let amounts = json!({"cpu": "1", "memory": "1Gi"});
    let full = json!({"requests": amounts, "limits": amounts});
    let mut pod = with_spec("containers", json!([{"name": "app", "resources": full}]));
    pod["spec"]["initContainers"] = json!([{"name": "init", "resources": full}]);
    let (patched, _) = run(&pod).unwrap();
    let resources = &patched["spec"]["initContainers"][0]["resources"];
    assert!(resources["limits"]["cpu"].is_string() && resources["limits"]["memory"].is_string());
    assert_eq!(resources["limits"], resources["requests"]);
}

#[test]
fn the_name_of_the_init_container_belongs_to_it() {
    let named = json!([{"name": "keysluice-intercept"}]);
    refused(&with_spec("initContainers", named.clone()), "KS206 /spec/initContainers/0/name");
    refused(&with_spec("containers", named), "KS206 /spec/containers/0/name");
    let (made, _) = run(&pod()).unwrap();
    // Behind the sidecar it is not the one that the webhook added.
    let mut moved = made.clone();
    moved["spec"]["initContainers"].as_array_mut().unwrap().swap(0, 1);
    refused(&moved, "KS206 /spec/initContainers/1/name");
    let mut twice = made;
    twice["spec"]["containers"][0]["name"] = "keysluice-intercept".into();
    refused(&twice, "KS206 ");
}

#[test]
fn an_annotation_that_comes_after_the_sidecar_is_refused() {
    let mut early = pod();
    early["metadata"]["annotations"][ENDPOINT] = "true".into();
    let (mut made, _) = run(&early).unwrap();
    made["metadata"]["annotations"][ENDPOINT] = "intercept".into();
    refused(&made, "KS279 annotation keysluice.dev/managed-identity-endpoint was added");
    // The other way round the pod keeps what it has.
    let (mut made, _) = run(&pod()).unwrap();
    made["metadata"]["annotations"][ENDPOINT] = "true".into();
    assert_eq!(run(&made).unwrap().0, made);
    let text = made.to_string();
    let view = crate::pod::Pod::from_json(text.as_bytes()).unwrap();
    assert!(plan_of(&view.init_containers()[1]).unwrap().managed_identity.unwrap().intercept);
}
