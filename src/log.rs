//! The log: lines on standard error, as JSON or as text, with the fields of docs/operate.md; a
//! level that can be changed while the process runs.
//!
//! Everything goes through one buffer, which a thread of its own writes out: who logs never waits
//! for who reads. Ordinary events come from `tracing` and are written at once; the one line of each
//! decision is formatted by hand and written at the latest 100 ms later, many at a time: a
//! system call for each line would cost as much as the decision.
//! [`Guard`] writes the rest before the process ends.

#![allow(clippy::disallowed_methods, reason = "this room stamps log lines")]

mod events;
mod line;

pub use line::Decision;

use crate::bounded::shortened;
use std::fmt;
use std::io::{self, Write};
use std::panic::PanicHookInfo;
use std::str::FromStr;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

/// How long a line may wait.
const DELAY: Duration = Duration::from_millis(100);
/// From here on lines are written at once.
const MANY_BYTES: usize = 256 << 10;
/// Beyond this lines are dropped and counted: a reader that stalls must not stall the webhook. A
/// second's worth at full speed.
const MOST_BYTES: usize = 4 << 20;

/// A panic's message may quote a request.
const MAX_PANIC_BYTES: usize = 1024;

static LEVEL: AtomicU8 = AtomicU8::new(Level::Info as u8);
static FORMAT: AtomicU8 = AtomicU8::new(Format::Json as u8);
static PENDING: Mutex<Pending> = Mutex::new(Pending { lines: Vec::new(), is_urgent: false });
static FILLED: Condvar = Condvar::new();
static DROPPED: AtomicU64 = AtomicU64::new(0);
/// Held while bytes are written, so that lines stay in order; the second buffer.
static OUTPUT: Mutex<Output> = Mutex::new(Output { lines: Vec::new(), told: 0 });

/// What is logged, from everything to little.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Connections that fail, too.
    Debug,
    /// A line a decision.
    Info,
    /// Refused pods and trouble.
    Warn,
}

/// The word that is no level.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not debug, info or warn")]
pub struct LevelError(String);

impl FromStr for Level {
    type Err = LevelError;
    fn from_str(text: &str) -> Result<Self, LevelError> {
        match text {
            "debug" => Ok(Self::Debug),
            "info" => Ok(Self::Info),
            "warn" => Ok(Self::Warn),
            _ => Err(LevelError(text.to_owned())),
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
        })
    }
}

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// One object a line.
    Json,
    /// Time, level, code, message, then `name=value`.
    Text,
}

fn format() -> Format {
    if FORMAT.load(Ordering::Relaxed) == Format::Text as u8 { Format::Text } else { Format::Json }
}

/// Chooses how lines are written.
pub fn set_format(format: Format) {
    FORMAT.store(format as u8, Ordering::Relaxed);
}

/// The level in force.
pub fn level() -> Level {
    match LEVEL.load(Ordering::Relaxed) {
        0 => Level::Debug,
        1 => Level::Info,
        _ => Level::Warn,
    }
}

/// Changes the level.
pub fn set_level(level: Level) {
    LEVEL.store(level as u8, Ordering::Relaxed);
    tracing::callsite::rebuild_interest_cache();
}

/// Writes everything out when it is dropped: at the end of the process, also by a panic.
#[derive(Debug)]
#[must_use]
pub struct Guard(());

impl Drop for Guard {
    fn drop(&mut self) {
        flush();
    }
}

/// Starts the log: `tracing` events and panics go to it, and a thread writes what waits.
pub fn start() -> io::Result<Guard> {
    tracing_subscriber::registry().with(events::Lines).with(Threshold).init();
    std::thread::Builder::new()
        .name("log".to_owned())
        .stack_size(64 << 10)
        .spawn(write_what_waits)?;
    std::panic::set_hook(Box::new(tell_of_panic));
    Ok(Guard(()))
}

/// The default one writes to standard error itself: a reader that stalls would stall the thread
/// that answers reviews.
fn tell_of_panic(panic: &PanicHookInfo<'_>) {
    let payload = panic.payload();
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let message = shortened(text.unwrap_or("no message"), MAX_PANIC_BYTES);
    let mut line = Vec::new();
    line::panicked(format(), message, &place, now, &mut line);
    // It may have panicked with the lock in hand, and must not wait for itself.
    let pending = (0..100).find_map(|_| match PENDING.try_lock() {
        Ok(pending) => Some(pending),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => {
            std::thread::yield_now();
            None
        }
    });
    if let Some(mut pending) = pending {
        note(pending.push(true, |lines| lines.extend_from_slice(&line)));
    } else {
        let _ = io::stderr().write_all(&line);
    }
}

/// Writes everything out; waits for who reads it.
pub fn flush() {
    let mut output = lock(&OUTPUT);
    lock(&PENDING).hand_over(&mut output.lines);
    let dropped = dropped();
    if dropped > output.told {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        line::dropped(format(), dropped - output.told, now, &mut output.lines);
        output.told = dropped;
    }
    // A failure to write the log cannot be reported.
    let _ = io::stderr().lock().write_all(&output.lines);
    output.lines.clear();
    output.lines.shrink_to(2 * MANY_BYTES);
}

/// How many lines were dropped because the reader was too slow.
pub fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// Lines that wait.
#[derive(Debug)]
struct Pending {
    lines: Vec<u8>,
    /// To be written at once.
    is_urgent: bool,
}

/// Lines that are being written.
#[derive(Debug)]
struct Output {
    lines: Vec<u8>,
    /// How many dropped lines were told of.
    told: u64,
}

/// What became of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pushed {
    /// It is the first one, or the first one in a hurry: the writer is to wake.
    News,
    Waits,
    Dropped,
}

impl Pending {
    fn push(&mut self, is_urgent: bool, line: impl FnOnce(&mut Vec<u8>)) -> Pushed {
        if self.lines.len() >= MOST_BYTES {
            return Pushed::Dropped;
        }
        let before = (self.lines.is_empty(), self.is_urgent);
        line(&mut self.lines);
        self.is_urgent |= is_urgent || self.lines.len() >= MANY_BYTES;
        if before == (self.lines.is_empty(), self.is_urgent) { Pushed::Waits } else { Pushed::News }
    }

    fn hand_over(&mut self, lines: &mut Vec<u8>) {
        std::mem::swap(lines, &mut self.lines);
        self.is_urgent = false;
    }
}

/// Appends a line; it is written soon. Never waits.
fn append(is_urgent: bool, line: impl FnOnce(&mut Vec<u8>)) {
    // The lock is held for as long as it takes to append a line or to swap two buffers.
    let pushed = lock(&PENDING).push(is_urgent, line);
    note(pushed);
}

/// Wakes the writer, or counts what it will never see.
fn note(pushed: Pushed) {
    match pushed {
        Pushed::News => FILLED.notify_one(),
        Pushed::Waits => {}
        Pushed::Dropped => {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Sleeps until there is something, waits for more unless it is urgent, writes.
fn write_what_waits() {
    loop {
        let pending = FILLED.wait_while(lock(&PENDING), |pending| pending.lines.is_empty());
        let pending = pending.unwrap_or_else(PoisonError::into_inner);
        drop(FILLED.wait_timeout_while(pending, DELAY, |pending| !pending.is_urgent));
        flush();
    }
}

/// A panic elsewhere does not silence the log.
fn lock<T>(buffer: &'static Mutex<T>) -> MutexGuard<'static, T> {
    buffer.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets events of the level in force pass.
struct Threshold;

impl Threshold {
    fn filter() -> LevelFilter {
        match level() {
            Level::Debug => LevelFilter::DEBUG,
            Level::Info => LevelFilter::INFO,
            Level::Warn => LevelFilter::WARN,
        }
    }
}

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Threshold {
    fn register_callsite(
        &self,
        metadata: &'static tracing::Metadata<'static>,
    ) -> tracing::subscriber::Interest {
        if *metadata.level() <= Self::filter() {
            tracing::subscriber::Interest::always()
        } else {
            tracing::subscriber::Interest::never()
        }
    }

    fn enabled(&self, metadata: &tracing::Metadata<'_>, _: Context<'_, S>) -> bool {
        *metadata.level() <= Self::filter()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(Self::filter())
    }
}

#[cfg(test)]
mod tests;
