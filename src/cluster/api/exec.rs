//! What a command prints in a container, through `pods/exec` over a WebSocket.

use super::client::Client;
use super::error::ApiError;
use super::watch::escape;
use futures_util::StreamExt as _;
use serde_json::Value;

/// The first byte of a message says what it holds.
const OUTPUT: u8 = 1;
const ERROR_OUTPUT: u8 = 2;
const STATUS: u8 = 3;
/// Of what a command prints as an error.
const MAX_ERROR_BYTES: usize = 1 << 10;

/// A container of a pod that runs.
#[derive(Debug, Clone, Copy)]
pub struct ContainerName<'a> {
    /// Of the pod.
    pub namespace: &'a str,
    /// Of the pod.
    pub pod: &'a str,
    /// Of the container.
    pub container: &'a str,
}

/// Why there is no output.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// No connection, or a refusal.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The command failed, or could not be started.
    #[error("{0}")]
    Failed(String),
    /// It prints more than we take.
    #[error("the output exceeds {0} bytes")]
    TooLarge(usize),
    /// The connection ended before the command did.
    #[error("the connection ended before the command")]
    Cut,
}

/// Runs a command in a container, without input, and gives what it prints to standard output: at
/// most so many bytes. What it prints is the container's, and may be anything.
///
/// # Errors
/// [`ExecError`] says why there is none. Nothing here limits the time.
pub async fn exec(
    client: &Client,
    container: ContainerName<'_>,
    command: &[&str],
    limit_bytes: usize,
) -> Result<Vec<u8>, ExecError> {
    let mut stream = client.connect_to(&path(container, command)).await?.into_stream();
    let (mut output, mut errors, mut status) = (Vec::new(), Vec::new(), None);
    while let Some(message) = stream.next().await {
        // Some proxies end the connection without a word. All is there if the status is.
        let Some(message) = message.ok().filter(|message| !message.is_close()) else { break };
        if !message.is_binary() && !message.is_text() {
            continue;
        }
        let data = message.into_data();
        match data.split_first() {
            Some((&OUTPUT, data)) if output.len() + data.len() > limit_bytes => {
                return Err(ExecError::TooLarge(limit_bytes));
            }
            Some((&OUTPUT, data)) => output.extend_from_slice(data),
            Some((&ERROR_OUTPUT, data)) => {
                errors.extend(data.iter().take(MAX_ERROR_BYTES.saturating_sub(errors.len())));
            }
            Some((&STATUS, data)) => status = Some(failure(data)),
            _ => {}
        }
    }
    match status {
        None => Err(ExecError::Cut),
        Some(None) => Ok(output),
        Some(Some(message)) => {
            let said = String::from_utf8_lossy(&errors);
            let said = said.trim();
            let colon = if said.is_empty() { "" } else { ": " };
            Err(ExecError::Failed(format!("{message}{colon}{said}")))
        }
    }
}

fn path(container: ContainerName<'_>, command: &[&str]) -> String {
    let ContainerName { namespace, pod, container } = container;
    let words = command.iter().map(|word| format!("&command={}", escape(word)));
    format!(
        "/api/v1/namespaces/{namespace}/pods/{pod}/exec?container={container}&stdout=true&\
         stderr=true{}",
        words.collect::<String>()
    )
}

/// What the API server's Status says of a command that failed; `None` for success.
fn failure(status: &[u8]) -> Option<String> {
    let status: Value = serde_json::from_slice(status).unwrap_or_default();
    if status["status"] == "Success" {
        return None;
    }
    let message = status["message"].as_str().unwrap_or("the command failed");
    Some(message.chars().take(MAX_ERROR_BYTES).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_a_part_of_the_query() {
        let container = ContainerName { namespace: "shop", pod: "web-0", container: "keysluice" };
        assert_eq!(
            path(container, &["/bin/x", "a&b=c d"]),
            "/api/v1/namespaces/shop/pods/web-0/exec?container=keysluice&stdout=true&stderr=true&\
             command=%2Fbin%2Fx&command=a%26b%3Dc%20d"
        );
    }

    #[test]
    fn only_a_success_is_one() {
        for (status, expected) in [
            (r#"{"status":"Success"}"#, None),
            (r#"{"status":"Failure","message":"exit code 1"}"#, Some("exit code 1")),
            (r#"{"status":"Failure"}"#, Some("the command failed")),
            ("command not found", Some("the command failed")),
        ] {
            assert_eq!(failure(status.as_bytes()).as_deref(), expected, "{status}");
        }
    }
}
