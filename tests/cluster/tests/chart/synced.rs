//! Real sidecars that make one Secret on a real API server, with the rights that are printed for
//! them and no others.

use super::stage::{Answer, Stage, environment};
use keysluice_emulator::{Config, Emulator, Seed};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};

const CLIENT: &str = "11111111-1111-1111-1111-111111111111";
const TENANT: &str = "99999999-9999-9999-9999-999999999999";
const SECRET: &str = "/api/v1/namespaces/default/secrets/db";
const REPLICAS: usize = 60;

/// A pod's root directory, and the sidecar in it.
struct Replica {
    root: PathBuf,
    plan: Value,
    server: String,
    child: Option<Child>,
}

impl Replica {
    fn new(stage: &Stage, emulator: &Emulator, token: &str, number: usize) -> Self {
        let root = stage.directory.path().join(format!("replica-{number}"));
        let api = root.join("api");
        std::fs::create_dir_all(root.join("mnt/v")).unwrap();
        std::fs::create_dir_all(&api).unwrap();
        let put = |path: &Path, text: &str| {
            let mut file = std::fs::File::create(path).unwrap();
            std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        };
        let federated = emulator.mint_token(
            "default",
            "web",
            "api://AzureADTokenExchange",
            Duration::from_secs(3600),
        );
        put(&root.join("token"), &federated);
        for (name, text) in
            [("token", token), ("namespace", "default"), ("name", "web-1"), ("uid", "u")]
        {
            put(&api.join(name), text);
        }
        std::fs::copy(&stage.authority, api.join("ca.crt")).unwrap();
        // Two ReplicaSets of a rollout share the Secret.
        let uid = format!("00000000-0000-0000-0000-00000000000{}", number % 2);
        let name = format!("web-{}", number % 2);
        let owner =
            json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": name, "uid": uid});
        let credential = json!({"kind": "federated", "clientId": CLIENT, "tenantId": TENANT,
            "tokenFile": "/token", "authority": emulator.authority()});
        let file = json!({"path": "db", "mode": "0600", "identity": "a", "type": "secret",
            "vault": emulator.vault_url("shop"), "name": "db"});
        let secret = json!({"name": "db", "type": "Opaque", "class": "kv",
            "data": [{"key": "password", "volume": "v", "path": "db"}]});
        let plan = json!({"schema": 1, "startTimeoutSeconds": 60, "trustedCa": emulator.ca_pem(),
            "identities": [{"name": "a", "scope": "https://vault.localhost/.default",
                "credential": credential}],
            "volumes": [{"name": "v", "directory": "/mnt/v", "refreshIntervalSeconds": 3600,
                "files": [file]}],
            "kubernetes": {"directory": "/api", "owners": [owner]}, "secrets": [secret]});
        Self { root, plan, server: stage.server.clone(), child: None }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let server = self.server.strip_prefix("https://").unwrap();
        let (host, port) = server.rsplit_once(':').unwrap();
        let binary = environment("KEYSLUICE_BINARY").with_file_name("keysluice-injector");
        let mut command = Command::new(binary);
        command.args(arguments).env_clear().env("KEYSLUICE_PLAN", self.plan.to_string());
        command.env("KEYSLUICE_ROOT", &self.root);
        command.env("KUBERNETES_SERVICE_HOST", host).env("KUBERNETES_SERVICE_PORT", port);
        command.env("KEYSLUICE_TERMINATION_LOG", self.root.join("termination-log"));
        command.kill_on_drop(true);
        command
    }

    async fn start(&mut self) {
        if let Some(mut earlier) = self.child.take() {
            earlier.kill().await.unwrap();
        }
        let log = std::fs::File::create(self.root.join("stderr")).unwrap();
        let child = self.command(&["run"]).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        self.child = Some(child);
    }

    async fn run(&self, arguments: &[&str]) -> Result<String, String> {
        let output = self.command(arguments).output().await.unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, error) = (text(&output.stdout), text(&output.stderr));
        if output.status.success() { Ok(out) } else { Err(out + &error + &self.log()) }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.root.join("stderr")).unwrap_or_default()
    }
}

async fn emulator() -> Emulator {
    let seed: Seed = serde_json::from_value(json!({
        "apps": [{"clientId": CLIENT, "tenantId": TENANT,
            "federatedCredentials": [{"subject": "system:serviceaccount:default:web"}]}],
        "vaults": [{"name": "shop", "tenantId": TENANT, "secrets": {"db": "first"},
            "roles": [{"clientId": CLIENT, "secrets": ["get"]}]}]}))
    .unwrap();
    Emulator::start(Config { seed, ..Config::default() }).await.unwrap()
}

/// The ServiceAccount `web` with a token, and with the right on the Secret if that is asked for.
async fn account(stage: &Stage, may_write: bool) -> String {
    let metadata = json!({"name": "web", "namespace": "default"});
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata});
    stage.create(&account).await.unwrap();
    if may_write {
        let rule = json!({"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["db"],
            "verbs": ["create", "patch"]});
        let group = "rbac.authorization.k8s.io";
        for object in [
            json!({"apiVersion": format!("{group}/v1"), "kind": "Role", "metadata": metadata,
                "rules": [rule]}),
            json!({"apiVersion": format!("{group}/v1"), "kind": "RoleBinding",
                "metadata": metadata,
                "roleRef": {"apiGroup": group, "kind": "Role", "name": "web"},
                "subjects": [{"kind": "ServiceAccount", "name": "web", "namespace": "default"}]}),
        ] {
            stage.create(&object).await.unwrap();
        }
    }
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": {"expirationSeconds": 3600}});
    let path = "/api/v1/namespaces/default/serviceaccounts/web/token";
    let answer = stage.request(Method::POST, path, Some(&request)).await.unwrap();
    answer["status"]["token"].as_str().unwrap().to_owned()
}

async fn secret(stage: &Stage) -> Answer {
    stage.request(Method::GET, SECRET, None).await
}

fn names(object: &Value, list: &str, field: &str) -> Vec<String> {
    let all = object["metadata"][list].as_array().into_iter().flatten();
    let mut names: Vec<String> = all.map(|one| one[field].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn replicas_that_start_together_write_one_secret_once() {
    let stage = Stage::open().await;
    let emulator = emulator().await;
    let token = account(&stage, true).await;
    let mut replicas: Vec<Replica> =
        (0..REPLICAS).map(|number| Replica::new(&stage, &emulator, &token, number)).collect();
    let begun = Instant::now();
    for replica in &mut replicas {
        replica.start().await;
    }
    for replica in &replicas {
        replica.run(&["ready", "--timeout", "60"]).await.unwrap();
    }
    println!("{REPLICAS} replicas ready after {:?}", begun.elapsed());
    let first = secret(&stage).await.unwrap();
    assert_eq!(first["data"]["password"], "Zmlyc3Q=");
    assert_eq!(names(&first, "ownerReferences", "name"), ["web-0", "web-1"]);
    let uid = |number: u8| format!("keysluice-00000000-0000-0000-0000-00000000000{number}");
    assert_eq!(names(&first, "managedFields", "manager"), ["keysluice".to_owned(), uid(0), uid(1)]);
    let warned: Vec<String> =
        replicas.iter().map(Replica::log).filter(|log| log.contains("KS6")).collect();
    assert!(warned.is_empty(), "{warned:?}");
    let written = replicas.iter().filter(|replica| replica.log().contains("written")).count();
    assert_eq!(written, 1, "one content write");

    // A rotation is one write, whoever sees it first.
    emulator.set_secret("shop", "db", "second");
    for replica in &replicas {
        replica.run(&["refresh"]).await.unwrap();
    }
    let second = secret(&stage).await.unwrap();
    assert_eq!(second["data"]["password"], "c2Vjb25k");
    for replica in &replicas {
        replica.run(&["refresh"]).await.unwrap();
    }
    let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
    assert_eq!(version(&secret(&stage).await.unwrap()), version(&second), "nothing to write");
    let writes: usize =
        replicas.iter().map(|replica| replica.log().matches("written").count()).sum();
    assert_eq!(writes, 2);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn what_the_api_server_refuses_is_told_and_nothing_is_changed() {
    let stage = Stage::open().await;
    let emulator = emulator().await;
    let token = account(&stage, true).await;
    let mut replica = Replica::new(&stage, &emulator, &token, 0);
    replica.plan["startTimeoutSeconds"] = 3.into();
    let metadata = json!({"name": "db", "namespace": "default"});
    for (secret_type, marks, code) in [
        ("Opaque", json!({}), "KS644"),
        ("kubernetes.io/basic-auth", json!({"keysluice.dev/managed": "true"}), "KS645"),
    ] {
        let mut object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata,
            "type": secret_type, "stringData": {"username": "theirs"}});
        object["metadata"]["labels"] = marks;
        stage.create(&object).await.unwrap();
        let before = secret(&stage).await.unwrap();
        replica.start().await;
        let error = replica.run(&["ready", "--timeout", "20"]).await.unwrap_err();
        assert!(error.contains(code), "{error}");
        assert_eq!(secret(&stage).await.unwrap(), before);
        stage.request(Method::DELETE, SECRET, None).await.unwrap();
    }
    let binding = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings/web";
    stage.request(Method::DELETE, binding, None).await.unwrap();
    stage
        .until("the right is gone", async || {
            let user = "system:serviceaccount:default:web";
            let patched = stage.act_as(user, Method::PATCH, SECRET, Some(&json!({}))).await;
            patched.is_err_and(|refused| refused.code == 403)
        })
        .await;
    replica.start().await;
    let error = replica.run(&["ready", "--timeout", "20"]).await.unwrap_err();
    assert!(error.contains("KS643") && error.contains("keysluice rbac"), "{error}");
}
