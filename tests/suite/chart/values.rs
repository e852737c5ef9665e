//! The chart's values: each with a comment, a line of `docs/chart-values.md` and a place in the
//! schema. No Helm needed.

use crate::suite::support::check_page;
use serde_json::Value;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn chart(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("webhook-config/chart").join(file)
}

fn read(file: &str) -> String {
    std::fs::read_to_string(chart(file)).unwrap()
}

fn yaml(file: &str) -> Value {
    serde_saphyr::from_str(&read(file)).unwrap()
}

/// A value with a comment of its own.
struct Row {
    path: Vec<String>,
    comment: String,
}

/// Keys with the comment right above them. A key without one belongs to the documented value it
/// stands in, or only groups others.
fn rows(text: &str) -> Vec<Row> {
    let (mut rows, mut comment, mut path) = (Vec::new(), Vec::new(), Vec::<(usize, String)>::new());
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        if let Some(words) = line.trim_start().strip_prefix("# ") {
            comment.push(words.trim());
            continue;
        }
        let Some((key, _)) = line.trim_start().split_once(':') else {
            comment.clear();
            continue;
        };
        path.retain(|(depth, _)| *depth < indent);
        path.push((indent, key.to_owned()));
        if !comment.is_empty() {
            let path = path.iter().map(|(_, key)| key.clone()).collect();
            rows.push(Row { path, comment: std::mem::take(&mut comment).join(" ") });
        }
    }
    rows
}

/// Leaves of the values by path; a documented one is a leaf whatever is in it.
fn leaves(value: &Value, path: &mut Vec<String>, documented: &[Row], found: &mut Vec<Vec<String>>) {
    let is_documented = documented.iter().any(|row| row.path == *path);
    match value.as_object() {
        Some(object) if !is_documented && !object.is_empty() => {
            for (key, value) in object {
                path.push(key.clone());
                leaves(value, path, documented, found);
                path.pop();
            }
        }
        _ => found.push(path.clone()),
    }
}

fn at<'a>(value: &'a Value, path: &[String]) -> &'a Value {
    path.iter().fold(value, |value, key| &value[key.as_str()])
}

#[test]
fn every_value_is_documented() {
    let (values, rows) = (yaml("values.yaml"), rows(&read("values.yaml")));
    let mut found = Vec::new();
    leaves(&values, &mut Vec::new(), &rows, &mut found);
    for path in &found {
        assert!(rows.iter().any(|row| row.path == *path), "{} has no comment", path.join("."));
    }
    let tables = tables_of(&rows, &values);
    let page = format!(
        "# Chart values\n\nThis page is generated from `webhook-config/chart/values.yaml`. The \
         chart's schema refuses other values.\n\n{tables}"
    );
    check_page("chart-values.md", &page);
    check_page(
        "../webhook-config/chart/README.md",
        &format!("{README}{}", tables.replace("## ", "### ")),
    );
}

/// What stands above the values in the chart's README.
const README: &str = include_str!("../../data/chart/readme-head.md");

/// A table of the values that stand alone, and one for each group of values.
fn tables_of(rows: &[Row], values: &Value) -> String {
    let mut groups: Vec<(&str, String)> = vec![("General", String::new())];
    for row in rows {
        let name = row.path.join(".");
        assert!(row.comment.ends_with('.'), "{name}");
        let default = match at(values, &row.path) {
            Value::String(text) if text.is_empty() => String::new(),
            value => format!("`{value}`"),
        };
        let comment = row.comment.replace('|', "\\|");
        let group = if row.path.len() > 1 { row.path[0].as_str() } else { "General" };
        let index = groups.iter().position(|(name, _)| *name == group).unwrap_or_else(|| {
            groups.push((group, String::new()));
            groups.len() - 1
        });
        writeln!(groups[index].1, "| `{name}` | {default} | {comment} |").unwrap();
    }
    let head = "| value | default | what it does |\n| --- | --- | --- |\n";
    let tables = groups.iter().map(|(name, rows)| format!("## {name}\n\n{head}{rows}"));
    tables.collect::<Vec<_>>().join("\n")
}

/// Editors show them; `UPDATE_DOCS=1` writes them.
#[test]
fn the_schema_describes_each_value_with_its_comment() {
    let text = read("values.schema.json");
    let mut schema: Value = serde_json::from_str(&text).unwrap();
    for row in rows(&read("values.yaml")) {
        let property = row.path.iter().fold(&mut schema, |schema, key| {
            schema["properties"].get_mut(key).unwrap_or_else(|| panic!("{key}"))
        });
        let property = property.as_object_mut().unwrap();
        property.shift_remove("description");
        property.shift_insert(0, "description".to_owned(), row.comment.into());
    }
    let expected = format!("{}\n", serde_json::to_string_pretty(&schema).unwrap());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let mut written = std::fs::File::create(chart("values.schema.json")).unwrap();
        std::io::Write::write_all(&mut written, expected.as_bytes()).unwrap();
    }
    assert!(
        read("values.schema.json") == expected,
        "values.schema.json is stale; UPDATE_DOCS=1 cargo test --test tests chart::values writes it"
    );
}

/// An annotation that is YAML.
fn listed(annotation: &Value) -> Value {
    serde_saphyr::from_str(annotation.as_str().unwrap()).unwrap()
}

#[test]
fn the_chart_describes_itself_for_artifact_hub() {
    use base64::Engine as _;
    let (chart, values) = (yaml("Chart.yaml"), yaml("values.yaml"));
    let icon = chart["icon"].as_str().unwrap().strip_prefix("data:image/svg+xml;base64,").unwrap();
    let icon = base64::engine::general_purpose::STANDARD.decode(icon).unwrap();
    let drawn = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/pictures/icon.svg");
    assert_eq!(
        String::from_utf8(icon).unwrap(),
        std::fs::read_to_string(drawn).unwrap().trim_end()
    );
    let images = listed(&chart["annotations"]["artifacthub.io/images"]);
    let version = env!("CARGO_PKG_VERSION");
    for (index, path) in [["image"].as_slice(), &["injector", "image"]].into_iter().enumerate() {
        let image = path.iter().fold(&values, |values, key| &values[*key]);
        let name = format!("{}:{version}", image["repository"].as_str().unwrap());
        assert_eq!(images[index]["image"], Value::String(name));
    }
    let kinds = listed(&chart["annotations"]["artifacthub.io/crds"]);
    assert_eq!(kinds[0]["name"], yaml("crds/secretproviderclasses.yaml")["metadata"]["name"]);
}

#[test]
fn the_schema_knows_exactly_the_values() {
    let (values, schema): (Value, Value) =
        (yaml("values.yaml"), serde_json::from_str(&read("values.schema.json")).unwrap());
    let rows = rows(&read("values.yaml"));
    let mut expected = Vec::new();
    leaves(&values, &mut Vec::new(), &rows, &mut expected);
    let mut found = Vec::new();
    properties(&schema, &mut Vec::new(), &rows, &mut found);
    // Helm gives every chart this one.
    found.retain(|path| *path != ["global"]);
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
}

fn properties(
    schema: &Value,
    path: &mut Vec<String>,
    documented: &[Row],
    found: &mut Vec<Vec<String>>,
) {
    let is_leaf = documented.iter().any(|row| row.path == *path);
    match schema["properties"].as_object() {
        Some(properties_of) if !is_leaf => {
            assert_eq!(
                schema["additionalProperties"], false,
                "a misspelt value below {path:?} would be without effect"
            );
            for (key, schema) in properties_of {
                path.push(key.clone());
                properties(schema, path, documented, found);
                path.pop();
            }
        }
        _ => found.push(path.clone()),
    }
}

#[test]
fn values_of_azure_workload_identity_keep_their_names() {
    let values = yaml("values.yaml");
    for name in [
        "replicaCount",
        "image.repository",
        "image.pullPolicy",
        "image.release",
        "imagePullSecrets",
        "nodeSelector",
        "resources",
        "tolerations",
        "affinity",
        "topologySpreadConstraints",
        "service.type",
        "service.port",
        "service.targetPort",
        "azureEnvironment",
        "azureTenantID",
        "logLevel",
        "metricsAddr",
        "metricsBackend",
        "priorityClassName",
        "mutatingWebhookAnnotations",
        "podLabels",
        "podAnnotations",
        "mutatingWebhookNamespaceSelector",
        "podDisruptionBudget.minAvailable",
        "podDisruptionBudget.maxUnavailable",
        "customTokenEndpoint.annotationSuffix",
        "customTokenEndpoint.audience",
        "customTokenEndpoint.azureKubernetesCaData",
        "customTokenEndpoint.azureKubernetesSniName",
        "customTokenEndpoint.azureKubernetesTokenProxy",
        "customTokenEndpoint.azureKubernetesCAConfigMapName",
        "customTokenEndpoint.azureKubernetesCACTBSignerName",
        "customTokenEndpoint.azureKubernetesCACTBLabelSelector",
        "extraEnv",
        "extraVolumes",
        "extraVolumeMounts",
        "revisionHistoryLimit",
        "nameOverride",
        "fullnameOverride",
    ] {
        let (parent, key) = name.rsplit_once('.').unwrap_or(("", name));
        let parent = if parent.is_empty() { &values } else { &values[parent] };
        assert!(parent.as_object().is_some_and(|object| object.contains_key(key)), "{name}");
    }
}

#[test]
fn chart_and_program_are_of_one_version_and_repository() {
    let chart = yaml("Chart.yaml");
    assert_eq!(chart["home"], env!("CARGO_PKG_REPOSITORY"));
    assert_eq!(
        (&chart["version"], &chart["appVersion"]),
        (&env!("CARGO_PKG_VERSION").into(), &env!("CARGO_PKG_VERSION").into())
    );
}

#[test]
fn the_definition_of_classes_keeps_what_it_does_not_know_below_spec_and_status() {
    let definition = yaml("crds/secretproviderclasses.yaml");
    assert_eq!(definition["metadata"]["name"], "secretproviderclasses.secrets-store.csi.x-k8s.io");
    let versions = definition["spec"]["versions"].as_array().unwrap();
    assert_eq!(
        versions.iter().map(|version| version["name"].as_str().unwrap()).collect::<Vec<_>>(),
        ["v1", "v1alpha1"]
    );
    assert_eq!(versions.iter().filter(|version| version["storage"] == true).count(), 1);
    for version in versions {
        let schema = &version["schema"]["openAPIV3Schema"];
        for (pointer, keeps) in
            [("", false), ("/properties/spec", true), ("/properties/status", true)]
        {
            let kept =
                schema.pointer(pointer).unwrap()["x-kubernetes-preserve-unknown-fields"] == true;
            assert_eq!(kept, keeps, "{pointer}");
        }
    }
}
