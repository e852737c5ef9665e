//! What only an API server does with a webhook: dry runs, subresources, objects that come late,
//! change or go.

use crate::scene::{BUSYBOX, SHOW, Scene, sidecar};
use crate::world::{PATIENCE, until};
use anyhow::Context as _;
use serde_json::{Value, json};

crate::scenarios!(
    a_dry_run_shows_the_sidecar_and_makes_nothing,
    an_ephemeral_container_gets_the_identity,
    a_service_account_may_come_after_its_deployment,
    class_account_and_pod_in_one_manifest_work_at_once,
    an_edited_class_reaches_the_next_pod_and_a_running_one,
    a_deleted_class_refuses_the_next_pod_and_leaves_the_running_one,
    a_pod_without_label_and_volume_is_not_touched,
    a_label_alone_gives_the_identity_and_no_sidecar,
    a_foreign_container_named_as_ours_is_refused,
    a_vault_that_refuses_shows_its_reason_in_describe,
);

/// Waits until ten dry runs in a row show a sidecar with `text` in it: whatever replica answers
/// knows it.
pub(crate) async fn until_seen(scene: &Scene, text: &str) -> anyhow::Result<()> {
    let path = format!("{}?dryRun=All", scene.path("pods"));
    let mut row = 0;
    let pod = scene.pod("probe", SHOW);
    until(&format!("the webhook knows {text}"), PATIENCE, async || {
        loop {
            let created = scene.world.api.create(&path, &pod).await?;
            let seen = sidecar(&created)?.to_string().contains(text);
            row = if seen { row + 1 } else { 0 };
            if row == 0 || row >= 10 {
                return Ok((row >= 10).then_some(()));
            }
        }
    })
    .await
}

async fn a_dry_run_shows_the_sidecar_and_makes_nothing(scene: &Scene) -> anyhow::Result<()> {
    let path = format!("{}?dryRun=All", scene.path("pods"));
    let shown = scene.world.api.create(&path, &scene.pod("dry", SHOW)).await?;
    sidecar(&shown)?;
    anyhow::ensure!(
        scene.world.api.find(&format!("{}/dry", scene.path("pods"))).await?.is_none(),
        "it was made"
    );
    Ok(())
}

async fn an_ephemeral_container_gets_the_identity(scene: &Scene) -> anyhow::Result<()> {
    scene.create("pods", &scene.pod("debugged", SHOW)).await?;
    scene.running("debugged").await?;
    let changes = json!({"spec": {"ephemeralContainers": [{"name": "debug", "image": BUSYBOX,
        "command": ["sh", "-c", "cat $AZURE_FEDERATED_TOKEN_FILE | wc -c; sleep infinity"]}]}});
    let path = format!("{}/debugged/ephemeralcontainers", scene.path("pods"));
    scene.world.api.patch(&path, &changes).await?;
    let log = format!("{}/debugged/log?container=debug", scene.path("pods"));
    until("the ephemeral container reads its token", PATIENCE, async || {
        let log = scene.world.api.text(&log).await?;
        Ok(log.trim().parse::<usize>().ok().filter(|&length| length > 500))
    })
    .await?;
    Ok(())
}

async fn a_service_account_may_come_after_its_deployment(scene: &Scene) -> anyhow::Result<()> {
    let mut template = scene.template("late", SHOW);
    template["spec"]["serviceAccountName"] = json!("late");
    let deployment = json!({"metadata": {"name": "late"}, "spec": {"replicas": 1,
        "selector": {"matchLabels": {"app": "late"}}, "template": template}});
    scene.create("deployments", &deployment).await?;
    until("the controller was refused", PATIENCE, async || {
        let events = scene.world.api.get(&scene.path("events")).await?.to_string();
        Ok(events.contains("serviceaccount \\\"late\\\" not found").then_some(()))
    })
    .await?;
    let account = json!({"metadata": {"name": "late",
        "annotations": {"azure.workload.identity/client-id": scene.client_id}}});
    scene.create("serviceaccounts", &account).await?;
    let subject = format!("system:serviceaccount:{}:late", scene.namespace);
    let app = json!({"apps": [{"clientId": scene.client_id, "tenantId": crate::world::TENANT,
        "federatedCredentials": [{"issuer": keysluice_cluster::layout::ISSUER,
            "subject": subject}]}]});
    scene.world.emulator.seed(serde_json::from_value(app)?)?;
    let pods = scene.all_running("late", 1, PATIENCE).await?;
    scene.says(pods[0]["metadata"]["name"].as_str().unwrap_or_default(), "first").await?;
    Ok(())
}

async fn class_account_and_pod_in_one_manifest_work_at_once(scene: &Scene) -> anyhow::Result<()> {
    // Ten times, so that no cache of a replica can have been lucky.
    for number in 0..10 {
        let (class, name) = (format!("fresh-{number}"), format!("at-once-{number}"));
        let mut pod = scene.pod(&name, SHOW);
        pod["spec"]["volumes"][0]["csi"]["volumeAttributes"]["secretProviderClass"] = json!(class);
        scene.class(&class, &["db"], &json!({})).await?;
        let created =
            scene.world.api.create(&format!("{}?dryRun=All", scene.path("pods")), &pod).await?;
        sidecar(&created)?;
        if number == 9 {
            scene.create("pods", &pod).await?;
            scene.says(&name, "first").await?;
        }
    }
    Ok(())
}

async fn an_edited_class_reaches_the_next_pod_and_a_running_one(
    scene: &Scene,
) -> anyhow::Result<()> {
    scene.create("pods", &scene.pod("old", SHOW)).await?;
    scene.running("old").await?;
    scene.world.emulator.set_secret(&scene.vault, "extra", "more");
    let edited = scene.class_object("class", &["db", "extra"], &json!({}));
    let path = format!("{}/class", scene.path("secretproviderclasses"));
    scene.world.api.patch(&path, &json!({"spec": edited["spec"]})).await?;
    until_seen(scene, "extra").await?;
    scene.create("pods", &scene.pod("new", SHOW)).await?;
    scene.running("new").await?;
    anyhow::ensure!(scene.sh("new", "cat /mnt/s/extra").await? == "more");
    scene.rotate("old", "second").await?;
    until("the running pod has the new file", PATIENCE, async || {
        Ok((scene.sh("old", "cat /mnt/s/extra || true").await? == "more").then_some(()))
    })
    .await
}

async fn a_deleted_class_refuses_the_next_pod_and_leaves_the_running_one(
    scene: &Scene,
) -> anyhow::Result<()> {
    scene.create("pods", &scene.pod("orphan", SHOW)).await?;
    scene.running("orphan").await?;
    scene.delete("secretproviderclasses", "class").await?;
    let pod = scene.pod("next", SHOW);
    let path = format!("{}?dryRun=All", scene.path("pods"));
    let refusal = until("the webhook misses the class", PATIENCE, async || {
        Ok(scene.world.api.create(&path, &pod).await.err().map(|error| error.to_string()))
    })
    .await?;
    anyhow::ensure!(refusal.contains("KS") && refusal.contains("class"), "{refusal}");
    scene.rotate("orphan", "second").await
}

async fn a_pod_without_label_and_volume_is_not_touched(scene: &Scene) -> anyhow::Result<()> {
    let pod = json!({"metadata": {"name": "plain"}, "spec": {"automountServiceAccountToken": false,
        "containers": [{"name": "app", "image": BUSYBOX, "command": ["sleep", "infinity"]}]}});
    let created = scene.create("pods", &pod).await?;
    let spec = &created["spec"];
    let untouched = spec["initContainers"].is_null()
        && spec["volumes"].is_null()
        && spec["containers"][0]["env"].is_null();
    anyhow::ensure!(untouched, "{spec}");
    Ok(())
}

async fn a_label_alone_gives_the_identity_and_no_sidecar(scene: &Scene) -> anyhow::Result<()> {
    let mut pod = scene.pod("identity", "wc -c < $AZURE_FEDERATED_TOKEN_FILE; sleep infinity");
    pod["spec"]["volumes"] = json!([]);
    pod["spec"]["containers"][0]["volumeMounts"] = json!([]);
    let created = scene.create("pods", &pod).await?;
    anyhow::ensure!(created["spec"]["initContainers"].is_null(), "{}", created["spec"]);
    scene.running("identity").await?;
    Ok(())
}

async fn a_foreign_container_named_as_ours_is_refused(scene: &Scene) -> anyhow::Result<()> {
    let mut pod = json!({"metadata": {"name": "hostile"}, "spec": {
        "containers": [{"name": "app", "image": BUSYBOX}],
        "initContainers": [{"name": "keysluice", "image": BUSYBOX, "restartPolicy": "Always"}]}});
    let refused = scene.refused("pods", &pod).await?;
    anyhow::ensure!(refused.contains("KS721"), "{refused}");
    pod["spec"]["initContainers"] = Value::Null;
    scene.create("pods", &pod).await.context("the same without that container")?;
    Ok(())
}

async fn a_vault_that_refuses_shows_its_reason_in_describe(scene: &Scene) -> anyhow::Result<()> {
    scene.world.emulator.revoke(&scene.vault, &scene.client_id)?;
    let mut pod = scene.pod("forbidden", SHOW);
    pod["spec"]["restartPolicy"] = json!("Never");
    scene.create("pods", &pod).await?;
    let text = until("the sidecar tells why", PATIENCE, async || {
        let text = scene
            .world
            .kubectl(&["describe", "pod", "forbidden", "--namespace", &scene.namespace])
            .await?;
        Ok(text.contains("KS4").then_some(text))
    })
    .await?;
    anyhow::ensure!(text.contains("fix: assign the role"), "{text}");
    Ok(())
}
