//! What `status` tells, as `OpenMetrics` text: made by the command that asks, so that the sidecar
//! holds no registry and opens no port.

use crate::report::{ErrorReport, FileReport, Report, VolumeReport};
use keysluice_plan::metrics::{
    CALL_RESULTS, CALLS, LAST_SUCCESS, Metric, OBJECT_AGE, OBJECT_EXPIRY, OBJECT_FAILING,
    OBJECT_NEXT, OBJECT_START, OBJECT_WARNING, PLAN_AGE, PLAN_FAILING, REACTION_FAILING,
    REACTION_RESULTS, REACTIONS, READY, REFRESH_INTERVAL, SECRET_AGE, SECRET_FAILING, SECRET_SYNCS,
    SIDECAR, SYNC_RESULTS, VOLUME_FAILING,
};
use std::fmt::Write;

/// The text for a scraper; `None` when `json` is not what `status` prints.
pub(crate) fn open_metrics(json: &str) -> Option<String> {
    let report: Report<'_> = serde_json::from_str(json).ok()?;
    let mut text = String::new();
    family(&mut text, &SIDECAR);
    sample(&mut text, &SIDECAR, &[&report.version], 1);
    family(&mut text, &READY);
    sample(&mut text, &READY, &[], u64::from(report.ready));
    files(&mut text, &report.volumes);
    volumes(&mut text, &report.volumes);
    calls(&mut text, &report);
    if !report.secrets.is_empty() {
        secrets(&mut text, &report);
    }
    if let Some(reaction) = &report.reaction {
        family(&mut text, &REACTIONS);
        let [done, failed] = REACTION_RESULTS;
        sample(&mut text, &REACTIONS, &[done], reaction.count);
        sample(&mut text, &REACTIONS, &[failed], reaction.failed.into());
        family(&mut text, &REACTION_FAILING);
        failing(&mut text, &REACTION_FAILING, &[], reaction.error.as_ref());
    }
    if let Some(plan) = &report.plan {
        family(&mut text, &PLAN_AGE);
        if let Some(age) = plan.age_seconds {
            sample(&mut text, &PLAN_AGE, &[], age);
        }
        family(&mut text, &PLAN_FAILING);
        failing(&mut text, &PLAN_FAILING, &[], plan.error.as_ref());
    }
    text.push_str("# EOF\n");
    Some(text)
}

/// A value of a file, if it is known.
type Value = fn(&FileReport<'_>) -> Option<u64>;

fn files(text: &mut String, volumes: &[VolumeReport<'_>]) {
    let values: [(Metric, Value); 4] = [
        (OBJECT_AGE, |file| file.age_seconds),
        (OBJECT_NEXT, |file| file.next_seconds),
        (OBJECT_START, |file| file.starts_at),
        (OBJECT_EXPIRY, |file| file.expires_at),
    ];
    for (metric, value) in &values {
        family(text, metric);
        for volume in volumes {
            for file in &volume.files {
                if let Some(value) = value(file) {
                    let labels: [&str; 3] = [&volume.name, &file.path, &file.object];
                    sample(text, metric, &labels[..metric.labels.len()], value);
                }
            }
        }
    }
    family(text, &OBJECT_WARNING);
    for volume in volumes {
        for file in &volume.files {
            failing(text, &OBJECT_WARNING, &[&volume.name, &file.path], file.warning.as_ref());
        }
    }
    family(text, &OBJECT_FAILING);
    for volume in volumes {
        for file in &volume.files {
            failing(text, &OBJECT_FAILING, &[&volume.name, &file.path], file.error.as_ref());
        }
    }
}

fn volumes(text: &mut String, volumes: &[VolumeReport<'_>]) {
    family(text, &REFRESH_INTERVAL);
    for volume in volumes {
        if let Some(interval) = volume.interval_seconds {
            sample(text, &REFRESH_INTERVAL, &[&volume.name], interval);
        }
    }
    family(text, &LAST_SUCCESS);
    for volume in volumes {
        // Of the oldest; unknown while one of them is.
        let ages: Option<Vec<u64>> = volume.files.iter().map(|file| file.age_seconds).collect();
        if let Some(age) = ages.and_then(|ages| ages.into_iter().max()) {
            sample(text, &LAST_SUCCESS, &[&volume.name], age);
        }
    }
    family(text, &VOLUME_FAILING);
    for volume in volumes {
        failing(text, &VOLUME_FAILING, &[&volume.name], volume.error.as_ref());
    }
}

fn calls(text: &mut String, report: &Report<'_>) {
    family(text, &CALLS);
    for call in &report.calls {
        let counts = [call.succeeded, call.refused, call.throttled, call.failed, call.unanswered];
        for (result, count) in CALL_RESULTS.into_iter().zip(counts) {
            sample(text, &CALLS, &[&call.service, &call.kind, result], count.into());
        }
    }
}

/// Only for pods that make some.
fn secrets(text: &mut String, report: &Report<'_>) {
    family(text, &SECRET_AGE);
    for secret in &report.secrets {
        if let Some(age) = secret.age_seconds {
            sample(text, &SECRET_AGE, &[&secret.name], age);
        }
    }
    family(text, &SECRET_FAILING);
    for secret in &report.secrets {
        failing(text, &SECRET_FAILING, &[&secret.name], secret.error.as_ref());
    }
    family(text, &SECRET_SYNCS);
    for secret in &report.secrets {
        let counts = [secret.written, secret.unchanged, secret.failed];
        for (result, count) in SYNC_RESULTS.into_iter().zip(counts) {
            sample(text, &SECRET_SYNCS, &[&secret.name, result], count.into());
        }
    }
}

/// 1 with the code of an error, else 0; the code is the last label.
fn failing(text: &mut String, metric: &Metric, labels: &[&str], error: Option<&ErrorReport<'_>>) {
    let code: &str = error.map_or("", |error| &error.code);
    let labels: Vec<&str> = labels.iter().copied().chain([code]).collect();
    sample(text, metric, &labels, u64::from(error.is_some()));
}

fn family(text: &mut String, Metric { name, kind, help, .. }: &Metric) {
    // Writing to a string cannot fail.
    let _ = write!(text, "# TYPE keysluice_{name} {kind}\n# HELP keysluice_{name} {help}.\n");
}

fn sample(text: &mut String, metric: &Metric, values: &[&str], number: u64) {
    let suffix = match metric.kind {
        "counter" => "_total",
        "info" => "_info",
        _ => "",
    };
    let _ = write!(text, "keysluice_{}{suffix}", metric.name);
    for (index, (label, value)) in metric.labels.iter().zip(values).enumerate() {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let _ = write!(text, "{}{label}=\"{value}\"", if index == 0 { '{' } else { ',' });
    }
    let _ = writeln!(text, "{} {number}", if values.is_empty() { "" } else { "}" });
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
