//! Our own CA on a real API server, with exactly the chart's rights: rotation under load, and what
//! heals.

use super::stage::{CONFIGURATION, Stage};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const SECRET: &str = "/api/v1/namespaces/keysluice-system/secrets/keysluice-tls";
const LIVES: [&str; 8] = [
    "--bundle-propagation",
    "1s",
    "--certificate-lifetime",
    "3s",
    "--authority-lifetime",
    "10s",
    "--clock-tolerance",
    "1s",
];

async fn bundles(stage: &Stage) -> Vec<String> {
    let configuration = stage.request(Method::GET, CONFIGURATION, None).await.unwrap();
    let entries = configuration["webhooks"].as_array().unwrap().iter();
    entries
        .map(|entry| entry["clientConfig"]["caBundle"].as_str().unwrap_or_default().to_owned())
        .collect()
}

fn authorities(bundle: &str) -> usize {
    String::from_utf8(BASE64_STANDARD.decode(bundle).unwrap())
        .unwrap()
        .matches("BEGIN CERTIFICATE")
        .count()
}

/// Whether the API server reaches the webhook, and the pod comes back mutated.
pub(crate) async fn is_mutated(stage: &Stage) -> Result<(), String> {
    let pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"generateName": "p-", "labels": {"azure.workload.identity/use": "true"}},
        "spec": {"containers": [{"name": "app", "image": "registry.test/app:1"}]}});
    let created = stage.dry_run(&pod).await.map_err(|refused| refused.message)?;
    let mutated =
        created["spec"]["volumes"].to_string().contains("azure-workload-identity-reserved");
    if mutated { Ok(()) } else { Err(format!("not mutated: {created}")) }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn no_pod_is_refused_while_certificate_and_authority_rotate_and_losses_heal() {
    let stage = Stage::open().await;
    stage.install().await;
    let webhook = stage.serve(&LIVES).await;
    stage
        .until("the API server trusts the webhook", async || is_mutated(&stage).await.is_ok())
        .await;

    let (mut created, mut seen) = (0_u32, Vec::<String>::new());
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(20) {
        is_mutated(&stage)
            .await
            .unwrap_or_else(|error| panic!("after {created} pods: {error}\n{}", webhook.log()));
        created += 1;
        let bundle = bundles(&stage).await.remove(0);
        if seen.last() != Some(&bundle) {
            seen.push(bundle);
        }
    }
    println!("{created} pods through {} publications of caBundle", seen.len());
    assert!(created > 50 && seen.len() >= 6, "{created} pods, {} publications", seen.len());
    assert!(
        seen.iter().all(|bundle| authorities(bundle) >= 1)
            && seen.iter().any(|bundle| authorities(bundle) > 1)
    );

    // Somebody empties caBundle: mended before anybody notices much.
    let emptied: Vec<Value> = (0..3)
        .map(|index| {
            json!({"op": "remove",
            "path": format!("/webhooks/{index}/clientConfig/caBundle")})
        })
        .collect();
    stage.request(Method::PATCH, CONFIGURATION, Some(&json!(emptied))).await.unwrap();
    let begun = Instant::now();
    stage
        .until("caBundle is back", async || {
            bundles(&stage).await.iter().all(|bundle| !bundle.is_empty())
        })
        .await;
    println!("an emptied caBundle was back after {} ms", begun.elapsed().as_millis());
    stage.until("pods are mutated again", async || is_mutated(&stage).await.is_ok()).await;

    // The Secret goes, in three ways: no pod is refused meanwhile.
    for damage in
        [None, Some(json!({"data": null})), Some(json!({"data": {"ca.key": "Z2FyYmFnZQ=="}}))]
    {
        let before =
            stage.request(Method::GET, SECRET, None).await.unwrap()["data"]["ca.key"].clone();
        match &damage {
            None => drop(stage.request(Method::DELETE, SECRET, None).await.unwrap()),
            Some(damage) => drop(stage.request(Method::PATCH, SECRET, Some(damage)).await.unwrap()),
        }
        let begun = Instant::now();
        loop {
            is_mutated(&stage)
                .await
                .unwrap_or_else(|error| panic!("{damage:?}: {error}\n{}", webhook.log()));
            let secret = stage.request(Method::GET, SECRET, None).await;
            let is_whole = secret.as_ref().is_ok_and(|secret| {
                let data = &secret["data"];
                secret["type"] == "Opaque"
                    && data["tls.crt"].is_string()
                    && data["ca.key"].is_string()
                    && data["ca.key"] != before
            });
            if is_whole
                && damage
                    .as_ref()
                    .is_none_or(|_| secret.unwrap()["data"]["ca.key"] != "Z2FyYmFnZQ==")
            {
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{damage:?}\n{}", webhook.log());
        }
    }
}
