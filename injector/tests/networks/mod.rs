//! IPv6, two families, search domains and proxies, each in a network namespace of its own.

mod name_server;
mod namespace;

use crate::support::{TestEnv, stderr};
use name_server::{NameServer, Zone};
use namespace::{DEAD_V4, DEAD_V6, Families, LIVE_V4, LIVE_V6, enter, lay_over};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Output;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const ENTRA: &str = "login.microsoftonline.com";
const VAULT: &str = "shop.vault.azure.net";
/// As the kubelet writes it, with the search domain of a company.
const KUBELET: &str = "search shop.svc.cluster.local svc.cluster.local cluster.local corp.test\n\
    options ndots:5\n";

/// The emulator on all addresses, and a Plan with Azure's own names.
fn env() -> (TestEnv, Value) {
    let env = TestEnv::listening("[::]:0".parse().unwrap());
    let port = env.emulator.https_port();
    let mut plan = env.plan(&[env.file("db", "db")]);
    plan["startTimeoutSeconds"] = json!(8);
    plan["identities"][0]["scope"] = json!("https://vault.azure.net/.default");
    plan["identities"][0]["credential"]["authority"] = json!(format!("https://{ENTRA}:{port}/"));
    plan["volumes"][0]["files"][0]["vault"] = json!(format!("https://{VAULT}:{port}/"));
    (env, plan)
}

fn zone(entries: &[(&str, &[&str])]) -> Zone {
    let addresses = |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect();
    entries.iter().map(|(name, list)| ((*name).to_owned(), addresses(list))).collect()
}

/// A zone in which both hosts have these addresses.
fn both(addresses: &[&str]) -> Zone {
    zone(&[(ENTRA, addresses), (VAULT, addresses)])
}

fn once(env: &TestEnv, plan: &Value, variables: &[(&str, &str)]) -> Output {
    let mut command = env.command(plan, &["once"]);
    command.envs(variables.iter().copied()).output().unwrap()
}

#[track_caller]
fn assert_fetched(env: &TestEnv, output: &Output) {
    assert!(output.status.success(), "{}", stderr(output));
    assert_eq!(env.read("db"), crate::support::CANARY);
}

#[test]
fn a_pod_with_ipv6_alone_fetches() {
    if !enter("a_pod_with_ipv6_alone_fetches", Families::V6Only) {
        return;
    }
    let (env, plan) = env();
    let _server = NameServer::start("::1", both(&[LIVE_V6, DEAD_V4]));
    lay_over("/etc/resolv.conf", &env.root, &format!("nameserver ::1\n{KUBELET}"));
    assert_fetched(&env, &once(&env, &plan, &[]));
}

#[test]
fn of_two_families_the_one_that_answers_is_used_without_waiting_for_the_other() {
    let test = "of_two_families_the_one_that_answers_is_used_without_waiting_for_the_other";
    if !enter(test, Families::Both) {
        return;
    }
    let cases = [([DEAD_V4, LIVE_V6], "127.0.0.1"), ([LIVE_V4, DEAD_V6], "127.0.0.2")];
    // A file that is laid over another stays to the end.
    let cases = cases.map(|case| (env(), case));
    for ((env, plan), (addresses, name_server)) in &cases {
        let _server = NameServer::start(name_server, both(addresses));
        lay_over("/etc/resolv.conf", &env.root, &format!("nameserver {name_server}\n{KUBELET}"));
        let started = Instant::now();
        assert_fetched(env, &once(env, plan, &[]));
        // One of the two connections to a dead address alone would take 5 s.
        assert!(
            started.elapsed() < Duration::from_secs(4),
            "{addresses:?} {:?}",
            started.elapsed()
        );
    }
}

#[test]
fn a_name_is_asked_for_once_and_no_search_domain_answers_in_its_place() {
    let test = "a_name_is_asked_for_once_and_no_search_domain_answers_in_its_place";
    if !enter(test, Families::Both) {
        return;
    }
    let (env, plan) = env();
    let mut names = both(&[LIVE_V4]);
    names.extend(zone(&[("*.corp.test", &[DEAD_V4])]));
    let server = NameServer::start("127.0.0.1", names);
    lay_over("/etc/resolv.conf", &env.root, &format!("nameserver 127.0.0.1\n{KUBELET}"));
    assert_fetched(&env, &once(&env, &plan, &[]));
    // IPv4 and IPv6.
    assert_eq!(server.asked(), [ENTRA, ENTRA, VAULT, VAULT]);
}

#[test]
fn a_host_alias_of_the_pod_goes_before_the_name_server() {
    if !enter("a_host_alias_of_the_pod_goes_before_the_name_server", Families::Both) {
        return;
    }
    let (env, plan) = env();
    let server = NameServer::start("127.0.0.1", zone(&[(ENTRA, &[LIVE_V4]), (VAULT, &[DEAD_V4])]));
    lay_over("/etc/resolv.conf", &env.root, &format!("nameserver 127.0.0.1\n{KUBELET}"));
    lay_over("/etc/hosts", &env.root, &format!("127.0.0.1 localhost\n{LIVE_V4}\tother {VAULT}\n"));
    assert_fetched(&env, &once(&env, &plan, &[]));
    assert!(!server.asked().iter().any(|name| name.starts_with(VAULT)), "{:?}", server.asked());
}

#[test]
fn a_proxy_has_an_ipv6_address_or_a_name_of_the_cluster() {
    if !enter("a_proxy_has_an_ipv6_address_or_a_name_of_the_cluster", Families::V6Only) {
        return;
    }
    let (env, plan) = env();
    let names = zone(&[("proxy.egress.svc.cluster.local", &[LIVE_V6])]);
    let server = NameServer::start("::1", names);
    lay_over("/etc/resolv.conf", &env.root, &format!("nameserver ::1\n{KUBELET}"));
    let proxy = TcpListener::bind((LIVE_V6, 0)).unwrap();
    let port = proxy.local_addr().unwrap().port();
    let heads = serve_proxy(proxy, env.emulator.https_port());
    for url in [format!("http://[{LIVE_V6}]:{port}"), format!("http://proxy.egress.svc:{port}")] {
        std::fs::remove_dir_all(env.root.join("mnt/v")).unwrap();
        std::fs::create_dir(env.root.join("mnt/v")).unwrap();
        assert_fetched(&env, &once(&env, &plan, &[("HTTPS_PROXY", &url)]));
    }
    let connect = |host: &str| format!("CONNECT {host}:{} HTTP/1.1", env.emulator.https_port());
    let (entra, vault) = (connect(ENTRA), connect(VAULT));
    assert_eq!(*heads.lock().unwrap(), [&*entra, &*vault, &*entra, &*vault]);
    let asked = server.asked();
    assert!(asked.iter().all(|name| name.starts_with("proxy.egress.svc.")), "{asked:?}");
}

#[test]
fn a_proxy_that_does_not_answer_is_named() {
    if !enter("a_proxy_that_does_not_answer_is_named", Families::Both) {
        return;
    }
    let (env, plan) = env();
    lay_over("/etc/resolv.conf", &env.root, "nameserver 127.0.0.1\n");
    for (proxy, told) in [
        (format!("http://[{LIVE_V6}]:1"), "Connection refused"),
        (format!("http://u:canary@[{DEAD_V6}]:3128"), "no connection in time"),
        (format!("http://{DEAD_V4}:3128"), "no connection in time"),
    ] {
        let output = once(&env, &plan, &[("HTTPS_PROXY", &proxy)]);
        let shown = proxy.replace("u:canary@", "");
        let (log, expected) = (stderr(&output), format!("proxy {shown}: "));
        assert!(log.contains("KS417") && log.contains(&expected), "{proxy}: {log}");
        assert!(log.contains(told) && !log.contains("canary"), "{proxy}: {log}");
    }
}

/// Connects every CONNECT to the emulator, whatever its host; keeps the first lines.
fn serve_proxy(listener: TcpListener, port: u16) -> Arc<Mutex<Vec<String>>> {
    let heads: Arc<Mutex<Vec<String>>> = Arc::default();
    let kept = Arc::clone(&heads);
    thread::spawn(move || {
        for connection in listener.incoming().map_while(Result::ok) {
            let heads = Arc::clone(&heads);
            thread::spawn(move || tunnel(connection, port, &heads));
        }
    });
    kept
}

fn tunnel(mut client: TcpStream, port: u16, heads: &Mutex<Vec<String>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    heads.lock().unwrap().push(head.lines().next().unwrap().to_owned());
    let server = TcpStream::connect((LIVE_V6, port)).unwrap();
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
    let (from_client, to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    thread::spawn(move || pass(from_client, to_server));
    pass(server, client);
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}
