//! Names to addresses: once per name for all connections of a client.

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs};
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

/// A look-up takes a thread. One at a time, unless the one under way has taken so long already: a
/// zone that is dead holds up no other.
const TURN: Duration = Duration::from_millis(250);

type Answer = Arc<OnceCell<Result<Vec<SocketAddr>, ResolveError>>>;

/// Lives as long as its client (one round), so an answer never gets old.
#[derive(Debug, Default, Clone)]
pub(super) struct Resolver {
    /// A name in a certificate, and the host that has it.
    alias: Option<(String, String)>,
    answers: Arc<Mutex<HashMap<String, Answer>>>,
    turns: Arc<tokio::sync::Mutex<()>>,
}

impl Resolver {
    /// With a name that stands for another host.
    pub(super) fn with_alias(alias: Option<(String, String)>) -> Self {
        Self { alias, ..Self::default() }
    }

    /// Who asks while a look-up is under way shares its answer, also when it fails; who asks after
    /// a failure looks up anew.
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

    /// Runs a look-up when its turn has come.
    async fn in_turn<T>(self, look_up: impl Future<Output = T>) -> T {
        let _turn = timeout(TURN, self.turns.lock()).await;
        look_up.await
    }

    fn answers(&self) -> MutexGuard<'_, HashMap<String, Answer>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let host = match &self.alias {
            Some((alias, host)) if alias == name.as_str() => host.clone(),
            _ => name.as_str().to_owned(),
        };
        if is_localhost(&host) {
            return Box::pin(async {
                Ok(Box::new(std::iter::once(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))) as Addrs)
            });
        }
        let resolver = self.clone();
        Box::pin(async move {
            let look_up = resolver.clone().in_turn(addresses_of(host.clone()));
            let addresses = resolver.shared(host, PATIENCE, look_up).await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// The system's answer for a name. The kubelet writes `ndots:5` and some search domains into
/// `resolv.conf`. With them the system asks for
/// `login.microsoftonline.com.NAMESPACE.svc.cluster.local` and others before the name itself, eight
/// requests for two, and a wildcard in one of the domains would answer in the place of Azure. So
/// the name itself goes first.
///
/// Both are one task: between two, the pool would begin a thread for the second while that of the
/// first is not yet known to be idle.
async fn addresses_of(host: String) -> io::Result<Vec<SocketAddr>> {
    tokio::task::spawn_blocking(move || system_addresses(&host)).await.map_err(io::Error::other)?
}

fn system_addresses(host: &str) -> io::Result<Vec<SocketAddr>> {
    if is_whole(host) && !is_in_hosts_file(host) {
        let found = (format!("{host}."), 0).to_socket_addrs();
        if let Ok(addresses) = found {
            return Ok(addresses.collect());
        }
    }
    (host, 0).to_socket_addrs().map(Iterator::collect)
}

/// Whether a name probably needs no search domain. `SERVICE.NAMESPACE.svc` does, and an address is
/// no name.
fn is_whole(host: &str) -> bool {
    let is_address = host.parse::<std::net::IpAddr>().is_ok();
    let last = host.rsplit_once('.').map(|(_, last)| last);
    !is_address && last.is_some_and(|last| !last.is_empty() && !last.eq_ignore_ascii_case("svc"))
}

/// Whether the pod has an address for the name (`hostAliases`): the system finds it by the name as
/// it is written, without a dot at its end.
fn is_in_hosts_file(host: &str) -> bool {
    std::fs::read_to_string("/etc/hosts").is_ok_and(|text| names_host(&text, host))
}

fn names_host(text: &str, host: &str) -> bool {
    text.lines().any(|line| {
        let entry = line.split('#').next().unwrap_or_default();
        entry.split_ascii_whitespace().skip(1).any(|name| name.eq_ignore_ascii_case(host))
    })
}

/// RFC 6761: names below `.localhost` are loopback; the system's resolver does not know that.
pub(super) fn is_localhost(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || host.len() > 10 && host.as_bytes()[host.len() - 10..].eq_ignore_ascii_case(b".localhost")
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests measure time")]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::task::JoinHandle;

    #[tokio::test]
    async fn all_who_wait_for_a_dead_dns_hear_it_together() {
        let resolver = Resolver::default();
        let patience = Duration::from_millis(50);
        let started = std::time::Instant::now();
        let all = [(); 8].map(|()| {
            tokio::spawn(resolver.clone().shared("kv".to_owned(), patience, std::future::pending()))
        });
        for one in all {
            let error = one.await.unwrap().unwrap_err();
            assert_eq!(error.to_string(), "kv does not resolve: no answer within 0 s");
        }
        assert!(started.elapsed() < patience * 4, "one after the other: {:?}", started.elapsed());
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        for known in [address, SocketAddr::from((Ipv4Addr::LOCALHOST, 2))] {
            let found = resolver
                .clone()
                .shared("kv".to_owned(), patience, async move { Ok(vec![known]) })
                .await;
            assert_eq!(found, Ok(vec![address]), "a failure is not kept, an answer is");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn look_ups_take_turns_unless_one_hangs() {
        let resolver = Resolver::default();
        let running = Arc::new(AtomicUsize::new(0));
        let quick = [Duration::from_millis(20); 8].map(|takes| look_up(&resolver, &running, takes));
        for one in quick {
            assert_eq!(one.await.unwrap(), 0);
        }
        let started = tokio::time::Instant::now();
        let dead = look_up(&resolver, &running, Duration::from_secs(60));
        tokio::task::yield_now().await;
        let late = look_up(&resolver, &running, Duration::from_millis(20));
        assert_eq!(late.await.unwrap(), 1);
        assert!(started.elapsed() < Duration::from_millis(300));
        dead.abort();
    }

    /// Looks something up in turn; the result is how many others were running.
    fn look_up(
        resolver: &Resolver,
        running: &Arc<AtomicUsize>,
        takes: Duration,
    ) -> JoinHandle<usize> {
        let (resolver, running) = (resolver.clone(), Arc::clone(running));
        tokio::spawn(resolver.in_turn(async move {
            let others = running.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(takes).await;
            running.fetch_sub(1, Ordering::Relaxed);
            others
        }))
    }

    #[test]
    fn a_name_goes_first_without_search_domains_unless_it_needs_them_or_is_in_the_hosts_file() {
        for (name, whole) in [
            ("login.microsoftonline.com", true),
            ("kubernetes.default.svc.cluster.local", true),
            ("keysluice.keysluice-system.svc", false),
            ("proxy", false),
            ("10.0.0.1", false),
            ("kv.vault.azure.net.", false),
        ] {
            assert_eq!(is_whole(name), whole, "{name}");
        }
        let text = "127.0.0.1\tlocalhost\n# 10.0.0.1 a.test\n10.0.0.2 b.test C.test # d.test\n";
        for (name, named) in
            [("b.test", true), ("c.test", true), ("a.test", false), ("d.test", false), ("", false)]
        {
            assert_eq!(names_host(text, name), named, "{name}");
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
