//! The real `keysluice serve` inside a memory cgroup with the chart's limit, and clients that
//! attack it over real TLS.

#![allow(dead_code, unused_imports)] // Which of it the attacks use changes from test to test.

mod admin;
mod cgroup;
mod client;
mod connections;
mod shares;
mod webhook;

pub(crate) use cgroup::MemoryGroup;
pub(crate) use client::{Answered, Steady, connect, exchange, post_bytes};
pub(crate) use webhook::{CHART_LIMIT_BYTES, Objects, Webhook};

#[tokio::test(flavor = "multi_thread")]
async fn the_webhook_runs_in_its_group_and_its_peak_is_seen() {
    let objects = Objects::of(&["shop", "quiet"], "");
    let Some(webhook) = Webhook::start("harness", &["--objects", objects.path()]) else { return };
    let (status, body) = webhook
        .post("/mutate", &keysluice_bench::review(&keysluice_bench::pod(4096)))
        .await
        .unwrap();
    assert_eq!((status, &body["response"]["allowed"]), (200, &true.into()), "{body}");
    assert!(webhook.is_ready().await);
    let steady = Steady::start(&webhook, "127.0.0.2".parse().unwrap(), "quiet");
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    let answered = steady.stop().await;
    assert!(answered.count() > 0 && answered.refused.is_empty(), "{answered:?}");
    assert!(
        webhook.peak_bytes() > 1 << 20 && webhook.peak_bytes() < CHART_LIMIT_BYTES,
        "{}",
        webhook.peak_bytes()
    );
    println!("{}, {} KiB now", answered.line(), webhook.usage_bytes() >> 10);
    webhook.assert_held();
}

#[test]
fn a_process_beyond_the_limit_of_its_group_is_killed_and_counted() {
    let Some(group) = MemoryGroup::create("kill", 16 << 20) else { return };
    // 64 MiB in one variable of the shell.
    let script = "x=$(head -c 67108864 /dev/zero | tr '\\0' x); echo ${#x}";
    let status = group.command("sh").args(["-c", script]).status().unwrap();
    assert!(!status.success() && group.oom_kills() > 0, "{status}");
}

/// Counts are those of the known attacks, three times over, with a released binary
/// (`KEYSLUICE_HOLD_BINARY`); that of a test build takes a third of them in the same time.
pub(crate) fn many(count: usize) -> usize {
    if std::env::var_os("KEYSLUICE_HOLD_BINARY").is_some() { count } else { count / 3 }
}

/// Times count for a released binary on a machine of its own; elsewhere they are printed only.
fn assert_prompt(answered: &Answered, back: std::time::Duration) {
    if std::env::var_os("KEYSLUICE_HOLD_TIMED").is_some() {
        let p99 = answered.permille(990);
        assert!(
            p99.as_millis() <= 100 && back.as_millis() <= 1000,
            "p99 {p99:?}, serves again after {back:?}"
        );
    }
}
