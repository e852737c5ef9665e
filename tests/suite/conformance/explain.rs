//! `keysluice explain`, `plan` and `why`, as a user runs them.

use crate::suite::support::{Theatre, data, keysluice};
use keysluice_demo::GUIDES;
use serde_json::Value;

pub(super) fn guide(directory: &str, file: &str) -> String {
    data().join("guides").join(directory).join(file).display().to_string()
}

#[tokio::test]
async fn the_explained_patch_is_the_webhooks_byte_for_byte() {
    let theatre = Theatre::open().await;
    for play in GUIDES {
        let (_, directory) = theatre.guide(play.directory);
        let manifest = directory.join(play.workload).display().to_string();
        let mut arguments = vec!["explain", "-o", "patch", "-f", &manifest];
        arguments.extend(theatre.options.iter().map(String::as_str));
        let (code, out, error) = keysluice(&arguments);
        assert_eq!(code, 0, "{error}");
        assert_eq!(
            out.trim_end_matches('\n').as_bytes(),
            theatre.review(play.directory).await.patch,
            "{}",
            play.directory
        );
    }
}

#[test]
fn the_four_outputs_agree() {
    let (pod, class, account) = (
        guide("secret-sync", "pod.yaml"),
        guide("secret-sync", "secretproviderclass.yaml"),
        guide("secret-sync", "serviceaccount.yaml"),
    );
    let run = |output: &str| {
        let (code, out, error) =
            keysluice(&["explain", "-f", &pod, &class, &account, "-o", output]);
        assert_eq!(code, 0, "{error}");
        out
    };
    let summary: Value = serde_json::from_str(&run("json")).unwrap();
    assert_eq!(summary[0]["outcome"], "mutated");
    assert_eq!(summary[0]["pod"], "Pod keyvault-demo/keyvault-demo");
    let patch: Value = serde_json::from_str(&run("patch")).unwrap();
    assert_eq!(patch, summary[0]["patch"]);
    let patched: Value = serde_saphyr::from_str(run("pod").trim_start_matches("---\n")).unwrap();
    assert_eq!(patched["spec"]["initContainers"][0]["name"], "keysluice");
    let text = run("text");
    assert!(
        text.starts_with("Pod keyvault-demo/keyvault-demo: mutated (")
            && text.contains("because  selected by its label"),
        "{text}"
    );
    assert!(!text.contains('\x1b'), "no colours where the output is no terminal");
}

#[test]
fn a_refused_pod_ends_with_1_and_says_code_field_and_fix() {
    let (pod, class) = (
        guide("managed-identity", "pod.yaml"),
        guide("managed-identity", "secretproviderclass.yaml"),
    );
    let (code, out, _) = keysluice(&["explain", "-f", &pod, &class]);
    assert_eq!(code, 1);
    assert!(
        out.contains("refused")
            && out.contains("KS108")
            && out.contains("<MI_CLIENT_ID>")
            && out.contains("hint:"),
        "{out}"
    );
    let (code, out, _) = keysluice(&["explain", "-f", &pod]);
    assert_eq!(code, 1);
    assert!(
        out.contains(
            "volume \"secrets-store\": failed to get secretproviderclass \
            keyvault-ns/keyvault-provider"
        ),
        "{out}"
    );
}

#[test]
fn a_pod_that_is_none_of_our_business_is_let_through_with_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pod.json");
    std::io::Write::write_all(
        &mut std::fs::File::create(&path).unwrap(),
        br#"{"kind":"Pod","metadata":{"name":"p"},"spec":{}}"#,
    )
    .unwrap();
    let (code, out, _) = keysluice(&["explain", "-f", &path.display().to_string()]);
    assert_eq!(code, 0);
    assert!(
        out.contains("let through unchanged")
            && out.contains("not selected: no label azure.workload.identity/use"),
        "{out}"
    );
}

#[test]
fn a_cluster_that_is_too_old_is_said_to_be_so() {
    let files = ["pod.yaml", "secretproviderclass.yaml", "serviceaccount.yaml"]
        .map(|file| guide("secret-sync", file));
    for (version, expected) in
        [("1.29", 1), ("v1.29.14", 1), ("1.29+", 1), ("1.30", 0), ("v1.30.4-gke.1", 0), ("2.0", 0)]
    {
        let mut arguments = vec!["explain", "--kubernetes-version", version, "-f"];
        arguments.extend(files.iter().map(String::as_str));
        let (code, out, error) = keysluice(&arguments);
        assert_eq!(code, expected, "{version}: {out}{error}");
        assert_eq!(
            out.contains("KS725 Kubernetes 1.29 is older than 1.30"),
            expected == 1,
            "{version}: {out}"
        );
    }
    for output in ["patch", "pod"] {
        let mut arguments = vec!["explain", "--kubernetes-version", "1.29", "-o", output, "-f"];
        arguments.extend(files.iter().map(String::as_str));
        let (code, out, error) = keysluice(&arguments);
        assert!(code == 1 && !out.is_empty() && !out.contains("KS725"), "{out}{error}");
        assert!(error.contains("KS725 Kubernetes 1.29 is older than 1.30"), "{output}: {error}");
    }
    let (code, _, error) = keysluice(&["explain", "-o", "patch", "-f", &files[0]]);
    assert!(code == 1 && error.contains(": KS2"), "{error}");
    let (code, _, error) = keysluice(&["explain", "--kubernetes-version", "new", "-f", &files[0]]);
    assert!(code == 2 && error.contains("hint: write it as 1.30"), "{error}");
}

#[test]
fn what_cannot_be_read_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("broken.yaml");
    std::io::Write::write_all(&mut std::fs::File::create(&path).unwrap(), b"kind: Pod\nspec: [\n")
        .unwrap();
    let path = path.display().to_string();
    let (code, _, error) = keysluice(&["explain", "-f", &path]);
    assert_eq!(code, 1);
    assert!(error.starts_with(&format!("keysluice: KS704 {path}: ")), "{error}");
    let (code, _, error) = keysluice(&["explain", "-f", "/nonexistent.yaml"]);
    assert_eq!(code, 1);
    assert!(error.contains("KS704 cannot read /nonexistent.yaml"), "{error}");
    let (code, _, error) =
        keysluice(&["explain", "-f", &guide("secret-sync", "serviceaccount.yaml")]);
    assert_eq!(code, 2);
    assert!(error.contains("no pod"), "{error}");
    let (code, _, error) =
        keysluice(&["explain", "-f", &guide("secret-sync", "pod.yaml"), "--cloud", "Atlantis"]);
    assert_eq!(code, 2);
    assert!(error.contains("--cloud \"Atlantis\" is neither a known cloud"), "{error}");
}

#[test]
fn a_plan_for_a_pipeline_holds_the_files_and_the_identity() {
    let (code, out, error) = keysluice(&[
        "plan",
        "-f",
        &guide("workload-identity", "secretproviderclass.yaml"),
        "--service-account-file",
        &guide("workload-identity", "serviceaccount.yaml"),
        "--tenant-id",
        "t",
        "--root",
        "/builds/secrets",
    ]);
    assert_eq!(code, 0, "{error}");
    let plan = keysluice_plan::Plan::from_json(&out).unwrap();
    assert_eq!(plan.volumes[0].directory, "/builds/secrets/azure-kv-secret-provider");
    let (code, _, error) =
        keysluice(&["plan", "-f", &guide("workload-identity", "secretproviderclass.yaml")]);
    assert_eq!(code, 3, "a class that can never work");
    assert!(error.contains("KS10") && error.contains("hint:"), "{error}");
}

#[test]
fn the_class_of_the_page_about_templates_is_accepted() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/templates.md");
    let page = std::fs::read_to_string(page).unwrap();
    let class = page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("class.yaml");
    std::fs::write(&path, class).unwrap();
    let ids = ["--tenant-id", "t", "--service-account-file"];
    let account = guide("workload-identity", "serviceaccount.yaml");
    let path = path.display().to_string();
    let (code, out, error) = keysluice(&["plan", "-f", &path, ids[0], ids[1], ids[2], &account]);
    assert_eq!(code, 0, "{error}");
    let plan = keysluice_plan::Plan::from_json(&out).unwrap();
    let (templates, files) = (&plan.volumes[0].templates, ["db-password"]);
    let mut read = |path: &str| files.contains(&path).then(|| b"p\"w d".to_vec().into());
    let mut fill = |at: usize| templates[at].template.render(&files, &mut read).unwrap();
    assert_eq!(fill(0).as_bytes(), b"DATABASE_URL=postgres://shop:p%22w%20d@db/shop\n");
    assert_eq!(
        fill(1).as_bytes(),
        br#"{"database": {"password": "p\"w d"}}
"#
    );
}

#[test]
fn why_explains_a_code() {
    let (_, expected, _) = keysluice(&["why", "KS107"]);
    for code in ["ks107", "107"] {
        let (status, out, _) = keysluice(&["why", code]);
        assert_eq!((status, &out), (0, &expected), "{code}");
    }
    for line in [
        "KS107  ",
        "\nas in  KS107 ",
        "\nfix    ",
        "\ncheck  keysluice explain -f FILE\n",
        "\ndocs   https://github.com/keysluice/keysluice/blob/main/docs/reasons.md#ks107\n",
    ] {
        assert!(expected.contains(line), "{line:?} is missing in {expected}");
    }
    let (_, listed, _) = keysluice(&["why", "--list"]);
    assert_eq!(keysluice(&["why"]).1, listed);
    assert_eq!(listed.lines().count(), keysluice::reason::all().count());
    let json =
        |arguments: &[&str]| -> Value { serde_json::from_str(&keysluice(arguments).1).unwrap() };
    let one = json(&["why", "107", "-o", "json"]);
    assert_eq!(one["code"], "KS107");
    assert!(json(&["why", "--list", "-o", "json"]).as_array().unwrap().contains(&one));
    for field in ["cause", "sample", "fix", "check", "docs"] {
        assert!(one[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {one}");
    }
    let (code, _, error) = keysluice(&["why", "KS999"]);
    assert_eq!(code, 2);
    assert!(error.contains("\"KS999\" is not a code of this version"), "{error}");
}

#[test]
fn an_empty_variable_counts_as_absent() {
    let run = |variables: &[(&str, &str)]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_keysluice"));
        command.env_clear().envs(variables.iter().copied()).args([
            "explain",
            "-o",
            "patch",
            "-f",
            &guide("secret-sync", ""),
        ]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let tenant = ("AZURE_TENANT_ID", "72f988bf-86f1-41af-91ab-2d7cd011db47");
    let empty = [
        "TENANT_ID",
        "ALLOW_VAULT",
        "ALLOW_TENANT",
        "INJECTOR_IMAGE",
        "CLOUD",
        "CSI_VOLUMES",
        "OBJECTS",
        "INJECTOR_CPU_LIMIT",
    ]
    .map(|name| format!("KEYSLUICE_{name}"));
    let mut variables: Vec<(&str, &str)> = empty.iter().map(|name| (name.as_str(), "")).collect();
    variables.push(tenant);
    assert_eq!(run(&variables), run(&[tenant]));
}

#[test]
fn reloaders_annotations_for_the_driver_are_named_with_what_takes_their_place() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.json");
    let class = guide("secret-sync", "secretproviderclass.yaml");
    let account = guide("secret-sync", "serviceaccount.yaml");
    let pod = std::fs::read_to_string(guide("secret-sync", "pod.yaml")).unwrap();
    let pod: Value = serde_saphyr::from_str(&pod).unwrap();
    for (reload, on_change, expected) in [
        ("true", Value::Null, true),
        ("false", Value::Null, false),
        ("true", "http://127.0.0.1:80/".into(), false),
    ] {
        let mut template = pod.clone();
        if on_change.is_string() {
            template["metadata"]["annotations"] =
                serde_json::json!({"keysluice.dev/on-change": on_change});
        }
        let namespace = &pod["metadata"]["namespace"];
        let deployment = serde_json::json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "app", "namespace": namespace,
                "annotations": {"secretproviderclass.reloader.stakater.com/auto": reload}},
            "spec": {"template": template}});
        let bytes = deployment.to_string();
        std::io::Write::write_all(&mut std::fs::File::create(&path).unwrap(), bytes.as_bytes())
            .unwrap();
        let path = path.display().to_string();
        let (code, out, error) = keysluice(&["explain", "-f", &path, &class, &account]);
        assert_eq!(code, 0, "{out}{error}");
        let warning =
            "KS261 annotation secretproviderclass.reloader.stakater.com/auto has no effect";
        assert_eq!(out.contains(warning), expected, "{out}");
    }
}
