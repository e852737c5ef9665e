use super::*;

fn refused(status: u16, code: &str, inner: Option<&str>, message: &str) -> Fault {
    let mut body = serde_json::json!({"error": {"code": code, "message": message}});
    if let Some(inner) = inner {
        body["error"]["innererror"] = serde_json::json!({"code": inner});
    }
    let kind = VaultErrorKind::parse(status, body.to_string().as_bytes()).unwrap();
    VaultError::Refused { status, kind, request_id: None, retry_after: None }
        .fault("secret \"db\" in https://kv.vault.azure.net/")
}

#[test]
fn refusals_are_told_apart() {
    for (status, code, inner, message, expected) in [
        (403, "Forbidden", Some("ForbiddenByRbac"), "Caller is not authorized", KS402),
        (403, "Forbidden", Some("AccessDenied"), "does not have secrets get permission", KS403),
        (403, "Forbidden", Some("ForbiddenByPolicy"), "", KS403),
        (403, "Forbidden", Some("ForbiddenByFirewall"), "", KS405),
        (403, "Forbidden", Some("ForbiddenByConnection"), "", KS405),
        (
            403,
            "Forbidden",
            None,
            "Client address is not authorized and caller is not a trusted service",
            KS405,
        ),
        (
            403,
            "Forbidden",
            Some("SecretDisabled"),
            "Operation get is not allowed on a disabled secret.",
            KS406,
        ),
        (404, "SecretNotFound", None, "", KS404),
        (429, "Throttled", None, "", KS407),
        (500, "InternalServerError", None, "", KS408),
        (503, "ServiceUnavailable", None, "", KS408),
        (400, "BadParameter", None, "", KS415),
    ] {
        assert_eq!(
            refused(status, code, inner, message).reason,
            expected,
            "{status} {code} {inner:?}"
        );
    }
}

#[test]
fn the_message_names_object_status_and_reason() {
    let text =
        refused(403, "Forbidden", Some("ForbiddenByRbac"), "Caller is not authorized\r\nmore")
            .to_string();
    let start = "KS402 secret \"db\" in https://kv.vault.azure.net/: 403 Forbidden \
        (ForbiddenByRbac): Caller is not authorized; hint: assign the role";
    assert!(text.starts_with(start), "{text}");
}

#[test]
fn the_message_names_the_caller_that_key_vault_names_in_a_later_line() {
    let ids = "appid=7d8cdf74-5a38-4b5e-9ee1-a86b8f7a14f0;oid=9a1b";
    let inner = Some("ForbiddenByRbac");
    let by_role = format!("Not authorized.\r\nWait.\r\nCaller: {ids};iss=https://x/\r\nA");
    let text = refused(403, "Forbidden", inner, &by_role).to_string();
    assert!(text.contains(&format!("(ForbiddenByRbac): Not authorized. Caller: {ids};")));
    let by_policy = format!("The application '{ids};iss=https://x/' has no permission");
    let text = refused(403, "Forbidden", Some("AccessDenied"), &by_policy).to_string();
    assert_eq!(text.matches("appid=").count(), 1, "{text}");
    for odd in ["appid=\u{1b}[31m;iss=", &format!("appid={}", "a".repeat(200))] {
        let text = refused(403, "Forbidden", inner, &format!("No.\r\n{odd}")).to_string();
        assert!(!text.contains("appid="), "{text}");
    }
}

#[test]
fn only_key_vaults_own_words_are_an_error_of_key_vault() {
    for body in [
        &b""[..],
        b"<html>blocked</html>",
        b"Forbidden",
        b"{}",
        b"null",
        b"[]",
        br#"{"error": "access_denied"}"#,
        br#"{"error": {}}"#,
        br#"{"error": {"code": ""}}"#,
        br#"{"error": {"code": 403, "message": "blocked by policy"}}"#,
        br#"{"statusCode": 404, "message": "Resource not found"}"#,
        br#"{"kind": "Status", "code": 403, "reason": "Forbidden"}"#,
        b"\xEF\xBB\xBF<html>",
        br#"{"error": {"code": "x", "message": "canary"}, "value": "canary"}"#,
    ] {
        assert_eq!(VaultErrorKind::parse(403, body), None, "{}", String::from_utf8_lossy(body));
    }
    assert!(VaultErrorKind::parse(403, br#"{"error": {"code": "Forbidden"}}"#).is_some());
}

#[test]
fn only_three_codes_say_that_an_object_does_not_exist() {
    for (code, expected) in [
        ("SecretNotFound", true),
        ("KeyNotFound", true),
        ("CertificateNotFound", true),
        ("ResourceNotFound", false),
        ("404", false),
        ("VaultNotFound", false),
        ("secretnotfound", false),
    ] {
        let body = serde_json::json!({"error": {"code": code, "message": "no"}}).to_string();
        let is_parsed = VaultErrorKind::parse(404, body.as_bytes()).is_some();
        assert_eq!(is_parsed, expected, "{code}");
        assert!(VaultErrorKind::parse(403, body.as_bytes()).is_some(), "{code}");
        assert!(VaultErrorKind::parse(203, body.as_bytes()).is_none(), "{code}");
    }
}

#[test]
fn each_kind_of_network_failure_has_its_code() {
    for (kind, code) in [
        (FailureKind::Dns, "KS409"),
        (FailureKind::Tls, "KS410"),
        (FailureKind::Connect, "KS411"),
        (FailureKind::Timeout, "KS412"),
    ] {
        let mut failure = Failure::too_long(1);
        failure.kind = kind;
        let fault = VaultError::Network(failure).fault("secret \"db\"");
        assert!(fault.to_string().starts_with(code), "{fault}");
    }
}

#[test]
fn a_second_401_says_what_the_vault_wants() {
    let challenge = Challenge {
        authorization: Some("https://u:canary@login/t".into()),
        resource: Some("https://v".into()),
    };
    let error = VaultError::Unauthorized {
        renewed: true,
        kind: VaultErrorKind::default(),
        scope: "https://w/.default".into(),
        challenge: Some(Box::new(challenge)),
    };
    let text = error.to_string();
    assert!(
        text.ends_with(
            "for scope https://w/.default; the vault wants authority https://login/t resource \
             https://v"
        ),
        "{text}"
    );
}

#[test]
fn a_foreign_resource_is_shown_without_a_password() {
    let (resource, host) = ("https://u:canary@evil.example".to_owned(), "kv.example".to_owned());
    let text = VaultError::ForeignChallenge { resource, host }.to_string();
    assert!(text.contains("\"https://evil.example\"") && !text.contains("canary"), "{text}");
}
