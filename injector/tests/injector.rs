//! The real binary against the emulator: TLS, tokens, refusals, rotation, crashes.

#![allow(clippy::unwrap_used)] // clippy exempts `#[test]` functions only, not what they call

mod changes;
mod content;
mod crash;
mod demands;
mod foreign;
mod gate;
mod hostile;
mod neighbours;
mod once;
mod outage;
mod renewal;
mod selected;
mod stranger;
mod support;

use keysluice_emulator::{CallKind, Fault, TokenClaims};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::{Duration, Instant};
use support::{CANARY, CLIENT, Mount, TestEnv, loudly, may_look_into, put, stderr, until};

#[test]
fn run_fetches_opens_the_gate_and_writes_what_the_plan_says() {
    let env = TestEnv::new();
    let mut key = env.file("keys/sign.pem", "sign");
    key["type"] = "key".into();
    let sidecar = env.run_ready(&env.plan(&[env.file("db", "db"), key]));
    assert_eq!(env.read("db"), CANARY);
    assert!(env.read("keys/sign.pem").starts_with("-----BEGIN PUBLIC KEY-----\n"));
    let status = sidecar.status();
    assert_eq!((&status["ready"], &status["failing"]), (&json!(true), &json!(0)));
    assert_eq!(status["volumes"][0]["files"][0]["version"].as_str().unwrap().len(), 32);
    assert!(status["volumes"][0]["generation"].as_str().unwrap().starts_with("..20"));
    let counts = env.emulator.counts();
    assert_eq!(
        (counts.tokens, counts.secret_gets, counts.key_gets, counts.status_401),
        (1, 1, 1, 0)
    );
}

#[test]
fn twenty_secrets_cost_one_token_and_twenty_gets() {
    let env = TestEnv::new();
    let names: Vec<String> = (0..20).map(|index| format!("s{index}")).collect();
    for name in &names {
        env.emulator.set_secret("shop", name, "value");
    }
    env.emulator.set_delay(Duration::from_millis(10));
    let files: Vec<Value> = names.iter().map(|name| env.file(name, name)).collect();
    let started = Instant::now();
    let sidecar = env.run_ready(&env.plan(&files));
    let counts = env.emulator.counts();
    println!("20 secrets at 10 ms: {} ms from exec to ready", started.elapsed().as_millis());
    let memory = fs::read_to_string(format!("/proc/{}/status", sidecar.child.id())).unwrap();
    println!(
        "{}",
        memory
            .lines()
            .filter(|line| line.starts_with("VmRSS") || line.starts_with("RssAnon"))
            .collect::<Vec<_>>()
            .join(" ")
    );
    assert_eq!((counts.tokens, counts.secret_gets, counts.status_401), (1, 20, 0));
}

#[test]
fn a_rotated_secret_is_replaced_without_a_restart() {
    let env = TestEnv::new();
    let sidecar = env.run_ready(&env.plan(&[env.file("db", "db"), env.file("api", "api")]));
    let before = fs::read_link(env.root.join("mnt/v/..data")).unwrap();
    assert!(sidecar.refresh().1);
    assert_eq!(
        fs::read_link(env.root.join("mnt/v/..data")).unwrap(),
        before,
        "nothing changed, nothing is rewritten"
    );
    let version = env.emulator.set_secret("shop", "db", "rotated");
    let (answer, well) = sidecar.refresh();
    assert!(well);
    assert_eq!(answer["volumes"][0]["files"][0]["version"], version.as_str());
    assert_eq!((env.read("db").as_str(), env.read("api").as_str()), ("rotated", "second"));
    env.emulator.set_secret("shop", "api", "by signal");
    sidecar.signal(Signal::HUP);
    until("SIGHUP refreshes", || env.read("api") == "by signal");
}

#[test]
fn an_interval_refreshes_by_itself() {
    let env = TestEnv::new();
    let mut plan = env.plan(&[env.file("db", "db")]);
    plan["volumes"][0]["refreshIntervalSeconds"] = 1.into();
    let _sidecar = env.run_ready(&plan);
    let changed = Instant::now();
    env.emulator.set_secret("shop", "db", "rotated");
    until("the interval passes", || env.read("db") == "rotated");
    // Far less than any time-out or other interval, far more than a busy machine needs.
    assert!(changed.elapsed() < Duration::from_secs(10), "{:?}", changed.elapsed());
}

#[test]
fn a_failing_object_keeps_its_last_good_file_while_others_update() {
    let env = TestEnv::new();
    let sidecar = env.run_ready(&env.plan(&[env.file("db", "db"), env.file("api", "api")]));
    for (fault, code) in [
        (Fault::status(403), "KS405"),
        (Fault::status(404), "KS404"),
        (Fault::status(500), "KS408"),
        (Fault::truncate(), "KS413"),
        (Fault::reset(), "KS411"),
    ] {
        env.emulator.inject(fault.on(CallKind::SecretGet).object("db"));
        env.emulator.set_secret("shop", "db", "unseen");
        env.emulator.set_secret("shop", "api", code);
        let (answer, well) = sidecar.refresh();
        env.emulator.clear_faults();
        assert!(!well);
        let error = &answer["volumes"][0]["files"][0]["error"];
        assert_eq!(error["code"], code, "{error}");
        assert!(
            error["message"]
                .as_str()
                .unwrap()
                .starts_with("secret \"db\" in https://shop.vault.localhost"),
            "{error}"
        );
        assert_eq!((env.read("db").as_str(), env.read("api").as_str()), (CANARY, code));
    }
    assert!(sidecar.refresh().1);
    assert_eq!(env.read("db"), "unseen");
}

#[test]
fn a_vault_that_is_down_at_start_is_waited_for_with_its_reason() {
    let env = TestEnv::new();
    env.emulator.inject(Fault::status(503).on(CallKind::SecretGet).times(3));
    let sidecar = env.run(&env.plan(&[env.file("db", "db")]));
    let output = sidecar.ready();
    assert!(output.status.success());
    assert!(
        stderr(&output).starts_with("waiting: KS408 secret \"db\" in https://shop.vault.localhost"),
        "{}",
        stderr(&output)
    );
    assert_eq!(stderr(&output).lines().count(), 1, "each reason once");
    assert_eq!(env.emulator.counts().tokens, 1);
}

#[test]
fn the_start_timeout_ends_with_code_cause_and_fix() {
    let env = TestEnv::new();
    let cases: &[(&str, Value, &str)] = &[
        ("/volumes/0/files/0/name", json!("absent"), "KS404 secret \"absent\""),
        ("/volumes/0/files/0/name", json!("off"), "KS406 secret \"off\""),
        (
            "/volumes/0/files/0/vault",
            json!("https://shop.vault.localhost:1/"),
            "KS411 secret \"db\" in https://shop.vault.localhost:1/",
        ),
        ("/trustedCa", Value::Null, "KS410 identity \"a\""),
        (
            "/identities/0/credential/authority",
            json!("https://login.localhost:1/"),
            "KS312 identity \"a\"",
        ),
        (
            "/identities/0/credential/tokenFile",
            json!("/absent"),
            "KS301 identity \"a\": token file",
        ),
    ];
    for (pointer, value, expected) in cases {
        let mut plan = env.plan(&[env.file("db", "db")]);
        plan["startTimeoutSeconds"] = 1.into();
        *plan.pointer_mut(pointer).unwrap() = value.clone();
        let sidecar = env.run(&plan);
        let gate = sidecar.ready();
        assert_eq!(sidecar.wait().code(), Some(1), "{expected}");
        let text = env.termination_log();
        assert!(
            text.starts_with(expected)
                && text.contains("(gave up after 1 s)\ncause: ")
                && text.contains("\nfix: "),
            "{text}"
        );
        assert!(
            gate.status.code() == Some(1) && stderr(&gate).contains(expected),
            "{}",
            stderr(&gate)
        );
        assert!(
            fs::read_dir(env.root.join("mnt/v")).unwrap().next().is_none(),
            "nothing partial on the volume"
        );
    }
}

#[test]
fn what_can_never_work_ends_at_once_with_3() {
    let env = TestEnv::new();
    let cases: &[(&str, Value, &str)] = &[
        (
            "/identities/0/credential/clientId",
            json!("33333333-3333-3333-3333-333333333333"),
            "KS306 identity",
        ),
        (
            "/identities/0/credential/tenantId",
            json!("33333333-3333-3333-3333-333333333333"),
            "KS307 identity",
        ),
        ("/identities/0/credential/authority", json!("http://login.localhost/"), "KS315 identity"),
        (
            "/volumes/0/files/0",
            json!({"path": "k", "mode": "0644", "identity": "a", "vault": "https://kv/", "type": "key", "name": "k", "part": "cert"}),
            "KS425 key \"k\"",
        ),
        ("/identities/0/scope", json!("https://vault.azure.net/.default"), "KS414 secret \"db\""),
        ("/volumes/0/files/0/vault", json!("https://stranger.example/"), "KS414 secret \"db\""),
        ("/volumes/0/directory", json!("/mnt/absent"), "KS502 volume"),
        ("/trustedCa", json!("x"), "KS606 trustedCa"),
    ];
    for (pointer, value, expected) in cases {
        let mut plan = env.plan(&[env.file("db", "db")]);
        *plan.pointer_mut(pointer).unwrap() = value.clone();
        let sidecar = env.run(&plan);
        assert_eq!(sidecar.wait().code(), Some(3), "{expected}: {}", env.log());
        let text = env.termination_log();
        assert!(text.starts_with(expected), "{text}");
    }
}

#[test]
fn a_volume_that_is_gone_at_the_first_commit_ends_it_at_once_with_3() {
    let env = TestEnv::new();
    let mut plan = env.plan(&[env.file("db", "absent")]);
    plan.as_object_mut().unwrap().remove("startTimeoutSeconds");
    let sidecar = env.run(&plan);
    until("the volume is open", || env.log().contains("KS404"));
    fs::remove_dir(env.root.join("mnt/v")).unwrap();
    env.emulator.set_secret("shop", "absent", "now it is there");
    sidecar.signal(Signal::HUP);
    assert_eq!(sidecar.wait().code(), Some(3), "{}", env.log());
    assert!(env.termination_log().starts_with("KS502 "), "{}", env.termination_log());
}

#[test]
fn a_known_cause_is_told_while_another_request_hangs() {
    let env = TestEnv::new();
    env.emulator.inject(Fault::delay(Duration::from_secs(8)).on(CallKind::SecretGet).object("api"));
    let mut plan = env.plan(&[env.file("api", "api"), env.file("db", "absent")]);
    plan["startTimeoutSeconds"] = 1.into();
    let sidecar = env.run(&plan);
    let gate = stderr(&sidecar.ready());
    assert_eq!(sidecar.wait().code(), Some(1));
    assert!(
        env.termination_log().starts_with("KS404 secret \"absent\""),
        "{}",
        env.termination_log()
    );
    assert!(gate.starts_with("waiting: KS404 "), "{gate}");
    let once = stderr(&env.output(&plan, &["once"]));
    assert!(once.contains("KS404") && !once.contains("KS603"), "{once}");
    // What can never work does not wait for it either.
    let mut unknown = plan["identities"][0].clone();
    unknown["name"] = "unknown".into();
    unknown["credential"]["clientId"] = "33333333-3333-3333-3333-333333333333".into();
    plan["identities"].as_array_mut().unwrap().push(unknown);
    plan["volumes"][0]["files"][1]["identity"] = "unknown".into();
    plan["startTimeoutSeconds"] = 20.into();
    let started = Instant::now();
    let sidecar = env.run(&plan);
    assert_eq!(sidecar.wait().code(), Some(3), "{}", env.log());
    assert!(env.termination_log().starts_with("KS306 "), "{}", env.termination_log());
    assert_eq!(env.output(&plan, &["once"]).status.code(), Some(3));
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[test]
fn a_wrong_subject_is_told_with_the_subject() {
    let env = TestEnv::new();
    env.write_token(&env.emulator.mint_token(
        "shop",
        "other",
        "api://AzureADTokenExchange",
        Duration::from_secs(600),
    ));
    let mut plan = env.plan(&[env.file("db", "db")]);
    plan["startTimeoutSeconds"] = 1.into();
    let output = env.output(&plan, &["once"]);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains("\"code\":\"KS303\"") && text.contains("system:serviceaccount:shop:other"),
        "{text}"
    );
    assert!(env.emulator.counts().tokens > 1, "a credential may not be known everywhere yet");
}

#[test]
fn the_token_file_is_read_afresh_for_each_request() {
    let env = TestEnv::new();
    for garbage in ["", "\n", "garbage", "a.b"] {
        env.write_token(garbage);
        let output = env.output(&env.plan(&[env.file("db", "db")]), &["once"]);
        let text = stderr(&output);
        assert!(
            output.status.code() == Some(1) && text.contains("KS302") && text.contains("/token"),
            "{text}"
        );
    }
    let sidecar = env.run(&env.plan(&[env.file("db", "db")]));
    until("the reason is logged", || env.log().contains("KS302"));
    env.write_token(&format!("{}\n", env.token));
    assert!(sidecar.ready().status.success());
    assert_eq!(env.read("db"), CANARY);
}

#[test]
fn an_expired_token_is_read_again_once_and_named() {
    let env = TestEnv::new();
    let mut claims = TokenClaims::new("shop", "web");
    (claims.issued_at, claims.not_before, claims.expires) =
        (1_000_000_000, 1_000_000_000, 1_000_003_600);
    env.write_token(&env.emulator.mint(claims));
    let output = env.output(&env.plan(&[env.file("db", "db")]), &["once"]);
    let text = stderr(&output);
    assert!(
        text.contains("KS305") && text.contains("exp 1000003600") && text.contains("clocks"),
        "{text}"
    );
    assert_eq!((output.status.code(), env.emulator.counts().tokens), (Some(1), 2));
}

#[test]
fn a_missing_role_is_told_and_a_later_one_is_enough() {
    let env = TestEnv::new();
    env.emulator.revoke("shop", CLIENT).unwrap();
    let sidecar = env.run(&env.plan(&[env.file("db", "db")]));
    until("it is refused", || env.log().contains("KS402"));
    let role = json!({"clientId": CLIENT, "secrets": ["get"]});
    env.emulator.grant("shop", serde_json::from_value(role).unwrap()).unwrap();
    let output = sidecar.ready();
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn managed_identity_needs_no_token_file() {
    let env = TestEnv::new();
    let mut plan = env.plan(&[env.file("db", "db")]);
    plan["identities"][0]["credential"] = json!({
        "kind": "managedIdentity", "clientId": "22222222-2222-2222-2222-222222222222", "endpoint": env.emulator.imds_url()});
    let output = env.output(&plan, &["once"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(env.read("db"), CANARY);
    assert_eq!((env.emulator.counts().imds, env.emulator.counts().tokens), (1, 0));
}

#[test]
fn sigterm_ends_quickly() {
    let env = TestEnv::new();
    let sidecar = env.run_ready(&env.plan(&[env.file("db", "db")]));
    let started = Instant::now();
    sidecar.signal(Signal::TERM);
    assert_eq!(sidecar.wait().code(), Some(0));
    let took = started.elapsed();
    println!("SIGTERM to exit: {took:?}");
    assert!(took < Duration::from_millis(250), "{took:?}");
    assert_eq!(env.termination_log(), "");
    // Before it is ready it leaves its reason behind, also while another request hangs.
    env.emulator.inject(Fault::status(403).on(CallKind::SecretGet).object("db"));
    env.emulator
        .inject(Fault::delay(Duration::from_secs(3600)).on(CallKind::SecretGet).object("api"));
    fs::remove_dir_all(env.root.join("mnt/v")).unwrap();
    fs::create_dir(env.root.join("mnt/v")).unwrap();
    let sidecar = env.run(&env.plan(&[env.file("db", "db"), env.file("api", "api")]));
    until("it failed", || env.log().contains("KS405"));
    let started = Instant::now();
    sidecar.signal(Signal::TERM);
    assert_eq!(sidecar.wait().code(), Some(0));
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    assert!(env.termination_log().starts_with("KS405 "), "{}", env.termination_log());
}

#[test]
fn a_restart_with_the_vault_down_is_ready_with_the_last_good_files() {
    let env = TestEnv::new();
    let plan = env.plan(&[env.file("db", "db")]);
    drop(env.run_ready(&plan));
    let before = fs::read_link(env.root.join("mnt/v/..data")).unwrap();
    env.emulator.inject(Fault::reset());
    let sidecar = env.run_ready(&plan);
    assert_eq!(env.read("db"), CANARY);
    until("it failed", || sidecar.status()["failing"] == 1);
    env.emulator.clear_faults();
    assert!(sidecar.refresh().1);
    assert_eq!(
        fs::read_link(env.root.join("mnt/v/..data")).unwrap(),
        before,
        "the same bytes are not rewritten"
    );
}

#[test]
fn no_value_and_no_token_is_seen_outside_the_volume() {
    let env = TestEnv::new();
    let plan = env.plan(&[env.file("db", "db"), env.file("api", "api")]);
    let sidecar = env.run_ready(&plan);
    env.emulator.set_secret("shop", "db", format!("{CANARY}-2"));
    let mut seen = sidecar.refresh().0.to_string();
    for fault in [Fault::status(400), Fault::truncate(), Fault::status(401)] {
        env.emulator.inject(fault.on(CallKind::SecretGet).object("db"));
        seen += &sidecar.refresh().0.to_string();
        env.emulator.clear_faults();
    }
    let mut bad = plan.clone();
    bad["volumes"][0]["files"][0]["encoding"] = "hex".into();
    seen += &stderr(&env.output(&bad, &["once"]));
    for name in ["cmdline", "environ"] {
        // Only for root, since the process is not dumpable.
        match fs::read(format!("/proc/{}/{name}", sidecar.child.id())) {
            Ok(bytes) => seen += &String::from_utf8_lossy(&bytes),
            Err(error) => loudly("what a process shows of itself", &error.to_string()),
        }
    }
    seen += &sidecar.status().to_string();
    seen += &env.log();
    for entry in fs::read_dir(env.root.join("run/keysluice")).unwrap() {
        seen += &fs::read_to_string(entry.unwrap().path()).unwrap_or_default();
    }
    assert!(seen.contains("KS422") && seen.contains("KS401"), "{seen}");
    // The middle of a value, hexadecimal or as numbers, the tokens, and what every JSON web token
    // starts with.
    for secret in ["s3cret", "73336372", "115, 51, 99", env.token.as_str(), "eyJ"] {
        assert!(!seen.contains(secret), "{secret} in {seen}");
    }
}

#[test]
fn wrong_usage_is_2_and_a_bad_plan_is_3() {
    let env = TestEnv::new();
    let plan = env.plan(&[]);
    let run = |arguments: &[&str], plan: Option<&str>| {
        let mut command = env.command(&json!(null), arguments);
        command.env_remove("KEYSLUICE_PLAN");
        if let Some(plan) = plan {
            command.env("KEYSLUICE_PLAN", plan);
        }
        let output = command.output().unwrap();
        (output.status.code().unwrap(), stderr(&output))
    };
    let (code, text) = run(&["run"], None);
    assert!(code == 2 && text.contains("KS602"), "{text}");
    let (code, text) = run(&["run", "--plan", "/x"], Some(&plan.to_string()));
    assert!(code == 2 && text.contains("KS602"), "{text}");
    let (code, text) = run(&["once", "--plan", "/does/not/exist"], None);
    assert!(code == 3 && text.contains("KS601") && text.contains("/does/not/exist"), "{text}");
    assert_eq!(run(&["fly"], None).0, 2);
    assert_eq!(run(&["--version"], None).0, 0);
    let mut unknown = plan.clone();
    unknown["colour"] = "red".into();
    for command in ["run", "once", "ready", "status", "refresh"] {
        let (code, text) = run(&[command], Some(&unknown.to_string()));
        assert!(code == 3 && text.contains("unknown field `colour`"), "{command}: {text}");
        assert_eq!(run(&[command], Some("{")).0, 3);
    }
}

#[test]
fn names_below_localhost_are_never_proxied() {
    let env = TestEnv::new();
    let mut command = env.command(&env.plan(&[env.file("db", "db")]), &["once"]);
    let output = command
        .env("HTTPS_PROXY", "http://127.0.0.1:1")
        .env("NO_PROXY", "example.org")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let output = command.env("HTTPS_PROXY", "http://[bad").output().unwrap();
    assert!(
        output.status.code() == Some(3) && stderr(&output).contains("KS607"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn other_names_go_through_the_proxy_and_are_resolved_there() {
    let env = TestEnv::new();
    let proxy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut plan = env.plan(&[env.file("db", "db")]);
    plan["startTimeoutSeconds"] = 1.into();
    plan["identities"][0]["credential"]["authority"] = "https://login.example.invalid/".into();
    let address = format!("http://{}", proxy.local_addr().unwrap());
    let mut once = env
        .command(&plan, &["once"])
        .env("HTTPS_PROXY", address)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut request = [0; 45];
    std::io::Read::read_exact(&mut proxy.accept().unwrap().0, &mut request).unwrap();
    assert!(request.starts_with(b"CONNECT login.example.invalid:443 HTTP/1.1\r\n"));
    drop(proxy);
    assert_eq!(once.wait().unwrap().code(), Some(1));
}

#[test]
fn exceptions_from_the_proxy_are_those_of_go() {
    let env = TestEnv::new();
    let mut plan = env.plan(&[env.file("db", "db")]);
    plan["startTimeoutSeconds"] = 1.into();
    plan["identities"][0]["credential"]["authority"] = "https://login.example.invalid/".into();
    for (name, value, direct) in [
        ("NO_PROXY", "*.example.invalid", true),
        ("no_proxy", "login.example.invalid:443", true),
        ("NO_PROXY", "login.example.invalid:8443", false),
        ("NO_PROXY", "other.invalid", false),
    ] {
        let output = env
            .command(&plan, &["once"])
            .env("HTTPS_PROXY", "127.0.0.1:1")
            .env(name, value)
            .output()
            .unwrap();
        let text = stderr(&output);
        assert_eq!(text.contains("does not resolve"), direct, "{value}: {text}");
        assert_eq!(text.contains("refused"), !direct, "{value}: {text}");
    }
}

#[test]
fn files_that_share_an_object_share_its_get() {
    let env = TestEnv::new();
    let mut decoded = env.file("hex", "api");
    env.emulator.set_secret("shop", "api", "6869");
    decoded["encoding"] = "hex".into();
    let _sidecar = env.run_ready(&env.plan(&[env.file("raw", "api"), decoded]));
    assert_eq!((env.read("raw").as_str(), env.read("hex").as_str()), ("6869", "hi"));
    assert_eq!(env.emulator.counts().secret_gets, 1);
}

#[test]
fn an_idle_sidecar_sleeps_without_connections() {
    let env = TestEnv::new();
    let sidecar = env.run_ready(&env.plan(&[env.file("db", "db")]));
    let id = sidecar.child.id();
    if !may_look_into(id) {
        return;
    }
    let sockets = || {
        let targets = fs::read_dir(format!("/proc/{id}/fd"))
            .unwrap()
            .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
        targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
    };
    // The control socket, and tokio's pair for signals, one end of it twice.
    until("connections are closed", || sockets() <= 4);
    let switches = || {
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))
            .unwrap()
            .trim()
            .to_owned()
    };
    let before = switches();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(switches(), before, "no wake-up");
}

#[test]
fn clients_that_gave_up_or_say_nothing_leave_no_connection_behind() {
    let env = TestEnv::new();
    let mut plan = env.plan(&[env.file("db", "absent")]);
    plan["startTimeoutSeconds"] = 300.into();
    let sidecar = env.run(&plan);
    until("it failed", || env.log().contains("KS404"));
    let id = sidecar.child.id();
    if !may_look_into(id) {
        return;
    }
    let files = || fs::read_dir(format!("/proc/{id}/fd")).unwrap().count();
    let idle = files();
    for _ in 0..10 {
        assert_eq!(env.output(&plan, &["ready", "--timeout", "0"]).status.code(), Some(1));
    }
    // Half of ten: connections to the vault come and go too.
    until("gates are let go", || files() < idle + 5);
    let socket = env.root.join("run/keysluice/control.sock");
    let _silent: Vec<_> = (0..10).map(|_| UnixStream::connect(&socket).unwrap()).collect();
    until("they are accepted", || files() >= idle + 5);
    until("they are let go", || files() < idle + 5);
}

#[test]
fn numbers_of_any_size_end_no_process_by_accident() {
    let env = TestEnv::new();
    let mut plan = env.plan(&[env.file("db", "db")]);
    plan["volumes"][0]["refreshIntervalSeconds"] = u64::MAX.into();
    fs::create_dir_all(env.root.join("run/keysluice")).unwrap();
    let state =
        json!({env.emulator.vault_url("shop"): u64::MAX, env.emulator.authority(): u64::MAX});
    put(&env.root.join("run/keysluice/throttle.json"), state.to_string().as_bytes());
    let sidecar = env.run_ready(&plan);
    assert!(sidecar.refresh().1);
    let output = env.output(&plan, &["ready", "--timeout", "18446744073709551615"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    plan["startTimeoutSeconds"] = u64::MAX.into();
    let output = env.output(&plan, &["once"]);
    assert!(
        output.status.code() == Some(3) && stderr(&output).contains("KS601"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn an_empty_volume_is_ready_without_a_request() {
    let env = TestEnv::new();
    let _sidecar = env.run_ready(&env.plan(&[]));
    assert!(env.root.join("mnt/v/..data").is_dir());
    assert_eq!((env.emulator.counts().tokens, env.emulator.counts().secret_gets), (0, 0));
}

#[test]
fn the_previous_generation_goes_after_ten_seconds() {
    let env = TestEnv::new();
    let sidecar = env.run_ready(&env.plan(&[env.file("db", "db")]));
    let previous =
        env.root.join("mnt/v").join(fs::read_link(env.root.join("mnt/v/..data")).unwrap());
    env.emulator.set_secret("shop", "db", "rotated");
    let before = Instant::now();
    sidecar.refresh();
    assert!(previous.join("db").exists());
    until("the previous generation goes", || !previous.exists());
    assert!(before.elapsed() >= Duration::from_secs(10));
}

/// Needs root; elsewhere the unit test with a simulated limit has to do.
#[test]
fn a_full_tmpfs_keeps_the_last_good_generation() {
    let env = TestEnv::new();
    let volume = env.root.join("mnt/v");
    let Some(_mount) = Mount::tmpfs(&volume, "64k") else {
        return loudly("a full tmpfs", "mounting a tmpfs is not permitted here");
    };
    env.emulator.set_secret("shop", "db", "1".repeat(20_000));
    let sidecar = env.run_ready(&env.plan(&[env.file("db", "db"), env.file("api", "api")]));
    for digit in ["2", "3", "4"] {
        env.emulator.set_secret("shop", "db", digit.repeat(20_000));
        assert!(sidecar.refresh().1, "generations that linger make room");
        assert_eq!(env.read("db"), digit.repeat(20_000));
    }
    env.emulator.set_secret("shop", "db", "5".repeat(20_000));
    env.emulator.set_secret("shop", "api", "5".repeat(25_000));
    let (answer, _) = sidecar.refresh();
    let (db, api) = (env.read("db"), env.read("api"));
    let generations = fs::read_dir(&volume)
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("..2"))
        .count();
    assert_eq!(answer["volumes"][0]["error"]["code"], "KS501", "{answer}");
    assert!(answer["volumes"][0]["error"]["hint"].as_str().unwrap().contains("sizeLimit"));
    assert_eq!((db, api.as_str(), generations), ("4".repeat(20_000), "second", 1));
}
