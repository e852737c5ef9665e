//! Versions of objects, and lists of them in pages.

use std::collections::BTreeSet;

use keysluice_emulator::ListShape;
use keysluice_emulator::seed::{CertificateSeed, SecretSeed};
use serde_json::Value;

use crate::client::{APP, Bench, VAULT_RESOURCE, error};
use crate::vault::V;

#[tokio::test]
async fn the_newest_version_counts_even_when_disabled() {
    let bench = Bench::start().await;
    let token = bench.access_token(APP, VAULT_RESOURCE).await;
    let (_, newest) = bench.get(&token, &format!("secrets/history?{V}")).await;
    assert_eq!(newest["value"], "three");
    let (_, list) = bench.get(&token, &format!("secrets/history/versions?{V}")).await;
    let mut values = BTreeSet::new();
    for item in list["value"].as_array().unwrap() {
        assert_eq!(item.get("value"), None);
        let version = item["id"].as_str().unwrap().rsplit_once('/').unwrap().1;
        let (_, body) = bench.get(&token, &format!("secrets/history/{version}?{V}")).await;
        values.insert(body["value"].as_str().unwrap().to_owned());
    }
    assert_eq!(values, BTreeSet::from(["one".into(), "two".into(), "three".into()]));

    assert!(bench.emulator.disable("shop", "history"));
    let (status, body) = bench.get(&token, &format!("secrets/history?{V}")).await;
    assert_eq!((status, error(&body).1), (403, "SecretDisabled"));
    let four = bench.emulator.set_secret("shop", "history", "four");
    let (_, body) = bench.get(&token, &format!("secrets/history?{V}")).await;
    assert_eq!(body["value"], "four");
    assert!(body["id"].as_str().unwrap().ends_with(&four));
    assert!(bench.emulator.delete("shop", "history"));
    assert_eq!(bench.get(&token, &format!("secrets/history?{V}")).await.0, 404);
}

#[tokio::test]
async fn lists_come_in_pages_of_25() {
    let bench = Bench::start().await;
    let token = bench.access_token(APP, VAULT_RESOURCE).await;
    let mut expected =
        BTreeSet::from(["db-password", "disabled", "expired", "history", "web"].map(str::to_owned));
    for number in 0..55 {
        let name = format!("Bulk-{number}");
        bench.emulator.put_secret("shop", &name, SecretSeed::new("x")).unwrap();
        expected.insert(name);
    }
    assert_eq!(expected.len(), 60);

    for (first, sizes) in [("", vec![25, 25, 10]), ("&maxresults=20", vec![20, 20, 20])] {
        let mut next = Some(format!("{}secrets?{V}{first}", bench.emulator.vault_url("shop")));
        let (mut pages, mut names) = (Vec::new(), BTreeSet::new());
        while let Some(url) = next {
            let body: Value = bench
                .client
                .get(url)
                .bearer_auth(&token)
                .send()
                .await
                .unwrap()
                .json()
                .await
                .unwrap();
            let items = body["value"].as_array().unwrap();
            pages.push(items.len());
            names.extend(
                items.iter().map(|item| {
                    item["id"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()
                }),
            );
            next = body["nextLink"].as_str().map(str::to_owned);
        }
        assert_eq!((pages, names), (sizes, expected.clone()));
    }
    assert_eq!(bench.emulator.counts().lists, 6);
}

#[tokio::test]
async fn pages_can_be_short_and_empty_and_lead_elsewhere() {
    let bench = Bench::start().await;
    let token = bench.access_token(APP, VAULT_RESOURCE).await;
    let first = format!("{}secrets?{V}", bench.emulator.vault_url("shop"));
    bench.emulator.set_lists(ListShape { page_size: Some(2), empty_pages: true, next_host: None });
    let (mut next, mut pages) = (Some(first.clone()), Vec::new());
    while let Some(url) = next {
        let body: Value =
            bench.client.get(url).bearer_auth(&token).send().await.unwrap().json().await.unwrap();
        pages.push(body["value"].as_array().unwrap().len());
        next = body["nextLink"].as_str().map(str::to_owned);
    }
    assert_eq!(pages, [2, 0, 2, 0, 1]);
    let next_host = Some("stranger.example".to_owned());
    bench.emulator.set_lists(ListShape { page_size: Some(2), empty_pages: false, next_host });
    let body: Value =
        bench.client.get(first).bearer_auth(&token).send().await.unwrap().json().await.unwrap();
    assert!(
        body["nextLink"].as_str().unwrap().starts_with("https://stranger.example:443/secrets?")
    );
}

#[tokio::test]
async fn certificates_and_keys_have_versions_with_their_times() {
    let bench = Bench::start().await;
    let token = bench.access_token(APP, VAULT_RESOURCE).await;
    for created in [1000, 2000] {
        let seed = CertificateSeed { created: Some(created), ..CertificateSeed::default() };
        bench.emulator.set_certificate("shop", "twice", seed).unwrap();
    }
    for collection in ["certificates", "secrets", "keys"] {
        let (status, body) = bench.get(&token, &format!("{collection}/twice/versions?{V}")).await;
        assert_eq!(status, 200, "{body}");
        let mut times: Vec<_> = body["value"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["attributes"]["created"].as_i64())
            .collect();
        times.sort_unstable();
        assert_eq!(times, [Some(1000), Some(2000)], "{collection}");
    }
}
