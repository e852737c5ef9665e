//! The container of the sidecar: its user, its resources and its gate.

use super::super::testing::{
    class, csi_volume, facts, plan_of, pod_with_volume, run, run_with, settings,
};
use keysluice_plan::LogFormat;
use serde_json::{Value, json};

#[test]
fn the_sidecar_runs_as_the_one_user_that_reads_the_files() {
    let mount = json!([{"name": "secrets", "mountPath": "/s"}]);
    let cases = [
        (json!({}), json!({"runAsUser": 1000, "runAsGroup": 3000}), (1000, json!(3000))),
        (json!({"runAsUser": 2000}), json!({}), (2000, json!(null))),
        (json!({"runAsUser": 2000, "runAsGroup": 5}), json!({"runAsUser": 1000}), (1000, json!(5))),
        (json!({}), json!({"runAsUser": 0}), (65532, json!(65532))),
    ];
    for (of_pod, of_container, (uid, gid)) in cases {
        let mut pod = pod_with_volume();
        pod["spec"]["securityContext"] = of_pod;
        pod["spec"]["containers"][0] =
            json!({"name": "app", "securityContext": of_container, "volumeMounts": mount});
        let (pod, _) = run(&pod).unwrap();
        let context = &pod["spec"]["initContainers"][0]["securityContext"];
        assert_eq!((&context["runAsUser"], &context["runAsGroup"]), (&json!(uid), &gid));
    }
}

/// A container that runs as this user and mounts this volume.
fn container(name: &str, uid: i64, volume: &str) -> Value {
    json!({"name": name, "securityContext": {"runAsUser": uid},
        "volumeMounts": [{"name": volume, "mountPath": "/s"}]})
}

#[test]
fn several_users_need_modes_that_all_can_read() {
    let mut pod = pod_with_volume();
    pod["spec"]["containers"] =
        json!([container("a", 1000, "secrets"), container("b", 2000, "secrets")]);
    let error = run(&pod).unwrap_err();
    assert!(
        error.starts_with("KS213")
            && error.contains("tls/key has mode 0440")
            && error.contains("fsGroup"),
        "{error}"
    );
    pod["spec"]["securityContext"] = json!({"fsGroup": 3000});
    assert_eq!(
        run(&pod).unwrap().0["spec"]["initContainers"][0]["securityContext"]["runAsUser"],
        65532
    );
}

#[test]
fn an_unknown_user_and_a_sub_path_give_warnings() {
    let mut pod = pod_with_volume();
    pod["spec"]["containers"][0]["volumeMounts"][0]["subPath"] = json!("db");
    let warnings = run(&pod).unwrap().1.warnings;
    assert!(
        warnings.iter().any(|warning| warning.starts_with("KS251 container app")),
        "{warnings:?}"
    );
    assert!(
        warnings.iter().any(|warning| warning.starts_with("KS252 container app")),
        "{warnings:?}"
    );
}

#[test]
fn a_guaranteed_pod_stays_guaranteed() {
    let mut pod = pod_with_volume();
    let (burstable, _) = run(&pod).unwrap();
    assert_eq!(
        burstable["spec"]["initContainers"][0]["resources"],
        json!({"requests": {"cpu": "1m", "memory": "8Mi"}, "limits": {"memory": "18Mi"}})
    );
    pod["spec"]["containers"][0]["resources"] = json!({"limits": {"cpu": "1", "memory": "1Gi"}});
    let (guaranteed, _) = run(&pod).unwrap();
    let same = json!({"cpu": "100m", "memory": "18Mi"});
    assert_eq!(
        guaranteed["spec"]["initContainers"][0]["resources"],
        json!({"requests": same, "limits": same})
    );
}

/// Whether the sidecar has a hook, its startup probe, and its timeout, of a pod with these
/// annotations.
fn gated(annotations: Value) -> (bool, Value, Option<u64>) {
    let mut pod = pod_with_volume();
    pod["metadata"]["annotations"] = annotations;
    let (pod, _) = run(&pod).unwrap();
    let sidecar = &pod["spec"]["initContainers"][0];
    (
        sidecar["lifecycle"].is_object(),
        sidecar["startupProbe"].clone(),
        plan_of(&pod).start_timeout_seconds,
    )
}

#[test]
fn the_gate_follows_the_annotation() {
    assert_eq!(gated(json!({})), (true, Value::Null, Some(30)));
    assert_eq!(gated(json!({"keysluice.dev/gate": "none"})), (false, Value::Null, None));
    let (hook, probe, timeout) = gated(json!({"keysluice.dev/on-missing": "wait"}));
    assert!(!hook && timeout.is_none() && probe["failureThreshold"] == 120);
}

#[test]
fn containers_that_share_no_volume_need_share_no_mode() {
    let mut facts = facts();
    let world = "array:\n  - |\n    objectName: db\n    objectType: secret\n";
    facts.classes.insert(
        "world".into(),
        class("world", &json!({"keyvaultName": "vault-1", "objects": world})),
    );
    let mut pod = pod_with_volume();
    pod["spec"]["volumes"].as_array_mut().unwrap().push(csi_volume("shared", "world"));
    pod["spec"]["containers"] =
        json!([container("a", 1000, "secrets"), container("b", 2000, "shared")]);
    let (pod, _) = run_with(&pod, &settings(), &facts).unwrap();
    assert_eq!(pod["spec"]["initContainers"][0]["securityContext"]["runAsUser"], 1000);
}

#[test]
fn the_format_of_the_log_is_in_the_plan_and_only_there() {
    let pod = pod_with_volume();
    let mut as_text = settings();
    as_text.log_format = LogFormat::Text;
    let (patched, _) = run_with(&pod, &as_text, &facts()).unwrap();
    assert_eq!(plan_of(&patched).log_format, LogFormat::Text);
    assert_eq!(run_with(&patched, &as_text, &facts()).unwrap().0, patched);
    // The guard allows no other variable named KEYSLUICE_*, and no argument.
    let container = &patched["spec"]["initContainers"][0];
    let variables = container["env"].as_array().unwrap().iter();
    let names: Vec<&str> = variables.map(|entry| entry["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["KEYSLUICE_PLAN", "POD_UID"]);
    assert!(container["args"].is_null());
    // An older sidecar knows the Plan of the default.
    let plan = run(&pod).unwrap().0["spec"]["initContainers"][0]["env"][0]["value"].clone();
    assert!(!plan.as_str().unwrap().contains("logFormat"), "{plan}");
}

/// The resources of the sidecar of a pod with these annotations and resources, where the operator
/// sets a limit of 20m.
fn resources(annotations: &Value, of_pod: &Value) -> Value {
    let mut pod = pod_with_volume();
    pod["metadata"]["annotations"] = annotations.clone();
    pod["spec"]["resources"] = of_pod.clone();
    let mut settings = settings();
    settings.injector_cpu_limit = Some("20m".into());
    let (patched, _) = run_with(&pod, &settings, &facts()).unwrap();
    patched["spec"]["initContainers"][0]["resources"].clone()
}

#[test]
fn resources_follow_annotations_settings_and_the_pods_own() {
    assert_eq!(resources(&json!({}), &json!(null))["limits"]["cpu"], "20m");
    let annotated = json!({"keysluice.dev/cpu-limit": "50m", "keysluice.dev/cpu-request": "5m"});
    let both = resources(&annotated, &json!(null));
    assert_eq!((&both["limits"]["cpu"], &both["requests"]["cpu"]), (&json!("50m"), &json!("5m")));
    // What a pod has for itself its containers share; of the other resource they ask as ever.
    let memory = json!({"requests": {"memory": "8Mi"}, "limits": {"memory": "18Mi"}});
    let cpu = json!({"requests": {"cpu": "5m"}, "limits": {"cpu": "20m"}});
    let annotated = json!({"keysluice.dev/cpu-request": "5m"});
    for (of_pod, expected) in [
        (json!({"requests": {"cpu": "100m"}}), &memory),
        (json!({"limits": {"cpu": "100m"}}), &memory),
        (json!({"requests": {"memory": "256Mi"}}), &cpu),
        (json!({"limits": {"memory": "256Mi"}}), &cpu),
        (json!({"limits": {"cpu": "1", "memory": "256Mi"}}), &json!({})),
        (json!({"requests": {"cpu": "1"}, "limits": {"memory": "256Mi"}}), &json!({})),
        (
            json!({"limits": {}, "requests": {}}),
            &json!({"requests": {"cpu": "5m", "memory": "8Mi"},
                "limits": {"cpu": "20m", "memory": "18Mi"}}),
        ),
    ] {
        assert_eq!(&resources(&annotated, &of_pod), expected, "{of_pod}");
    }
}

#[test]
fn the_sidecar_of_a_guaranteed_pod_requests_its_limit() {
    let own = json!({"limits": {"cpu": "1", "memory": "1Gi"}});
    for (operator, annotation, expected) in
        [(None, None, "100m"), (Some("20m"), None, "20m"), (Some("20m"), Some("50m"), "50m")]
    {
        let mut pod = pod_with_volume();
        pod["spec"]["containers"][0]["resources"] = own.clone();
        if let Some(limit) = annotation {
            pod["metadata"]["annotations"] = json!({"keysluice.dev/cpu-limit": limit});
        }
        let mut settings = settings();
        settings.injector_cpu_limit = operator.map(Into::into);
        let (patched, _) = run_with(&pod, &settings, &facts()).unwrap();
        let resources = &patched["spec"]["initContainers"][0]["resources"];
        let cpu = [&resources["requests"]["cpu"], &resources["limits"]["cpu"]];
        assert_eq!(cpu, [expected, expected], "{operator:?} {annotation:?}");
    }
}

#[test]
fn an_annotation_about_a_resource_that_the_pod_has_for_itself_gives_a_warning() {
    for (of_pod, warned) in
        [(json!({"limits": {"cpu": "1"}}), 2), (json!({"requests": {"memory": "1Gi"}}), 0)]
    {
        let mut pod = pod_with_volume();
        pod["metadata"]["annotations"] =
            json!({"keysluice.dev/cpu-limit": "50m", "keysluice.dev/cpu-request": "5m"});
        pod["spec"]["resources"] = of_pod;
        let warnings = run(&pod).unwrap().1.warnings;
        assert_eq!(
            warnings.iter().filter(|warning| warning.starts_with("KS260 ")).count(),
            warned,
            "{warnings:?}"
        );
    }
}

#[test]
fn the_sidecar_never_requests_more_cpu_than_its_limit() {
    let (request, limit) = ("keysluice.dev/cpu-request", "keysluice.dev/cpu-limit");
    for (annotations, operator, expected) in [
        (json!({limit: "20m"}), ("50m", None), ("20m", "20m")),
        (json!({limit: "0.02"}), ("50m", Some("100m")), ("0.02", "0.02")),
        (json!({request: "100m"}), ("1m", Some("50m")), ("100m", "100m")),
        (json!({request: "100m", limit: "0.1"}), ("1m", None), ("100m", "0.1")),
        (json!({}), ("50m", Some("50m")), ("50m", "50m")),
    ] {
        let mut pod = pod_with_volume();
        pod["metadata"]["annotations"] = annotations.clone();
        let mut settings = settings();
        settings.injector_cpu_request = operator.0.into();
        settings.injector_cpu_limit = operator.1.map(Into::into);
        let (patched, _) = run_with(&pod, &settings, &facts()).unwrap();
        let found = &patched["spec"]["initContainers"][0]["resources"];
        let found = (&found["requests"]["cpu"], &found["limits"]["cpu"]);
        assert_eq!(found, (&json!(expected.0), &json!(expected.1)), "{annotations}");
    }
    for (annotations, expected) in [
        (
            json!({limit: "10m", request: "100m"}),
            "keysluice.dev/cpu-request: \"100m\" is not a quantity of at most \
             keysluice.dev/cpu-limit",
        ),
        (
            json!({request: "100m", limit: "10m"}),
            "keysluice.dev/cpu-limit: \"10m\" is not a quantity above 0 and of at least \
             keysluice.dev/cpu-request",
        ),
        (
            json!({limit: "0"}),
            "keysluice.dev/cpu-limit: \"0\" is not a quantity above 0 and of at least \
             keysluice.dev/cpu-request",
        ),
    ] {
        let mut pod = pod_with_volume();
        pod["metadata"]["annotations"] = annotations;
        let error = run(&pod).unwrap_err();
        assert!(error.starts_with(&format!("KS209 annotation {expected}")), "{error}");
    }
}

#[test]
fn a_request_that_a_guaranteed_pod_does_not_get_gives_a_warning() {
    let (request, limit) = ("keysluice.dev/cpu-request", "keysluice.dev/cpu-limit");
    for (annotations, cpu, warned) in [
        (json!({request: "5m"}), "100m", true),
        (json!({request: "0.1"}), "100m", false),
        (json!({request: "5m", limit: "50m"}), "50m", true),
        (json!({limit: "50m"}), "50m", false),
    ] {
        let mut pod = pod_with_volume();
        pod["metadata"]["annotations"] = annotations.clone();
        pod["spec"]["containers"][0]["resources"] =
            json!({"limits": {"cpu": "1", "memory": "1Gi"}});
        let (patched, mutation) = run(&pod).unwrap();
        let found = &patched["spec"]["initContainers"][0]["resources"]["requests"]["cpu"];
        assert_eq!(found, cpu, "{annotations}");
        let expected = format!(
            "KS260 keysluice.dev/cpu-request has no effect: the pod is Guaranteed, and stays so \
             because the sidecar requests its limit, {cpu}"
        );
        assert_eq!(mutation.warnings.contains(&expected), warned, "{:?}", mutation.warnings);
    }
}

#[test]
fn containers_with_limits_do_not_make_a_pod_guaranteed_that_has_resources_of_its_own() {
    let mut pod = pod_with_volume();
    pod["spec"]["containers"][0]["resources"] = json!({"limits": {"cpu": "1", "memory": "1Gi"}});
    pod["spec"]["resources"] = json!({"limits": {"memory": "2Gi"}});
    let (pod, _) = run(&pod).unwrap();
    assert_eq!(pod["spec"]["initContainers"][0]["resources"], json!({"requests": {"cpu": "1m"}}));
}

/// What becomes of a pod with this mode, whose class may have the mode `init`.
fn with_modes(is_init_class: bool, annotation: Option<&str>) -> Result<Value, String> {
    let mut facts = facts();
    if is_init_class {
        let parameters = json!({"keyvaultName": "vault-1", "objects": "", "mode": "init"});
        facts.classes.insert("kv".into(), class("kv", &parameters));
    }
    let mut pod = pod_with_volume();
    if let Some(mode) = annotation {
        pod["metadata"]["annotations"] = json!({"keysluice.dev/mode": mode});
    }
    run_with(&pod, &settings(), &facts).map(|(pod, _)| pod)
}

#[test]
fn with_the_mode_init_an_init_container_fetches_once() {
    for (is_init_class, annotation, is_init) in [
        (false, None, false),
        (false, Some("init"), true),
        (true, None, true),
        (true, Some("sidecar"), false),
    ] {
        let pod = with_modes(is_init_class, annotation).unwrap();
        let container = &pod["spec"]["initContainers"][0];
        let command = if is_init { "once" } else { "run" };
        assert_eq!(container["command"], json!(["/keysluice-injector", command]));
        let restart = if is_init { Value::Null } else { "Always".into() };
        assert_eq!(container["restartPolicy"], restart);
        assert_eq!(container["lifecycle"].is_null(), is_init, "{container}");
        let (again, _) = run(&pod).unwrap();
        assert_eq!(again, pod, "a second run changes nothing");
    }
    let mut pod = pod_with_volume();
    pod["metadata"]["annotations"] = json!({"keysluice.dev/mode": "init",
        "keysluice.dev/on-change": "http://127.0.0.1:80/reload"});
    let error = run(&pod).unwrap_err();
    assert!(error.starts_with("KS234") && error.contains("fetched once"), "{error}");
    let error = with_modes(false, Some("once")).unwrap_err();
    assert!(error.starts_with("KS209") && error.contains("sidecar or init"), "{error}");
}
