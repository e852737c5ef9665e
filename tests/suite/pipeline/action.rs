//! The GitHub action and the GitLab template of `docs/ci`: what the runners require of them, and
//! their own shell steps against the emulator.

use super::{CLIENT, Runner, TENANT, stderr, stdout};
use crate::suite::support::binaries;
use keysluice_emulator::pipeline::BEARER;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

fn yaml(path: &str) -> Value {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

fn list(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
}

/// Runs a script of a template as the runner does, with both programs on the PATH.
fn shell(runner: &Runner, script: &str, variables: &[(&str, String)]) -> Output {
    let programs = runner.home.join("programs");
    if !programs.exists() {
        std::fs::create_dir(&programs).unwrap();
        let binaries = binaries();
        for (name, target) in
            [("keysluice", &binaries.keysluice), ("keysluice-injector", &binaries.injector)]
        {
            std::os::unix::fs::symlink(target, programs.join(name)).unwrap();
        }
    }
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("bash");
    command.args(["-e", "-c", script]).env_clear().current_dir(&runner.home).env("PATH", path);
    command
        .env("KEYSLUICE_CLOUD", runner.path("cloud.json"))
        .env("TMPDIR", runner.home.join("memory"))
        .envs(variables.iter().map(|(name, value)| (*name, value)));
    command.output().unwrap()
}

#[test]
fn the_action_is_what_github_requires_of_a_composite_action() {
    let action = yaml("docs/ci/github/action.yml");
    assert!(action["name"].is_string() && action["description"].is_string());
    assert_eq!(action["runs"]["using"], "composite");
    let inputs = action["inputs"].as_object().unwrap();
    assert!(inputs.values().all(|input| input["description"].is_string()));
    for step in action["runs"]["steps"].as_array().unwrap() {
        assert_eq!(step["shell"], "bash", "a step of a composite action names its shell");
        let run = step["run"].as_str().unwrap();
        assert!(!run.contains("${{"), "inputs come as variables: a script is not a template");
        assert!(run.starts_with("set -euo pipefail\n"), "{run}");
        for value in step["env"].as_object().unwrap().values() {
            let name = value.as_str().unwrap().trim_start_matches("${{ inputs.");
            let name = name.trim_end_matches(" }}");
            assert!(inputs.contains_key(name), "{name} is not an input");
        }
    }
}

#[test]
fn the_steps_of_the_action_set_masked_variables_and_files() {
    let runner = Runner::new();
    let mut variables = runner.github();
    let references = format!(
        "\n  DB={}\n\n  HOSTILE={}\n",
        runner.reference("db-password"),
        runner.reference("hostile")
    );
    variables.extend([
        ("INPUT_CLIENT_ID", CLIENT.to_owned()),
        ("INPUT_TENANT_ID", TENANT.to_owned()),
        ("INPUT_REFERENCES", references),
        ("INPUT_CLASS", String::new()),
        ("INPUT_ENV", "true".to_owned()),
        ("INPUT_OUT", "out".to_owned()),
        ("INPUT_WAIT", "10s".to_owned()),
        ("KEYSLUICE_IMAGE", "none".to_owned()),
        ("RUNNER_TEMP", runner.path("memory")),
    ]);
    let action = yaml("docs/ci/github/action.yml");
    for step in action["runs"]["steps"].as_array().unwrap() {
        let output = shell(&runner, step["run"].as_str().unwrap(), &variables);
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(stdout(&output).lines().all(|line| line.starts_with("::add-mask::")));
    }
    assert_eq!(runner.read("out/DB"), "canary-s3cret");
    let env = runner.read("env");
    assert!(env.contains("DB<<keysluice_") && env.contains("HOSTILE<<keysluice_"), "{env}");
    assert!(!runner.home.join("pwned").exists());
}

#[test]
fn the_template_is_what_gitlab_requires_and_no_artifact_has_a_secret() {
    let template = yaml("docs/ci/gitlab/keysluice.yml");
    let job = &template[".keysluice"];
    assert_eq!(job["id_tokens"]["KEYSLUICE_ID_TOKEN"]["aud"], "api://AzureADTokenExchange");
    let programs = &template["keysluice-programs"];
    assert_eq!(list(&job["needs"]), ["keysluice-programs"]);
    assert_eq!(list(&programs["artifacts"]["paths"]), [".keysluice/"]);
    assert_eq!(list(&programs["image"]["entrypoint"]), [""], "a runner starts a shell");
    for (name, job) in template.as_object().unwrap() {
        let is_job = name != "variables";
        assert!(!is_job || job["artifacts"]["reports"].is_null(), "{name}");
        assert!(!job.to_string().contains("--dotenv"), "{name}");
        let is_runnable = job["script"].is_array() || name.starts_with('.');
        assert!(!is_job || is_runnable, "{name} has no script");
    }
}

#[test]
fn the_scripts_of_the_template_fetch_files_and_remove_them() {
    let runner = Runner::new();
    let token = runner.emulator.mint_token(
        "shop",
        "web",
        "api://AzureADTokenExchange",
        Duration::from_secs(600),
    );
    let job = format!("test-{}", std::process::id());
    let files = format!("/dev/shm/keysluice-{job}");
    let variables = [
        ("GITLAB_CI", "true".to_owned()),
        ("CI_PROJECT_DIR", runner.path("")),
        ("CI_JOB_ID", job),
        ("KEYSLUICE_ID_TOKEN", token),
        ("AZURE_CLIENT_ID", CLIENT.to_owned()),
        ("AZURE_TENANT_ID", TENANT.to_owned()),
        ("KEYSLUICE_REFERENCES", format!("DB={}", runner.reference("db-password"))),
    ];
    let template = yaml("docs/ci/gitlab/keysluice.yml");
    let hidden = &template[".keysluice-files"];
    let mut script = list(&hidden["before_script"]);
    script.push("cat \"$KEYSLUICE_FILES/DB\"".to_owned());
    let output = shell(&runner, &script.join("\n"), &variables);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stdout(&output), "canary-s3cret", "GitLab reads no commands");
    let output = shell(&runner, &list(&hidden["after_script"]).join("\n"), &variables);
    assert!(output.status.success() && !Path::new(&files).exists());
    assert!(!stderr(&output).contains(BEARER));
}
