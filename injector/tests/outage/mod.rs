//! A running pod while something is down: the files stay, what is known of them says so, and it
//! ends by itself.

use crate::support::{CANARY, CLIENT, Mount, TENANT, TestEnv, loudly, put, until};
use keysluice_emulator::{CallKind, Fault};
use rustix::process::Signal;
use serde_json::{Map, Value, json};
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

#[test]
fn a_token_is_renewed_ahead_of_its_end() {
    let env = TestEnv::new();
    env.emulator.set_token_lifetime(Some(Duration::from_secs(3)));
    let sidecar = env.run_ready(&env.plan(&[env.file("db", "db")]));
    until("two renewals", || {
        assert!(sidecar.refresh().1);
        env.emulator.counts().tokens >= 3
    });
    assert_eq!(env.emulator.counts().status_401, 0, "no token was used past its end");
}

#[test]
fn a_token_file_that_is_missing_at_renewal_costs_nothing_until_the_token_ends() {
    let env = TestEnv::new();
    env.emulator.set_token_lifetime(Some(Duration::from_secs(4)));
    let sidecar = env.run_ready(&env.plan(&[env.file("db", "db")]));
    fs::remove_file(env.root.join("token")).unwrap();
    env.emulator.set_secret("shop", "db", "with the old token");
    until("a renewal failed", || {
        let well = sidecar.refresh().1;
        env.log().contains("KS301") && well
    });
    assert_eq!(env.read("db"), "with the old token");
    until("the token ended", || {
        sidecar.refresh().0["volumes"][0]["files"][0]["error"]["code"] == "KS301"
    });
    assert_eq!((env.read("db").as_str(), env.emulator.counts().tokens), ("with the old token", 1));
    // The kubelet replaces it by a rename.
    put(&env.root.join("token.new"), env.token.as_bytes());
    fs::rename(env.root.join("token.new"), env.root.join("token")).unwrap();
    env.emulator.set_secret("shop", "db", "with a new token");
    until("it is read again", || sidecar.refresh().1);
    assert_eq!(env.read("db"), "with a new token");
}

#[test]
fn while_a_vault_is_down_files_stay_and_their_age_grows_also_over_a_restart() {
    let env = TestEnv::new();
    let plan = env.plan(&[env.file("db", "db"), env.file("api", "api")]);
    let sidecar = env.run_ready(&plan);
    env.emulator.inject(Fault::reset());
    assert!(!sidecar.refresh().1);
    let age = |sidecar: &crate::support::Sidecar<'_>| {
        sidecar.status()["volumes"][0]["files"][0]["ageSeconds"].as_u64()
    };
    until("the age grows", || age(&sidecar) >= Some(2));
    drop(sidecar);
    let sidecar = env.run_ready(&plan);
    assert!(age(&sidecar) >= Some(2), "{:?}", age(&sidecar));
    assert_eq!((env.read("db").as_str(), env.read("api").as_str()), (CANARY, "second"));
    until("it failed", || sidecar.status()["failing"] == 2);
    let metrics = env.output(&plan, &["status", "--output", "metrics"]);
    let metrics = String::from_utf8(metrics.stdout).unwrap();
    // Entra is down as well, and comes first.
    let failing = "keysluice_object_failing{volume=\"v\",path=\"db\",code=\"KS312\"} 1\n";
    assert!(metrics.contains("keysluice_ready 1\n") && metrics.contains(failing), "{metrics}");
    let of_age =
        |line: &&str| line.starts_with("keysluice_object_age_seconds{volume=\"v\",path=\"db\",");
    let line = metrics.lines().find(of_age).unwrap();
    assert!(line.rsplit(' ').next().unwrap().parse::<u64>().unwrap() >= 2, "{line}");
    assert!(metrics.ends_with("# EOF\n"));
    for line in [
        "keysluice_calls_total{service=\"entra\",kind=\"token\",result=",
        "keysluice_last_success_age_seconds{volume=\"v\"} ",
        "keysluice_object_next_refresh_seconds{volume=\"v\",path=\"db\"} ",
    ] {
        assert!(metrics.contains(line), "{line} is missing in {metrics}");
    }
    env.emulator.clear_faults();
    assert!(sidecar.refresh().1);
    assert_eq!(age(&sidecar), Some(0));
}

#[test]
fn an_outage_ends_without_anybodys_help() {
    let env = TestEnv::new();
    let mut plan = env.plan(&[env.file("db", "db")]);
    plan["volumes"][0]["refreshIntervalSeconds"] = 2.into();
    let _sidecar = env.run_ready(&plan);
    env.emulator.inject(Fault::status(503).on(CallKind::SecretGet));
    env.emulator.set_secret("shop", "db", "new");
    until("it was noticed", || env.log().contains("KS408"));
    env.emulator.clear_faults();
    until("it is over", || env.read("db") == "new");
}

#[test]
fn a_vault_that_hangs_holds_up_no_other() {
    let (env, interval) = (TestEnv::new(), 3);
    let names: Vec<String> = (0..100).map(|index| format!("s{index}")).collect();
    let secrets: Map<String, Value> = names.iter().map(|name| (name.clone(), "x".into())).collect();
    // Its URL comes before the other's, in any order of objects.
    let dead = json!({"vaults": [{"name": "dead", "tenantId": TENANT, "secrets": secrets,
        "roles": [{"clientId": CLIENT, "secrets": ["get", "list"]}]}]});
    env.emulator.seed(serde_json::from_value(dead).unwrap()).unwrap();
    let of_dead = |name: &String| {
        let mut file = env.file(&format!("dead/{name}"), name);
        file["vault"] = env.emulator.vault_url("dead").into();
        file
    };
    let mut files: Vec<Value> = names.iter().map(of_dead).collect();
    files.push(env.file("db", "db"));
    let mut plan = env.plan(&files);
    plan["volumes"][0]["refreshIntervalSeconds"] = interval.into();
    fs::create_dir(env.root.join("mnt/w")).unwrap();
    let mut other = plan["volumes"][0].clone();
    (other["name"], other["directory"]) = ("w".into(), "/mnt/w".into());
    other["files"] = json!([env.file("api", "api")]);
    plan["volumes"].as_array_mut().unwrap().push(other);
    let sidecar = env.run_ready(&plan);
    env.emulator.inject(Fault::delay(Duration::from_secs(3600)).vault("dead"));
    // A request to it ends after 10 s; an interval and 3 s of its silence are less.
    let patience = Duration::from_secs(10);
    for round in 0..6 {
        let (value, changed) = (format!("value {round}"), Instant::now());
        env.emulator.set_secret("shop", "db", value.as_str());
        env.emulator.set_secret("shop", "api", value.as_str());
        until("both are new", || {
            env.read("db") == value
                && fs::read_to_string(env.root.join("mnt/w/api")).unwrap() == value
        });
        assert!(changed.elapsed() < patience, "round {round}: {:?}", changed.elapsed());
    }
    until("the cause is told", || sidecar.status()["failing"] == 100);
    assert!(env.log().contains("KS412"), "{}", env.log());
    assert_eq!(env.read("dead/s0"), "x");
}

#[test]
fn files_of_a_slow_vault_change_together() {
    let env = TestEnv::new();
    let names: Vec<String> = (0..20).map(|index| format!("s{index}")).collect();
    let set = |value: &str| {
        for name in &names {
            drop(env.emulator.set_secret("shop", name, value));
        }
    };
    set("old");
    let files: Vec<Value> = names.iter().map(|name| env.file(name, name)).collect();
    let sidecar = env.run_ready(&env.plan(&files));
    // Three rows of at most eight requests.
    env.emulator.inject(Fault::delay(Duration::from_secs(1)).on(CallKind::SecretGet));
    set("new");
    assert!(sidecar.refresh().1);
    assert!(names.iter().all(|name| env.read(name) == "new"));
    assert_eq!(env.log().matches(": generation ..").count(), 2, "{}", env.log());
}

#[test]
fn a_sidecar_that_stood_still_takes_its_own_time_for_no_vaults_silence() {
    let env = TestEnv::new();
    let other = json!({"vaults": [{"name": "other", "tenantId": TENANT, "secrets": {"db": "old"},
        "roles": [{"clientId": CLIENT, "secrets": ["get"]}]}]});
    env.emulator.seed(serde_json::from_value(other).unwrap()).unwrap();
    let mut file = env.file("other", "db");
    file["vault"] = env.emulator.vault_url("other").into();
    env.emulator.set_secret("shop", "last", "x");
    let sidecar = env.run_ready(&env.plan(&[file, env.file("db", "db"), env.file("last", "last")]));
    env.emulator.inject(Fault::status(500).object("last"));
    env.emulator.inject(Fault::delay(Duration::from_secs(1)).vault("other"));
    env.emulator.set_secret("other", "db", "new");
    env.emulator.set_secret("shop", "db", "new");
    sidecar.signal(Signal::HUP);
    until("one vault has answered", || env.log().contains("KS408"));
    sidecar.signal(Signal::STOP);
    let stopped = Instant::now();
    until("it stood still for longer than a vault may", || {
        stopped.elapsed() >= Duration::from_secs(4)
    });
    sidecar.signal(Signal::CONT);
    until("both are new", || env.read("db") == "new" && env.read("other") == "new");
    // The line of a generation follows its swap.
    let generations = || env.log().matches(": generation ..").count();
    until("the new generation is in the log", || generations() >= 2);
    assert_eq!(generations(), 2, "{}", env.log());
}

#[test]
fn a_history_keeps_its_files_when_another_round_forgets_them_while_it_is_listed() {
    let env = TestEnv::new();
    let other = json!({"vaults": [{"name": "other", "tenantId": TENANT, "secrets": {"h": "value"},
        "roles": [{"clientId": CLIENT, "secrets": ["get", "list"]}]}]});
    env.emulator.seed(serde_json::from_value(other).unwrap()).unwrap();
    let mut history = env.file("h", "h");
    (history["vault"], history["history"]) = (env.emulator.vault_url("other").into(), 2.into());
    let sidecar = env.run_ready(&env.plan(&[history, env.file("db", "db")]));
    env.emulator.inject(Fault::delay(Duration::from_secs(7)).vault("other").times(1));
    env.emulator.set_secret("shop", "db", "new");
    sidecar.signal(Signal::HUP);
    until("the vault that hangs is left behind", || env.read("db") == "new");
    // What the volume has lost is fetched whatever is known.
    let db = env.root.join("mnt/v/..data/db");
    fs::remove_file(&db).unwrap();
    sidecar.signal(Signal::HUP);
    until("it is back", || db.exists());
    assert!(sidecar.refresh().1);
    assert_eq!(env.read("h/0"), "value");
    assert_eq!(env.log().matches(": generation ..").count(), 3, "{}", env.log());
}

#[test]
fn a_pinned_version_that_nobody_asks_for_grows_old() {
    let env = TestEnv::new();
    let mut pinned = env.file("pinned", "db");
    pinned["version"] = env.emulator.set_secret("shop", "db", "pinned").into();
    let sidecar = env.run_ready(&env.plan(&[pinned, env.file("api", "api")]));
    env.emulator.inject(Fault::reset());
    let age = |answer: &Value| answer["volumes"][0]["files"][0]["ageSeconds"].as_u64();
    until("it is not confirmed", || age(&sidecar.refresh().0) >= Some(2));
    env.emulator.clear_faults();
    assert!(sidecar.refresh().1);
    assert!(age(&sidecar.status()) >= Some(2), "also while the vault answers");
}

/// Needs root.
#[test]
fn a_volume_that_becomes_read_only_keeps_its_files_and_is_told() {
    let env = TestEnv::new();
    let volume = env.root.join("mnt/v");
    let Some(_mount) = Mount::tmpfs(&volume, "1m") else {
        return loudly("a read-only volume", "mounting a tmpfs is not permitted here");
    };
    let plan = env.plan(&[env.file("db", "db")]);
    let sidecar = env.run_ready(&plan);
    let remount = |how: &str| {
        let status =
            Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(&volume).status();
        assert!(status.unwrap().success(), "{how}");
    };
    remount("ro");
    let version = sidecar.status()["volumes"][0]["files"][0]["version"].clone();
    until("it is two seconds old", || {
        sidecar.status()["volumes"][0]["files"][0]["ageSeconds"].as_u64() >= Some(2)
    });
    env.emulator.set_secret("shop", "db", "rotated");
    let (answer, _) = sidecar.refresh();
    let file = &answer["volumes"][0]["files"][0];
    assert!(
        file["version"] == version && file["ageSeconds"].as_u64() >= Some(2),
        "what stands is told: {answer}"
    );
    let error = &answer["volumes"][0]["error"];
    assert_eq!(error["code"], "KS503", "{answer}");
    assert!(error["message"].as_str().unwrap().contains("Read-only file system"), "{error}");
    assert_eq!(env.read("db"), CANARY);
    remount("rw");
    until("what was fetched is written without another request", || env.read("db") == "rotated");
    assert_eq!(env.emulator.counts().secret_gets, 2);
    // A crash left something, and the container is restarted: the last good files are served.
    drop(sidecar);
    let leftover = volume.join("..2020_01_01_00_00_00.1");
    fs::create_dir(&leftover).unwrap();
    remount("ro");
    let sidecar = env.run_ready(&plan);
    assert_eq!(env.read("db"), "rotated");
    env.emulator.set_secret("shop", "db", "again");
    assert!(!sidecar.refresh().1);
    remount("rw");
    until("it is written", || env.read("db") == "again");
    assert!(!leftover.exists());
}

/// Needs root.
#[test]
fn a_volume_that_is_mounted_anew_gets_all_its_files_again() {
    let env = TestEnv::new();
    let volume = env.root.join("mnt/v");
    let Some(mount) = Mount::tmpfs(&volume, "1m") else {
        return loudly("a volume that is gone", "mounting a tmpfs is not permitted here");
    };
    let sidecar = env.run_ready(&env.plan(&[env.file("db", "db"), env.file("d/api", "api")]));
    drop(mount);
    let _mount = Mount::tmpfs(&volume, "1m").unwrap();
    assert!(sidecar.refresh().1);
    assert_eq!((env.read("db").as_str(), env.read("d/api").as_str()), (CANARY, "second"));
}
