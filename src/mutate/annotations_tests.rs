use super::*;
use crate::settings::CsiVolumes;
use std::time::Duration;

fn read(annotations: &serde_json::Value) -> Result<Annotations, String> {
    let json = serde_json::json!({"metadata": {"annotations": annotations}}).to_string();
    Annotations::read(&Pod::from_json(json.as_bytes()).unwrap())
        .map_err(|refusal| refusal.to_string())
}

#[test]
fn known_annotations_are_typed() {
    let all = serde_json::json!({"keysluice.dev/gate": "probe",
        "keysluice.dev/after": "istio-proxy", "other.dev/x": "y",
        "keysluice.dev/csi-volumes": "leave", "keysluice.dev/refresh-interval": "1m30s",
        "keysluice.dev/on-missing": "wait",
        "keysluice.dev/size-limit": "8Mi"});
    let expected = Annotations {
        gate: Gate::Probe,
        after: Some("istio-proxy".into()),
        csi_volumes: Some(CsiVolumes::Leave),
        refresh_interval: Some(Duration::from_secs(90)),
        on_missing: Some(OnMissing::Wait),
        size_limit: Some(8 << 20),
        ..Annotations::default()
    };
    assert_eq!(read(&all), Ok(expected));
    assert_eq!(read(&serde_json::json!({})), Ok(Annotations::default()));
}

#[test]
fn waiting_implies_the_probe_and_refuses_the_hook() {
    assert_eq!(
        read(&serde_json::json!({"keysluice.dev/on-missing": "wait"})).unwrap().gate,
        Gate::Probe
    );
    let error = read(
        &serde_json::json!({"keysluice.dev/on-missing": "wait", "keysluice.dev/gate": "hook"}),
    )
    .unwrap_err();
    assert!(error.starts_with("KS209"), "{error}");
}

/// What each documented annotation takes, for instance; without a line here a new one fails the
/// test.
fn example(key: &str) -> &'static str {
    match key {
        "reaction-right" => "pods/eviction",
        "secrets-updated" => "2026-11-29T12:00:05Z/9f86d081884c7d65",
        "adopt-secrets" | "keep-secrets" | "synced-secrets" => "db",
        "after" => "vpn",
        "client-ids" | "tenant-ids" => "app=x",
        "cpu-limit" | "cpu-request" => "10m",
        "containers" | "env-from" => "app",
        "csi-volumes" => "leave",
        "env-mode" => "exec",
        "env.NAME" | "file.NAME" => "kv://vault-1/secrets/db",
        "template.NAME" => "{{ files.db }}",
        "env-from-wins" => "AZURE_CLIENT_ID",
        "gate" => "none",
        "https-proxy" => "http://proxy.test:3128",
        "managed-identities" => "11111111-1111-1111-1111-111111111111",
        "managed-identity-endpoint" => "9000",
        "metrics-port" => "9102",
        "mode" => "init",
        "mount-path" => "/etc/app",
        "no-proxy" => "10.0.0.0/8",
        "on-change" => "restart@app",
        "on-change-of" => "db,tls/key",
        "on-change-spread" => "0s",
        "on-missing" => "fail",
        "refresh-interval" => "30s",
        "size-limit" => "8Mi",
        "token-layout" => "v1.5",
        "vault" => "vault-1",
        _ => panic!("{key} has no example"),
    }
}

#[test]
fn every_annotation_that_is_documented_is_read() {
    assert!(KNOWN.is_sorted_by_key(|known| known.key));
    for Annotation { key, .. } in KNOWN {
        let read = read(&serde_json::json!({*key: example(&key[PREFIX.len()..])})).unwrap();
        assert_ne!(read, Annotations::default(), "{key}");
    }
}

#[test]
fn variables_left_to_env_from_count_once() {
    let value = "AZURE_TENANT_ID, AZURE_KUBERNETES_CA_FILE,AZURE_TENANT_ID";
    let read = read(&serde_json::json!({"keysluice.dev/env-from-wins": value})).unwrap();
    assert_eq!(read.env_from_wins, ["AZURE_TENANT_ID", "AZURE_KUBERNETES_CA_FILE"]);
}

#[test]
fn unknown_annotations_are_refused_with_the_nearest() {
    let error = read(&serde_json::json!({"keysluice.dev/gates": "hook"})).unwrap_err();
    assert_eq!(
        error,
        "KS210 annotation keysluice.dev/gates is unknown; hint: did you mean keysluice.dev/gate?"
    );
    let error = read(&serde_json::json!({"keysluice.dev/frobnicate": "x"})).unwrap_err();
    assert!(error.contains("docs/annotations.md"), "{error}");
}

#[test]
fn bad_values_name_key_and_choices() {
    for (key, value) in [
        ("gate", "yes"),
        ("csi-volumes", "auto"),
        ("on-missing", ""),
        ("refresh-interval", "soon"),
        ("after", ""),
        ("client-ids", "app"),
        ("client-ids", "a=1;a=2"),
        ("tenant-ids", ""),
        ("env-from-wins", "AZURE_CLIENT_ID,HOME"),
        ("token-layout", "v1.4"),
        ("size-limit", "1023Ki"),
        ("size-limit", "8M"),
        ("size-limit", "17Gi"),
        ("size-limit", "99999999999999999999Gi"),
        ("size-limit", ""),
        ("size-limit", "Mi"),
        ("cpu-limit", "much"),
        ("cpu-request", "0.5m"),
        ("containers", "app,,worker"),
        ("env-from", "A"),
        ("env-mode", "secret"),
        ("mount-path", "mnt"),
        ("vault", "https://kv-1"),
    ] {
        let error = read(&serde_json::json!({format!("keysluice.dev/{key}"): value})).unwrap_err();
        assert!(
            error.starts_with(&format!("KS209 annotation keysluice.dev/{key}: {value:?} is not ")),
            "{error}"
        );
    }
}

#[test]
fn a_duration_or_size_out_of_bounds_names_them() {
    for (key, values, expected) in [
        (
            "refresh-interval",
            &["168h", "25h", "0s"][..],
            "a duration from 1s to 24h, such as 30s, 2m or 1h",
        ),
        (
            "size-limit",
            &["64Gi", "1Ti", "1G", "8M", "0.5Gi"],
            "a whole number of bytes from 1Mi to 16Gi, with the suffix Ki, Mi, Gi or none",
        ),
    ] {
        for value in values {
            let error = read(&serde_json::json!({format!("keysluice.dev/{key}"): value}));
            let expected =
                format!("KS209 annotation keysluice.dev/{key}: {value:?} is not {expected}; ");
            assert!(error.unwrap_err().starts_with(&expected), "{value}");
        }
    }
}
