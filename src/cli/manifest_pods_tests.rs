//! Which pods a manifest stands for, and what is named instead.

use super::*;

fn found(value: Value) -> Found {
    pods_of(&Document { origin: "x.yaml".to_owned(), value, ..Document::default() })
}

#[test]
fn templates_become_pods_with_a_generated_name() {
    for kind in ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "Rollout"] {
        let object = json!({"kind": kind, "metadata": {"name": "app", "namespace": "n"},
            "spec": {"template": {"metadata": {"labels": {"a": "b"}},
                "spec": {"containers": []}}}});
        let pod = found(object).pods.remove(0);
        assert_eq!((pod.owner, pod.namespace), (format!("{kind} n/app"), "n".to_owned()));
        assert_eq!(pod.pod["metadata"], json!({"labels": {"a": "b"}, "generateName": "app-"}));
    }
    let object = json!({"kind": "CronJob", "metadata": {"name": "c"},
        "spec": {"jobTemplate": {"spec": {"template": {"spec": {"containers": []}}}}}});
    assert_eq!(found(object).pods[0].pod["spec"], json!({"containers": []}));
}

#[test]
fn kind_k_a_pod_template_is_found_wherever_it_stands() {
    let template = json!({"spec": {"containers": [{"name": "app"}]}});
    for (object, pointers) in [
        (
            json!({"kind": "ScaledJob", "spec": {"jobTargetRef": {"template": template}}}),
            &["/spec/jobTargetRef/template"][..],
        ),
        (
            json!({"kind": "AutoscalingRunnerSet", "spec": {"template": template}}),
            &["/spec/template"],
        ),
        (json!({"kind": "PodTemplate", "template": template}), &["/template"]),
        (
            json!({"kind": "RayCluster",
                "spec": {"headGroupSpec": {"template": template},
                "workerGroupSpecs": [{"template": template}]}}),
            &["/spec/headGroupSpec/template", "/spec/workerGroupSpecs/0/template"],
        ),
        (
            json!({"kind": "Workflow", "spec": {"podSpecs": {"a/b": template}}}),
            &["/spec/podSpecs/a~1b"],
        ),
        (json!({"kind": "CustomResourceDefinition", "spec": template}), &[]),
    ] {
        let pods = found(object.clone()).pods;
        let found: Vec<_> = pods.iter().map(|pod| pod.pointer.as_str()).collect();
        assert_eq!(found, pointers, "{object}");
        assert!(pods.iter().all(|pod| pod.owner.contains('(') || pods.len() == 1), "{object}");
    }
}

#[test]
fn kind_k_what_has_no_template_is_named_if_it_may_make_pods() {
    for (object, named) in [
        (
            json!({"kind": "OpenTelemetryCollector",
                "spec": {"serviceAccount": "web", "image": "otel"}}),
            true,
        ),
        (
            json!({"kind": "HelmRelease",
                "spec": {"values": {"podLabels": {"azure.workload.identity/use": "true"}}}}),
            true,
        ),
        (json!({"kind": "Service", "spec": {"selector": {"app": "web"}}}), false),
        (json!({"kind": "ConfigMap", "data": {"a": "serviceAccountName"}}), false),
        (
            json!({"kind": "RoleBinding",
                "subjects": [{"kind": "ServiceAccount", "name": "web"}]}),
            false,
        ),
    ] {
        let found = found(object.clone());
        assert!(found.pods.is_empty(), "{object}");
        assert_eq!(found.skipped.len(), usize::from(named), "{object}: {:?}", found.skipped);
        assert!(
            found
                .skipped
                .iter()
                .all(|text| text.starts_with("KS739 ") && text.contains("not looked at"))
        );
    }
}

#[test]
fn what_selects_pods_or_is_built_in_makes_none() {
    let labels = json!({"azure.workload.identity/use": "true"});
    let labelled = json!({"name": "web", "labels": labels});
    for (object, named) in [
        (
            json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
                "spec": {"podSelector": {"matchLabels": labels}}}),
            false,
        ),
        (json!({"kind": "NetworkPolicy", "spec": {"podSelector": {"matchLabels": labels}}}), false),
        (json!({"apiVersion": "v1", "kind": "Service", "spec": {"selector": labels}}), false),
        (json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": labelled}), false),
        (
            json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"serviceAccountName": "a"}}),
            false,
        ),
        (
            json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
                "metadata": labelled, "spec": {"selector": {"matchLabels": labels}}}),
            false,
        ),
        (
            json!({"apiVersion": "monitoring.coreos.com/v1", "kind": "PodMonitor",
                "spec": {"selector": {"matchLabels": labels}}}),
            false,
        ),
        (
            json!({"apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy",
                "spec": {"endpointSelector": {"matchLabels": labels},
                    "ingress": [{"fromEndpoints": [{"matchLabels": labels}]}]}}),
            false,
        ),
        (
            json!({"apiVersion": "opentelemetry.io/v1beta1", "kind": "OpenTelemetryCollector",
                "metadata": labelled, "spec": {"selector": {"matchLabels": labels}}}),
            true,
        ),
        (
            json!({"apiVersion": "sparkoperator.k8s.io/v1beta2", "kind": "SparkApplication",
                "spec": {"driver": {"serviceAccount": "web"}}}),
            true,
        ),
        (json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": labelled}), true),
    ] {
        let skipped = found(object.clone()).skipped;
        assert_eq!(!skipped.is_empty(), named, "{object}: {skipped:?}");
    }
}

#[test]
fn an_object_without_a_file_has_no_parentheses() {
    let patch = json!({"kind": "Deployment", "metadata": {"name": "v"}, "spec": {}});
    let text = found(patch.clone()).skipped.remove(0);
    assert!(text.starts_with("KS739 Deployment default/v: not looked at: "), "{text}");
    let location = "v.yaml:1".to_owned();
    let text = pods_of(&Document { location, value: patch, ..Document::default() });
    let text = &text.skipped[0];
    assert!(text.starts_with("KS739 Deployment default/v (v.yaml:1): not looked"), "{text}");
}

#[test]
fn kind_f6_a_part_of_a_pod_is_said_to_be_one() {
    for object in [
        json!({"kind": "Deployment",
            "spec": {"template": {"metadata": {"labels": {"a": "b"}}}}}),
        json!({"kind": "Deployment",
            "spec": {"template": {"spec": {"serviceAccountName": "web"}}}}),
        json!({"kind": "CronJob",
            "spec": {"jobTemplate": {"spec": {"template": {"spec": {}}}}}}),
        json!({"kind": "Pod", "metadata": {"labels": {"azure.workload.identity/use": "true"}},
            "spec": {}}),
        json!({"kind": "Pod", "metadata": {"labels": {"azure.workload.identity/use": "true"}}}),
    ] {
        let found = found(object.clone());
        assert!(
            found.pods.is_empty()
                && found.skipped[0].contains("no containers: this is part of a pod"),
            "{object}"
        );
    }
}

#[test]
fn other_kinds_have_none() {
    let none = found(json!({"kind": "Service"}));
    assert!(none.pods.is_empty() && none.skipped.is_empty());
    let pod = found(json!({"kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": []}}))
        .pods
        .remove(0);
    assert_eq!((pod.namespace.as_str(), pod.is_placed), ("default", false));
}
