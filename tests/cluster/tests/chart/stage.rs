//! An API server with the chart's objects, and whoever acts on it.

mod warnings;
mod webhook;

pub(crate) use webhook::Webhook;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use keysluice_cluster::ControlPlane;
use reqwest::{Certificate, Client, Method, Response};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub(crate) const NAMESPACE: &str = "keysluice-system";
pub(crate) const WEBHOOK: &str = "system:serviceaccount:keysluice-system:keysluice";
pub(crate) const CONFIGURATION: &str =
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/keysluice";
pub(crate) const WORKLOADS: &str = concat!(
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/",
    "keysluice-workloads"
);
/// Puts the guard of the identity in force.
pub(crate) const IDENTITY_BINDING: &str = concat!(
    "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/",
    "keysluice-guard-identity"
);
/// The guard of the sidecar.
pub(crate) const SIDECAR_POLICY: &str = concat!(
    "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/",
    "keysluice-guard-sidecar"
);
/// The switch: while it is there, pods are sent to the webhook and the guard looks at them.
pub(crate) const SWITCH: &str = concat!(
    "/apis/rbac.authorization.k8s.io/v1/namespaces/keysluice-system/rolebindings/",
    "keysluice-in-force"
);
/// The further switch of the guard of the identity.
pub(crate) const GUARD_SWITCH: &str = concat!(
    "/apis/rbac.authorization.k8s.io/v1/namespaces/keysluice-system/rolebindings/",
    "keysluice-guard-in-force"
);
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Stage {
    /// Ends with the stage.
    _plane: ControlPlane,
    client: Client,
    pub(crate) server: String,
    pub(crate) authority: PathBuf,
    admin_token: String,
    pub(crate) directory: tempfile::TempDir,
}

/// What the API server said no to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) code: u16,
    pub(crate) message: String,
}

pub(crate) type Answer = Result<Value, Refused>;

impl Stage {
    /// An API server, and the namespaces and accounts that pods need.
    pub(crate) async fn open() -> Self {
        // One at a time: what one finds to be a free port, another must not take before it is
        // listened on.
        static STARTING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
        let starting = STARTING.lock().await;
        let plane = ControlPlane::start(&environment("KEYSLUICE_COMPONENTS")).await.unwrap();
        drop(starting);
        let kubeconfig = plane.webhook_kubeconfig().await.unwrap();
        let config: Value =
            serde_json::from_str(&std::fs::read_to_string(&kubeconfig).unwrap()).unwrap();
        let cluster = &config["clusters"][0]["cluster"];
        let authority = PathBuf::from(cluster["certificate-authority"].as_str().unwrap());
        let tokens = std::fs::read_to_string(kubeconfig.with_file_name("tokens.csv")).unwrap();
        let ca = Certificate::from_pem_bundle(&std::fs::read(&authority).unwrap()).unwrap();
        let stage = Self {
            _plane: plane,
            client: Client::builder()
                .tls_certs_only(ca)
                .no_proxy()
                .timeout(Duration::from_secs(30))
                .build()
                .unwrap(),
            server: cluster["server"].as_str().unwrap().to_owned(),
            authority,
            // The first is the administrator's.
            admin_token: tokens.split(',').next().unwrap().to_owned(),
            directory: tempfile::tempdir().unwrap(),
        };
        // What other tests give to a user of their own stands under the names that the chart uses.
        for resource in ["clusterroles", "clusterrolebindings"] {
            let path = format!("/apis/rbac.authorization.k8s.io/v1/{resource}/keysluice");
            stage.request(Method::DELETE, &path, None).await.unwrap();
        }
        stage
            .create(
                &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}),
            )
            .await
            .unwrap();
        for namespace in ["default", "kube-system", NAMESPACE] {
            // No controller makes them here.
            let metadata = json!({"name": "default", "namespace": namespace});
            let created = stage
                .create(
                    &json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}),
                )
                .await;
            assert!(
                created.is_ok() || created.as_ref().is_err_and(|refused| refused.code == 409),
                "{created:?}"
            );
        }
        stage
    }

    /// All objects of `install.yaml`.
    pub(crate) async fn install(&self) {
        for object in manifest("webhook-config/install.yaml") {
            let created = self.create(&object).await;
            let there_already = created.as_ref().is_err_and(|refused| refused.code == 409);
            assert!(created.is_ok() || there_already, "{object}: {created:?}");
        }
    }

    /// Waits until the policies of `install.yaml` are in force: the API server learns of them by a
    /// watch.
    pub(crate) async fn until_guarded(&self) {
        let hostile = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "probe"},
            "spec": {"containers": [{"name": "keysluice", "image": "x"}]}});
        self.until("the guard is in force", async || {
            let created = self.dry_run(&hostile).await;
            created.is_err_and(|refused| refused.message.contains("KS721"))
        })
        .await;
        let other = json!({"apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "probe", "namespace": NAMESPACE}});
        self.until("the rights are bounded", async || {
            let created = self
                .act_as(
                    WEBHOOK,
                    Method::POST,
                    &format!("{}?dryRun=All", collection(&other)),
                    Some(&other),
                )
                .await;
            created.is_err_and(|refused| refused.message.contains("KS723"))
        })
        .await;
        let touched = json!([{"op": "add", "path": "/metadata/labels/probe", "value": "x"}]);
        self.until("the configuration is bounded", async || {
            let patched = self
                .act_as(
                    WEBHOOK,
                    Method::PATCH,
                    &format!("{CONFIGURATION}?dryRun=All"),
                    Some(&touched),
                )
                .await;
            patched.is_err_and(|refused| refused.message.contains("KS722"))
        })
        .await;
    }

    pub(crate) async fn until(&self, what: &str, condition: impl AsyncFn() -> bool) {
        let begun = Instant::now();
        while !condition().await {
            assert!(begun.elapsed() < PATIENCE, "never: {what}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Creates an object as the administrator.
    pub(crate) async fn create(&self, object: &Value) -> Answer {
        self.request(Method::POST, &collection(object), Some(object)).await
    }

    /// Everything but storing it.
    pub(crate) async fn dry_run(&self, object: &Value) -> Answer {
        self.request(Method::POST, &format!("{}?dryRun=All", collection(object)), Some(object))
            .await
    }

    /// A request of the administrator's.
    pub(crate) async fn request(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        self.send(method, path, body, &[]).await
    }

    /// A request of a ServiceAccount's, by its full name.
    pub(crate) async fn act_as(
        &self,
        user: &str,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Answer {
        let namespace = user.split(':').nth(2).unwrap();
        let of_namespace = format!("system:serviceaccounts:{namespace}");
        let headers = [
            ("impersonate-user", user),
            ("impersonate-group", "system:serviceaccounts"),
            ("impersonate-group", &of_namespace),
            ("impersonate-group", "system:authenticated"),
        ];
        self.send(method, path, body, &headers).await
    }

    /// The same with a token that is bound to a pod.
    pub(crate) async fn act_as_pod(
        &self,
        user: &str,
        pod: &str,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Answer {
        let headers = [
            ("impersonate-user", user),
            ("impersonate-group", "system:serviceaccounts"),
            ("impersonate-group", "system:authenticated"),
            ("impersonate-extra-authentication.kubernetes.io%2fpod-name", pod),
        ];
        self.send(method, path, body, &headers).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        headers: &[(&'static str, &str)],
    ) -> Answer {
        let response = self.sent(method, path, body, headers).await;
        let (code, body) = (response.status().as_u16(), response.bytes().await.unwrap());
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        if (200..300).contains(&code) {
            return Ok(answer);
        }
        Err(Refused { code, message: answer["message"].as_str().unwrap_or_default().to_owned() })
    }

    async fn sent(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        headers: &[(&'static str, &str)],
    ) -> Response {
        let kind = match body {
            Some(Value::Array(_)) => "application/json-patch+json",
            // Server-side apply needs one, and no other request of the tests has it.
            _ if path.contains("fieldManager=") => "application/apply-patch+yaml",
            _ if method == Method::PATCH => "application/merge-patch+json",
            _ => "application/json",
        };
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.server))
            .bearer_auth(&self.admin_token);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.header("content-type", kind).body(body.to_string());
        }
        request.send().await.unwrap()
    }

    /// A kubeconfig with a token of this ServiceAccount, and so with exactly its rights.
    pub(crate) async fn kubeconfig(&self, account: &str) -> PathBuf {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{account}/token");
        let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"expirationSeconds": 3600}});
        let answer = self.request(Method::POST, &path, Some(&request)).await.unwrap();
        self.write_kubeconfig(account, answer["status"]["token"].as_str().unwrap()).await
    }

    /// The administrator's.
    pub(crate) async fn admin_kubeconfig(&self) -> PathBuf {
        self.write_kubeconfig("admin", &self.admin_token).await
    }

    async fn write_kubeconfig(&self, name: &str, token: &str) -> PathBuf {
        let config = json!({
            "kind": "Config", "apiVersion": "v1", "current-context": "test",
            "clusters": [{"name": "test",
                "cluster": {"server": self.server, "certificate-authority": self.authority}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "users": [{"name": "test", "user": {"token": token}}],
        });
        let path = self.directory.path().join(format!("{name}.kubeconfig"));
        tokio::fs::write(&path, config.to_string()).await.unwrap();
        path
    }
}

pub(crate) fn environment(name: &str) -> PathBuf {
    std::env::var_os(name)
        .unwrap_or_else(|| panic!("{name} is not set; `make test-cluster` sets it"))
        .into()
}

pub(crate) fn manifest(path: &str) -> Vec<Value> {
    let text =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path))
            .unwrap();
    let all: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    all.into_iter().filter(|object| !object.is_null()).collect()
}

/// Where objects of this kind are created; pods without a namespace go to `default`.
pub(crate) fn collection(object: &Value) -> String {
    let kind = object["kind"].as_str().unwrap();
    let plural = match kind {
        "NetworkPolicy" => "networkpolicies".to_owned(),
        "ValidatingAdmissionPolicy" => "validatingadmissionpolicies".to_owned(),
        kind if kind.ends_with('s') => format!("{}es", kind.to_lowercase()),
        _ => format!("{}s", kind.to_lowercase()),
    };
    let version = object["apiVersion"].as_str().unwrap();
    let root =
        if version.contains('/') { format!("/apis/{version}") } else { format!("/api/{version}") };
    let default = if kind == "Pod" { Some("default") } else { None };
    match object["metadata"]["namespace"].as_str().or(default) {
        Some(namespace) => format!("{root}/namespaces/{namespace}/{plural}"),
        None => format!("{root}/{plural}"),
    }
}

/// The object's own path.
pub(crate) fn path(object: &Value) -> String {
    format!("{}/{}", collection(object), object["metadata"]["name"].as_str().unwrap())
}

/// What `caBundle` takes: the API server looks whether it is a certificate.
pub(crate) fn certificate() -> String {
    BASE64_STANDARD
        .encode(rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap().cert.pem())
}
