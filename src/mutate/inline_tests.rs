use crate::mutate::testing::{
    class, facts, labelled, native_sidecar, plan_of, run, run_with, settings, variable_index,
};
use crate::settings::EnvMode;
use serde_json::{Value, json};

const FILE: &str = "keysluice.dev/file.db";
const ENV: &str = "keysluice.dev/env.DB_PASSWORD";
const DB: &str = "kv://vault-1/secrets/db";

fn with(annotations: &[(&str, &str)], containers: &Value) -> Value {
    let mut pod = labelled("pod", json!({"containers": containers}));
    for (key, value) in annotations {
        pod["metadata"]["annotations"][*key] = json!(value);
    }
    pod
}

fn app() -> Value {
    json!([{"name": "app", "command": ["/app", "-x"], "args": ["y"]}])
}

/// The pod after one run; a second one changes nothing.
fn mutated(pod: &Value) -> (Value, Vec<String>) {
    let (once, mutation) = run(pod).unwrap();
    let (_, again) = run(&once).unwrap();
    assert!(again.patch.is_empty(), "{:?}", again.patch);
    (once, mutation.warnings)
}

fn mounts(container: &Value) -> Vec<(&str, &str)> {
    let mounts = container["volumeMounts"].as_array().unwrap().iter();
    let mounts =
        mounts.map(|mount| (mount["name"].as_str().unwrap(), mount["mountPath"].as_str().unwrap()));
    mounts.filter(|(name, _)| !name.starts_with("azure-")).collect()
}

#[test]
fn files_are_mounted_read_only_into_all_containers_that_start_later() {
    let mut pod = with(
        &[
            (FILE, "secrets/db?mode=0440"),
            ("keysluice.dev/file.key", "keys/k?path=a/k.pem"),
            ("keysluice.dev/vault", "vault-1"),
        ],
        &json!([{"name": "app"}, {"name": "istio-proxy"}]),
    );
    pod["spec"]["initContainers"] = json!([{"name": "istio-proxy-x"}, {"name": "migrate"}]);
    pod["spec"]["securityContext"] = json!({"fsGroup": 2000});
    let (pod, _) = mutated(&pod);
    let plan = plan_of(&pod);
    assert_eq!((plan.volumes.len(), plan.volumes[0].name.as_str()), (1, "keysluice-inline"));
    let files = plan.volumes[0].files.iter();
    let files: Vec<_> = files.map(|file| (file.path.as_str(), file.mode.to_string())).collect();
    assert_eq!(files, [("db", "0440".to_owned()), ("a/k.pem", "0644".to_owned())]);
    let volume = &pod["spec"]["volumes"].as_array().unwrap()[2];
    let medium = json!({"medium": "Memory", "sizeLimit": "1Mi"});
    assert_eq!(*volume, json!({"name": "keysluice-inline", "emptyDir": medium}));
    let expected = [("keysluice-inline", "/mnt/secrets-store")];
    assert_eq!(mounts(&pod["spec"]["containers"][0]), expected);
    assert_eq!(mounts(&pod["spec"]["initContainers"][2]), expected);
    assert_eq!(pod["spec"]["containers"][0]["volumeMounts"][1]["readOnly"], true);
    assert!(mounts(&pod["spec"]["containers"][1]).is_empty(), "not a mesh's proxy");
}

#[test]
fn the_pod_says_where_and_into_which_containers() {
    let pod = with(
        &[
            (FILE, DB),
            ("keysluice.dev/mount-path", "/etc/app/"),
            ("keysluice.dev/containers", "worker"),
        ],
        &json!([{"name": "app"}, {"name": "worker"}]),
    );
    let (pod, _) = mutated(&pod);
    assert!(mounts(&pod["spec"]["containers"][0]).is_empty());
    assert_eq!(mounts(&pod["spec"]["containers"][1]), [("keysluice-inline", "/etc/app")]);
}

#[test]
fn a_variable_is_read_by_the_kubelet_from_a_file() {
    let optional = format!("{DB}?optional=true");
    let (pod, warnings) = mutated(&with(&[(ENV, DB), ("keysluice.dev/env.X", &optional)], &app()));
    let container = &pod["spec"]["containers"][0];
    let env = container["env"].as_array().unwrap();
    let db = json!({"name": "DB_PASSWORD", "valueFrom": {"fileKeyRef":
        {"volumeName": "keysluice-env", "path": "DB_PASSWORD", "key": "DB_PASSWORD"}}});
    let x = json!({"name": "X", "valueFrom": {"fileKeyRef":
        {"volumeName": "keysluice-env", "path": "X", "key": "X", "optional": true}}});
    assert_eq!(env[env.len() - 2..], [db, x]);
    assert!(mounts(container).is_empty() && warnings.is_empty(), "{warnings:?}");
    assert_eq!(container["command"], json!(["/app", "-x"]));
    let plan = plan_of(&pod);
    let file = &plan.volumes[0].files[0];
    assert_eq!(file.variable.as_ref().unwrap().as_str(), "DB_PASSWORD");
    assert_eq!(plan.volumes[0].directory, "/mnt/keysluice/keysluice-env");
    assert!(plan.program_directory.is_none());
}

#[test]
fn an_entry_of_the_name_stays_and_one_that_refers_to_it_comes_after() {
    let containers = json!([{"name": "app", "env": [
        {"name": "ESCAPED", "value": "$$(DB_PASSWORD) $(DB_PASSWORDS)"},
        {"name": "ID", "value": "$(AZURE_CLIENT_ID)"},
        {"name": "URL", "value": "x:$(DB_PASSWORD)@$(OTHER)"},
        {"name": "OWN", "value": "1"}]}]);
    let own = ("keysluice.dev/env.OWN", DB);
    let other = ("keysluice.dev/env.OTHER", DB);
    let (pod, warnings) = mutated(&with(&[(ENV, DB), own, other], &containers));
    let app = &pod["spec"]["containers"][0];
    for (earlier, later) in [("DB_PASSWORD", "URL"), ("OTHER", "URL"), ("AZURE_CLIENT_ID", "ID")] {
        assert!(variable_index(app, earlier) < variable_index(app, later), "{app}");
    }
    assert_eq!(variable_index(app, "ESCAPED"), 0, "{app}");
    assert_eq!(app["env"][variable_index(app, "OWN")]["value"], "1");
    assert_eq!(warnings.iter().filter(|warning| warning.starts_with("KS268 ")).count(), 1);
}

#[test]
fn exec_starts_the_command_with_variables() {
    let containers = json!([{"name": "app", "command": ["/app", "$(DB_PASSWORD)"], "args": ["y"],
        "env": [{"name": "OWN", "value": "1"}]}]);
    let annotations = [
        (ENV, DB),
        ("keysluice.dev/env.OWN", DB),
        ("keysluice.dev/env-from", "kv"),
        ("keysluice.dev/env-mode", "exec"),
    ];
    let (pod, warnings) = mutated(&with(&annotations, &containers));
    let container = &pod["spec"]["containers"][0];
    let command = json!([
        "/run/keysluice/exec/keysluice-injector",
        "exec",
        "--from",
        "/run/keysluice/env",
        "--from",
        "/run/keysluice/env-from",
        "--keep",
        "OWN",
        "--",
        "/app",
        "$(DB_PASSWORD)"
    ]);
    assert_eq!((&container["command"], &container["args"]), (&command, &json!(["y"])));
    let expected = [
        ("keysluice-exec", "/run/keysluice/exec"),
        ("keysluice-env", "/run/keysluice/env"),
        ("keysluice-env-from", "/run/keysluice/env-from"),
    ];
    assert_eq!(mounts(container), expected);
    let codes: Vec<_> = warnings.iter().map(|warning| &warning[..5]).collect();
    assert!(codes.contains(&"KS268") && codes.contains(&"KS269"), "{warnings:?}");
    let plan = plan_of(&pod);
    assert_eq!(plan.program_directory.as_deref(), Some("/mnt/keysluice/keysluice-exec"));
    let files: Vec<_> = plan.volumes.iter().flat_map(|volume| &volume.files).collect();
    let names: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(names, ["DB_PASSWORD", "OWN", "DB", "TLS_KEY"]);
    assert_eq!((plan.volumes.len(), plan.volumes[0].files.len()), (2, 2));
    assert!(files.iter().all(|file| file.variable.is_none()));
    let memory = &pod["spec"]["initContainers"][0]["resources"]["limits"]["memory"];
    assert_eq!(memory, "28Mi", "16, 1 of its own, 2 volumes, 9 for the program");
}

#[test]
fn the_operator_chooses_the_form_where_the_pod_does_not() {
    let mut settings = settings();
    settings.env_mode = EnvMode::Exec;
    let own_choice = [(ENV, DB), ("keysluice.dev/env-mode", "file")];
    for (annotations, is_wrapped) in [(&own_choice[..1], true), (&own_choice, false)] {
        let (pod, _) = run_with(&with(annotations, &app()), &settings, &facts()).unwrap();
        let command = pod["spec"]["containers"][0]["command"].as_array().unwrap();
        assert_eq!(command.len() > 2, is_wrapped, "{command:?}");
    }
}

#[test]
fn a_container_that_another_webhook_adds_gets_its_share() {
    for (mode, with_command) in [("file", false), ("exec", true), ("exec", false)] {
        let pod = with(&[(FILE, DB), (ENV, DB), ("keysluice.dev/env-mode", mode)], &app());
        let (mut pod, _) = mutated(&pod);
        let mut late = json!({"name": "late"});
        if with_command {
            late["command"] = json!(["/late"]);
        }
        pod["spec"]["containers"].as_array_mut().unwrap().push(late);
        let (pod, mutation) = run(&pod).unwrap();
        let late = &pod["spec"]["containers"][1];
        assert_eq!(mounts(late)[0], ("keysluice-inline", "/mnt/secrets-store"));
        let is_wrapped = late["command"].as_array().is_some_and(|command| command.len() > 1);
        assert_eq!(is_wrapped, with_command, "{mode}");
        let is_warned = mutation.warnings.iter().any(|warning| warning.starts_with("KS266 "));
        assert_eq!(is_warned, mode == "exec" && !with_command);
    }
}

#[test]
fn what_cannot_work_is_refused_with_field_and_fix() {
    let long = "x".repeat(300);
    let no_command = json!([{"name": "app"}]);
    let occupied = json!([{"name": "app", "volumeMounts":
        [{"name": "data", "mountPath": "/mnt/secrets-store/"}]}]);
    for (annotations, containers, expected) in [
        (&[("keysluice.dev/vault", "kv-1")][..], app(), "KS263 annotation keysluice.dev/vault is"),
        (&[("keysluice.dev/mount-path", "/a"), (ENV, DB)], app(), "KS263"),
        (&[("keysluice.dev/env-mode", "file"), (FILE, DB)], app(), "KS263"),
        (&[("keysluice.dev/containers", "app")], app(), "KS263"),
        (
            &[(FILE, DB), ("keysluice.dev/containers", "other")],
            app(),
            "KS264 annotation \
            keysluice.dev/containers: \"other\" is not a container of the pod, which has: app",
        ),
        (
            &[(FILE, DB)],
            occupied,
            "KS265 /spec/containers/0/volumeMounts/0: container \"app\" \
            mounts volume \"data\" at /mnt/secrets-store",
        ),
        (
            &[(ENV, DB), ("keysluice.dev/env-mode", "exec")],
            no_command,
            "KS266 \
            /spec/containers/0/command is not set: container \"app\"",
        ),
        (
            &[(ENV, DB), ("keysluice.dev/env-mode", "exec"), ("keysluice.dev/gate", "none")],
            app(),
            "KS266",
        ),
        (&[("keysluice.dev/env-from", "none")], app(), "KS207 annotation keysluice.dev/env-from: "),
        (&[("keysluice.dev/env-from", "kv"), ("keysluice.dev/env.DB", DB)], app(), "KS267"),
        (&[("keysluice.dev/env-from", "a/b")], app(), "KS2"),
        (&[(ENV, "db")], app(), "KS152"),
        (&[(FILE, &long)], app(), "KS152"),
        (&[("keysluice.dev/files.db", DB)], app(), "KS210 "),
        (&[("keysluice.dev/mount-path", "mnt"), (FILE, DB)], app(), "KS20"),
    ] {
        let error = run(&with(annotations, &containers)).map(|_| ()).unwrap_err();
        assert!(error.starts_with(expected), "{annotations:?}: {error}");
        assert_eq!(error.matches("hint: ").count(), 1, "{error}");
    }
}

#[test]
fn a_pod_without_the_label_and_a_late_annotation_are_refused() {
    for annotation in [FILE, ENV, "keysluice.dev/env-from"] {
        let mut pod = with(&[(annotation, DB)], &app());
        pod["metadata"]["labels"] = json!({});
        let error = run(&pod).map(|_| ()).unwrap_err();
        assert!(
            error.starts_with(&format!("KS262 the pod has annotation {annotation}")),
            "{error}"
        );
    }
    let mut mirror = with(&[(FILE, DB), ("kubernetes.io/config.mirror", "x")], &app());
    mirror["metadata"]["labels"] = json!({});
    assert!(run(&mirror).unwrap().1.patch.is_empty(), "the API's image of a static pod");
    let (mut pod, _) = mutated(&with(&[(FILE, DB)], &app()));
    pod["metadata"]["annotations"][ENV] = json!(DB);
    let error = run(&pod).map(|_| ()).unwrap_err();
    assert!(error.starts_with("KS263 annotations for variables were added"), "{error}");
}

#[test]
fn an_init_container_before_the_sidecar_gets_nothing_and_cannot_be_named() {
    let mut pod = with(&[(ENV, DB), ("keysluice.dev/after", "first")], &app());
    pod["spec"]["initContainers"] = json!([native_sidecar("first"), {"name": "second"}]);
    let (mutated, _) = mutated(&pod);
    let init = &mutated["spec"]["initContainers"];
    let has_variable = [0, 2].map(|index| init[index]["env"].to_string().contains("DB_PASSWORD"));
    assert_eq!(has_variable, [false, true]);
    let mut named = pod.clone();
    named["metadata"]["annotations"]["keysluice.dev/containers"] = json!("first");
    let error = run(&named).map(|_| ()).unwrap_err();
    assert!(error.starts_with("KS264 annotation keysluice.dev/containers: init container"));
    let mut only = pod;
    only["spec"]["containers"] = json!([{"name": "istio-proxy"}]);
    only["spec"]["initContainers"] = json!([native_sidecar("first")]);
    assert!(run(&only).map(|_| ()).unwrap_err().starts_with("KS264 no container"));
}

#[test]
fn a_reaction_follows_variables_too() {
    let mut pod = with(
        &[
            (ENV, DB),
            ("keysluice.dev/on-change", "restart"),
            ("keysluice.dev/on-change-of", "DB_PASSWORD"),
        ],
        &app(),
    );
    pod["spec"]["shareProcessNamespace"] = json!(true);
    pod["spec"]["securityContext"] = json!({"runAsUser": 1000, "runAsGroup": 1000});
    let (pod, _) = mutated(&pod);
    let reaction = plan_of(&pod).reaction.unwrap();
    assert_eq!(reaction.of[0].as_str(), "DB_PASSWORD");
    let env = pod["spec"]["containers"][0]["env"].as_array().unwrap();
    assert_eq!(env.last().unwrap()["name"], "KEYSLUICE_CONTAINER");
}

#[test]
fn a_file_that_a_container_cannot_read_is_refused_as_with_a_class() {
    let mut pod = with(
        &[(FILE, "kv://vault-1/secrets/db?mode=0400")],
        &json!([
        {"name": "a", "securityContext": {"runAsUser": 1000, "runAsGroup": 1000}},
        {"name": "b", "securityContext": {"runAsUser": 2000, "runAsGroup": 2000}}]),
    );
    assert!(run(&pod).map(|_| ()).unwrap_err().starts_with("KS21"), "one of the two cannot");
    pod["metadata"]["annotations"]["keysluice.dev/containers"] = json!("a");
    let (pod, _) = mutated(&pod);
    assert_eq!(pod["spec"]["initContainers"][0]["securityContext"]["runAsUser"], 1000);
}

#[test]
fn a_volume_of_our_name_is_refused() {
    for name in ["keysluice-inline", "keysluice-env", "keysluice-env-from", "keysluice-exec"] {
        let mut pod = with(&[(FILE, DB)], &app());
        pod["spec"]["volumes"] = json!([{"name": name, "emptyDir": {}}]);
        let error = run(&pod).map(|_| ()).unwrap_err();
        assert!(error.contains("/spec/volumes/0/name") && error.contains(name), "{error}");
    }
}

#[test]
fn a_class_with_a_selection_or_a_history_is_no_source_of_variables() {
    for parameters in [
        json!({"keyvaultName": "vault-1", "select": "namePrefix: app-"}),
        json!({"keyvaultName": "vault-1",
            "objects": "array:\n  - |\n    objectName: a\n    objectType: secret\n    \
                objectVersionHistory: 3\n"}),
    ] {
        let mut facts = facts();
        facts.classes.insert("app".to_owned(), class("app", &parameters));
        let pod = with(&[("keysluice.dev/env-from", "app")], &app());
        let error = run_with(&pod, &settings(), &facts).map(|_| ()).unwrap_err();
        assert!(error.starts_with("KS267 annotation keysluice.dev/env-from"), "{error}");
    }
}
