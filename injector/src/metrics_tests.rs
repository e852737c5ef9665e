use super::*;
use keysluice_plan::metrics::{CALL_SERVICES, SIDECAR_METRICS};
use keysluice_plan::reason::{INJECTOR, MANAGED_IDENTITY, OUTPUTS, VARIABLES};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// A report with everything that one can have.
fn full_report() -> String {
    let files = json!([
        {"path": "a\"b\\c\nd", "object": "secret \"a\"", "version": "1",
            "ageSeconds": 7, "nextSeconds": 50, "error": null},
        {"path": "e", "object": "x", "version": null, "ageSeconds": 9, "nextSeconds": null,
            "error": error("KS404")}]);
    let waits = json!([{"path": "f", "object": "y", "version": null, "ageSeconds": null,
        "startsAt": 180_000, "expiresAt": 190_000, "warning": error("KS419"), "error": null}]);
    let secrets = json!([
        {"name": "db", "ageSeconds": 3, "written": 1, "unchanged": 2, "failed": 0, "error": null},
        {"name": "tls", "ageSeconds": null, "failed": 4, "error": error("KS643")}]);
    let calls = json!([{"service": "key_vault", "kind": "secret", "succeeded": 5, "refused": 1,
        "throttled": 2, "failed": 3, "unanswered": 4}]);
    json!({"ready": true, "version": "1", "failing": 1,
        "volumes": [volume("v", &error("KS501"), &files), volume("w", &Value::Null, &waits)],
        "secrets": secrets, "calls": calls,
        "reaction": {"count": 2, "failed": 1, "ageSeconds": 5, "error": error("KS651")},
        "plan": {"ageSeconds": 6, "error": error("KS661")}})
    .to_string()
}

fn error(code: &str) -> Value {
    json!({"code": code, "message": "", "hint": "", "ageSeconds": 1})
}

fn volume(name: &str, error: &Value, files: &Value) -> Value {
    json!({"name": name, "directory": "/v", "intervalSeconds": 120, "generation": "..g",
        "error": error, "files": files})
}

#[test]
fn a_report_becomes_metrics_with_escaped_labels() {
    let text = open_metrics(&full_report()).unwrap();
    for line in [
        "# TYPE keysluice_ready gauge",
        "# HELP keysluice_ready 1 when every volume has its first generation and every Secret was \
         made.",
        "keysluice_sidecar_info{version=\"1\"} 1",
        "keysluice_ready 1",
        r#"keysluice_object_age_seconds{volume="v",path="a\"b\\c\nd",object="secret \"a\""} 7"#,
        r#"keysluice_object_next_refresh_seconds{volume="v",path="a\"b\\c\nd"} 50"#,
        "keysluice_object_expiry_timestamp_seconds{volume=\"w\",path=\"f\",object=\"y\"} 190000",
        r#"keysluice_object_not_before_timestamp_seconds{volume="w",path="f",object="y"} 180000"#,
        r#"keysluice_object_warning{volume="v",path="e",code=""} 0"#,
        r#"keysluice_object_warning{volume="w",path="f",code="KS419"} 1"#,
        r#"keysluice_object_failing{volume="v",path="a\"b\\c\nd",code=""} 0"#,
        r#"keysluice_object_failing{volume="v",path="e",code="KS404"} 1"#,
        r#"keysluice_refresh_interval_seconds{volume="v"} 120"#,
        r#"keysluice_last_success_age_seconds{volume="v"} 9"#,
        r#"keysluice_volume_failing{volume="v",code="KS501"} 1"#,
        "# TYPE keysluice_calls counter",
        r#"keysluice_calls_total{service="key_vault",kind="secret",result="succeeded"} 5"#,
        r#"keysluice_calls_total{service="key_vault",kind="secret",result="unanswered"} 4"#,
        r#"keysluice_secret_age_seconds{secret="db"} 3"#,
        r#"keysluice_secret_failing{secret="db",code=""} 0"#,
        r#"keysluice_secret_failing{secret="tls",code="KS643"} 1"#,
        r#"keysluice_secret_syncs_total{secret="db",result="written"} 1"#,
        r#"keysluice_secret_syncs_total{secret="tls",result="failed"} 4"#,
        r#"keysluice_reactions_total{result="done"} 2"#,
        r#"keysluice_reactions_total{result="failed"} 1"#,
        r#"keysluice_reaction_failing{code="KS651"} 1"#,
        "keysluice_plan_age_seconds 6",
        r#"keysluice_plan_failing{code="KS661"} 1"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
    assert!(!text.contains("last_success_age_seconds{volume=\"w\"}"), "it had no success yet");
    assert_eq!(open_metrics("{}"), None);
}

#[test]
fn the_text_has_exactly_the_metrics_of_the_table() {
    let text = open_metrics(&full_report()).unwrap();
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE keysluice_"));
    let served: Vec<_> = types.map(str::to_owned).collect();
    let table: Vec<_> =
        SIDECAR_METRICS.iter().map(|metric| format!("{} {}", metric.name, metric.kind)).collect();
    assert_eq!(served, table);
    for Metric { name, labels, .. } in SIDECAR_METRICS {
        let start = format!("keysluice_{name}");
        let line = text.lines().find(|line| line.starts_with(&start)).unwrap();
        for label in *labels {
            assert!(line.contains(&format!("{label}=\"")), "{label}: {line}");
        }
    }
}

/// The values of all labels but those that the Plan gives.
#[test]
fn labels_are_bounded() {
    let text = open_metrics(&full_report()).unwrap();
    let tables = [INJECTOR, OUTPUTS, VARIABLES, MANAGED_IDENTITY];
    let codes: BTreeSet<&str> =
        tables.into_iter().flatten().map(|reason| reason.code).chain([""]).collect();
    let results = [&CALL_RESULTS[..], &SYNC_RESULTS, &REACTION_RESULTS].concat();
    let of_plan = ["volume", "path", "object", "secret", "version"];
    for metric in SIDECAR_METRICS {
        for label in metric.labels {
            let values = values_of(&text, metric.name, label);
            assert!(!values.is_empty(), "{} {label}", metric.name);
            for value in values {
                let is_known = match *label {
                    "code" => codes.contains(value),
                    "service" => CALL_SERVICES.iter().any(|(service, _)| *service == value),
                    "kind" => CALL_SERVICES.iter().any(|(_, kind)| *kind == value),
                    "result" => results.contains(&value),
                    label => of_plan.contains(&label),
                };
                assert!(is_known, "{} {label}={value}", metric.name);
            }
        }
    }
}

fn values_of<'t>(text: &'t str, name: &str, label: &str) -> Vec<&'t str> {
    let (start, mark) = (format!("keysluice_{name}"), format!("{label}=\""));
    let lines = text.lines().filter(|line| line.starts_with(&start));
    lines.filter_map(|line| line.split_once(&mark)?.1.split('"').next()).collect()
}
