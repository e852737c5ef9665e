//! From Azure Workload Identity and back, by the commands of its page.

use super::served::with_one_identity;
use super::stream::Stream;
use super::{begin_without_keysluice, file, uninstall};
use crate::reader::Reader;
use crate::scene::{BUSYBOX, Scene};
use crate::world::{PATIENCE, TENANT, until};
use anyhow::Context as _;
use serde_json::{Value, json};

crate::scenarios!(
    from_azure_workload_identity_and_back_no_pod_is_refused_and_each_has_one_identity,
);

const PAGE: &str = "azure-workload-identity";
const NAMESPACE: &str = "azure-workload-identity-system";
const CHART: &str = "azure-workload-identity/workload-identity-webhook";
const LAYOUTS: [(&str, &str); 2] = [
    ("v1.6.0", "/var/run/secrets/azure/wi/token/azure-identity-token"),
    ("v1.5", "/var/run/secrets/azure/tokens/azure-identity-token"),
];

async fn from_azure_workload_identity_and_back_no_pod_is_refused_and_each_has_one_identity(
    scene: &Scene,
) -> anyhow::Result<()> {
    begin_without_keysluice(scene).await?;
    scene.also(NAMESPACE);
    let chart = file("charts/workload-identity-webhook")?;
    let mut page = Reader::open(scene, &[PAGE])?.replacing("TENANT", TENANT);
    page.has_chart(CHART, &chart)?;
    std::fs::write(page.file("pod.yaml"), labelled(scene, "shown").to_string())?;

    // As somebody has it who comes from it: two values that must not be taken over.
    let chart = chart.display().to_string();
    let there = ["install", "workload-identity-webhook", &chart, "--create-namespace"];
    let tenant = format!("azureTenantID={TENANT}");
    let values = ["--set", &tenant, "--set", "image.release=v1.6.0,resources.limits.memory=30Mi"];
    scene.world.helm_in(NAMESPACE, &[&there[..], &values].concat()).await?;
    until_it_serves(scene).await?;
    has_token(scene, "there", None, LAYOUTS[0].1).await?;

    let mut pods = vec![labelled(scene, "streamed")];
    pods.extend(["v1.5", "v1.6.1"].map(|layout| with_annotation(scene, "streamed", layout)));
    let stream = Stream::begin(scene, pods, with_one_identity);
    let moved = follow(scene, &mut page).await;
    let tally = stream.end(scene, "from Azure Workload Identity and back").await;
    moved?;
    tally?;
    page.gave_all()
}

/// Waits until it serves. The kubelet would bring it its certificate a minute later, when it next
/// looks at the pods; a change of theirs makes it look.
async fn until_it_serves(scene: &Scene) -> anyhow::Result<()> {
    let api = &scene.world.api;
    let path = |kind: &str| format!("/api/v1/namespaces/{NAMESPACE}/{kind}");
    until("it has made its certificate", PATIENCE, async || {
        let secret = api.get(&path("secrets/azure-wi-webhook-server-cert")).await?;
        Ok(secret["data"]["tls.crt"].is_string().then_some(()))
    })
    .await?;
    for pod in api.get(&path("pods")).await?["items"].as_array().into_iter().flatten() {
        let name = pod["metadata"]["name"].as_str().context("no name")?;
        let touched = json!({"metadata": {"annotations": {"touched": "true"}}});
        api.patch(&path(&format!("pods/{name}")), &touched).await?;
    }
    let deployment = "deployment/azure-wi-webhook-controller-manager";
    let status = ["rollout", "status", deployment, "--timeout=300s", "--namespace", NAMESPACE];
    scene.world.kubectl(&status).await?;
    Ok(())
}

async fn follow(scene: &Scene, page: &mut Reader<'_>) -> anyhow::Result<()> {
    page.give("helm get values workload-identity-webhook").await?;
    take_over(scene, page)?;
    page.give("helm install keysluice").await?;
    shows_one_identity(page).await?;
    has_token(scene, "beside", Some("v1.5"), LAYOUTS[0].1).await?;
    let proxies = page.give("kubectl get pods --all-namespaces").await?;
    anyhow::ensure!(proxies.contains("beside") && !proxies.contains("true"), "{proxies}");
    page.give("kubectl delete mutatingwebhookconfiguration").await?;
    page.give("helm uninstall workload-identity-webhook").await?;
    for (layout, path) in LAYOUTS {
        has_token(scene, &format!("here-{}", layout.replace('.', "-")), Some(layout), path).await?;
    }

    // Back.
    page.give("helm install workload-identity-webhook").await?;
    page.give("kubectl --namespace azure-workload-identity-system rollout status").await?;
    page.give("helm upgrade workload-identity-webhook").await?;
    shows_one_identity(page).await?;
    uninstall(scene).await?;
    has_token(scene, "back", None, LAYOUTS[0].1).await?;
    // What ran before runs on.
    for pod in ["there", "beside", "here-v1-5"] {
        let now = scene.running(pod).await?;
        let restarts = &now["status"]["containerStatuses"][0]["restartCount"];
        anyhow::ensure!(*restarts == 0, "{pod}: {restarts} restarts");
    }
    Ok(())
}

/// The values as the page has somebody edit them.
fn take_over(scene: &Scene, page: &Reader<'_>) -> anyhow::Result<()> {
    let path = page.file("values.yaml");
    let mut values: Value = serde_saphyr::from_str(&std::fs::read_to_string(&path)?)?;
    let map = values.as_object_mut().context("no values")?;
    for key in ["image", "resources"] {
        anyhow::ensure!(map.remove(key).is_some(), "no {key} to take out");
    }
    anyhow::ensure!(map.get("azureTenantID") == Some(&json!(TENANT)), "no tenant in {map:?}");
    let ours = scene.world.values();
    for key in ["image", "injector", "azureEnvironmentDefinition"] {
        map.insert(key.to_owned(), ours[key].clone());
    }
    Ok(std::fs::write(path, values.to_string())?)
}

async fn shows_one_identity(page: &mut Reader<'_>) -> anyhow::Result<()> {
    let shown = page.give("kubectl create --dry-run=server --output yaml").await?;
    with_one_identity(&serde_saphyr::from_str(&shown)?).map_err(anyhow::Error::msg)?;
    Ok(())
}

fn labelled(scene: &Scene, name: &str) -> Value {
    let script = r#"test -s "$AZURE_FEDERATED_TOKEN_FILE" && echo "$AZURE_FEDERATED_TOKEN_FILE"
        sleep infinity"#;
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": scene.namespace,
            "labels": {"azure.workload.identity/use": "true"}},
        "spec": {"serviceAccountName": "app", "terminationGracePeriodSeconds": 1,
            "containers": [{"name": "app", "image": BUSYBOX, "command": ["sh", "-c", script]}]}})
}

fn with_annotation(scene: &Scene, name: &str, layout: &str) -> Value {
    let mut pod = labelled(scene, name);
    pod["metadata"]["annotations"] = json!({"keysluice.dev/token-layout": layout});
    pod
}

/// A pod that runs, with its token where it should be.
async fn has_token(
    scene: &Scene,
    name: &str,
    layout: Option<&str>,
    path: &str,
) -> anyhow::Result<()> {
    let pod = match layout {
        Some(layout) => with_annotation(scene, name, layout),
        None => labelled(scene, name),
    };
    scene.create("pods", &pod).await?;
    scene.running(name).await?;
    scene.says(name, path).await?;
    Ok(())
}
