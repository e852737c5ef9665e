//! Where the certificate comes from somebody else: cert-manager, whom the test plays, and files
//! that are given; and the ways back.

use super::certificates::is_mutated;
use super::helm::Helm;
use super::stage::{CONFIGURATION, NAMESPACE, Stage, manifest};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const SECRETS: &str = "/api/v1/namespaces/keysluice-system/secrets";

/// The kinds of cert-manager that the chart has.
async fn define(stage: &Stage) {
    for (kind, plural) in [("Certificate", "certificates"), ("Issuer", "issuers")] {
        let schema = json!({"openAPIV3Schema": {"type": "object",
            "x-kubernetes-preserve-unknown-fields": true}});
        let definition = json!({"apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.cert-manager.io")},
            "spec": {"group": "cert-manager.io", "scope": "Namespaced",
                "names": {"kind": kind, "plural": plural},
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": schema}]}});
        stage.create(&definition).await.unwrap();
        let served = format!("/apis/cert-manager.io/v1/{plural}");
        stage.until(plural, async || stage.request(Method::GET, &served, None).await.is_ok()).await;
    }
}

/// A certificate as an authority would give it, and the authority.
struct Issued {
    certificate: String,
    key: String,
    authority: String,
}

fn issue(names: &[String]) -> Issued {
    let authority_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&authority_key).unwrap().pem();
    // The API server calls the loopback here, not the Service.
    let names: Vec<String> = names.iter().cloned().chain(["127.0.0.1".to_owned()]).collect();
    let key = KeyPair::generate().unwrap();
    let issuer = Issuer::new(params, authority_key);
    let certificate =
        CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap().pem();
    Issued { certificate, key: key.serialize_pem(), authority }
}

/// What cert-manager and its cainjector do with the chart's Certificate.
async fn play_cert_manager(stage: &Stage) {
    let certificate = "/apis/cert-manager.io/v1/namespaces/keysluice-system/certificates/keysluice";
    let certificate = stage.request(Method::GET, certificate, None).await.unwrap();
    let names: Vec<String> =
        serde_json::from_value(certificate["spec"]["dnsNames"].clone()).unwrap();
    assert!(names.contains(&"keysluice.keysluice-system.svc".to_owned()), "{names:?}");
    let issued = issue(&names);
    let name = certificate["spec"]["secretName"].as_str().unwrap();
    write_secret(stage, name, &issued, json!({"cert-manager.io/certificate-name": "keysluice"}))
        .await;
    let configuration = stage.request(Method::GET, CONFIGURATION, None).await.unwrap();
    let from = &configuration["metadata"]["annotations"]["cert-manager.io/inject-ca-from"];
    assert_eq!(*from, format!("{NAMESPACE}/keysluice"));
    let bundle = BASE64_STANDARD.encode(&issued.authority);
    let write = |index| {
        json!({"op": "add",
        "path": format!("/webhooks/{index}/clientConfig/caBundle"), "value": bundle})
    };
    stage
        .request(Method::PATCH, CONFIGURATION, Some(&json!([write(0), write(1), write(2)])))
        .await
        .unwrap();
}

async fn write_secret(stage: &Stage, name: &str, issued: &Issued, annotations: Value) {
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"name": name, "namespace": NAMESPACE, "annotations": annotations},
        "stringData": {"tls.crt": issued.certificate, "tls.key": issued.key,
            "ca.crt": issued.authority}});
    stage.create(&secret).await.unwrap();
}

/// The volume of the Deployment, as a kubelet would mount it.
async fn mounted(stage: &Stage) -> PathBuf {
    let deployment = "/apis/apps/v1/namespaces/keysluice-system/deployments/keysluice";
    let deployment = stage.request(Method::GET, deployment, None).await.unwrap();
    let spec = &deployment["spec"]["template"]["spec"];
    assert_eq!(spec["containers"][0]["volumeMounts"][0]["name"], "tls");
    let secret = spec["volumes"][0]["secret"]["secretName"].as_str().unwrap();
    let secret = stage.request(Method::GET, &format!("{SECRETS}/{secret}"), None).await.unwrap();
    let directory = stage.directory.path().join(secret["metadata"]["name"].as_str().unwrap());
    std::fs::create_dir(&directory).unwrap();
    for (file, content) in secret["data"].as_object().unwrap() {
        let content = BASE64_STANDARD.decode(content.as_str().unwrap()).unwrap();
        tokio::fs::write(directory.join(file), content).await.unwrap();
    }
    directory
}

/// Pods are mutated through a webhook that serves what the Deployment mounts.
async fn serves_what_is_mounted(stage: &Stage) {
    let directory = mounted(stage).await;
    let webhook = stage.start(&["--tls-dir", directory.to_str().unwrap()]).await;
    stage.until("pods are mutated", async || is_mutated(stage).await.is_ok()).await;
    drop(webhook);
    stage.lead_back().await;
}

async fn serves_its_own(stage: &Stage) {
    // Beside an authority that is published already it waits until API servers know the new one; a
    // minute by default.
    let webhook = stage.serve(&["--bundle-propagation=1s"]).await;
    stage.until("pods are mutated", async || is_mutated(stage).await.is_ok()).await;
    drop(webhook);
    stage.lead_back().await;
}

async fn upgrade(helm: &Helm, values: &[&str]) {
    helm.run(&[&["upgrade", "keysluice", "webhook-config/chart"][..], values].concat()).await;
}

/// An uninstall without its job.
async fn uninstall(stage: &Stage, helm: &Helm) {
    for object in manifest("webhook-config/install.yaml") {
        let kind = object["kind"].as_str().unwrap();
        if kind == "MutatingWebhookConfiguration"
            || object["metadata"]["name"].as_str().unwrap().contains("guard")
        {
            drop(stage.request(Method::DELETE, &super::stage::path(&object), None).await);
        }
    }
    helm.run(&["uninstall", "keysluice", "--no-hooks"]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn cert_manager_and_given_files_serve_and_every_way_back_is_open() {
    let stage = Stage::open().await;
    let helm = Helm::of(&stage).await;
    define(&stage).await;
    helm.run(&[
        "install",
        "keysluice",
        "webhook-config/chart",
        "--set",
        "certManager.enabled=true",
    ])
    .await;
    play_cert_manager(&stage).await;
    serves_what_is_mounted(&stage).await;

    // Back to its own: what cert-manager leaves behind must not be in the way.
    upgrade(&helm, &["--set", "certManager.enabled=false"]).await;
    let left = format!("{SECRETS}/keysluice-cert-manager-tls");
    assert!(
        stage.request(Method::GET, &left, None).await.is_ok(),
        "cert-manager deletes no Secret, nor does Helm"
    );
    serves_its_own(&stage).await;

    // To a given one, and back.
    let issued = issue(&[format!("keysluice.{NAMESPACE}.svc")]);
    write_secret(&stage, "mine", &issued, json!({})).await;
    let bundle = write(stage.directory.path(), "ca.pem", &issued.authority);
    upgrade(
        &helm,
        &["--set", "tls.existingSecret=mine", "--set-file", &format!("tls.caBundle={bundle}")],
    )
    .await;
    serves_what_is_mounted(&stage).await;
    upgrade(&helm, &["--reset-values"]).await;
    serves_its_own(&stage).await;

    // Installed again with its own, beside what cert-manager left; and with cert-manager again.
    uninstall(&stage, &helm).await;
    helm.run(&["install", "keysluice", "webhook-config/chart"]).await;
    serves_its_own(&stage).await;
    uninstall(&stage, &helm).await;
    helm.run(&[
        "install",
        "keysluice",
        "webhook-config/chart",
        "--set",
        "certManager.enabled=true",
    ])
    .await;
}

fn write(directory: &Path, name: &str, content: &str) -> String {
    let path = directory.join(name);
    std::io::Write::write_all(&mut std::fs::File::create(&path).unwrap(), content.as_bytes())
        .unwrap();
    path.display().to_string()
}
