//! Whether services answer from here, for a pod that looks at the network of its namespace
//! (`keysluice doctor --pre --probe`).

use crate::fault::Fault;
use crate::http::{Environment, Failure, Http};
use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// For one service, from the look-up of its name to its answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends a request without credentials to each URL. Prints a line for each, into the termination
/// message as well: the URL, a blank, and the status or `failed: ` with the cause.
pub(crate) async fn probe(urls: &[String], termination: &Path) -> Result<ExitCode, Fault> {
    let http = Http::new(None, &Environment::of_process()).map_err(|error| error.fault())?;
    let client = http.client().map_err(|error| error.fault())?;
    let (mut lines, mut code) = (String::new(), ExitCode::SUCCESS);
    for url in urls {
        let answer = client.get(url).timeout(PATIENCE).send().await;
        // Writing to a string cannot fail.
        let _ = match answer {
            Ok(answer) => writeln!(lines, "{url} {}", answer.status().as_u16()),
            Err(error) => {
                code = ExitCode::FAILURE;
                let failure = http.explained(url, Failure::of_request(&error));
                writeln!(lines, "{url} failed: {failure}")
            }
        };
    }
    crate::termination::write_text(termination, &lines);
    let _ = std::io::Write::write_all(&mut std::io::stdout(), lines.as_bytes());
    Ok(code)
}
