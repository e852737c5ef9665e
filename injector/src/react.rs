//! Tells the application that files have changed.

mod evict;
mod process;
mod rollout;

pub(crate) use rollout::Newest;

use crate::calls::Call;
use crate::clock::since_boot;
use crate::fault::{Class, Fault};
use crate::http::{self, Http};
use crate::kubernetes::{Api, Refusal};
use crate::redact::short;
use keysluice_plan::reason::{KS651, KS652, KS655, Reason};
use keysluice_plan::{Plan, ReactionAction, ReactionSignal};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// An application that does not answer within this time has not accepted the request.
const PATIENCE: Duration = Duration::from_secs(5);
/// Of an answer no more is read.
const MAX_ANSWER_BYTES: usize = 4096;

/// How a reaction is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// For all containers.
    First,
    /// For the containers that the attempt before did not reach.
    Retry,
}

/// Carries out the reaction of a Plan.
#[derive(Debug)]
pub(crate) struct Reactor {
    action: ReactionAction,
    http: Arc<Http>,
    /// For an eviction and a rollout.
    api: Option<Api>,
    proc: PathBuf,
    /// Containers that got the signal, although another one did not.
    reached: Mutex<Reached>,
}

#[derive(Debug, Default)]
struct Reached {
    containers: BTreeSet<String>,
    /// When the first attempt was, since boot.
    first: Duration,
}

impl Reactor {
    /// For the reaction of a Plan, if it has one; with the client of `http`.
    ///
    /// # Errors
    /// As [`Api::open`].
    pub(crate) fn open(
        root: &Path,
        plan: &Plan,
        http: impl FnOnce() -> Arc<Http>,
    ) -> Result<Option<Self>, Fault> {
        let Some(reaction) = &plan.reaction else { return Ok(None) };
        let api = plan.kubernetes.as_ref().filter(|_| reaction.action.needs_api());
        let api = api.map(|kubernetes| Api::open(root, kubernetes)).transpose()?;
        Ok(Some(Self { api, ..Self::new(reaction.action.clone(), http()) }))
    }

    fn new(action: ReactionAction, http: Arc<Http>) -> Self {
        let proc = PathBuf::from("/proc");
        Self { action, http, api: None, proc, reached: Mutex::default() }
    }

    /// Tells the application; answers with what was done. `newest` is what its files are of.
    ///
    /// # Errors
    /// KS651 where no process could be signalled, KS652 where the application does not accept the
    /// request, KS653 to KS657 for evictions and rollouts.
    pub(crate) async fn react(
        &self,
        attempt: Attempt,
        newest: Option<Newest>,
    ) -> Result<String, Fault> {
        if attempt == Attempt::First {
            *self.reached() = Reached { containers: BTreeSet::new(), first: since_boot() };
        }
        match &self.action {
            ReactionAction::Signal { signal, containers } => self.signal(*signal, containers, None),
            ReactionAction::Restart { containers } => {
                // One that the kubelet has started since has all that is new.
                let since = self.reached().first;
                self.signal(ReactionSignal::Term, containers, Some(since))
            }
            ReactionAction::Http { url } => self.post(url).await,
            ReactionAction::Evict {} => evict::evict(self.api()?).await,
            ReactionAction::Rollout { workload } => {
                rollout::roll_out(self.api()?, workload, newest).await
            }
        }
    }

    /// `Plan::check` refuses a Plan without it.
    fn api(&self) -> Result<&Api, Fault> {
        let text = "the plan has no field kubernetes";
        self.api.as_ref().ok_or_else(|| Fault::new(KS655, Class::Permanent, text))
    }

    fn reached(&self) -> MutexGuard<'_, Reached> {
        self.reached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All containers get the signal, also if one of them cannot; a retry is for that one alone.
    fn signal(
        &self,
        signal: ReactionSignal,
        containers: &[String],
        since: Option<Duration>,
    ) -> Result<String, Fault> {
        let mut sent = Vec::new();
        let mut problems = Vec::new();
        let mut reached = self.reached();
        for container in containers {
            if reached.containers.contains(container) {
                continue;
            }
            match process::signal(&self.proc, container, signal, since) {
                Ok(done) => {
                    reached.containers.insert(container.clone());
                    sent.push(done);
                }
                Err(problem) => problems.push(format!("container {container:?}: {problem}")),
            }
        }
        if problems.is_empty() {
            return Ok(sent.join(", "));
        }
        let text = format!("SIG{}: {}", signal.as_str(), problems.join("; "));
        Err(Fault::new(KS651, Class::Transient, text))
    }

    /// No value, proxy or redirect.
    async fn post(&self, url: &str) -> Result<String, Fault> {
        let client = self.http.plain_client().map_err(|error| error.fault())?;
        let request = client.post(url).header("content-length", "0").timeout(PATIENCE);
        let response = http::send(Call::Application, request)
            .await
            .map_err(|error| not_posted(url, &error.to_string()))?;
        let status = response.status();
        if !status.is_success() {
            return Err(not_posted(url, &short(&format!("it answered {status}"))));
        }
        // The status is the answer. The rest is read so that the connection can be used again, and
        // not shown, as it may be a value; how long it is, or whether it ends, does not count.
        let _ = http::body(response, MAX_ANSWER_BYTES).await;
        Ok(format!("POST {url} answered {}", status.as_u16()))
    }
}

fn not_posted(url: &str, problem: &str) -> Fault {
    Fault::new(KS652, Class::Transient, format_args!("POST {url}: {problem}"))
}

/// What the API server does not do.
struct Refused {
    refusal: Refusal,
    /// What was asked for.
    what: String,
    /// The code of a refusal that is not about the right.
    otherwise: Reason,
}

impl Refused {
    fn fault(self) -> Fault {
        let Self { refusal, what, otherwise } = self;
        match refusal.status {
            403 if refusal.is_about_right() => refusal.fault_with(&what, KS655, Class::Slow),
            // No answer, another server's, a token that is not accepted, too many requests.
            0 | 401 | 429 | 500.. => refusal.fault(&what),
            409 => refusal.fault_with(&what, otherwise, Class::Transient),
            _ => refusal.fault_with(&what, otherwise, Class::Slow),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Environment;
    use std::io::Write as _;
    use std::process::{Child, Command};

    /// A process that ignores the signal of the test, and its place in a `/proc` of ours.
    struct Sleeper(Child);

    impl Sleeper {
        fn of(proc: &std::path::Path, container: &str) -> Self {
            let child = Command::new("sleep").arg("60").spawn().unwrap();
            let directory = proc.join(child.id().to_string());
            std::fs::create_dir(&directory).unwrap();
            for (name, text) in [
                ("status", "PPid:\t0\n".to_owned()),
                ("environ", format!("{}={container}\0", keysluice_plan::CONTAINER_ENV)),
            ] {
                let mut file = std::fs::File::create(directory.join(name)).unwrap();
                file.write_all(text.as_bytes()).unwrap();
            }
            Self(child)
        }
    }

    impl Drop for Sleeper {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[tokio::test]
    async fn a_retry_is_for_the_containers_that_were_not_reached() {
        let proc = tempfile::tempdir().unwrap();
        let containers = vec!["a".to_owned(), "b".to_owned()];
        let action = ReactionAction::Signal { signal: ReactionSignal::Winch, containers };
        let http = Arc::new(Http::new(None, &Environment::default()).unwrap());
        let reactor = Reactor { proc: proc.path().to_owned(), ..Reactor::new(action, http) };
        let _a = Sleeper::of(proc.path(), "a");
        let fault = reactor.react(Attempt::First, None).await.unwrap_err();
        assert!(fault.message.contains("container \"b\"") && !fault.message.contains("\"a\""));
        let _b = Sleeper::of(proc.path(), "b");
        let done = reactor.react(Attempt::Retry, None).await.unwrap();
        assert!(done.contains("container \"b\"") && !done.contains("\"a\""), "{done}");
        let all = reactor.react(Attempt::First, None).await.unwrap();
        assert!(all.contains("\"a\"") && all.contains("\"b\""), "{all}");
    }
}
