//! Signs of life of a connection: written in passing, looked at a few times a minute, so that a
//! request costs no timer.

use super::accept::Limits;
use super::pool::Source;
use prometheus_client::metrics::gauge::Gauge;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// What an open connection takes: TLS state, the tasks' and HTTP's own, the kernel's.
pub(super) const CONNECTION_BYTES: usize = 32 << 10;
/// What a request takes beside its body and its answer.
const REQUEST_BYTES: usize = 6 << 10;
/// The most that one connection keeps of what it received and did not finish: read ahead, an
/// incomplete record, a head. (Bodies count as reviews.)
const UNFINISHED_BYTES: usize = 128 << 10;

/// What one connection does now, and what it takes.
#[derive(Debug)]
pub(super) struct Pulse {
    pub(super) source: Arc<Source>,
    /// Bytes that its source is charged with for it.
    held: AtomicUsize,
    /// It is being closed and charged no more.
    is_doomed: AtomicBool,
    /// Requests whose answers have not left, those begun before and after the last turn apart; see
    /// [`Doctor`].
    open: [AtomicU32; 2],
    /// In which of both a request that begins now is counted.
    turn: AtomicUsize,
    /// Requests so far.
    begun: AtomicU32,
    /// As many had begun at the last look.
    looked: AtomicU32,
    /// Requests whose bodies are there, and of those the ones that are answered.
    placed: AtomicU32,
    answered: AtomicU32,
    /// Bytes that came since the last answer left, up to [`UNFINISHED_BYTES`].
    unfinished: AtomicUsize,
    pub(super) answered_while_draining: AtomicBool,
    /// The handshake is over.
    pub(super) is_established: AtomicBool,
    /// In HTTP/2 bytes come without a request, too.
    pub(super) is_http2: AtomicBool,
    /// How often in a row the doctor found no request.
    idle_looks: AtomicU32,
    /// Requests of all connections.
    in_flight: Gauge,
}

impl Pulse {
    pub(super) fn new(source: Arc<Source>, in_flight: Gauge) -> Self {
        source.take_connection(CONNECTION_BYTES);
        source.handshakes.fetch_add(1, Ordering::Relaxed);
        let none = || AtomicU32::new(0);
        Self {
            source,
            held: AtomicUsize::new(CONNECTION_BYTES),
            is_doomed: AtomicBool::new(false),
            open: [none(), none()],
            turn: AtomicUsize::new(0),
            begun: none(),
            looked: none(),
            placed: none(),
            answered: none(),
            unfinished: AtomicUsize::new(0),
            answered_while_draining: AtomicBool::new(false),
            is_established: AtomicBool::new(false),
            is_http2: AtomicBool::new(false),
            idle_looks: none(),
            in_flight,
        }
    }

    fn hold(&self, bytes: usize) {
        if !self.is_doomed() {
            self.held.fetch_add(bytes, Ordering::Relaxed);
            self.source.take_connection(bytes);
        }
    }

    fn release(&self, bytes: usize) {
        if !self.is_doomed() {
            self.held.fetch_sub(bytes, Ordering::Relaxed);
            self.source.give_connection(bytes);
        }
    }

    /// Bytes came.
    pub(super) fn received(&self, bytes: usize) {
        let before = self.unfinished.load(Ordering::Relaxed);
        let more = bytes.min(UNFINISHED_BYTES - before);
        if more > 0 {
            self.unfinished.store(before + more, Ordering::Relaxed);
            self.hold(more);
        }
    }

    /// What came is used up.
    fn finish(&self) -> usize {
        self.unfinished.swap(0, Ordering::Relaxed)
    }

    /// The handshake is over.
    pub(super) fn establish(&self) {
        self.release(self.finish());
        if !self.is_established.swap(true, Ordering::Relaxed) && !self.is_doomed() {
            self.source.handshakes.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// It is being closed: from now on it is charged with nothing.
    pub(super) fn doom(&self) {
        if self.is_doomed.swap(true, Ordering::Relaxed) {
            return;
        }
        self.source.give_connection(self.held.swap(0, Ordering::Relaxed));
        if !self.is_established.load(Ordering::Relaxed) {
            self.source.handshakes.fetch_sub(1, Ordering::Relaxed);
        }
    }

    pub(super) fn is_doomed(&self) -> bool {
        self.is_doomed.load(Ordering::Relaxed)
    }

    fn open(&self) -> u32 {
        self.open.iter().map(|open| open.load(Ordering::Relaxed)).sum()
    }

    /// Requests so far.
    pub(super) fn begun(&self) -> u32 {
        self.begun.load(Ordering::Relaxed)
    }

    /// Whether a request is under way.
    pub(super) fn is_asked(&self) -> bool {
        self.open() > 0
    }

    /// Whether something came that is no whole request yet.
    pub(super) fn has_stirred(&self) -> bool {
        !self.is_http2.load(Ordering::Relaxed) && self.unfinished.load(Ordering::Relaxed) > 0
    }

    /// Whether a request has its body and no answer.
    pub(super) fn is_deciding(&self) -> bool {
        self.placed.load(Ordering::Relaxed) > self.answered.load(Ordering::Relaxed)
    }

    /// Whether an answer has not left.
    pub(super) fn has_answers(&self) -> bool {
        self.answered.load(Ordering::Relaxed) > 0
    }

    /// How often in a row the doctor found no request.
    pub(super) fn idle_looks(&self) -> u32 {
        self.idle_looks.load(Ordering::Relaxed)
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.doom();
    }
}

/// A request from its head until its answer has left: dropped with the last byte of the answer, and
/// when the client goes away before.
#[derive(Debug)]
pub(super) struct Ticket {
    pub(super) pulse: Arc<Pulse>,
    turn: usize,
    is_counted: bool,
    is_placed: bool,
    is_answered: bool,
    /// Of its body, or of its answer.
    review_bytes: usize,
}

impl Ticket {
    pub(super) fn new(pulse: Arc<Pulse>) -> Self {
        let turn = pulse.turn.load(Ordering::Relaxed);
        pulse.open[turn].fetch_add(1, Ordering::Relaxed);
        pulse.begun.fetch_add(1, Ordering::Relaxed);
        pulse.in_flight.inc();
        pulse.hold(REQUEST_BYTES);
        Self {
            pulse,
            turn,
            is_counted: true,
            is_placed: false,
            is_answered: false,
            review_bytes: 0,
        }
    }

    /// Takes a place for a request whose body is there; whether `limit` at once leave one. The
    /// first eight of a connection always have one, and the last quarter is for connections that
    /// hold few.
    pub(super) fn take_place(&mut self, limit: usize) -> bool {
        const FEW: u32 = 8;
        self.is_placed = true;
        let here = self.pulse.placed.fetch_add(1, Ordering::Relaxed);
        let all = self.pulse.source.reviews.places.fetch_add(1, Ordering::Relaxed);
        here < FEW || all < limit / 4 * 3
    }

    /// Takes room for this much of its body; whether there is any. What was taken is given back all
    /// the same.
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        self.review_bytes += bytes;
        self.pulse.source.take_review(bytes)
    }

    /// Gives the room of its body back.
    pub(super) fn give_back(&mut self) {
        if self.review_bytes > 0 {
            self.pulse.source.give_review(std::mem::take(&mut self.review_bytes));
        }
    }

    /// It takes no place any more, though its answer has not left yet.
    pub(super) fn give_up_place(&mut self) {
        if std::mem::take(&mut self.is_counted) {
            self.pulse.in_flight.dec();
        }
        if std::mem::take(&mut self.is_placed) {
            self.pulse.placed.fetch_sub(1, Ordering::Relaxed);
            self.pulse.source.reviews.places.fetch_sub(1, Ordering::Relaxed);
        }
        if std::mem::take(&mut self.is_answered) {
            self.pulse.answered.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// What was refused is no sign of life: the connection is as idle as it was.
    pub(super) fn is_refused(&mut self) {
        self.give_up_place();
        self.pulse.begun.fetch_sub(1, Ordering::Relaxed);
    }

    /// There is an answer.
    pub(super) fn answer(&mut self) {
        if self.is_placed && !self.is_answered {
            self.is_answered = true;
            self.pulse.answered.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.give_up_place();
        self.give_back();
        self.pulse.open[self.turn].fetch_sub(1, Ordering::Relaxed);
        self.pulse.release(self.pulse.finish() + REQUEST_BYTES);
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

    pub(super) fn examine(&mut self, pulse: &Pulse, now: Instant) -> Health {
        let is_due = |since: Instant, limit: Duration| {
            now.duration_since(since) >= limit.saturating_sub(Duration::from_millis(1))
        };
        let begun = pulse.begun();
        if pulse.looked.swap(begun, Ordering::Relaxed) != begun || pulse.open() > 0 {
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
        let is_partial = pulse.has_stirred();
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
    use super::super::pool::Pool;
    use super::*;
    use std::sync::Weak;

    fn pulse() -> Arc<Pulse> {
        let source = Arc::new(Source::new(Weak::new(), Pool::new(1 << 20), Pool::new(1 << 20)));
        Arc::new(Pulse::new(source, Gauge::default()))
    }

    #[test]
    fn half_a_head_is_stuck_after_its_limit_and_an_idle_connection_long_after() {
        let limits = Limits::default();
        let (pulse, start) = (pulse(), Instant::now());
        let mut doctor = Doctor::new(limits, start);
        let at = |doctor: &mut Doctor, seconds| {
            doctor.examine(&pulse, start + Duration::from_secs(seconds))
        };
        assert_eq!((at(&mut doctor, 5), at(&mut doctor, 60)), (Health::Fine, Health::Fine));
        assert_eq!(at(&mut doctor, 5 + limits.idle.as_secs()), Health::Idle);
        pulse.received(1);
        assert_eq!((at(&mut doctor, 200), at(&mut doctor, 205)), (Health::Fine, Health::Fine));
        assert_eq!(at(&mut doctor, 210), Health::Stuck);
        pulse.is_http2.store(true, Ordering::Relaxed);
        assert_eq!(at(&mut doctor, 220), Health::Fine);
        pulse.is_http2.store(false, Ordering::Relaxed);
        let ticket = Ticket::new(Arc::clone(&pulse));
        assert_eq!((at(&mut doctor, 300), at(&mut doctor, 305)), (Health::Fine, Health::Fine));
        drop(ticket);
        assert_eq!((at(&mut doctor, 901), at(&mut doctor, 1000)), (Health::Fine, Health::Fine));
        assert_eq!(at(&mut doctor, 901 + limits.idle.as_secs()), Health::Idle);
    }

    #[test]
    fn an_answer_that_nobody_takes_is_stuck_however_many_others_are_taken() {
        let limits = Limits::default();
        let (pulse, start) = (pulse(), Instant::now());
        let mut doctor = Doctor::new(limits, start);
        let _kept = Ticket::new(Arc::clone(&pulse));
        let mut health = Health::Fine;
        let mut seconds = 0;
        while health == Health::Fine && seconds < 100 {
            seconds += 5;
            let taken = Ticket::new(Arc::clone(&pulse));
            health = doctor.examine(&pulse, start + Duration::from_secs(seconds));
            drop(taken);
        }
        assert_eq!((health, seconds), (Health::Stuck, 5 + limits.finish.as_secs()));
    }

    #[test]
    fn the_first_eight_requests_of_a_connection_always_have_a_place() {
        let in_flight = Gauge::default();
        let (connections, reviews) = (Pool::new(1 << 20), Pool::new(1 << 20));
        let source =
            Arc::new(Source::new(Weak::new(), Arc::clone(&connections), Arc::clone(&reviews)));
        let connection = || Arc::new(Pulse::new(Arc::clone(&source), in_flight.clone()));
        let (greedy, modest) = (connection(), connection());
        let place = |pulse: &Arc<Pulse>| {
            let mut ticket = Ticket::new(Arc::clone(pulse));
            let has_place = ticket.take_place(100);
            (has_place, ticket)
        };
        let many: Vec<_> = (0..80).map(|_| place(&greedy)).collect();
        assert_eq!(many.iter().filter(|(has_place, _)| *has_place).count(), 75);
        // A burst is counted in order: eight of twenty at once are the first eight.
        let burst: Vec<_> = (0..20).map(|_| place(&modest)).collect();
        assert_eq!(burst.iter().filter(|(has_place, _)| *has_place).count(), 8);
        drop((many, burst));
        assert_eq!((in_flight.get(), greedy.open(), modest.open()), (0, 0, 0));
        drop((greedy, modest));
        assert_eq!((connections.taken(), reviews.places.load(Ordering::Relaxed)), (0, 0));
    }

    #[test]
    fn a_connection_that_is_closed_is_charged_with_nothing_whatever_it_still_does() {
        let pulse = pulse();
        pulse.received(1000);
        let ticket = Ticket::new(Arc::clone(&pulse));
        assert!(pulse.source.connection_bytes() > CONNECTION_BYTES + 1000);
        pulse.doom();
        pulse.received(1000);
        drop(ticket);
        pulse.establish();
        assert_eq!(
            (pulse.source.connection_bytes(), pulse.source.handshakes.load(Ordering::Relaxed)),
            (0, 0)
        );
    }

    #[test]
    fn what_is_refused_is_no_sign_of_life() {
        let (pulse, limits, start) = (pulse(), Limits::default(), Instant::now());
        let mut doctor = Doctor::new(limits, start);
        for seconds in [5, 10, 15] {
            let mut ticket = Ticket::new(Arc::clone(&pulse));
            ticket.is_refused();
            drop(ticket);
            assert_eq!(doctor.examine(&pulse, start + Duration::from_secs(seconds)), Health::Fine);
        }
        assert_eq!(pulse.idle_looks(), 3);
    }
}
