use super::{etag, update};
use crate::mutate::testing::{
    CLIENT, class, class_with_secrets, csi_volume, facts, labelled, opaque, plan_of,
    pod_with_volume, run_with, settings,
};
use crate::mutate::{ClassFact, Context, Facts};
use crate::settings::{Authorities, CsiVolumes, LivePlans, Settings};
use keysluice_plan::{Plan, PlanRequest, PlanSchema, PlanUpdate};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::time::Duration;

fn live() -> Settings {
    let authorities = Authorities::default();
    authorities.store("PEM".to_owned());
    let url = "https://keysluice.ns.svc:9444".to_owned();
    Settings {
        live_plans: Some(LivePlans { url, authorities }),
        csi_volumes: CsiVolumes::Replace,
        ..settings()
    }
}

/// A pod of these facts, and its Plan.
fn admitted(pod: &Value, facts: &Facts) -> (Value, Plan) {
    let (pod, _) = run_with(pod, &live(), facts).unwrap();
    let plan = plan_of(&pod);
    (pod, plan)
}

fn asked(plan: &Plan, settings: &Settings, facts: &Facts) -> PlanUpdate {
    let source = plan.source.as_ref().unwrap();
    let request = PlanRequest {
        schema: PlanSchema,
        classes: Cow::Borrowed(&source.classes),
        basis: Cow::Borrowed(&source.basis),
    };
    let body = serde_json::to_vec(&request).unwrap();
    let request = super::read(&body).unwrap();
    update(&request, Context { settings, namespace: "ns", uid: "u", facts }, "NEW").unwrap()
}

fn with_class(fact: ClassFact) -> Facts {
    let mut facts = facts();
    facts.classes.insert("kv".to_owned(), fact);
    facts
}

fn secrets_of(names: &[&str]) -> Value {
    let mut objects = "array:\n".to_owned();
    for name in names {
        objects += &format!("  - |\n    objectName: {name}\n    objectType: secret\n");
    }
    json!({"keyvaultName": "vault-1", "objects": objects})
}

#[test]
fn a_pod_gets_a_source_a_token_volume_and_a_mount_that_a_second_run_leaves_alone() {
    let (pod, plan) = admitted(&pod_with_volume(), &facts());
    let source = plan.source.unwrap();
    assert_eq!(source.url, "https://keysluice.ns.svc:9444/v1/plan");
    assert_eq!(source.authorities, "PEM");
    let volumes = pod["spec"]["volumes"].as_array().unwrap();
    let volume = volumes.iter().find(|volume| volume["name"] == "keysluice-plan").unwrap();
    let token = &volume["projected"]["sources"][0]["serviceAccountToken"];
    assert_eq!(token["audience"], "keysluice.dev");
    let mounts = pod["spec"]["initContainers"][0]["volumeMounts"].as_array().unwrap();
    let mount = mounts.iter().find(|mount| mount["name"] == "keysluice-plan").unwrap();
    let path = format!("{}/token", mount["mountPath"].as_str().unwrap());
    assert_eq!((path, &mount["readOnly"]), (source.token_file, &json!(true)));
    let (_, again) = run_with(&pod, &live(), &facts()).unwrap();
    assert!(again.patch.is_empty());
}

#[test]
fn a_plan_that_a_pod_brings_asks_the_webhook_or_nobody() {
    let (pod, _) = admitted(&pod_with_volume(), &facts());
    let text = pod.to_string();
    let elsewhere: Value =
        serde_json::from_str(&text.replace("keysluice.ns.svc:9444", "evil.example")).unwrap();
    let refused = run_with(&elsewhere, &live(), &facts()).unwrap_err();
    assert!(refused.starts_with("KS225") && refused.contains("evil.example"), "{refused}");
    assert!(run_with(&pod, &settings(), &facts()).unwrap_err().contains("is not the webhook"));
}

#[test]
fn without_the_setting_or_the_authority_or_in_an_init_container_there_is_no_source() {
    let (pod, _) = run_with(&pod_with_volume(), &settings(), &facts()).unwrap();
    assert!(plan_of(&pod).source.is_none());
    assert!(!pod.to_string().contains("keysluice-plan"));
    let unknown = live();
    unknown.live_plans.as_ref().unwrap().authorities.store(String::new());
    let (pod, _) = run_with(&pod_with_volume(), &unknown, &facts()).unwrap();
    assert!(plan_of(&pod).source.is_none());
    let mut once = pod_with_volume();
    once["metadata"]["annotations"] = json!({"keysluice.dev/mode": "init"});
    let (pod, _) = run_with(&once, &live(), &facts()).unwrap();
    assert!(plan_of(&pod).source.is_none());
}

#[test]
fn an_edited_class_changes_the_plan_and_an_upgrade_or_a_setting_alone_does_not() {
    let (_, plan) = admitted(&pod_with_volume(), &facts());
    let mut upgraded = live();
    upgraded.refresh_interval = Duration::from_secs(7);
    upgraded.split_certificates = true;
    upgraded.csi_volumes = CsiVolumes::Leave;
    upgraded.limits.vaults = vec!["another".to_owned()];
    let same = asked(&plan, &upgraded, &facts());
    assert_eq!((same.volumes.len(), same.problems.len(), same.classes.len()), (0, 0, 0));
    assert_eq!(same.authorities, "NEW");

    let changed = asked(&plan, &live(), &with_class(class("kv", &secrets_of(&["db", "new"]))));
    assert!(changed.problems.is_empty(), "{:?}", changed.problems);
    let followed = plan.updated(changed).unwrap();
    let paths: Vec<_> = followed.volumes[0].files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["db", "new"]);
    assert_eq!(followed.identities, plan.identities);
    assert_eq!(followed.volumes[0].directory, plan.volumes[0].directory);
}

#[test]
fn what_a_broken_class_is_told_is_what_admission_says_and_a_repaired_one_follows() {
    let (_, plan) = admitted(&pod_with_volume(), &facts());
    let broken = class("kv", &json!({"keyvaultName": "vault-1", "objects": "array: ["}));
    let foreign = class_with_secrets("kv", "vault", &json!([]));
    for (fact, code) in [(broken, "KS106"), (ClassFact::Missing, "KS515"), (foreign, "KS515")] {
        let told = asked(&plan, &live(), &with_class(fact));
        assert!(told.volumes.is_empty() && told.classes.is_empty());
        assert!(told.problems[0].message.starts_with(code), "{:?}", told.problems);
    }
    let repaired = asked(&plan, &live(), &with_class(class("kv", &secrets_of(&["x"]))));
    assert_eq!(plan.updated(repaired).unwrap().volumes[0].files.len(), 1);
}

#[test]
fn a_change_that_a_running_pod_cannot_get_says_that_the_next_pod_gets_it() {
    let (_, plan) = admitted(&pod_with_volume(), &facts());
    let many: Vec<String> = (0..40).map(|index| format!("s{index}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let secret = class_with_secrets("kv", "azure", &json!([opaque("db")]));
    let mut owned = secrets_of(&["db"]);
    owned["objects"] = json!(
        "array:\n  - |\n    objectName: db\n    objectType: secret\n    \
        fileOwner: 7\n"
    );
    for (fact, expected) in [
        (class("kv", &secrets_of(&many)), "holds 1048576 bytes"),
        (secret, "Secret \"db\" is not one"),
        (class("kv", &owned), ""),
    ] {
        let told = asked(&plan, &live(), &with_class(fact));
        let message = &told.problems[0].message;
        assert!(message.contains(expected), "{message}");
        assert!(expected.is_empty() || message.starts_with("KS514"), "{message}");
    }
    let mut node = with_class(class(
        "kv",
        &json!({"keyvaultName": "vault-1", "objects": "",
        "useVMManagedIdentity": "true"}),
    ));
    let mut pod = pod_with_volume();
    pod["metadata"]["labels"] = json!({});
    let (_, plan) = admitted(&pod, &node);
    node.classes.insert("kv".to_owned(), class("kv", &secrets_of(&["db"])));
    let message = &asked(&plan, &live(), &node).problems[0].message;
    assert!(message.contains("needs a token") || message.starts_with("KS"), "{message}");
}

#[test]
fn one_broken_class_does_not_hold_up_another_and_two_identities_keep_apart() {
    let mut before = facts();
    before.classes.insert("other".to_owned(), class("other", &secrets_of(&["y"])));
    let pod = labelled(
        "pod",
        json!({"containers": [{"name": "app"}],
            "volumes": [csi_volume("a", "kv"), csi_volume("b", "other")]}),
    );
    let (_, plan) = admitted(&pod, &before);
    let mut after = with_class(class("kv", &json!({"keyvaultName": ""})));
    let mut other = secrets_of(&["z"]);
    other["clientID"] = json!("11111111-2222-4333-8444-555555555555");
    after.classes.insert("other".to_owned(), class("other", &other));
    let told = asked(&plan, &live(), &after);
    assert_eq!((told.problems.len(), &*told.problems[0].class), (1, "kv"));
    let followed = plan.updated(told).unwrap();
    assert_eq!(followed.volumes[0], plan.volumes[0]);
    assert_eq!(followed.volumes[1].files[0].path.as_str(), "z");
    assert_eq!(followed.identities.len(), 2);
}

/// Facts whose class `kv` makes a Secret with this key, which holds this file.
fn with_secret_key(key: &str, file: &str) -> Facts {
    let secrets = json!([{"secretName": "made", "type": "Opaque",
        "data": [{"objectName": file, "key": key}]}]);
    with_class(class_with_secrets("kv", "azure", &secrets))
}

#[test]
fn the_keys_of_a_secret_and_the_volume_that_shows_it_follow_the_class() {
    let before = with_secret_key("one", "db");
    let mut pod = pod_with_volume();
    pod["spec"]["volumes"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "shown", "secret": {"secretName": "made"}}));
    let (_, plan) = admitted(&pod, &before);
    assert_eq!(plan.volumes[1].files[0].path.as_str(), "one");
    let after = with_secret_key("two", "tls");
    let followed = plan.updated(asked(&plan, &live(), &after)).unwrap();
    assert_eq!(followed.volumes[1].files[0].path.as_str(), "two");
    assert_eq!(followed.volumes[1].files[0].name.as_str(), "tls");
    assert_eq!(followed.secrets[0].data[0].key, "two");
}

#[test]
fn a_request_that_no_sidecar_sends_is_refused_with_a_code() {
    for body in ["", "[]", "{}", r#"{"schema":2,"classes":{},"basis":{}}"#] {
        assert_eq!(super::read(body.as_bytes()).unwrap_err().reason().code, "KS513");
    }
    let classes: std::collections::BTreeMap<_, _> =
        (0..65).map(|index| (index.to_string(), "")).collect();
    let body = json!({"schema": 1, "classes": classes, "basis": {}}).to_string();
    assert!(super::read(body.as_bytes()).unwrap_err().to_string().contains("64 classes"));
    let body = json!({"schema": 1, "classes": {"kv": ""}, "basis": {"pod": 1}}).to_string();
    let request = super::read(body.as_bytes()).unwrap();
    let (settings, facts) = (live(), facts());
    let context = Context { settings: &settings, namespace: "ns", uid: "u", facts: &facts };
    assert!(update(&request, context, "").is_err());
}

#[test]
fn the_etag_changes_with_a_class_and_with_the_authorities() {
    let facts = facts();
    let first = etag(&facts.classes, "PEM");
    assert_eq!(first, etag(&facts.classes, "PEM"));
    assert_ne!(first, etag(&facts.classes, "OTHER"));
    for fact in [ClassFact::Missing, class("kv", &secrets_of(&["db"]))] {
        assert_ne!(first, etag(&with_class(fact).classes, "PEM"));
    }
}

/// Facts whose class `kv` has these objects and this client id.
fn with_client_id(names: &[&str], client_id: &str) -> Facts {
    let mut parameters = secrets_of(names);
    parameters["clientID"] = json!(client_id);
    with_class(class("kv", &parameters))
}

#[test]
fn a_running_pod_gets_no_other_credentials_than_its_sidecar_has() {
    let mut pod = pod_with_volume();
    pod["spec"]["volumes"][0]["csi"]["nodePublishSecretRef"] = json!({"name": "creds"});
    let (_, federated) = admitted(&pod, &with_client_id(&["db"], CLIENT));
    let update = asked(&federated, &live(), &with_client_id(&["db"], ""));
    let problem = &update.problems[0].message;
    let expected =
        "KS514 its credentials are in Secret \"creds\", which the pod's sidecar does not";
    assert!(problem.starts_with(expected) && update.volumes.is_empty(), "{problem}");

    let (_, principal) = admitted(&pod, &with_client_id(&["db"], ""));
    let update = asked(&principal, &live(), &with_client_id(&["db", "api"], ""));
    assert!(update.problems.is_empty(), "{:?}", update.problems);
    assert_eq!(update.identities, principal.identities);
    assert_eq!(update.volumes[0].files.len(), 2);
}

#[test]
fn a_request_is_bounded_by_what_it_takes_in_memory() {
    let classes = json!({"kv": ""});
    let request = |classes: &Value, basis: &str| {
        format!(r#"{{"schema":1,"classes":{classes},"basis":{basis}}}"#)
    };
    let context_facts = facts();
    let context = Context { settings: &live(), namespace: "ns", uid: "u", facts: &context_facts };
    let nested = format!("[{}[0]]", "[0],".repeat(60_000));
    let body = request(&classes, &nested);
    let read = super::read(body.as_bytes()).unwrap();
    let error = update(&read, context, "NEW").unwrap_err().to_string();
    assert!(error.contains("more than 16384 values"), "{error}");
    let many: serde_json::Map<String, Value> =
        (0..20_000).map(|index| (format!("c{index}"), "".into())).collect();
    let body = request(&many.into(), "{}");
    let error = super::read(body.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("more than 64 classes"), "{error}");
}
