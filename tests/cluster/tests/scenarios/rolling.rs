//! Nothing that befalls the webhook in its daily life costs a pod: upgrade, scaling, new
//! certificates, a new authority. Afterwards its certificates go on living for seconds only, so
//! nothing that takes a replica away is played after this.

use crate::scene::{Scene, sidecar};
use crate::webhook;
use crate::world::{PATIENCE, RELEASE, until};
use anyhow::Context as _;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

crate::scenarios!(
    the_first_pod_is_mutated_within_fifteen_seconds_of_helm_install,
    no_pod_is_refused_or_missed_in_upgrade_scaling_and_rotation_of_certificate_and_authority,
);

/// A look at cluster and images before anything is installed takes about half of it.
const FIRST: Duration = Duration::from_secs(15);
const PODS: usize = 500;
/// Many creations a second, so that none of the moments that matter is missed.
const PACE: Duration = Duration::from_millis(40);
const CONFIGURATION: &str =
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/keysluice";

async fn the_first_pod_is_mutated_within_fifteen_seconds_of_helm_install(
    scene: &Scene,
) -> anyhow::Result<()> {
    let first = scene.world.first_mutated;
    scene.world.figure(format!("helm install -> first mutated pod: {:.1} s", first.as_secs_f32()));
    anyhow::ensure!(first <= FIRST, "{first:?}");
    Ok(())
}

/// Lives so short that an authority is succeeded within half a minute.
fn short_lives() -> Value {
    let lives = [
        ("KEYSLUICE_CERTIFICATE_LIFETIME", "6s"),
        ("KEYSLUICE_AUTHORITY_LIFETIME", "24s"),
        ("KEYSLUICE_BUNDLE_PROPAGATION", "2s"),
        ("KEYSLUICE_CLOCK_TOLERANCE", "1s"),
    ];
    json!({"extraEnv": lives.map(|(name, value)| json!({"name": name, "value": value}))})
}

async fn no_pod_is_refused_or_missed_in_upgrade_scaling_and_rotation_of_certificate_and_authority(
    scene: &Scene,
) -> anyhow::Result<()> {
    webhook::is_ready(scene, 2).await?;
    let (mut creations, over) = (Creations::default(), Cell::new(false));
    let upheaval = async {
        let result = upheaval(scene).await;
        over.set(true);
        result
    };
    let (seen, ()) = tokio::join!(upheaval, creations.go_on_until(scene, &over));
    let told = format!(
        "{} pods made, {} refused, {} missed",
        creations.made,
        creations.refused.len(),
        creations.missed
    );
    scene.world.figure(format!("helm upgrade, scale 2-1-3, rotation: {told}"));
    let seen = seen?;
    scene.world.figure(format!(
        "meanwhile: {} certificates, {} authorities",
        seen.certificates.len(),
        seen.authorities.len()
    ));
    anyhow::ensure!(
        creations.refused.is_empty() && creations.missed == 0,
        "{told}: {:#?}",
        creations.refused
    );
    Ok(())
}

#[derive(Default)]
struct Creations {
    made: usize,
    missed: usize,
    refused: Vec<String>,
}

impl Creations {
    /// One after the other, as long as the upheaval lasts.
    async fn go_on_until(&mut self, scene: &Scene, over: &Cell<bool>) {
        let mut pace = tokio::time::interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut number = 0;
        while number < PODS || !over.get() {
            pace.tick().await;
            number += 1;
            match scene
                .create("pods", &webhook::unscheduled(scene, &format!("rolled-{number}")))
                .await
            {
                Ok(pod) => {
                    self.made += 1;
                    self.missed += usize::from(sidecar(&pod).is_err());
                }
                Err(error) => self.refused.push(format!("pod {number}: {error:#}")),
            }
        }
    }
}

async fn upheaval(scene: &Scene) -> anyhow::Result<Seen> {
    webhook::upgrade(scene, &short_lives()).await?;
    webhook::scale(scene, 1).await?;
    webhook::is_ready(scene, 1).await?;
    // What is there lives for long; what replaces a lost Secret has the short lives.
    let before = Seen::default().look(scene).await?;
    scene.world.api.delete(&format!("/api/v1/namespaces/{RELEASE}/secrets/keysluice-tls")).await?;
    webhook::scale(scene, 3).await?;
    let mut seen = Seen::default();
    let mut first = BTreeSet::new();
    until("an authority of short life was succeeded and is forgotten", PATIENCE, async || {
        seen = std::mem::take(&mut seen).look(scene).await?;
        let new: BTreeSet<String> = seen.trusted.difference(&before.trusted).cloned().collect();
        if first.is_empty() {
            first = new;
            return Ok(None);
        }
        Ok((first.is_disjoint(&new) && !new.is_empty()).then_some(()))
    })
    .await?;
    webhook::is_ready(scene, 3).await?;
    Ok(seen)
}

/// What was served and trusted so far.
#[derive(Default)]
struct Seen {
    certificates: BTreeSet<String>,
    authorities: BTreeSet<String>,
    /// Now.
    trusted: BTreeSet<String>,
}

impl Seen {
    async fn look(mut self, scene: &Scene) -> anyhow::Result<Self> {
        let secret = scene
            .world
            .api
            .find(&format!("/api/v1/namespaces/{RELEASE}/secrets/keysluice-tls"))
            .await?;
        self.certificates
            .extend(secret.and_then(|secret| Some(secret["data"]["tls.crt"].as_str()?.to_owned())));
        let configuration = scene.world.api.get(CONFIGURATION).await?;
        let bundle = configuration["webhooks"][0]["clientConfig"]["caBundle"]
            .as_str()
            .context("no caBundle")?;
        let bundle = String::from_utf8(BASE64_STANDARD.decode(bundle)?)?;
        self.trusted =
            bundle.split_inclusive("-----END CERTIFICATE-----\n").map(str::to_owned).collect();
        self.authorities.extend(self.trusted.iter().cloned());
        Ok(self)
    }
}
