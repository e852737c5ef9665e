use super::*;

fn foreign(status: u16, content_type: &str, body: &[u8]) -> Foreign {
    Head { status, content_type: content_type.to_owned(), location: String::new() }.with(body)
}

#[test]
fn of_a_page_the_text_is_shown_in_one_short_line_without_tokens() {
    let page = "\u{feff}<!DOCTYPE html>\r\n<html>\n <head><style>p > b {}</style><TITLE>No</TITLE>\
        <script>if (1<2) {\"canary\"}</script></head><body title=\"canary\">\
        eyJhbGciOi.x.y \u{1b}[31m blocked"
        .to_owned()
        + &"x".repeat(900);
    let text = foreign(403, "text/html", page.as_bytes()).to_string();
    assert!(text.starts_with("403 text/html \"No [token] [31m blockedxxx"), "{text}");
    assert!(text.chars().count() < 150 && text.ends_with("…\""), "{text}");
    assert_eq!(foreign(200, "text/html", b" <p>hi").to_string(), "200 text/html \"hi\"");
    assert_eq!(foreign(404, "", b"").to_string(), "404");
    assert_eq!(foreign(403, "x/y", b"\xff\xfe").to_string(), "403 x/y");
}

#[test]
fn of_an_error_code_and_message_are_shown() {
    for (status, body, expected) in [
        (403, r#"{"error":{"code":"Denied","message":"by\npolicy"}}"#, " \"Denied: by policy\""),
        (404, r#"{"statusCode":404,"message":"no such route"}"#, " \"no such route\""),
        (400, r#"{"error":"bad","error_description":"it is"}"#, " \"bad: it is\""),
        (500, r#"{"code":7,"message":["canary"],"detail":"canary"}"#, ""),
        (203, r#"{"error":{"code":"canary"}}"#, ""),
        (403, r#"{"error":null,"message":"blocked"}"#, " \"blocked\""),
        (403, r#"{"error":["canary","canary","canary"]}"#, ""),
    ] {
        let text = foreign(status, "", body.as_bytes()).to_string();
        assert_eq!(text, format!("{status}{expected}"), "{body}");
    }
}

#[test]
fn a_body_that_may_be_an_answer_is_not_shown_whatever_the_status() {
    let bodies = [
        r#"{"value":"canary","id":"https://kv/secrets/a/1","attributes":{"enabled":true}}"#,
        r#"{"value": "canary""#,
        r#"{"token_type":"Bearer","expires_in":3599,"access_token":"canary"}"#,
        r#"{"error":{"code":"x","message":"canary"},"value":"canary"}"#,
        r#"{"error":{"code":"x","message":"canary","answer":{"access_token":"canary"}}}"#,
        r#"{"code":"x","message":"{\"value\":\"canary\"}"}"#,
        r#"["canary"]"#,
        r#" "canary""#,
        "canary",
        "value: canary",
        "<secret><value>canary</value></secret>",
        "<?xml version=\"1.0\"?><secret>canary</secret>",
        "<html><pre>{\"value\": \"canary\"}</pre>",
        "<html><pre>{&quot;Value&quot;: &quot;canary&quot;}</pre>",
        "<html><body><d:value>canary</d:value>",
    ];
    for status in [200, 201, 203, 206, 302, 400, 403, 404, 429, 500, 503] {
        for body in bodies {
            let text = foreign(status, "text/plain", body.as_bytes()).to_string();
            assert_eq!(text, format!("{status} text/plain"), "{body}");
        }
    }
}

#[test]
fn names_of_secrets_count_only_where_they_are_names() {
    for text in ["Property has invalid value: x", "<input value=\"x\">", "\"values\"", "value", ""]
    {
        assert!(!may_hold_secret(text.as_bytes()), "{text}");
    }
}

#[test]
fn of_a_redirect_the_origin_is_shown() {
    for (location, expected) in [
        ("https://portal.example/login?to=secret", "https://portal.example"),
        ("http://portal.example", "http://portal.example"),
        ("https://u:SECRET@portal.example:8443/x", "https://portal.example:8443"),
        ("https://u:SE/CRET@portal.example/", ""),
        ("//u:SECRET@portal.example/", ""),
        ("mailto:u:SECRET@portal.example", ""),
        ("/login?token=x", ""),
        ("", ""),
    ] {
        assert_eq!(origin(location), expected);
    }
}

#[test]
fn a_url_is_shown_without_user_name_and_password() {
    for (url, expected) in [
        ("https://login.example/t", "https://login.example/t"),
        ("https://u:p@login.example/t", "https://login.example/t"),
        ("https://u:p/@w@login.example", "https://login.example"),
        ("u:p@login.example", "login.example"),
    ] {
        assert_eq!(without_user_info(url), expected);
    }
}
