//! Selections: what one of their secrets does is not the others' business, and what they cost.

use crate::support::{CLIENT, TENANT, World, until};
use keysluice_emulator::{CallKind, Fault};
use serde_json::{Map, Value, json};
use std::fs;

/// A vault of `count` secrets `app-0`, `app-1`, … that were made long ago, and a Plan that selects them.
fn world(count: usize) -> (World, Value) {
    let world = World::new();
    let secret = |index: usize| (format!("app-{index}"), json!({"value": format!("v{index}"), "created": 1_700_000_000}));
    let secrets: Map<String, Value> = (0..count).map(secret).collect();
    let vaults = json!({"vaults": [{"name": "shop", "tenantId": TENANT, "secrets": secrets,
        "roles": [{"clientId": CLIENT, "secrets": ["get", "list"]}]}]});
    world.emulator.seed(serde_json::from_value(vaults).unwrap()).unwrap();
    let mut plan = world.plan(&[]);
    plan["volumes"][0]["selections"] =
        json!([{"mode": "0640", "identity": "a", "vault": world.emulator.vault_url("shop"), "namePrefix": "app-"}]);
    (world, plan)
}

#[test]
fn a_secret_that_fails_keeps_its_file_and_the_others_go_on() {
    let (world, plan) = world(4);
    let sidecar = world.run_ready(&plan);
    for (fault, code) in [(Fault::status(403), "KS405"), (Fault::status(500), "KS408"), (Fault::reset(), "KS411")] {
        world.emulator.inject(fault.on(CallKind::SecretGet).object("app-1"));
        world.emulator.set_secret("shop", "app-1", "unseen");
        world.emulator.set_secret("shop", "app-2", code);
        let (answer, well) = sidecar.refresh();
        assert!(!well);
        let file = &answer["volumes"][0]["files"][0];
        assert_eq!(file["error"]["code"], code, "{answer}");
        assert!(file["error"]["message"].as_str().unwrap().contains("\"app-1\""), "{answer}");
        assert_eq!(file["made"].as_array().unwrap().len(), 4, "{answer}");
        assert_eq!((world.read("app-1").as_str(), world.read("app-2").as_str()), ("v1", code));
        world.emulator.clear_faults();
    }
    until("it is asked for again", || sidecar.refresh().1);
    assert_eq!(world.read("app-1"), "unseen");
    // One that is new and fails has no file to keep.
    world.emulator.inject(Fault::status(403).on(CallKind::SecretGet).object("app-9"));
    world.emulator.set_secret("shop", "app-9", "new");
    world.emulator.delete("shop", "app-0");
    assert!(!sidecar.refresh().1);
    assert!(!world.root.join("mnt/v/app-9").exists() && !world.root.join("mnt/v/app-0").exists());
    world.emulator.clear_faults();
    assert!(sidecar.refresh().1);
    assert_eq!(world.read("app-9"), "new");
    assert_eq!(fs::read_dir(world.root.join("mnt/v/..data")).unwrap().count(), 4);
}

#[test]
fn the_first_generation_of_a_selection_is_whole() {
    let (world, plan) = world(4);
    world.emulator.inject(Fault::status(403).on(CallKind::SecretGet).object("app-1"));
    let sidecar = world.run(&plan);
    until("it is told", || world.log().contains("KS405"));
    assert_eq!(sidecar.status()["ready"], false);
    world.emulator.clear_faults();
    assert!(sidecar.ready().status.success());
    assert_eq!(world.read("app-1"), "v1");
}
