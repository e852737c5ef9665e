//! Who waits for a turn, and how much time each source and namespace has had.

use super::Turn;
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Namespaces whose time is remembered.
const NAMESPACES: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) is_taken: bool,
    pub(super) waiting: usize,
    /// What turns have taken since everything else ran.
    pub(super) slice: Duration,
    pub(super) last_long: Option<Instant>,
    /// The time of the namespace that was served last: a new one starts there, without credit for
    /// time when it did not ask.
    clock: Duration,
    sources: HashMap<usize, OfSource>,
}

#[derive(Debug, Default)]
struct OfSource {
    used: Duration,
    clock: Duration,
    namespaces: HashMap<Box<str>, OfNamespace>,
}

#[derive(Debug, Default)]
pub(super) struct OfNamespace {
    used: Duration,
    pub(super) waiting: VecDeque<oneshot::Sender<Turn>>,
}

impl Queue {
    pub(super) fn namespace(&mut self, source: usize, namespace: &str) -> &mut OfNamespace {
        let clock = self.clock;
        let of_source = self
            .sources
            .entry(source)
            .or_insert_with(|| OfSource { used: clock, ..OfSource::default() });
        if of_source.namespaces.len() >= NAMESPACES {
            of_source.namespaces.retain(|_, namespace| !namespace.waiting.is_empty());
        }
        let clock = of_source.clock;
        of_source
            .namespaces
            .entry(namespace.into())
            .or_insert_with(|| OfNamespace { used: clock, ..OfNamespace::default() })
    }

    pub(super) fn charge(&mut self, source: usize, namespace: &str, time: Duration, is_long: bool) {
        if is_long {
            self.last_long = Some(Instant::now());
        }
        self.slice += time;
        self.namespace(source, namespace).used += time;
        if let Some(source) = self.sources.get_mut(&source) {
            source.used += time;
        }
    }

    /// Whose turn it is.
    pub(super) fn next(&mut self) -> Option<(usize, Box<str>, oneshot::Sender<Turn>)> {
        let sources = self.sources.iter_mut().filter(|(_, source)| {
            source.namespaces.values().any(|namespace| !namespace.waiting.is_empty())
        });
        let (&key, source) = sources.min_by_key(|(_, source)| source.used)?;
        source.used = source.used.max(self.clock);
        self.clock = source.used;
        let waiting =
            source.namespaces.iter_mut().filter(|(_, namespace)| !namespace.waiting.is_empty());
        let (name, namespace) = waiting.min_by_key(|(_, namespace)| namespace.used)?;
        namespace.used = namespace.used.max(source.clock);
        source.clock = namespace.used;
        Some((key, name.clone(), namespace.waiting.pop_front()?))
    }
}
