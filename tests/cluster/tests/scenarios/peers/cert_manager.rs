//! Certificates by cert-manager: made, renewed, of another authority; from there to our own and
//! back, forwards and by a rollback.

use super::served::{with_one_identity, with_one_identity_or_none};
use super::stream::Stream;
use super::{begin_without_keysluice, create, file, install, settled};
use crate::reader::Reader;
use crate::scene::{BUSYBOX, Scene};
use crate::webhook;
use crate::world::{PATIENCE, RELEASE, until};
use anyhow::Context as _;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::process::Stdio;
use tokio::process::{Child, Command};

crate::scenarios!(with_cert_manager_to_own_certificates_and_back_no_pod_is_refused);

const CERTIFICATES: &str = "/apis/cert-manager.io/v1/namespaces/keysluice-system/certificates";

async fn with_cert_manager_to_own_certificates_and_back_no_pod_is_refused(
    scene: &Scene,
) -> anyhow::Result<()> {
    begin_without_keysluice(scene).await?;
    let _cert_manager = cert_manager(scene).await?;
    let stream = Stream::begin(scene, labelled(), with_one_identity_or_none);
    let installed = install(scene, &["--set", "certManager.enabled=true"]).await;
    stream.end(scene, "installation with cert-manager").await?;
    installed?;
    for (during, certificates) in [
        ("a renewal by cert-manager", &["keysluice"][..]),
        ("another authority of cert-manager's", &["keysluice-ca", "keysluice"]),
    ] {
        let stream = Stream::begin(scene, labelled(), with_one_identity);
        let renewed = renew_everywhere(scene, certificates).await;
        stream.end(scene, during).await?;
        renewed.context(during)?;
    }
    let mut page = Reader::open(scene, &["upgrade"])?;
    let upgrade = "helm upgrade keysluice webhook-config/chart --namespace keysluice-system \
        --reset-then-reuse-values --set certManager.enabled=";
    for (during, command) in [
        ("cert-manager -> own certificates", format!("{upgrade}false").as_str()),
        ("own certificates -> cert-manager", &format!("{upgrade}true")),
        ("rollback from cert-manager to own certificates", "helm rollback keysluice"),
    ] {
        let stream = Stream::begin(scene, labelled(), with_one_identity);
        let moved = async {
            page.give(command).await?;
            settled(&mut page).await?;
            webhook::is_ready(scene, 2).await
        };
        let moved = moved.await;
        stream.end(scene, during).await?;
        moved.context(during)?;
    }
    Ok(())
}

/// Cert-manager, until it is dropped.
async fn cert_manager(scene: &Scene) -> anyhow::Result<Child> {
    let world = &scene.world;
    let path = "/apis/cert-manager.io/v1/certificates";
    if world.api.find(path).await?.is_none() {
        create(world, "crds").await?;
    }
    until("certificates can be listed", PATIENCE, async || world.api.find(path).await).await?;
    let log = world.layout.log("cert-manager");
    let log = std::fs::File::options().create(true).append(true).open(log)?;
    let mut command = Command::new(file("bin/cert-manager")?);
    command.arg("--kubeconfig").arg(world.layout.kubeconfig()).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    command.spawn().context("starting cert-manager")
}

fn labelled() -> Vec<Value> {
    vec![json!({
        "metadata": {"generateName": "streamed-",
            "labels": {"azure.workload.identity/use": "true"}},
        "spec": {"serviceAccountName": "app", "containers": [{"name": "app", "image": BUSYBOX}]},
    })]
}

/// Renews these one after the other, and waits until every replica serves another certificate than
/// before: the kubelet brings it when it looks at the pod again.
async fn renew_everywhere(scene: &Scene, certificates: &[&str]) -> anyhow::Result<()> {
    let before = expiries(scene).await?;
    for certificate in certificates {
        renew(scene, certificate).await?;
    }
    until("every replica serves the new certificate", PATIENCE * 3, async || {
        let now = expiries(scene).await?;
        Ok((now.len() == 1 && now.is_disjoint(&before)).then_some(()))
    })
    .await
}

/// Does as `cmctl renew` does, and waits until the Secret has another certificate.
async fn renew(scene: &Scene, certificate: &str) -> anyhow::Result<()> {
    let (api, path) = (&scene.world.api, format!("{CERTIFICATES}/{certificate}"));
    let found = api.get(&path).await?;
    let secret = found["spec"]["secretName"].as_str().context("no secretName")?;
    let secret = format!("/api/v1/namespaces/{RELEASE}/secrets/{secret}");
    let old = api.get(&secret).await?["data"]["tls.crt"].clone();
    let mut conditions = found["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.retain(|condition| condition["type"] != "Issuing");
    conditions.push(json!({"type": "Issuing", "status": "True", "reason": "ManuallyTriggered",
        "message": "told to", "lastTransitionTime": "2026-01-01T00:00:00Z"}));
    api.patch(&format!("{path}/status"), &json!({"status": {"conditions": conditions}})).await?;
    until(&format!("{certificate} is renewed"), PATIENCE, async || {
        let now = api.get(&secret).await?;
        Ok((now["data"]["tls.crt"] != old).then_some(()))
    })
    .await
}

/// When the certificates expire that the replicas serve, by their own metrics.
async fn expiries(scene: &Scene) -> anyhow::Result<BTreeSet<String>> {
    let mut expiries = BTreeSet::new();
    for pod in webhook::pods(scene).await? {
        let name = pod["metadata"]["name"].as_str().context("no name")?;
        let path = format!("/api/v1/namespaces/{RELEASE}/pods/{name}:9440/proxy/metrics");
        let metrics = scene.world.api.text(&path).await?;
        let gauge = "keysluice_certificate_expiry_timestamp_seconds ";
        let value = metrics.lines().find_map(|line| line.strip_prefix(gauge));
        expiries.insert(value.context("no expiry")?.to_owned());
    }
    Ok(expiries)
}
