//! Objects that are expired or not active yet: served, with a warning once per version.

use crate::support::{CLIENT, TENANT, TestEnv, until};
use keysluice_emulator::seed::SecretSeed;
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// The year 2096.
const FAR: i64 = 4_000_000_000;

fn in_seconds(seconds: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap() + seconds
}

fn expiring(value: &str, at: i64) -> SecretSeed {
    SecretSeed { expires: Some(at), ..SecretSeed::new(value) }
}

/// What the log says with this code, or without one.
fn told(env: &TestEnv, code: Option<&str>) -> Vec<String> {
    let log = env.log();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let of_code = lines.filter(|line| line["code"].as_str() == code);
    of_code.map(|line| line["message"].as_str().unwrap().to_owned()).collect()
}

fn file_of(status: &Value, path: &str) -> Value {
    let files = status["volumes"][0]["files"].as_array().unwrap();
    files.iter().find(|file| file["path"] == path).unwrap().clone()
}

#[test]
fn an_object_is_warned_of_once_per_version_and_when_it_is_valid_again() {
    let env = TestEnv::new();
    let put = |name: &str, seed| env.emulator.put_secret("shop", name, seed).unwrap();
    put("late", expiring("late", in_seconds(2)));
    put("early", SecretSeed { not_before: Some(FAR), ..SecretSeed::new("early") });
    put("good", SecretSeed { not_before: Some(5), ..expiring("good", FAR) });
    let names = ["late", "early", "good"];
    let files: Vec<Value> = names.iter().map(|name| env.file(name, name)).collect();
    let again = env.file("again", "early");
    let sidecar = env.run_ready(&env.plan(&[files, vec![again]].concat()));
    assert_eq!(env.read("early"), "early", "it is served");
    let early = "secret \"early\" in ";
    until("the expiry passes", || {
        sidecar.refresh();
        !told(&env, Some("KS419")).is_empty()
    });
    sidecar.refresh();
    let (expired, inactive) = (told(&env, Some("KS419")), told(&env, Some("KS420")));
    assert_eq!((expired.len(), inactive.len()), (1, 1), "{expired:?} {inactive:?}");
    assert!(expired[0].starts_with("secret \"late\" in https://"), "{expired:?}");
    assert!(
        inactive[0].starts_with(early)
            && inactive[0].ends_with(": not active until 2096-10-02T07:06:40Z"),
        "{inactive:?}"
    );
    let status = sidecar.status();
    assert_eq!((&status["ready"], &status["failing"]), (&json!(true), &json!(0)), "{status}");
    assert_eq!(file_of(&status, "late")["warning"]["code"], "KS419");
    assert_eq!(file_of(&status, "again")["warning"]["code"], "KS420");
    assert_eq!(file_of(&status, "early")["startsAt"], FAR);
    assert_eq!(file_of(&status, "good")["warning"], Value::Null);

    // The next version has expired too, and the one after it is good.
    put("late", expiring("later", in_seconds(-5)));
    until("another version", || {
        sidecar.refresh();
        told(&env, Some("KS419")).len() == 2
    });
    put("late", expiring("latest", FAR));
    until("it is valid again", || {
        sidecar.refresh();
        told(&env, None).iter().any(|line| line.ends_with(": valid again"))
    });
    assert_eq!(file_of(&sidecar.status(), "late")["warning"], Value::Null);
    assert_eq!(told(&env, Some("KS419")).len(), 2);
    assert!(!env.log().contains("latest\""), "no value is in the log");
}

#[test]
fn a_history_keeps_the_expiry_of_its_newest_version_and_a_selection_names_its_first() {
    let env = TestEnv::new();
    let vault = json!({"vaults": [{"name": "shop", "tenantId": TENANT, "secrets": {},
        "roles": [{"clientId": CLIENT, "secrets": ["get", "list"]}]}]});
    env.emulator.seed(serde_json::from_value(vault).unwrap()).unwrap();
    let put = |name: &str, seed| env.emulator.put_secret("shop", name, seed).unwrap();
    // Which of several versions of one second is the newest, the vault does not tell.
    let [old, new] = [in_seconds(-100), in_seconds(-50)];
    for (created, value, expires) in [(1000, "old", old), (1001, "new", new)] {
        put("twice", SecretSeed { created: Some(created), ..expiring(value, expires) });
    }
    put("app-a", expiring("a", FAR));
    put("app-b", expiring("b", in_seconds(-10)));
    let file = env.file("twice", "twice");
    let mut history = file.clone();
    history["history"] = json!(2);
    let mut plan = env.plan(&[history]);
    plan["volumes"][0]["selections"] = json!([{"mode": "0644", "identity": file["identity"],
        "vault": file["vault"], "namePrefix": "app-"}]);
    let sidecar = env.run_ready(&plan);
    assert_eq!(file_of(&sidecar.status(), "twice")["expiresAt"], new);
    sidecar.refresh();
    sidecar.refresh();
    let status = sidecar.status();
    assert_eq!(file_of(&status, "twice")["expiresAt"], new, "also when it is unchanged");
    let told = told(&env, Some("KS419"));
    let starts = ["secret \"twice\" in https://", "secret \"app-b\" in https://"];
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(starts.iter().all(|start| told.iter().any(|line| line.starts_with(start))), "{told:?}");
}

#[test]
fn a_plan_says_how_the_log_is_written_unless_the_command_line_does() {
    let env = TestEnv::new();
    env.emulator.put_secret("shop", "late", expiring("late", 5)).unwrap();
    let mut plan = env.plan(&[env.file("late", "late")]);
    plan["logFormat"] = json!("text");
    let output = env.output(&plan, &["once"]);
    assert!(output.status.success(), "{output:?}");
    let log = String::from_utf8(output.stderr).unwrap();
    let line = log.lines().find(|line| line.contains("Z warn  KS419 secret \"late\" in "));
    assert!(line.is_some_and(|line| line.contains(" hint=\"")), "{log}");
    let output = env.output(&plan, &["once", "--log-format", "json"]);
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(log.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{log}");
    plan["logFormat"] = json!("yaml");
    let output = env.output(&plan, &["once"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
}
