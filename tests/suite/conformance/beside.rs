//! Beside Azure Workload Identity, which runs before us, after us, or did so once: its output as
//! its releases make it, and what becomes of it.

mod moved;

use crate::suite::conformance::cases::{annotated, app};
use crate::suite::conformance::token_endpoint::{binding, bound};
use crate::suite::support::reviews::{
    CLIENT, Reviewer, csi_pod, env_names, labelled, token_volumes,
};
use keysluice_plan::{Credential, Plan};
use serde_json::{Value, json};

const MOUNT: &str = "/var/run/secrets/azure/wi";
const HASH: &str = "425c89ed5bb78a7623fae60fd8a6f6";
const RESERVED: &str = "azure-workload-identity-reserved-425c89ed5bb78a7623fae60fd8a6f6";

/// A release of Azure Workload Identity, as far as it differs from the others.
#[derive(Clone, Copy)]
struct Peer {
    volume: &'static str,
    mount: &'static str,
    token: &'static str,
    audience: &'static str,
}

const V1_5: Peer = Peer {
    volume: "azure-identity-token",
    mount: "/var/run/secrets/azure/tokens",
    token: "azure-identity-token",
    audience: "api://AzureADTokenExchange",
};
const V1_6_0: Peer =
    Peer { volume: RESERVED, mount: MOUNT, token: "token/azure-identity-token", ..V1_5 };
const V1_6_1: Peer =
    Peer { mount: "/var/run/secrets/azure/wi/425c89ed5bb78a7623fae60fd8a6f6", ..V1_6_0 };

impl Peer {
    /// Mutates a pod called `pod` as it does: variables where there is none, mount and volume
    /// always.
    fn mutate(self, pod: &Value) -> Value {
        let mut pod = pod.clone();
        for field in ["initContainers", "containers"] {
            for container in
                pod["spec"].get_mut(field).and_then(Value::as_array_mut).into_iter().flatten()
            {
                for (name, value) in [
                    ("AZURE_CLIENT_ID", CLIENT),
                    ("AZURE_TENANT_ID", "cluster-tenant"),
                    ("AZURE_FEDERATED_TOKEN_FILE", &format!("{}/{}", self.mount, self.token)),
                    ("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.com/"),
                ] {
                    if !env_names(container).contains(&name) {
                        put(&mut container["env"], json!({"name": name, "value": value}), |_| {
                            false
                        });
                    }
                }
                let mount = json!({"name": self.volume, "mountPath": self.mount, "readOnly": true});
                put(&mut container["volumeMounts"], mount, |mount| mount["name"] == self.volume);
            }
        }
        let token =
            json!({"path": self.token, "expirationSeconds": 3600, "audience": self.audience});
        let volume = json!({"name": self.volume,
            "projected": {"sources": [{"serviceAccountToken": token}]}});
        put(&mut pod["spec"]["volumes"], volume, |volume| volume["name"] == self.volume);
        pod
    }
}

/// Replaces the entry that is the same, or appends.
fn put(list: &mut Value, entry: Value, is_same: impl Fn(&Value) -> bool) {
    if list.is_null() {
        *list = json!([]);
    }
    let list = list.as_array_mut().unwrap();
    match list.iter().position(is_same) {
        Some(index) => list[index] = entry,
        None => list.push(entry),
    }
}

/// Whether the container has the token volume where this path needs it.
fn serves(pod: &Value, container: &Value, token_file: &str) -> bool {
    let volumes = pod["spec"]["volumes"].as_array().unwrap();
    container["volumeMounts"].as_array().unwrap().iter().any(|mount| {
        let volume = volumes.iter().find(|volume| volume["name"] == mount["name"]).unwrap();
        let path = &volume["projected"]["sources"][0]["serviceAccountToken"]["path"];
        path.as_str().is_some_and(|path| {
            token_file == format!("{}/{path}", mount["mountPath"].as_str().unwrap())
        })
    })
}

/// The path in the sidecar's Plan.
fn token_file_of_plan(sidecar: &Value) -> String {
    let text = sidecar["env"][0]["value"].as_str().unwrap().replace("$$", "$");
    match &Plan::from_json(&text).unwrap().identities[0].credential {
        Credential::Federated { token_file, .. } => token_file.clone(),
        Credential::ManagedIdentity { .. } | Credential::ServicePrincipal { .. } => {
            panic!("no token")
        }
    }
}

#[test]
fn what_each_release_injected_is_recognised_and_only_secrets_are_added() {
    for peer in [V1_5, V1_6_0, V1_6_1] {
        let before = peer.mutate(&csi_pod());
        let (after, operations) = Reviewer::new().answer(&before);
        assert_eq!(token_volumes(&after), 1, "{}", peer.mount);
        assert_eq!(after["spec"]["containers"], before["spec"]["containers"]);
        assert_eq!(after["spec"]["volumes"][1], before["spec"]["volumes"][1]);
        assert_eq!(operations.len(), 3, "volume, sidecar, its own volume: {operations:?}");
        let sidecar = &after["spec"]["initContainers"][0];
        assert!(serves(&after, sidecar, &token_file_of_plan(sidecar)), "{}", peer.mount);
        let plain = peer.mutate(&labelled(app()));
        assert_eq!(Reviewer::new().allowed(&plain), plain);
    }
}

#[test]
fn a_v1_5_volume_of_a_pod_whose_containers_are_all_skipped_is_recognised() {
    let mut pod = V1_5.mutate(&labelled(json!({"containers": []})));
    pod["spec"]["containers"] = json!([{"name": "app"}]);
    let pod = annotated(pod, "azure.workload.identity/skip-containers", "app");
    assert_eq!(Reviewer::new().allowed(&pod), pod);
}

#[test]
fn when_the_other_runs_after_us_every_token_path_ends_below_a_mount_of_its_container() {
    for (layout, peer) in
        [("v1.6.0", V1_6_1), ("v1.6.1", V1_6_0), ("v1.6.0", V1_6_0), ("v1.6.1", V1_6_1)]
    {
        let mut reviewer = Reviewer::new();
        reviewer.settings.token_layout = layout.parse().unwrap();
        let first = peer.mutate(&reviewer.allowed(&csi_pod()));
        // The API server calls each once more where another changed the pod after it, and no
        // further.
        let second = reviewer.allowed(&first);
        let pod = peer.mutate(&second);
        assert_eq!(pod, second, "{layout}: what we correct must not call the other again");
        for container in [&pod["spec"]["containers"][0], &pod["spec"]["initContainers"][0]] {
            let entry = container["env"].as_array().unwrap().iter();
            let mut entry = entry.filter(|entry| entry["name"] == "AZURE_FEDERATED_TOKEN_FILE");
            assert!(
                serves(&pod, container, entry.next().unwrap()["value"].as_str().unwrap()),
                "{layout}"
            );
        }
        let sidecar = &pod["spec"]["initContainers"][0];
        assert!(serves(&pod, sidecar, &token_file_of_plan(sidecar)), "{layout}");
        assert_eq!(reviewer.allowed(&pod), pod);
    }
}

#[test]
fn a_token_path_of_the_users_own_is_never_corrected() {
    let v1_5 = "/var/run/secrets/azure/tokens/azure-identity-token";
    let v1_6 = "/var/run/secrets/azure/wi/token/azure-identity-token";
    let with_path = |path: &str, mounts: Value| {
        let env = json!([{"name": "AZURE_FEDERATED_TOKEN_FILE", "value": path}]);
        labelled(json!({"containers": [{"name": "app", "env": env, "volumeMounts": mounts}]}))
    };
    let at_the_path = json!([{"name": "mine", "mountPath": v1_6, "subPath": "token"}]);
    for (layout, path, mounts) in [
        ("v1.6.0", v1_5, json!([])),
        ("v1.6.0", "/my/own/token", json!([])),
        ("v1.6.0", v1_6, at_the_path.clone()),
        ("v1.6.1", v1_6, at_the_path),
        ("v1.6.1", v1_6, json!([])),
        ("v1.5", v1_6, json!([])),
    ] {
        let mut reviewer = Reviewer::new();
        reviewer.settings.token_layout = layout.parse().unwrap();
        let once = reviewer.allowed(&with_path(path, mounts));
        assert_eq!(once["spec"]["containers"][0]["env"][0]["value"], path, "{layout}");
        assert_eq!(reviewer.allowed(&once), once, "{layout}: nor by a second run");
    }
}

/// A pod as the AKS add-on leaves it: token and authority of the identity binding in one volume.
fn bound_by_another(pod: &Value) -> Value {
    let peer = Peer { audience: "api://AKSIdentityBinding", ..V1_6_1 };
    let mut pod =
        annotated(peer.mutate(pod), "azure.workload.identity/use-identity-binding", "true");
    let ca = json!({"configMap": {"name": "kube-root-ca.crt",
        "items": [{"key": "ca.crt", "path": "ca-cert/ca.crt"}], "optional": false}});
    let volumes = pod["spec"]["volumes"].as_array_mut().unwrap();
    let token = volumes.iter_mut().find(|volume| volume["name"] == RESERVED).unwrap();
    token["projected"]["sources"].as_array_mut().unwrap().push(ca);
    pod
}

#[test]
fn a_token_volume_for_an_audience_that_we_do_not_know_is_left_with_a_warning() {
    let bound = bound_by_another(&labelled(app()));
    let other = Peer { audience: "api://another", ..V1_6_0 }.mutate(&labelled(app()));
    for pod in [bound, other] {
        assert_eq!(Reviewer::new().allowed(&pod), pod);
        let warnings = Reviewer::new().warnings(&pod);
        assert!(warnings.len() == 1 && warnings[0].starts_with("KS270 "), "{warnings:?}");
    }
    let authority = bound_by_another(&labelled(app()));
    let reviewer = binding(|_| {});
    assert_eq!(
        reviewer.allowed(&authority)["spec"]["volumes"],
        authority["spec"]["volumes"],
        "an authority that only the other knows"
    );
}

#[test]
fn a_pod_that_asks_for_our_token_endpoint_gets_its_audience_also_in_a_volume_that_is_there() {
    let reviewer = binding(|text| text.ca_config_map = "kube-root-ca.crt".into());
    let pod = reviewer.allowed(&V1_6_0.mutate(&bound()));
    let sources = &pod["spec"]["volumes"][0]["projected"]["sources"];
    assert_eq!(sources[0]["serviceAccountToken"]["audience"], "api://AKSIdentityBinding");
    assert_eq!(sources[1]["configMap"]["name"], "kube-root-ca.crt");
}

#[test]
fn a_sidecar_is_refused_where_the_pods_only_token_is_for_a_token_endpoint() {
    let key = "azure.workload.identity/use-identity-binding";
    let expected = format!("; details: annotation {key} asks for a token of another audience");
    let mut unlabelled = csi_pod();
    unlabelled["metadata"]["labels"] = json!({});
    for pod in [csi_pod(), unlabelled] {
        let without_url = binding(|endpoint| {
            endpoint.proxy.clear();
            endpoint.sni_name.clear();
        });
        let error = without_url.refused(&annotated(pod, key, "true"));
        assert!(error.contains(&expected) && error.contains("useVMManagedIdentity"), "{error}");
    }
    let error = Reviewer::new().refused(&bound_by_another(&csi_pod()));
    assert!(error.starts_with("KS230 ") && error.contains(&expected), "{error}");
    // The other runs after us and takes the token away from under the sidecar.
    let error = Reviewer::new().refused(&bound_by_another(&Reviewer::new().allowed(&csi_pod())));
    assert!(error.starts_with("KS230 ") && error.contains(&expected), "{error}");
    // With its URL, the sidecar has a token of its own.
    let pod = binding(|_| {}).allowed(&annotated(csi_pod(), key, "true"));
    assert!(pod["spec"]["initContainers"].is_array());
    let pod = annotated(annotated(csi_pod(), key, "true"), "keysluice.dev/csi-volumes", "leave");
    assert!(binding(|_| {}).allowed(&pod)["spec"]["initContainers"].is_null());
    assert!(
        Reviewer::new().allowed(&annotated(csi_pod(), key, "true"))["spec"]["initContainers"]
            .is_array()
    );
}

#[test]
fn a_pod_that_has_its_proxy_from_the_other_goes_on_with_a_warning() {
    let key = "azure.workload.identity/inject-proxy-sidecar";
    for (field, name) in [("containers", "azwi-proxy"), ("initContainers", "azwi-proxy-init")] {
        let mut pod = annotated(labelled(app()), key, "true");
        put(&mut pod["spec"][field], json!({"name": name}), |_| false);
        let pod = V1_6_0.mutate(&pod);
        assert_eq!(Reviewer::new().allowed(&pod), pod);
        let warnings = Reviewer::new().warnings(&pod);
        assert!(
            warnings.len() == 1 && warnings[0].starts_with(&format!("KS271 container {name} ")),
            "{warnings:?}"
        );
    }
    // Without it, the pod has an endpoint of ours.
    let pod = Reviewer::new().allowed(&annotated(labelled(app()), key, "true"));
    assert_eq!(pod["spec"]["initContainers"][0]["name"], "keysluice");
}

#[test]
fn annotations_that_come_too_late_give_a_warning() {
    let other = "3f2a9c1e-7b64-4e0b-8d5a-6c1f0e9b2d47";
    let spec =
        json!({"containers": [{"name": "app", "envFrom": [{"configMapRef": {"name": "azure"}}]}]});
    let pod = V1_6_0.mutate(&labelled(spec));
    for (key, value, expected) in [
        ("client-ids", format!("app={other}"), Some("AZURE_CLIENT_ID")),
        ("client-ids", format!("app={CLIENT}"), None),
        ("tenant-ids", "app=mine.onmicrosoft.com".to_owned(), Some("AZURE_TENANT_ID")),
        ("env-from-wins", "AZURE_AUTHORITY_HOST".to_owned(), Some("AZURE_AUTHORITY_HOST")),
        ("token-layout", "v1.5".to_owned(), Some("KS273")),
        ("token-layout", "v1.6.0".to_owned(), None),
    ] {
        let annotated = annotated(pod.clone(), &format!("keysluice.dev/{key}"), &value);
        let warnings = Reviewer::new().warnings(&annotated);
        assert_eq!(warnings.len(), usize::from(expected.is_some()), "{key}={value}: {warnings:?}");
        let is_expected = |what: &str| match what {
            "KS273" => warnings[0].starts_with("KS273 keysluice.dev/token-layout"),
            name => warnings[0]
                .starts_with(&format!("KS272 container app: env already sets {name}; annotation ")),
        };
        assert!(expected.is_none_or(is_expected), "{warnings:?}");
        assert_eq!(Reviewer::new().allowed(&annotated), annotated);
    }
}

#[test]
fn with_the_v1_5_layout_a_volume_of_the_users_own_of_that_name_is_refused() {
    let mount = json!([{"name": "azure-identity-token", "mountPath": "/cache"}]);
    let token =
        json!({"serviceAccountToken": {"path": "azure-identity-token", "audience": "mine"}});
    for source in [
        json!({"emptyDir": {}}),
        json!({"projected": {"sources": [token]}}),
        json!({"csi": {"driver": "secrets-store.csi.k8s.io", "readOnly": true,
            "volumeAttributes": {"secretProviderClass": "kv"}}}),
    ] {
        let mut volume = json!({"name": "azure-identity-token"});
        volume.as_object_mut().unwrap().extend(source.as_object().unwrap().clone());
        let pod = labelled(
            json!({"containers": [{"name": "app", "volumeMounts": mount}], "volumes": [volume]}),
        );
        let error =
            Reviewer::new().refused(&annotated(pod.clone(), "keysluice.dev/token-layout", "v1.5"));
        assert!(
            error.starts_with(
                "KS206 /spec/volumes/0/name uses the reserved name \"azure-identity-token\""
            ),
            "{error}"
        );
        assert_eq!(
            token_volumes(&Reviewer::new().allowed(&pod)),
            1 + usize::from(pod.to_string().contains("mine"))
        );
    }
}

#[test]
fn with_the_v1_5_layout_the_endpoints_authority_is_projected_too() {
    let reviewer = binding(|text| text.ca_config_map = "kube-root-ca.crt".into());
    let pod = reviewer.allowed(&annotated(bound(), "keysluice.dev/token-layout", "v1.5"));
    let ca = "/var/run/secrets/azure/tokens/ca-cert/ca.crt";
    assert_eq!(
        pod["spec"]["containers"][0]["env"][6],
        json!({"name": "AZURE_KUBERNETES_CA_FILE", "value": ca})
    );
    assert_eq!(
        pod["spec"]["volumes"][0]["projected"]["sources"][1]["configMap"]["items"][0]["path"],
        "ca-cert/ca.crt"
    );
    assert_eq!(reviewer.allowed(&pod), pod);
}

#[test]
fn the_hash_of_the_literal_pods_is_the_one_of_their_name() {
    assert!(RESERVED.ends_with(HASH) && V1_6_1.mount.ends_with(HASH));
    assert_eq!(Reviewer::new().allowed(&labelled(app()))["spec"]["volumes"][0]["name"], RESERVED);
}
