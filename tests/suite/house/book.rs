//! The book: its table of contents, the manifests of `examples/`, and the commands of its pages
//! about them.

use crate::suite::support::keysluice;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const TENANT: [&str; 2] = ["--tenant-id", "99999999-9999-9999-9999-999999999999"];
/// Directories of `examples/` with pods.
const WITH_PODS: [&str; 6] = [
    "quick-start",
    "database-password",
    "tls-ingress",
    "environment-variables",
    "versions",
    "json",
];
/// Pages whose commands name files of `examples/`.
const PAGES: [&str; 8] = [
    "quick-start.md",
    "azure.md",
    "tutorials/database-password.md",
    "tutorials/tls-ingress.md",
    "tutorials/environment-variables.md",
    "tutorials/versions.md",
    "tutorials/json.md",
    "tutorials/pipeline.md",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page(name: &str) -> String {
    fs::read_to_string(root().join("docs").join(name)).unwrap()
}

/// Files below a directory with an extension, as paths from that directory.
fn files_below(directory: &Path, extension: &str) -> BTreeSet<PathBuf> {
    let (mut found, mut ahead) = (BTreeSet::new(), vec![directory.to_owned()]);
    while let Some(next) = ahead.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                ahead.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.insert(path.strip_prefix(directory).unwrap().to_owned());
            }
        }
    }
    found
}

/// The fenced blocks of a page in one language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let (mut found, mut block) = (Vec::new(), None);
    for line in page.lines() {
        match (line.trim_start(), &mut block) {
            ("```", Some(_)) => found.extend(block.take()),
            (_, Some(text)) => *text = format!("{text}{line}\n"),
            (start, None) if start == format!("```{language}") => block = Some(String::new()),
            _ => {}
        }
    }
    found
}

#[test]
fn the_table_of_contents_names_every_page_once() {
    let summary = page("SUMMARY.md");
    let named: Vec<PathBuf> = summary
        .split("](")
        .skip(1)
        .map(|rest| PathBuf::from(rest.split(')').next().unwrap()))
        .collect();
    let mut pages = files_below(&root().join("docs"), "md");
    pages.remove(Path::new("SUMMARY.md"));
    let once: BTreeSet<PathBuf> = named.iter().cloned().collect();
    assert_eq!(once.len(), named.len(), "a page is named twice in docs/SUMMARY.md");
    let missing: Vec<_> = pages.symmetric_difference(&once).collect();
    assert!(missing.is_empty(), "only on one side of docs/SUMMARY.md and docs/: {missing:?}");
}

#[test]
fn every_example_is_served_without_a_warning() {
    for directory in WITH_PODS {
        let path = root().join("examples").join(directory);
        let files: Vec<String> = files_below(&path, "yaml")
            .iter()
            .map(|file| format!("examples/{directory}/{}", file.display()))
            .collect();
        let mut arguments = vec!["explain", "--csi-volumes", "replace", "-o", "json"];
        arguments.extend(TENANT);
        arguments.extend(files.iter().flat_map(|file| ["-f", file]));
        let (code, output, errors) = keysluice(&arguments);
        assert_eq!((code, errors.as_str()), (0, ""), "{directory}: {output}");
        let pods: Vec<Value> = serde_json::from_str(&output).unwrap();
        assert!(!pods.is_empty(), "{directory} has no pod");
        for pod in pods {
            assert_eq!(pod["outcome"], "mutated", "{directory}: {pod}");
            assert_eq!(pod["warnings"], json!([]), "{directory}: {pod}");
        }
    }
}

/// The commands of a page that name examples, without what they are piped into.
fn commands_about_examples(page: &str) -> Vec<String> {
    let blocks = blocks(page, "sh").concat().replace("\\\n", " ");
    let lines = blocks.lines().map(|line| line.trim_start_matches("target/release/"));
    let lines = lines.filter(|line| line.starts_with("keysluice ") && line.contains("examples/"));
    // `fetch` needs a vault, which tests/suite/pipeline has.
    let lines = lines.filter(|line| !line.starts_with("keysluice fetch"));
    lines.map(|line| line.split(['|', '>']).next().unwrap().to_owned()).collect()
}

#[test]
fn the_commands_about_examples_work() {
    let mut given = 0;
    let program = Path::new(env!("CARGO_BIN_EXE_keysluice")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    for name in PAGES {
        for command in commands_about_examples(&page(name)) {
            let mut shell = Command::new("sh");
            let shell = shell.args(["-euc", &command]).current_dir(root()).env("PATH", &path);
            let output = shell.output().unwrap();
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{name}: {command}\n{errors}");
            given += 1;
        }
    }
    assert!(given > 8, "{given} commands");
}

/// Whether each line of a block is in the file, in this order.
fn is_part_of(block: &str, file: &Path) -> bool {
    let file = fs::read_to_string(file).unwrap();
    let mut lines = file.lines().map(str::trim);
    block.lines().all(|line| lines.any(|other| other == line.trim()))
}

#[test]
fn the_manifests_in_the_pages_are_those_of_the_examples() {
    let mut compared = 0;
    for name in PAGES.into_iter().chain(["network.md", "gitops.md"]) {
        let text = page(name);
        let Some(directory) = text.split("`examples/").nth(1) else { continue };
        let directory = directory.split(['`', '/']).next().unwrap();
        let directory = root().join("examples").join(directory);
        for block in blocks(&text, "yaml") {
            if block.contains("secrets-updated") {
                continue;
            }
            let mut files = files_below(&directory, "yaml").into_iter();
            let is_there = files.any(|file| is_part_of(&block, &directory.join(file)));
            assert!(is_there, "{name}: not in {}:\n{block}", directory.display());
            compared += 1;
        }
    }
    assert!(compared > 10, "{compared} blocks");
}

/// Compares a file of `examples/` with what a command prints; `UPDATE_DOCS=1` writes it.
fn check_output(file: &str, arguments: &[&str]) {
    let (code, printed, errors) = keysluice(arguments);
    assert_eq!(code, 0, "{errors}");
    let path = root().join("examples").join(file);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let mut written = fs::File::create(&path).unwrap();
        std::io::Write::write_all(&mut written, printed.as_bytes()).unwrap();
    }
    assert!(
        fs::read_to_string(&path).unwrap_or_default() == printed,
        "examples/{file} is stale; UPDATE_DOCS=1 cargo test --test tests house::book writes it"
    );
}

#[test]
fn printed_examples_are_what_the_commands_print() {
    let class = "examples/tls-ingress/secretproviderclass.yaml";
    let sync = ["render", "sync", "-f", class, "--service-account", "web", "--namespace", "shop"];
    check_output("tls-ingress/sync.yaml", &sync);
    for (form, file) in
        [("terraform", "identities.tf"), ("bicep", "identities.bicep"), ("az", "identities.sh")]
    {
        let azure = ["azure", "-f", "examples/azure/workload.yaml", "--output", form];
        check_output(&format!("azure/{file}"), &azure);
    }
}

/// The objects of a file of `examples/`.
fn objects(file: &str) -> Vec<Value> {
    let text = fs::read_to_string(root().join("examples").join(file)).unwrap();
    let objects: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    assert!(!objects.is_empty(), "{file}");
    objects
}

/// Whether each value is one that the chart has.
fn are_of_the_chart(values: &Value, known: &Value) -> bool {
    let Some(values) = values.as_object() else { return true };
    let mut values = values.iter();
    values.all(|(key, value)| known.get(key).is_some_and(|known| are_of_the_chart(value, known)))
}

#[test]
fn the_gitops_examples_set_values_that_the_chart_has() {
    let text = fs::read_to_string(root().join("webhook-config/chart/values.yaml")).unwrap();
    let known: Value = serde_saphyr::from_str(&text).unwrap();
    let argo = &objects("gitops/argocd-application.yaml")[0]["spec"]["source"]["helm"];
    let flux = &objects("gitops/flux-helmrelease.yaml")[1]["spec"];
    for values in [&argo["valuesObject"], &flux["values"]] {
        assert!(values["azureTenantID"].is_string(), "{values}");
        assert!(are_of_the_chart(values, &known), "{values}");
    }
    assert!(!are_of_the_chart(&json!({"image": {"repo": "x"}}), &known));
}

#[test]
fn every_test_that_the_security_model_names_exists() {
    let mut sources = String::new();
    for directory in ["src", "injector", "certs/src", "tests/suite", "tests/cluster/tests"] {
        for file in files_below(&root().join(directory), "rs") {
            sources += &fs::read_to_string(root().join(directory).join(file)).unwrap();
        }
    }
    let text = page("security-model.md");
    let rows = text.lines().skip_while(|line| !line.starts_with("| advisory")).skip(2);
    let rows: Vec<&str> = rows.take_while(|line| line.starts_with("| ")).collect();
    assert!(rows.len() > 10, "{rows:?}");
    for row in rows {
        let name = row.rsplit('`').nth(1).unwrap();
        assert!(sources.contains(&format!("fn {name}(")), "{name}");
    }
}
