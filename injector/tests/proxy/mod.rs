//! Proxies and their exceptions.

use crate::support::{TestEnv, stderr};
use std::process::Stdio;

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
fn failures_of_the_proxy_name_it_and_not_its_password() {
    let env = TestEnv::new();
    let mut plan = env.plan(&[env.file("db", "db")]);
    plan["startTimeoutSeconds"] = 1.into();
    plan["identities"][0]["credential"]["authority"] = "https://login.example.invalid/".into();
    let proxy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = proxy.local_addr().unwrap();
    std::thread::spawn(move || {
        for connection in proxy.incoming() {
            let Ok(mut connection) = connection else { return };
            let _ = std::io::Read::read(&mut connection, &mut [0; 1024]);
            let _ = std::io::Write::write_all(
                &mut connection,
                b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
            );
        }
    });
    for (url, code, text) in [
        (
            "http://user:canary@127.0.0.1:1".to_owned(),
            "KS417",
            "proxy http://127.0.0.1:1: ".to_owned(),
        ),
        (
            "http://nowhere.invalid:3128".to_owned(),
            "KS417",
            "proxy http://nowhere.invalid:3128: ".to_owned(),
        ),
        (
            format!("http://user:canary@{address}"),
            "KS418",
            format!("proxy http://{address} refuses to connect: it answers 407"),
        ),
    ] {
        let output = env.command(&plan, &["once"]).env("HTTPS_PROXY", url).output().unwrap();
        let log = stderr(&output);
        assert!(log.contains(code) && log.contains(&text), "{text}: {log}");
        assert!(!log.contains("canary"), "{log}");
    }
}
