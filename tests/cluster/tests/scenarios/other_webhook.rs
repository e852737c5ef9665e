//! Somebody else's mutating webhook, called after ours: it adds a container and renames the pod.

use crate::scene::{BUSYBOX, SHOW, Scene};
use crate::world::until;
use anyhow::Context as _;
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

crate::scenarios!(
    a_container_that_another_webhook_adds_later_gets_the_identity_and_there_is_one_sidecar
);

const CONFIGURATIONS: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";

async fn a_container_that_another_webhook_adds_later_gets_the_identity_and_there_is_one_sidecar(
    scene: &Scene,
) -> anyhow::Result<()> {
    let (authority, certificate, key) = certificate("127.0.0.1")?;
    let chain =
        CertificateDer::pem_slice_iter(certificate.as_bytes()).collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())?;
    let tls = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("https://127.0.0.1:{}/", listener.local_addr()?.port());
    let server = tokio::spawn(serve(listener, TlsAcceptor::from(Arc::new(tls))));
    // Sorts after ours.
    let name = "zz-other";
    let configuration = json!({"metadata": {"name": name}, "webhooks": [{
        "name": "other.example.test", "admissionReviewVersions": ["v1"], "sideEffects": "None",
        "failurePolicy": "Fail",
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": scene.namespace}},
        "clientConfig": {"url": url, "caBundle": BASE64_STANDARD.encode(authority)},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"],
            "resources": ["pods"]}],
    }]});
    scene.world.api.create(CONFIGURATIONS, &configuration).await?;
    let result = look(scene).await;
    scene.world.api.delete(&format!("{CONFIGURATIONS}/{name}")).await?;
    server.abort();
    result
}

async fn look(scene: &Scene) -> anyhow::Result<()> {
    let path = format!("{}?dryRun=All", scene.path("pods"));
    until("the other webhook is called", Duration::from_secs(20), async || {
        let pod = scene.world.api.create(&path, &scene.pod("probe", SHOW)).await?;
        Ok((pod["spec"]["containers"].as_array().map(Vec::len) == Some(2)).then_some(()))
    })
    .await?;
    let mut pod = scene.pod("unused", SHOW);
    pod["metadata"] = json!({"generateName": "before-", "labels": pod["metadata"]["labels"]});
    let created = scene.create("pods", &pod).await?;
    let spec = &created["spec"];
    let sidecars = spec["initContainers"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|one| one["name"] == "keysluice");
    anyhow::ensure!(sidecars.count() == 1, "not one sidecar: {spec}");
    let extra =
        spec["containers"].as_array().into_iter().flatten().find(|one| one["name"] == "extra");
    let extra = extra.context("the other webhook's container is gone")?;
    let has = |list: &str, name: &str| {
        extra[list].as_array().is_some_and(|all| all.iter().any(|one| one["name"] == name))
    };
    anyhow::ensure!(has("env", "AZURE_CLIENT_ID"), "no identity: {extra}");
    let tokens = spec["volumes"].as_array().into_iter().flatten().filter(|volume| {
        volume["projected"]["sources"].to_string().contains("api://AzureADTokenExchange")
    });
    anyhow::ensure!(tokens.count() == 1, "not one token volume: {spec}");
    let name = created["metadata"]["name"].as_str().context("no name")?;
    anyhow::ensure!(name.starts_with("after-"), "the pod was not renamed: {name}");
    scene.says(name, "first").await?;
    Ok(())
}

/// An authority, and what it signed for a name: three PEM texts.
fn certificate(name: &str) -> anyhow::Result<(String, String, String)> {
    let authority_key = rcgen::KeyPair::generate()?;
    let mut authority = rcgen::CertificateParams::default();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_pem = authority.self_signed(&authority_key)?.pem();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = rcgen::KeyPair::generate()?;
    let mut leaf = rcgen::CertificateParams::new(vec![name.to_owned()])?;
    leaf.use_authority_key_identifier_extension = true;
    let certificate = leaf.signed_by(&key, &issuer)?;
    Ok((authority_pem, certificate.pem(), key.serialize_pem()))
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor) -> anyhow::Result<()> {
    let router =
        Router::new().route("/", post(async |Json(review): Json<Value>| Json(answer(&review))));
    loop {
        let (connection, _) = listener.accept().await?;
        let (acceptor, router) = (acceptor.clone(), router.clone());
        tokio::spawn(async move {
            // Whoever hangs up is nobody's concern.
            if let Ok(stream) = acceptor.accept(connection).await {
                let service = TowerToHyperService::new(router);
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            }
        });
    }
}

fn answer(review: &Value) -> Value {
    let request = &review["request"];
    let pod = &request["object"];
    let extra = json!({"name": "extra", "image": BUSYBOX, "command": ["sleep", "infinity"]});
    let mut patch = vec![json!({"op": "add", "path": "/spec/containers/-", "value": extra})];
    if pod["metadata"]["generateName"].is_string() {
        let name = format!("after-{}", request["uid"].as_str().unwrap_or_default());
        patch.push(json!({"op": "add", "path": "/metadata/name", "value": name}));
    }
    let patch = BASE64_STANDARD.encode(Value::from(patch).to_string());
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "response": {"uid": request["uid"], "allowed": true, "patchType": "JSONPatch",
            "patch": patch}})
}
