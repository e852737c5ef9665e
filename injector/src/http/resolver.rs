//! Names to addresses: once per name for all connections of a client.

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OnceCell;

/// The name did not resolve.
#[derive(Debug, thiserror::Error)]
#[error("{host} does not resolve: {error}")]
pub(super) struct ResolveError {
    host: String,
    #[source]
    error: std::io::Error,
}

type Answer = Arc<OnceCell<Vec<SocketAddr>>>;

/// Lives as long as its client (one round), so an answer never gets old.
#[derive(Debug, Default)]
pub(super) struct Resolver(Mutex<HashMap<String, Answer>>);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        if is_localhost(&host) {
            return Box::pin(async {
                Ok(Box::new(std::iter::once(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))) as Addrs)
            });
        }
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = Arc::clone(answers.entry(host.clone()).or_default());
        Box::pin(async move {
            let addresses = answer
                .get_or_try_init(|| async {
                    let found = tokio::net::lookup_host((host.as_str(), 0)).await;
                    found.map(Iterator::collect).map_err(|error| ResolveError { host: host.clone(), error })
                })
                .await?;
            Ok(Box::new(addresses.clone().into_iter()) as Addrs)
        })
    }
}

/// RFC 6761: names below `.localhost` are loopback; the system's resolver does not know that.
fn is_localhost(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || host.len() > 10 && host.as_bytes()[host.len() - 10..].eq_ignore_ascii_case(b".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_below_localhost_are_loopback() {
        for name in ["localhost", "kv.vault.localhost", "A.LocalHost", "a.localhost."] {
            assert!(is_localhost(name), "{name}");
        }
        for name in ["localhost.example", "notlocalhost", "alocalhost", "", ".localhost"] {
            assert!(!is_localhost(name), "{name}");
        }
    }
}
