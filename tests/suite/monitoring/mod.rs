//! A real Prometheus with the chart's alerts and the queries of its dashboards, beside the real
//! webhook and sidecars: healthy, then with every failure that can be provoked.

mod evaluated;
mod load;
mod picture;
pub(crate) mod prometheus;
mod replica;
mod scene;

use crate::suite::chart::helm::Helm;
use crate::suite::chart::manifests::find;
use crate::suite::chart::monitoring::read;
use crate::suite::support::binaries;
use evaluated::{check_names, check_queries, check_rules};
use keysluice_emulator::Fault;
use keysluice_emulator::seed::SecretSeed;
use load::{HEALTHY, Request};
use prometheus::{Container, Prometheus, job, job_of_page, program};
use replica::OwnCertificates;
use scene::{BILLING, REPORTS, SHOP, Scene, WORKLOADS};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

/// Everything that is waited for comes within this time.
const PATIENCE: Duration = Duration::from_secs(90);
/// Namespace of the replica with an API server that refuses.
const TROUBLED: &str = "troubled";
/// Alerts that the real programs cannot be brought to: a panic, a log that is not read, and metrics
/// of a real API server.
const NOT_PROVOKED: [&str; 3] =
    ["KeysluicePanics", "KeysluiceLogLinesLost", "KeysluiceCallsFailing"];

/// The groups of the chart's `PrometheusRule`; an alert fires after two seconds.
fn groups(documents: &[Value]) -> Value {
    let mut groups = find(documents, "PrometheusRule", "keysluice")["spec"]["groups"].clone();
    for group in groups.as_array_mut().unwrap() {
        for rule in group["rules"].as_array_mut().unwrap() {
            rule["for"] = json!("2s");
        }
    }
    groups
}

/// The chart's monitors and the job of the page, over these containers.
fn jobs(documents: &[Value], containers: &[Container]) -> Vec<Value> {
    let (webhooks, pods): (Vec<_>, Vec<_>) =
        containers.iter().cloned().partition(|one| one.name == "webhook");
    let page = read("docs/monitoring.md");
    let block = page.split("```yaml\n").find(|block| block.starts_with("- job_name")).unwrap();
    let of_page: Value = serde_saphyr::from_str(block.split("```").next().unwrap()).unwrap();
    vec![
        job("webhook", find(documents, "PodMonitor", "keysluice"), &webhooks),
        job("sidecars", find(documents, "PodMonitor", "keysluice-sidecars"), &pods),
        job_of_page(&of_page[0], &pods),
    ]
}

/// What the chart installs for Azure Monitor, which has limits for labels, and the alerts.
fn rendered(helm: &Helm) -> Vec<Value> {
    let set = "prometheusRule.enabled=true,metrics.podMonitor.enabled=true,\
               metrics.sidecarMonitor.enabled=true,metrics.apiGroup=azmonitoring.coreos.com";
    helm.documents(&["--set", set])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_prometheus_evaluates_every_alert_and_panel_on_what_the_real_programs_serve() {
    let name = "a_real_prometheus_evaluates_every_alert_and_panel";
    let (Some(program), Some(helm)) = (program("prometheus"), Helm::find(name)) else { return };
    let mut scene = Scene::open(binaries(), "2s").await;
    let lives = ["--certificate-lifetime", "6d", "--authority-lifetime", "30d"];
    let troubled = OwnCertificates::start_without_cache(TROUBLED, &lives).await;
    let mut containers = scene.containers.clone();
    containers.push(troubled.container.clone());
    let documents = rendered(&helm);
    let prometheus = Prometheus::start(
        &program,
        scene.stage.path(),
        1,
        &jobs(&documents, &containers),
        &groups(&documents),
    )
    .await;
    let begun = now();

    stays_silent(&scene, &prometheus).await;
    every_sidecar_with_a_port_is_found(&prometheus).await;

    provoke(&mut scene, &prometheus).await;
    troubled.refuse_reads().await;
    let fired = fire(&scene, &troubled, &prometheus).await;
    check_rules(&prometheus).await;
    check_names(&prometheus).await;
    check_queries(&prometheus, begun).await;

    // Two replicas less, then the last one.
    drop(troubled);
    scene.stop_webhook(1);
    prometheus.until(&firing("KeysluiceOneReplica"), PATIENCE).await;
    scene.stop_webhook(0);
    prometheus.until(&firing("KeysluiceWebhookAbsent"), PATIENCE).await;
    for name in NOT_PROVOKED {
        assert!(!fired.contains(name), "{name} fired");
    }
    assert!(!prometheus.log().contains("level=ERROR"), "{}", prometheus.log());
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

fn firing(alert: &str) -> String {
    format!("ALERTS{{alertname=\"{alert}\",alertstate=\"firing\"}}")
}

/// Everything is scraped, pods come and a secret is rotated, and no alert fires.
async fn stays_silent(scene: &Scene, prometheus: &Prometheus) {
    // Two replicas and the troubled one, six sidecars twice: by PodMonitor and by the page's job.
    prometheus.until("count(up == 1) == 15", PATIENCE).await;
    let silent = format!("absent(ALERTS{{alertstate=\"firing\",namespace!=\"{TROUBLED}\"}})");
    prometheus.until(&silent, PATIENCE).await;
    scene.emulator.set_secret(SHOP, "db-password", "rotated");
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(5) {
        for (webhook, request) in [0, 1].into_iter().flat_map(|one| HEALTHY.map(|two| (one, two))) {
            scene.send(webhook, request).await;
        }
        let firing = format!("ALERTS{{alertstate=\"firing\",namespace!=\"{TROUBLED}\"}}");
        let firing = prometheus.query(&firing).await.unwrap();
        assert!(firing.is_empty(), "fires without a reason: {firing:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    prometheus.until("keysluice_reactions_total{result=\"done\"} > 0", PATIENCE).await;
    prometheus.until("sum(keysluice_secret_syncs_total{result=\"written\"}) > 1", PATIENCE).await;
}

/// The chart's monitor and the job of the page find the same sidecars, under their names.
async fn every_sidecar_with_a_port_is_found(prometheus: &Prometheus) {
    let mut found = Vec::new();
    for job in ["sidecars", "keysluice-sidecars"] {
        let up = prometheus.query(&format!("up{{job=\"{job}\"}}")).await.unwrap();
        let pods: BTreeSet<String> = up
            .iter()
            .map(|one| {
                let [namespace, pod] =
                    ["namespace", "pod"].map(|name| one.labels[name].as_str().unwrap());
                assert_eq!(one.value > 0.0, pod != "late", "{}", one.labels);
                format!("{namespace}/{pod}")
            })
            .collect();
        assert_eq!(pods.len(), up.len());
        found.push(pods);
    }
    assert_eq!(found[0], found[1]);
    assert_eq!(found[0].len(), 7, "{found:?}");
    assert!(found[0].contains("billing/invoices-1"), "{found:?}");
}

/// Every failure of a sidecar, and an overload of the webhook.
async fn provoke(scene: &mut Scene, prometheus: &Prometheus) {
    scene.is_deaf.store(true, Ordering::Relaxed);
    scene.emulator.allow_secrets(Some(&[]));
    scene.emulator.set_secret(SHOP, "db-password", "rotated again");
    for name in ["reaction", "secret"] {
        prometheus.until(&format!("keysluice_{name}_failing == 1"), PATIENCE).await;
    }
    scene.fail_vault(SHOP, Fault::status(503));
    scene.fail_vault(BILLING, Fault::throttle(1));
    let now = i64::try_from(now()).unwrap();
    let lifetimes =
        [("warehouse-password", now + 3600, now + 5 * 86_400), ("licence", now - 3600, now - 60)];
    for (name, begin, end) in lifetimes {
        let seed =
            SecretSeed { not_before: Some(begin), expires: Some(end), ..SecretSeed::new("new") };
        scene.emulator.put_secret(REPORTS, name, seed).unwrap();
    }
    prometheus.until("keysluice_object_expiry_timestamp_seconds < time()", PATIENCE).await;
    prometheus.until("keysluice_object_not_before_timestamp_seconds > time()", PATIENCE).await;
    let broken = json!({"provider": "azure",
        "parameters": {"keyvaultName": REPORTS, "objects": "array: ["}});
    scene.edit(&WORKLOADS[3], &broken);
    scene.start_late().await;
}

fn alerts() -> Vec<String> {
    let rules: Value = serde_saphyr::from_str(&read(evaluated::RULES)).unwrap();
    let groups = rules["groups"].as_array().unwrap().iter();
    let rules = groups.flat_map(|group| group["rules"].as_array().unwrap());
    rules.map(|rule| rule["alert"].as_str().unwrap().to_owned()).collect()
}

/// Sends what is refused until every alert that can be provoked has fired; gives those that did.
async fn fire(
    scene: &Scene,
    troubled: &OwnCertificates,
    prometheus: &Prometheus,
) -> BTreeSet<String> {
    let (last, alerts) = (["KeysluiceOneReplica", "KeysluiceWebhookAbsent"], alerts());
    let awaited: BTreeSet<&str> = alerts
        .iter()
        .map(String::as_str)
        .filter(|name| !last.contains(name) && !NOT_PROVOKED.contains(name))
        .collect();
    let begun = Instant::now();
    loop {
        for request in [Request::WithoutClass, Request::Misspelt, Request::DoubtfulDeployment] {
            scene.send(0, request).await;
        }
        scene.send(1, Request::Garbage).await;
        load::break_off(&troubled.address.to_string()).await;
        if prometheus
            .query("keysluice_requests_shed_total{limit=\"lookups\"} > 10")
            .await
            .unwrap()
            .is_empty()
        {
            scene.overload().await;
        }
        let fired = "max by (alertname) (max_over_time(ALERTS{alertstate=\"firing\"}[10m]))";
        let fired = prometheus.query(fired).await.unwrap();
        let fired: BTreeSet<String> =
            fired.iter().map(|one| one.labels["alertname"].as_str().unwrap().to_owned()).collect();
        let missing: Vec<_> = awaited.iter().filter(|name| !fired.contains(**name)).collect();
        if missing.is_empty() {
            return fired;
        }
        assert!(begun.elapsed() < PATIENCE, "not fired: {missing:?}");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

#[test]
fn the_page_says_how_many_alerts_are_provoked() {
    let (all, page) = (alerts().len(), read("docs/monitoring.md"));
    let provoked = all - NOT_PROVOKED.len();
    assert!(
        page.contains(&format!("Then {provoked} of the {all} alerts fire")),
        "{provoked}, {all}"
    );
}
