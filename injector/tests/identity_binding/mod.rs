//! AKS identity bindings: token requests to the token proxy, which the emulator plays.

use crate::support::{CANARY, TENANT, TestEnv, put, stderr, until};
use serde_json::{Value, json};
use std::fs;
use std::time::Duration;

const CLIENT: &str = "66666666-6666-6666-6666-666666666666";
const AUDIENCE: &str = "api://AKSIdentityBinding";
const SERVER_NAME: &str = "ab12.ests.aks";

/// An identity that is bound to the cluster, its token, and a Plan that asks the proxy.
fn env() -> (TestEnv, Value) {
    let env = TestEnv::new();
    let seed = json!({"apps": [{"clientId": CLIENT, "tenantId": TENANT, "kind": "managedIdentity",
        "federatedCredentials": [
            {"subject": "system:serviceaccount:shop:web", "audience": AUDIENCE}]}]});
    env.emulator.seed(serde_json::from_value(seed).unwrap()).unwrap();
    let role = json!({"clientId": CLIENT, "secrets": ["get"]});
    env.emulator.grant("shop", serde_json::from_value(role).unwrap()).unwrap();
    let token = env.emulator.mint_token("shop", "web", AUDIENCE, Duration::from_secs(3600));
    env.write_token(&token);
    put(&env.root.join("ca.crt"), env.emulator.ca_pem().as_bytes());
    let mut plan = env.plan(&[env.file("db", "db")]);
    plan["startTimeoutSeconds"] = json!(6);
    let port = env.emulator.https_port();
    let credential = &mut plan["identities"][0]["credential"];
    credential["clientId"] = json!(CLIENT);
    // Not asked.
    credential["authority"] = json!("https://login.nowhere.invalid/");
    credential["tokenProxy"] = json!({"url": format!("https://localhost:{port}/base"),
        "serverName": SERVER_NAME, "caFile": "/ca.crt"});
    (env, plan)
}

fn proxy(plan: &mut Value) -> &mut Value {
    &mut plan["identities"][0]["credential"]["tokenProxy"]
}

#[test]
fn the_token_proxy_is_asked_in_the_place_of_entra() {
    let (env, mut plan) = env();
    let port = env.emulator.https_port();
    for ca in [json!({"caFile": "/ca.crt"}), json!({"ca": env.emulator.ca_pem()}), json!({})] {
        let own = proxy(&mut plan);
        *own = json!({"url": format!("https://localhost:{port}/base"), "serverName": SERVER_NAME});
        own.as_object_mut().unwrap().extend(ca.as_object().unwrap().clone());
        let _ = fs::remove_dir_all(env.root.join("mnt/v"));
        fs::create_dir_all(env.root.join("mnt/v")).unwrap();
        // Entra and the vaults go through a proxy, the token proxy of the cluster does not.
        let mut command = env.command(&plan, &["once"]);
        let output = command.env("HTTPS_PROXY", "http://127.0.0.1:1").output().unwrap();
        assert!(output.status.success(), "{ca}: {}", stderr(&output));
        assert_eq!(env.read("db"), CANARY);
    }
    let asked = env.emulator.requests();
    let tokens: Vec<_> = asked.iter().filter(|request| request.path.ends_with("/token")).collect();
    assert_eq!(tokens.len(), 3);
    for request in tokens {
        // As the SDKs write them: the proxy's host, and its path before that of the request.
        assert_eq!(request.host, "localhost");
        assert_eq!(request.path, format!("/base/{TENANT}/oauth2/v2.0/token"));
    }
}

#[test]
fn what_is_wrong_has_a_code_of_its_own() {
    let (env, plan) = env();
    let other = rcgen::generate_simple_self_signed(vec!["other".to_owned()]).unwrap();
    put(&env.root.join("other.crt"), other.cert.pem().as_bytes());
    put(&env.root.join("empty.crt"), b"");
    let port = env.emulator.https_port();
    let set = |field: &str, value: Value| {
        let mut plan = plan.clone();
        proxy(&mut plan)[field] = value;
        plan
    };
    let as_client = |id: &str| {
        let mut plan = plan.clone();
        plan["identities"][0]["credential"]["clientId"] = json!(id);
        plan
    };
    let directly = {
        let mut plan = plan.clone();
        let credential = plan["identities"][0]["credential"].as_object_mut().unwrap();
        credential.remove("tokenProxy");
        credential.insert("authority".to_owned(), json!(env.emulator.authority()));
        plan
    };
    let url = format!("https://localhost:{port}/base");
    for (plan, code, text) in [
        (set("url", json!("https://localhost:1")), "KS441", "token proxy https://localhost:1: "),
        (set("caFile", json!("/other.crt")), "KS441", "invalid peer certificate"),
        (set("serverName", json!("ab12.evil.test")), "KS441", "not valid for name"),
        (set("url", json!("https://nowhere.invalid")), "KS441", "does not resolve"),
        (set("caFile", json!("/missing.crt")), "KS442", "missing.crt: No such file"),
        (set("caFile", json!("/empty.crt")), "KS442", "empty.crt: no certificate in it"),
        (set("ca", json!("x")), "KS601", "authorities both as a file and as data"),
        (set("url", json!("http://localhost")), "KS601", "is not an https URL with a host"),
        (set("serverName", Value::Null), "KS314", &*url),
        (as_client(crate::support::CLIENT), "KS443", "refuses client 11111111"),
        (directly, "KS304", "AADSTS700212"),
    ] {
        let output = env.output(&plan, &["once"]);
        let log = stderr(&output);
        assert!(!output.status.success(), "{code} {text}");
        assert!(log.contains(code) && log.contains(text), "{code} {text}: {log}");
    }
}

#[test]
fn both_ways_read_one_vault_in_one_pod_each_what_its_identity_may() {
    let (env, mut plan) = env();
    let token = env.root.join("of-pod");
    let of_pod = env.emulator.mint_token(
        "shop",
        "web",
        "api://AzureADTokenExchange",
        Duration::from_secs(3600),
    );
    put(&token, of_pod.as_bytes());
    let direct = json!({"kind": "federated", "clientId": crate::support::CLIENT, "tenantId": TENANT,
        "tokenFile": "/of-pod", "authority": env.emulator.authority()});
    let scope = plan["identities"][0]["scope"].clone();
    plan["identities"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "direct", "scope": scope, "credential": direct}));
    let mut second = env.file("api", "api");
    second["identity"] = json!("direct");
    plan["volumes"][0]["files"].as_array_mut().unwrap().push(second);
    let output = env.output(&plan, &["once"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!((&*env.read("db"), &*env.read("api")), (CANARY, "second"));
    // Without its role the one identity fails, and does not use the other's token.
    env.emulator.revoke("shop", CLIENT).unwrap();
    plan["startTimeoutSeconds"] = json!(1);
    let log = stderr(&env.output(&plan, &["once"]));
    assert!(log.contains(CLIENT) || log.contains("secret \\\"db\\\""), "{log}");
    assert!(!log.contains("secret \\\"api\\\""), "{log}");
}

#[test]
fn authorities_that_change_are_taken_without_a_restart() {
    let (env, plan) = env();
    put(&env.root.join("ca.crt"), b"");
    let mut plan = plan;
    plan["startTimeoutSeconds"] = json!(30);
    let sidecar = env.run(&plan);
    until("the empty file is refused", || env.log().contains("KS442"));
    put(&env.root.join("ca.crt"), env.emulator.ca_pem().as_bytes());
    let output = sidecar.ready();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(env.read("db"), CANARY);
}
