//! HDL, MUT, PAN, PRT and ERR: what the handler does with a whole pod, and what it refuses.

use super::{MOUNT, SKIP, annotated, app, refused_expiration};
use crate::suite::support::reviews::{Reviewer, env_names, labelled};
use serde_json::{Value, json};

const PROXY: &str = "azure.workload.identity/inject-proxy-sidecar";
const PROXY_PORT: &str = "azure.workload.identity/proxy-sidecar-port";

/// Allowed, mutated, and nothing is removed.
fn handled(pod: &Value) -> Value {
    let (after, operations) = Reviewer::new().answer(pod);
    assert!(
        !operations.is_empty() && operations.iter().all(|operation| operation["op"] != "remove"),
        "{operations:?}"
    );
    after
}

#[test]
fn hdl_1_a_pod_of_a_known_service_account_is_mutated() {
    handled(&labelled(json!({"serviceAccountName": "sa", "containers": [{"name": "app"}]})));
}

#[test]
fn hdl_3_a_pod_without_a_service_account_name_runs_as_default() {
    handled(&labelled(app()));
    let other = Reviewer::new()
        .refused(&labelled(json!({"serviceAccountName": "other", "containers": []})));
    assert!(other.starts_with("KS202"), "{other}");
}

#[test]
fn hdl_5_a_labelled_pod_gives_no_warning() {
    let pod = labelled(json!({"serviceAccountName": "sa", "containers": [{"name": "app"}]}));
    handled(&pod);
    assert_eq!(Reviewer::new().warnings(&pod), [""; 0]);
}

#[test]
fn hdl_6_the_restart_policy_of_a_native_sidecar_is_preserved() {
    let side = json!({"name": "side", "restartPolicy": "Always"});
    let pod =
        handled(&labelled(json!({"initContainers": [side], "containers": [{"name": "app"}]})));
    assert_eq!(pod["spec"]["initContainers"][0]["restartPolicy"], "Always");
}

#[test]
fn mut_1_a_pod_without_containers_gets_the_volume() {
    assert!(handled(&labelled(json!({"containers": []})))["spec"]["volumes"].is_array());
}

#[test]
fn mut_2_a_container_gets_environment_and_mount() {
    let pod = handled(&labelled(app()));
    assert_eq!(env_names(&pod["spec"]["containers"][0]).len(), 4);
    assert_eq!(pod["spec"]["containers"][0]["volumeMounts"][0]["mountPath"], MOUNT);
}

#[test]
fn mut_3_of_two_containers_the_skipped_one_is_left() {
    let spec = json!({"containers": [{"name": "a"}, {"name": "b"}]});
    let pod = handled(&annotated(labelled(spec), SKIP, "b"));
    assert_eq!(env_names(&pod["spec"]["containers"][0]).len(), 4);
    assert_eq!(pod["spec"]["containers"][1], json!({"name": "b"}));
}

#[test]
fn pan_1_without_the_annotation_there_is_no_proxy() {
    let pod = Reviewer::new().allowed(&labelled(app()));
    assert_eq!(pod["spec"]["containers"].as_array().unwrap().len(), 1);
    assert!(pod["spec"]["initContainers"].is_null());
}

#[test]
fn pan_2_true_asks_for_the_proxy_whose_endpoint_the_sidecar_serves() {
    let pod = Reviewer::new().allowed(&annotated(labelled(app()), PROXY, "true"));
    assert_eq!(pod["spec"]["initContainers"][0]["name"], "keysluice");
    assert_eq!(endpoint_port(&pod), 8000);
}

/// The port of the endpoint in the only container.
fn endpoint_port(pod: &Value) -> u16 {
    let env = pod["spec"]["containers"][0]["env"].as_array().unwrap();
    let entry = env.iter().find(|entry| entry["name"] == "IDENTITY_ENDPOINT").unwrap();
    let address = entry["value"].as_str().unwrap().strip_prefix("http://127.0.0.1:").unwrap();
    address.strip_suffix("/msi/token").unwrap().parse().unwrap()
}

/// A port for the proxy changes nothing where no proxy is asked for.
fn with_port(annotation: Option<(&str, &str)>, expected: Option<u16>) {
    let plain = Reviewer::new().allowed(&labelled(app()));
    let pod = |pod: Value| {
        annotation.into_iter().fold(pod, |pod, (key, value)| annotated(pod, key, value))
    };
    assert_eq!(Reviewer::new().allowed(&pod(labelled(app())))["spec"], plain["spec"]);
    let asked = Reviewer::new().attempt(&pod(annotated(labelled(app()), PROXY, "true")));
    assert_eq!(asked.ok().map(|(pod, _)| endpoint_port(&pod)), expected);
}

#[test]
fn prt_1_no_annotation_names_a_port() {
    with_port(None, Some(8000));
}

#[test]
fn prt_2_another_annotation_names_no_port() {
    with_port(Some(("another.dev/port", "8080")), Some(8000));
}

#[test]
fn prt_3_the_port_is_the_endpoints() {
    with_port(Some((PROXY_PORT, "8080")), Some(8080));
}

#[test]
fn prt_4_one_that_is_not_a_number_is_refused_where_a_proxy_is_asked_for() {
    with_port(Some((PROXY_PORT, "invalid")), None);
}

#[test]
fn err_1_a_pod_without_a_kind_is_refused() {
    let error = Reviewer::new().refused(&json!({"metadata": {"name": "pod"}}));
    assert!(error.starts_with("KS201 ") && error.contains("couldn't get version/kind"), "{error}");
}

#[test]
fn err_2_a_missing_service_account_is_named() {
    let pod = labelled(json!({"serviceAccountName": "sa", "containers": []}));
    let error = Reviewer::new().without_account().refused(&pod);
    assert!(error.contains("serviceaccounts \"sa\" not found"), "{error}");
}

#[test]
fn err_3_the_host_network_with_a_proxy_is_refused_for_the_proxy() {
    let host = labelled(json!({"hostNetwork": true, "containers": [{"name": "app"}]}));
    assert!(Reviewer::new().refused(&annotated(host.clone(), PROXY, "true")).starts_with("KS205 "));
    assert_eq!(handled(&host)["spec"]["hostNetwork"], true);
}

#[test]
fn err_4_a_bad_port_with_a_proxy_is_refused() {
    let pod = annotated(annotated(labelled(app()), PROXY, "true"), PROXY_PORT, "invalid");
    let expected = format!("annotation {PROXY_PORT}: \"invalid\" is not a port");
    let refused = Reviewer::new().refused(&pod);
    assert!(refused.starts_with("KS274 ") && refused.contains(&expected), "{refused}");
}

#[test]
fn err_5_a_bad_expiration_is_refused_with_the_text_of_its_parser() {
    assert!(
        refused_expiration("invalid")
            .contains("strconv.ParseInt: parsing \"invalid\": invalid syntax")
    );
}
