//! Tells the application that files have changed.

mod process;

use crate::fault::{Class, Fault};
use crate::http::{self, Http};
use crate::redact::short;
use keysluice_plan::reason::{KS651, KS652};
use keysluice_plan::{ReactionAction, ReactionSignal};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// An application that does not answer within this time has not accepted the request.
const PATIENCE: Duration = Duration::from_secs(5);
/// Of an answer no more is read.
const MAX_ANSWER_BYTES: usize = 4096;

/// Carries out the reaction of a Plan.
#[derive(Debug)]
pub(crate) struct Reactor {
    action: ReactionAction,
    http: Arc<Http>,
    proc: PathBuf,
}

impl Reactor {
    /// With the client of `http`.
    pub(crate) fn new(action: ReactionAction, http: Arc<Http>) -> Self {
        Self { action, http, proc: PathBuf::from("/proc") }
    }

    /// Tells the application; answers with what was done.
    ///
    /// # Errors
    /// KS651 where no process could be signalled, KS652 where the application does not accept the
    /// request.
    pub(crate) async fn react(&self) -> Result<String, Fault> {
        match &self.action {
            ReactionAction::Signal { signal, containers } => self.signal(*signal, containers),
            ReactionAction::Restart { containers } => self.signal(ReactionSignal::Term, containers),
            ReactionAction::Http { url } => self.post(url).await,
        }
    }

    /// All containers get the signal, also if one of them cannot.
    fn signal(&self, signal: ReactionSignal, containers: &[String]) -> Result<String, Fault> {
        let mut sent = Vec::new();
        let mut problems = Vec::new();
        for container in containers {
            match process::signal(&self.proc, container, signal) {
                Ok(id) => sent.push(format!("container {container:?} (process {id})")),
                Err(problem) => problems.push(format!("container {container:?}: {problem}")),
            }
        }
        if problems.is_empty() {
            return Ok(format!("SIG{} sent to {}", signal.as_str(), sent.join(", ")));
        }
        let text = format!("SIG{}: {}", signal.as_str(), problems.join("; "));
        Err(Fault::new(KS651, Class::Transient, text))
    }

    /// No value, proxy or redirect.
    async fn post(&self, url: &str) -> Result<String, Fault> {
        let fault = |problem: &str| {
            Fault::new(KS652, Class::Transient, format_args!("POST {url}: {problem}"))
        };
        let client = self.http.plain_client().map_err(|error| error.fault())?;
        let request = client.post(url).header("content-length", "0").timeout(PATIENCE);
        let response = http::send(request).await.map_err(|error| fault(&error.to_string()))?;
        let status = response.status();
        // What it says is not shown: it may be a value.
        let body = http::body(response, MAX_ANSWER_BYTES).await;
        if !status.is_success() {
            return Err(fault(&short(&format!("it answered {status}"))));
        }
        body.map_err(|error| fault(&error.to_string()))?;
        Ok(format!("POST {url} answered {}", status.as_u16()))
    }
}
