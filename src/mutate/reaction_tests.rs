use crate::mutate::testing::{
    class, class_with_secrets, csi_volume, facts, opaque, plan_of, pod_with_volume, run, run_with,
    settings,
};
use crate::settings::CsiVolumes;
use keysluice_plan::{Reaction, ReactionAction, ReactionSignal};
use serde_json::{Value, json};

/// A pod with these annotations below `keysluice.dev/`, whose processes see each other and run as
/// 1000.
fn pod(annotations: &[(&str, &str)]) -> Value {
    let mut pod = pod_with_volume();
    for (key, value) in annotations {
        pod["metadata"]["annotations"][format!("keysluice.dev/{key}")] = json!(value);
    }
    pod["spec"]["shareProcessNamespace"] = json!(true);
    pod["spec"]["securityContext"] = json!({"runAsUser": 1000, "runAsGroup": 1000});
    pod
}

fn reaction(pod: &Value) -> Reaction {
    plan_of(&run(pod).unwrap().0).reaction.unwrap()
}

fn variables(container: &Value) -> Vec<(&str, &str)> {
    let entries = container["env"].as_array().map(Vec::as_slice).unwrap_or_default();
    entries
        .iter()
        .map(|entry| (entry["name"].as_str().unwrap(), entry["value"].as_str().unwrap_or("")))
        .filter(|(name, _)| *name == "KEYSLUICE_CONTAINER")
        .collect()
}

fn refused(pod: &Value, expected: &str) {
    let error = run(pod).expect_err(expected);
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn a_signal_goes_into_the_plan_and_the_container_gets_the_variable() {
    let pod = pod(&[("on-change", "signal:HUP"), ("on-change-of", "db, tls/key")]);
    let (patched, mutation) = run(&pod).unwrap();
    let expected = Reaction {
        action: ReactionAction::Signal {
            signal: ReactionSignal::Hup,
            containers: vec!["app".into()],
        },
        of: vec!["db".parse().unwrap(), "tls/key".parse().unwrap()],
        spread_seconds: 120,
    };
    assert_eq!(plan_of(&patched).reaction, Some(expected));
    let container = &patched["spec"]["containers"][0];
    assert_eq!(variables(container), [("KEYSLUICE_CONTAINER", "app")]);
    assert!(container["env"].as_array().unwrap().len() > 1, "the identity's are there too");
    let note = "when files change: signal:HUP to app, each replica within 120 s";
    assert!(mutation.notes.iter().any(|found| found.to_string() == note), "{:?}", mutation.notes);
    assert!(run(&patched).unwrap().1.patch.is_empty(), "a second run changes nothing");
}

#[test]
fn the_variable_joins_an_env_a_new_env_and_one_that_has_it_already() {
    let own = json!([{"name": "KEYSLUICE_CONTAINER", "value": "app"}]);
    for labels in [json!({}), json!({"azure.workload.identity/use": "true"})] {
        for env in [Value::Null, json!([]), json!([{"name": "A", "value": "b"}]), own.clone()] {
            let mut pod = pod(&[("on-change", "restart")]);
            pod["metadata"]["labels"] = labels.clone();
            pod["spec"]["containers"][0]["env"] = env.clone();
            let (patched, _) = run(&pod).unwrap();
            let container = &patched["spec"]["containers"][0];
            assert_eq!(variables(container), [("KEYSLUICE_CONTAINER", "app")], "{env}");
            for kept in env.as_array().into_iter().flatten() {
                assert!(container["env"].as_array().unwrap().contains(kept));
            }
        }
    }
}

#[test]
fn a_variable_of_another_value_is_refused() {
    for entry in [
        json!({"name": "KEYSLUICE_CONTAINER", "value": "web"}),
        json!({"name": "KEYSLUICE_CONTAINER",
            "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}),
    ] {
        let mut pod = pod(&[("on-change", "restart")]);
        pod["spec"]["containers"][0]["env"] = json!([{"name": "A", "value": ""}, entry]);
        refused(&pod, "KS240 /spec/containers/0/env/1: container \"app\" sets KEYSLUICE_CONTAINER");
    }
}

/// A pod with an init container and a second container `web`, which runs as this.
fn pod_with_web(on_change: &str, context: &Value) -> Value {
    let mut pod = pod(&[("on-change", on_change)]);
    let web = json!({"name": "web", "securityContext": context});
    pod["spec"]["containers"].as_array_mut().unwrap().push(web);
    pod["spec"]["initContainers"] = json!([{"name": "init"}]);
    pod
}

#[test]
fn one_container_or_all_ordinary_ones_are_told() {
    let all = pod_with_web("restart", &json!({}));
    let containers = vec!["app".to_owned(), "web".to_owned()];
    assert_eq!(reaction(&all).action, ReactionAction::Restart { containers });
    let mut one = pod_with_web("restart@web", &json!({"runAsUser": 2000}));
    // So that the other container can read the files of the sidecar's user.
    one["spec"]["securityContext"]["fsGroup"] = json!(3000);
    let (patched, _) = run(&one).unwrap();
    let containers = vec!["web".to_owned()];
    assert_eq!(plan_of(&patched).reaction.unwrap().action, ReactionAction::Restart { containers });
    assert!(variables(&patched["spec"]["containers"][0]).is_empty());
    assert_eq!(patched["spec"]["initContainers"][0]["securityContext"]["runAsUser"], 2000);
    refused(
        &pod_with_web("signal:HUP@init", &json!({})),
        "KS237 annotation keysluice.dev/on-change: \"init\" is not a container of the pod, which \
         has: app, web",
    );
    let two_users = pod_with_web("signal:HUP", &json!({"runAsUser": 2000}));
    refused(&two_users, "KS236 container \"web\" runs as uid 2000 and gid 1000, and the sidecar");
}

#[test]
fn signals_need_shared_processes_and_a_known_equal_user() {
    for action in ["signal:USR1", "restart@app"] {
        let mut apart = pod(&[("on-change", action)]);
        apart["spec"]["shareProcessNamespace"] = json!(false);
        refused(&apart, "KS236 spec.shareProcessNamespace is not true");
        let mut unknown = pod(&[("on-change", action)]);
        unknown["spec"]["securityContext"] = Value::Null;
        refused(&unknown, "KS236 container \"app\" has no runAsUser");
        let mut root = pod(&[("on-change", action)]);
        root["spec"]["securityContext"] = json!({"runAsUser": 0, "runAsGroup": 0});
        refused(
            &root,
            "KS236 container \"app\" runs as uid 0 and gid 0, and the sidecar runs as uid 65532",
        );
        let mut unknown_group = pod(&[("on-change", action)]);
        unknown_group["spec"]["securityContext"] = json!({"runAsUser": 1000});
        refused(&unknown_group, "KS236 container \"app\" has no runAsGroup");
        let mut other_group = pod(&[("on-change", action)]);
        let other = json!({"name": "web", "securityContext": {"runAsGroup": 3000}});
        other_group["spec"]["containers"].as_array_mut().unwrap().push(other);
        let web = "KS236 container \"web\" runs as uid 1000 and gid 3000";
        match action {
            "restart@app" => assert!(run(&other_group).is_ok()),
            _ => refused(&other_group, web),
        }
    }
}

#[test]
fn the_sidecar_prefers_the_user_that_it_signals_if_the_files_stay_readable() {
    let mut pod = pod(&[("on-change", "signal:HUP@app")]);
    let mount = json!([{"name": "secrets", "mountPath": "/s"}]);
    let other =
        json!({"name": "web", "securityContext": {"runAsUser": 500}, "volumeMounts": mount});
    pod["spec"]["containers"].as_array_mut().unwrap().push(other);
    let mut facts = facts();
    let mut parameters = json!({"keyvaultName": "v-1",
        "objects": "array: ['{objectName: db, objectType: secret}']"});
    facts.classes.insert("kv".into(), class("kv", &parameters));
    let (patched, _) = run_with(&pod, &settings(), &facts).unwrap();
    assert_eq!(patched["spec"]["initContainers"][0]["securityContext"]["runAsUser"], 1000);
    parameters["objects"] =
        json!("array: ['{objectName: db, objectType: secret, filePermission: 0400}']");
    facts.classes.insert("kv".into(), class("kv", &parameters));
    assert!(run_with(&pod, &settings(), &facts).unwrap_err().starts_with("KS213"));
}

#[test]
fn a_restart_needs_a_kubelet_that_starts_the_container_again() {
    let mut pod = pod(&[("on-change", "restart")]);
    for (policy, own, expected) in [
        ("Always", None, None),
        ("OnFailure", None, Some("KS238 spec.restartPolicy is \"OnFailure\"")),
        ("Never", Some("Always"), None),
        ("Always", Some("Never"), Some("KS238 /spec/containers/0/restartPolicy is \"Never\"")),
    ] {
        pod["spec"]["restartPolicy"] = json!(policy);
        pod["spec"]["containers"][0]["restartPolicy"] = json!(own);
        match expected {
            None => assert!(run(&pod).is_ok(), "{policy} {own:?}"),
            Some(expected) => refused(&pod, expected),
        }
    }
    pod["metadata"]["annotations"]["keysluice.dev/on-change"] = json!("signal:HUP");
    assert!(run(&pod).is_ok(), "an application that handles the signal goes on");
}

#[test]
fn a_request_needs_a_network_of_the_pods_own_and_nothing_else() {
    let url = "http://127.0.0.1:8080/reload";
    let mut pod = pod_with_volume();
    pod["metadata"]["annotations"] =
        json!({"keysluice.dev/on-change": url, "keysluice.dev/on-change-spread": "0s"});
    let expected = Reaction {
        action: ReactionAction::Http { url: url.into() },
        of: Vec::new(),
        spread_seconds: 0,
    };
    assert_eq!(reaction(&pod), expected);
    assert!(variables(&run(&pod).unwrap().0["spec"]["containers"][0]).is_empty());
    pod["spec"]["hostNetwork"] = json!(true);
    refused(&pod, "KS239 spec.hostNetwork is true: http://127.0.0.1:8080/reload leads to");
}

#[test]
fn the_spread_is_the_smallest_interval_of_the_volumes() {
    let mut facts = facts();
    for (name, interval) in [("kv", "10m"), ("fast", "30s")] {
        let parameters = json!({"keyvaultName": "v-1", "refreshInterval": interval,
            "objects": "array: ['{objectName: db, objectType: secret}']"});
        facts.classes.insert(name.into(), class(name, &parameters));
    }
    let mut pod = pod(&[("on-change", "restart")]);
    pod["spec"]["volumes"].as_array_mut().unwrap().push(csi_volume("more", "fast"));
    let (patched, _) = run_with(&pod, &settings(), &facts).unwrap();
    assert_eq!(plan_of(&patched).reaction.unwrap().spread_seconds, 30);
}

#[test]
fn only_files_that_the_volumes_may_have_are_accepted() {
    let mut facts = facts();
    let objects = "array: ['{objectName: db, objectType: secret, objectVersionHistory: 2}', \
        '{objectName: tls, objectType: secret, objectFormat: pfx, objectAlias: web}']";
    let parameters = json!({"keyvaultName": "v-1", "objects": objects,
        "writeCertAndKeyInSeparateFiles": "true",
        "select": "{namePrefix: app-, directory: config}"});
    facts.classes.insert("kv".into(), class("kv", &parameters));
    for (files, expected) in [
        ("db/1,web,web.key,config/app-x", None),
        ("db", Some("\"db\" is not a file")),
        ("db/2", Some("\"db/2\" is not a file")),
        ("tls", Some("which have: db/0, db/0.crt, db/0.key, db/1, db/1.crt, db/1.key, web, web.c")),
        ("../x", Some("KS209")),
    ] {
        let pod = pod(&[("on-change", "restart"), ("on-change-of", files)]);
        match (run_with(&pod, &settings(), &facts), expected) {
            (result, None) => assert!(result.is_ok(), "{files} {result:?}"),
            (result, Some(expected)) => {
                let error = result.unwrap_err();
                assert!(error.contains(expected), "{error}");
                assert!(error.starts_with("KS235 ") || expected == "KS209", "{error}");
            }
        }
    }
}

#[test]
fn annotations_without_effect_are_refused() {
    refused(
        &pod(&[("on-change-of", "db")]),
        "KS234 annotation keysluice.dev/on-change-of is set, but keysluice.dev/on-change is not",
    );
    refused(&pod(&[("on-change-spread", "1s")]), "KS234 annotation keysluice.dev/on-change-spread");
    for word in ["evict", "rollout"] {
        let expected = format!("KS233 annotation keysluice.dev/on-change: {word} of one container");
        refused(&pod(&[("on-change", &format!("{word}@app"))]), &expected);
    }
    let not_served = "KS234 annotation keysluice.dev/on-change: the sidecar serves no volume";
    let mut without = pod(&[("on-change", "restart")]);
    without["spec"]["volumes"] = json!([]);
    refused(&without, not_served);
    let mut settings = settings();
    settings.csi_volumes = CsiVolumes::Leave;
    let error = run_with(&pod(&[("on-change", "restart")]), &settings, &facts()).unwrap_err();
    assert!(error.starts_with(not_served), "{error}");
    let (mut late, _) = run(&pod(&[])).unwrap();
    late["metadata"]["annotations"] = json!({"keysluice.dev/on-change": "restart"});
    refused(&late, "KS234 annotation keysluice.dev/on-change: the annotation was added to a pod");
}

#[test]
fn a_reaction_and_synced_secrets_go_together() {
    let mut facts = facts();
    facts.classes.insert("kv".into(), class_with_secrets("kv", "azure", &json!([opaque("s")])));
    let mut pod = pod(&[("on-change", "restart")]);
    let variable = json!({"name": "DB", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}});
    pod["spec"]["containers"][0]["env"] = json!([variable]);
    // The application reads the variable alone.
    pod["spec"]["containers"][0]["volumeMounts"] = json!([]);
    let (patched, _) = run_with(&pod, &settings(), &facts).unwrap();
    let plan = plan_of(&patched);
    assert!(plan.reaction.is_some() && plan.secrets.len() == 1);
    assert!(run_with(&patched, &settings(), &facts).unwrap().1.patch.is_empty());
}
