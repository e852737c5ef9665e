//! What somebody could do who owns the webhook's ServiceAccount: as good as nothing.

use crate::scene::Scene;
use crate::world::RELEASE;
use anyhow::{Context as _, bail};
use keysluice_cluster::api::{Api, Refused};
use serde_json::{Value, json};

crate::scenarios!(
    the_webhooks_own_rights_change_its_ca_bundle_and_nothing_else,
    the_webhook_may_do_what_the_design_lists
);

const CONFIGURATION: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/keysluice";

/// The API server as the webhook may use it.
async fn as_webhook(scene: &Scene) -> anyhow::Result<Api> {
    let path = format!("/api/v1/namespaces/{RELEASE}/serviceaccounts/keysluice/token");
    let token = scene.world.api.create(&path, &json!({"spec": {}})).await?;
    Ok(scene.world.api.with_token(token["status"]["token"].as_str().context("no token")?))
}

async fn the_webhooks_own_rights_change_its_ca_bundle_and_nothing_else(scene: &Scene) -> anyhow::Result<()> {
    let webhook = as_webhook(scene).await?;
    let before = scene.world.api.get(CONFIGURATION).await?["webhooks"].clone();
    let mut widened = before.clone();
    widened[0]["objectSelector"] = json!({});
    let mut ignored = before.clone();
    ignored[0]["failurePolicy"] = json!("Ignore");
    let mut elsewhere = before.clone();
    elsewhere[0]["clientConfig"] = json!({"url": "https://elsewhere.example.test/"});
    let mut rules = before.clone();
    rules[0]["rules"][0]["resources"] = json!(["secrets"]);
    let mut more = before.clone();
    let mut added = before[0].clone();
    added["name"] = json!("more.keysluice.dev");
    more.as_array_mut().context("no list")?.push(added);
    for (what, webhooks) in [
        ("object selector", &widened),
        ("failure policy", &ignored),
        ("address", &elsewhere),
        ("rules", &rules),
        ("another webhook", &more),
    ] {
        let changes = json!({"webhooks": webhooks});
        let refused = webhook.patch(CONFIGURATION, &changes).await;
        is_refused(what, refused)?;
    }
    let same = json!({"webhooks": before});
    webhook.patch(CONFIGURATION, &same).await.context("its own configuration, unchanged")?;

    let secrets = format!("/api/v1/namespaces/{RELEASE}/secrets");
    let token = json!({"metadata": {"name": "keysluice-tls-2", "annotations": {"kubernetes.io/service-account.name": "keysluice"}},
        "type": "kubernetes.io/service-account-token"});
    is_refused("a Secret of another name", webhook.create(&secrets, &json!({"metadata": {"name": "other"}})).await)?;
    is_refused("a Secret that becomes a token", webhook.create(&secrets, &token).await)?;
    is_refused("a Secret of somebody else", webhook.get(&scene.path("secrets")).await)
}

fn is_refused(what: &str, result: anyhow::Result<Value>) -> anyhow::Result<()> {
    let Err(error) = result else { bail!("{what}: it was allowed") };
    let refused = error.downcast_ref::<Refused>().with_context(|| format!("{what}: {error:#}"))?;
    anyhow::ensure!(refused.code == 403 || refused.code == 422, "{what}: {refused}");
    Ok(())
}

async fn the_webhook_may_do_what_the_design_lists(scene: &Scene) -> anyhow::Result<()> {
    let account = format!("--as=system:serviceaccount:{RELEASE}:keysluice");
    for namespace in [RELEASE, &scene.namespace] {
        let may = ["auth", "can-i", "--list", "--no-headers", "--namespace", namespace, &account];
        let list = scene.world.kubectl(&may).await?;
        for line in list.lines() {
            let mut words = line.split_whitespace();
            let resource = words.next().unwrap_or_default();
            // Everybody may ask what they may, and read the API's own description.
            let is_everybodys = resource.starts_with("selfsubject") || resource.starts_with('[');
            let is_ours = resource.starts_with("serviceaccounts") && !resource.contains('/')
                || resource.starts_with("secretproviderclasses.")
                || resource.starts_with("csidrivers.")
                || resource.starts_with("mutatingwebhookconfigurations.") && line.contains("[keysluice]")
                || resource == "secrets" && namespace == RELEASE
                // Every ServiceAccount may read trust bundles since Kubernetes 1.27.
                || resource.starts_with("clustertrustbundles.");
            anyhow::ensure!(is_everybodys || is_ours, "in {namespace}: {line}");
            anyhow::ensure!(!line.contains('*') || is_everybodys, "in {namespace}: {line}");
        }
    }
    Ok(())
}
