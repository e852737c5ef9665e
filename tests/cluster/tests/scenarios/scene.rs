//! The stage of one scenario: a namespace with a ServiceAccount, an identity, a vault and a class,
//! and words for what scenarios do in it.

use crate::world::{PATIENCE, TENANT, World, has_condition, run, until};
use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use keysluice_cluster::layout::ISSUER;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The image that has a shell.
pub(crate) const BUSYBOX: &str = "registry.test/busybox:1";

/// One scenario's own part of the world.
pub(crate) struct Scene {
    pub(crate) world: Arc<World>,
    pub(crate) namespace: String,
    pub(crate) vault: String,
    pub(crate) client_id: String,
    namespaces: Mutex<Vec<String>>,
    is_kept: AtomicBool,
}

impl Scene {
    /// Sets the stage: class `class` with the secret `db`, ServiceAccount `app` that may read it.
    pub(crate) async fn set(world: Arc<World>, number: usize) -> anyhow::Result<Self> {
        let namespace = format!("scene-{number}");
        let scene = Self {
            world,
            vault: format!("kv-scene-{number}"),
            client_id: format!("00000000-0000-4000-8000-{number:012}"),
            namespaces: Mutex::new(vec![namespace.clone()]),
            is_kept: AtomicBool::new(false),
            namespace,
        };
        scene
            .world
            .api
            .create("/api/v1/namespaces", &json!({"metadata": {"name": scene.namespace}}))
            .await?;
        scene.seed(&json!({"db": "first"}))?;
        let account = json!({"metadata": {"name": "app",
            "annotations": {"azure.workload.identity/client-id": scene.client_id}}});
        scene.create("serviceaccounts", &account).await?;
        scene.class("class", &["db"], &json!({})).await?;
        Ok(scene)
    }

    /// Makes vault and identity, with these secrets.
    fn seed(&self, secrets: &Value) -> anyhow::Result<()> {
        let subject = format!("system:serviceaccount:{}:app", self.namespace);
        let seed = json!({
            "apps": [{"clientId": self.client_id, "tenantId": TENANT,
                "federatedCredentials": [{"issuer": ISSUER, "subject": subject}]}],
            "vaults": [{"name": self.vault, "tenantId": TENANT, "secrets": secrets,
                "roles": [{"clientId": self.client_id, "secrets": ["get"]}]}],
        });
        Ok(self.world.emulator.seed(serde_json::from_value(seed)?)?)
    }

    /// Further namespaces to look into when the scenario fails.
    pub(crate) fn also(&self, namespace: &str) {
        self.namespaces.lock().unwrap_or_else(PoisonError::into_inner).push(namespace.to_owned());
    }

    /// Leaves everything as it is when the scenario ends.
    pub(crate) fn keep(&self) {
        self.is_kept.store(true, Ordering::Relaxed);
    }

    /// Whether its namespaces stay.
    pub(crate) fn is_kept(&self) -> bool {
        self.is_kept.load(Ordering::Relaxed)
    }

    /// All namespaces of this scenario.
    pub(crate) fn namespaces(&self) -> Vec<String> {
        self.namespaces.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Path of a collection in our namespace: `pods`, `deployments`.
    pub(crate) fn path(&self, collection: &str) -> String {
        let group = match collection {
            "deployments" | "statefulsets" | "daemonsets" | "replicasets" => "/apis/apps/v1",
            "jobs" | "cronjobs" => "/apis/batch/v1",
            "secretproviderclasses" => "/apis/secrets-store.csi.x-k8s.io/v1",
            "poddisruptionbudgets" => "/apis/policy/v1",
            _ => "/api/v1",
        };
        format!("{group}/namespaces/{}/{collection}", self.namespace)
    }

    /// Creates an object.
    pub(crate) async fn create(&self, collection: &str, object: &Value) -> anyhow::Result<Value> {
        self.world.api.create(&self.path(collection), object).await
    }

    /// Reads an object.
    pub(crate) async fn get(&self, collection: &str, name: &str) -> anyhow::Result<Value> {
        self.world.api.get(&format!("{}/{name}", self.path(collection))).await
    }

    /// Deletes an object; not waiting until it is gone.
    pub(crate) async fn delete(&self, collection: &str, name: &str) -> anyhow::Result<Value> {
        self.world.api.delete(&format!("{}/{name}", self.path(collection))).await
    }

    /// A class that writes these secrets of our vault, with further parameters.
    pub(crate) async fn class(
        &self,
        name: &str,
        objects: &[&str],
        more: &Value,
    ) -> anyhow::Result<Value> {
        self.create("secretproviderclasses", &self.class_object(name, objects, more)).await
    }

    /// The same as an object.
    pub(crate) fn class_object(&self, name: &str, objects: &[&str], more: &Value) -> Value {
        let entry =
            |object: &&str| format!("  - |\n    objectName: {object}\n    objectType: secret\n");
        let entries = objects.iter().map(entry).collect::<Vec<_>>().concat();
        let mut parameters = json!({"keyvaultName": self.vault, "tenantId": TENANT,
            "objects": format!("array:\n{entries}")});
        for (key, value) in more.as_object().into_iter().flatten() {
            parameters[key] = value.clone();
        }
        json!({"apiVersion": "secrets-store.csi.x-k8s.io/v1", "kind": "SecretProviderClass",
            "metadata": {"name": name},
            "spec": {"provider": "azure", "parameters": parameters}})
    }

    /// The pod of a scenario: labelled, with the class's volume at `/mnt/s`, running `script`.
    pub(crate) fn pod(&self, name: &str, script: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "labels": labels(name)}, "spec": pod_spec(script)})
    }

    /// A template for workloads.
    pub(crate) fn template(&self, name: &str, script: &str) -> Value {
        json!({"metadata": {"labels": labels(name)}, "spec": pod_spec(script)})
    }

    /// Waits until a pod runs and is ready.
    pub(crate) async fn running(&self, pod: &str) -> anyhow::Result<Value> {
        self.running_in(&self.namespace, pod, PATIENCE).await
    }

    /// The same in any namespace.
    pub(crate) async fn running_in(
        &self,
        namespace: &str,
        pod: &str,
        patience: Duration,
    ) -> anyhow::Result<Value> {
        let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}");
        until(&format!("{namespace}/{pod} is ready"), patience, async || {
            let pod = self.world.api.get(&path).await?;
            Ok(has_condition(&pod, "Ready").then_some(pod))
        })
        .await
    }

    /// Waits until `count` pods with our label `app` are ready; gives them.
    pub(crate) async fn all_running(
        &self,
        app: &str,
        count: usize,
        patience: Duration,
    ) -> anyhow::Result<Vec<Value>> {
        let path = format!("{}?labelSelector=app%3D{app}", self.path("pods"));
        until(&format!("{count} pods of {app} are ready"), patience, async || {
            let pods = self.world.api.get(&path).await?;
            let alive = |pod: &&Value| pod["metadata"]["deletionTimestamp"].is_null();
            let pods: Vec<Value> =
                pods["items"].as_array().into_iter().flatten().filter(alive).cloned().collect();
            Ok((pods.len() == count && pods.iter().all(|pod| has_condition(pod, "Ready")))
                .then_some(pods))
        })
        .await
    }

    /// Waits until the log of container `app` has a line; gives the log.
    pub(crate) async fn says(&self, pod: &str, line: &str) -> anyhow::Result<String> {
        let path = format!("{}/{pod}/log?container=app", self.path("pods"));
        until(&format!("{pod} says {line:?}"), PATIENCE, async || {
            let log = self.world.api.text(&path).await?;
            Ok(log.lines().any(|found| found == line).then_some(log))
        })
        .await
    }

    /// Runs a shell command in a pod's container `app`.
    pub(crate) async fn sh(&self, pod: &str, script: &str) -> anyhow::Result<String> {
        self.world
            .kubectl(&[
                "exec",
                "--namespace",
                &self.namespace,
                pod,
                "--container",
                "app",
                "--",
                "sh",
                "-c",
                script,
            ])
            .await
    }

    /// Gives the vault's secret `db` another value and has a pod's sidecar look for it; waits until
    /// the file has it.
    pub(crate) async fn rotate(&self, pod: &str, value: &str) -> anyhow::Result<()> {
        self.world.emulator.set_secret(&self.vault, "db", value);
        let refresh = [
            "exec",
            "--namespace",
            &self.namespace,
            pod,
            "--container",
            "keysluice",
            "--",
            "/keysluice-injector",
            "refresh",
        ];
        until(&format!("the file of {pod} is rotated"), PATIENCE, async || {
            // It fails too where a class cannot be followed.
            let _ = self.world.kubectl(&refresh).await;
            Ok((self.sh(pod, "cat /mnt/s/db").await? == value).then_some(()))
        })
        .await
    }

    /// Applies what `keysluice rbac` prints with these arguments, as docs/secrets-sync.md has it.
    pub(crate) async fn grant(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let binary = std::env::var_os("KEYSLUICE_BINARY").context("KEYSLUICE_BINARY is not set")?;
        let mut command = tokio::process::Command::new(binary);
        command.arg("rbac").args(arguments);
        let printed = run(command, None).await?;
        let apply = ["apply", "--server-side", "--filename", "-"];
        self.world.kubectl_with(&apply, Some(&printed)).await?;
        Ok(())
    }

    /// Creates what must be refused; gives the message.
    pub(crate) async fn refused(&self, collection: &str, object: &Value) -> anyhow::Result<String> {
        match self.create(collection, object).await {
            Ok(created) => bail!("it was admitted: {created}"),
            Err(error) => Ok(format!("{error:#}")),
        }
    }

    /// Messages of the events about an object.
    pub(crate) async fn events(&self, name: &str) -> anyhow::Result<Vec<String>> {
        let events = self.world.api.get(&self.path("events")).await?;
        let about = |event: &&Value| event["involvedObject"]["name"] == name;
        let text = |event: &Value| {
            let (reason, message) = (event["reason"].as_str(), event["message"].as_str());
            format!("{}: {}", reason.unwrap_or_default(), message.unwrap_or_default())
        };
        Ok(events["items"].as_array().context("no list")?.iter().filter(about).map(text).collect())
    }
}

/// What a Kubernetes Secret has under a key.
pub(crate) fn value_of(secret: &Value, key: &str) -> anyhow::Result<String> {
    let text = secret["data"][key].as_str().with_context(|| format!("no key {key}"))?;
    Ok(String::from_utf8(BASE64_STANDARD.decode(text)?)?)
}

fn labels(app: &str) -> Value {
    json!({"app": app, "azure.workload.identity/use": "true"})
}

fn pod_spec(script: &str) -> Value {
    json!({
        "serviceAccountName": "app",
        // A shell as process 1 does not hear SIGTERM.
        "terminationGracePeriodSeconds": 1,
        "containers": [{"name": "app", "image": BUSYBOX, "command": ["sh", "-c", script],
            "volumeMounts": [{"name": "secrets", "mountPath": "/mnt/s", "readOnly": true}]}],
        "volumes": [{"name": "secrets",
            "csi": {"driver": "secrets-store.csi.k8s.io", "readOnly": true,
            "volumeAttributes": {"secretProviderClass": "class"}}}],
    })
}

/// Prints a secret at once and stays.
pub(crate) const SHOW: &str = "cat /mnt/s/db; echo; sleep infinity";

/// The sidecar of a pod; an error if there is none.
pub(crate) fn sidecar(pod: &Value) -> anyhow::Result<&Value> {
    let containers = pod["spec"]["initContainers"]
        .as_array()
        .context("no init containers: the pod was not mutated")?;
    containers
        .iter()
        .find(|one| one["name"] == "keysluice")
        .context("no container keysluice: the pod was not mutated")
}
