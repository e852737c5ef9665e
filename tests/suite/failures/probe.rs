//! `keysluice doctor --pre` about a namespace of applications: its limits, and a pod that tries the
//! network.

use super::keysluice;
use crate::suite::support::api_server::ApiServer;
use crate::suite::support::binaries;
use http::Method;
use keysluice_emulator::{Config, Emulator};
use serde_json::{Value, json};

const ENTRA: &str = "https://login.microsoftonline.com/";
const VAULT: &str = "https://shop-kv.vault.azure.net/";
const PODS: &str = "/api/v1/namespaces/shop/pods";

/// An API server that an installation can go into, with the namespace `shop`.
fn server(message: &str) -> ApiServer {
    let server = ApiServer::start();
    let mut world = server.world();
    let resources = [
        "mutatingwebhookconfigurations",
        "validatingadmissionpolicies",
        "validatingadmissionpolicybindings",
    ];
    let ended = json!({"exitCode": 0, "message": message});
    let pod = json!({"metadata": {"name": "keysluice-probe-x"},
        "spec": {"containers": [{"name": "probe", "image": "i"}]},
        "status": {"containerStatuses": [{"name": "probe", "state": {"terminated": ended}}]}});
    for (path, document) in [
        ("/version", json!({"major": "1", "minor": "31"})),
        (
            "/apis/admissionregistration.k8s.io/v1",
            json!({"resources": resources.map(|name| json!({"name": name}))}),
        ),
        ("/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies", json!({"items": []})),
        ("/api/v1/namespaces/shop", json!({"metadata": {"name": "shop"}})),
        (PODS, pod.clone()),
        ("/api/v1/namespaces/shop/pods/keysluice-probe-x", pod),
    ] {
        world.documents.insert(path.to_owned(), document.to_string());
    }
    drop(world);
    server
}

/// Exit code and output, and what was sent beside GET.
async fn pre(server: &ApiServer, more: &[&str]) -> (i32, String, Vec<(Method, String)>) {
    let scratch = tempfile::tempdir().unwrap();
    let kubeconfig = server.kubeconfig(scratch.path());
    let arguments: Vec<String> = ["doctor", "--pre", "--application-namespace", "shop"]
        .iter()
        .chain(more)
        .map(|text| (*text).to_owned())
        .collect();
    let (code, out, error) = keysluice(&arguments, &[("KEYSLUICE_KUBECONFIG", &kubeconfig)]).await;
    let world = server.world();
    let sent = world.methods.iter().cloned().zip(world.requests.iter().cloned());
    (code, out + &error, sent.filter(|(method, _)| *method != Method::GET).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_flag_a_namespace_is_only_looked_at() {
    let server = server("");
    let quota = json!({"items": [{"metadata": {"name": "small"},
        "spec": {"hard": {"limits.cpu": "1"}}, "status": {"used": {}}}]});
    let path = "/api/v1/namespaces/shop/resourcequotas";
    server.world().documents.insert(path.to_owned(), quota.to_string());
    let (code, told, sent) = pre(&server, &[]).await;
    assert!(code == 1 && told.contains("KS808 ResourceQuota small of namespace shop"), "{told}");
    assert_eq!(sent, []);
    let (code, told, _) = pre(&server, &["--injector-cpu-limit", "100m"]).await;
    assert!(code == 0 && told.contains("leave room for a sidecar"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_tells_what_it_cannot_reach_and_is_deleted() {
    keysluice_demo::install_crypto_provider();
    let emulator = Emulator::start(Config::default()).await.unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = scratch.path().join(name);
        let mut created = std::fs::File::create(&path).unwrap();
        std::io::Write::write_all(&mut created, text.as_bytes()).unwrap();
        path
    };
    let authority = file("ca.pem", emulator.ca_pem());
    let termination = file("termination", "");
    let good = format!("https://login.localhost:{}/", emulator.https_port());
    let dead = "https://login.localhost:9/";
    let mut command = tokio::process::Command::new(binaries().injector);
    command.env_clear().env("SSL_CERT_FILE", authority).args(["probe", &good, dead]);
    let probed = command.arg("--termination-log").arg(&termination).output().await.unwrap();
    let said = String::from_utf8(probed.stdout).unwrap();
    assert_eq!(probed.status.code(), Some(1), "{said}");
    assert_eq!(std::fs::read_to_string(termination).unwrap(), said);
    let lines: Vec<&str> = said.lines().collect();
    let status = lines[0].strip_prefix(&good).unwrap().trim();
    assert!(status.parse::<u16>().is_ok(), "{said}");
    assert!(lines[1].starts_with(&format!("{dead} failed: ")), "{said}");
    assert!(lines[1].contains("Connection refused"), "{said}");

    let probe = ["--probe", "--vault", "shop-kv", "--injector-image", "registry.test/injector:1"];
    for (message, expected, exit) in [
        (said.replace(&good, ENTRA).replace(dead, VAULT), "KS820 from namespace shop", 1),
        (format!("{ENTRA} 200\n{VAULT} 401\n"), "√ in namespace shop the sidecar's image", 0),
        (String::new(), "KS731 ", 1),
    ] {
        let server = server(&message);
        let (code, told, sent) = pre(&server, &probe).await;
        assert!(code == exit && told.contains(expected), "{told}");
        let pods: Vec<_> = sent.iter().filter(|(_, path)| path.starts_with(PODS)).collect();
        let made = (Method::POST, PODS.to_owned());
        let deleted = (Method::DELETE, format!("{PODS}/keysluice-probe-x"));
        assert_eq!(pods, [&made, &deleted]);
        let body: Value = server.world().bodies[&made.1].clone();
        let container = &body["spec"]["containers"][0];
        assert_eq!(container["image"], "registry.test/injector:1");
        assert_eq!(container["command"], json!(["/keysluice-injector", "probe", ENTRA, VAULT]));
        assert_eq!(container["securityContext"]["capabilities"]["drop"], json!(["ALL"]));
        assert_eq!(body["spec"]["securityContext"]["runAsNonRoot"], true);
        assert_eq!(body["spec"]["automountServiceAccountToken"], false);
    }

    let server = server("");
    server.world().forbidden.push("selfsubjectaccessreviews".to_owned());
    let (code, told, sent) = pre(&server, &probe).await;
    assert!(code == 0 && told.contains("not checked: egress of namespace shop"), "{told}");
    assert!(!sent.iter().any(|(_, path)| path.starts_with(PODS)), "{sent:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn options_of_the_probe_that_cannot_be_end_with_2() {
    let server = server("");
    let many = "a,b,c,d,e,f,g,h";
    for (more, expected) in [
        (["--probe", "--vault=not a vault"], "--vault \"not a vault\""),
        (["--probe", &format!("--vault={many}")], "more than 7 vaults"),
        (["--probe", "--cloud=/nonexistent"], "--cloud \"/nonexistent\""),
    ] {
        let (code, told, sent) = pre(&server, &more).await;
        assert!(code == 2 && told.contains(expected), "{code}: {told}");
        assert_eq!(sent, []);
    }
}
