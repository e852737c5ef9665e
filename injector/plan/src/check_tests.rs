use super::*;

fn sample() -> serde_json::Value {
    serde_json::json!({
        "schema": 1,
        "startTimeoutSeconds": 30,
        "identities": [
            {"name": "a", "scope": "https://vault.azure.net/.default",
             "credential": {"kind": "federated", "clientId": "c", "tenantId": "t",
                 "tokenFile": "/t", "authority": "https://login.microsoftonline.com/"}},
            {"name": "b", "scope": "https://vault.azure.net/.default",
             "credential": {"kind": "managedIdentity", "endpoint": "http://169.254.169.254/"}}],
        "volumes": [{"name": "v", "directory": "/mnt/v", "refreshIntervalSeconds": 120,
            "files": [{"path": "db", "mode": "0644", "identity": "a",
                "vault": "https://kv.vault.azure.net/", "type": "secret", "name": "db"}]}]
    })
}

#[test]
fn a_plan_survives_a_round_trip() {
    let plan = Plan::from_json(&sample().to_string()).unwrap();
    assert_eq!(plan.run_directory, "/run/keysluice");
    let text = serde_json::to_string(&plan).unwrap();
    assert_eq!(Plan::from_json(&text).unwrap(), plan);
}

fn secret(name: &str, key: &str, volume: &str, path: &str) -> serde_json::Value {
    serde_json::json!({"name": name, "type": "Opaque", "class": "c",
        "data": [{"key": key, "volume": volume, "path": path}]})
}

#[test]
fn secrets_are_made_from_files_of_the_plan() {
    let good = secret("db", "password", "v", "db");
    let cases = [
        (vec![good.clone()], None),
        (vec![good.clone(), secret("db.2", "..p", "v", "db")], Some("key \"..p\" is not valid")),
        (vec![good.clone(), good], Some("is used twice")),
        (vec![secret("Db", "p", "v", "db")], Some("not a name of a Secret")),
        (vec![secret("a..b", "p", "v", "db")], Some("not a name of a Secret")),
        (vec![secret("db", "a b", "v", "db")], Some("key \"a b\" is not valid")),
        (vec![secret("db", "p", "w", "db")], Some("volume \"w\" is not in the plan")),
        (vec![secret("db", "p", "v", "other")], Some("volume \"v\" has no file other")),
    ];
    for (secrets, expected) in cases {
        let mut plan = sample();
        plan["kubernetes"] = serde_json::json!({"directory": "/api", "hasDriver": true});
        plan["secrets"] = secrets.into();
        let error = Plan::from_json(&plan.to_string()).err().map(|error| error.to_string());
        assert_eq!(error.is_some(), expected.is_some(), "{error:?}");
        assert!(error.is_none_or(|error| error.contains(expected.unwrap())), "{expected:?}");
    }
}

#[test]
fn refused_plans_name_the_field() {
    let cases: &[(&str, serde_json::Value, &str)] = &[
        ("/schema", serde_json::json!(2), "schema 2 is not supported"),
        ("/volumes/0/files/0/colour", serde_json::json!("red"), "unknown field `colour`"),
        ("/identities/0/credential/secret", serde_json::json!("x"), "unknown field `secret`"),
        ("/volumes/0/files/0/identity", serde_json::json!("z"), "identity \"z\" is not defined"),
        ("/volumes/0/files/0/mode", serde_json::json!("0999"), "is not octal"),
        ("/volumes/0/files/0/path", serde_json::json!("../x"), "must not contain '..'"),
        ("/volumes/0/directory", serde_json::json!("mnt"), "must be an absolute path"),
        ("/volumes/0/refreshIntervalSeconds", serde_json::json!(0), "must be at least 1"),
        ("/startTimeoutSeconds", serde_json::json!(86_401), "must be at most 86400"),
        ("/startTimeoutSeconds", serde_json::json!(u64::MAX), "must be at most 86400"),
        ("/volumes/0/files/0/vault", serde_json::json!("http://x/"), "must start with https://"),
        ("/volumes/0/files/0/history", serde_json::json!(1), "history must be 2 to 500 versions"),
        ("/volumes/0/files/0/jsonKey", serde_json::json!("a[x]"), "jsonKey"),
        ("/volumes/0/files/0/part", serde_json::json!("leaf"), "unknown variant `leaf`"),
        (
            "/reaction",
            serde_json::json!({"action": {"kind": "http", "url": "http://kv/"},
                "spreadSeconds": 1}),
            "reaction: url \"http://kv/\" is not on the loopback",
        ),
        (
            "/reaction",
            serde_json::json!({"action": {"kind": "restart", "containers": []},
                "spreadSeconds": 1}),
            "reaction: containers is empty",
        ),
        (
            "/secrets",
            serde_json::json!([secret("db", "password", "v", "db")]),
            "secret \"db\": the plan has no field kubernetes",
        ),
        (
            "/volumes/0/selections",
            serde_json::json!([{"mode": "0400", "identity": "z",
                "vault": "https://kv.vault.azure.net/"}]),
            "a selection's identity \"z\" is not defined",
        ),
    ];
    for (pointer, value, expected) in cases {
        let mut plan = sample();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        plan.pointer_mut(parent).unwrap()[key] = value.clone();
        let error = Plan::from_json(&plan.to_string()).unwrap_err().to_string();
        assert!(error.contains(expected), "{pointer}: {error}");
    }
}

/// The error of the sample with this value in the place.
fn refused(pointer: &str, value: &serde_json::Value) -> String {
    let mut plan = sample();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    plan.pointer_mut(parent).unwrap()[key] = value.clone();
    // Pretty text has other positions.
    let pretty = Plan::from_json(&serde_json::to_string_pretty(&plan).unwrap()).unwrap_err();
    let error = Plan::from_json(&plan.to_string()).unwrap_err();
    assert_eq!(pretty.to_string(), error.to_string());
    error.to_string()
}

#[test]
fn a_value_that_is_refused_is_named_by_its_path() {
    use serde_json::json;
    let template = json!([{"path": "t", "mode": "0600", "template": "{# x"}]);
    for (pointer, value, expected) in [
        ("/startTimeoutSeconds", json!("60"), "startTimeoutSeconds: invalid type: string \"60\""),
        ("/volumes/0/files/0/mode", json!("999"), "volumes[0].files[0].mode: \"999\" is not octal"),
        ("/volumes/0/files/0/vault", json!("x"), "volumes[0].files[0].vault: vault URL \"x\""),
        ("/volumes/0/files/0/name", json!("a b"), "volumes[0].files[0].name: object name \"a b\""),
        ("/volumes/0/files/0/part", json!("leaf"), "volumes[0].files[0].part: unknown variant"),
        ("/volumes/0/files/0/type", json!("x"), "volumes[0].files[0].type: unknown variant"),
        ("/volumes/0/files", json!([{"path": "x"}]), "volumes[0].files[0]: missing field `mode`"),
        (
            "/volumes/0/templates",
            template,
            "volumes[0].templates[0].template: line 1: {# has no #}",
        ),
        ("/identities/1/credential/endpoint", json!(5), "identities[1]"),
        ("/schema", json!(2), "schema: schema 2 is not supported"),
        ("/volumes/0/directory", json!("mnt"), "volumes[0].directory: \"mnt\" must be an absolute"),
    ] {
        let error = refused(pointer, &value);
        let error = error.strip_prefix("the plan is not valid: ").unwrap_or(&error);
        assert!(error.starts_with(expected) && !error.contains(" column "), "{error}");
    }
    let mut plan = sample();
    plan["volumes"][0]["files"][0]["type"] = json!(5);
    let error = Plan::from_json(&plan.to_string()).unwrap_err().to_string();
    assert!(error.contains("volumes[0].files[0].type: expected value at line 1"), "{error}");
    // Text that is not JSON has a line and a column only.
    let error = Plan::from_json("{\"schema\": 1,").unwrap_err().to_string();
    assert!(error.contains("at line 1 column 13"), "{error}");
}

#[test]
fn directories_and_ids_that_cannot_work_are_refused() {
    use serde_json::json;
    let long = format!("/{}", "x".repeat(400));
    for (pointer, value, expected) in [
        ("/runDirectory", json!(long), "must have at most 255 bytes a component"),
        ("/runDirectory", json!("/mnt/v"), "\"/mnt/v\" is inside the directory of volume \"v\""),
        ("/runDirectory", json!("/mnt/v/run/"), "is inside the directory of volume \"v\""),
        ("/programDirectory", json!("x"), "programDirectory: \"x\" must be an absolute path"),
        ("/identities/0/credential/clientId", json!(""), "identities[0].credential.clientId is"),
        ("/identities/1/credential/clientId", json!(" "), "identities[1].credential.clientId is"),
        ("/identities/0/credential/tenantId", json!(""), "identities[0].credential.tenantId must"),
        ("/identities/0/credential/tenantId", json!("../x"), "credential.tenantId must be the id"),
        ("/identities/0/credential/tenantId", json!("a/b"), "credential.tenantId must be the id"),
    ] {
        let error = refused(pointer, &value);
        assert!(error.contains(expected), "{pointer}: {error}");
    }
    for (pointer, good) in [("/runDirectory", "/mnt/v2"), ("/runDirectory", "/mnt")] {
        let mut plan = sample();
        plan[&pointer[1..]] = good.into();
        assert!(Plan::from_json(&plan.to_string()).is_ok(), "{good}");
    }
    for tenant in ["contoso.onmicrosoft.com", "adfs", "11111111-2222-3333-4444-555555555555"] {
        let mut plan = sample();
        plan["identities"][0]["credential"]["tenantId"] = tenant.into();
        assert!(Plan::from_json(&plan.to_string()).is_ok(), "{tenant}");
    }
    let mut plan = sample();
    let mut second = plan["volumes"][0].clone();
    (second["name"], second["directory"]) = ("w".into(), "/mnt/v/".into());
    plan["volumes"].as_array_mut().unwrap().push(second);
    let error = Plan::from_json(&plan.to_string()).unwrap_err().to_string();
    assert_eq!(error, "directory \"/mnt/v/\" is used by the volumes \"v\" and \"w\"");
}

#[test]
fn two_files_on_one_path_are_refused() {
    for second in ["db", "db/inner"] {
        let mut plan = sample();
        let mut file = plan["volumes"][0]["files"][0].clone();
        file["path"] = second.into();
        plan["volumes"][0]["files"].as_array_mut().unwrap().push(file);
        let error = Plan::from_json(&plan.to_string()).unwrap_err();
        assert!(matches!(error, PlanError::PathCollision { .. }), "{error}");
    }
}

/// The sample with these fields over its file, and these files beside it.
fn with(fields: &serde_json::Value, others: &[&str]) -> Result<Plan, String> {
    let mut plan = sample();
    let files = plan["volumes"][0]["files"].as_array_mut().unwrap();
    for path in others {
        let mut other = files[0].clone();
        other["path"] = (*path).into();
        files.push(other);
    }
    files[0].as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    Plan::from_json(&plan.to_string()).map_err(|error| error.to_string())
}

#[test]
fn a_half_of_a_certificate_has_a_place_of_its_own() {
    let split = serde_json::json!({"split": true});
    for (other, path) in [("db.crt", "db.crt"), ("db.key", "db.key"), ("db.key/x", "db.key")] {
        let expected = format!("file {path} collides with file {other} in the same volume");
        assert_eq!(with(&split, &[other]).unwrap_err(), expected);
        assert!(with(&serde_json::json!({}), &[other]).is_ok());
    }
    // Its halves stand below its directory, where nothing else may be.
    assert!(with(&serde_json::json!({"split": true, "history": 2}), &["db.crt"]).is_ok());
}

#[test]
fn every_file_that_an_entry_makes_has_a_path() {
    let (long, deep) = ("x".repeat(253), "d/".repeat(31) + "d");
    for (fields, refused) in [
        (serde_json::json!({"path": long}), false),
        (serde_json::json!({"path": long, "split": true}), true),
        (serde_json::json!({"path": long, "split": true, "history": 2}), false),
        (serde_json::json!({"path": deep}), false),
        (serde_json::json!({"path": deep, "history": 2}), true),
    ] {
        let error = with(&fields, &[]).err();
        assert_eq!(error.is_some(), refused, "{fields}");
        assert!(
            error.is_none_or(|error| error.starts_with("volume \"v\": file name ")),
            "{fields}"
        );
    }
    let mut plan = sample();
    for (directory, refused) in
        [("d/".repeat(30) + "d", false), (deep, true), ("d".repeat(255), false)]
    {
        plan["volumes"][0]["selections"] = serde_json::json!([{"mode": "0400", "identity": "a",
            "vault": "https://kv.vault.azure.net/", "directory": directory}]);
        assert_eq!(Plan::from_json(&plan.to_string()).is_err(), refused, "{directory}");
    }
}
