//! The keys of the cluster's tokens: read from the API server or from files, and read again for a
//! key that is not known, once a minute.

use super::token::{KeySet, TokenError, kid};
use crate::cluster::api::Client;
use anyhow::Context as _;
use jsonwebtoken::jwk::JwkSet;
use serde::Deserialize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two reads.
const REST: Duration = Duration::from_secs(60);
/// A key that the cluster does not publish any more is not trusted for longer.
const LONGEST: Duration = Duration::from_secs(3600);
/// How long a read may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where the keys come from.
pub enum KeySource {
    /// The API server's discovery documents, which every ServiceAccount may read.
    ApiServer(Client),
    /// A JWKS in a file, and the issuer of its tokens.
    File {
        /// The file.
        path: PathBuf,
        /// `iss`
        issuer: String,
    },
}

impl std::fmt::Debug for KeySource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::ApiServer(_) => "ApiServer",
            Self::File { .. } => "File",
        })
    }
}

/// Why a token cannot be looked at.
#[derive(Debug)]
pub(super) enum KeysError {
    /// No keys were read yet.
    Unknown(String),
    /// The token is not one, or its key is not published.
    Token(TokenError),
}

/// The keys as they were read last.
pub(super) struct Keys {
    source: KeySource,
    state: Mutex<State>,
    /// One read at a time.
    reading: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    set: Option<(Arc<KeySet>, Instant)>,
    tried: Option<Instant>,
    problem: String,
}

impl State {
    /// What may be used for this key without another read.
    fn known(&self, kid: &str, now: Instant) -> Option<Arc<KeySet>> {
        let (set, read) = self.set.as_ref()?;
        let is_fresh = set.has(kid) && now.duration_since(*read) < LONGEST;
        (is_fresh || !self.may_read(now)).then(|| Arc::clone(set))
    }

    fn may_read(&self, now: Instant) -> bool {
        self.tried.is_none_or(|tried| now.duration_since(tried) >= REST)
    }
}

impl Keys {
    pub(super) fn new(source: KeySource) -> Self {
        Self { source, state: Mutex::default(), reading: tokio::sync::Mutex::default() }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The keys to verify this token with.
    pub(super) async fn of(&self, token: &str) -> Result<Arc<KeySet>, KeysError> {
        let kid = kid(token).map_err(KeysError::Token)?;
        if let Some(set) = self.state().known(&kid, Instant::now()) {
            return Ok(set);
        }
        let _one = self.reading.lock().await;
        if let Some(set) = self.state().known(&kid, Instant::now()) {
            return Ok(set);
        }
        if self.state().may_read(Instant::now()) {
            let read = tokio::time::timeout(PATIENCE, self.read()).await;
            let read = read.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer in time")));
            let (mut state, now) = (self.state(), Instant::now());
            state.tried = Some(now);
            match read {
                Ok(set) => state.set = Some((Arc::new(set), now)),
                Err(error) => {
                    state.problem = format!("{error:#}");
                    tracing::warn!(
                        problem = state.problem,
                        "{} keys of tokens not read",
                        crate::reason::KS511
                    );
                }
            }
        }
        let state = self.state();
        let set = state.set.as_ref().map(|(set, _)| Arc::clone(set));
        set.ok_or_else(|| KeysError::Unknown(state.problem.clone()))
    }

    async fn read(&self) -> anyhow::Result<KeySet> {
        #[derive(Deserialize)]
        struct Discovery {
            issuer: String,
        }
        let (issuer, keys) = match &self.source {
            KeySource::File { path, issuer } => {
                let text = tokio::fs::read(path).await;
                (issuer.clone(), text.with_context(|| path.display().to_string())?)
            }
            KeySource::ApiServer(client) => {
                let discovery = client.document("/.well-known/openid-configuration").await?;
                let discovery: Discovery = serde_json::from_slice(&discovery)?;
                (discovery.issuer, client.document("/openid/v1/jwks").await?)
            }
        };
        let keys: JwkSet = serde_json::from_slice(&keys).context("not a JSON Web Key Set")?;
        Ok(KeySet::new(issuer, &keys))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_not_known_has_the_keys_read_again_once_a_minute() {
        let now = Instant::now();
        let mut state = State::default();
        assert!(state.may_read(now) && state.known("a", now).is_none());
        let set = Arc::new(KeySet::new("issuer".to_owned(), &JwkSet { keys: Vec::new() }));
        (state.set, state.tried) = (Some((set, now)), Some(now));
        assert!(state.known("a", now).is_some(), "what is known has to do for a minute");
        let later = now + REST;
        assert!(state.known("a", later).is_none() && state.may_read(later));
    }

    #[tokio::test]
    async fn keys_that_cannot_be_read_are_said_with_the_reason() {
        let path = PathBuf::from("/does/not/exist");
        let keys = Keys::new(KeySource::File { path, issuer: "i".to_owned() });
        let token = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImEifQ.e30.AA";
        for _ in 0..2 {
            let Err(KeysError::Unknown(problem)) = keys.of(token).await else { panic!() };
            assert!(problem.contains("/does/not/exist"), "{problem}");
        }
        assert!(matches!(keys.of("x").await, Err(KeysError::Token(TokenError::Missing))));
    }
}
