//! Grants and role assignments without use.

use super::*;

/// The objects that are unused for 30 days, by name, and whether they were used before.
fn unused_of(ended: bool, records: &[Value]) -> Vec<(String, bool)> {
    let mut pods = Pods::default();
    pods.add(pod(WEB[0]), !ended);
    if !ended {
        pods.have_cluster(None);
    }
    let objects = ledger_of(pods, records).report(30, None).unused.objects;
    objects
        .iter()
        .map(|one| {
            let name = one.object.rsplit('/').next().unwrap();
            (name.to_owned(), one.last_use.is_some())
        })
        .collect()
}

/// A record of the last day of December.
fn late(mut record: Value) -> Value {
    record["time"] = "2026-12-30T12:00:00Z".into();
    record
}

#[test]
fn grants_without_a_read_are_unused_and_a_short_log_says_so() {
    let short = report(&[get(1, WEB[0], "api", V1), get(1, WEB[0], "db", V1)]);
    assert_eq!((short.unused.covered_days, short.unused.objects.len()), (0, 0));
    let (api, db) = (get(1, WEB[0], "api", V1), get(1, WEB[0], "db", V1));
    let records = [api, db.clone(), late(db)];
    assert_eq!(unused_of(true, &records), [("api".to_owned(), true)]);
    let mut ended = Pods::default();
    ended.add(pod(WEB[0]), false);
    let ledger = ledger_of(ended, &records);
    assert_eq!(ledger.report(30, None).unused.covered_days, 59);
    assert_eq!(ledger.report(59, None).unused.objects.len(), 0, "read on the first of these days");
    let never = [("api".to_owned(), false), ("db".to_owned(), false)];
    assert_eq!(unused_of(true, &[]), never);
    assert_eq!(unused_of(false, &[]), never);
}

#[test]
fn a_pod_that_runs_uses_what_it_has_read() {
    let (old, other) = (get(1, WEB[0], "api", V1), late(get(1, WEB[1], "db", V1)));
    assert_eq!(unused_of(false, &[old.clone(), other.clone()]), [("db".to_owned(), false)]);
    assert_eq!(unused_of(true, &[old, other]).len(), 2);
}

#[test]
fn a_list_shows_objects_unchanged_to_those_who_have_read_them() {
    let read = get(1, WEB[0], "api", V1);
    for (operation, path, expected) in [
        ("SecretList", "secrets?maxresults=25", vec!["db"]),
        ("SecretListVersions", "secrets/api/versions", vec!["db"]),
        ("SecretListVersions", "secrets/db/versions", vec!["api"]),
        ("KeyList", "keys", vec!["api", "db"]),
    ] {
        let mut list = late(read.clone());
        list["operationName"] = operation.into();
        list["properties"]["id"] = Value::Null;
        list["properties"]["requestUri"] = format!("https://kv.vault.azure.net/{path}").into();
        let unused = unused_of(true, &[read.clone(), list]);
        let names: Vec<_> = unused.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, expected, "{operation} {path}");
    }
}

#[test]
fn a_refused_read_uses_no_grant() {
    let mut refused = get(1, WEB[0], "db", V1);
    refused["properties"]["httpStatusCode"] = 403.into();
    let report = report(&[refused]);
    assert_eq!(report.unused.objects.len(), 2);
}

#[test]
fn without_a_cluster_the_last_pod_of_a_workload_has_its_grants() {
    let mut recorded = Pods::default();
    recorded.add(pod(WEB[0]), false);
    let mut later = pod(WEB[1]);
    later.created = "2026-11-02T00:00:00Z".into();
    later.objects.pop_first();
    recorded.add(later, false);
    let unused = ledger_of(recorded, &[]).report(30, None).unused;
    let objects: Vec<_> = unused.objects.iter().map(|one| &*one.object).collect();
    assert_eq!(objects, ["kv.vault.azure.net/secrets/db"]);
}

#[test]
fn role_assignments_are_used_by_calls_within_their_scope() {
    let scope = "/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults/KV";
    let user = "Key Vault Secrets User";
    let list = [
        (OID, "ServicePrincipal", user, &*format!("{scope}/secrets/db")),
        (OID, "ServicePrincipal", user, &format!("{scope}/secrets/api")),
        (OID, "ServicePrincipal", user, scope),
        (OID, "ServicePrincipal", user, "/subscriptions/s"),
        (OTHER, "ServicePrincipal", user, scope),
        (OTHER, "Group", user, scope),
        (OTHER, "ServicePrincipal", "Contributor", scope),
    ]
    .map(|(principal, kind, role, scope)| {
        json!({"principalId": principal, "principalName": "", "principalType": kind,
            "roleDefinitionName": role, "scope": scope})
    });
    let assignments = read_assignments(json!(list).to_string().as_bytes()).unwrap();
    let ledger = ledger_of(pods(), &[get(1, WEB[0], "db", V1)]);
    let unused = ledger.report(30, Some(&assignments)).unused.role_assignments.unwrap();
    let found: Vec<_> = unused
        .iter()
        .map(|one| (&*one.principal, &one.scope[scope.len()..], one.not_judged))
        .collect();
    assert_eq!(found, [(OID, "/secrets/api", false), (OTHER, "", false), (OTHER, "", true)]);
    assert!(read_assignments(b"{}").is_err());
}
