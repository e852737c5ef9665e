//! Why a container with the sidecar's image did not do what it was made for.

use super::super::finding::Finding;
use super::facts::{Container, State};
use crate::reason;

/// Why a container with the sidecar's image did not do what it was made for.
pub(super) fn not_run(check: &'static str, container: &Container, namespace: &str) -> Finding {
    let Container { image, state } = container;
    let fix = "hint: correct injector.image of the chart, or put the image where it names it";
    let what = format!("the sidecar's image {image} in namespace {namespace}");
    let (code, text) = match state {
        State::Ended { exit_code, message } => {
            let message = if message.is_empty() { String::new() } else { format!(" ({message})") };
            let text = format!(
                "{what} does not run: exit code {exit_code}{message}; hint: is it the injector of \
                 this release, and built for the architecture of the nodes?"
            );
            (reason::KS731.code, text)
        }
        State::Waiting { reason, message } => {
            (reason::KS730.code, format!("{what} cannot be had: {reason}: {message}; {fix}"))
        }
        State::Pending => (reason::KS730.code, format!("{what} did not arrive in time; {fix}")),
    };
    Finding::failed(check, code, text)
}
