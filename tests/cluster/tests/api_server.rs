//! The watch caches against a real API server, and what they cost. Run by `make test-cluster`.

#![allow(clippy::unwrap_used)] // helpers outside #[test] functions are tests too

use keysluice::cluster::api::{ApiServer, Client, Pace};
use keysluice::cluster::{CacheStatus, Cluster};
use keysluice::mutate::ClassFact;
use keysluice_cluster::ControlPlane;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";
const CLASSES: &str =
    "/apis/secrets-store.csi.x-k8s.io/v1/namespaces/default/secretproviderclasses";
const DRIVERS: &str = "/apis/storage.k8s.io/v1/csidrivers";
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

fn environment(name: &str) -> PathBuf {
    std::env::var_os(name)
        .unwrap_or_else(|| panic!("{name} is not set; `make test-cluster` sets it"))
        .into()
}

fn account(name: &str, client_id: Option<&str>) -> Value {
    let mut annotations =
        json!({"meta.helm.sh/release-name": name, "meta.helm.sh/release-namespace": "default"});
    if let Some(id) = client_id {
        annotations["azure.workload.identity/client-id"] = json!(id);
    }
    let labels = json!({"app.kubernetes.io/managed-by": "Helm", "app.kubernetes.io/name": name});
    json!({"metadata": {"name": name, "labels": labels, "annotations": annotations}})
}

fn definition() -> Value {
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    json!({
        "metadata": {"name": "secretproviderclasses.secrets-store.csi.x-k8s.io"},
        "spec": {
            "group": "secrets-store.csi.x-k8s.io", "scope": "Namespaced",
            "names": {"plural": "secretproviderclasses", "singular": "secretproviderclass",
                "kind": "SecretProviderClass"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": schema}}],
        },
    })
}

fn class(name: &str) -> Value {
    json!({
        "apiVersion": "secrets-store.csi.x-k8s.io/v1", "kind": "SecretProviderClass",
        "metadata": {"name": name},
        "spec": {"provider": "azure", "parameters": {"keyvaultName": "vault"}},
    })
}

async fn until(what: &str, cluster: &ApiServer, wanted: impl Fn(&[CacheStatus]) -> bool) {
    let begun = Instant::now();
    while !wanted(&cluster.caches()) {
        assert!(begun.elapsed() < Duration::from_secs(60), "never: {what}: {:?}", cluster.caches());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn client_id(cluster: &ApiServer, name: &str) -> Option<String> {
    cluster.service_account("default", name).await.unwrap().expect("it exists").client_id
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn caches_follow_a_real_api_server_through_a_restart() {
    let begun = Instant::now();
    let mut plane = ControlPlane::start(&environment("KEYSLUICE_COMPONENTS")).await.unwrap();
    println!("control plane up after {:.1} s", begun.elapsed().as_secs_f32());
    let client = Client::connect(Some(&plane.webhook_kubeconfig().await.unwrap())).unwrap();
    let cluster = Arc::new(ApiServer::new(client, keysluice::budget::Budget::default()));
    let pace = Pace { not_installed: Duration::from_millis(200), ..Pace::default() };
    let watch = tokio::spawn(cluster.watch(pace));
    // No definition of classes is installed: there are none, and that is no reason to wait.
    until("synced", &cluster, |caches| caches.iter().all(|cache| cache.synced)).await;
    assert!(!cluster.csi_driver_installed().await.unwrap());
    assert!(matches!(
        cluster.provider_class("default", "class").await.unwrap(),
        ClassFact::Missing
    ));

    plane.create(DEFINITIONS, &definition()).await.unwrap();
    let begun = Instant::now();
    while plane.create(CLASSES, &class("class")).await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(30), "the definition is never served");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(matches!(
        cluster.provider_class("default", "class").await.unwrap(),
        ClassFact::Found(_)
    ));
    // Fields of a Status, and where the definition keeps them of any type: nobody's class may end
    // the watch.
    let mut hostile = class("hostile");
    (hostile["code"], hostile["message"]) = (json!("x"), json!([1]));
    plane.create(CLASSES, &hostile).await.unwrap();
    until("both classes", &cluster, |caches| caches[1].objects == 2 && caches[1].trouble.is_none())
        .await;
    let driver = json!({"metadata": {"name": "secrets-store.csi.k8s.io"}, "spec": {}});
    plane.create(DRIVERS, &driver).await.unwrap();
    plane
        .create(DRIVERS, &json!({"metadata": {"name": "other.csi.test"}, "spec": {}}))
        .await
        .unwrap();
    until("the driver", &cluster, |caches| caches[2].objects == 1).await;
    assert!(cluster.csi_driver_installed().await.unwrap());

    // The pod is reviewed the moment its ServiceAccount was created.
    let at_first = cluster.caches()[0].objects;
    for number in 0..100 {
        let (name, id) = (format!("racing-{number}"), format!("id-{number}"));
        plane.create(ACCOUNTS, &account(&name, Some(&id))).await.unwrap();
        assert_eq!(client_id(&cluster, &name).await, Some(id));
    }
    // What is read live is not counted: the watch itself has to bring them.
    until("all that raced", &cluster, |caches| caches[0].objects >= at_first + 100).await;
    let before = cluster.caches()[0].objects;
    plane.create(ACCOUNTS, &account("app", None)).await.unwrap();
    until("a change", &cluster, |caches| caches[0].objects > before).await;
    let annotation =
        json!({"metadata": {"annotations": {"azure.workload.identity/client-id": "late"}}});
    plane.patch(&format!("{ACCOUNTS}/app"), &annotation).await.unwrap();
    let begun = Instant::now();
    while client_id(&cluster, "app").await.as_deref() != Some("late") {
        assert!(begun.elapsed() < Duration::from_secs(10), "the annotation never shows");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    println!("an annotation shows after {:.1} ms", begun.elapsed().as_secs_f32() * 1000.0);
    plane.delete(&format!("{ACCOUNTS}/racing-0")).await.unwrap();
    plane.delete(&format!("{DRIVERS}/secrets-store.csi.k8s.io")).await.unwrap();
    until("deleted", &cluster, |caches| caches[2].objects == 0).await;
    assert_eq!(cluster.service_account("default", "racing-0").await.unwrap(), None);

    plane.stop_server().await.unwrap();
    until("trouble is told", &cluster, |caches| caches.iter().all(|cache| cache.trouble.is_some()))
        .await;
    assert_eq!(client_id(&cluster, "app").await.as_deref(), Some("late"));
    assert!(cluster.service_account("default", "unknown").await.is_err());
    plane.start_server().await.unwrap();
    plane.until_ready().await.unwrap();
    plane.create(ACCOUNTS, &account("after", Some("id"))).await.unwrap();
    assert_eq!(client_id(&cluster, "after").await.as_deref(), Some("id"));
    until("all is well", &cluster, |caches| caches.iter().all(|cache| cache.trouble.is_none()))
        .await;
    watch.abort();
}

/// The webhook as a process of its own.
struct Webhook(Child);

impl Drop for Webhook {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: make test-cluster FIGURES=1"]
async fn figures_memory_and_time_to_ready() {
    let plane = ControlPlane::start(&environment("KEYSLUICE_COMPONENTS")).await.unwrap();
    let kubeconfig = plane.webhook_kubeconfig().await.unwrap();
    let binary = environment("KEYSLUICE_BINARY");
    let plane = Arc::new(plane);
    let mut created = 0;
    println!(
        "accounts | ready ms | first review ms | resident KiB | anonymous KiB | GET of the list \
         ms, MB"
    );
    for (count, limit_kib) in
        [(0, 12 << 10), (1000, 12 << 10), (10_000, 13 << 10), (50_000, 15 << 10)]
    {
        let workers = (0..8).map(|worker| {
            let plane = Arc::clone(&plane);
            tokio::spawn(async move {
                for number in (created..count).filter(|number| number % 8 == worker) {
                    let id =
                        (number % 20 == 0).then(|| format!("7d8cdf74-5a38-4b5e-9ee1-{number:012}"));
                    plane
                        .create(ACCOUNTS, &account(&format!("account-{number}"), id.as_deref()))
                        .await
                        .unwrap();
                }
            })
        });
        for worker in workers.collect::<Vec<_>>() {
            worker.await.unwrap();
        }
        created = count;
        let (ready, first, resident, anonymous) = measure(&binary, &kubeconfig).await;
        let begun = Instant::now();
        let size = plane.read("/api/v1/serviceaccounts").await.unwrap();
        let listed = begun.elapsed().as_millis();
        println!(
            "{count} | {ready} | {first:.1} | {resident} | {anonymous} | {listed}, {}",
            size / 1_000_000
        );
        assert!(resident <= limit_kib, "{resident} KiB resident with {count} ServiceAccounts");
    }
}

/// Two addresses that nobody listens at.
fn free_addresses() -> [String; 2] {
    let listeners = [(); 2].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().to_string())
}

/// Starts the webhook; gives milliseconds to ready, those of its first review (with the handshake),
/// and its memory before that, idle for two seconds.
async fn measure(binary: &PathBuf, kubeconfig: &PathBuf) -> (u128, f64, u64, u64) {
    let [listen, admin] = free_addresses();
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_danger_accept_invalid_certs(true)
        .build()
        .unwrap();
    let mut command = Command::new(binary);
    command
        .args(["serve", "--listen", &listen, "--admin-listen", &admin, "--kubeconfig"])
        .arg(kubeconfig);
    let begun = Instant::now();
    let mut webhook = Webhook(command.stderr(Stdio::null()).spawn().unwrap());
    loop {
        let answer = client.get(format!("http://{admin}/readyz")).send().await;
        if answer.is_ok_and(|answer| answer.status().is_success()) {
            break;
        }
        let ended = webhook.0.try_wait().unwrap();
        assert!(ended.is_none(), "the webhook ended before it was ready: {ended:?}");
        assert!(begun.elapsed() < Duration::from_secs(60), "the webhook is never ready");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let ready = begun.elapsed().as_millis();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let status = std::fs::read_to_string(format!("/proc/{}/status", webhook.0.id())).unwrap();
    let kib = |field: &str| {
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let (resident, anonymous) = (kib("VmRSS:"), kib("RssAnon:"));
    let pod = json!({"kind": "Pod",
        "metadata": {"name": "first", "labels": {"azure.workload.identity/use": "true"}},
        "spec": {"serviceAccountName": "account-20", "containers": [{"name": "app"}]}});
    let request = json!({"uid": "1", "operation": "CREATE", "namespace": "default", "object": pod});
    let review =
        json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request});
    let begun = Instant::now();
    let call =
        client.post(format!("https://{listen}/mutate")).header("content-type", "application/json");
    let answer = call.body(review.to_string()).send().await.unwrap();
    let first = begun.elapsed().as_secs_f64() * 1000.0;
    assert!(answer.status().is_success(), "{answer:?}");
    (ready, first, resident, anonymous)
}
