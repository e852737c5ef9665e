use crate::mutate::testing::{plan_of, pod_with_volume, run};
use keysluice_plan::{ReactionAction, WorkloadReference, WorkloadResource};
use serde_json::{Value, json};

const RIGHT: &str = "keysluice.dev/reaction-right";

fn owner(api_version: &str, kind: &str, name: &str) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "name": name, "uid": "u",
        "controller": true})
}

fn pod(action: &str, owner: Option<Value>) -> Value {
    let mut pod = pod_with_volume();
    pod["metadata"]["labels"]["pod-template-hash"] = json!("5d4f8");
    pod["metadata"]["annotations"] = json!({"keysluice.dev/on-change": action});
    if let Some(owner) = owner {
        pod["metadata"]["ownerReferences"] = json!([owner]);
    }
    pod
}

fn refused(pod: &Value, expected: &str) {
    let error = run(pod).expect_err(expected);
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn the_workload_of_a_rollout_is_known_from_the_owner() {
    for (kind, name, resource, expected) in [
        ("ReplicaSet", "web-5d4f8", WorkloadResource::Deployments, "web"),
        ("ReplicaSet", "web-5d4f8-5d4f8", WorkloadResource::Deployments, "web-5d4f8"),
        ("StatefulSet", "db", WorkloadResource::StatefulSets, "db"),
        ("DaemonSet", "agent", WorkloadResource::DaemonSets, "agent"),
    ] {
        let (patched, mutation) = run(&pod("rollout", Some(owner("apps/v1", kind, name)))).unwrap();
        let workload = WorkloadReference { resource, name: expected.to_owned() };
        let plan = plan_of(&patched);
        let text = workload.to_string();
        assert_eq!(plan.reaction.unwrap().action, ReactionAction::Rollout { workload });
        assert_eq!(plan.kubernetes.unwrap().directory, "/var/run/secrets/keysluice.dev");
        assert_eq!(patched["metadata"]["annotations"][RIGHT], text);
        let notes: Vec<String> = mutation.notes.iter().map(ToString::to_string).collect();
        let note = format!("needs the right patch on {text}");
        assert!(notes.iter().any(|found| found.contains(&note)), "{notes:?}");
        assert!(run(&patched).unwrap().1.patch.is_empty(), "a second run changes nothing");
    }
}

#[test]
fn an_eviction_needs_a_controller_that_creates_another_pod() {
    for (api_version, kind) in [
        ("apps/v1", "ReplicaSet"),
        ("apps/v1", "DaemonSet"),
        ("v1", "ReplicationController"),
        ("apps.kruise.io/v1alpha1", "CloneSet"),
    ] {
        let (patched, _) = run(&pod("evict", Some(owner(api_version, kind, "x")))).unwrap();
        assert_eq!(plan_of(&patched).reaction.unwrap().action, ReactionAction::Evict {});
        assert_eq!(patched["metadata"]["annotations"][RIGHT], "pods/eviction");
        let volumes = patched["spec"]["volumes"].as_array().unwrap();
        assert!(volumes.iter().any(|volume| volume["name"] == "keysluice-api"), "{volumes:?}");
    }
    refused(&pod("evict", None), "KS241 annotation keysluice.dev/on-change: evict: no controller");
    let mut only_owned = owner("apps/v1", "ReplicaSet", "web-5d4f8");
    only_owned["controller"] = json!(false);
    refused(&pod("evict", Some(only_owned.clone())), "KS241 ");
    refused(&pod("rollout", Some(only_owned)), "KS241 annotation keysluice.dev/on-change: rollout");
    refused(
        &pod("evict", Some(owner("v1", "Node", "n"))),
        "KS241 annotation keysluice.dev/on-change: evict: no controller creates the pod again: \
         metadata.ownerReferences has no entry with controller: true whose kind is not Node",
    );
    refused(&pod("evict", Some(owner("batch/v1", "Job", "load"))), "KS242 Job \"load\"");
}

#[test]
fn other_owners_cannot_be_rolled_out() {
    for (api_version, kind, name) in [
        ("batch/v1", "Job", "load"),
        ("v1", "ReplicationController", "web"),
        ("apps.kruise.io/v1beta1", "StatefulSet", "db"),
        ("apps/v1", "StatefulSet", "../x"),
        ("apps/v1", "Deployment", "web"),
    ] {
        let pod = pod("rollout", Some(owner(api_version, kind, name)));
        refused(&pod, &format!("KS243 the pod belongs to {kind} "));
    }
    for name in ["web", "web5d4f8", "-5d4f8-x", "5d4f8"] {
        refused(
            &pod("rollout", Some(owner("apps/v1", "ReplicaSet", name))),
            &format!("KS244 ReplicaSet {name:?}"),
        );
    }
    let mut without = pod("rollout", Some(owner("apps/v1", "ReplicaSet", "web-5d4f8")));
    without["metadata"]["labels"].as_object_mut().unwrap().remove("pod-template-hash");
    refused(&without, "KS244 ");
}

#[test]
fn a_right_that_a_pod_claims_itself_is_replaced() {
    let mut other = pod("http://127.0.0.1:80/", None);
    other["metadata"]["annotations"][RIGHT] = json!("pods/eviction");
    assert_eq!(run(&other).unwrap().0["metadata"]["annotations"][RIGHT], "");
    let mut evicting = pod("evict", Some(owner("apps/v1", "ReplicaSet", "web-5d4f8")));
    evicting["metadata"]["annotations"][RIGHT] = json!("");
    let (patched, _) = run(&evicting).unwrap();
    assert_eq!(patched["metadata"]["annotations"][RIGHT], "pods/eviction");
    let mut cleared = patched;
    cleared["metadata"]["annotations"][RIGHT] = json!("deployments/web");
    let again = run(&cleared).unwrap().0;
    assert_eq!(again["metadata"]["annotations"][RIGHT], "pods/eviction", "by its Plan");
}

#[test]
fn a_pod_of_a_rollout_has_the_annotation_of_its_template() {
    let mut rolled = pod("rollout", Some(owner("apps/v1", "ReplicaSet", "web-5d4f8")));
    rolled["metadata"]["annotations"]["keysluice.dev/secrets-updated"] =
        json!("2026-11-29T12:00:05Z/9f86d081884c7d65");
    run(&rolled).unwrap();
}
