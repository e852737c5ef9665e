//! What a node does, where there is none: controllers are real, and the test is the kubelet of our
//! namespace.

use super::helm::get;
use super::stage::{NAMESPACE, Stage, environment};
use keysluice_emulator::free_port;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};

/// What the kubelet is given where an image cannot be pulled, instead of two minutes.
const DEADLINE: Duration = Duration::from_secs(2);
const NOW: &str = "2026-01-01T00:00:00Z";

/// Deployments, Jobs, namespaces, the garbage collector: ended with the value.
pub(crate) async fn controllers(stage: &Stage) -> Child {
    let mut command = Command::new(environment("KEYSLUICE_COMPONENTS"));
    command.arg("kube-controller-manager").arg("--kubeconfig").arg(stage.admin_kubeconfig().await);
    command.args(["--controllers=*,-nodeipam", "--leader-elect=false", "--bind-address=127.0.0.1"]);
    command.args(["--kube-api-qps=500", "--kube-api-burst=1000"]);
    command.args([
        format!("--secure-port={}", free_port().unwrap()),
        format!("--cert-dir={}", stage.directory.path().display()),
    ]);
    let log = std::fs::File::create(stage.directory.path().join("controllers.log")).unwrap();
    command.stdout(std::process::Stdio::null()).stderr(log).kill_on_drop(true);
    command.spawn().unwrap()
}

/// A kubelet for the pods of our namespace: the webhook's are ready, the doctor of a hook runs.
#[derive(Default)]
pub(crate) struct Node {
    /// Images (without their tag) that no registry has.
    pub(crate) missing: Vec<&'static str>,
}

/// A pod that is known.
struct Known {
    since: Instant,
    /// The phase that it ends in, once the doctor has spoken.
    ended: Option<&'static str>,
}

impl Node {
    /// Never ends.
    pub(crate) async fn run(&self, stage: &Stage) {
        let mut known: BTreeMap<String, Known> = BTreeMap::new();
        loop {
            let all = format!("/api/v1/namespaces/{NAMESPACE}/pods");
            let pods = get(stage, &all).await.unwrap_or_default();
            for pod in pods["items"].as_array().into_iter().flatten() {
                if ["Succeeded", "Failed"].iter().any(|ended| pod["status"]["phase"] == *ended) {
                    continue;
                }
                let uid = pod["metadata"]["uid"].to_string();
                let entry = known
                    .entry(uid)
                    .or_insert_with(|| Known { since: Instant::now(), ended: None });
                let status = if pod["metadata"]["labels"]["app.kubernetes.io/component"] == "doctor"
                {
                    self.doctor(stage, pod, entry).await
                } else {
                    json!({"phase": "Running", "conditions": [condition("Ready")]})
                };
                if status["phase"] != pod["status"]["phase"]
                    || status.get("containerStatuses").is_some()
                {
                    let name = pod["metadata"]["name"].as_str().unwrap();
                    // It may be gone already; else the next round tries again.
                    let path = format!("{all}/{name}/status");
                    let _ =
                        stage.request(Method::PATCH, &path, Some(&json!({"status": status}))).await;
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The pod's status; its doctor runs for as long as it takes.
    async fn doctor(&self, stage: &Stage, pod: &Value, known: &mut Known) -> Value {
        if let Some(phase) = known.ended {
            return json!({"phase": phase});
        }
        let containers = pod["spec"]["containers"].as_array().unwrap();
        let states: Vec<Value> = containers.iter().map(|container| self.state(container)).collect();
        let is_waiting = |index: usize| states[index]["state"].get("waiting").is_some();
        let failed = json!({"phase": "Failed", "reason": "DeadlineExceeded"});
        if is_waiting(0) {
            // Its image does not arrive: the kubelet ends the pod when its time is up.
            if known.since.elapsed() >= DEADLINE {
                known.ended = Some("Failed");
                return failed;
            }
            return json!({"phase": "Pending", "containerStatuses": states});
        }
        // What the doctor reads of the other container.
        let path = format!(
            "/api/v1/namespaces/{NAMESPACE}/pods/{}/status",
            pod["metadata"]["name"].as_str().unwrap()
        );
        let running = json!({"status": {"phase": "Running", "containerStatuses": states}});
        let _ = stage.request(Method::PATCH, &path, Some(&running)).await;
        let (is_well, said) = run(stage, pod).await;
        println!("{said}");
        known.ended = Some(if is_well && !is_waiting(1) { "Succeeded" } else { "Failed" });
        if let Some("Failed") = known.ended { failed } else { json!({"phase": "Succeeded"}) }
    }

    fn state(&self, container: &Value) -> Value {
        let image = container["image"].as_str().unwrap();
        let is_missing = self.missing.iter().any(|missing| image.starts_with(missing));
        let state = if is_missing {
            json!({"waiting": {"reason": "ImagePullBackOff",
                "message": format!("Back-off pulling image {image}")}})
        } else {
            json!({"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": NOW,
                "finishedAt": NOW}})
        };
        json!({"name": container["name"], "image": image, "imageID": "", "ready": false,
            "restartCount": 0, "state": state})
    }
}

fn condition(kind: &str) -> Value {
    json!({"type": kind, "status": "True", "lastTransitionTime": NOW})
}

/// The doctor with its arguments and its account: whether it is content, and what it says.
async fn run(stage: &Stage, pod: &Value) -> (bool, String) {
    let container = &pod["spec"]["containers"][0];
    assert_eq!(container["command"], json!(["/keysluice", "doctor", "--pre"]));
    let name = pod["metadata"]["name"].as_str().unwrap();
    let mut command = Command::new(environment("KEYSLUICE_BINARY"));
    command.args(["doctor", "--pre"]);
    for argument in container["args"].as_array().unwrap() {
        command.arg(argument.as_str().unwrap().replace("$(POD)", name));
    }
    let kubeconfig = stage.kubeconfig(pod["spec"]["serviceAccountName"].as_str().unwrap()).await;
    let output =
        command.arg("--kubeconfig").arg(kubeconfig).kill_on_drop(true).output().await.unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    (output.status.success(), said)
}
