//! A running pod while something is down: the files stay, what is known of them says so, and it
//! ends by itself.

use crate::support::{CANARY, CLIENT, Mount, TENANT, World, loudly, put, until};
use keysluice_emulator::{CallKind, Fault};
use rustix::process::Signal;
use serde_json::{Map, Value, json};
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

#[test]
fn a_token_is_renewed_ahead_of_its_end() {
    let world = World::new();
    world.emulator.set_token_lifetime(Some(Duration::from_secs(3)));
    let sidecar = world.run_ready(&world.plan(&[world.file("db", "db")]));
    until("two renewals", || {
        assert!(sidecar.refresh().1);
        world.emulator.counts().tokens >= 3
    });
    assert_eq!(world.emulator.counts().status_401, 0, "no token was used past its end");
}

#[test]
fn a_token_file_that_is_missing_at_renewal_costs_nothing_until_the_token_ends() {
    let world = World::new();
    world.emulator.set_token_lifetime(Some(Duration::from_secs(4)));
    let sidecar = world.run_ready(&world.plan(&[world.file("db", "db")]));
    fs::remove_file(world.root.join("token")).unwrap();
    world.emulator.set_secret("shop", "db", "with the old token");
    until("a renewal failed", || {
        let well = sidecar.refresh().1;
        world.log().contains("KS301") && well
    });
    assert_eq!(world.read("db"), "with the old token");
    until("the token ended", || {
        sidecar.refresh().0["volumes"][0]["files"][0]["error"]["code"] == "KS301"
    });
    assert_eq!(
        (world.read("db").as_str(), world.emulator.counts().tokens),
        ("with the old token", 1)
    );
    // The kubelet replaces it by a rename.
    put(&world.root.join("token.new"), world.token.as_bytes());
    fs::rename(world.root.join("token.new"), world.root.join("token")).unwrap();
    world.emulator.set_secret("shop", "db", "with a new token");
    until("it is read again", || sidecar.refresh().1);
    assert_eq!(world.read("db"), "with a new token");
}

#[test]
fn while_a_vault_is_down_files_stay_and_their_age_grows_also_over_a_restart() {
    let world = World::new();
    let plan = world.plan(&[world.file("db", "db"), world.file("api", "api")]);
    let sidecar = world.run_ready(&plan);
    world.emulator.inject(Fault::reset());
    assert!(!sidecar.refresh().1);
    let age = |sidecar: &crate::support::Sidecar<'_>| {
        sidecar.status()["volumes"][0]["files"][0]["ageSeconds"].as_u64()
    };
    until("the age grows", || age(&sidecar) >= Some(2));
    drop(sidecar);
    let sidecar = world.run_ready(&plan);
    assert!(age(&sidecar) >= Some(2), "{:?}", age(&sidecar));
    assert_eq!((world.read("db").as_str(), world.read("api").as_str()), (CANARY, "second"));
    until("it failed", || sidecar.status()["failing"] == 2);
    let metrics = world.output(&plan, &["status", "--output", "metrics"]);
    let metrics = String::from_utf8(metrics.stdout).unwrap();
    // Entra is down as well, and comes first.
    let failing = "keysluice_object_failing{volume=\"v\",path=\"db\",code=\"KS312\"} 1\n";
    assert!(metrics.contains("keysluice_ready 1\n") && metrics.contains(failing), "{metrics}");
    let of_age =
        |line: &&str| line.starts_with("keysluice_object_age_seconds{volume=\"v\",path=\"db\",");
    let line = metrics.lines().find(of_age).unwrap();
    assert!(line.rsplit(' ').next().unwrap().parse::<u64>().unwrap() >= 2, "{line}");
    assert!(metrics.ends_with("# EOF\n"));
    world.emulator.clear_faults();
    assert!(sidecar.refresh().1);
    assert_eq!(age(&sidecar), Some(0));
}

#[test]
fn an_outage_ends_without_anybodys_help() {
    let world = World::new();
    let mut plan = world.plan(&[world.file("db", "db")]);
    plan["volumes"][0]["refreshIntervalSeconds"] = 2.into();
    let _sidecar = world.run_ready(&plan);
    world.emulator.inject(Fault::status(503).on(CallKind::SecretGet));
    world.emulator.set_secret("shop", "db", "new");
    until("it was noticed", || world.log().contains("KS408"));
    world.emulator.clear_faults();
    until("it is over", || world.read("db") == "new");
}

#[test]
fn a_vault_that_hangs_holds_up_no_other() {
    let (world, interval) = (World::new(), 3);
    let names: Vec<String> = (0..100).map(|index| format!("s{index}")).collect();
    let secrets: Map<String, Value> = names.iter().map(|name| (name.clone(), "x".into())).collect();
    // Its URL comes before the other's, in any order of objects.
    let dead = json!({"vaults": [{"name": "dead", "tenantId": TENANT, "secrets": secrets,
        "roles": [{"clientId": CLIENT, "secrets": ["get", "list"]}]}]});
    world.emulator.seed(serde_json::from_value(dead).unwrap()).unwrap();
    let of_dead = |name: &String| {
        let mut file = world.file(&format!("dead/{name}"), name);
        file["vault"] = world.emulator.vault_url("dead").into();
        file
    };
    let mut files: Vec<Value> = names.iter().map(of_dead).collect();
    files.push(world.file("db", "db"));
    let mut plan = world.plan(&files);
    plan["volumes"][0]["refreshIntervalSeconds"] = interval.into();
    fs::create_dir(world.root.join("mnt/w")).unwrap();
    let mut other = plan["volumes"][0].clone();
    (other["name"], other["directory"]) = ("w".into(), "/mnt/w".into());
    other["files"] = json!([world.file("api", "api")]);
    plan["volumes"].as_array_mut().unwrap().push(other);
    let sidecar = world.run_ready(&plan);
    world.emulator.inject(Fault::delay(Duration::from_secs(3600)).vault("dead"));
    // A request to it ends after 10 s; an interval and 3 s of its silence are less.
    let patience = Duration::from_secs(10);
    for round in 0..6 {
        let (value, changed) = (format!("value {round}"), Instant::now());
        world.emulator.set_secret("shop", "db", value.as_str());
        world.emulator.set_secret("shop", "api", value.as_str());
        until("both are new", || {
            world.read("db") == value
                && fs::read_to_string(world.root.join("mnt/w/api")).unwrap() == value
        });
        assert!(changed.elapsed() < patience, "round {round}: {:?}", changed.elapsed());
    }
    until("the cause is told", || sidecar.status()["failing"] == 100);
    assert!(world.log().contains("KS412"), "{}", world.log());
    assert_eq!(world.read("dead/s0"), "x");
}

#[test]
fn files_of_a_slow_vault_change_together() {
    let world = World::new();
    let names: Vec<String> = (0..20).map(|index| format!("s{index}")).collect();
    let set = |value: &str| {
        for name in &names {
            drop(world.emulator.set_secret("shop", name, value));
        }
    };
    set("old");
    let files: Vec<Value> = names.iter().map(|name| world.file(name, name)).collect();
    let sidecar = world.run_ready(&world.plan(&files));
    // Three rows of at most eight requests.
    world.emulator.inject(Fault::delay(Duration::from_secs(1)).on(CallKind::SecretGet));
    set("new");
    assert!(sidecar.refresh().1);
    assert!(names.iter().all(|name| world.read(name) == "new"));
    assert_eq!(world.log().matches(": generation ..").count(), 2, "{}", world.log());
}

#[test]
fn a_sidecar_that_stood_still_takes_its_own_time_for_no_vaults_silence() {
    let world = World::new();
    let other = json!({"vaults": [{"name": "other", "tenantId": TENANT, "secrets": {"db": "old"},
        "roles": [{"clientId": CLIENT, "secrets": ["get"]}]}]});
    world.emulator.seed(serde_json::from_value(other).unwrap()).unwrap();
    let mut file = world.file("other", "db");
    file["vault"] = world.emulator.vault_url("other").into();
    world.emulator.set_secret("shop", "last", "x");
    let sidecar =
        world.run_ready(&world.plan(&[file, world.file("db", "db"), world.file("last", "last")]));
    world.emulator.inject(Fault::status(500).object("last"));
    world.emulator.inject(Fault::delay(Duration::from_secs(1)).vault("other"));
    world.emulator.set_secret("other", "db", "new");
    world.emulator.set_secret("shop", "db", "new");
    sidecar.signal(Signal::HUP);
    until("one vault has answered", || world.log().contains("KS408"));
    sidecar.signal(Signal::STOP);
    let stopped = Instant::now();
    until("it stood still for longer than a vault may", || {
        stopped.elapsed() >= Duration::from_secs(4)
    });
    sidecar.signal(Signal::CONT);
    until("both are new", || world.read("db") == "new" && world.read("other") == "new");
    // The line of a generation follows its swap.
    let generations = || world.log().matches(": generation ..").count();
    until("the new generation is in the log", || generations() >= 2);
    assert_eq!(generations(), 2, "{}", world.log());
}

#[test]
fn a_history_keeps_its_files_when_another_round_forgets_them_while_it_is_listed() {
    let world = World::new();
    let other = json!({"vaults": [{"name": "other", "tenantId": TENANT, "secrets": {"h": "value"},
        "roles": [{"clientId": CLIENT, "secrets": ["get", "list"]}]}]});
    world.emulator.seed(serde_json::from_value(other).unwrap()).unwrap();
    let mut history = world.file("h", "h");
    (history["vault"], history["history"]) = (world.emulator.vault_url("other").into(), 2.into());
    let sidecar = world.run_ready(&world.plan(&[history, world.file("db", "db")]));
    world.emulator.inject(Fault::delay(Duration::from_secs(7)).vault("other").times(1));
    world.emulator.set_secret("shop", "db", "new");
    sidecar.signal(Signal::HUP);
    until("the vault that hangs is left behind", || world.read("db") == "new");
    // What the volume has lost is fetched whatever is known.
    let db = world.root.join("mnt/v/..data/db");
    fs::remove_file(&db).unwrap();
    sidecar.signal(Signal::HUP);
    until("it is back", || db.exists());
    assert!(sidecar.refresh().1);
    assert_eq!(world.read("h/0"), "value");
    assert_eq!(world.log().matches(": generation ..").count(), 3, "{}", world.log());
}

#[test]
fn a_pinned_version_that_nobody_asks_for_grows_old() {
    let world = World::new();
    let mut pinned = world.file("pinned", "db");
    pinned["version"] = world.emulator.set_secret("shop", "db", "pinned").into();
    let sidecar = world.run_ready(&world.plan(&[pinned, world.file("api", "api")]));
    world.emulator.inject(Fault::reset());
    let age = |answer: &Value| answer["volumes"][0]["files"][0]["ageSeconds"].as_u64();
    until("it is not confirmed", || age(&sidecar.refresh().0) >= Some(2));
    world.emulator.clear_faults();
    assert!(sidecar.refresh().1);
    assert!(age(&sidecar.status()) >= Some(2), "also while the vault answers");
}

/// Needs root.
#[test]
fn a_volume_that_becomes_read_only_keeps_its_files_and_is_told() {
    let world = World::new();
    let volume = world.root.join("mnt/v");
    let Some(_mount) = Mount::tmpfs(&volume, "1m") else {
        return loudly("a read-only volume", "mounting a tmpfs is not permitted here");
    };
    let plan = world.plan(&[world.file("db", "db")]);
    let sidecar = world.run_ready(&plan);
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
    world.emulator.set_secret("shop", "db", "rotated");
    let (answer, _) = sidecar.refresh();
    let file = &answer["volumes"][0]["files"][0];
    assert!(
        file["version"] == version && file["ageSeconds"].as_u64() >= Some(2),
        "what stands is told: {answer}"
    );
    let error = &answer["volumes"][0]["error"];
    assert_eq!(error["code"], "KS503", "{answer}");
    assert!(error["message"].as_str().unwrap().contains("Read-only file system"), "{error}");
    assert_eq!(world.read("db"), CANARY);
    remount("rw");
    until("what was fetched is written without another request", || world.read("db") == "rotated");
    assert_eq!(world.emulator.counts().secret_gets, 2);
    // A crash left something, and the container is restarted: the last good files are served.
    drop(sidecar);
    let leftover = volume.join("..2020_01_01_00_00_00.1");
    fs::create_dir(&leftover).unwrap();
    remount("ro");
    let sidecar = world.run_ready(&plan);
    assert_eq!(world.read("db"), "rotated");
    world.emulator.set_secret("shop", "db", "again");
    assert!(!sidecar.refresh().1);
    remount("rw");
    until("it is written", || world.read("db") == "again");
    assert!(!leftover.exists());
}

/// Needs root.
#[test]
fn a_volume_that_is_mounted_anew_gets_all_its_files_again() {
    let world = World::new();
    let volume = world.root.join("mnt/v");
    let Some(mount) = Mount::tmpfs(&volume, "1m") else {
        return loudly("a volume that is gone", "mounting a tmpfs is not permitted here");
    };
    let sidecar =
        world.run_ready(&world.plan(&[world.file("db", "db"), world.file("d/api", "api")]));
    drop(mount);
    let _mount = Mount::tmpfs(&volume, "1m").unwrap();
    assert!(sidecar.refresh().1);
    assert_eq!((world.read("db").as_str(), world.read("d/api").as_str()), (CANARY, "second"));
}
