//! Real handshakes through real rotations: two replicas over hours of virtual time, a client that
//! is always `propagation` behind.

use crate::clock::{Clock, Moment};
use crate::{AnsweredPaths, MemoryBundle, MemorySecret, Outputs, Pair, Policy, Rotator};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use time::OffsetDateTime;
use tokio::sync::watch;

const NAME: &str = "keysluice.keysluice.svc";
const START: u64 = 1_900_000_000;

/// Seconds of virtual time.
#[derive(Debug, Clone, Default)]
struct Hour(Arc<AtomicU64>);

impl Hour {
    fn seconds(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Clock for Hour {
    fn now(&self) -> Moment {
        let uptime = Duration::from_secs(self.seconds());
        Moment { wall: OffsetDateTime::UNIX_EPOCH + Duration::from_secs(START) + uptime, uptime }
    }

    async fn sleep(&self, duration: Duration) {
        let until = self.now().uptime + duration;
        std::future::poll_fn(|_| {
            if self.now().uptime < until { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    }

    fn chance(&self) -> f64 {
        0.0
    }
}

impl TimeProvider for Hour {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(START + self.seconds())))
    }
}

/// A handshake in memory, and a byte each way.
fn handshake(bundle: &str, pair: &Pair, hour: &Hour) -> Result<(), rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
        roots.add(certificate.unwrap())?;
    }
    let client = ClientConfig::builder_with_details(Arc::clone(&provider), Arc::new(hour.clone()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(pair.leaf().chain.clone(), pair.leaf().key.clone_key())?;
    let mut client = ClientConnection::new(Arc::new(client), ServerName::try_from(NAME).unwrap())?;
    let mut server = ServerConnection::new(Arc::new(server))?;
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets()?;
        wire.clear();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    Ok(())
}

#[test]
fn no_handshake_fails_through_rotations_with_a_client_that_learns_of_each_bundle_late() {
    let policy = Policy {
        ca_lifetime: Duration::from_secs(90),
        leaf_lifetime: Duration::from_secs(30),
        propagation: Duration::from_secs(5),
        clock_tolerance: Duration::from_secs(2),
        poll: Duration::from_secs(3),
        ..Policy::new(vec![NAME.to_owned()])
    };
    let (secret, bundle, hour) =
        (MemorySecret::default(), MemoryBundle::with_entries(2), Hour::default());
    let replica = |leaf: watch::Sender<_>| {
        let rotator = Rotator::new(secret.clone(), bundle.clone(), hour.clone(), policy.clone());
        let (paths, _) = watch::channel(AnsweredPaths::default());
        async move { rotator.run(Outputs { leaf: &leaf, paths: &paths }, |_| {}).await }
    };
    let ((first, first_leaf), (second, second_leaf)) = (watch::channel(None), watch::channel(None));
    let (mut first, mut second) = (pin!(replica(first)), pin!(replica(second)));
    let mut context = Context::from_waker(Waker::noop());
    let mut published = Vec::<String>::new();
    let (mut leaves, mut handshakes) = (Vec::new(), 0);
    for seconds in 0..400 {
        hour.0.store(seconds, Ordering::Relaxed);
        assert!(
            first.as_mut().poll(&mut context).is_pending()
                && second.as_mut().poll(&mut context).is_pending()
        );
        published.push(bundle.entries().remove(0));
        let late = published
            .len()
            .saturating_sub(1 + usize::try_from(policy.propagation.as_secs()).unwrap());
        for leaf in [&first_leaf, &second_leaf] {
            let pair: Arc<Pair> = leaf.borrow().clone().unwrap();
            for behind in [&published[late], &published[published.len() - 1]] {
                handshake(behind, &pair, &hour)
                    .unwrap_or_else(|error| panic!("at {seconds} s: {error}"));
                handshakes += 1;
            }
            if !leaves.contains(pair.certificate()) {
                leaves.push(pair.certificate().clone());
            }
        }
    }
    published.dedup();
    assert!(published.len() > 10, "the bundle changed only {} times", published.len());
    assert!(
        leaves.len() > 10 && handshakes > 1000,
        "{} leaves, {handshakes} handshakes",
        leaves.len()
    );
}

#[test]
fn a_client_that_trusts_something_else_fails() {
    let authority = |()| {
        crate::CertificateAuthority::generate_between(
            OffsetDateTime::UNIX_EPOCH,
            Hour::default().now().wall + Duration::from_secs(60),
        )
        .unwrap()
    };
    let [ours, other] = [(), ()].map(authority);
    let hour = Hour::default();
    let leaf = ours.issue_between(
        &[NAME.to_owned()],
        OffsetDateTime::UNIX_EPOCH,
        hour.now().wall + Duration::from_secs(30),
    );
    let pair = Pair::new(leaf.unwrap()).unwrap();
    assert_eq!(handshake(ours.pem(), &pair, &hour), Ok(()));
    assert!(handshake(other.pem(), &pair, &hour).is_err());
    hour.0.store(31, Ordering::Relaxed);
    assert!(handshake(ours.pem(), &pair, &hour).is_err(), "expired");
}
