//! Whether Prometheus evaluates every alert and every query of the dashboards, and has the series
//! that they name.

use super::now;
use super::prometheus::Prometheus;
use crate::suite::chart::monitoring::{DASHBOARDS, OF_OTHERS, read, selectors};
use crate::suite::support::metrics::documented;
use serde_json::Value;
use std::collections::BTreeSet;

pub(super) const RULES: &str = "webhook-config/chart/alerts/keysluice.rules.yaml";
/// The one metric that gives no curve: a volume in which nothing can be written needs a full or
/// damaged tmpfs.
const WITHOUT_CURVE: &str = "keysluice_volume_failing";

/// A query of a dashboard.
struct Query {
    dashboard: &'static str,
    panel: String,
    expression: String,
}

fn dashboard(name: &str) -> Value {
    let text = read(&format!("webhook-config/chart/dashboards/{name}.json"));
    serde_json::from_str(&text).unwrap()
}

/// Those of all panels, with what Grafana puts in place of its variables.
fn queries() -> Vec<Query> {
    let mut queries = Vec::new();
    for name in DASHBOARDS {
        for panel in dashboard(name)["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().unwrap() {
                let expression = target["expr"].as_str().unwrap();
                let expression = expression
                    .replace("$namespace", ".*")
                    .replace("$pod", ".*")
                    .replace("$__rate_interval", "15s");
                assert!(!expression.contains('$'), "{expression}");
                let panel = panel["title"].as_str().unwrap().to_owned();
                queries.push(Query { dashboard: name, panel, expression });
            }
        }
    }
    queries
}

/// Prometheus loaded all alerts of the chart and evaluates them without an error.
pub(super) async fn check_rules(prometheus: &Prometheus) {
    let loaded = prometheus.api("rules", &[]).await.unwrap();
    let loaded: Vec<Value> = loaded["groups"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|group| group["rules"].as_array().unwrap().clone())
        .collect();
    for rule in &loaded {
        assert_eq!(rule["health"], "ok", "{rule}");
        assert_eq!(rule["lastError"].as_str().unwrap_or_default(), "", "{rule}");
    }
    let names: BTreeSet<&str> = loaded.iter().map(|rule| rule["name"].as_str().unwrap()).collect();
    let of_chart = read(RULES);
    assert_eq!(names.len(), of_chart.matches("- alert: ").count());
    for name in names {
        assert!(of_chart.contains(&format!("- alert: {name}\n")), "{name}");
    }
}

/// Every metric of an alert, of a panel and of `docs/metrics.md` was scraped, with the labels of
/// its pod.
pub(super) async fn check_names(prometheus: &Prometheus) {
    let scraped: BTreeSet<String> = prometheus.values("__name__", None).await.into_iter().collect();
    let rules: Value = serde_saphyr::from_str(&read(RULES)).unwrap();
    let groups = rules["groups"].as_array().unwrap().iter();
    let rules = groups.flat_map(|group| group["rules"].as_array().unwrap());
    let alerts = rules.map(|rule| rule["expr"].as_str().unwrap().to_owned());
    let panels = queries().into_iter().map(|query| query.expression);
    let mut named: BTreeSet<String> = alerts
        .chain(panels)
        .flat_map(|query| selectors(&query).into_iter().map(|(name, _)| name))
        .collect();
    let of_page = documented().into_iter().map(|(name, row)| match row.kind.as_str() {
        "histogram" => format!("{name}_bucket"),
        _ => name,
    });
    named.extend(of_page);
    let missing: Vec<_> = named.difference(&scraped).collect();
    assert!(missing.is_empty(), "never scraped: {missing:?}");
    for name in OF_OTHERS {
        assert!(!scraped.contains(name), "{name} is not ours");
    }
    for label in ["namespace", "pod"] {
        let without = format!("{{__name__=~\"keysluice_.+\",{label}=\"\"}}");
        let without = prometheus.query(&without).await.unwrap();
        assert!(without.is_empty(), "without the label {label}: {without:?}");
    }
}

/// Every query of a panel and of a variable gives something.
pub(super) async fn check_queries(prometheus: &Prometheus, begun: u64) {
    let (start, end) = (begun.to_string(), now().to_string());
    let mut empty = Vec::new();
    for Query { dashboard, panel, expression } in queries() {
        let range = [("query", expression.as_str()), ("start", &start), ("end", &end)];
        let answer = prometheus.api("query_range", &[&range[..], &[("step", "1s")]].concat()).await;
        let answer = answer.unwrap_or_else(|error| panic!("{dashboard}, {panel}: {error}"));
        let is_empty = answer["result"].as_array().unwrap().is_empty();
        if is_empty != expression.contains(WITHOUT_CURVE) {
            empty.push(format!("{dashboard}, {panel}: {expression}"));
        }
    }
    assert!(empty.is_empty(), "panels without a curve: {empty:#?}");
    for variable in DASHBOARDS.map(dashboard).iter().flat_map(variables) {
        let arguments = variable.strip_prefix("label_values(").unwrap().strip_suffix(')').unwrap();
        let (selector, label) = arguments.rsplit_once(", ").unwrap();
        let values = prometheus.values(label, Some(&selector.replace("$namespace", ".*"))).await;
        assert!(!values.is_empty(), "{variable} has no value");
    }
}

fn variables(dashboard: &Value) -> Vec<String> {
    let variables = dashboard["templating"]["list"].as_array().unwrap().iter();
    let queries = variables.filter_map(|variable| variable["query"]["query"].as_str());
    queries.map(str::to_owned).collect()
}
