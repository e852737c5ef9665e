//! The diagnostic log of vaults, joined with the pods that called them: who read what, which grants
//! are unused, which workloads use an old version. Log and pods in, report out. What cannot be
//! attributed is counted, never guessed. Pure but for reading the log.

mod assignments;
mod attribution;
mod caller;
mod event;
mod frames;
mod ledger;
mod lenient;
mod names;
mod pods;
mod report;
#[cfg(test)]
mod tests;
mod unused;

pub use assignments::{Assignment, AssignmentUse, read as read_assignments};
pub use frames::{Frame, Frames};
pub use ledger::{Ledger, Malformed, Period, Totals};
pub use pods::{ObjectRecord, PodRecord, Pods};
pub use report::{Calls, Log, Moment, OldVersion, Report, Stranger};
pub use unused::{Unused, UnusedObject};

/// Microseconds since 1970 of an RFC 3339 time.
pub fn micros(text: &str) -> Option<i64> {
    event::micros(text)
}
