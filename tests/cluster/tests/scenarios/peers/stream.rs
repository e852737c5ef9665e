//! Creations that go on while a page is followed.

use crate::scene::Scene;
use keysluice_cluster::api::Api;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

/// 18 creations a second.
const PACE: Duration = Duration::from_millis(55);

/// Says who served a pod, or what is wrong with it.
pub(crate) type Judge = fn(&Value) -> Result<&'static str, String>;

/// Pods created with `dryRun=All` at a steady pace, independent of earlier answers: they are
/// admitted as any other pod and not stored. Ends when it is dropped.
pub(crate) struct Stream {
    is_over: Arc<AtomicBool>,
    task: JoinSet<Tally>,
}

/// What became of them.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    made: usize,
    refused: Vec<String>,
    /// Admitted, but not as they should be.
    ill_served: Vec<String>,
    served: BTreeMap<&'static str, usize>,
}

impl Stream {
    /// Begins to create these pods in turn.
    pub(crate) fn begin(scene: &Scene, pods: Vec<Value>, judge: Judge) -> Self {
        let (api, path) = (scene.world.api.clone(), format!("{}?dryRun=All", scene.path("pods")));
        let is_over = Arc::new(AtomicBool::new(false));
        let mut task = JoinSet::new();
        task.spawn(flow(api, path, pods, judge, Arc::clone(&is_over)));
        Self { is_over, task }
    }

    /// Ends it; an error if any pod was refused, or not served as it should be.
    pub(crate) async fn end(mut self, scene: &Scene, during: &str) -> anyhow::Result<Tally> {
        self.is_over.store(true, Ordering::Relaxed);
        let tally = self.task.join_next().await.transpose()?.unwrap_or_default();
        let served: Vec<String> =
            tally.served.iter().map(|(by, number)| format!("{number} by {by}")).collect();
        let told = format!(
            "{during}: {} creations, {} refused, served: {}",
            tally.made,
            tally.refused.len(),
            served.join(", ")
        );
        scene.world.figure(told.clone());
        println!("{told}");
        let few = |all: &[String]| all.iter().take(5).cloned().collect::<Vec<_>>().join("\n");
        anyhow::ensure!(tally.refused.is_empty(), "{told}\n{}", few(&tally.refused));
        anyhow::ensure!(
            tally.ill_served.is_empty(),
            "{told}; {} are not served as they should be:\n{}",
            tally.ill_served.len(),
            few(&tally.ill_served)
        );
        anyhow::ensure!(tally.made > 0, "{told}");
        Ok(tally)
    }
}

impl Tally {
    /// How many were served so.
    pub(crate) fn served_by(&self, whom: &str) -> usize {
        self.served.get(whom).copied().unwrap_or(0)
    }
}

async fn flow(
    api: Api,
    path: String,
    pods: Vec<Value>,
    judge: Judge,
    is_over: Arc<AtomicBool>,
) -> Tally {
    let (begun, mut tally) = (Instant::now(), Tally::default());
    let mut pace = tokio::time::interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut creations = JoinSet::new();
    for pod in pods.iter().cycle() {
        pace.tick().await;
        while let Some(created) = creations.try_join_next() {
            tally.count(created, judge);
        }
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        let (api, path, pod) = (api.clone(), path.clone(), pod.clone());
        creations.spawn(async move { (begun.elapsed(), api.create(&path, &pod).await) });
    }
    while let Some(created) = creations.join_next().await {
        tally.count(created, judge);
    }
    tally
}

type Creation = (Duration, anyhow::Result<Value>);

impl Tally {
    fn count(&mut self, created: Result<Creation, tokio::task::JoinError>, judge: Judge) {
        self.made += 1;
        match created {
            Ok((at, Ok(pod))) => match judge(&pod) {
                Ok(by) => *self.served.entry(by).or_default() += 1,
                Err(wrong) => {
                    self.ill_served.push(format!("at {:.1} s: {wrong}", at.as_secs_f32()));
                }
            },
            Ok((at, Err(error))) => {
                self.refused.push(format!("at {:.1} s: {error:#}", at.as_secs_f32()));
            }
            Err(error) => self.refused.push(error.to_string()),
        }
    }
}
