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
    let listed_one = |name: &str, enabled, created, updated: Option<i64>| {
        let updated = updated.map(|updated| Seen { updated, date: 9 });
        let (starts, expires) = if created == 5 { (Some(4), Some(7)) } else { (None, None) };
        Listed { name: name.to_owned(), enabled, created, starts, expires, updated }
    };
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
    let expected = vec![
        listed_one("v1", Some(true), 5, Some(6)),
        listed_one("v2", Some(false), 0, None),
        listed_one("db", None, 0, None),
    ];
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

#[test]
fn tags_select_by_name_and_value() {
    let entry =
        |name: &str, tags: Value| json!({"id": format!("https://kv/secrets/{name}"), "tags": tags});
    let value = json!([
        entry("both", json!({"team": "shop", "tier": "1", "x": {"y": [1]}})),
        entry("team", json!({"team": "shop"})),
        entry("case", json!({"team": "Shop"})),
        entry("none", json!(null)),
        {"id": "https://kv/secrets/bare"},
        entry("null", json!({"team": null})),
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
