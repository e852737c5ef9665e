//! Debugging: ephemeral containers of a pod that runs.

use crate::suite::conformance::cases::{EXPIRATION, MOUNT, annotated, app};
use crate::suite::support::reviews::{Reviewer, env_names, labelled};
use serde_json::{Value, json};

#[test]
fn new_ephemeral_containers_get_the_identity_also_the_second_time() {
    let running = Reviewer::new().allowed(&labelled(app()));
    let mut first = running.clone();
    first["spec"]["ephemeralContainers"] =
        json!([{"name": "debug-1", "targetContainerName": "app"}]);
    let first_after = Reviewer::new().ephemeral(&first, &running);
    let debugger = &first_after["spec"]["ephemeralContainers"][0];
    assert_eq!(env_names(debugger).len(), 4);
    assert_eq!(debugger["volumeMounts"][0]["mountPath"], MOUNT);
    let mut second = first_after.clone();
    second["spec"]["ephemeralContainers"].as_array_mut().unwrap().push(json!({"name": "debug-2"}));
    let second_after = Reviewer::new().ephemeral(&second, &first_after);
    assert_eq!(
        second_after["spec"]["ephemeralContainers"][0],
        first_after["spec"]["ephemeralContainers"][0],
        "existing ones may not change"
    );
    assert_eq!(env_names(&second_after["spec"]["ephemeralContainers"][1]).len(), 4);
    assert_eq!(second_after["spec"]["containers"], running["spec"]["containers"]);
}

#[test]
fn new_ephemeral_containers_find_the_managed_identity_endpoint_of_the_pod() {
    let key = "azure.workload.identity/inject-proxy-sidecar";
    let running = Reviewer::new().allowed(&annotated(labelled(app()), key, "true"));
    let mut debugged = running.clone();
    debugged["spec"]["ephemeralContainers"] = json!([{"name": "debug"}]);
    let debugged = Reviewer::new().ephemeral(&debugged, &running);
    let added = &debugged["spec"]["ephemeralContainers"][0];
    assert!(env_names(added).contains(&"IDENTITY_HEADER"));
    assert_eq!(added["env"], running["spec"]["containers"][0]["env"]);
}

#[test]
fn ephemeral_containers_of_a_pod_without_a_token_are_left_alone() {
    let running = labelled(app());
    let mut debugged = running.clone();
    debugged["spec"]["ephemeralContainers"] = json!([{"name": "debug"}]);
    assert_eq!(Reviewer::new().ephemeral(&debugged, &running), debugged);
}

#[test]
fn nobody_is_kept_from_debugging_a_pod_that_runs() {
    let running = Reviewer::new().allowed(&labelled(app()));
    let mut debugged = running.clone();
    debugged["spec"]["ephemeralContainers"] = json!([{"name": "debug"}]);
    let foreign = json!([{"name": "mine", "mountPath": MOUNT}]);
    let with_mount = |mut pod: Value| {
        pod["spec"]["ephemeralContainers"][0]["volumeMounts"] = foreign.clone();
        pod
    };
    for (reviewer, pod, code, variables) in [
        (Reviewer::new().without_account(), debugged.clone(), Some("KS202"), 3),
        (
            Reviewer::new(),
            annotated(debugged.clone(), "keysluice.dev/later", "x"),
            Some("KS210"),
            4,
        ),
        (Reviewer::new(), annotated(debugged.clone(), "keysluice.dev/gate", "x"), Some("KS209"), 4),
        (Reviewer::new(), with_mount(debugged.clone()), Some("KS204"), 0),
        (Reviewer::new(), annotated(debugged.clone(), EXPIRATION, "soon"), None, 4),
        (Reviewer::new().account(EXPIRATION, "1"), debugged, None, 4),
    ] {
        let (after, warnings) = reviewer.ephemeral_with_warnings(&pod, &running);
        assert_eq!(warnings.len(), usize::from(code.is_some()), "{warnings:?}");
        assert!(code.is_none_or(|code| warnings[0].starts_with(code)), "{warnings:?}");
        assert_eq!(
            env_names(&after["spec"]["ephemeralContainers"][0]).len(),
            variables,
            "{code:?}"
        );
    }
    let mut unlabelled = annotated(running.clone(), "keysluice.dev/later", "x");
    unlabelled["metadata"]["labels"] = json!({});
    assert_eq!(
        Reviewer::new().ephemeral_with_warnings(&unlabelled, &running),
        (unlabelled, Vec::new())
    );
}
