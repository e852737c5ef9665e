//! Every kind of workload that makes pods.

use crate::scene::{SHOW, Scene, sidecar};
use crate::world::{PATIENCE, has_condition, until};
use anyhow::Context as _;
use serde_json::{Value, json};

crate::scenarios!(
    a_cron_job_completes_when_it_is_due_and_when_it_is_told_to,
    a_bare_pod_gets_its_secret_and_a_rotation_reaches_the_file,
    an_application_never_starts_before_its_secrets,
    a_job_completes_although_the_sidecar_would_run_for_ever,
    a_stateful_set_comes_up_in_order_and_comes_back,
    a_daemon_set_runs_on_the_node,
    a_deployment_rolls_over_without_a_pod_that_lacks_its_secret,
    a_token_is_the_api_servers_own_for_this_pod,
);

async fn a_bare_pod_gets_its_secret_and_a_rotation_reaches_the_file(
    scene: &Scene,
) -> anyhow::Result<()> {
    scene
        .create("pods", &scene.pod("bare", "while true; do cat /mnt/s/db; echo; sleep 0.2; done"))
        .await?;
    let pod = scene.running("bare").await?;
    let sidecar = sidecar(&pod)?;
    anyhow::ensure!(sidecar["restartPolicy"] == "Always", "not a native sidecar: {sidecar}");
    let names: Vec<&str> = pod["spec"]["containers"][0]["env"]
        .as_array()
        .context("no environment")?
        .iter()
        .filter_map(|variable| variable["name"].as_str())
        .collect();
    for name in
        ["AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_AUTHORITY_HOST"]
    {
        anyhow::ensure!(names.contains(&name), "{name} is not among {names:?}");
    }
    scene.says("bare", "first").await?;
    scene.world.emulator.set_secret(&scene.vault, "db", "second");
    scene.says("bare", "second").await?;
    Ok(())
}

async fn an_application_never_starts_before_its_secrets(scene: &Scene) -> anyhow::Result<()> {
    // The vault answers late; the application looks once, with its first instruction.
    let fault =
        json!({"effect": {"status": 503}, "kind": "secretGet", "vault": scene.vault, "times": 3});
    scene.world.emulator.inject(serde_json::from_value(fault)?);
    for number in 0..5 {
        scene.create("pods", &scene.pod(&format!("eager-{number}"), SHOW)).await?;
    }
    for number in 0..5 {
        let name = format!("eager-{number}");
        scene.says(&name, "first").await?;
        let pod = scene.running(&name).await?;
        let restarts = &pod["status"]["containerStatuses"][0]["restartCount"];
        anyhow::ensure!(*restarts == 0, "{name} started {restarts} times before");
    }
    Ok(())
}

async fn a_job_completes_although_the_sidecar_would_run_for_ever(
    scene: &Scene,
) -> anyhow::Result<()> {
    let mut template = scene.template("job", "cat /mnt/s/db");
    template["spec"]["restartPolicy"] = json!("Never");
    let job = json!({"metadata": {"name": "job"},
        "spec": {"backoffLimit": 0, "completions": 2, "parallelism": 2, "template": template}});
    scene.create("jobs", &job).await?;
    complete(scene, "job").await
}

async fn complete(scene: &Scene, job: &str) -> anyhow::Result<()> {
    until(&format!("{job} completes"), PATIENCE, async || {
        let job = scene.get("jobs", job).await?;
        anyhow::ensure!(!has_condition(&job, "Failed"), "it failed: {}", job["status"]);
        Ok(has_condition(&job, "Complete").then_some(()))
    })
    .await
}

async fn a_cron_job_completes_when_it_is_due_and_when_it_is_told_to(
    scene: &Scene,
) -> anyhow::Result<()> {
    let mut template = scene.template("cron", "cat /mnt/s/db");
    template["spec"]["restartPolicy"] = json!("Never");
    let job = json!({"spec": {"backoffLimit": 0, "template": template}});
    let cron = json!({"metadata": {"name": "cron"},
        "spec": {"schedule": "* * * * *", "jobTemplate": job}});
    scene.create("cronjobs", &cron).await?;
    let from = ["create", "job", "told", "--from=cronjob/cron", "--namespace", &scene.namespace];
    scene.world.kubectl(&from).await?;
    complete(scene, "told").await?;
    // The controller's own comes with the next minute.
    let due = until("the controller makes a job", PATIENCE * 2, async || {
        let jobs = scene.world.api.get(&scene.path("jobs")).await?;
        let mut names = jobs["items"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|job| job["metadata"]["name"].as_str());
        Ok(names.find(|name| *name != "told").map(str::to_owned))
    })
    .await?;
    complete(scene, &due).await
}

async fn a_stateful_set_comes_up_in_order_and_comes_back(scene: &Scene) -> anyhow::Result<()> {
    let set = json!({"metadata": {"name": "set"}, "spec": {"replicas": 2, "serviceName": "set",
        "selector": {"matchLabels": {"app": "set"}}, "template": scene.template("set", SHOW)}});
    scene.create("statefulsets", &set).await?;
    let before = scene.all_running("set", 2, PATIENCE).await?;
    scene.delete("pods", "set-0").await?;
    until("set-0 is another pod", PATIENCE, async || {
        let pod = scene.get("pods", "set-0").await?;
        let other = before.iter().all(|old| old["metadata"]["uid"] != pod["metadata"]["uid"]);
        Ok((other && has_condition(&pod, "Ready")).then_some(()))
    })
    .await?;
    scene.says("set-0", "first").await?;
    Ok(())
}

async fn a_daemon_set_runs_on_the_node(scene: &Scene) -> anyhow::Result<()> {
    let set = json!({"metadata": {"name": "daemon"}, "spec": {
        "selector": {"matchLabels": {"app": "daemon"}},
        "template": scene.template("daemon", SHOW)}});
    scene.create("daemonsets", &set).await?;
    let pods = scene.all_running("daemon", 1, PATIENCE).await?;
    scene.says(pods[0]["metadata"]["name"].as_str().unwrap_or_default(), "first").await?;
    Ok(())
}

async fn a_deployment_rolls_over_without_a_pod_that_lacks_its_secret(
    scene: &Scene,
) -> anyhow::Result<()> {
    let mut deployment = json!({"metadata": {"name": "web"}, "spec": {"replicas": 2,
        "selector": {"matchLabels": {"app": "web"}}, "template": scene.template("web", SHOW)}});
    scene.create("deployments", &deployment).await?;
    scene.all_running("web", 2, PATIENCE).await?;
    deployment["spec"]["template"]["metadata"]["annotations"] = json!({"revision": "2"});
    let changes = json!({"spec": {"template": deployment["spec"]["template"]}});
    scene.world.api.patch(&format!("{}/web", scene.path("deployments")), &changes).await?;
    until("both pods are of the second revision", PATIENCE, async || {
        let pods = scene.world.api.get(&scene.path("pods")).await?;
        let pods: Vec<&Value> = pods["items"].as_array().context("no list")?.iter().collect();
        let second = |pod: &&&Value| {
            pod["metadata"]["annotations"]["revision"] == "2" && has_condition(pod, "Ready")
        };
        Ok((pods.len() == 2 && pods.iter().filter(second).count() == 2).then_some(()))
    })
    .await
}

async fn a_token_is_the_api_servers_own_for_this_pod(scene: &Scene) -> anyhow::Result<()> {
    scene.create("pods", &scene.pod("token", SHOW)).await?;
    scene.running("token").await?;
    let token = scene
        .sh(
            "token",
            "cat $AZURE_FEDERATED_TOKEN_FILE | cut -d. -f2 | tr '_-' '/+' | base64 -d \
            2>/dev/null; true",
        )
        .await?;
    for part in [
        r#""iss":"https://cluster.test""#,
        r#""aud":["api://AzureADTokenExchange"]"#,
        &format!("system:serviceaccount:{}:app", scene.namespace),
    ] {
        anyhow::ensure!(token.contains(part), "no {part} in {token}");
    }
    Ok(())
}
