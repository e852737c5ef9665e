use super::super::finding::Detail;
use super::*;
use serde_json::json;
use std::time::Duration;

fn error(code: &str) -> Value {
    json!({"code": code, "message": "m", "hint": "h", "ageSeconds": 20})
}

fn status() -> Value {
    json!({"ready": true, "version": "1.2.3", "failing": 3,
        "volumes": [{"name": "v", "directory": "/mnt", "files": [
            {"path": "a", "object": "secret a", "ageSeconds": 75, "nextSeconds": 45,
                "expiresAt": 1_000_100, "error": null},
            {"path": "b", "object": "secret b", "error": error("KS404")},
            {"path": "c", "object": "secret c", "expiresAt": 900_000, "error": error("KS404")}]}],
        "secrets": [{"name": "s", "ageSeconds": 3, "written": 2, "failed": 1,
            "error": error("KS651")}],
        "reaction": {"count": 4, "failed": 1, "ageSeconds": 90_000, "error": null},
        "plan": {"ageSeconds": 10, "error": null}})
}

#[test]
fn errors_are_said_once_for_each_code() {
    let failing = Status(status()).failing();
    let told: Vec<_> = failing.iter().map(|one| (one.code, one.about.as_str())).collect();
    assert_eq!(told, [("KS404", "file b, file c; 20s ago"), ("KS651", "Secret s; 20s ago")]);
}

#[test]
fn ages_times_and_results_are_in_the_summary() {
    let finding = Status(status()).summary();
    assert_eq!(
        finding.text,
        "the sidecar is ready (version 1.2.3); reactions to changed files: 4, 1 failed, the last \
         1d1h ago; the webhook confirmed its Plan 10s ago"
    );
    let tables: Vec<Vec<String>> = finding
        .details
        .iter()
        .map(|detail| match detail {
            Detail::Table(table) => table.lines(),
            Detail::Line(line) => vec![line.clone()],
        })
        .collect();
    assert_eq!(tables[0][1], "a     secret a  1m15s ago        in 45s");
    assert_eq!(tables[1][1], "s       3s ago           2        1       KS651");
}

#[test]
fn what_expires_soon_is_named() {
    let epoch = SystemTime::UNIX_EPOCH;
    let status = Status(status());
    assert!(status.expiring(epoch + Duration::from_secs(1)).is_none());
    let found = status.expiring(epoch + Duration::from_secs(1_000_000)).unwrap();
    assert_eq!(found.code, Some("KS818"));
    assert!(found.text.starts_with("secret a expires on 1970-01-12; hint: "), "{}", found.text);
}

#[test]
fn any_output_is_read_or_refused() {
    for output in ["", "x", "[]", "{}", r#"{"ready":"yes","volumes":[]}"#, r#"{"ready":true}"#] {
        assert!(Status::read(output.as_bytes()).is_none(), "{output}");
    }
    let hostile = [
        r#"{"ready":true,"volumes":[1,null,{"files":{}},{"files":[7,{"path":[],"error":"x"}]}]}"#,
        r#"{"ready":false,"volumes":[],"secrets":{},"reaction":[],"plan":"p"}"#,
        r#"{"ready":true,"volumes":[{"files":[{"error":{"code":"KS999"},"expiresAt":-1}]}]}"#,
        r#"{"ready":true,"volumes":[{"files":[{"expiresAt":18446744073709551615}]}]}"#,
    ];
    for output in hostile {
        let status = Status::read(output.as_bytes()).unwrap();
        assert!(status.failing().is_empty(), "{output}");
        let now = SystemTime::UNIX_EPOCH;
        assert!(status.summary().code.is_none() && status.expiring(now).is_none(), "{output}");
    }
    let long = json!({"ready": true, "volumes": [{"files": vec![json!({"path": "x".repeat(9000),
        "error": {"code": "KS404", "message": "y".repeat(9000)}}); 500]}]});
    let status = Status::read(long.to_string().as_bytes()).unwrap();
    let failing = status.failing();
    assert_eq!(failing.len(), 1);
    assert_eq!(failing[0].message.len(), MAX_CHARACTERS);
    assert!(failing[0].about.ends_with("and 497 more") && failing[0].about.len() < 400);
    let finding = status.summary();
    assert_eq!(finding.details.last(), Some(&Detail::Line("and 480 more".to_owned())));
}

#[test]
fn durations_have_two_units() {
    for (seconds, expected) in [
        (0, "0s"),
        (59, "59s"),
        (60, "1m"),
        (200, "3m20s"),
        (3600, "1h"),
        (3601, "1h"),
        (90_000, "1d1h"),
    ] {
        assert_eq!(duration(seconds), expected);
    }
}
