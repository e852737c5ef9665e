//! Files that templates make of others.

use crate::support::{CANARY, TestEnv, stderr, until};
use keysluice_emulator::{CallKind, Fault};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs;

const TEXT: &str = "DB={{ files[\"db\"] | dotenv }}\nAPI={{ files.api | json }}\n";

fn plan(env: &TestEnv, templates: &[(&str, &str)]) -> Value {
    let mut plan = env.plan(&[env.file("db", "db"), env.file("api", "api")]);
    let templates = templates
        .iter()
        .map(|(path, template)| json!({"path": path, "mode": "0440", "template": template}));
    plan["volumes"][0]["templates"] = templates.collect();
    plan
}

#[test]
fn a_template_is_written_with_the_files_it_is_made_of_and_follows_them() {
    let env = TestEnv::new();
    let sidecar = env.run_ready(&plan(&env, &[("conf/app.env", TEXT)]));
    assert_eq!(env.read("conf/app.env"), format!("DB='{CANARY}'\nAPI=\"second\"\n"));
    let before = fs::read_link(env.root.join("mnt/v/..data")).unwrap();
    assert!(sidecar.refresh().1);
    assert_eq!(fs::read_link(env.root.join("mnt/v/..data")).unwrap(), before);
    env.emulator.set_secret("shop", "db", "it's");
    assert!(sidecar.refresh().1);
    assert_eq!(env.read("conf/app.env"), "DB=\"it's\"\nAPI=\"second\"\n");
    // One generation has both: a reader never sees the file without what is made of it.
    let now = fs::read_link(env.root.join("mnt/v/..data")).unwrap();
    assert_eq!(fs::read_to_string(env.root.join("mnt/v").join(now).join("db")).unwrap(), "it's");
    let log = env.log();
    assert!(log.contains("conf/app.env from a template"), "{log}");
    assert!(!log.contains(CANARY) && !log.contains("it's"), "{log}");
}

#[test]
fn over_an_unreadable_object_the_last_value_stays() {
    let env = TestEnv::new();
    let sidecar = env.run_ready(&plan(&env, &[("app.env", TEXT)]));
    env.emulator.inject(Fault::status(403).on(CallKind::SecretGet).object("db"));
    env.emulator.set_secret("shop", "db", "unseen");
    env.emulator.set_secret("shop", "api", "third");
    assert!(!sidecar.refresh().1);
    assert_eq!(env.read("app.env"), format!("DB='{CANARY}'\nAPI=\"third\"\n"));
}

#[test]
fn a_template_that_cannot_be_filled_keeps_its_last_file_and_holds_up_no_other() {
    let env = TestEnv::new();
    let text = "{{ files.db | base64decode }}";
    env.emulator.set_secret("shop", "db", "Z29vZA==");
    let sidecar = env.run_ready(&plan(&env, &[("raw", text), ("app.env", TEXT)]));
    assert_eq!(env.read("raw"), "good");
    env.emulator.set_secret("shop", "db", "no base64");
    let (answer, well) = sidecar.refresh();
    assert!(!well);
    let error = &answer["volumes"][0]["error"];
    assert_eq!(error["code"], "KS681", "{answer}");
    assert_eq!(error["message"], "template raw: line 1: the filter base64decode needs base64");
    assert_eq!((env.read("raw").as_str(), env.read("db").as_str()), ("good", "no base64"));
    assert_eq!(env.read("app.env"), "DB='no base64'\nAPI=\"second\"\n");
    assert!(env.log().contains("KS681"), "{}", env.log());
    env.emulator.set_secret("shop", "db", "bmV3");
    let (answer, well) = sidecar.refresh();
    assert!(well, "{answer}");
    assert_eq!(env.read("raw"), "new");
}

#[test]
fn a_first_start_waits_for_a_template_and_says_why() {
    let env = TestEnv::new();
    let mut plan = plan(&env, &[("raw", "{{ files.db | base64decode }}")]);
    plan["startTimeoutSeconds"] = 2.into();
    let sidecar = env.run(&plan);
    let output = sidecar.ready();
    assert!(!output.status.success() && stderr(&output).contains("KS681"), "{output:?}");
    assert!(!env.root.join("mnt/v/db").exists());
    assert_eq!(sidecar.wait().code(), Some(1));
    assert!(env.termination_log().contains("KS681"), "{}", env.termination_log());
}

#[test]
fn a_restart_keeps_the_file_and_a_refresh_restores_a_lost_one() {
    let env = TestEnv::new();
    let plan = plan(&env, &[("app.env", TEXT)]);
    let sidecar = env.run_ready(&plan);
    let before = fs::read_link(env.root.join("mnt/v/..data")).unwrap();
    sidecar.signal(Signal::TERM);
    sidecar.wait();
    let sidecar = env.run_ready(&plan);
    assert_eq!(fs::read_link(env.root.join("mnt/v/..data")).unwrap(), before);
    fs::remove_file(env.root.join("mnt/v/..data/app.env")).unwrap();
    assert!(sidecar.refresh().1);
    until("the file is back", || env.root.join("mnt/v/app.env").exists());
    // A new template in the Plan of a new pod, on a volume that has none.
    sidecar.signal(Signal::TERM);
    sidecar.wait();
    let mut other = plan.clone();
    other["volumes"][0]["templates"][0]["path"] = "other.env".into();
    let _sidecar = env.run_ready(&other);
    until("the other file is there", || env.root.join("mnt/v/other.env").exists());
    assert!(!env.root.join("mnt/v/app.env").exists());
}

#[test]
fn a_restart_while_nothing_answers_keeps_the_links_of_templates() {
    let env = TestEnv::new();
    let plan = plan(&env, &[("app.env", TEXT)]);
    drop(env.run_ready(&plan));
    let expected = env.read("app.env");
    env.emulator.inject(Fault::status(503));
    let sidecar = env.run_ready(&plan);
    assert_eq!(env.read("app.env"), expected, "at once");
    assert!(!sidecar.refresh().1);
    assert_eq!(env.read("app.env"), expected, "after a round that failed");
}

#[test]
fn once_writes_templates_or_nothing() {
    let env = TestEnv::new();
    let output = env.output(&plan(&env, &[("app.env", TEXT)]), &["once"]);
    assert!(output.status.success(), "{output:?}");
    assert!(stderr(&output).contains("3 files, 3 changed"), "{output:?}");
    env.emulator.set_secret("shop", "db", "rotated");
    let broken = "{{ files.api }}{{ files.db | base64decode }}";
    let mut plan = plan(&env, &[("app.env", TEXT), ("raw", broken)]);
    plan["startTimeoutSeconds"] = 1.into();
    let output = env.output(&plan, &["once"]);
    assert!(output.status.code() == Some(1) && stderr(&output).contains("KS681"), "{output:?}");
    assert_eq!(env.read("app.env"), format!("DB='{CANARY}'\nAPI=\"second\"\n"));
}

#[test]
fn a_plan_with_a_broken_template_is_refused() {
    let env = TestEnv::new();
    let output = env.output(&plan(&env, &[("a", "{{ files.db")]), &["once"]);
    let text = stderr(&output);
    assert!(output.status.code() == Some(3) && text.contains("{{ has no }}"), "{output:?}");
}
