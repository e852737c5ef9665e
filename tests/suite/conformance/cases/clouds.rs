//! AUT and CFG: the cloud and the tenant, from a setting or the environment.

use super::{TENANT, TOKEN, app, variable};
use crate::suite::support::reviews::{Reviewer, labelled};
use keysluice::cloud::{Cloud, Clouds};
use serde_json::Value;
use std::process::Command;

/// The authority that containers get in this cloud.
fn authority(cloud: &str) -> Option<Value> {
    let mut reviewer = Reviewer::new();
    reviewer.settings.clouds = Clouds::new(Cloud::well_known(cloud)?);
    Some(variable(&reviewer.allowed(&labelled(app())), "AZURE_AUTHORITY_HOST"))
}

#[test]
fn aut_1_without_a_name_it_is_the_public_cloud() {
    assert_eq!(authority("").unwrap(), "https://login.microsoftonline.com/");
}

#[test]
fn aut_2_the_public_cloud() {
    assert_eq!(authority("AzurePublicCloud").unwrap(), "https://login.microsoftonline.com/");
}

#[test]
fn aut_3_the_united_states_governments_cloud() {
    assert_eq!(authority("AzureUSGovernmentCloud").unwrap(), "https://login.microsoftonline.us/");
}

#[test]
fn aut_4_the_cloud_in_china() {
    assert_eq!(authority("AzureChinaCloud").unwrap(), "https://login.chinacloudapi.cn/");
}

#[test]
fn aut_5_the_german_cloud() {
    assert_eq!(authority("AzureGermanCloud").unwrap(), "https://login.microsoftonline.de/");
}

#[test]
fn aut_6_another_name_is_an_error() {
    assert_eq!(authority("InvalidCloud"), None);
    let error = explained(&[("AZURE_ENVIRONMENT", "InvalidCloud")]).unwrap_err();
    assert!(error.contains("--cloud \"InvalidCloud\" is neither a known cloud"), "{error}");
}

/// What the program makes of a pod with these variables in its environment.
fn explained(variables: &[(&str, &str)]) -> Result<Value, String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pod.json");
    std::io::Write::write_all(
        &mut std::fs::File::create(&path).unwrap(),
        labelled(app()).to_string().as_bytes(),
    )
    .unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_keysluice"));
    command
        .env_clear()
        .envs(variables.iter().copied())
        .args(["explain", "-o", "pod", "-f"])
        .arg(path);
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if !output.status.success() {
        return Err(text(&output.stderr));
    }
    Ok(serde_saphyr::from_str(text(&output.stdout).trim_start_matches("---\n")).unwrap())
}

#[test]
fn cfg_1_the_cloud_is_the_public_one_where_none_is_named() {
    let pod = explained(&[("AZURE_TENANT_ID", TENANT)]).unwrap();
    assert_eq!(variable(&pod, "AZURE_AUTHORITY_HOST"), "https://login.microsoftonline.com/");
    assert_eq!(variable(&pod, "AZURE_TENANT_ID"), TENANT);
}

#[test]
fn cfg_2_azure_environment_names_the_cloud() {
    let pod = explained(&[("AZURE_TENANT_ID", TENANT), ("AZURE_ENVIRONMENT", "AzureChinaCloud")])
        .unwrap();
    assert_eq!(variable(&pod, "AZURE_AUTHORITY_HOST"), "https://login.chinacloudapi.cn/");
}

#[test]
fn cfg_3_without_a_tenant_the_webhook_runs_and_injects_none() {
    let pod = explained(&[("AZURE_ENVIRONMENT", "AzureChinaCloud")]).unwrap();
    assert_eq!(variable(&pod, "AZURE_TENANT_ID"), Value::Null);
    assert_eq!(variable(&pod, "AZURE_FEDERATED_TOKEN_FILE"), TOKEN);
}
