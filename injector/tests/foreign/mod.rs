//! Answers that are not Key Vault's, Entra's or IMDS's: they blame no role, policy, name or
//! identity; and refusals of Entra that pass.

use crate::support::{CANARY, TestEnv, stderr, until};
use keysluice_emulator::{CallKind, Fault};
use serde_json::{Value, json};

const PAGE: &str = "<!DOCTYPE html>\n<html><body>blocked by policy</body></html>";

fn impatient(env: &TestEnv) -> Value {
    let mut plan = env.plan(&[env.file("db", "db")]);
    plan["startTimeoutSeconds"] = 1.into();
    plan
}

/// Exit code and stderr of `once` while every call of this kind is answered so.
fn once(env: &TestEnv, plan: &Value, kind: CallKind, fault: Fault) -> (Option<i32>, String) {
    env.emulator.clear_faults();
    env.emulator.inject(fault.on(kind));
    let output = env.output(plan, &["once"]);
    (output.status.code(), stderr(&output))
}

#[test]
fn somebody_elses_answer_for_the_vault_blames_no_role_and_no_name() {
    let env = TestEnv::new();
    let plan = impatient(&env);
    let (html, json) = ("text/html; charset=utf-8", "application/json");
    let page = |status| Fault::answer(status, html, PAGE);
    for (fault, code, told) in [
        (page(403), "KS413", "403 text/html \\\"blocked by policy\\\""),
        (page(404), "KS413", "404 text/html"),
        (page(401), "KS413", "401 text/html"),
        (page(200), "KS413", "200 text/html \\\"blocked by policy"),
        (page(407), "KS413", "407 text/html"),
        (page(511), "KS413", "511 text/html"),
        (page(400), "KS413", "400 text/html"),
        (page(502), "KS408", "502 text/html"),
        (page(429), "KS407", "429 text/html"),
        (Fault::answer(403, "", ""), "KS413", "403 is not an answer of Key Vault"),
        (Fault::answer(404, "", ""), "KS413", "404 is not an answer of Key Vault"),
        (Fault::answer(200, "", ""), "KS413", "200 is not an answer of Key Vault"),
        (
            Fault::answer(200, "text/plain", "canary"),
            "KS413",
            "200 text/plain is not an answer of Key Vault",
        ),
        (Fault::answer(204, "", ""), "KS413", "204"),
        (
            Fault::answer(403, json, r#"{"error": "access_denied"}"#),
            "KS413",
            "403 application/json",
        ),
        (
            Fault::answer(404, json, r#"{"statusCode": 404, "message": "Resource not found"}"#),
            "KS413",
            "404 application/json \\\"Resource not found\\\" is not an answer",
        ),
        (
            Fault::answer(404, json, r#"{"error": {"code": "ResourceNotFound"}}"#),
            "KS413",
            "404 application/json \\\"ResourceNotFound\\\" is not an answer",
        ),
        (
            Fault::answer(200, json, r#"{"status": "canary"}"#),
            "KS413",
            "the answer is not a secret",
        ),
        (
            Fault::answer(200, json, r#"["canary"]"#),
            "KS413",
            "200 application/json is not an answer",
        ),
        (
            Fault::redirect(301, "https://portal.example/login?canary"),
            "KS413",
            "301 that leads to https://portal.example is",
        ),
        (Fault::redirect(302, "/login?canary"), "KS413", "302 is not an answer"),
        (Fault::redirect(307, "https://portal.example"), "KS413", "307 that leads to"),
        (Fault::redirect(308, "https://portal.example"), "KS413", "308 that leads to"),
    ] {
        let (exit, text) = once(&env, &plan, CallKind::SecretGet, fault.clone());
        let code = format!("\"code\":\"{code}\"");
        assert!(
            exit == Some(1) && text.contains(&code) && text.contains(told),
            "{fault:?}: {text}"
        );
        for blamed in ["role", "polic", "name and", "canary"] {
            assert!(
                !text.replace("blocked by policy", "").contains(blamed),
                "{fault:?} {blamed}: {text}"
            );
        }
    }
    // Nothing is said of a token either: it is not renewed for a 401 of a stranger.
    env.emulator.clear_faults();
    env.emulator.reset_counts();
    once(&env, &plan, CallKind::SecretGet, page(401));
    assert_eq!(env.emulator.counts().tokens, 1);
}

/// A proxy that transforms answers sets 203; a cache may set 206.
#[test]
fn an_answer_with_another_status_shows_nothing_of_its_value_anywhere() {
    let env = TestEnv::new();
    let plan = impatient(&env);
    let vault = r#"{"value": "canary", "id": "https://kv/secrets/db/1", "attributes": {}}"#;
    let entra = r#"{"token_type": "Bearer", "expires_in": 3599, "access_token": "canary"}"#;
    for (kind, body) in [(CallKind::SecretGet, vault), (CallKind::Token, entra)] {
        for status in [201, 203, 206, 403, 404, 500] {
            env.emulator.clear_faults();
            env.emulator.inject(Fault::answer(status, "application/json", body).on(kind));
            let sidecar = env.run(&plan);
            let gate = stderr(&sidecar.ready());
            sidecar.wait();
            for text in [gate, env.log(), env.termination_log()] {
                let expected = format!("{status} application/json is n");
                assert!(text.contains(&expected) && !text.contains("canary"), "{text}");
            }
        }
    }
}

#[test]
fn an_interceptor_that_goes_away_costs_no_start_and_no_optional_file() {
    let env = TestEnv::new();
    let mut maybe = env.file("maybe", "api");
    maybe["optional"] = true.into();
    let plan = env.plan(&[env.file("db", "db"), maybe]);
    env.emulator.inject(Fault::answer(404, "text/html", PAGE).on(CallKind::SecretGet).times(3));
    assert!(env.output(&plan, &["once"]).status.success());
    env.emulator
        .inject(Fault::redirect(302, "https://portal.example").on(CallKind::SecretGet).times(2));
    let sidecar = env.run_ready(&plan);
    assert_eq!((env.read("db").as_str(), env.read("maybe").as_str()), (CANARY, "second"));
    env.emulator.inject(Fault::answer(404, "text/html", PAGE).on(CallKind::SecretGet));
    let (answer, well) = sidecar.refresh();
    assert!(!well && answer["volumes"][0]["files"][1]["error"]["code"] == "KS413", "{answer}");
    assert_eq!(env.read("maybe"), "second", "a page does not say that a secret is gone");
    env.emulator.clear_faults();
    let gateway = r#"{"error": {"code": "ResourceNotFound", "message": "no backend"}}"#;
    env.emulator.inject(Fault::answer(404, "application/json", gateway).on(CallKind::SecretGet));
    let (answer, well) = sidecar.refresh();
    assert!(!well && answer["volumes"][0]["files"][1]["error"]["code"] == "KS413", "{answer}");
    assert_eq!(env.read("maybe"), "second", "nor does the error of a gateway");
}

#[test]
fn somebody_elses_list_empties_no_selection() {
    let env = crate::content::env();
    let mut plan = env.plan(&[]);
    plan["volumes"][0]["selections"] = json!([{"mode": "0600", "identity": "a",
        "vault": env.emulator.vault_url("shop"), "namePrefix": "db"}]);
    let sidecar = env.run_ready(&plan);
    for fault in [
        Fault::answer(200, "application/json", r#"{"status": "ok"}"#),
        Fault::answer(200, "application/json", "{}"),
        Fault::answer(200, "text/html", PAGE),
        Fault::answer(403, "text/html", PAGE),
        Fault::answer(404, "", ""),
        Fault::redirect(302, "https://portal.example"),
    ] {
        env.emulator.inject(fault.clone().on(CallKind::List));
        let (answer, well) = sidecar.refresh();
        assert!(
            !well && answer["volumes"][0]["files"][0]["error"]["code"] == "KS413",
            "{fault:?}: {answer}"
        );
        assert_eq!(env.read("db"), CANARY, "{fault:?}");
        env.emulator.clear_faults();
    }
}

#[test]
fn somebody_elses_answer_for_entra_and_imds_blames_no_identity() {
    let env = TestEnv::new();
    let plan = impatient(&env);
    let mut managed = plan.clone();
    managed["identities"][0]["credential"] = json!({"kind": "managedIdentity",
        "clientId": "22222222-2222-2222-2222-222222222222", "endpoint": env.emulator.imds_url()});
    let page = |status| Fault::answer(status, "text/html", PAGE);
    let empty = || Fault::answer(200, "application/json", "{}");
    let value = || Fault::answer(200, "application/json", r#"{"token": "canary"}"#);
    for (plan, kind, fault, code) in [
        (&plan, CallKind::Token, page(200), "KS314"),
        (&plan, CallKind::Token, page(403), "KS314"),
        (&plan, CallKind::Token, page(404), "KS314"),
        (&plan, CallKind::Token, page(511), "KS314"),
        (&plan, CallKind::Token, page(503), "KS311"),
        (&plan, CallKind::Token, empty(), "KS314"),
        (&plan, CallKind::Token, value(), "KS314"),
        (&plan, CallKind::Token, Fault::redirect(302, "https://portal.example/x"), "KS314"),
        (&managed, CallKind::Imds, page(200), "KS319"),
        (&managed, CallKind::Imds, page(403), "KS319"),
        (&managed, CallKind::Imds, page(503), "KS322"),
        (&managed, CallKind::Imds, value(), "KS319"),
        (
            &managed,
            CallKind::Imds,
            Fault::answer(403, "text/plain", "network is unreachable"),
            "KS319",
        ),
    ] {
        let (exit, text) = once(&env, plan, kind, fault.clone());
        let code = format!("\"code\":\"{code}\"");
        assert!(
            exit == Some(1) && text.contains(&code) && text.contains("answer in its place"),
            "{fault:?}: {text}"
        );
        assert!(!text.contains("canary") && !text.contains("assign"), "{fault:?}: {text}");
    }
}

/// A refusal of Entra with this number.
fn refusal(code: u32, error: &str) -> Fault {
    let body = json!({"error": error, "error_codes": [code],
        "error_description": format!("AADSTS{code}: it failed. Trace ID: 1")});
    Fault::answer(400, "application/json", body.to_string()).on(CallKind::Token)
}

#[test]
fn refusals_of_entra_that_pass_are_asked_again_by_once_and_run() {
    let env = TestEnv::new();
    let plan = env.plan(&[env.file("db", "db")]);
    for code in [501_661, 90_061, 50_166, 700_213, 70_021, 90_033, 90_036, 90_006, 50_196, 700_027]
    {
        env.emulator.inject(refusal(code, "invalid_request").times(1));
        let output = env.output(&plan, &["once"]);
        assert!(output.status.success(), "{code}: {}", stderr(&output));
        env.emulator.inject(refusal(code, "invalid_request").times(1));
        drop(env.run_ready(&plan));
    }
}

#[test]
fn a_refusal_of_entra_names_what_it_is_about() {
    let env = TestEnv::new();
    let plan = impatient(&env);
    let issuer = "the token has issuer \\\"https://";
    for (code, exit, reason, told) in [
        (501_661, 1, "KS316", issuer),
        (90_061, 1, "KS316", "openid-configuration"),
        (700_222, 3, "KS317", issuer),
        (7_000_229, 3, "KS318", "az ad sp create"),
        (700_027, 1, "KS320", issuer),
        (50_058, 1, "KS313", "AADSTS"),
    ] {
        let (found, text) = once(&env, &plan, CallKind::Token, refusal(code, "invalid_client"));
        let reason = format!("\"code\":\"{reason}\"");
        assert!(
            found == Some(exit) && text.contains(&reason) && text.contains(told),
            "{code}: {text}"
        );
        let sidecar = env.run(&plan);
        assert_eq!(sidecar.wait().code(), Some(exit), "{code}: the same with run");
    }
    until("it is told", || env.log().contains("KS318"));
}
