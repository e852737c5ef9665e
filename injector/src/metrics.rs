//! What `status` tells, as `OpenMetrics` text: made by the command that asks, so that the sidecar
//! holds no registry and opens no port.

use crate::report::{ErrorReport, Report};
use std::fmt::Write;

/// The text for a scraper; `None` when `json` is not what `status` prints.
pub(crate) fn open_metrics(json: &str) -> Option<String> {
    let report: Report<'_> = serde_json::from_str(json).ok()?;
    let mut text = String::new();
    family(
        &mut text,
        "ready",
        "1 when every volume has its first generation and every Secret was made",
    );
    sample(&mut text, "ready", &[], u64::from(report.ready));
    family(
        &mut text,
        "object_age_seconds",
        "Time since the vault was last seen to have what the file holds",
    );
    let files = || {
        report.volumes.iter().flat_map(|volume| volume.files.iter().map(move |file| (volume, file)))
    };
    for (volume, file) in files() {
        if let Some(age) = file.age_seconds {
            let labels =
                [("volume", &*volume.name), ("path", &file.path), ("object", &file.object)];
            sample(&mut text, "object_age_seconds", &labels, age);
        }
    }
    family(
        &mut text,
        "object_failing",
        "1 when the last try to fetch the object failed; the code says why",
    );
    for (volume, file) in files() {
        let labels =
            [("volume", &*volume.name), ("path", &file.path), ("code", code(file.error.as_ref()))];
        sample(&mut text, "object_failing", &labels, u64::from(file.error.is_some()));
    }
    family(
        &mut text,
        "volume_failing",
        "1 when the last generation could not be written; the code says why",
    );
    for volume in &report.volumes {
        let labels = [("volume", &*volume.name), ("code", code(volume.error.as_ref()))];
        sample(&mut text, "volume_failing", &labels, u64::from(volume.error.is_some()));
    }
    if !report.secrets.is_empty() {
        secrets(&mut text, &report);
    }
    if let Some(reaction) = &report.reaction {
        let help = "Times that the application was told of changed files since the sidecar started";
        family(&mut text, "reactions", help);
        sample(&mut text, "reactions", &[], reaction.count);
        let help = "1 when the application could not be told last; the code says why";
        family(&mut text, "reaction_failing", help);
        let labels = [("code", code(reaction.error.as_ref()))];
        sample(&mut text, "reaction_failing", &labels, u64::from(reaction.error.is_some()));
    }
    if let Some(plan) = &report.plan {
        let help = "Time since the webhook last said that the Plan is current";
        family(&mut text, "plan_age_seconds", help);
        if let Some(age) = plan.age_seconds {
            sample(&mut text, "plan_age_seconds", &[], age);
        }
        let help = "1 when the current Plan cannot be had or followed; the code says why";
        family(&mut text, "plan_failing", help);
        let labels = [("code", code(plan.error.as_ref()))];
        sample(&mut text, "plan_failing", &labels, u64::from(plan.error.is_some()));
    }
    text.push_str("# EOF\n");
    Some(text)
}

/// Only for pods that make some.
fn secrets(text: &mut String, report: &Report<'_>) {
    family(text, "secret_age_seconds", "Time since the Secret was last seen to be as it should");
    for secret in &report.secrets {
        if let Some(age) = secret.age_seconds {
            sample(text, "secret_age_seconds", &[("secret", &*secret.name)], age);
        }
    }
    family(
        text,
        "secret_failing",
        "1 when the last try to write the Secret failed; the code says why",
    );
    for secret in &report.secrets {
        let labels = [("secret", &*secret.name), ("code", code(secret.error.as_ref()))];
        sample(text, "secret_failing", &labels, u64::from(secret.error.is_some()));
    }
}

fn code<'a>(error: Option<&'a ErrorReport<'_>>) -> &'a str {
    error.map_or("", |error| &error.code)
}

fn family(text: &mut String, name: &str, help: &str) {
    // Writing to a string cannot fail.
    let _ = write!(text, "# TYPE keysluice_{name} gauge\n# HELP keysluice_{name} {help}.\n");
}

fn sample(text: &mut String, name: &str, labels: &[(&str, &str)], value: u64) {
    let _ = write!(text, "keysluice_{name}");
    for (index, (label, value)) in labels.iter().enumerate() {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let _ = write!(text, "{}{label}=\"{value}\"", if index == 0 { '{' } else { ',' });
    }
    let _ = writeln!(text, "{} {value}", if labels.is_empty() { "" } else { "}" });
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_report_becomes_gauges_with_escaped_labels() {
        let error = |code: &str| json!({"code": code, "message": "", "hint": "", "ageSeconds": 1});
        let files = json!([
            {"path": "a\"b\\c\nd", "object": "secret \"a\" in https://kv/", "version": "1",
                "ageSeconds": 7, "error": null},
            {"path": "e", "object": "x", "version": null, "ageSeconds": null,
                "error": error("KS404")}]);
        let volume = json!({"name": "v", "directory": "/v", "generation": "..g",
            "error": error("KS501"), "files": files});
        let secrets = json!([{"name": "db", "ageSeconds": 3, "error": null},
            {"name": "tls", "ageSeconds": null, "error": error("KS643")}]);
        let report = json!({"ready": true, "version": "1", "failing": 1, "volumes": [volume],
            "secrets": secrets});
        let expected = r#"# TYPE keysluice_ready gauge
# HELP keysluice_ready 1 when every volume has its first generation and every Secret was made.
keysluice_ready 1
# TYPE keysluice_object_age_seconds gauge
# HELP keysluice_object_age_seconds Time since the vault was last seen to have what the file holds.
keysluice_object_age_seconds{volume="v",path="a\"b\\c\nd",object="secret \"a\" in https://kv/"} 7
# TYPE keysluice_object_failing gauge
# HELP keysluice_object_failing 1 when the last try to fetch the object failed; the code says why.
keysluice_object_failing{volume="v",path="a\"b\\c\nd",code=""} 0
keysluice_object_failing{volume="v",path="e",code="KS404"} 1
# TYPE keysluice_volume_failing gauge
# HELP keysluice_volume_failing 1 when the last generation could not be written; the code says why.
keysluice_volume_failing{volume="v",code="KS501"} 1
# TYPE keysluice_secret_age_seconds gauge
# HELP keysluice_secret_age_seconds Time since the Secret was last seen to be as it should.
keysluice_secret_age_seconds{secret="db"} 3
# TYPE keysluice_secret_failing gauge
# HELP keysluice_secret_failing 1 when the last try to write the Secret failed; the code says why.
keysluice_secret_failing{secret="db",code=""} 0
keysluice_secret_failing{secret="tls",code="KS643"} 1
# EOF
"#;
        assert_eq!(open_metrics(&report.to_string()).unwrap(), expected);
        assert_eq!(open_metrics("{}"), None);
    }
}
