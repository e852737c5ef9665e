//! The log: JSON lines on standard error, a level that can be changed while the process runs.
//!
//! Everything goes through one buffer. Ordinary events come from `tracing` and are written at once; the one line of each decision is
//! formatted by hand and written at the latest 100 ms later, many at a time: `tracing-subscriber`'s JSON and a system call for each line would cost
//! as much as the decision. [`Guard`] writes the rest before the process ends.

mod line;

pub use line::Decision;

use std::fmt;
use std::io::{self, Write};
use std::str::FromStr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

/// How long a line may wait.
const DELAY: Duration = Duration::from_millis(100);
/// From here on the one who writes a line also writes the buffer out: a reader that stalls slows us, but no line is lost.
const FULL_BYTES: usize = 256 << 10;

static LEVEL: AtomicU8 = AtomicU8::new(Level::Info as u8);
static PENDING: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static FILLED: Condvar = Condvar::new();
/// Held while bytes are written, so that lines stay in order; the second buffer.
static OUTPUT: Mutex<Vec<u8>> = Mutex::new(Vec::new());

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

/// Starts the log: `tracing` events go to it, and a thread writes what waits.
pub fn start() -> io::Result<Guard> {
    let lines =
        tracing_subscriber::fmt::layer().json().flatten_event(true).with_target(false).with_writer(|| Immediate);
    tracing_subscriber::registry().with(lines).with(Threshold).init();
    std::thread::Builder::new().name("log".to_owned()).stack_size(64 << 10).spawn(write_what_waits)?;
    Ok(Guard(()))
}

/// Writes everything out.
pub fn flush() {
    let mut output = lock(&OUTPUT);
    std::mem::swap(&mut *output, &mut *lock(&PENDING));
    // Nobody is left to tell that the log cannot be written.
    let _ = io::stderr().lock().write_all(&output);
    output.clear();
}

/// Appends a line; it is written soon.
fn append(line: impl FnOnce(&mut Vec<u8>)) {
    let mut pending = lock(&PENDING);
    let was_empty = pending.is_empty();
    line(&mut pending);
    let is_full = pending.len() >= FULL_BYTES;
    drop(pending);
    if was_empty {
        FILLED.notify_one();
    }
    if is_full {
        flush();
    }
}

/// Sleeps until there is something, waits for more, writes.
fn write_what_waits() {
    loop {
        let pending = FILLED.wait_while(lock(&PENDING), |pending| pending.is_empty());
        drop(pending);
        std::thread::sleep(DELAY);
        flush();
    }
}

/// A panic elsewhere does not silence the log.
fn lock(buffer: &'static Mutex<Vec<u8>>) -> MutexGuard<'static, Vec<u8>> {
    buffer.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Events of `tracing`: rare, and somebody may be waiting for them.
struct Immediate;

impl Write for Immediate {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        append(|pending| pending.extend_from_slice(line));
        flush();
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
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
    fn register_callsite(&self, metadata: &'static tracing::Metadata<'static>) -> tracing::subscriber::Interest {
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
