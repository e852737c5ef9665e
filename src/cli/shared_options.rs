//! Options of the installation that `doctor --pre` looks at as well.

use crate::quantity::{is_cpu, is_cpu_limit, nanos};
use crate::settings::CsiVolumes;
use clap::error::ErrorKind;
use clap::{ArgMatches, Args, Command, FromArgMatches};

/// Where Entra and the vaults are.
#[derive(Debug, Args)]
pub(super) struct CloudOption {
    /// Azure cloud by name, or a file with its definition (the JSON of Azure Stack) [also:
    /// AZURE_ENVIRONMENT].
    #[arg(long, env = "KEYSLUICE_CLOUD", value_name = "NAME|FILE")]
    pub(super) cloud: Option<String>,
}

/// The sidecar's container. Every command that has it refuses a CPU request above the limit.
#[derive(Debug)]
pub(super) struct SidecarOptions {
    pub(super) image: Option<String>,
    pub(super) cpu_request: String,
    pub(super) cpu_limit: Option<String>,
}

impl FromArgMatches for SidecarOptions {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let SidecarArgs { image, cpu_request, cpu_limit } = SidecarArgs::from_arg_matches(matches)?;
        if let Some(limit) = &cpu_limit
            && nanos(&cpu_request) > nanos(limit)
        {
            let message = format!(
                "--injector-cpu-request {cpu_request} is above --injector-cpu-limit {limit}\n"
            );
            return Err(clap::Error::raw(ErrorKind::ValueValidation, message));
        }
        Ok(Self { image, cpu_request, cpu_limit })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for SidecarOptions {
    fn augment_args(command: Command) -> Command {
        SidecarArgs::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        SidecarArgs::augment_args_for_update(command)
    }
}

/// Its options, each by itself.
#[derive(Debug, Args)]
struct SidecarArgs {
    /// Image of the sidecar.
    #[arg(
        id = "injector_image",
        long = "injector-image",
        env = "KEYSLUICE_INJECTOR_IMAGE",
        value_parser = image,
        value_name = "REF"
    )]
    image: Option<String>,
    /// CPU request of the sidecar (a LimitRange may require more).
    #[arg(id = "injector_cpu_request", long = "injector-cpu-request",
        env = "KEYSLUICE_INJECTOR_CPU_REQUEST", default_value = "1m",
        value_parser = request, value_name = "CPU")]
    cpu_request: String,
    /// CPU limit of the sidecar (a ResourceQuota may require one); none by default.
    #[arg(id = "injector_cpu_limit", long = "injector-cpu-limit",
        env = "KEYSLUICE_INJECTOR_CPU_LIMIT", value_parser = limit, value_name = "CPU")]
    cpu_limit: Option<String>,
}

/// What happens to volumes of the CSI driver.
#[derive(Debug, Args)]
pub(super) struct CsiVolumesOption {
    /// Secrets Store CSI volumes: served by the sidecar (replace), left to the CSI driver (leave),
    /// or served if the cluster has no CSI driver (auto).
    #[arg(
        long,
        env = "KEYSLUICE_CSI_VOLUMES",
        default_value = "auto",
        value_name = "auto|replace|leave"
    )]
    pub(super) csi_volumes: CsiVolumes,
}

fn request(text: &str) -> Result<String, String> {
    if is_cpu(text) {
        Ok(text.to_owned())
    } else {
        Err("not a CPU quantity such as 5m or 0.1".to_owned())
    }
}

fn limit(text: &str) -> Result<String, String> {
    if is_cpu_limit(text) {
        Ok(text.to_owned())
    } else {
        Err("not a CPU quantity above 0, such as 100m or 0.1".to_owned())
    }
}

/// A reference to an image, as far as it is clear that none has this form.
pub(super) fn image(text: &str) -> Result<String, String> {
    let problem = if text.is_empty() {
        "an image reference is not empty"
    } else if text.contains(|character: char| character.is_whitespace() || character.is_control()) {
        "an image reference has no blanks"
    } else {
        return Ok(text.to_owned());
    };
    Err(format!("{problem}; hint: name the image as ghcr.io/keysluice/injector:0.1.0 does"))
}

#[cfg(test)]
mod tests {
    use super::image;
    use crate::cli::Cli;
    use clap::Parser as _;

    #[test]
    fn no_command_takes_a_cpu_request_above_the_limit() {
        for command in [&["serve"][..], &["explain", "-f", "x"], &["doctor", "--pre"]] {
            for (request, limit, expected) in [
                (
                    "200m",
                    "100m",
                    Some("--injector-cpu-request 200m is above --injector-cpu-limit 100m"),
                ),
                ("0", "0", Some("not a CPU quantity above 0")),
                ("x", "1", Some("not a CPU quantity such as 5m")),
                ("100m", "0.1", None),
            ] {
                let options = ["--injector-cpu-request", request, "--injector-cpu-limit", limit];
                let args = [&["keysluice"], command, &options].concat();
                let error = Cli::try_parse_from(args).err().map(|error| error.to_string());
                assert_eq!(error.is_some(), expected.is_some(), "{command:?} {error:?}");
                assert!(error.is_none_or(|error| error.contains(expected.unwrap_or_default())));
            }
        }
    }

    #[test]
    fn an_image_reference_is_not_empty_and_has_no_blanks() {
        for text in ["", " ", "a b", "a\tb", "ghcr.io/keysluice/injector:0.1.0\n"] {
            assert!(image(text).unwrap_err().starts_with("an image reference "), "{text:?}");
        }
        for text in ["injector", "localhost:5000/a/b:1", "ghcr.io/a/b@sha256:0123"] {
            assert_eq!(image(text).as_deref(), Ok(text));
        }
    }
}
