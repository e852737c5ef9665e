//! Two webhooks, sidecars with a metrics port, three vaults, and what an API server knows of them.

use super::prometheus::Container;
use crate::suite::plans::start_webhook;
use crate::suite::support::api_server::ApiServer;
use keysluice_demo::{Binaries, Pod, Stage, TENANT, Webhook};
use keysluice_emulator::{Config, Emulator, Fault, free_port};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const CLIENT: &str = "5d0e1f6a-0a4c-4d0e-9c53-1c2b3d4e5f60";
/// Where the webhooks run.
pub(crate) const NAMESPACE: &str = "keysluice-system";
/// The vault of `shop`.
pub(crate) const SHOP: &str = "shop-prod";
/// The vault of `billing`.
pub(crate) const BILLING: &str = "billing-prod";
/// The vault of `reports`.
pub(crate) const REPORTS: &str = "reports-prod";

/// Pods of one class, and of a ServiceAccount of the same name.
#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) namespace: &'static str,
    pub(crate) name: &'static str,
    replicas: usize,
    vault: &'static str,
    secrets: &'static [&'static str],
    /// Whether a Kubernetes Secret is made of the first one.
    makes_secret: bool,
    /// Whether the application is told of changes.
    is_told: bool,
}

pub(crate) const WORKLOADS: [Workload; 4] = [
    Workload {
        namespace: "shop",
        name: "web",
        replicas: 2,
        vault: SHOP,
        secrets: &["db-password", "api-key"],
        makes_secret: true,
        is_told: true,
    },
    Workload {
        namespace: "shop",
        name: "cart",
        replicas: 1,
        vault: SHOP,
        secrets: &["db-password", "session-key"],
        makes_secret: false,
        is_told: true,
    },
    Workload {
        namespace: "billing",
        name: "invoices",
        replicas: 2,
        vault: BILLING,
        secrets: &["payment-token", "ledger-key"],
        makes_secret: false,
        is_told: false,
    },
    Workload {
        namespace: "reports",
        name: "nightly",
        replicas: 1,
        vault: REPORTS,
        secrets: &["warehouse-password", "licence"],
        makes_secret: false,
        is_told: false,
    },
];
/// Its secret does not exist, and it waits for it.
const LATE: Workload = Workload {
    namespace: "shop",
    name: "late",
    replicas: 1,
    vault: SHOP,
    secrets: &["not-there"],
    makes_secret: false,
    is_told: false,
};

impl Workload {
    pub(crate) fn class(&self, secrets: &[&str]) -> Value {
        let object =
            |name: &&str| format!("  - |\n    objectName: {name}\n    objectType: secret\n");
        let objects: String = secrets.iter().map(object).collect();
        let mut spec = json!({"provider": "azure", "parameters": {"keyvaultName": self.vault,
            "objects": format!("array:\n{objects}")}});
        if self.makes_secret {
            spec["secretObjects"] = json!([{"secretName": self.secret_name(), "type": "Opaque",
                "data": [{"objectName": self.secrets[0], "key": "value"}]}]);
        }
        spec
    }

    fn secret_name(&self) -> String {
        format!("{}-secrets", self.name)
    }

    fn pods(&self) -> impl Iterator<Item = String> {
        (0..self.replicas).map(|number| format!("{}-{number}", self.name))
    }
}

/// The programs and what they talk to.
pub(crate) struct Scene {
    pub(crate) stage: Stage,
    pub(crate) emulator: Emulator,
    pub(crate) server: ApiServer,
    pub(crate) webhooks: Vec<Webhook>,
    pub(crate) containers: Vec<Container>,
    binaries: Binaries,
    pods: Vec<Pod>,
    /// The refresh interval of all volumes.
    interval: String,
    reaction: String,
    /// Whether the applications answer 500 to what they are told.
    pub(crate) is_deaf: Arc<AtomicBool>,
    /// Its port is taken until it starts: other tests take what is free.
    late: Option<std::net::TcpListener>,
}

fn port_of(listener: Option<&std::net::TcpListener>) -> u16 {
    listener.expect("a free port").local_addr().unwrap().port()
}

impl Scene {
    /// Starts everything but the pod that waits for its secret.
    pub(crate) async fn open(binaries: Binaries, interval: &str) -> Self {
        keysluice_demo::install_crypto_provider();
        let stage = Stage::new().unwrap();
        let emulator = Emulator::start(Config::default()).await.unwrap();
        emulator.seed(serde_json::from_value(seed()).unwrap()).unwrap();
        let server = ApiServer::start();
        {
            let mut world = server.world();
            for workload in WORKLOADS.iter().chain([&LATE]) {
                let (namespace, name) = (workload.namespace, workload.name);
                world.put_account(namespace, name, Some(CLIENT));
                world.put_spec(namespace, name, &workload.class(workload.secrets));
            }
            let discovery = json!({"issuer": emulator.issuer()}).to_string();
            world.documents.insert("/.well-known/openid-configuration".to_owned(), discovery);
            world.documents.insert("/openid/v1/jwks".to_owned(), emulator.jwks());
        }
        let (mut webhooks, mut containers) = (Vec::new(), Vec::new());
        for number in 1..=2 {
            let pod = format!("keysluice-{number}");
            let scratch = stage.path().join(&pod);
            std::fs::create_dir(&scratch).unwrap();
            let webhook =
                start_webhook(&binaries, &server, &emulator, &scratch, free_port().unwrap()).await;
            containers.push(admin(NAMESPACE, &pod, webhook.admin_address()));
            webhooks.push(webhook);
        }
        let is_deaf = Arc::new(AtomicBool::new(false));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let reaction = format!("http://{}/reload", listener.local_addr().unwrap());
        tokio::spawn(answer(listener, Arc::clone(&is_deaf)));
        let mut scene = Self {
            stage,
            emulator,
            server,
            webhooks,
            containers,
            binaries,
            pods: Vec::new(),
            interval: interval.to_owned(),
            reaction,
            is_deaf,
            late: std::net::TcpListener::bind("127.0.0.1:0").ok(),
        };
        for workload in &WORKLOADS {
            for name in workload.pods() {
                let port = free_port().unwrap();
                scene.start(workload, &name, port).await.wait_until_ready().await.unwrap();
                scene.contains(workload, &name, Some(port));
            }
        }
        scene.contains(&LATE, LATE.name, Some(port_of(scene.late.as_ref())));
        scene.contains(&LATE, "without-metrics-port", None);
        scene
    }

    /// The containers of a pod, as targets; the sidecar declares no port.
    fn contains(&mut self, workload: &Workload, pod: &str, metrics_port: Option<u16>) {
        for name in ["app", "keysluice"] {
            self.containers.push(Container {
                namespace: workload.namespace.to_owned(),
                pod: pod.to_owned(),
                name,
                address: "127.0.0.1".to_owned(),
                metrics_port,
            });
        }
    }

    /// The pod whose secret does not exist.
    pub(crate) async fn start_late(&mut self) {
        let port = port_of(self.late.take().as_ref());
        self.start(&LATE, LATE.name, port).await;
    }

    async fn start(&mut self, workload: &Workload, name: &str, port: u16) -> &mut Pod {
        let pod = self.manifest(workload, port);
        let reviewed = self.webhooks[0].review(workload.namespace, &pod).await.unwrap();
        assert_eq!(reviewed.response["allowed"], true, "{}", reviewed.response);
        let (emulator, binaries) = (&self.emulator, &self.binaries);
        let namespace = workload.namespace;
        let pod = Pod::start(name, namespace, &reviewed, emulator, binaries, &self.stage).unwrap();
        self.pods.push(pod);
        self.pods.last_mut().unwrap()
    }

    /// A pod of a workload, as it reaches the webhook.
    pub(crate) fn manifest(&self, workload: &Workload, port: u16) -> Value {
        let mut annotations = json!({"keysluice.dev/metrics-port": port.to_string(),
            "keysluice.dev/refresh-interval": self.interval});
        if workload.name == LATE.name {
            annotations["keysluice.dev/on-missing"] = json!("wait");
        }
        if workload.is_told {
            annotations["keysluice.dev/on-change"] = json!(self.reaction);
            annotations["keysluice.dev/on-change-spread"] = json!("0s");
        }
        let volume = json!({"name": "secrets", "csi": {"driver": "secrets-store.csi.k8s.io",
            "readOnly": true, "volumeAttributes": {"secretProviderClass": workload.name}}});
        let mount = json!({"name": "secrets", "mountPath": "/mnt/secrets-store", "readOnly": true});
        let container = json!({"name": "app", "image": "app", "volumeMounts": [mount]});
        let labels = json!({"azure.workload.identity/use": "true"});
        json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"generateName": workload.name, "labels": labels,
                "annotations": annotations},
            "spec": {"serviceAccountName": workload.name, "containers": [container],
                "volumes": [volume]}})
    }

    /// Lets a vault answer every request like this, until [`Emulator::clear_faults`].
    pub(crate) fn fail_vault(&self, vault: &str, fault: Fault) {
        self.emulator.inject(Fault { vault: Some(vault.to_owned()), ..fault });
    }

    /// Changes the class of a workload.
    pub(crate) fn edit(&self, workload: &Workload, spec: &Value) {
        self.server.world().put_spec(workload.namespace, workload.name, spec);
    }

    /// Ends a webhook.
    pub(crate) fn stop_webhook(&mut self, index: usize) {
        drop(self.webhooks.remove(index));
    }
}

/// A replica of the webhook.
pub(crate) fn admin(namespace: &str, pod: &str, address: &str) -> Container {
    Container {
        namespace: namespace.to_owned(),
        pod: pod.to_owned(),
        name: "webhook",
        address: address.to_owned(),
        metrics_port: None,
    }
}

fn seed() -> Value {
    let credentials: Vec<Value> = WORKLOADS
        .iter()
        .chain([&LATE])
        .map(|one| {
            let subject = format!("system:serviceaccount:{}:{}", one.namespace, one.name);
            json!({"subject": subject})
        })
        .collect();
    let vaults = [SHOP, BILLING, REPORTS].map(vault);
    json!({
        "apps": [{"clientId": CLIENT, "tenantId": TENANT, "federatedCredentials": credentials}],
        "vaults": vaults})
}

/// A vault with the secrets of its workloads.
fn vault(name: &str) -> Value {
    let workloads = WORKLOADS.iter().filter(|one| one.vault == name);
    let secrets: serde_json::Map<_, _> = workloads
        .flat_map(|one| one.secrets.iter())
        .map(|secret| ((*secret).to_owned(), json!(format!("value of {secret}"))))
        .collect();
    json!({"name": name, "tenantId": TENANT, "secrets": secrets,
        "roles": [{"clientId": CLIENT, "secrets": ["get", "list"]}]})
}

/// The applications: they read their files again when they are told.
async fn answer(listener: TcpListener, is_deaf: Arc<AtomicBool>) {
    loop {
        let Ok((mut stream, _)) = listener.accept().await else { return };
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") && stream.read_buf(&mut head).await.unwrap_or(0) > 0 {}
        let status = if is_deaf.load(Ordering::Relaxed) { "500 Error" } else { "204 No Content" };
        let answer = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
        let _ = stream.write_all(answer.as_bytes()).await;
    }
}
