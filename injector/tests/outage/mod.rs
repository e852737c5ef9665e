//! A running pod while something is down: the files stay, what is known of them says so, and it ends by itself.

use crate::support::{CANARY, Mount, World, loudly, put, until};
use keysluice_emulator::{CallKind, Fault};
use std::fs;
use std::process::Command;
use std::time::Duration;

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
    until("the token ended", || sidecar.refresh().0["volumes"][0]["files"][0]["error"]["code"] == "KS301");
    assert_eq!((world.read("db").as_str(), world.emulator.counts().tokens), ("with the old token", 1));
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
    let age = |sidecar: &crate::support::Sidecar<'_>| sidecar.status()["volumes"][0]["files"][0]["ageSeconds"].as_u64();
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
    let of_age = |line: &&str| line.starts_with("keysluice_object_age_seconds{volume=\"v\",path=\"db\",");
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

/// Needs root.
#[test]
fn a_volume_that_becomes_read_only_keeps_its_files_and_is_told() {
    let world = World::new();
    let volume = world.root.join("mnt/v");
    let Some(_mount) = Mount::tmpfs(&volume, "1m") else {
        return loudly("a read-only volume", "mounting a tmpfs is not permitted here");
    };
    let sidecar = world.run_ready(&world.plan(&[world.file("db", "db")]));
    let remount = |how: &str| {
        let status = Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(&volume).status();
        assert!(status.unwrap().success(), "{how}");
    };
    remount("ro");
    world.emulator.set_secret("shop", "db", "rotated");
    let (answer, _) = sidecar.refresh();
    let error = &answer["volumes"][0]["error"];
    assert_eq!(error["code"], "KS503", "{answer}");
    assert!(error["message"].as_str().unwrap().contains("Read-only file system"), "{error}");
    assert_eq!(world.read("db"), CANARY);
    remount("rw");
    until("what was fetched is written without another request", || world.read("db") == "rotated");
    assert_eq!(world.emulator.counts().secret_gets, 2);
}

/// Needs root.
#[test]
fn a_volume_that_is_mounted_anew_gets_all_its_files_again() {
    let world = World::new();
    let volume = world.root.join("mnt/v");
    let Some(mount) = Mount::tmpfs(&volume, "1m") else {
        return loudly("a volume that is gone", "mounting a tmpfs is not permitted here");
    };
    let sidecar = world.run_ready(&world.plan(&[world.file("db", "db"), world.file("d/api", "api")]));
    drop(mount);
    let _mount = Mount::tmpfs(&volume, "1m").unwrap();
    assert!(sidecar.refresh().1);
    assert_eq!((world.read("db").as_str(), world.read("d/api").as_str()), (CANARY, "second"));
}
