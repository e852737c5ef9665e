use super::super::testing::{
    CLIENT, bound, class, csi_volume, facts, labelled, mounts_of, plan_of, pod_with_volume,
    run_with, settings,
};
use crate::settings::{CertificateSource, Settings};
use keysluice_plan::Credential;
use serde_json::{Value, json};

const ANNOTATION: &str = "azure.workload.identity/use-identity-binding";
const TOKEN: &str = "/var/run/secrets/keysluice.dev-token-proxy/token";

/// A pod with a volume of a class that asks for the token proxy, and one of a class that does not.
fn pod_of_two() -> Value {
    let volumes = json!([csi_volume("bound", "bound"), csi_volume("plain", "kv")]);
    let mounts =
        json!([{"name": "bound", "mountPath": "/a"}, {"name": "plain", "mountPath": "/b"}]);
    let containers = json!([{"name": "app", "volumeMounts": mounts}]);
    labelled("pod", json!({"containers": containers, "volumes": volumes}))
}

fn mutated(pod: &Value, settings: &Settings) -> Result<Value, String> {
    let mut facts = facts();
    let parameters = json!({"keyvaultName": "vault-1", "useAzureTokenProxy": "true",
        "clientID": "22222222-2222-2222-2222-222222222222", "objects": "array:\n  - |\n    \
        objectName: db\n    objectType: secret\n"});
    facts.classes.insert("bound".to_owned(), class("bound", &parameters));
    let (pod, _) = run_with(pod, settings, &facts)?;
    let (again, _) = run_with(&pod, settings, &facts)?;
    assert_eq!(pod, again, "a second run changes nothing");
    Ok(pod)
}

fn asking(mut pod: Value) -> Value {
    pod["metadata"]["annotations"] = json!({ANNOTATION: "true"});
    pod
}

/// Client, token file and whether it is for the token proxy, of each identity.
fn identities(pod: &Value) -> Vec<(String, String, bool)> {
    let identities = plan_of(pod).identities.into_iter();
    identities
        .map(|identity| match identity.credential {
            Credential::Federated { client_id, token_file, token_proxy, .. } => {
                (client_id, token_file, token_proxy.is_some())
            }
            other => panic!("{other:?}"),
        })
        .collect()
}

fn own_volume(pod: &Value) -> Option<&Value> {
    let volumes = pod["spec"]["volumes"].as_array().unwrap();
    volumes.iter().find(|volume| volume["name"] == "keysluice-token-proxy")
}

#[test]
fn a_class_that_asks_has_a_token_of_the_sidecars_own_beside_that_of_the_pod() {
    let pod = mutated(&pod_of_two(), &bound()).unwrap();
    let of_pod = "/var/run/secrets/azure/wi/token/azure-identity-token".to_owned();
    let other = "22222222-2222-2222-2222-222222222222".to_owned();
    assert_eq!(
        identities(&pod),
        [(other, TOKEN.to_owned(), true), (CLIENT.to_owned(), of_pod, false)]
    );
    let expected = json!({"name": "keysluice-token-proxy", "projected": {"sources": [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600,
            "audience": "api://AKSIdentityBinding"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}],
            "optional": false}}]}});
    assert_eq!(own_volume(&pod), Some(&expected));
    let mount = json!({"name": "keysluice-token-proxy", "readOnly": true,
        "mountPath": "/var/run/secrets/keysluice.dev-token-proxy"});
    let sidecar = &pod["spec"]["initContainers"][0];
    assert_eq!(mounts_of(sidecar, "keysluice-token-proxy"), [&mount]);
    assert!(mounts_of(&pod["spec"]["containers"][0], "keysluice-token-proxy").is_empty());
    let proxy = serde_json::to_value(&plan_of(&pod).identities[0].credential).unwrap();
    assert_eq!(
        proxy["tokenProxy"],
        json!({"url": "https://kubernetes.default.svc", "serverName": "ab.ests.aks",
            "caFile": "/var/run/secrets/keysluice.dev-token-proxy/ca.crt"})
    );
}

#[test]
fn the_annotation_sends_every_workload_identity_of_the_pod_there() {
    let pod = mutated(&asking(pod_of_two()), &bound()).unwrap();
    assert!(identities(&pod).iter().all(|(_, file, proxied)| *proxied && file == TOKEN));
    let mut with_endpoint = asking(pod_with_volume());
    with_endpoint["metadata"]["annotations"]["keysluice.dev/managed-identity-endpoint"] =
        json!("true");
    let pod = mutated(&with_endpoint, &bound()).unwrap();
    let plan = serde_json::to_value(plan_of(&pod)).unwrap();
    let credential = &plan["managedIdentity"]["identities"][0]["credential"];
    assert_eq!(credential["tokenFile"], TOKEN);
    assert_eq!(credential["tokenProxy"]["serverName"], "ab.ests.aks");
    // The containers have the variables of the SDKs, as before.
    let env = pod["spec"]["containers"][0]["env"].as_array().unwrap();
    assert!(env.iter().any(|entry| entry["name"] == "AZURE_KUBERNETES_TOKEN_PROXY"));
}

#[test]
fn authorities_as_data_are_in_the_plan_and_without_any_there_is_no_file() {
    let bare = json!({"url": "https://kubernetes.default.svc", "serverName": "ab.ests.aks"});
    let mut data = bare.clone();
    data["ca"] = json!("PEM");
    let pem = CertificateSource::Data("PEM".to_owned());
    for (ca, expected) in [(None, bare), (Some(pem), data)] {
        let mut settings = bound();
        settings.token_endpoint.as_mut().unwrap().ca = ca;
        let pod = mutated(&asking(pod_with_volume()), &settings).unwrap();
        let sources = own_volume(&pod).unwrap()["projected"]["sources"].as_array().unwrap().len();
        assert_eq!(sources, 1);
        let plan = serde_json::to_value(plan_of(&pod)).unwrap();
        assert_eq!(plan["identities"][0]["credential"]["tokenProxy"], expected);
    }
}

#[test]
fn without_a_token_proxy_of_the_operators_both_are_refused() {
    let mut without_url = bound();
    without_url.token_endpoint.as_mut().unwrap().proxy = None;
    for settings in [settings(), without_url.clone()] {
        let error = mutated(&pod_of_two(), &settings).unwrap_err();
        assert!(error.starts_with("KS113 useAzureTokenProxy: the token proxy"), "{error}");
    }
    let error = mutated(&asking(pod_with_volume()), &without_url).unwrap_err();
    assert!(error.starts_with("KS230 "), "{error}");
}

#[test]
fn a_pod_cannot_bring_the_volume_itself() {
    let mut pod = pod_with_volume();
    let volumes = pod["spec"]["volumes"].as_array_mut().unwrap();
    volumes.push(json!({"name": "keysluice-token-proxy", "emptyDir": {}}));
    let error = mutated(&pod, &bound()).unwrap_err();
    assert!(error.starts_with("KS206 /spec/volumes/1/name"), "{error}");
}
