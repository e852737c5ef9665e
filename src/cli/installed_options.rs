//! The settings of a webhook that runs, from the environment of its container.

use super::Failure;
use super::options::Options;
use crate::cloud::Cloud;
use crate::settings::Settings;
use clap::builder::Resettable;
use clap::{ArgAction, CommandFactory as _, FromArgMatches as _, Parser};
use serde_json::Value;

#[derive(Debug, Parser)]
#[command(no_binary_name = true)]
struct Installed {
    #[command(flatten)]
    options: Options,
}

/// Settings as the container's variables make them; those of the caller's own environment do not
/// count. A cloud that is defined in a file of the container is left at its default.
pub(super) fn settings(environment: &[Value]) -> Result<Settings, Failure> {
    let command = Installed::command();
    let mut arguments = Vec::new();
    for arg in command.get_arguments() {
        let (Some(variable), Some(long)) =
            (arg.get_env().and_then(|name| name.to_str()), arg.get_long())
        else {
            continue;
        };
        let Some(value) = value_of(environment, variable) else { continue };
        if long == "cloud" && Cloud::well_known(value).is_none() {
            continue;
        }
        match arg.get_action() {
            ArgAction::SetTrue if value == "true" => arguments.push(format!("--{long}")),
            ArgAction::SetTrue => {}
            _ => arguments.push(format!("--{long}={value}")),
        }
    }
    let command = command.mut_args(|arg| arg.env(Resettable::Reset));
    let matches = command.try_get_matches_from(arguments).map_err(Failure::usage)?;
    Installed::from_arg_matches(&matches).map_err(Failure::usage)?.options.settings()
}

fn value_of<'v>(environment: &'v [Value], name: &str) -> Option<&'v str> {
    let entry = environment.iter().find(|entry| entry["name"] == name)?;
    entry["value"].as_str().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::CsiVolumes;
    use serde_json::json;

    #[test]
    fn the_containers_variables_become_settings() {
        let environment = [
            json!({"name": "KEYSLUICE_TENANT_ID", "value": "t"}),
            json!({"name": "KEYSLUICE_CSI_VOLUMES", "value": "replace"}),
            json!({"name": "KEYSLUICE_ALLOW_VAULT", "value": "a,b*"}),
            json!({"name": "KEYSLUICE_AUDIENCE", "value": ""}),
            json!({"name": "KEYSLUICE_CLOUD", "value": "/etc/keysluice/cloud/cloud.json"}),
            json!({"name": "KEYSLUICE_WRITE_CERT_AND_KEY_IN_SEPARATE_FILES", "value": "true"}),
            json!({"name": "OTHER", "value": "x"}),
        ];
        let settings = settings(&environment).ok().unwrap();
        assert_eq!(settings.tenant_id.as_deref(), Some("t"));
        assert_eq!(settings.csi_volumes, CsiVolumes::Replace);
        assert_eq!(settings.limits.vaults, ["a", "b*"]);
        assert_eq!(settings.audience, Settings::DEFAULT_AUDIENCE);
        assert!(settings.split_certificates);
    }

    #[test]
    fn the_audience_of_a_cloud_is_that_of_the_installed_one() {
        let environment = [
            json!({"name": "KEYSLUICE_CLOUD", "value": "AzureUSGovernmentCloud"}),
            json!({"name": "KEYSLUICE_AUDIENCE", "value": "cloud"}),
        ];
        let settings = settings(&environment).ok().unwrap();
        assert_eq!(settings.audience, "api://AzureADTokenExchangeUSGov");
    }
}
