use crate::mutate::testing::{class, csi_volume, facts, labelled, run_with, settings};
use serde_json::{Value, json};
use std::slice;

/// A pod whose containers run as these, with one volume of one object of these lines.
fn run(
    pod_context: &Value,
    containers: &[Value],
    object: &str,
) -> Result<(Value, Vec<String>), String> {
    let mut facts = facts();
    let objects = format!("array: ['{{objectName: db, objectType: secret, {object}}}']");
    facts
        .classes
        .insert("kv".into(), class("kv", &json!({"keyvaultName": "vault-1", "objects": objects})));
    run_in(&facts, pod_context, containers)
}

fn run_in(
    facts: &crate::mutate::Facts,
    pod_context: &Value,
    containers: &[Value],
) -> Result<(Value, Vec<String>), String> {
    let mount = json!([{"name": "secrets", "mountPath": "/s", "readOnly": true}]);
    let containers: Vec<_> = containers
        .iter()
        .enumerate()
        .map(|(index, context)| {
            json!({"name": format!("c{index}"), "securityContext": context, "volumeMounts": mount})
        })
        .collect();
    let pod = labelled(
        "pod",
        json!({"securityContext": pod_context, "containers": containers,
            "volumes": [csi_volume("secrets", "kv")]}),
    );
    let (pod, mutation) = run_with(&pod, &settings(), facts)?;
    Ok((pod["spec"]["initContainers"][0].clone(), mutation.warnings))
}

fn ids(sidecar: &Value) -> (Option<i64>, Option<i64>) {
    let context = &sidecar["securityContext"];
    (context["runAsUser"].as_i64(), context["runAsGroup"].as_i64())
}

fn plan(sidecar: &Value) -> keysluice_plan::Plan {
    keysluice_plan::Plan::from_json(sidecar["env"][0]["value"].as_str().unwrap()).unwrap()
}

const NOBODY: Option<i64> = Some(65532);

/// The security context of a user.
fn uid(uid: i64) -> Value {
    json!({"runAsUser": uid})
}

/// The security context of a user in a group.
fn uid_and_gid(uid: i64, gid: i64) -> Value {
    json!({"runAsUser": uid, "runAsGroup": gid})
}

#[test]
fn the_sidecar_is_somebody_who_makes_every_file_readable() {
    let none = json!({});
    for (pod, containers, object, expected) in [
        // A mode for the owner alone: the sidecar is the owner.
        (&none, vec![uid(1000)], "filePermission: 0400", (Some(1000), None)),
        (
            &uid_and_gid(1000, 3000),
            vec![none.clone()],
            "filePermission: 0400",
            (Some(1000), Some(3000)),
        ),
        (&uid(2000), vec![uid(1000), uid(1000)], "filePermission: 0400", (Some(1000), None)),
        (&none, vec![uid(0), uid(1000)], "filePermission: 0400", (Some(1000), None)),
        (&none, vec![uid(0)], "filePermission: 0400", (NOBODY, NOBODY)),
        // A mode that shuts out the owner, root there: the sidecar is somebody else.
        (&none, vec![uid(1000)], "filePermission: 0044", (NOBODY, NOBODY)),
        (&json!({"fsGroup": 3000}), vec![uid(1000)], "filePermission: 0040", (NOBODY, NOBODY)),
        (&none, vec![uid(1000)], "filePermission: 0004, fileOwner: 65532", (NOBODY, NOBODY)),
        // Several uids: readable by group or world, and owned by nobody in particular.
        (&none, vec![uid(1000), uid(2000)], "filePermission: 0444", (NOBODY, NOBODY)),
        (
            &json!({"fsGroup": 3000}),
            vec![uid(1000), uid(2000)],
            "filePermission: 0440",
            (NOBODY, NOBODY),
        ),
        // A group that both share is as good as fsGroup: the sidecar takes it along with a uid.
        (
            &none,
            vec![uid_and_gid(1000, 7), uid_and_gid(2000, 7)],
            "filePermission: 0440",
            (Some(1000), Some(7)),
        ),
        (
            &json!({"supplementalGroups": [5]}),
            vec![uid(1000), uid(2000)],
            "filePermission: 0440, fileGroup: 5",
            (NOBODY, NOBODY),
        ),
        // fileOwner chooses among them, and decides where no container says.
        (
            &none,
            vec![uid(1000), uid(2000)],
            "filePermission: 0444, fileOwner: 2000",
            (Some(2000), None),
        ),
        (
            &none,
            vec![none.clone()],
            "filePermission: 0400, fileOwner: 1500",
            (Some(1500), Some(1500)),
        ),
        (&json!({"runAsGroup": 9}), vec![none.clone()], "fileOwner: 1500", (Some(1500), Some(9))),
        (&none, vec![none.clone()], "fileOwner: 65532", (NOBODY, NOBODY)),
    ] {
        let (sidecar, _) = run(pod, &containers, object).unwrap();
        assert_eq!(ids(&sidecar), expected, "{pod} {containers:?} {object}");
    }
}

#[test]
fn modes_that_shut_somebody_out_are_refused_with_the_way_out() {
    for (pod, object) in [
        (json!({}), "filePermission: 0400"),
        (json!({}), "filePermission: 0440"),
        (json!({"fsGroup": 3000}), "filePermission: 0400"),
        // Who is in the group has the group's bits, not the world's.
        (json!({"fsGroup": 3000}), "filePermission: 0404"),
        (json!({"fsGroup": 3000, "supplementalGroups": [5]}), "filePermission: 0404, fileGroup: 5"),
    ] {
        let error = run(&pod, &[uid(1000), uid(2000)], object).unwrap_err();
        assert!(
            error.starts_with(
                "KS213 containers with uids [1000, 2000] share volume \"secrets\", but file db \
                 has mode 04"
            ),
            "{error}"
        );
        assert!(error.contains("fsGroup") && error.contains("\"0440\""), "{error}");
    }
}

#[test]
fn a_mode_that_lets_nobody_read_is_refused() {
    let uid = json!({"runAsUser": 1000});
    for object in
        ["filePermission: 0200", "filePermission: 0", "filePermission: 0044, fileOwner: 1000"]
    {
        let error = run(&json!({}), slice::from_ref(&uid), object).unwrap_err();
        assert!(
            error.starts_with(
                "KS213 containers with uids [1000] share volume \"secrets\", but file db"
            ),
            "{error}"
        );
    }
}

#[test]
fn more_users_than_a_pod_has_are_refused() {
    let users: Vec<Value> = (1000..1065).map(uid).collect();
    assert!(run(&json!({}), &users[..64], "filePermission: 0444").is_ok());
    let error = run(&json!({}), &users, "filePermission: 0444").unwrap_err();
    assert!(
        error.starts_with("KS214 the pod has more than 64 different users in the containers"),
        "{error}"
    );
}

/// The security context of a root that lost these capabilities.
fn root_without(capabilities: &[&str]) -> Value {
    json!({"runAsUser": 0, "capabilities": {"drop": capabilities}})
}

#[test]
fn root_reads_everything_unless_it_lost_the_right_to() {
    for (pod, container, object, warned) in [
        (json!({}), json!({"runAsUser": 0}), "filePermission: 0400", false),
        (json!({}), root_without(&["NET_RAW"]), "filePermission: 0400", false),
        (json!({}), root_without(&["ALL"]), "filePermission: 0400", true),
        (json!({}), root_without(&["DAC_OVERRIDE"]), "filePermission: 0440", true),
        (json!({}), root_without(&["CAP_DAC_OVERRIDE"]), "filePermission: 0400", true),
        (json!({}), root_without(&["ALL"]), "filePermission: 0444", false),
        (json!({"fsGroup": 3000}), root_without(&["ALL"]), "filePermission: 0440", false),
        (
            json!({}),
            json!({"runAsUser": 0, "capabilities": {"drop": ["ALL"], "add": ["DAC_READ_SEARCH"]}}),
            "filePermission: 0400",
            false,
        ),
    ] {
        let (sidecar, warnings) = run(&pod, slice::from_ref(&container), object).unwrap();
        assert_eq!(ids(&sidecar), (NOBODY, NOBODY));
        let expected =
            "KS251 container c0 is root without CAP_DAC_OVERRIDE: it cannot read db (mode 0";
        assert_eq!(warnings.len(), usize::from(warned), "{container} {object}: {warnings:?}");
        assert!(warnings.iter().all(|warning| warning.starts_with(expected)), "{warnings:?}");
    }
}

/// The group that the Plan has for a file whose class says this `fileGroup`.
fn file_group(pod: &Value, container: &Value, group: u32) -> Result<Option<u32>, String> {
    let (sidecar, _) = run(pod, slice::from_ref(container), &format!("fileGroup: {group}"))?;
    Ok(plan(&sidecar).volumes[0].files[0].group)
}

#[test]
fn file_group_is_one_of_the_sidecars_groups_and_stands_in_the_plan() {
    let (user, both) = (uid(1000), uid_and_gid(1000, 7));
    for (pod, container, id) in [
        (json!({"fsGroup": 3000}), &user, 3000),
        (json!({"supplementalGroups": [1, 3000]}), &user, 3000),
        (json!({}), &both, 7),
        // Without a gid the container runtime gives 0, the group OpenShift's images are made for.
        (json!({}), &user, 0),
        (json!({}), &json!({}), 65532),
    ] {
        assert_eq!(file_group(&pod, container, id), Ok(Some(id)), "{pod} {container}");
    }
    let groups = json!({"fsGroup": 3000, "supplementalGroups": [5]});
    let error = file_group(&groups, &both, 4000).unwrap_err();
    let expected = "KS219 fileGroup 4000 of db in volume \"secrets\": the sidecar's groups are \
        [5, 7, 3000]; hint: set securityContext.fsGroup";
    assert!(error.starts_with(expected), "{error}");
    let error = file_group(&json!({}), &user, 3000).unwrap_err();
    assert!(error.contains("the sidecar's groups are [0]"), "{error}");
}

#[test]
fn file_owner_is_a_uid_that_the_sidecar_can_have() {
    let none = json!({});
    for (containers, object, expected) in [
        (
            vec![uid(1000)],
            "fileOwner: 2000",
            "KS218 fileOwner 2000 of db in volume \"secrets\": the sidecar can run as 1000 or \
             65532; hint: ",
        ),
        (
            vec![uid(1000), uid(2000)],
            "fileOwner: 0, filePermission: 0444",
            "KS218 fileOwner 0 of db in volume \"secrets\": the sidecar can run as 65532 or 1000 \
             or 2000",
        ),
        (
            vec![none.clone()],
            "fileOwner: 0",
            "KS218 fileOwner 0 of db in volume \"secrets\": the sidecar can run as 65532",
        ),
    ] {
        let error = run(&json!({}), &containers, object).unwrap_err();
        assert!(error.starts_with(expected) && error.contains("runAsUser"), "{error}");
    }
    let mut facts = facts();
    let two = "array: ['{objectName: a, objectType: key, fileOwner: 1000}', '{objectName: b, \
        objectType: key, fileOwner: 2000}']";
    facts
        .classes
        .insert("kv".into(), class("kv", &json!({"keyvaultName": "vault-1", "objects": two})));
    let error = run_in(&facts, &json!({}), &[none]).unwrap_err();
    assert!(
        error.starts_with(
            "KS218 fileOwner 2000 of b in volume \"secrets\": the sidecar can run as 1000"
        ),
        "{error}"
    );
}

#[test]
fn an_unknown_user_is_warned_of_only_where_it_matters() {
    for (pod, container, object, expected) in [
        (json!({}), json!({}), "filePermission: 0644", None),
        (
            json!({}),
            json!({}),
            "filePermission: 0440",
            Some(
                "KS251 container c0 has no runAsUser: if its image does not run as the sidecar's \
                 user, it cannot read db (mode 0440)",
            ),
        ),
        (json!({"fsGroup": 3000}), json!({}), "filePermission: 0440", None),
        (json!({"fsGroup": 3000}), json!({}), "filePermission: 0400", Some("KS251 container c0")),
        (json!({"supplementalGroups": [5]}), json!({}), "filePermission: 0440, fileGroup: 5", None),
        (json!({}), json!({"runAsUser": 1000}), "filePermission: 0400", None),
        (
            json!({}),
            json!({}),
            "filePermission: 0400, fileOwner: 1000",
            Some(
                "KS259 container c0 has no runAsUser: the sidecar runs as fileOwner 1000, and db \
                 (mode 0400) can be read if the image does too",
            ),
        ),
        (json!({}), json!({}), "filePermission: 0444, fileOwner: 1000", None),
    ] {
        let (_, warnings) = run(&pod, &[container], object).unwrap();
        assert_eq!(warnings.len(), usize::from(expected.is_some()), "{pod} {object}: {warnings:?}");
        assert!(
            warnings.iter().all(|warning| warning.starts_with(expected.unwrap_or_default())),
            "{warnings:?}"
        );
    }
}

#[test]
fn selections_count_like_files() {
    let mut facts = facts();
    let select = "{namePrefix: a, directory: d, filePermission: 0400, fileGroup: 5}";
    facts
        .classes
        .insert("kv".into(), class("kv", &json!({"keyvaultName": "vault-1", "select": select})));
    let containers = [json!({"runAsUser": 1000}), json!({"runAsUser": 2000})];
    let error = run_in(&facts, &json!({"fsGroup": 5}), &containers).unwrap_err();
    assert!(error.starts_with("KS213") && error.contains("file d/* has mode 0400"), "{error}");
    let error = run_in(&facts, &json!({}), &containers[..1]).unwrap_err();
    assert!(error.starts_with("KS219 fileGroup 5 of d/*"), "{error}");
    let (sidecar, _) = run_in(&facts, &json!({"fsGroup": 5}), &containers[..1]).unwrap();
    assert_eq!(plan(&sidecar).volumes[0].selections[0].group, Some(5));
}
