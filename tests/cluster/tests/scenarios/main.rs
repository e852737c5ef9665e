//! Scenarios on a real Kubernetes with a node, each named as a sentence. Run by `make
//! test-cluster`; needs root.
//!
//! The process starts an enclosure and runs itself again inside, where the cluster's addresses are.
//! All scenarios share the cluster; those that take something away from it (`upheaval`) run one by
//! one after the others.

#![allow(clippy::unwrap_used)] // tests
#![allow(clippy::unused_self)]
// what a scenario says of its scene reads alike
// The files of a scenario have no other reader while they are written.
#![allow(clippy::disallowed_methods)]

mod scene;
mod world;

mod admission;
mod gate;
mod gate_cost;
mod guides;
mod inline;
mod intercept;
mod kills;
mod leftovers;
mod live_plans;
mod memory;
mod order;
mod other_webhook;
mod pages;
mod peers;
mod pipeline;
mod reactions;
mod reader;
mod reloader;
mod replacements;
mod rights;
mod rolling;
mod synced;
mod synced_forms;
mod upheaval;
mod webhook;
mod workloads;

use anyhow::Context as _;
use keysluice_cluster::enclosure::{self, Materials};
use keysluice_cluster::{Enclosure, Layout};
use scene::Scene;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;
use tokio::task::JoinSet;
use world::World;

/// One scenario.
pub(crate) struct Scenario {
    name: &'static str,
    play: for<'a> fn(&'a Scene) -> Pin<Box<dyn Future<Output = anyhow::Result<()>> + 'a>>,
}

/// The list of a module's scenarios: its functions, their names being sentences.
macro_rules! scenarios {
    ($($name:ident),* $(,)?) => {
        pub(crate) const ALL: &[crate::Scenario] =
            &[$(crate::Scenario { name: stringify!($name),
                play: |scene| Box::pin($name(scene)) }),*];
    };
}
pub(crate) use scenarios;

/// At once: each pod takes a second of processor time to come up, and most of what follows is
/// waiting.
const ABREAST: usize = 8;
const INSIDE: &str = "KEYSLUICE_INSIDE";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if !arguments.iter().any(|argument| argument == "--ignored") {
        println!("scenarios need a cluster: make test-cluster");
        return ExitCode::SUCCESS;
    }
    let filter: Vec<String> =
        arguments.into_iter().filter(|argument| !argument.starts_with('-')).collect();
    let result = match std::env::var_os(INSIDE) {
        Some(root) => play_all(Layout::new(root), &filter),
        None => outside(&filter),
    };
    result.unwrap_or_else(|error| {
        eprintln!("{error:#}");
        ExitCode::FAILURE
    })
}

fn outside(filter: &[String]) -> anyhow::Result<ExitCode> {
    let materials = materials()?;
    let before = leftovers::Machine::look()?;
    let begun = Instant::now();
    let enclosure = Enclosure::start(&materials, &enclosure::new_root())?;
    println!("cluster ready after {:.1} s", begun.elapsed().as_secs_f32());
    let mut inside =
        enclosure::command(enclosure.layout(), &std::env::current_exe()?.display().to_string())?;
    inside.arg("--ignored").args(filter).env(INSIDE, enclosure.layout().root());
    let status = inside.status().context("running the scenarios")?;
    let ending = Instant::now();
    drop(enclosure);
    println!("cluster gone after {:.1} s", ending.elapsed().as_secs_f32());
    let mut failed = !status.success();
    for (name, check) in [
        (
            "nothing_is_left_behind",
            leftovers::nothing_is_left_behind
                as fn(&Materials, &leftovers::Machine) -> anyhow::Result<()>,
        ),
        (
            "an_interrupted_start_leaves_nothing_behind",
            leftovers::an_interrupted_start_leaves_nothing_behind,
        ),
    ] {
        if is_wanted(name, filter) {
            let begun = Instant::now();
            let result = check(&materials, &before);
            tell(name, begun, &result);
            failed |= result.is_err();
        }
    }
    println!("all in all {:.0} s", begun.elapsed().as_secs_f32());
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn materials() -> anyhow::Result<Materials> {
    let named = |name: &str| {
        let value = std::env::var_os(name)
            .with_context(|| format!("{name} is not set; `make test-cluster` sets it"))?;
        anyhow::Ok(PathBuf::from(value))
    };
    let (images, ours) = (named("KEYSLUICE_TEST_IMAGES")?, named("KEYSLUICE_IMAGES")?);
    let machine = std::env::consts::ARCH;
    let mut archives: Vec<PathBuf> =
        ["pause.tar", "busybox.tar"].iter().map(|name| images.join(name)).collect();
    archives
        .extend(["webhook", "injector"].map(|name| ours.join(format!("{name}-{machine}.oci.tar"))));
    archives.extend(peers::images()?);
    Ok(Materials {
        supervisor: env!("CARGO_BIN_EXE_keysluice-cluster").into(),
        components: named("KEYSLUICE_COMPONENTS")?,
        archives,
        registry: images.join("registry"),
    })
}

fn is_wanted(name: &str, filter: &[String]) -> bool {
    filter.is_empty() || filter.iter().any(|part| name.contains(part))
}

/// Says how a scenario ended; gives the line.
fn tell(name: &str, begun: Instant, result: &anyhow::Result<()>) -> String {
    let verdict = if result.is_ok() { "ok    " } else { "FAILED" };
    let line =
        format!("{verdict} {:>6.1} s  {}", begun.elapsed().as_secs_f32(), name.replace('_', " "));
    println!("{line}");
    if let Err(error) = result {
        println!("{error:#}");
    }
    line
}

fn play_all(layout: Layout, filter: &[String]) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    // Scenarios stay on this thread; the emulator has the others.
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let with_peers = peers::directory().is_some();
        let world =
            if with_peers { peers::world(layout).await? } else { World::start(layout).await? };
        let world = Arc::new(world);
        // The longest waits first.
        let calm: &[&'static [Scenario]] = if with_peers {
            &[]
        } else {
            &[
                gate::ALL,
                workloads::ALL,
                synced::ALL,
                reloader::ALL,
                synced_forms::ALL,
                guides::ALL,
                inline::ALL,
                intercept::ALL,
                rights::ALL,
                order::ALL,
                other_webhook::ALL,
                admission::ALL,
                pipeline::ALL,
                reactions::ALL,
                replacements::ALL,
                live_plans::ALL,
                pages::ALL,
            ]
        };
        let (mut failed, mut number) = (0, 0);
        let mut playing = JoinSet::new();
        for scenario in
            calm.iter().flat_map(|list| list.iter()).filter(|one| is_wanted(one.name, filter))
        {
            while playing.len() >= ABREAST {
                failed += usize::from(
                    playing.join_next().await.is_some_and(|passed| !passed.unwrap_or(false)),
                );
            }
            number += 1;
            playing.spawn_local(play(Arc::clone(&world), scenario, number));
        }
        while let Some(passed) = playing.join_next().await {
            failed += usize::from(!passed.unwrap_or(false));
        }
        if let Err(error) = world.until_quiet().await {
            println!("{error:#}");
        }
        // One by one: they measure, or take away what the others need.
        let alone: &[&'static [Scenario]] = if with_peers {
            peers::ALL
        } else {
            &[
                gate_cost::ALL,
                replacements::ALONE,
                kills::ALL,
                live_plans::ALONE,
                upheaval::ALL,
                rolling::ALL,
                memory::ALL,
                pages::FAREWELL,
            ]
        };
        for scenario in
            alone.iter().flat_map(|list| list.iter()).filter(|one| is_wanted(one.name, filter))
        {
            number += 1;
            failed += usize::from(!play(Arc::clone(&world), scenario, number).await);
        }
        // Once more in one piece: what a failure printed may stand between.
        println!("\nreport");
        for line in world.reported.lock().unwrap().iter() {
            println!("{line}");
        }
        for line in world.figures.lock().unwrap().iter() {
            println!("figure {line}");
        }
        println!("{number} scenarios, {failed} failed");
        Ok(if failed == 0 && number > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}

/// Plays one scenario; whether it went well.
async fn play(world: Arc<World>, scenario: &'static Scenario, number: usize) -> bool {
    let begun = Instant::now();
    let scene = match Scene::set(Arc::clone(&world), number).await {
        Ok(scene) => scene,
        Err(error) => {
            world.report(tell(scenario.name, begun, &Err(error.context("setting the scene"))));
            return false;
        }
    };
    let mut result = (scenario.play)(&scene).await;
    if let Err(error) = result {
        let mut namespaces = scene.namespaces();
        namespaces.push(world::RELEASE.to_owned());
        let diagnosis = world.diagnosis(&namespaces).await;
        result = Err(error.context(format!("{diagnosis}\n---")));
    }
    world.report(tell(scenario.name, begun, &result));
    for namespace in scene.namespaces().iter().filter(|name| *name != "default" && !scene.is_kept())
    {
        // Its end takes seconds that the next scenario need not wait for.
        let _ = world.api.delete(&format!("/api/v1/namespaces/{namespace}")).await;
    }
    result.is_ok()
}
