//! Requests of an API server: pods and workloads that are changed, left alone and refused, and what
//! is not a review.

use super::scene::{Scene, WORKLOADS};
use crate::suite::support::api_server::GetFault;
use futures_util::future::join_all;
use keysluice_demo::Webhook;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// One request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    /// A pod of a workload.
    Pod,
    /// A pod without label and volume.
    Plain,
    /// A pod whose class does not exist: KS207.
    WithoutClass,
    /// A pod with an annotation that does not exist.
    Misspelt,
    /// A Deployment whose pods will be changed.
    Deployment,
    /// A Deployment whose pods will be refused.
    DoubtfulDeployment,
    /// Half a review.
    Garbage,
    /// A connection without TLS.
    Handshake,
}

/// What a healthy cluster sends.
pub(crate) const HEALTHY: [Request; 3] = [Request::Pod, Request::Plain, Request::Deployment];

impl Scene {
    /// Sends a request to a webhook, and checks that the answer is what it should be.
    pub(crate) async fn send(&self, webhook: usize, request: Request) {
        let webhook = &self.webhooks[webhook];
        let workload = &WORKLOADS[0];
        let mut pod = self.manifest(workload, 9102);
        let allowed = match request {
            Request::Pod => true,
            Request::Plain => {
                pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "plain"},
                    "spec": {"containers": [{"name": "app", "image": "app"}]}});
                true
            }
            Request::WithoutClass => {
                set_class(&mut pod["spec"], "not-there");
                false
            }
            Request::Misspelt => {
                pod["metadata"]["annotations"]["keysluice.dev/refresh"] = json!("1m");
                false
            }
            Request::Deployment | Request::DoubtfulDeployment => {
                if request == Request::DoubtfulDeployment {
                    set_class(&mut pod["spec"], "not-there");
                }
                // A busy webhook leaves out the warnings of a workload.
                let warned = deploy(webhook, &pod).await;
                assert!(!warned || request == Request::DoubtfulDeployment);
                return;
            }
            Request::Garbage => {
                let (status, _) = webhook.post("/mutate", b"{\"kind\":".to_vec()).await.unwrap();
                assert_eq!(status, 400);
                return;
            }
            Request::Handshake => {
                break_off(webhook.address()).await;
                return;
            }
        };
        let reviewed = webhook.review(workload.namespace, &pod).await.unwrap();
        assert_eq!(reviewed.response["allowed"], allowed, "{request:?}: {}", reviewed.response);
        assert_eq!(reviewed.patch.is_empty(), request != Request::Pod, "{request:?}");
    }

    /// More reviews at once than may wait for the API server, which does not answer.
    pub(crate) async fn overload(&self) {
        self.server.world().get_fault = Some(GetFault::Hang);
        let reviews = (0..300).map(async |number| {
            let mut pod = self.manifest(&WORKLOADS[0], 9102);
            pod["spec"]["serviceAccountName"] = json!(format!("unknown-{number}"));
            self.webhooks[0].review("shop", &pod).await.is_ok()
        });
        let answered = join_all(reviews).await;
        self.server.world().get_fault = None;
        assert!(answered.into_iter().all(|one| one), "a review has no answer");
    }
}

/// A connection that never gets through the handshake.
pub(crate) async fn break_off(address: &str) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

fn set_class(spec: &mut Value, class: &str) {
    spec["volumes"][0]["csi"]["volumeAttributes"]["secretProviderClass"] = json!(class);
}

/// Whether a Deployment of this pod is answered with a warning.
async fn deploy(webhook: &Webhook, pod: &Value) -> bool {
    let mut template = pod.clone();
    template["metadata"].as_object_mut().unwrap().remove("generateName");
    let object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"template": template}});
    let request = json!({"uid": "u-1", "namespace": "shop", "operation": "CREATE",
        "kind": {"group": "apps", "version": "v1", "kind": "Deployment"}, "object": object});
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": request});
    let body = serde_json::to_vec(&review).unwrap();
    let (status, answer) = webhook.post("/validate", body).await.unwrap();
    assert_eq!((status, &answer["response"]["allowed"]), (200, &json!(true)), "{answer}");
    answer["response"]["warnings"].as_array().is_some_and(|warnings| !warnings.is_empty())
}
