//! The open connections, what each of them holds, and which one is closed where there is no room
//! for another.
//!
//! A connection is charged with what it takes: its TLS state, what it received and did not finish,
//! its requests. Where the pool has no room, the source that holds most makes some: its idle
//! connections go first, then unfinished heads, then unfinished bodies, then answers that are not
//! taken. A connection whose request is being decided is never closed. A source alone may hold
//! everything.

use super::activity::ConnectionActivity;
use super::budget::ByteBudget;
use super::source::{MakeRoom, Source};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// What an idle connection has for its goodbye.
pub(super) const GRACE: Duration = Duration::from_secs(1);
/// What counts as left undone where others of its own source wait (a client may be slow because it
/// does so much): a connection that says nothing, a handshake that was begun, a connection without
/// a request.
const SILENT: Duration = Duration::from_secs(2);
const HANDSHAKE: Duration = Duration::from_secs(5);
const QUIET: Duration = Duration::from_secs(3);
/// Handshakes at once: each takes 0.15 ms of the thread when its first bytes come.
const HANDSHAKES: usize = 64;
/// Idle connections that say goodbye at once; more are cut off.
const GOODBYES: usize = 32;

/// All open connections.
#[derive(Debug)]
pub(super) struct ConnectionTable {
    members: Mutex<Members>,
    pool: Arc<ByteBudget>,
    reviews: Arc<ByteBudget>,
    /// Most connections, whatever they take.
    places: usize,
    /// A connection ended, or its handshake did.
    pub(super) changed: Notify,
}

#[derive(Debug, Default)]
struct Members {
    by_id: HashMap<u64, Member>,
    next_id: u64,
    /// Those that were not told to go.
    open: usize,
    /// When it was last looked which connections are in use.
    noted: Option<Instant>,
    sources: HashMap<IpAddr, Weak<Source>>,
}

#[derive(Debug)]
struct Member {
    task: AbortHandle,
    activity: Arc<ConnectionActivity>,
    since: Instant,
    /// How many requests it had begun when it was last looked at, and since when it has been so.
    begun: u32,
    unchanged: Instant,
    /// Tells it to go; `None` once it was told.
    leave: Option<oneshot::Sender<()>>,
}

/// Which connection is closed first: the least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum ClosePriority {
    NoHandshake,
    Idle,
    HalfHead,
    HalfBody,
    Handshake,
    UntakenAnswer,
}

impl Member {
    /// `None` where a decision is under way, or it was told to go.
    fn priority(&self, now: Instant) -> Option<ClosePriority> {
        let activity = &self.activity;
        if activity.is_closing() || activity.is_deciding() {
            return None;
        }
        Some(if !activity.is_established.load(Ordering::Relaxed) {
            let limit = if activity.has_partial_request() { HANDSHAKE } else { SILENT };
            if now - self.since >= limit {
                ClosePriority::NoHandshake
            } else {
                ClosePriority::Handshake
            }
        } else if activity.has_answers() {
            ClosePriority::UntakenAnswer
        } else if activity.is_asked() {
            ClosePriority::HalfBody
        } else if activity.has_partial_request() {
            ClosePriority::HalfHead
        } else {
            ClosePriority::Idle
        })
    }

    /// It counts no more, and is gone in a moment.
    fn close(&mut self, gently: bool) {
        self.activity.close();
        if gently && let Some(leave) = self.leave.take() {
            let _ = leave.send(());
        } else {
            self.task.abort();
        }
    }
}

/// An address as a source: IPv4 as it is, IPv6 by its network.
fn source_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address @ IpAddr::V4(_) => address,
    }
}

impl ConnectionTable {
    pub(super) fn new(limit_bytes: usize, places: usize, reviews: Arc<ByteBudget>) -> Arc<Self> {
        let (members, pool) = (Mutex::default(), ByteBudget::new(limit_bytes));
        Arc::new(Self { members, pool, reviews, places, changed: Notify::new() })
    }

    fn lock(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn source(self: &Arc<Self>, address: IpAddr) -> Arc<Source> {
        let mut members = self.lock();
        let key = source_of(address);
        if let Some(source) = members.sources.get(&key).and_then(Weak::upgrade) {
            return source;
        }
        members.sources.retain(|_, source| source.strong_count() > 0);
        let source = Source::new(
            key,
            Arc::downgrade(self) as Weak<dyn MakeRoom>,
            Arc::clone(&self.pool),
            Arc::clone(&self.reviews),
        );
        let source = Arc::new(source);
        members.sources.insert(key, Arc::downgrade(&source));
        source
    }

    pub(super) fn next_id(&self) -> u64 {
        let mut members = self.lock();
        members.next_id += 1;
        members.next_id
    }

    pub(super) fn add(
        &self,
        id: u64,
        task: AbortHandle,
        activity: Arc<ConnectionActivity>,
        leave: oneshot::Sender<()>,
    ) {
        let mut members = self.lock();
        let now = Instant::now();
        members.open += 1;
        let member =
            Member { task, activity, since: now, begun: 0, unchanged: now, leave: Some(leave) };
        members.by_id.insert(id, member);
    }

    pub(super) fn remove(&self, id: u64) {
        let mut members = self.lock();
        if members.by_id.remove(&id).is_some_and(|member| !member.activity.is_closing()) {
            members.open -= 1;
        }
        drop(members);
        self.changed.notify_one();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().by_id.is_empty()
    }

    /// Whether a connection of the source may begin; others are closed for it where the rule says
    /// so.
    pub(super) fn admits(&self, newcomer: &Arc<Source>, bytes: usize) -> bool {
        let mut members = self.lock();
        let now = Instant::now();
        members.note_activity(now);
        let handshakes = HANDSHAKES.min(self.places);
        if members.handshakes() >= handshakes && !members.end_handshake(newcomer, now) {
            return false;
        }
        // The last quarter is for what those that are open receive.
        let most = self.pool.limit_bytes / 4 * 3;
        while self.pool.taken() + bytes > most || members.open >= self.places {
            if !members.make_room(newcomer, bytes, now) {
                return false;
            }
        }
        true
    }
}

impl MakeRoom for ConnectionTable {
    #[cold]
    fn make_room(&self) {
        let mut members = self.lock();
        let now = Instant::now();
        while self.pool.taken() > self.pool.limit_bytes {
            let Some(largest) = members.largest() else { return };
            let Some(victim) = members.victim(&largest, now, |_, _| true) else { return };
            tracing::debug!("connections hold too much; one is ended");
            victim.close(false);
            members.open -= 1;
        }
    }
}

impl Members {
    fn handshakes(&self) -> usize {
        let sources = self.sources.values().filter_map(Weak::upgrade);
        sources.map(|source| source.open_handshakes()).sum()
    }

    fn largest(&self) -> Option<Arc<Source>> {
        let sources = self.sources.values().filter_map(Weak::upgrade);
        sources.max_by_key(|source| source.connection_bytes())
    }

    fn note_activity(&mut self, now: Instant) {
        const OFTEN: Duration = Duration::from_millis(50);
        if self.noted.is_some_and(|noted| now - noted < OFTEN) {
            return;
        }
        self.noted = Some(now);
        for member in self.by_id.values_mut() {
            let begun = member.activity.begun();
            if member.begun != begun {
                (member.begun, member.unchanged) = (begun, now);
            }
        }
    }

    /// Of a source the connection that is priority least; of equals the one that has been so for
    /// longest.
    fn victim(
        &mut self,
        source: &Arc<Source>,
        now: Instant,
        may_go: impl Fn(&Member, ClosePriority) -> bool,
    ) -> Option<&mut Member> {
        let members =
            self.by_id.values_mut().filter(|member| Arc::ptr_eq(&member.activity.source, source));
        let priority = members.filter_map(|member| Some((member.priority(now)?, member)));
        let priority = priority.filter(|(priority, member)| may_go(member, *priority));
        let least = priority.min_by_key(|(priority, member)| {
            (*priority, Reverse(member.activity.idle_checks()), member.unchanged, member.since)
        });
        least.map(|(_, member)| member)
    }

    /// Of the source with most handshakes the oldest one, for a newcomer of a source with fewer, or
    /// if it should long be over.
    fn end_handshake(&mut self, newcomer: &Arc<Source>, now: Instant) -> bool {
        let sources = self.sources.values().filter_map(Weak::upgrade);
        let Some(most) = sources.max_by_key(|source| source.open_handshakes()) else {
            return false;
        };
        let is_other = newcomer.open_handshakes() + 1 < most.open_handshakes();
        let victim = self.victim(&most, now, |_, priority| {
            priority == ClosePriority::NoHandshake
                || (is_other && priority == ClosePriority::Handshake)
        });
        if let Some(victim) = victim {
            tracing::debug!("too many handshakes at once; the oldest is ended");
            victim.close(false);
            self.open -= 1;
            return true;
        }
        false
    }

    fn make_room(&mut self, newcomer: &Arc<Source>, bytes: usize, now: Instant) -> bool {
        let Some(largest) = self.largest() else { return false };
        let is_other = !Arc::ptr_eq(&largest, newcomer)
            && newcomer.connection_bytes() + bytes <= largest.connection_bytes();
        // Among connections of one source only idle ones are closed.
        let owner = if is_other { largest } else { Arc::clone(newcomer) };
        let goodbyes = self.by_id.values().filter(|member| member.leave.is_none()).count();
        let victim = self.victim(&owner, now, |member, priority| {
            is_other
                || priority == ClosePriority::NoHandshake
                || (priority == ClosePriority::Idle && now - member.unchanged >= QUIET)
        });
        let Some(victim) = victim else { return false };
        tracing::debug!("no room for another connection; one is ended");
        let gently = goodbyes < GOODBYES && victim.priority(now) == Some(ClosePriority::Idle);
        victim.close(gently);
        self.open -= 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_is_one_source_and_an_ipv4_address_too() {
        for (one, other, is_same) in [
            ("fd00::1:2:3:4", "fd00::5", true),
            ("fd00:0:0:1::1", "fd00::1", false),
            ("::ffff:10.1.2.3", "10.1.2.3", true),
            ("10.1.2.4", "10.1.2.3", false),
        ] {
            let [source, other_source] = [one, other].map(|text| source_of(text.parse().unwrap()));
            assert_eq!(source == other_source, is_same, "{one} {other}");
        }
    }
}
