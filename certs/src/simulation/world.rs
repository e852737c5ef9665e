//! The Secret and the webhook configuration that the replicas share, what is remembered of them,
//! and the promises.

use super::policy;
use super::replica::Replica;
use crate::bundle::Published;
use crate::certificate::Certificate;
use crate::material::Data;
use crate::path::StoredPaths;
use crate::step::Reason;
use crate::store::{BundleStore, Publication, ResourceVersion, SecretStore, StoreError, Stored};
use crate::{MemoryBundle, MemorySecret, Pair};
use proptest::prelude::*;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use time::OffsetDateTime;

#[derive(Clone)]
pub(super) struct World {
    pub(super) secret: MemorySecret,
    pub(super) bundle: MemoryBundle,
    pub(super) shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
pub(super) struct Shared {
    pub(super) millis: u64,
    pub(super) fail: Option<bool>,
    latest: Option<Vec<String>>,
    /// What was published, and until when it was the latest (`None`: it is).
    history: Vec<(Vec<Certificate>, Option<u64>)>,
    /// A path of the configuration, when it was replaced (`None`: not yet), and whether no replica
    /// may still answer it.
    pub(super) named: Vec<(String, Option<u64>, bool)>,
    pub(super) published_paths: usize,
    pub(super) reasons: Vec<Reason>,
    pub(super) overtaken: usize,
    /// CAs that were published while a leaf of theirs was served.
    used: Vec<Certificate>,
    /// Leaf, CA, and whether one signed the other: checking each signature once is what makes this
    /// fast.
    signed: Vec<(Certificate, Certificate, bool)>,
}

impl Shared {
    fn is_signed(&mut self, leaf: &Certificate, by: &Certificate) -> bool {
        if let Some((_, _, signed)) =
            self.signed.iter().rev().find(|(one, ca, _)| one == leaf && ca == by)
        {
            return *signed;
        }
        let signed = leaf.is_signed_by(by);
        self.signed.push((leaf.clone(), by.clone(), signed));
        signed
    }
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            secret: MemorySecret::default(),
            bundle: MemoryBundle::with_entries(2),
            shared: Arc::default(),
        }
    }

    /// An answer of the API server: a replica may be stopped before the request is done and after.
    async fn answer<T>(
        &self,
        request: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        breathe().await;
        let fail = self.shared.lock().unwrap().fail.take();
        if fail == Some(false) {
            return Err(StoreError::Failed("connection refused".into()));
        }
        let answer = request.await;
        self.remember();
        self.remember_path(false);
        breathe().await;
        if fail == Some(true) { Err(StoreError::Failed("connection reset".into())) } else { answer }
    }

    /// `foreign`: a replica did not do it.
    pub(super) fn remember_path(&self, foreign: bool) {
        if self.bundle.entries().iter().all(String::is_empty) {
            // No API server can call.
            return;
        }
        let path = self.bundle.paths().remove(0);
        let mut shared = self.shared.lock().unwrap();
        let now = shared.millis;
        if shared.named.last().is_some_and(|(last, ..)| *last == path) {
            return;
        }
        if let Some((_, end, is_lost)) = shared.named.last_mut() {
            *end = Some(now);
            *is_lost |= foreign;
        }
        shared.named.push((path, None, false));
    }

    pub(super) fn remember(&self) {
        let entries = self.bundle.entries();
        if self.shared.lock().unwrap().latest.as_ref() == Some(&entries) {
            return;
        }
        let published =
            Published::read(entries.iter().map(String::as_bytes), ResourceVersion::from(""))
                .certificates();
        let mut shared = self.shared.lock().unwrap();
        let now = shared.millis;
        if let Some((_, end)) = shared.history.last_mut() {
            *end = Some(now);
        }
        shared.history.push((published, None));
        shared.latest = Some(entries);
    }

    /// The other promise: whatever path an API server that is at most `propagation` behind calls is
    /// answered by every replica that serves; at once, or after the one look that follows an
    /// unknown path. Two kinds of paths are exempt, because no replica may have seen them: a
    /// foreign path that another foreign write replaced, and a path that a replica replaced before
    /// a foreign change of the Secret.
    pub(super) fn check_path(&self, number: usize, replica: &Replica) -> Result<(), TestCaseError> {
        let shared = self.shared.lock().unwrap();
        let answered = replica.answered();
        if replica.serves().is_none()
            || !shared.history.iter().any(|(trusted, _)| !trusted.is_empty())
        {
            return Ok(());
        }
        let stored = self.secret.data().map(|data| StoredPaths::parse(&data)).unwrap_or_default();
        let oldest =
            shared.millis.saturating_sub(policy().propagation.as_millis().try_into().unwrap());
        let recent =
            shared.named.iter().rev().take_while(|(_, end, _)| end.is_none_or(|end| end >= oldest));
        for (path, end, is_lost) in recent {
            let asked_again = stored.all().any(|one| one == path) || end.is_none();
            prop_assert!(
                answered.paths.contains(path) || asked_again || *is_lost,
                "replica {number} answers {:?} and is called at {path}",
                answered.paths
            );
        }
        Ok(())
    }

    pub(super) fn wall(&self, skew: i64) -> OffsetDateTime {
        wall(self.shared.lock().unwrap().millis, skew)
    }

    /// The promise, for one replica: any API server that is at most `propagation` behind verifies
    /// what it serves, if it could ever verify anything: in the first moments of a cluster, or with
    /// all it trusts expired, it is promised nothing.
    pub(super) fn check(&self, replica: usize, pair: Option<&Pair>) -> Result<(), TestCaseError> {
        let Some(pair) = pair else { return Ok(()) };
        let mut shared = self.shared.lock().unwrap();
        let (now, leaf) = (wall(shared.millis, 0), pair.certificate());
        let oldest =
            shared.millis.saturating_sub(policy().propagation.as_millis().try_into().unwrap());
        let recent =
            shared.history.iter().rev().take_while(|(_, end)| end.is_none_or(|end| end >= oldest));
        for trusted in recent.map(|(trusted, _)| trusted.clone()).collect::<Vec<_>>() {
            let live = |ca: &&Certificate| ca.not_after() > now;
            let promised = trusted.iter().filter(live).any(|ca| shared.used.contains(ca));
            let verified = trusted.iter().filter(live).any(|ca| shared.is_signed(leaf, ca));
            let expired = leaf.not_after() <= now;
            prop_assert!(
                verified || expired || !promised,
                "replica {replica} serves what a recent caBundle does not trust"
            );
        }
        let known = shared.history.last().map(|(trusted, _)| trusted.clone()).unwrap_or_default();
        for ca in known {
            if shared.is_signed(leaf, &ca) && !shared.used.contains(&ca) {
                shared.used.push(ca);
            }
        }
        Ok(())
    }
}

fn wall(millis: u64, skew: i64) -> OffsetDateTime {
    let start = OffsetDateTime::from_unix_timestamp(1_900_000_000).unwrap();
    start + time::Duration::milliseconds(i64::try_from(millis).unwrap() + skew)
}

pub(super) async fn breathe() {
    let mut asked = false;
    std::future::poll_fn(|_| {
        if std::mem::replace(&mut asked, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

impl SecretStore for World {
    async fn read(&self) -> Result<Option<Stored>, StoreError> {
        self.answer(self.secret.read()).await
    }

    async fn write(
        &self,
        data: &Data,
        version: Option<&ResourceVersion>,
    ) -> Result<(), StoreError> {
        self.answer(self.secret.write(data, version)).await
    }
}

impl BundleStore for World {
    async fn read(&self) -> Result<Published, StoreError> {
        self.answer(self.bundle.read()).await
    }

    async fn patch(
        &self,
        publication: &Publication,
        version: &ResourceVersion,
    ) -> Result<(), StoreError> {
        self.answer(self.bundle.patch(publication, version)).await
    }
}
