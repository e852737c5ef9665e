//! Asks the API server.

#![allow(clippy::disallowed_methods, reason = "this room waits with deadlines")]

use super::facts::{
    Application, Configuration, Container, Fact, Facts, Installation, Policy, State, Unknown,
    Version, items,
};
use crate::cli::terminal::progress;
use crate::cluster::api::{ApiError, Client, get, list};
use crate::settings::CsiVolumes;
use serde_json::Value;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const ADMISSION: &str = "/apis/admissionregistration.k8s.io/v1";
const CSI_DRIVER: &str = "/apis/storage.k8s.io/v1/csidrivers/secrets-store.csi.k8s.io";
/// Rights that were granted this instant are known to an API server a moment later.
const RIGHTS: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(500);
/// A pull that fails is repeated after 10 s, then after 20 s: so two have failed.
const PULLS: Duration = Duration::from_secs(20);

pub(super) async fn cluster(
    client: &Client,
    installation: Installation,
    csi_volumes: CsiVolumes,
) -> Facts {
    let version = ask(client, "/version").await.and_then(|answer| {
        Version::read(&answer.unwrap_or_default()).ok_or_else(|| Unknown {
            forbidden: false,
            message: "the answer has no version".to_owned(),
        })
    });
    let (resources, configurations, policies) = (
        ask(client, ADMISSION).await,
        ask(client, &format!("{ADMISSION}/mutatingwebhookconfigurations")).await,
        ask(client, &format!("{ADMISSION}/validatingadmissionpolicies")).await,
    );
    Facts {
        installation,
        version,
        admission_resources: resources.map(|list| {
            items(&list.unwrap_or_default()["resources"]).iter().filter_map(name).collect()
        }),
        configurations: configurations.map(|list| read(list, Configuration::read)),
        policies: policies.map(|list| read(list, Policy::read)),
        has_csi_driver: ask(client, CSI_DRIVER).await.map(|driver| driver.is_some()),
        csi_volumes,
        injector: None,
        pull_secrets: false,
        application: None,
    }
}

/// What the checks of a namespace look at, without waiting for rights.
pub(super) async fn application(client: &Client, namespace: &str, cpu: Cpu) -> Application {
    let core = format!("/api/v1/namespaces/{namespace}");
    let network = format!("/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies");
    Application {
        namespace: namespace.to_owned(),
        object: get(client, &core).await.map_err(|error| unknown(&error)),
        quotas: all(client, &format!("{core}/resourcequotas")).await,
        limit_ranges: all(client, &format!("{core}/limitranges")).await,
        network_policies: all(client, &network).await,
        cpu_request: cpu.request,
        cpu_limit: cpu.limit,
        probe: None,
    }
}

/// What the sidecar requests and may use.
pub(super) struct Cpu {
    pub(super) request: String,
    pub(super) limit: Option<String>,
}

async fn all(client: &Client, path: &str) -> Fact<Vec<Value>> {
    let mut objects = Vec::new();
    let listed = list(client, path, |object| objects.push(object)).await;
    listed.map_err(|error| unknown(&error)).map(|()| objects)
}

/// Why something is not known. Only 403 is for want of a right.
pub(in super::super) fn unknown(error: &ApiError) -> Unknown {
    let forbidden = matches!(error, ApiError::Refused { status: 403, .. });
    Unknown { forbidden, message: error.to_string() }
}

/// Waits until the container has ended, or its image was not to be had for a while.
pub(super) async fn container(
    client: &Client,
    pod: &str,
    name: &str,
    patience: Duration,
) -> Fact<Container> {
    let begun = Instant::now();
    let mut waiting_since = None;
    loop {
        progress(&format!("waiting for container {name} …"));
        let answer = ask(client, pod).await.inspect_err(|_| progress(""));
        let found = Container::read(&answer?.unwrap_or_default(), name);
        let is_waiting = matches!(found.state, State::Waiting { .. });
        let since = *waiting_since.get_or_insert_with(Instant::now);
        if !is_waiting {
            waiting_since = None;
        }
        if found.state.is_final()
            || begun.elapsed() >= patience
            || is_waiting && since.elapsed() >= PULLS
        {
            progress("");
            return Ok(found);
        }
        sleep(PAUSE).await;
    }
}

async fn ask(client: &Client, path: &str) -> Fact<Option<Value>> {
    let begun = Instant::now();
    loop {
        let error = match get(client, path).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        if begun.elapsed() >= RIGHTS {
            return Err(unknown(&error));
        }
        sleep(PAUSE).await;
    }
}

fn read<T>(list: Option<Value>, one: impl Fn(&Value) -> T) -> Vec<T> {
    items(&list.unwrap_or_default()["items"]).iter().map(one).collect()
}

fn name(resource: &Value) -> Option<String> {
    resource["name"].as_str().map(str::to_owned)
}
