//! Review bytes in, response bytes out: no I/O, no log.
//!
//! `cargo bench --bench review` times it; `make bench` counts its instructions where valgrind is
//! installed (`-- --count N` runs each case N times and nothing else, so that two counts differ by
//! N reviews).

use criterion::{Criterion, Throughput};
use keysluice::admission::{self, Outcome};
use keysluice::cloud::Cloud;
use keysluice::mutate::{ClassFact, Facts, ServiceAccount};
use keysluice::provider_class::ProviderClass;
use keysluice::settings::Settings;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

struct Case {
    name: String,
    body: Vec<u8>,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for bytes in [4096, 20_480] {
        let size = bytes / 1024;
        let label = keysluice_bench::review(&keysluice_bench::pod(bytes));
        cases.push(Case { name: format!("{size}-kb-label"), body: label });
        let class = keysluice_bench::review(&keysluice_bench::pod_with_class(bytes));
        cases.push(Case { name: format!("{size}-kb-class"), body: class });
    }
    cases
}

fn settings() -> Settings {
    let mut settings =
        Settings::new(Cloud::well_known("AzurePublicCloud").expect("a name of Azure's"));
    settings.tenant_id = Some("4b7e2f2a-5c35-4b2a-9c60-0f7a1c2d3e4f".to_owned());
    settings
}

fn facts() -> Facts {
    let documents = keysluice::cluster::manifests::parse_documents(
        &keysluice_bench::manifests(),
        Path::new("cluster"),
    );
    let mut facts = Facts::default();
    for document in documents.expect("manifests") {
        if document.value["kind"] == "SecretProviderClass" {
            let class = ProviderClass::from_value(&document.value).expect("a class");
            facts.classes.insert("kv".to_owned(), ClassFact::Found(Arc::new(class)));
        } else {
            let annotations =
                document.value["metadata"]["annotations"].as_object().expect("annotations").iter();
            let strings =
                annotations.filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)));
            facts.service_account = Some(ServiceAccount::from_annotations(strings));
        }
    }
    facts
}

fn main() {
    let (settings, facts) = (settings(), facts());
    let answer = |body: &[u8]| {
        let incoming = admission::read(body).expect("a review");
        black_box(incoming.needs(&settings));
        let answer = incoming.answer(&settings, &facts);
        assert!(answer.outcome == Outcome::Mutated, "{:?}", answer.message);
        answer.body
    };
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--count") {
        let times: usize = arguments.get(at + 1).and_then(|count| count.parse().ok()).unwrap_or(1);
        let wanted = arguments.get(at + 2).map_or("", String::as_str);
        for case in cases().iter().filter(|case| case.name.starts_with(wanted)) {
            for _ in 0..times {
                black_box(answer(black_box(&case.body)));
            }
        }
        return;
    }
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("review");
    for case in cases() {
        group.throughput(Throughput::Bytes(case.body.len() as u64));
        group.bench_function(format!("{}/read", case.name), |bencher| {
            bencher.iter(|| black_box(admission::read(black_box(&case.body)).is_ok()));
        });
        group.bench_function(&case.name, |bencher| bencher.iter(|| answer(black_box(&case.body))));
    }
    group.finish();
    criterion.final_summary();
}
