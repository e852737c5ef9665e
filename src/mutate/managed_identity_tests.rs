use crate::mutate::testing::{
    CLIENT, account, facts, labelled, plan_of, pod_with_volume, run, run_with, settings,
    variable_index,
};
use crate::provider_class::Allowlist;
use crate::settings::{EndpointKey, Settings};
use keysluice_plan::Credential;
use serde_json::{Value, json};

const OTHER: &str = "22222222-2222-2222-2222-222222222222";
const OBJECT: &str = "33333333-3333-3333-3333-333333333333";
const PROXY: &str = "azure.workload.identity/inject-proxy-sidecar";
const PORT: &str = "azure.workload.identity/proxy-sidecar-port";
const ENDPOINT: &str = "keysluice.dev/managed-identity-endpoint";
const IDENTITIES: &str = "keysluice.dev/managed-identities";

fn pod(annotations: &[(&str, &str)]) -> Value {
    let spec = json!({"containers": [{"name": "app"}], "initContainers": [{"name": "init"}]});
    annotated(labelled("pod", spec), annotations)
}

fn annotated(mut pod: Value, annotations: &[(&str, &str)]) -> Value {
    for (key, value) in annotations {
        pod["metadata"]["annotations"][*key] = (*value).into();
    }
    pod
}

fn refused(pod: &Value, expected: &str) {
    let error = run(pod).unwrap_err();
    let (code, message) = expected.split_once(' ').unwrap();
    assert!(error.starts_with(code) && error.contains(message), "{error}");
}

fn variables(container: &Value) -> (Option<&str>, Option<&str>) {
    (variable(container, "IDENTITY_ENDPOINT"), variable(container, "IDENTITY_HEADER"))
}

fn variable<'c>(container: &'c Value, name: &str) -> Option<&'c str> {
    let entry = container["env"].as_array()?.iter().find(|entry| entry["name"] == name)?;
    entry["value"].as_str()
}

#[test]
fn a_pod_without_secrets_gets_a_sidecar_and_every_container_the_variables() {
    let (patched, mutation) = run(&pod(&[(PROXY, "true")])).unwrap();
    let plan = plan_of(&patched);
    let endpoint = plan.managed_identity.as_ref().unwrap();
    assert!(plan.volumes.is_empty() && plan.identities.is_empty() && plan.source.is_none());
    assert_eq!(endpoint.port, 8000);
    let sidecar = &patched["spec"]["initContainers"][0];
    assert_eq!(sidecar["command"], json!(["/keysluice-injector", "run"]));
    assert_eq!(sidecar["restartPolicy"], "Always");
    assert_eq!(sidecar["env"].as_array().unwrap().len(), 1, "it has no identity of its own");
    assert!(sidecar["lifecycle"]["postStart"].is_object() && sidecar["ports"].is_null());
    for container in [&patched["spec"]["containers"][0], &patched["spec"]["initContainers"][1]] {
        let url = Some("http://127.0.0.1:8000/msi/token");
        assert_eq!(variables(container), (url, Some(&*endpoint.header)), "{container}");
    }
    let [identity] = &endpoint.identities[..] else { panic!("{endpoint:?}") };
    assert!(identity.default);
    let Credential::Federated { client_id, tenant_id, token_file, authority, .. } =
        &identity.credential
    else {
        panic!("{identity:?}")
    };
    assert_eq!((&**client_id, &**tenant_id), (CLIENT, "cluster-tenant"));
    assert_eq!(token_file, "/var/run/secrets/azure/wi/token/azure-identity-token");
    assert_eq!(authority, "https://login.microsoftonline.com/");
    assert!(sidecar["volumeMounts"].to_string().contains("/var/run/secrets/azure/wi"));
    assert!(mutation.warnings.is_empty(), "{:?}", mutation.warnings);
    let notes: Vec<String> = mutation.notes.iter().map(ToString::to_string).collect();
    assert!(notes.iter().any(|note| note.starts_with("managed-identity endpoint: port 8000")));
}

#[test]
fn a_second_run_keeps_the_header_and_serves_containers_that_came_in_between() {
    let (mut once, _) = run(&pod(&[(PROXY, "true")])).unwrap();
    assert_eq!(run(&once).unwrap().0, once);
    let expected = once["spec"]["containers"][0].clone();
    once["metadata"]["name"] = "renamed".into();
    once["spec"]["containers"].as_array_mut().unwrap().push(json!({"name": "late"}));
    let (twice, _) = run(&once).unwrap();
    assert_eq!(variables(&twice["spec"]["containers"][1]), variables(&expected));
    assert_eq!(twice["spec"]["initContainers"], once["spec"]["initContainers"]);
    assert_eq!(run(&twice).unwrap().0, twice);
}

/// The header of a pod of this name.
fn header(name: &str, settings: &Settings) -> String {
    let mut pod = pod(&[(PROXY, "true")]);
    pod["metadata"]["name"] = name.into();
    let (patched, _) = run_with(&pod, settings, &facts()).unwrap();
    plan_of(&patched).managed_identity.unwrap().header
}

#[test]
fn the_header_is_of_one_pod_and_of_one_webhook() {
    let (one, mut other) = (settings(), settings());
    other.endpoint_key = EndpointKey::new([1; 32]);
    assert_eq!(header("a", &one), header("a", &one), "the decision is pure");
    assert_ne!(header("a", &one), header("b", &one));
    assert_ne!(header("a", &one), header("a", &other));
    assert_eq!(header("a", &one).len(), 32);
    assert_eq!(format!("{:?}", other.endpoint_key), "EndpointKey");
}

#[test]
fn annotations_say_whether_and_on_which_port() {
    for (annotations, expected) in [
        (&[(PROXY, "1"), (PORT, "8080")][..], Some(8080)),
        (&[(ENDPOINT, "true")], Some(8000)),
        (&[(ENDPOINT, "true"), (PORT, "8080")], Some(8080)),
        (&[(ENDPOINT, "9000"), (PORT, "8080")], Some(9000)),
        (&[(ENDPOINT, "9000"), (PROXY, "false")], Some(9000)),
        (&[(ENDPOINT, "false"), (PROXY, "true")], None),
        (&[(PROXY, "false"), (PORT, "invalid")], None),
        (&[(PROXY, "")], None),
        (&[(PORT, "8080")], None),
    ] {
        let (patched, _) = run(&pod(annotations)).unwrap();
        let has_sidecar = patched["spec"]["initContainers"][0]["name"] == "keysluice";
        let port = has_sidecar.then(|| plan_of(&patched).managed_identity.unwrap().port);
        assert_eq!(port, expected, "{annotations:?}");
    }
    for (annotations, expected) in [
        (&[(PROXY, "yes")][..], "KS274 annotation azure.workload.identity/inject-proxy-sidecar: "),
        (&[(PROXY, "true"), (PORT, "invalid")], "KS274 annotation azure.workload.identity/proxy-"),
        (&[(PROXY, "true"), (PORT, "80")], "KS274 "),
        (&[(PROXY, "true"), (PORT, "-1")], "KS274 "),
        (&[(PROXY, "true"), (PORT, "65536")], "KS274 "),
        (&[(ENDPOINT, "yes")], "KS209 annotation keysluice.dev/managed-identity-endpoint: "),
        (&[(ENDPOINT, "80")], "KS209 "),
        (&[(ENDPOINT, "true"), (IDENTITIES, "name")], "KS209 "),
        (&[(IDENTITIES, OTHER)], "KS279 annotation keysluice.dev/managed-identities is set"),
    ] {
        refused(&pod(annotations), expected);
    }
}

#[test]
fn a_pod_in_which_it_cannot_be_served_is_refused() {
    let asking = pod(&[(PROXY, "true")]);
    let mut on_node = asking.clone();
    on_node["spec"]["hostNetwork"] = true.into();
    refused(&on_node, "KS205 spec.hostNetwork is true");
    let mut windows = asking.clone();
    windows["spec"]["os"] = json!({"name": "windows"});
    refused(&windows, "KS205 the pod runs on Windows");
    refused(&annotated(asking.clone(), &[("keysluice.dev/mode", "init")]), "KS277 ");
    let mut taken = asking;
    taken["spec"]["containers"][0]["ports"] = json!([{"containerPort": 8000, "protocol": "UDP"}]);
    run(&taken).unwrap();
    taken["spec"]["containers"][0]["ports"] =
        json!([{"containerPort": 1}, {"containerPort": 8000}]);
    refused(&taken, "KS275 container \"app\" declares port 8000");
    run(&annotated(taken, &[(PORT, "8001")])).unwrap();
    let mut unlabelled = annotated(pod_with_volume(), &[(ENDPOINT, "true")]);
    unlabelled["metadata"]["labels"] = json!({});
    refused(&unlabelled, "KS279 the pod has annotation keysluice.dev/managed-identity-endpoint");
    let served = run(&pod_with_volume()).unwrap().0;
    refused(&annotated(served, &[(PROXY, "true")]), "KS279 annotation azure.workload.identity/");
}

#[test]
fn the_endpoint_stands_beside_files_and_not_beside_a_sidecar_that_ends() {
    let pod = annotated(pod_with_volume(), &[(PROXY, "true")]);
    let (patched, _) = run(&pod).unwrap();
    let plan = plan_of(&patched);
    assert_eq!((plan.volumes.len(), plan.managed_identity.is_some()), (1, true));
    assert_eq!(run(&patched).unwrap().0, patched);
    let mut facts = facts();
    let parameters = json!({"keyvaultName": "vault-1", "mode": "init",
        "objects": "array:\n  - |\n    objectName: db\n    objectType: secret\n"});
    facts.classes.insert("kv".to_owned(), crate::mutate::testing::class("kv", &parameters));
    let error = run_with(&pod, &settings(), &facts).unwrap_err();
    assert!(error.starts_with("KS277 "), "{error}");
    let kept = annotated(pod, &[("keysluice.dev/mode", "sidecar")]);
    run_with(&kept, &settings(), &facts).unwrap();
}

/// The identities of a pod whose ServiceAccount has this client id: of each the first digit of its
/// client id, a star if it is the default, and the number of its other names.
fn identities(annotations: &[(&str, &str)], client_id: Option<&str>) -> Result<String, String> {
    let mut facts = facts();
    let id = client_id.map(|id| ("azure.workload.identity/client-id", id));
    facts.service_account = Some(account(id.as_slice()));
    let pod = annotated(pod(&[(PROXY, "true")]), annotations);
    let (patched, _) = run_with(&pod, &settings(), &facts)?;
    let identities = plan_of(&patched).managed_identity.unwrap().identities;
    let described = identities.iter().map(|identity| {
        let names = identity.object_ids.len() + identity.resource_ids.len();
        let mark = if identity.default { "*" } else { "" };
        format!("{}{mark}+{names}", &identity.client_id().unwrap()[..1])
    });
    Ok(described.collect::<Vec<_>>().join(" "))
}

#[test]
fn its_identities_are_those_of_the_account_of_containers_and_of_the_annotation() {
    let both = format!("{OTHER}={OBJECT}; {CLIENT}=/subscriptions/s/x");
    assert_eq!(identities(&[], Some(CLIENT)).unwrap(), "8*+0");
    assert_eq!(identities(&[(IDENTITIES, &both)], Some(CLIENT)).unwrap(), "8*+1 2+1");
    assert_eq!(
        identities(&[(IDENTITIES, OTHER)], None).unwrap(),
        "2*+0",
        "a single one is the default"
    );
    assert_eq!(identities(&[(IDENTITIES, &both)], None).unwrap(), "2+1 8+1");
    let of_container = format!("app={OTHER}");
    let of_container = ("keysluice.dev/client-ids", &*of_container);
    assert_eq!(identities(&[of_container], Some(CLIENT)).unwrap(), "8*+0 2+0");
    let error = identities(&[], None).unwrap_err();
    assert!(error.starts_with("KS276 ") && error.contains("client-id"), "{error}");
    let twice = format!("{OTHER}={CLIENT}");
    assert!(identities(&[(IDENTITIES, &twice)], Some(CLIENT)).unwrap_err().starts_with("KS276 "));
    let many: Vec<String> = (0..32).map(|n| format!("{n:08}{}", &OTHER[8..])).collect();
    let many = many.join(";");
    assert!(identities(&[(IDENTITIES, &many)], Some(CLIENT)).unwrap_err().starts_with("KS276 "));
}

#[test]
fn its_tenant_is_known_and_one_that_the_operator_allows() {
    let mut settings = settings();
    settings.tenant_id = None;
    let error = run_with(&pod(&[(PROXY, "true")]), &settings, &facts()).unwrap_err();
    assert!(error.starts_with("KS276 ") && error.contains("tenant-id"), "{error}");
    settings.tenant_id = Some("cluster-tenant".to_owned());
    settings.limits = Allowlist { tenants: vec!["other".to_owned()], ..Allowlist::default() };
    let error = run_with(&pod(&[(PROXY, "true")]), &settings, &facts()).unwrap_err();
    assert!(error.starts_with("KS276 ") && error.contains("\"cluster-tenant\""), "{error}");
}

#[test]
fn variables_of_the_pods_own_win_and_references_to_ours_are_expanded() {
    let mut own = pod(&[(PROXY, "true")]);
    own["spec"]["containers"][0]["env"] =
        json!([{"name": "IDENTITY_ENDPOINT", "value": "http://x"}]);
    let (patched, mutation) = run(&own).unwrap();
    assert_eq!(variables(&patched["spec"]["containers"][0]), (Some("http://x"), None));
    assert!(mutation.warnings[0].starts_with("KS278 container app: env already sets IDENTITY_"));
    let mut refers = pod(&[(PROXY, "true")]);
    refers["spec"]["containers"][0]["env"] = json!([{"name": "A", "value": "b"},
        {"name": "MSI", "value": "$(IDENTITY_ENDPOINT)$(AZURE_CLIENT_ID)"}]);
    let (patched, _) = run(&refers).unwrap();
    let app = &patched["spec"]["containers"][0];
    for earlier in ["IDENTITY_ENDPOINT", "IDENTITY_HEADER", "AZURE_CLIENT_ID"] {
        assert!(variable_index(app, earlier) < variable_index(app, "MSI"), "{app}");
    }
    assert_eq!(variable_index(app, "A"), 0, "{app}");
    let skipped = [("azure.workload.identity/skip-containers", "app")];
    let (patched, _) = run(&annotated(pod(&[(PROXY, "true")]), &skipped)).unwrap();
    assert_eq!(variables(&patched["spec"]["containers"][0]), (None, None));
}

#[test]
fn a_pod_with_the_proxy_of_the_other_webhook_keeps_that_one() {
    for annotation in [PROXY, ENDPOINT] {
        let mut pod = pod(&[(annotation, "true")]);
        pod["spec"]["containers"].as_array_mut().unwrap().push(json!({"name": "azwi-proxy"}));
        let (patched, mutation) = run(&pod).unwrap();
        assert_eq!(patched["spec"]["initContainers"].as_array().unwrap().len(), 1);
        assert!(mutation.warnings[0].starts_with("KS271 container azwi-proxy"), "{annotation}");
    }
}
