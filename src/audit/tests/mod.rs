//! Logs, pods, and what the report says of them.

mod unused;

use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

const APP: &str = "11111111-1111-1111-1111-111111111111";
const OID: &str = "22222222-2222-2222-2222-222222222222";
const OTHER: &str = "99999999-9999-9999-9999-999999999999";
const WEB: [&str; 2] =
    ["6f1d1c2e-8a4b-4f0e-9b7a-3c2d1e0f9a8b", "0a1b2c3d-0000-4000-8000-0000aaaaaaaa"];
const V1: &str = "11110000111100001111000011110000";
const V2: &str = "22220000222200002222000022220000";

/// A pod of `Deployment shop/web`, which reads `db` and `api`.
fn pod(uid: &str) -> PodRecord {
    let objects = ["db", "api"].map(|name| ObjectRecord {
        vault: "kv.vault.azure.net".into(),
        kind: "secrets".into(),
        name: name.into(),
        version: None,
    });
    PodRecord {
        uid: uid.into(),
        namespace: "shop".into(),
        pod: format!("web-{}", &uid[..4]),
        workload: "Deployment/web".into(),
        service_account: "web".into(),
        created: "2026-11-01T00:00:00Z".into(),
        client_ids: [APP.to_owned()].into(),
        objects: objects.into(),
        ..PodRecord::default()
    }
}

fn pods() -> Pods {
    let mut pods = Pods::default();
    for uid in WEB {
        pods.add(pod(uid), true);
    }
    pods
}

/// A GET of `name` on a day of November, by the sidecar of `uid`, that gave `version`.
fn get(day: u32, uid: &str, name: &str, version: &str) -> Value {
    json!({"time": format!("2026-11-{day:02}T12:00:00Z"), "category": "AuditEvent",
        "operationName": "SecretGet", "callerIpAddress": "10.0.0.7",
        "correlationId": "aaaaaaaa-0000-4000-8000-00000000000a",
        "identity": {"claim": {"appid": APP, "oid": OID}},
        "properties": {"httpStatusCode": 200,
            "id": format!("https://kv.vault.azure.net/secrets/{name}/{version}"),
            "requestUri": format!("https://kv.vault.azure.net/secrets/{name}?api-version=7.6"),
            "clientInfo": format!("keysluice-injector/0.1.0 (pod {uid}; call 1)")}})
}

fn ledger_of(pods: Pods, records: &[Value]) -> Ledger {
    let mut ledger = Ledger::new(pods, Period::default());
    for (line, record) in (1..).zip(records) {
        ledger.add("log", line, record.to_string().as_bytes());
    }
    ledger
}

fn report(records: &[Value]) -> Report {
    ledger_of(pods(), records).report(30, None)
}

/// Reasons of the calls that are nobody's, with their counts.
fn reasons(report: &Report) -> Vec<(&str, u64)> {
    report.unattributed.iter().map(|one| (one.reason, one.calls)).collect()
}

#[test]
fn calls_belong_to_the_workload_of_the_pod_whose_id_they_have() {
    let mut failed = get(2, WEB[1], "db", V1);
    failed["properties"] = json!({"httpStatusCode": 403,
        "requestUri": "https://kv.vault.azure.net/secrets/db?api-version=7.6",
        "clientInfo": failed["properties"]["clientInfo"]});
    let report = report(&[get(1, WEB[0], "db", V1), get(3, WEB[1], "DB", V1), failed]);
    let rows: Vec<_> = report
        .calls
        .iter()
        .map(|row| (&*row.workload, &*row.object, row.version.as_deref(), row.calls, row.failed))
        .collect();
    let db = "kv.vault.azure.net/secrets/db";
    assert_eq!(
        rows,
        [("Deployment shop/web", db, None, 1, 1), ("Deployment shop/web", db, Some(V1), 2, 0)]
    );
    assert_eq!(report.calls[1].first.to_string(), "2026-11-01T12:00:00Z");
    assert_eq!(report.calls[1].last.to_string(), "2026-11-03T12:00:00Z");
    assert_eq!(
        (report.log.totals.attributed, report.log.totals.checked, report.log.totals.unattributed),
        (3, 3, 0)
    );
}

#[test]
fn the_guid_of_a_request_leads_to_the_pod_where_the_log_has_it() {
    let mut record = get(1, WEB[0], "db", V1);
    record["properties"]["clientInfo"] = "a proxy's".into();
    record["correlationId"] = "6f1d1c2e-8a4b-4f0e-9b7a-3c2d00000007".into();
    let report = report(&[record]);
    assert_eq!((report.log.totals.attributed, report.calls[0].calls), (1, 1));
}

#[test]
fn an_id_that_fits_two_pods_is_nobodys() {
    let twin = "6f1d1c2e-8a4b-4f0e-9b7a-3c2d00000001";
    let mut both = pods();
    both.add(pod(twin), true);
    let mut record = get(1, WEB[0], "db", V1);
    record["correlationId"] = "6f1d1c2e-8a4b-4f0e-9b7a-3c2d00000007".into();
    let whole = ledger_of(both, &[record.clone()]).report(30, None);
    assert_eq!(whole.log.totals.attributed, 1, "the user agent has the whole uid");
    record["properties"]["clientInfo"] = "".into();
    let mut both = pods();
    both.add(pod(twin), true);
    assert_eq!(reasons(&ledger_of(both, &[record]).report(30, None)), [("several-pods", 1)]);
}

#[test]
fn a_forged_id_is_nobodys() {
    let mut other_identity = get(1, WEB[0], "db", V1);
    other_identity["identity"]["claim"]["appid"] = OTHER.into();
    let mut two_pods = get(1, WEB[0], "db", V1);
    two_pods["correlationId"] = format!("{}00000001", &WEB[1][..28]).into();
    let unknown = get(1, "ffffffff-0000-4000-8000-000000000000", "db", V1);
    let mut unknown_and_known = unknown.clone();
    unknown_and_known["correlationId"] = two_pods["correlationId"].clone();
    let mut none = get(1, WEB[0], "db", V1);
    none["properties"]["clientInfo"] = "azsdk-python-keyvault-secrets/4.9".into();
    let report =
        report(&[other_identity, two_pods, unknown, unknown_and_known, none.clone(), none]);
    let mut found = reasons(&report);
    found.sort_unstable();
    assert_eq!(
        found,
        [("different-pods", 2), ("no-id", 2), ("other-identity", 1), ("unknown-pod", 1)]
    );
    assert!(report.calls.is_empty() && report.log.totals.unattributed == 6);
    let of_app = report.unattributed.iter().find(|one| one.reason == "no-id").unwrap();
    assert_eq!(of_app.identity_of, ["Deployment shop/web"], "said, and not attributed");
    let stranger = report.unattributed.iter().find(|one| one.reason == "other-identity").unwrap();
    assert_eq!((stranger.app_id.as_deref(), &*stranger.identity_of), (Some(OTHER), &[][..]));
}

#[test]
fn an_identity_that_is_not_known_is_not_called_checked() {
    let mut record = pod(WEB[0]);
    (record.client_ids, record.other_identity) = ([].into(), true);
    let mut of_principal = Pods::default();
    of_principal.add(record, true);
    let report = ledger_of(of_principal, &[get(1, WEB[0], "db", V1)]).report(30, None);
    assert_eq!((report.log.totals.attributed, report.log.totals.checked), (1, 0));
}

#[test]
fn workloads_whose_last_read_is_of_an_older_version_are_named() {
    let records = [
        get(1, WEB[0], "db", V1),
        get(1, WEB[1], "db", V1),
        get(2, WEB[0], "db", V2),
        get(1, WEB[1], "api", V1),
    ];
    let found = report(&records).old_versions;
    assert_eq!(found.len(), 1, "{found:?}");
    let OldVersion { workload, version, newest, pods, newest_since, pinned, .. } = &found[0];
    assert_eq!((&**workload, &**version, &**newest), ("Deployment shop/web", V1, V2));
    assert_eq!((*pods, *pinned, &*newest_since.to_string()), (1, false, "2026-11-02T12:00:00Z"));
    // The order of the records does not matter.
    let mut backwards = records.clone();
    backwards.reverse();
    assert_eq!(report(&backwards).old_versions, found);
    let mut both = records.to_vec();
    both.push(get(3, WEB[1], "db", V2));
    assert_eq!(report(&both).old_versions, []);
}

#[test]
fn a_pinned_version_is_old_where_another_caller_shows_a_newer_one() {
    let mut pinned = get(3, WEB[0], "db", V1);
    pinned["properties"]["requestUri"] =
        format!("https://kv.vault.azure.net/secrets/db/{V1}?api-version=7.6").into();
    assert_eq!(report(&[pinned.clone()]).old_versions, [], "nothing shows another version");
    let mut stranger = get(2, "", "db", V2);
    stranger["properties"]["clientInfo"] = "curl".into();
    let found = report(&[pinned, stranger]).old_versions;
    assert_eq!((found.len(), found[0].pinned, found[0].pods), (1, true, 1));
}

#[test]
fn a_pod_that_has_ended_uses_no_old_version() {
    let mut ended = Pods::default();
    ended.have_cluster(None);
    ended.add(pod(WEB[0]), true);
    ended.add(pod(WEB[1]), false);
    let records = [get(1, WEB[0], "db", V1), get(1, WEB[1], "db", V1), get(2, WEB[0], "db", V2)];
    let found = ledger_of(ended, &records).report(30, None);
    assert_eq!((found.old_versions, found.log.totals.attributed), (vec![], 3));
    // Whether a pod of another namespace runs is not known.
    let mut elsewhere = Pods::default();
    elsewhere.have_cluster(Some("other"));
    elsewhere.add(pod(WEB[0]), false);
    elsewhere.add(pod(WEB[1]), false);
    assert_eq!(ledger_of(elsewhere, &records).report(30, None).old_versions.len(), 1);
}

#[test]
fn a_period_leaves_records_out() {
    let period =
        Period { since: micros("2026-11-02T00:00:00Z"), until: micros("2026-11-03T00:00:00Z") };
    let mut ledger = Ledger::new(pods(), period);
    for day in 1..5 {
        ledger.add("log", 1, get(day, WEB[0], "db", V1).to_string().as_bytes());
    }
    let Totals { attributed, outside_period, .. } = ledger.totals();
    assert_eq!((attributed, outside_period), (1, 3));
}

#[test]
fn a_log_of_many_names_takes_bounded_rows() {
    let mut ledger = Ledger::new(pods(), Period::default());
    let count = 110_000;
    for number in 0..count {
        let record = get(1, WEB[0], &format!("n{number}"), V1);
        ledger.add("log", 1, record.to_string().as_bytes());
    }
    let totals = ledger.totals();
    assert_eq!((totals.attributed, totals.left_out), (count, 0));
    let report = ledger.report(30, None);
    let others = report.calls.iter().find(|row| row.object == "(others)").unwrap();
    assert_eq!((report.calls.len(), others.calls), (100_001, 10_000));
}

proptest! {
    /// Whatever a log holds: each record is of one kind.
    #[test]
    fn the_counts_add_up(kinds in prop::collection::vec(0_usize..9, 0..60)) {
        let mut other_category = get(1, WEB[0], "db", V1);
        other_category["category"] = "AllMetrics".into();
        let mut other_identity = get(1, WEB[0], "db", V1);
        other_identity["identity"]["claim"]["appid"] = OTHER.into();
        let mut early = get(1, WEB[0], "db", V1);
        early["time"] = "2020-01-01T00:00:00Z".into();
        let texts = [
            get(1, WEB[0], "db", V1).to_string(), get(2, WEB[1], "api", V2).to_string(),
            get(2, OTHER, "db", V1).to_string(), other_category.to_string(),
            other_identity.to_string(), early.to_string(), "no JSON".to_owned(),
            "{\"time\":".to_owned(), "{}".to_owned(),
        ];
        let lines: Vec<&str> = kinds.iter().map(|kind| &*texts[*kind]).collect();
        let log = lines.join("\n");
        let period = Period { since: micros("2026-01-01T00:00:00Z"), until: None };
        let mut ledger = Ledger::new(pods(), period);
        let mut frames = Frames::new(log.as_bytes());
        while let Some(frame) = frames.next_frame().unwrap() {
            match frame {
                Frame::Record { line, json } => ledger.add("log", line, json),
                Frame::Malformed { line, problem } => ledger.add_malformed("log", line, problem),
            }
        }
        let totals = ledger.totals();
        prop_assert_eq!(totals.records, kinds.len() as u64);
        prop_assert_eq!(
            totals.attributed + totals.unattributed + totals.malformed + totals.other_category
                + totals.outside_period,
            totals.records
        );
        for (total, its_kinds) in [
            (totals.attributed, &[0, 1][..]),
            (totals.unattributed, &[2, 4]),
            (totals.malformed, &[6, 7, 8]),
        ] {
            let count = kinds.iter().filter(|kind| its_kinds.contains(kind)).count();
            prop_assert_eq!(total, count as u64, "kinds {:?}", its_kinds);
        }
        let report = ledger.report(30, None);
        prop_assert_eq!(report.calls.iter().map(|row| row.calls).sum::<u64>(), totals.attributed);
        prop_assert_eq!(
            report.unattributed.iter().map(|row| row.calls).sum::<u64>(), totals.unattributed
        );
    }
}
