//! Dashboards and alerts: every metric and label in them is in `docs/metrics.md`, `promtool`
//! accepts the rules and their unit tests, and the chart installs the files as they are.

use crate::suite::chart::helm::{Helm, root};
use crate::suite::chart::manifests::find;
use crate::suite::monitoring::prometheus::program;
use crate::suite::support::metrics::{Documented, documented};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

const RULES: &str = "webhook-config/chart/alerts/keysluice.rules.yaml";
pub(crate) const DASHBOARDS: [&str; 2] = ["webhook", "sidecars"];
/// Labels that Prometheus adds to what it scrapes from a pod.
const SCRAPED: [&str; 2] = ["namespace", "pod"];
/// Metrics of the API server, which `docs/monitoring.md` names.
pub(crate) const OF_OTHERS: [&str; 1] = ["apiserver_admission_webhook_rejection_count"];

pub(crate) fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

fn rules() -> Vec<Value> {
    let rules: Value = serde_saphyr::from_str(&read(RULES)).unwrap();
    let groups = rules["groups"].as_array().unwrap().clone();
    groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

/// The queries of a dashboard, with those of its variables.
fn queries(dashboard: &str) -> Vec<String> {
    let text = read(&format!("webhook-config/chart/dashboards/{dashboard}.json"));
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let variables = variables.iter().filter_map(|variable| variable["query"]["query"].as_str());
    targets
        .map(|target| target["expr"].as_str().unwrap())
        .chain(variables)
        .map(str::to_owned)
        .collect()
}

fn is_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

/// Each metric of a query, with the labels that its selector names.
pub(crate) fn selectors(query: &str) -> Vec<(String, BTreeSet<String>)> {
    let mut found = Vec::new();
    for (start, _) in query.match_indices("keysluice_") {
        let rest = &query[start..];
        let end = rest.find(|letter| !is_word(letter)).unwrap_or(rest.len());
        let selector = rest[end..].strip_prefix('{').and_then(|rest| rest.split('}').next());
        let labels = selector.unwrap_or_default().split(',').filter(|text| text.contains('='));
        let labels = labels.map(|text| text.split(['=', '!']).next().unwrap().to_owned());
        found.push((rest[..end].to_owned(), labels.collect()));
    }
    found
}

/// Labels in `by (…)` and `on (…)`.
fn groupings(query: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for word in [" by (", " on ("] {
        for (start, _) in query.match_indices(word) {
            let labels = query[start + word.len()..].split(')').next().unwrap();
            found.extend(labels.split(',').map(|label| label.trim().to_owned()));
        }
    }
    found
}

/// The row of a name, which may be that of a part of a histogram.
fn row<'p>(page: &'p BTreeMap<String, Documented>, name: &str) -> Option<&'p Documented> {
    let base = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part));
    let histogram = base.and_then(|base| page.get(base)).filter(|row| row.kind == "histogram");
    page.get(name).or(histogram)
}

fn check(page: &BTreeMap<String, Documented>, query: &str) {
    let selectors = selectors(query);
    let foreign = OF_OTHERS.iter().any(|name| query.contains(name));
    assert!(foreign || !selectors.is_empty(), "no metric of Keysluice in {query}");
    let mut labels: BTreeSet<String> = SCRAPED.iter().map(|&label| label.to_owned()).collect();
    for (name, of_selector) in selectors {
        let row = row(page, &name).unwrap_or_else(|| panic!("{name} does not exist: {query}"));
        for label in of_selector {
            let is_known = row.labels.contains(&label) || SCRAPED.contains(&label.as_str());
            assert!(is_known, "{name} has no label {label}: {query}");
        }
        labels.extend(row.labels.iter().cloned());
        if row.kind == "histogram" {
            labels.insert("le".to_owned());
        }
    }
    for label in groupings(query) {
        assert!(foreign || labels.contains(&label), "no metric has the label {label}: {query}");
    }
}

#[test]
fn every_metric_of_the_dashboards_and_alerts_exists() {
    let page = documented();
    let mut queried = BTreeSet::new();
    for query in DASHBOARDS.into_iter().flat_map(queries) {
        check(&page, &query);
        queried.extend(selectors(&query).into_iter().map(|(name, _)| name));
    }
    for rule in rules() {
        check(&page, rule["expr"].as_str().unwrap());
    }
    let shown =
        |name: &String| queried.iter().any(|query| query.strip_prefix(name.as_str()).is_some());
    // How verbose the log is, and when a process started, is no curve.
    let left_out = [
        "keysluice_cache_synced",
        "keysluice_log_level",
        "keysluice_start_timestamp_seconds",
        "keysluice_secret_failing",
    ];
    let missing: Vec<_> =
        page.keys().filter(|name| !shown(name) && !left_out.contains(&name.as_str())).collect();
    assert!(missing.is_empty(), "no dashboard shows {missing:?}");
}

#[test]
fn names_and_labels_that_do_not_exist_are_found() {
    let page = documented();
    for query in [
        "keysluice_review_total",
        "keysluice_reviews",
        "keysluice_reviews_total{code=\"KS101\"}",
        "sum by (code) (keysluice_reviews_total)",
        "up",
    ] {
        let result = std::panic::catch_unwind(|| check(&page, query));
        assert!(result.is_err(), "{query}");
    }
}

#[test]
fn every_alert_says_what_is_wrong_and_is_in_the_page_of_monitoring() {
    let (page, mut names) = (read("docs/monitoring.md"), BTreeSet::new());
    for rule in rules() {
        let name = rule["alert"].as_str().unwrap().to_owned();
        let severity = rule["labels"]["severity"].as_str().unwrap();
        assert!(["critical", "warning"].contains(&severity), "{name}");
        for annotation in ["summary", "description"] {
            assert!(rule["annotations"][annotation].as_str().unwrap().len() > 20, "{name}");
        }
        assert!(page.contains(&format!("| `{name}` | {severity} |")), "{name} is not in the page");
        assert!(names.insert(name), "two alerts of one name");
    }
    let of_page = page.lines().filter(|line| line.starts_with("| `Keysluice")).count();
    assert_eq!(of_page, names.len(), "the page has an alert that does not exist");
}

/// Built by `make test-alerts`.
#[test]
fn promtool_accepts_the_rules_and_their_unit_tests() {
    let Some(promtool) = program("promtool") else { return };
    let tests = "tests/data/alerts/keysluice.rules.test.yaml";
    for arguments in
        [&["check", "rules", "--lint=all", "--lint-fatal", RULES][..], &["test", "rules", tests]]
    {
        let output = Command::new(&promtool).current_dir(root()).args(arguments).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
    }
    let tested = read(tests);
    for rule in rules() {
        let name = rule["alert"].as_str().unwrap();
        assert!(tested.contains(&format!("alertname=\"{name}\"")), "{name} has no unit test");
    }
}

#[test]
fn the_chart_installs_dashboards_and_alerts_as_they_are_and_only_on_request() {
    let name = "the_chart_installs_dashboards_and_alerts_as_they_are_and_only_on_request";
    let Some(helm) = Helm::find(name) else { return };
    let plain = helm.rendered(&[]);
    assert!(!plain.contains("grafana_dashboard") && !plain.contains("PrometheusRule"));
    let set = "dashboards.enabled=true,dashboards.labels.team=a,prometheusRule.enabled=true,\
               prometheusRule.labels.release=prometheus";
    let documents = helm.documents(&["--set", set]);
    for dashboard in DASHBOARDS {
        let map = find(&documents, "ConfigMap", &format!("keysluice-dashboard-{dashboard}"));
        assert_eq!(map["metadata"]["labels"]["grafana_dashboard"], "1");
        assert_eq!(map["metadata"]["labels"]["team"], "a");
        let installed = map["data"][format!("keysluice-{dashboard}.json")].as_str().unwrap();
        let file = read(&format!("webhook-config/chart/dashboards/{dashboard}.json"));
        assert_eq!(installed.trim(), file.trim());
    }
    let rule = find(&documents, "PrometheusRule", "keysluice");
    assert_eq!(rule["metadata"]["labels"]["release"], "prometheus");
    let file: Value = serde_saphyr::from_str(&read(RULES)).unwrap();
    assert_eq!(rule["spec"], file);
}

#[test]
fn the_monitors_of_azure_differ_in_their_group_and_state_the_limits_of_labels() {
    let name = "the_monitors_of_azure_differ_in_their_group_and_state_the_limits_of_labels";
    let Some(helm) = Helm::find(name) else { return };
    let all = "metrics.podMonitor.enabled=true,metrics.serviceMonitor.enabled=true,\
               metrics.sidecarMonitor.enabled=true";
    let monitors = |group: &str| -> Vec<Value> {
        let set = format!("{all},metrics.apiGroup={group}");
        let version = format!("{group}/v1");
        let documents = helm.documents(&["--set", &set]);
        documents.into_iter().filter(|one| one["apiVersion"] == version.as_str()).collect()
    };
    let plain = monitors("monitoring.coreos.com");
    let mut of_azure = monitors("azmonitoring.coreos.com");
    assert_eq!((plain.len(), of_azure.len()), (3, 3));
    for (monitor, plain) in of_azure.iter_mut().zip(&plain) {
        monitor["apiVersion"] = plain["apiVersion"].clone();
        for (field, limit) in
            [("labelLimit", 63), ("labelNameLengthLimit", 511), ("labelValueLengthLimit", 1023)]
        {
            let value = monitor["spec"].as_object_mut().unwrap().shift_remove(field);
            assert_eq!(value, Some(limit.into()), "{field}");
        }
        assert_eq!(monitor, plain);
    }
    let unknown = helm.template(&["--set", "metrics.apiGroup=monitoring.example.com"]);
    assert!(!unknown.status.success());
}
