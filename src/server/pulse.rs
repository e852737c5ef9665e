//! Signs of life of a connection: written in passing, looked at a few times a minute, so that a request costs no timer.

use super::accept::Limits;
use prometheus_client::metrics::gauge::Gauge;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// What one connection does now.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    /// Requests whose answers have not left, those begun before and after the last turn apart; see [`Doctor`].
    open: [AtomicU32; 2],
    /// In which of both a request that begins now is counted.
    turn: AtomicUsize,
    /// A request began since the last look.
    has_begun: AtomicBool,
    /// Bytes came since the last answer left.
    pub(super) stirred: AtomicBool,
    pub(super) answered_while_draining: AtomicBool,
    /// The handshake is over.
    pub(super) is_established: AtomicBool,
    /// How often in a row the doctor found no request.
    idle_looks: AtomicU32,
    /// Bytes of its requests' bodies in memory.
    pub(super) body_bytes: AtomicUsize,
    /// Requests of all connections.
    in_flight: Gauge,
}

impl Pulse {
    pub(super) fn new(in_flight: Gauge) -> Self {
        Self { in_flight, ..Self::default() }
    }

    fn open(&self) -> u32 {
        self.open.iter().map(|open| open.load(Ordering::Relaxed)).sum()
    }

    /// Whether a request is under way.
    pub(super) fn is_asked(&self) -> bool {
        self.open() > 0
    }

    /// How long it has been without a request, in looks of the doctor; 0 if that is short.
    pub(super) fn idleness(&self) -> u32 {
        let looks = self.idle_looks.load(Ordering::Relaxed);
        if looks < 2 || self.open() > 0 || self.has_begun.load(Ordering::Relaxed) { 0 } else { looks }
    }
}

/// A request from its head until its answer has left: dropped with the last byte of the answer, and when the client goes away before.
#[derive(Debug)]
pub(super) struct Ticket {
    pub(super) pulse: Arc<Pulse>,
    turn: usize,
    is_counted: bool,
}

impl Ticket {
    pub(super) fn new(pulse: Arc<Pulse>) -> Self {
        let turn = pulse.turn.load(Ordering::Relaxed);
        pulse.open[turn].fetch_add(1, Ordering::Relaxed);
        pulse.has_begun.store(true, Ordering::Relaxed);
        pulse.in_flight.inc();
        Self { pulse, turn, is_counted: true }
    }

    /// Whether `limit` requests at once leave a place for this one. The first of a connection always has one, and the last quarter is for
    /// connections that hold few: nobody keeps the others out by what one connection leaves undone.
    pub(super) fn has_place(&self, limit: i64) -> bool {
        const FEW: u32 = 8;
        let here = self.pulse.open();
        let limit = if here <= FEW { limit } else { limit / 4 * 3 };
        here <= 1 || self.pulse.in_flight.get() <= limit
    }

    /// It takes no place any more, though its answer has not left yet.
    pub(super) fn give_up_place(&mut self) {
        if std::mem::take(&mut self.is_counted) {
            self.pulse.in_flight.dec();
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.give_up_place();
        self.pulse.open[self.turn].fetch_sub(1, Ordering::Relaxed);
        self.pulse.stirred.store(false, Ordering::Relaxed);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    Fine,
    /// Nobody has asked anything for a long time.
    Idle,
    /// Half a request head, or an answer that nobody takes, for too long.
    Stuck,
}

/// Compares a [`Pulse`] with what it was.
#[derive(Debug)]
pub(super) struct Doctor {
    limits: Limits,
    /// Since when there is half a head, and since when there is nothing.
    partial: Option<Instant>,
    idle: Option<Instant>,
    /// The last turn: requests of the other half of [`Pulse::open`] began before it.
    turned: Instant,
}

impl Doctor {
    pub(super) fn new(limits: Limits, now: Instant) -> Self {
        Self { limits, partial: None, idle: None, turned: now }
    }

    pub(super) fn examine(&mut self, pulse: &Pulse, now: Instant, is_http2: bool) -> Health {
        let is_due = |since: Instant, limit: Duration| {
            now.duration_since(since) >= limit.saturating_sub(Duration::from_millis(1))
        };
        if pulse.has_begun.swap(false, Ordering::Relaxed) || pulse.open() > 0 {
            (self.partial, self.idle) = (None, None);
            pulse.idle_looks.store(0, Ordering::Relaxed);
            let young = pulse.turn.load(Ordering::Relaxed);
            if pulse.open[1 - young].load(Ordering::Relaxed) == 0 {
                pulse.turn.store(1 - young, Ordering::Relaxed);
                self.turned = now;
            } else if is_due(self.turned, self.limits.finish) {
                return Health::Stuck;
            }
            return Health::Fine;
        }
        pulse.idle_looks.fetch_add(1, Ordering::Relaxed);
        // In HTTP/2 bytes come without a request, too.
        let is_partial = !is_http2 && pulse.stirred.load(Ordering::Relaxed);
        let (since, other, limit, health) = if is_partial {
            (&mut self.partial, &mut self.idle, self.limits.header, Health::Stuck)
        } else {
            (&mut self.idle, &mut self.partial, self.limits.idle, Health::Idle)
        };
        *other = None;
        if is_due(*since.get_or_insert(now), limit) { health } else { Health::Fine }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_head_is_stuck_after_its_limit_and_an_idle_connection_long_after() {
        let limits = Limits::default();
        let (pulse, start) = (Arc::new(Pulse::default()), Instant::now());
        let mut doctor = Doctor::new(limits, start);
        let at = |doctor: &mut Doctor, seconds| doctor.examine(&pulse, start + Duration::from_secs(seconds), false);
        assert_eq!((at(&mut doctor, 5), at(&mut doctor, 60)), (Health::Fine, Health::Fine));
        assert_eq!(at(&mut doctor, 5 + limits.idle.as_secs()), Health::Idle);
        pulse.stirred.store(true, Ordering::Relaxed);
        assert_eq!((at(&mut doctor, 200), at(&mut doctor, 205)), (Health::Fine, Health::Fine));
        assert_eq!(at(&mut doctor, 210), Health::Stuck);
        assert_eq!(doctor.examine(&pulse, start + Duration::from_secs(220), true), Health::Fine);
        let ticket = Ticket::new(Arc::clone(&pulse));
        assert_eq!((at(&mut doctor, 300), at(&mut doctor, 305)), (Health::Fine, Health::Fine));
        drop(ticket);
        assert_eq!((at(&mut doctor, 901), at(&mut doctor, 1000)), (Health::Fine, Health::Fine));
        assert_eq!(at(&mut doctor, 901 + limits.idle.as_secs()), Health::Idle);
    }

    #[test]
    fn an_answer_that_nobody_takes_is_stuck_however_many_others_are_taken() {
        let limits = Limits::default();
        let (pulse, start) = (Arc::new(Pulse::default()), Instant::now());
        let mut doctor = Doctor::new(limits, start);
        let _kept = Ticket::new(Arc::clone(&pulse));
        let mut health = Health::Fine;
        let mut seconds = 0;
        while health == Health::Fine && seconds < 100 {
            seconds += 5;
            let taken = Ticket::new(Arc::clone(&pulse));
            health = doctor.examine(&pulse, start + Duration::from_secs(seconds), true);
            drop(taken);
        }
        assert_eq!((health, seconds), (Health::Stuck, 5 + limits.finish.as_secs()));
    }

    #[test]
    fn one_request_of_a_connection_always_has_a_place_and_few_have_one_longer_than_many() {
        let in_flight = Gauge::default();
        let connection = || Arc::new(Pulse::new(in_flight.clone()));
        let (greedy, modest, first) = (connection(), connection(), connection());
        let many: Vec<_> = (0..76).map(|_| Ticket::new(Arc::clone(&greedy))).collect();
        assert!(many.iter().all(|ticket| !ticket.has_place(100)));
        let few: Vec<_> = (0..8).map(|_| Ticket::new(Arc::clone(&modest))).collect();
        assert!(few.iter().all(|ticket| ticket.has_place(100) && !ticket.has_place(83)));
        let mut one = Ticket::new(Arc::clone(&first));
        assert!(one.has_place(0));
        one.give_up_place();
        drop((many, few, one));
        assert_eq!((in_flight.get(), greedy.open(), modest.open(), first.open()), (0, 0, 0, 0));
    }
}
