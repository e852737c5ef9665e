//! The pictures of the dashboards: what a real Prometheus scraped in twelve minutes with a
//! rotation, an outage and other failures.

use super::load::Request;
use super::prometheus::{Prometheus, program};
use super::replica::OwnCertificates;
use super::scene::{BILLING, NAMESPACE, REPORTS, SHOP, Scene, WORKLOADS};
use super::{jobs, now, rendered};
use crate::suite::chart::helm::{Helm, root};
use crate::suite::chart::monitoring::{DASHBOARDS, read};
use keysluice_demo::Binaries;
use keysluice_emulator::Fault;
use keysluice_emulator::seed::SecretSeed;
use serde_json::{Value, json};
use std::process::Command;
use std::time::Duration;

const SECONDS: u32 = 720;
const SCRAPE_SECONDS: u64 = 5;
const MAX_PICTURE_BYTES: usize = 200_000;

fn picture(dashboard: &str) -> String {
    format!("docs/pictures/dashboard-{dashboard}.svg")
}

/// `make dashboards`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes twelve minutes and writes the pictures"]
async fn draws_the_dashboards() {
    let (program, helm) = (program("prometheus").unwrap(), Helm::find("pictures").unwrap());
    // An unoptimized webhook takes long for a decision, and leaves out warnings of workloads.
    let binaries = Binaries::in_directory(&root().join("target/demo")).unwrap();
    let mut scene = Scene::open(binaries, "10s").await;
    let own = OwnCertificates::start(NAMESPACE, &[]).await;
    expire(&scene);
    let mut containers = scene.containers.clone();
    containers.push(own.container.clone());
    let jobs = jobs(&rendered(&helm), &containers);
    let directory = scene.stage.path().to_owned();
    let prometheus =
        Prometheus::start(&program, &directory, SCRAPE_SECONDS, &jobs[..2], &json!([])).await;
    prometheus.until("count(up == 1) == 9", Duration::from_secs(60)).await;
    // The versions with an expiry are fetched first.
    tokio::time::sleep(Duration::from_secs(25)).await;

    let begun = now();
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    for second in 0..SECONDS {
        ticks.tick().await;
        happen(&mut scene, &own, second).await;
        for (number, request) in requests(second).into_iter().enumerate() {
            scene.send((number + second as usize) % 2, request).await;
        }
    }
    for dashboard in DASHBOARDS {
        let mut draw = Command::new(root().join("scripts/dashboards.py"));
        draw.args(["--prometheus", &prometheus.url(), "--out", &picture(dashboard)]);
        draw.args(["--start", &begun.to_string(), "--end", &now().to_string()]);
        draw.args(["--scrape-seconds", &SCRAPE_SECONDS.to_string()]);
        draw.arg(format!("webhook-config/chart/dashboards/{dashboard}.json"));
        let status = draw.current_dir(root()).status().unwrap();
        assert!(status.success(), "{dashboard} is not drawn");
    }
}

/// Three secrets have an expiry, and one is active only in two days.
fn expire(scene: &Scene) {
    for (vault, name, days) in
        [(REPORTS, "licence", 23), (REPORTS, "warehouse-password", 60), (SHOP, "api-key", 180)]
    {
        let now = i64::try_from(now()).unwrap();
        let seed = SecretSeed {
            not_before: (name == "warehouse-password").then_some(now + 2 * 86_400),
            expires: Some(now + days * 86_400),
            ..SecretSeed::new("a value")
        };
        scene.emulator.put_secret(vault, name, seed).unwrap();
    }
}

/// What changes in this second.
async fn happen(scene: &mut Scene, own: &OwnCertificates, second: u32) {
    let nightly = &WORKLOADS[3];
    match second {
        120 => drop(scene.emulator.set_secret(SHOP, "db-password", "rotated")),
        150 => own.overwrite_bundle(),
        300 => scene.fail_vault(SHOP, Fault::status(503)),
        360 | 560 => scene.emulator.clear_faults(),
        420 => {
            let parameters = json!({"keyvaultName": REPORTS, "objects": "array: ["});
            scene.edit(nightly, &json!({"provider": "azure", "parameters": parameters}));
        }
        480 => scene.edit(nightly, &nightly.class(&["warehouse-password", "licence"])),
        510 => scene.fail_vault(BILLING, Fault::throttle(3)),
        600 => drop(scene.emulator.set_secret(SHOP, "session-key", "rotated")),
        630 => scene.start_late().await,
        690 => drop(scene.emulator.set_secret(SHOP, "not-there", "now it is")),
        _ => {}
    }
}

/// What an API server sends in this second: pods in waves, a rollout every three minutes, a
/// controller whose pods are refused, and some that are not reviews.
fn requests(second: u32) -> Vec<Request> {
    let wave = 2.5 + 1.8 * (f64::from(second) / 65.0).sin();
    let begun = [0.0, 0.35, 0.7, 0.15, 0.5][second as usize % 5];
    let pods = (0..8).filter(|&number| f64::from(number) + begun < wave).count();
    let rollout = if second % 180 < 10 { 5 } else { 0 };
    let mut requests = vec![Request::Pod; pods + rollout];
    let mut every = |seconds: u32, is_now: bool, request: Request| {
        if is_now && second.is_multiple_of(seconds) {
            requests.push(request);
        }
    };
    every(2, true, Request::Plain);
    every(6, true, Request::Deployment);
    every(1, (200..230).contains(&second), Request::WithoutClass);
    every(3, (230..290).contains(&second), Request::WithoutClass);
    every(15, (200..290).contains(&second), Request::DoubtfulDeployment);
    every(4, (430..490).contains(&second), Request::Misspelt);
    every(5, (540..580).contains(&second), Request::Garbage);
    every(3, (560..590).contains(&second), Request::Handshake);
    requests
}

#[test]
fn the_picture_of_a_dashboard_has_its_panels() {
    for dashboard in DASHBOARDS {
        let drawn = read(&picture(dashboard));
        assert!(drawn.len() < MAX_PICTURE_BYTES, "{dashboard}: {} bytes", drawn.len());
        let file = read(&format!("webhook-config/chart/dashboards/{dashboard}.json"));
        let file: Value = serde_json::from_str(&file).unwrap();
        for panel in file["panels"].as_array().unwrap() {
            let title = format!(">{}</text>", panel["title"].as_str().unwrap());
            assert!(drawn.contains(&title), "{dashboard}: `make dashboards` draws {title}");
        }
    }
}
