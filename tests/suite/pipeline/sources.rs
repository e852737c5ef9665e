//! Where the assertion comes from, and what happens if it is not accepted at once.

use super::{CLIENT, Runner, TENANT, stderr};
use keysluice_emulator::pipeline::{BEARER, GITHUB_SUBJECT};
use keysluice_emulator::{CallKind, Fault, Seed};
use serde_json::json;
use std::process::Stdio;
use std::time::Duration;

const AUDIENCE: &str = "api://AzureADTokenExchange";

fn token(runner: &Runner) -> String {
    runner.emulator.mint_token("shop", "web", AUDIENCE, Duration::from_secs(600))
}

#[test]
fn each_runner_has_its_token_service_variable_or_file() {
    let runner = Runner::new();
    let port = runner.emulator.http_port();
    runner.write("token", &token(&runner));
    let azure = [
        ("TF_BUILD", "True".to_owned()),
        ("SYSTEM_OIDCREQUESTURI", format!("http://127.0.0.1:{port}/pipelines/azure/oidctoken")),
        ("SYSTEM_ACCESSTOKEN", BEARER.to_owned()),
    ];
    let https = [
        (
            "ACTIONS_ID_TOKEN_REQUEST_URL",
            format!(
                "https://localhost:{}/pipelines/github/token?api-version=2.0",
                runner.emulator.https_port()
            ),
        ),
        ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", BEARER.to_owned()),
    ];
    let gitlab = [("KEYSLUICE_ID_TOKEN", token(&runner))];
    let own = [("BUILDKITE_TOKEN", token(&runner))];
    let federated = [("AZURE_FEDERATED_TOKEN_FILE", runner.path("token"))];
    let service = ["--service-connection-id", "shop"];
    for (number, (options, variables, said)) in [
        (&service[..], &azure[..], "Azure Pipelines at 127.0.0.1"),
        (&[], &https[..], "GitHub Actions at localhost"),
        (&[], &gitlab[..], "variable KEYSLUICE_ID_TOKEN"),
        (&["--assertion", "env:BUILDKITE_TOKEN"], &own[..], "variable BUILDKITE_TOKEN"),
        (&[], &federated[..], "file "),
        (&["--assertion", "file:token"], &[], "file token"),
    ]
    .into_iter()
    .enumerate()
    {
        let (out, db) = (format!("out{number}"), runner.reference("db-password"));
        let arguments = [options, &["--out", &out, &db]].concat();
        let output = runner.fetch(&arguments, variables);
        assert!(output.status.success(), "{said}: {}", stderr(&output));
        assert!(stderr(&output).contains(&format!("assertion: {said}")), "{}", stderr(&output));
        assert_eq!(runner.read(&format!("{out}/db-password")), "canary-s3cret");
    }
}

#[test]
fn a_token_service_that_refuses_is_named_without_its_secrets() {
    let runner = Runner::new();
    let db = runner.reference("db-password");
    let mut wrong = runner.github();
    wrong[2].1 = "canary-wrong".to_owned();
    let output = runner.fetch(&["--out", "out", &db], &wrong);
    let said = stderr(&output);
    assert!(output.status.code() == Some(1), "{said}");
    assert!(said.contains("KS792 GitHub Actions at 127.0.0.1: it answered 401"), "{said}");
    assert!(!said.contains("canary"), "{said}");
    runner.emulator.inject(Fault::status(503).on(CallKind::PipelineToken).times(1));
    runner.succeed(&["--out", "out", &db]);
    let output = runner.fetch(&["--out", "out", &db], &[]);
    assert!(output.status.code() == Some(3) && stderr(&output).contains("KS791"));
    let output = runner.fetch(&["--assertion", "file:none", "--out", "out", &db], &[]);
    assert!(output.status.code() == Some(3) && stderr(&output).contains("token file none"));
}

#[test]
fn a_file_of_authorities_that_cannot_be_used_is_named() {
    let runner = Runner::new();
    runner.write("empty.pem", "# none yet\n");
    let db = runner.reference("db-password");
    for (file, problem) in [("gone.pem", "No such file"), ("empty.pem", "no certificate in it")] {
        let mut variables = runner.github();
        variables.push(("SSL_CERT_FILE", file.to_owned()));
        let output = runner.fetch(&["--out", "out", &db], &variables);
        let said = stderr(&output);
        assert!(said.contains(&format!("KS796 SSL_CERT_FILE {file}: {problem}")), "{said}");
        assert_eq!(output.status.code(), Some(3), "{said}");
    }
}

#[test]
fn the_token_can_have_the_audience_of_the_clouds_portal() {
    let runner = Runner::new();
    let db = runner.reference("db-password");
    let mut cloud: serde_json::Value = serde_json::from_str(&runner.emulator.cloud_json()).unwrap();
    cloud["name"] = "AzureUSGovernmentCloud".into();
    runner.write("cloud.json", &cloud.to_string());
    let seed = json!({"apps": [{"clientId": CLIENT, "tenantId": TENANT, "federatedCredentials":
        [{"subject": GITHUB_SUBJECT, "audience": "api://AzureADTokenExchangeUSGov"}]}]});
    runner.emulator.seed(serde_json::from_value(seed).unwrap()).unwrap();
    let output = runner.fetch(&["--out", "out", &db], &runner.github());
    let said = stderr(&output);
    assert!(said.contains("KS304") && said.contains("AADSTS700212"), "{said}");
    let arguments = ["--audience", "cloud", "--out", "out", &db];
    let output = runner.fetch(&arguments, &runner.github());
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(runner.read("out/db-password"), "canary-s3cret");
}

/// AADSTS700213 until the credential is known.
#[test]
fn a_federated_credential_that_is_still_propagating_is_waited_for() {
    let runner = Runner::new();
    let db = runner.reference("db-password");
    let app = |subject: &str| -> Seed {
        serde_json::from_value(json!({"apps": [{"clientId": CLIENT, "tenantId": TENANT,
            "federatedCredentials": [{"subject": subject}]}]}))
        .unwrap()
    };
    runner.emulator.seed(app("repo:octo/other:ref:refs/heads/main")).unwrap();
    let output = runner.fetch(&["--wait", "2s", "--out", "out", &db], &runner.github());
    let said = stderr(&output);
    assert!(output.status.code() == Some(1) && said.contains("KS303"), "{said}");
    assert!(said.contains("AADSTS700213") && said.contains(GITHUB_SUBJECT), "{said}");
    let mut command = runner.command(&["--wait", "30", "--out", "out", &db], &runner.github());
    runner.emulator.reset_counts();
    let mut job = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while runner.emulator.counts().tokens < 2 {
        std::thread::sleep(Duration::from_millis(5));
    }
    runner.emulator.seed(app(GITHUB_SUBJECT)).unwrap();
    assert!(job.wait().unwrap().success());
    assert_eq!(runner.read("out/db-password"), "canary-s3cret");
}
