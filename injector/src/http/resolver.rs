//! Names to addresses: once per name for all connections of a client.

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::OnceCell;
use tokio::time::timeout;

/// Shorter than the time a connection may take: a DNS that is dead is to be told from a firewall.
const PATIENCE: Duration = Duration::from_secs(3);

/// The name did not resolve.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{host} does not resolve: {problem}")]
pub(super) struct ResolveError {
    host: String,
    problem: String,
}

type Answer = Arc<OnceCell<Result<Vec<SocketAddr>, ResolveError>>>;

/// Lives as long as its client (one round), so an answer never gets old.
#[derive(Debug, Default, Clone)]
pub(super) struct Resolver(Arc<Mutex<HashMap<String, Answer>>>);

impl Resolver {
    /// Who asks while a look-up is under way shares its answer, also when it fails; who asks after a failure looks up anew.
    async fn shared(
        self,
        host: String,
        patience: Duration,
        look_up: impl Future<Output = io::Result<Vec<SocketAddr>>>,
    ) -> Result<Vec<SocketAddr>, ResolveError> {
        let answer = Arc::clone(self.answers().entry(host.clone()).or_default());
        let found = answer.get_or_init(|| async {
            let problem = match timeout(patience, look_up).await {
                Ok(Ok(found)) => return Ok(found),
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no answer within {} s", patience.as_secs()),
            };
            Err(ResolveError { host: host.clone(), problem })
        });
        let found = found.await.clone();
        if found.is_err() {
            let mut answers = self.answers();
            if answers.get(&host).is_some_and(|known| Arc::ptr_eq(known, &answer)) {
                answers.remove(&host);
            }
        }
        found
    }

    fn answers(&self) -> MutexGuard<'_, HashMap<String, Answer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        if is_localhost(&host) {
            return Box::pin(async {
                Ok(Box::new(std::iter::once(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))) as Addrs)
            });
        }
        let resolver = self.clone();
        Box::pin(async move {
            let name = host.clone();
            let look_up = async move { tokio::net::lookup_host((name.as_str(), 0)).await.map(Iterator::collect) };
            let addresses = resolver.shared(host, PATIENCE, look_up).await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
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

    #[tokio::test]
    async fn all_who_wait_for_a_dead_dns_hear_it_together() {
        let resolver = Resolver::default();
        let patience = Duration::from_millis(50);
        let started = std::time::Instant::now();
        let ask = || tokio::spawn(resolver.clone().shared("kv".to_owned(), patience, std::future::pending()));
        let all: Vec<_> = (0..8).map(|_| ask()).collect();
        for one in all {
            let error = one.await.unwrap().unwrap_err();
            assert_eq!(error.to_string(), "kv does not resolve: no answer within 0 s");
        }
        assert!(started.elapsed() < patience * 4, "one after the other: {:?}", started.elapsed());
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        for known in [address, SocketAddr::from((Ipv4Addr::LOCALHOST, 2))] {
            let found = resolver.clone().shared("kv".to_owned(), patience, async move { Ok(vec![known]) }).await;
            assert_eq!(found, Ok(vec![address]), "a failure is not kept, an answer is");
        }
    }

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
