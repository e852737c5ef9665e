//! A token endpoint of the cluster's own: identity bindings, and the CA that containers get for it.

use crate::suite::conformance::cases::{annotated, app};
use crate::suite::support::reviews::{Reviewer, env_names, labelled};
use serde_json::{Value, json};

pub(super) fn binding(
    change: impl FnOnce(&mut keysluice::settings::TokenEndpointText),
) -> Reviewer {
    let mut text = keysluice::settings::TokenEndpointText {
        suffix: "identity-binding".into(),
        audience: "api://AKSIdentityBinding".into(),
        proxy: "https://kubernetes.default.svc".into(),
        sni_name: "a.ests.aks".into(),
        ..Default::default()
    };
    change(&mut text);
    let mut reviewer = Reviewer::new();
    reviewer.settings.token_endpoint = text.parse().unwrap();
    reviewer
}

pub(super) fn bound() -> Value {
    annotated(labelled(app()), "azure.workload.identity/use-identity-binding", "True")
}

#[test]
fn e2e_10_an_identity_binding_gets_its_audience_proxy_and_authority() {
    let reviewer = binding(|text| text.ca_config_map = "kube-root-ca.crt".into());
    let pod = reviewer.allowed(&bound());
    let container = &pod["spec"]["containers"][0];
    assert_eq!(
        env_names(container)[4..],
        ["AZURE_KUBERNETES_TOKEN_PROXY", "AZURE_KUBERNETES_SNI_NAME", "AZURE_KUBERNETES_CA_FILE"]
    );
    assert_eq!(container["env"][6]["value"], "/var/run/secrets/azure/wi/ca-cert/ca.crt");
    let sources = &pod["spec"]["volumes"][0]["projected"]["sources"];
    assert_eq!(sources[0]["serviceAccountToken"]["audience"], "api://AKSIdentityBinding");
    assert_eq!(
        sources[1],
        json!({"configMap": {"name": "kube-root-ca.crt",
            "items": [{"key": "ca.crt", "path": "ca-cert/ca.crt"}], "optional": false}})
    );
    assert_eq!(reviewer.allowed(&pod), pod, "a second run changes nothing");
    assert_eq!(
        env_names(&reviewer.allowed(&labelled(app()))["spec"]["containers"][0]).len(),
        4,
        "only on request"
    );
}

#[test]
fn x_9_with_ca_data_there_is_no_ca_file() {
    let pod = binding(|text| text.ca_data = "PEM".into()).allowed(&bound());
    let names =
        env_names(&pod["spec"]["containers"][0]).into_iter().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(
        names[4..],
        ["AZURE_KUBERNETES_TOKEN_PROXY", "AZURE_KUBERNETES_SNI_NAME", "AZURE_KUBERNETES_CA_DATA"]
    );
    let pod = binding(|_| {}).allowed(&bound());
    assert_eq!(env_names(&pod["spec"]["containers"][0]).len(), 6, "and none without any source");
}

#[test]
fn a_cluster_trust_bundle_is_projected() {
    let reviewer = binding(|text| {
        (text.ca_signer, text.ca_selector) = ("x/y".into(), r#"{"matchLabels":{"a":"b"}}"#.into());
    });
    let pod = reviewer.allowed(&bound());
    assert_eq!(
        pod["spec"]["volumes"][0]["projected"]["sources"][1],
        json!({"clusterTrustBundle": {"signerName": "x/y", "path": "ca-cert/ca.crt",
            "optional": false, "labelSelector": {"matchLabels": {"a": "b"}}}})
    );
    assert_eq!(reviewer.allowed(&pod), pod);
}
