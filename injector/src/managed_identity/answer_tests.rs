use super::*;
use keysluice_plan::reason::{KS303, KS309, KS310};
use serde_json::{Value, json};

fn parts(answer: Answer, closes: bool) -> (String, Value) {
    let bytes = answer.into_bytes(closes);
    let text = std::str::from_utf8(&bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
    (head.to_owned(), serde_json::from_str(body).unwrap())
}

fn token() -> AccessToken {
    let at = Duration::from_secs;
    let times = Times { granted: at(100), renewal: at(3000), expiry: at(3700) };
    AccessToken::new("the-token".to_owned()).with_times(times)
}

#[test]
fn a_token_is_told_with_the_fields_of_each_protocol_as_strings() {
    let now = Moment { since_boot: Duration::from_secs(160), unix: 1_800_000_000 };
    let [(head, body), (_, imds_body)] = [Protocol::AppService, Protocol::Imds].map(|protocol| {
        parts(Answer::of_token(protocol, "id", "https://x/", &token(), now), false)
    });
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("Cache-Control: no-store"));
    assert!(!head.contains("Connection"), "{head}");
    let app_service = json!({"access_token": "the-token", "client_id": "id",
        "expires_on": "1800003540", "not_before": "1799999940", "resource": "https://x/",
        "token_type": "Bearer"});
    assert_eq!(body, app_service);
    let mut imds = app_service;
    (imds["expires_in"], imds["ext_expires_in"]) = ("3540".into(), "3540".into());
    imds["refresh_token"] = "".into();
    assert_eq!(imds_body, imds);
}

#[test]
fn a_missing_identity_has_the_words_of_azure() {
    for (protocol, is_named, expected) in [
        (
            Protocol::Imds,
            true,
            json!({"error": "invalid_request", "error_description": "Identity not found"}),
        ),
        (
            Protocol::AppService,
            true,
            json!({"statusCode": 400, "message": "No User Assigned or Delegated Managed Identity \
                found for specified ClientId/ResourceId/PrincipalId."}),
        ),
        (
            Protocol::AppService,
            false,
            json!({"statusCode": 400, "message": "Unable to load the proper Managed Identity."}),
        ),
    ] {
        let (head, body) = parts(Answer::without_identity(protocol, is_named), true);
        assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n") && head.ends_with("close"));
        assert_eq!(body, expected);
    }
    let (_, body) = parts(Answer::without_identity(Protocol::Imds, false), false);
    assert!(body["error_description"].as_str().unwrap().starts_with("Multiple user assigned"));
}

#[test]
fn a_fault_tells_clients_whether_to_ask_again_and_people_what_to_do() {
    let throttled = Fault {
        retry_after: Some(Duration::from_millis(6500)),
        ..Fault::new(KS310, Class::Transient, "m")
    };
    for (fault, status, retry_after, error) in [
        (throttled, 429, Some("Retry-After: 7"), "temporarily_unavailable"),
        (
            Fault::new(KS303, Class::Transient, "m"),
            503,
            Some("Retry-After: 2"),
            "temporarily_unavailable",
        ),
        (Fault::new(KS309, Class::Permanent, "m"), 400, None, "invalid_request"),
    ] {
        let (head, body) = parts(Answer::of_fault(Protocol::Imds, &fault), false);
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        match retry_after {
            Some(line) => assert!(head.contains(line), "{head}"),
            None => assert!(!head.contains("Retry-After"), "{head}"),
        }
        assert_eq!(body["error"], error);
        assert_eq!(body["error_description"], fault.to_string());
        let (_, body) = parts(Answer::of_fault(Protocol::AppService, &fault), false);
        assert_eq!(body, json!({"statusCode": status, "message": fault.to_string()}));
    }
}

#[test]
fn a_refusal_has_a_status_and_says_why() {
    for (refused, status, text) in [
        (Refused::Malformed("what"), "400 Bad Request", "what"),
        (Refused::HeadSize, "431 Request Header Fields Too Large", "8 KiB"),
        (Refused::HeadTime, "408 Request Timeout", "5 s"),
        (Refused::Path, "404 Not Found", "/msi/token"),
        (Refused::Method, "405 Method Not Allowed", "GET"),
        (Refused::Body, "400 Bad Request", "body"),
        (Refused::Host, "400 Bad Request", "Host"),
        (Refused::Forwarded, "400 Bad Request", "X-Forwarded-For"),
        (Refused::Metadata, "400 Bad Request", "Required metadata header not specified"),
        (Refused::Header, "401 Unauthorized", "X-IDENTITY-HEADER"),
        (Refused::Version("2018-02-01"), "400 Bad Request", "2018-02-01"),
        (Refused::Twice("resource"), "400 Bad Request", "resource"),
        (Refused::Identities, "400 Bad Request", "more than one"),
        (Refused::NoResource, "400 Bad Request", "resource"),
        (Refused::Resource, "400 Bad Request", "resource"),
    ] {
        let (head, body) = parts(Answer::of_refused(Some(Protocol::Imds), refused), true);
        assert!(head.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{head}");
        assert!(body["error_description"].as_str().unwrap().contains(text), "{body}");
        assert!(!body["error"].as_str().unwrap().is_empty());
        let (_, body) = parts(Answer::of_refused(Some(Protocol::AppService), refused), true);
        assert!(body["message"].as_str().unwrap().contains(text), "{body}");
        assert!(status.starts_with(&body["statusCode"].to_string()));
        let (_, body) = parts(Answer::of_refused(None, refused), true);
        assert!(body["error"].is_string());
    }
}

#[test]
fn an_answer_does_not_print_its_token() {
    let now = Moment { since_boot: Duration::from_secs(160), unix: 1_800_000_000 };
    let answer = Answer::of_token(Protocol::Imds, "id", "r", &token(), now);
    assert!(!format!("{answer:?}").contains("the-token"));
}
