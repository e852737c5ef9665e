use super::*;
use proptest::prelude::*;

const HEADER: &str = "0123456789abcdef0123456789abcdef";

fn parse(line: &str, headers: &[&str]) -> Request {
    let mut head = format!("{line}\r\n");
    for header in headers {
        head += &format!("{header}\r\n");
    }
    head += "\r\n";
    assert_eq!(head_length(head.as_bytes()), Some(head.len()));
    Request::parse(head.as_bytes(), HEADER)
}

fn app_service(query: &str) -> Result<Asked, Refused> {
    let header = format!("X-IDENTITY-HEADER: {HEADER}");
    let line = format!("GET /msi/token?{query} HTTP/1.1");
    let request = parse(&line, &["Host: 127.0.0.1:8000", &header]);
    assert_eq!((request.protocol, request.closes), (Some(Protocol::AppService), false));
    request.asked
}

fn imds(query: &str) -> Result<Asked, Refused> {
    let line = format!("GET /metadata/identity/oauth2/token?{query} HTTP/1.1");
    parse(&line, &["Host: 169.254.169.254", "Metadata: true"]).asked
}

#[test]
fn both_protocols_ask_for_a_resource_and_name_an_identity() {
    for (query, identity) in [
        ("", Wanted::Default),
        ("&client_id=abc", Wanted::ClientId("abc".into())),
        ("&client_id=", Wanted::Default),
        ("&object_id=abc", Wanted::ObjectId("abc".into())),
        ("&mi_res_id=%2Fsubscriptions%2Fa", Wanted::ResourceId("/subscriptions/a".into())),
        ("&bypass_cache=true&other", Wanted::Default),
    ] {
        let asked = Ok(Asked { resource: "https://vault.azure.net".to_owned(), identity });
        let query = format!("resource=https%3A%2F%2Fvault.azure.net{query}");
        assert_eq!(app_service(&format!("api-version=2019-08-01&{query}")), asked, "{query}");
        assert_eq!(imds(&format!("api-version=2018-02-01&{query}")), asked, "{query}");
    }
    let asked = imds("api-version=2021-02-01&resource=a&msi_res_id=/x").unwrap();
    assert_eq!(asked.identity, Wanted::ResourceId("/x".into()));
    let asked = app_service("api-version=2019-08-01&resource=a&principal_id=x").unwrap();
    assert_eq!(asked.identity, Wanted::ObjectId("x".into()));
}

#[test]
fn a_query_that_asks_for_nothing_or_too_much_is_refused() {
    let start = "api-version=2019-08-01&resource=a";
    let long = format!("api-version=2019-08-01&resource={}", "a".repeat(1025));
    for (query, expected) in [
        ("", Refused::Version(APP_SERVICE_VERSION)),
        ("api-version=2017-09-01&resource=a", Refused::Version(APP_SERVICE_VERSION)),
        ("api-version=latest&resource=a", Refused::Version(APP_SERVICE_VERSION)),
        ("api-version=2019-08-01", Refused::NoResource),
        ("api-version=2019-08-01&resource=", Refused::NoResource),
        ("api-version=2019-08-01&resource=a+b", Refused::Resource),
        ("api-version=2019-08-01&resource=a%20b", Refused::Resource),
        ("api-version=2019-08-01&resource=%C3%A4", Refused::Resource),
        (&long, Refused::Resource),
        (&format!("{start}&resource=b"), Refused::Twice("resource")),
        (&format!("{start}&client_id=b&client_id=b"), Refused::Twice("client_id")),
        (&format!("{start}&client_id=b&object_id=c"), Refused::Identities),
        (
            "api-version=2019-08-01&resource=%4",
            Refused::Malformed("a value of the query is not percent-encoded text"),
        ),
        (
            "api-version=2019-08-01&resource=%ff",
            Refused::Malformed("a value of the query is not percent-encoded text"),
        ),
    ] {
        assert_eq!(app_service(query), Err(expected), "{query}");
    }
    assert_eq!(imds("resource=a"), Err(Refused::Version(IMDS_VERSION)));
}

#[test]
fn paths_are_those_of_azure_in_any_case_with_a_slash_or_without() {
    for (path, protocol) in [
        ("/msi/token", Some(Protocol::AppService)),
        ("/MSI/token/", Some(Protocol::AppService)),
        ("/metadata/identity/oauth2/token/", Some(Protocol::Imds)),
        ("/Metadata/identity/oauth2/token", Some(Protocol::Imds)),
    ] {
        let request = parse(&format!("GET {path} HTTP/1.1"), &["Host: localhost"]);
        assert_eq!(request.protocol, protocol, "{path}");
        assert_ne!(request.asked, Err(Refused::Path), "{path}");
    }
    for (path, protocol) in [
        ("/", None),
        ("/msi/token/x", None),
        ("/metadata/instance", Some(Protocol::Imds)),
        ("http://169.254.169.254/metadata/identity/oauth2/token", None),
        ("/readyz", None),
    ] {
        let request = parse(&format!("GET {path} HTTP/1.1"), &["Host: localhost"]);
        assert_eq!((request.protocol, request.asked), (protocol, Err(Refused::Path)), "{path}");
    }
}

#[test]
fn what_a_page_or_a_proxy_can_send_gets_no_token() {
    let imds = "GET /metadata/identity/oauth2/token?api-version=2018-02-01&resource=a HTTP/1.1";
    let app = "GET /msi/token?api-version=2019-08-01&resource=a HTTP/1.1";
    let right = format!("x-identity-header: {HEADER}");
    let longer = format!("X-IDENTITY-HEADER: {HEADER}0");
    for (line, headers, expected) in [
        (imds, &["Host: 127.0.0.1"][..], Refused::Metadata),
        (imds, &["Host: 127.0.0.1", "Metadata: True"], Refused::Metadata),
        (imds, &["Host: 127.0.0.1", "Metadata: true, true"], Refused::Metadata),
        (
            imds,
            &["Host: 127.0.0.1", "Metadata: true", "X-Forwarded-For: 10.0.0.1"],
            Refused::Forwarded,
        ),
        (imds, &["Host: evil.example", "Metadata: true"], Refused::Host),
        (imds, &["Host: 127.0.0.1.evil.example:80", "Metadata: true"], Refused::Host),
        (imds, &["Host: localhost", "Host: evil.example", "Metadata: true"], Refused::Host),
        (imds, &["Metadata: true"], Refused::Host),
        (app, &["Host: [::1]:8000"], Refused::Header),
        (app, &["Host: [::1]:8000", "X-IDENTITY-HEADER:"], Refused::Header),
        (app, &["Host: [::1]:8000", &longer], Refused::Header),
        (app, &["Host: [::1]:8000", "Metadata: true"], Refused::Header),
        (app, &["Host: evil.example", &right], Refused::Host),
    ] {
        assert_eq!(parse(line, headers).asked, Err(expected), "{line} {headers:?}");
    }
    assert!(parse(app, &["Host: [::1]:8000", &right]).asked.is_ok());
    assert!(parse(imds, &["HOST:\tLocalHost:1 ", "METADATA:true"]).asked.is_ok());
    let old = imds.replace("1.1", "1.0");
    assert!(parse(&old, &["Metadata: true"]).asked.is_ok(), "HTTP/1.0 has no Host");
}

#[test]
fn only_gets_without_a_body_are_taken() {
    let path = "/msi/token?api-version=2019-08-01&resource=a";
    let right = format!("X-IDENTITY-HEADER: {HEADER}");
    for method in ["POST", "HEAD", "get", "PUT"] {
        let request = parse(&format!("{method} {path} HTTP/1.1"), &["Host: localhost", &right]);
        assert_eq!(request.asked, Err(Refused::Method), "{method}");
    }
    let line = format!("GET {path} HTTP/1.1");
    for body in ["Content-Length: 1", "Content-Length: x", "Transfer-Encoding: chunked"] {
        let request = parse(&line, &["Host: localhost", &right, body]);
        assert_eq!((request.asked, request.closes), (Err(Refused::Body), true), "{body}");
    }
    assert!(parse(&line, &["Host: localhost", &right, "Content-Length: 0"]).asked.is_ok());
}

#[test]
fn a_connection_ends_where_the_client_says_so() {
    for (version, connection, closes) in [
        ("HTTP/1.1", "keep-alive", false),
        ("HTTP/1.1", "Close", true),
        ("HTTP/1.1", "te, close", true),
        ("HTTP/1.0", "x", true),
        ("HTTP/1.0", "Keep-Alive", false),
    ] {
        let header = format!("Connection: {connection}");
        assert_eq!(parse(&format!("GET / {version}"), &[&header]).closes, closes, "{connection}");
    }
}

#[test]
fn what_is_not_http_1_is_refused_and_ends_the_connection() {
    for head in ["GET / HTTP/2\r\n\r\n", "GET /\r\n\r\n", "GET  / HTTP/1.1\r\n\r\n", "\r\n\r\n"]
        .into_iter()
        .chain(["GET / HTTP/1.1\r\n a: b\r\n\r\n", "GET / HTTP/1.1\r\na : b\r\n\r\n"])
        .chain(["GET / HTTP/1.1\r\na\r\n\r\n", "GET / HTTP/1.1 x\r\n\r\n"])
    {
        let request = Request::parse(head.as_bytes(), HEADER);
        assert!(matches!(request.asked, Err(Refused::Malformed(_))) && request.closes, "{head}");
    }
    assert!(matches!(
        Request::parse(b"GET /\xff HTTP/1.1\r\n\r\n", HEADER).asked,
        Err(Refused::Malformed(_))
    ));
}

#[test]
fn a_head_ends_with_an_empty_line_and_has_at_most_8_kib() {
    assert_eq!(head_length(b"GET / HTTP/1.1\r\n\r"), None);
    assert_eq!(head_length(b"GET / HTTP/1.1\r\n\r\nGET"), Some(18));
    let mut long = vec![b'a'; MAX_HEAD_BYTES - 3];
    long.extend_from_slice(b"\r\n\r\n");
    assert_eq!(head_length(&long), None);
    assert_eq!(head_length(&long[1..]), Some(MAX_HEAD_BYTES));
}

proptest! {
    #[test]
    fn no_head_panics(head in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Request::parse(&head, HEADER);
    }

    #[test]
    fn no_query_panics(query in "[a-z_=&%+0-9-]{0,60}") {
        let _ = app_service(&query);
    }
}
