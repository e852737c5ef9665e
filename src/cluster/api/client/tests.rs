use super::*;
use crate::cluster::api::stub::{Answer, JSON, Stub, client};
use crate::cluster::api::{get, list};
use serde_json::json;

const HTML_PAGE: &str = "<html>sign in</html>";

fn status(code: u16) -> Answer {
    (code, JSON, json!({"kind": "Status", "code": code, "message": "as told"}).to_string())
}

fn answer(request: &str) -> Answer {
    let path = request.trim_start_matches("GET ").split('?').next().unwrap_or_default();
    match path {
        "/page" => (200, "Text/HTML; charset=utf-8", HTML_PAGE.to_owned()),
        "/hidden-page" => (200, JSON, HTML_PAGE.to_owned()),
        "/502" => (502, "text/html", HTML_PAGE.to_owned()),
        "/403-page" => (403, "text/plain", HTML_PAGE.to_owned()),
        "/302" => (302, "text/plain", String::new()),
        "/404" => (404, "text/plain", "no".to_owned()),
        "/empty" => (200, JSON, String::new()),
        "/text" => (200, JSON, "\"text\"".to_owned()),
        "/cut" => (200, JSON, "{\"a\":".to_owned()),
        "/401" => status(401),
        "/403" => status(403),
        "/500" => status(500),
        "/null" => (200, JSON, json!({"items": null}).to_string()),
        "/no-items" => (200, JSON, json!({"login": "here"}).to_string()),
        "/items-text" => (200, JSON, json!({"items": "x"}).to_string()),
        "/mixed" if !request.contains("continue") => {
            (200, JSON, json!({"items": [{"a": 1}], "metadata": {"continue": "2"}}).to_string())
        }
        "/mixed" => (200, JSON, json!({"items": ["x", {"a": 2}, 3, {"a": 3}]}).to_string()),
        _ => status(404),
    }
}

#[tokio::test]
async fn an_answer_that_is_not_the_api_servers_is_named_with_the_place() {
    let stub = Stub::start(answer).await;
    let (client, path) = client(&format!("server: 'http://u:SECRET@{}'", stub.address));
    let place = format!("http://{} (kubeconfig {path})", stub.address);
    for (path, expected) in [
        ("/page", format!("what answers at {place} is not an API server (200, HTML)")),
        ("/hidden-page", format!("what answers at {place} is not an API server (200, HTML)")),
        ("/502", format!("what answers at {place} is not an API server (502, HTML)")),
        ("/403-page", format!("what answers at {place} is not an API server (403, HTML)")),
        ("/302", format!("what answers at {place} is not an API server (302, a redirection)")),
        ("/404", format!("what answers at {place} is not an API server (404, without a Status)")),
        ("/empty", format!("what answers at {place} is not an API server (200, an empty answer)")),
        ("/text", format!("what answers at {place} is not an API server (200, not a JSON object)")),
        ("/cut", "the API server's answer cannot be read: EOF while parsing".to_owned()),
        ("/401", format!("the API server answered 401: as told; {place} refuses the credentials")),
        ("/403", "the API server answered 403: as told".to_owned()),
        ("/500", "the API server answered 500: as told".to_owned()),
    ] {
        for error in [
            get(&client, path).await.unwrap_err(),
            list(&client, path, |_| panic!("{path}")).await.unwrap_err(),
        ] {
            let text = error.to_string();
            assert!(text.starts_with(&expected), "{path}: {text}");
            assert!(!format!("{text} {error:?}").contains("SECRET"), "{error:?}");
            assert_eq!(error.hint().is_some(), path != "/403", "{path}");
        }
    }
}

#[tokio::test]
async fn of_a_list_with_something_else_in_it_the_objects_are_given_and_the_item_is_named() {
    let stub = Stub::start(answer).await;
    let client = stub.client();
    let mut found = Vec::new();
    let error = list(&client, "/mixed", |object| found.push(object)).await.unwrap_err();
    assert_eq!(found, [json!({"a": 1}), json!({"a": 2}), json!({"a": 3})]);
    let expected = "the API server's list /mixed cannot be read: item 1 is not an object";
    assert_eq!(error.to_string(), expected);
    list(&client, "/null", |_| panic!()).await.unwrap();
    for path in ["/no-items", "/items-text"] {
        let error = list(&client, path, |_| panic!()).await.unwrap_err().to_string();
        assert_eq!(
            error,
            format!("the API server's answer for {path} is not a list: it has no items")
        );
    }
}

#[tokio::test]
async fn an_api_server_that_cannot_be_reached_is_named_with_its_proxy() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let plain = Stub::start(answer).await;
    let proxy = Stub::start(|_| (502, "text/plain", String::new())).await;
    for (cluster, expected, cause) in [
        (format!("server: 'http://u:SECRET@{closed}'"), format!("http://{closed} "), "refused"),
        (
            format!("server: 'https://{}'", plain.address),
            format!("https://{} ", plain.address),
            "tls handshake",
        ),
        (
            "server: 'http://k.invalid:6443'".to_owned(),
            "http://k.invalid:6443 ".to_owned(),
            "dns error",
        ),
        (
            format!(
                "server: 'https://k.test:6443', proxy-url: 'http://u:SECRET@{}'",
                proxy.address
            ),
            format!("https://k.test:6443 through the proxy http://{} ", proxy.address),
            "tunnel",
        ),
        (
            format!("server: 'https://k.test', proxy-url: 'http://u:SECRET@{closed}'"),
            format!("https://k.test:443 through the proxy http://{closed} "),
            "refused",
        ),
    ] {
        let (client, path) = client(&cluster);
        let error = get(&client, "/version").await.unwrap_err();
        let text = error.to_string();
        let expected = format!("no answer from the API server at {expected}(kubeconfig {path}): ");
        assert!(text.starts_with(&expected) && text.contains(cause), "{cluster}: {text}");
        assert!(!format!("{text} {error:?}").contains("SECRET"), "{error:?}");
        assert!(error.hint().is_some() && error.is_passing());
    }
}

#[tokio::test(start_paused = true)]
async fn a_timeout_names_the_place() {
    let place = Stub { address: "127.0.0.1:9".to_owned(), requests: Arc::default() }.client();
    let error = within(HEAD, std::future::pending::<()>()).await.unwrap_err();
    let text = place.placed(error).to_string();
    assert!(text.starts_with("no answer from the API server at http://127.0.0.1:9 "), "{text}");
    assert!(text.ends_with(" within 60 s"), "{text}");
}
