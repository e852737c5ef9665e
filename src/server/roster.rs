//! Who makes room where every place is taken, so that nobody who fills them and leaves them so keeps a caller out.

use super::pulse::Pulse;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// What a handshake may take before it counts as one that does not come, and an idle connection for its goodbye.
pub(super) const GRACE: Duration = Duration::from_secs(1);

/// Connections in the order in which they came.
#[derive(Default)]
pub(super) struct Roster(VecDeque<Member>);

struct Member {
    task: AbortHandle,
    pulse: Arc<Pulse>,
    since: Instant,
    /// Tells it to go; `None` once it was told.
    leave: Option<oneshot::Sender<()>>,
}

impl Member {
    fn is_established(&self) -> bool {
        self.pulse.is_established.load(Ordering::Relaxed)
    }
}

impl Roster {
    /// `open` are open now, with this one.
    pub(super) fn add(&mut self, task: AbortHandle, pulse: Arc<Pulse>, leave: oneshot::Sender<()>, open: usize) {
        if self.0.len() > 2 * open {
            self.forget_the_ended();
        }
        self.0.push_back(Member { task, pulse, since: Instant::now(), leave: Some(leave) });
    }

    fn forget_the_ended(&mut self) {
        self.0.retain(|member| !member.task.is_finished());
    }

    /// Cuts off a connection that does not come through its handshake; where there is none, tells those that have been without a request for
    /// longest to go: what they have begun meanwhile is answered.
    pub(super) fn make_room(&mut self, places: usize) {
        self.forget_the_ended();
        let unestablished = || self.0.iter().filter(|member| !member.is_established());
        let oldest = unestablished().next();
        let is_due = |member: &Member| member.since.elapsed() >= GRACE;
        if let Some(oldest) = oldest.filter(|oldest| is_due(oldest) || unestablished().count() > places / 2) {
            tracing::debug!("too many connections; one without a handshake is ended");
            return oldest.task.abort();
        }
        // One that asked something before it went takes its time.
        if self.0.iter().any(|member| member.leave.is_none() && !member.pulse.is_asked()) {
            return;
        }
        // A goodbye takes a moment: many at once, for whoever comes next.
        if !self.tell_idle_ones(places.div_ceil(32))
            && let Some(oldest) = self.0.iter().find(|member| !member.is_established())
        {
            oldest.task.abort();
        }
    }

    /// Whether there were any.
    fn tell_idle_ones(&mut self, most: usize) -> bool {
        let idle = self.0.iter_mut().filter(|member| member.pulse.idleness() > 0);
        let mut idle: Vec<_> = idle.collect();
        // Of those equally idle the one that came first.
        idle.sort_by_key(|member| std::cmp::Reverse(member.pulse.idleness()));
        idle.truncate(most);
        for leave in idle.iter_mut().filter_map(|member| member.leave.take()) {
            let _ = leave.send(());
        }
        tracing::debug!(connections = idle.len(), "too many connections; idle ones are told to go");
        !idle.is_empty()
    }
}
