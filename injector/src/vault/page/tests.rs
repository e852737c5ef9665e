use super::*;
use serde_json::{Value, json};

fn listed(body: &[u8], tags: &[(&str, &str)]) -> Result<(Vec<Listed>, End), PageError> {
    let tags = tags.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    let mut listed = Vec::new();
    read(body, Some(9), &tags, &mut |entry| listed.push(entry)).map(|end| (listed, end))
}

fn names(value: &Value, tags: &[(&str, &str)]) -> Vec<String> {
    let body = json!({"value": value, "nextLink": null}).to_string();
    listed(body.as_bytes(), tags).unwrap().0.into_iter().map(|entry| entry.name).collect()
}

#[test]
fn entries_have_a_name_and_perhaps_the_rest() {
    let body = json!({"nextLink": "https://kv/next", "value": [
        {"id": "https://kv/secrets/db/v1", "x": [{}],
            "attributes": {"enabled": true, "created": 5, "updated": 6, "nbf": 4,
                "exp": 7}},
        {"kid": "https://kv/keys/sign/v2", "attributes": {"enabled": false}, "tags": null},
        {"id": "https://kv/secrets/db/"},
        {"attributes": {"enabled": true}},
        {"id": null},
        {"id": "https://kv/secrets/a_b"},
        {"id": format!("https://kv/secrets/{}", "x".repeat(128))},
    ]});
    let bare = Listed {
        name: "db".to_owned(),
        enabled: None,
        created: 0,
        starts: None,
        expires: None,
        updated: None,
    };
    let whole = Listed {
        name: "v1".to_owned(),
        enabled: Some(true),
        created: 5,
        starts: Some(4),
        expires: Some(7),
        updated: Some(Seen { updated: 6, date: 9 }),
    };
    let disabled = Listed { name: "v2".to_owned(), enabled: Some(false), ..bare.clone() };
    let expected = vec![whole, disabled, bare];
    let end = End { entries: 7, next: Some("https://kv/next".to_owned()) };
    assert_eq!(listed(body.to_string().as_bytes(), &[]), Ok((expected, end)));
    assert_eq!(listed(b"{}", &[]), Err(PageError::Garbled), "no page of Key Vault's");
    for empty in
        [json!({"value": null}), json!({"nextLink": null}), json!({"value": [], "nextLink": ""})]
    {
        let end = End { entries: 0, next: None };
        assert_eq!(listed(empty.to_string().as_bytes(), &[]), Ok((Vec::new(), end)), "{empty}");
    }
}

fn tagged(name: &str, tags: &Value) -> Value {
    json!({"id": format!("https://kv/secrets/{name}"), "tags": tags})
}

#[test]
fn tags_select_by_name_and_value() {
    let value = json!([
        tagged("both", &json!({"team": "shop", "tier": "1", "x": {"y": [1]}})),
        tagged("team", &json!({"team": "shop"})),
        tagged("case", &json!({"team": "Shop"})),
        tagged("none", &json!(null)),
        {"id": "https://kv/secrets/bare"},
        tagged("null", &json!({"team": null})),
    ]);
    assert_eq!(names(&value, &[]).len(), 6);
    assert_eq!(names(&value, &[("team", "shop")]), ["both", "team"]);
    assert_eq!(names(&value, &[("team", "shop"), ("tier", "1")]), ["both"]);
    let twice =
        br#"{"value":[{"id":"x/a","tags":{"t":"1","t":"2"}},{"tags":{"t":"1"},"id":"x/b"}]}"#;
    let found: Vec<_> =
        listed(twice, &[("t", "1")]).unwrap().0.into_iter().map(|entry| entry.name).collect();
    assert_eq!(found, ["b"]);
}

#[test]
fn what_is_no_page_of_key_vaults_is_refused() {
    for (body, expected) in [
        (format!("{{\"value\":[{}{{}}]}}", "{},".repeat(25)), PageError::TooMany),
        (format!("{{\"value\":[{}{{}}]}}", "{},".repeat(349_000)), PageError::TooMany),
        (format!("{{\"value\":[{}0]}}", "0,".repeat(25)), PageError::Garbled),
        (format!("{{\"value\":{}", "[".repeat(500_000)), PageError::Garbled),
        (format!("{{\"x\":{}", "[{\"a\":".repeat(100_000)), PageError::Garbled),
        ("[]".to_owned(), PageError::Garbled),
        ("{\"value\":[]} x".to_owned(), PageError::Garbled),
        (String::new(), PageError::Garbled),
    ] {
        assert_eq!(listed(body.as_bytes(), &[]), Err(expected), "{body:.60}");
    }
    let full = format!("{{\"value\":[{}{{}}]}}", "{},".repeat(24));
    assert_eq!(listed(full.as_bytes(), &[]).unwrap().1.entries, 25);
}
