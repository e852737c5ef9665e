//! The cluster of a failure behind a simulated API server, and what `keysluice doctor` says of it.

use super::case::{Case, NAMESPACE, PodState, json_merge};
use super::keysluice;
use super::runtime::Ran;
use crate::suite::support::api_server::{
    ApiServer, CLASSES, CONFIGURATIONS, DRIVERS, Exec, SERVICE_ACCOUNTS,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

const INSTALLATION: &str = "keysluice-system";
const APPS: &str = "/apis/apps/v1";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
/// Kind, root, plural.
const KINDS: [(&str, &str, &str); 19] = [
    ("Deployment", APPS, "deployments"),
    ("StatefulSet", APPS, "statefulsets"),
    ("DaemonSet", APPS, "daemonsets"),
    ("ReplicaSet", APPS, "replicasets"),
    ("CronJob", "/apis/batch/v1", "cronjobs"),
    ("Job", "/apis/batch/v1", "jobs"),
    ("Pod", "/api/v1", "pods"),
    ("Event", "/api/v1", "events"),
    ("ResourceQuota", "/api/v1", "resourcequotas"),
    ("LimitRange", "/api/v1", "limitranges"),
    ("NetworkPolicy", "/apis/networking.k8s.io/v1", "networkpolicies"),
    ("Role", RBAC, "roles"),
    ("RoleBinding", RBAC, "rolebindings"),
    ("ClusterRole", RBAC, "clusterroles"),
    ("ClusterRoleBinding", RBAC, "clusterrolebindings"),
    ("ServiceAccount", "/api/v1", SERVICE_ACCOUNTS),
    ("SecretProviderClass", "/apis/secrets-store.csi.x-k8s.io/v1", CLASSES),
    ("CSIDriver", "/apis/storage.k8s.io/v1", DRIVERS),
    ("MutatingWebhookConfiguration", "/apis/admissionregistration.k8s.io/v1", CONFIGURATIONS),
];
/// Kinds without a namespace.
const OF_CLUSTER: [&str; 4] =
    ["ClusterRole", "ClusterRoleBinding", "CSIDriver", "MutatingWebhookConfiguration"];

/// Exit code and text of `keysluice doctor`.
pub(super) async fn doctor(case: &Case, mutated: Option<Value>, ran: Option<&Ran>) -> String {
    let target: Vec<&str> = case.target.as_deref().into_iter().collect();
    let (code, out, error) = run(case, mutated, ran, &target).await;
    let out = without_dates(&out);
    format!("{out}{error}exit code {code}\n")
}

/// The command with more arguments; it only reads.
pub(super) async fn run(
    case: &Case,
    mutated: Option<Value>,
    ran: Option<&Ran>,
    more: &[&str],
) -> (i32, String, String) {
    run_with_requests(case, mutated, ran, more).await.0
}

/// The same, and what it asked the API server.
pub(super) async fn run_with_requests(
    case: &Case,
    mutated: Option<Value>,
    ran: Option<&Ran>,
    more: &[&str],
) -> ((i32, String, String), Vec<String>) {
    let server = ApiServer::start();
    let scratch = tempfile::tempdir().unwrap();
    let kubeconfig = server.kubeconfig(scratch.path());
    fill(&server, case, mutated, ran);
    let arguments: Vec<String> =
        ["doctor", "-n", NAMESPACE].iter().chain(more).map(|text| (*text).to_owned()).collect();
    let outcome = keysluice(&arguments, &[("KUBECONFIG", &kubeconfig)]).await;
    let world = server.world();
    let mut requests = world.methods.iter().zip(&world.requests);
    let is_reading = |(method, path): (&http::Method, &String)| {
        *method == http::Method::GET || path.ends_with("/selfsubjectaccessreviews")
    };
    assert!(requests.all(is_reading), "{:?}", world.requests);
    (outcome, world.requests.clone())
}

/// Dates of certificates depend on the day of the test.
fn without_dates(text: &str) -> String {
    text.lines().map(|line| without_date(line) + "\n").collect()
}

fn without_date(line: &str) -> String {
    for word in ["valid until ", "expired on "] {
        if let Some((before, rest)) = line.split_once(word) {
            return format!("{before}{word}DATE{}", rest.get("2026-01-01".len()..).unwrap_or(""));
        }
    }
    line.to_owned()
}

fn fill(server: &ApiServer, case: &Case, mutated: Option<Value>, ran: Option<&Ran>) {
    let mut objects = installation(case);
    objects.extend(case.objects.iter().cloned());
    if case.applied {
        let mut manifests = case.manifests();
        let pod = ran.map(|ran| ran.pod.clone()).or(mutated);
        objects.extend(descendants(case, &manifests, pod, ran));
        objects.append(&mut manifests);
    }
    objects.extend(case.events.iter().enumerate().map(|(number, event)| {
        json!({"kind": "Event", "metadata": {"name": format!("e{number}"), "namespace": NAMESPACE},
            "involvedObject": {"kind": event.kind, "name": event.name},
            "reason": event.reason, "message": event.message,
            "lastTimestamp": format!("2026-01-01T00:00:{number:02}Z")})
    }));
    let mut lists: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let mut world = server.world();
    world.documents.insert("/version".to_owned(), json!({"major": "1"}).to_string());
    for mut object in objects {
        let kind = object["kind"].as_str().unwrap().to_owned();
        if !OF_CLUSTER.contains(&kind.as_str()) && object["metadata"]["namespace"].is_null() {
            object["metadata"]["namespace"] = NAMESPACE.into();
        }
        if kind == "Namespace" {
            let path =
                format!("/api/v1/namespaces/{}", object["metadata"]["name"].as_str().unwrap());
            world.documents.insert(path, object.to_string());
            continue;
        }
        let (_, root, plural) = KINDS
            .iter()
            .find(|(known, ..)| *known == kind)
            .unwrap_or_else(|| panic!("{}: no kind {kind}", case.name));
        if [SERVICE_ACCOUNTS, CLASSES, DRIVERS, CONFIGURATIONS].contains(plural) {
            world.put(plural, object);
            continue;
        }
        let path = match object["metadata"]["namespace"].as_str() {
            Some(namespace) => format!("{root}/namespaces/{namespace}/{plural}"),
            None => format!("{root}/{plural}"),
        };
        lists.entry(path).or_default().push(object);
    }
    for (path, items) in lists {
        world.documents.insert(path, json!({"kind": "List", "items": items}).to_string());
    }
    if let Some(ran) = ran {
        let pod = format!("/api/v1/namespaces/{NAMESPACE}/pods/{}", pod_name(case));
        world.documents.insert(format!("{pod}/log"), ran.whole_log.clone());
        if let Some(status) = &ran.status {
            let exec = Exec::Prints(status.clone().into_bytes());
            world.commands.insert(format!("{pod}/exec"), exec);
        }
    }
    world.commands.extend(case.commands.iter().cloned());
    world.forbidden.extend(case.forbidden.iter().cloned());
}

/// The webhook and the namespaces, with what the case changes of them.
fn installation(case: &Case) -> Vec<Value> {
    let entry = |name: &str| {
        json!({"name": name, "failurePolicy": "Fail", "namespaceSelector": {},
            "rules": [{"resources": ["pods"]}],
            "clientConfig": {"service": {"name": "keysluice", "namespace": INSTALLATION}}})
    };
    let replica = |number: u8| {
        json!({"kind": "Pod", "metadata": {"name": format!("keysluice-{number}"),
            "namespace": INSTALLATION, "labels": {"app.kubernetes.io/component": "webhook"}},
            "spec": {"nodeName": format!("node-{number}")}, "status": {"phase": "Running"}})
    };
    let environment = [
        ("KEYSLUICE_TENANT_ID", keysluice_demo::TENANT),
        ("KEYSLUICE_CLOUD", "AzurePublicCloud"),
        ("KEYSLUICE_CSI_VOLUMES", "auto"),
    ]
    .map(|(name, value)| json!({"name": name, "value": value}));
    let mut objects = vec![
        json!({"kind": "MutatingWebhookConfiguration", "metadata": {"name": "keysluice"},
            "webhooks": [entry("pods.keysluice.dev"), entry("csi-volumes.keysluice.dev")]}),
        json!({"kind": "Deployment",
            "metadata": {"name": "keysluice", "namespace": INSTALLATION},
            "spec": {"replicas": 2, "template": {"spec": {"containers": [
                {"name": "webhook", "env": environment}]}}},
            "status": {"readyReplicas": 2}}),
        json!({"kind": "Namespace",
            "metadata": {"name": NAMESPACE, "labels": {"kubernetes.io/metadata.name": NAMESPACE}}}),
    ];
    for object in &mut objects {
        if let Some(patch) = case.installation.get(object["kind"].as_str().unwrap())
            && !patch.is_string()
        {
            json_merge(object, patch);
        }
    }
    for entry in objects[0]["webhooks"].as_array_mut().unwrap() {
        entry["clientConfig"]["caBundle"] = bundle(case).into();
    }
    objects.retain(|object| {
        case.installation.get(object["kind"].as_str().unwrap()).is_none_or(|one| *one != "absent")
    });
    objects.extend([replica(1), replica(2)]);
    objects
}

/// `caBundle` of the webhook configuration.
fn bundle(case: &Case) -> String {
    let day = Duration::from_secs(24 * 3600);
    let now = SystemTime::now();
    let (begin, end) = match case.installation.get("caBundle").and_then(Value::as_str) {
        Some("absent") => return String::new(),
        Some("expired") => (now - 9 * day, now - day),
        _ => (now - day, now + 300 * day),
    };
    let authority =
        keysluice_certs::CertificateAuthority::generate_between(begin.into(), end.into()).unwrap();
    STANDARD.encode(authority.pem())
}

fn pod_name(case: &Case) -> String {
    let manifests = case.manifests();
    let workload = workload(&manifests).unwrap();
    let name = workload["metadata"]["name"].as_str().unwrap();
    if workload["kind"] == "Pod" { name.to_owned() } else { format!("{name}-0") }
}

/// The workload among objects.
pub(super) fn workload(manifests: &[Value]) -> Option<&Value> {
    let kinds = ["Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Pod", "CronJob", "Job"];
    manifests.iter().find(|one| kinds.contains(&one["kind"].as_str().unwrap_or_default()))
}

/// The ReplicaSet and the pod of a Deployment.
fn descendants(
    case: &Case,
    manifests: &[Value],
    mutated: Option<Value>,
    ran: Option<&Ran>,
) -> Vec<Value> {
    let Some(workload) = workload(manifests).filter(|one| one["kind"] == "Deployment") else {
        return Vec::new();
    };
    let name = workload["metadata"]["name"].as_str().unwrap();
    let set = format!("{name}-1");
    let owned = |kind: &str, name: &str| json!([{"kind": kind, "name": name, "controller": true}]);
    let mut objects = vec![json!({"kind": "ReplicaSet", "metadata": {"name": set,
        "namespace": NAMESPACE, "ownerReferences": owned("Deployment", name)},
        "spec": workload["spec"]})];
    let mut pod = match case.pod {
        _ if ran.is_some() => mutated.unwrap(),
        PodState::None => return objects,
        PodState::AsWritten => workload["spec"]["template"].clone(),
        PodState::Mutated => mutated.unwrap(),
    };
    for pointer in &case.removed {
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        pod.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(field).unwrap();
    }
    pod["kind"] = "Pod".into();
    pod["metadata"]["name"] = pod_name(case).into();
    pod["metadata"]["namespace"] = NAMESPACE.into();
    pod["metadata"]["ownerReferences"] = owned("ReplicaSet", &set);
    pod["spec"]["nodeName"] = "node-1".into();
    pod["status"] = json!({"phase": "Running"});
    if let Some(ran) = ran {
        pod["status"] = status(ran);
    }
    json_merge(&mut pod["status"], &case.status);
    objects.push(pod);
    objects
}

/// As the kubelet has it of a sidecar that runs, or that ended and is to start again.
fn status(ran: &Ran) -> Value {
    let sidecar = if ran.is_ready {
        json!({"name": "keysluice", "ready": true, "started": true, "restartCount": 0,
            "state": {"running": {}}})
    } else {
        json!({"name": "keysluice", "ready": false, "started": false, "restartCount": 1,
            "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"exitCode": 1, "message": ran.termination}}})
    };
    let phase = if ran.is_ready { "Running" } else { "Pending" };
    json!({"phase": phase, "initContainerStatuses": [sidecar]})
}
