//! One watch: a streamed list (or a paged one, where the API server is older), then every change,
//! for ever.
//!
//! A broken watch goes on from the last resource version; only "410 Gone" lists again, and the old
//! table answers meanwhile.

use super::backoff::{Backoff, random, spread};
use super::cache::{Cache, Table};
use super::client::{Client, next_chunk};
use super::error::ApiError;
use super::event::{Event, EventKind, Item, Page, Status};
use super::lines::{LineTooLong, Lines};
use crate::reason::KS703;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The API server ends a watch after this, spread by half, so that connections move over to new
/// replicas of it.
const LIFETIME: Duration = Duration::from_secs(420);
/// A session this long was a good one.
const GOOD: Duration = Duration::from_secs(20);

/// How long a watch waits for what. Tests are less patient.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// After a first failure; doubles from there.
    pub first_retry: Duration,
    /// Where it stops to double.
    pub longest_retry: Duration,
    /// Until a watch that says nothing is given up. The API server sends a bookmark a minute, and
    /// the client's keep-alive sees a dead peer sooner: this is for what neither catches.
    pub silence: Duration,
    /// Until a streamed list that does not go on is asked for page by page.
    pub first_events: Duration,
    /// Until a resource that the cluster does not have is looked for again.
    pub not_installed: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            first_retry: Duration::from_millis(200),
            longest_retry: Duration::from_secs(10),
            silence: Duration::from_secs(180),
            first_events: Duration::from_secs(30),
            not_installed: Duration::from_secs(60),
        }
    }
}

/// Keeps one cache as the API server has it.
#[derive(Debug)]
pub(super) struct Watch<T> {
    client: Client,
    cache: Arc<Cache<T>>,
    pace: Pace,
    /// Where to go on; `None` where all must be listed.
    resume: Option<String>,
    /// Whether the API server streams lists (1.34 and later; 1.27 and later where it is switched
    /// on).
    streams_lists: bool,
    /// Of a paged list; halved when a page is too large.
    page_items: usize,
}

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error(transparent)]
    Api(#[from] ApiError),
    /// What we know is too old, or of another store.
    #[error("the resource version is gone: everything is listed again")]
    Gone,
}

impl From<serde_json::Error> for End {
    fn from(error: serde_json::Error) -> Self {
        Self::Api(error.into())
    }
}

impl From<LineTooLong> for End {
    fn from(error: LineTooLong) -> Self {
        Self::Api(error.into())
    }
}

impl<T: Table> Watch<T> {
    pub(super) fn new(client: Client, cache: Arc<Cache<T>>, pace: Pace) -> Self {
        Self { client, cache, pace, resume: None, streams_lists: true, page_items: T::PAGE_ITEMS }
    }

    /// Never ends.
    pub(super) async fn run(mut self) {
        let mut backoff = Backoff::new(self.pace.first_retry, self.pace.longest_retry);
        loop {
            let begun = Instant::now();
            let end = self.session().await;
            if begun.elapsed() >= GOOD {
                backoff.reset();
            }
            let pause = self.after(end, &mut backoff, random());
            tokio::time::sleep(pause).await;
        }
    }

    /// What a session's end means for the next one, and how long to wait for it.
    fn after(&mut self, end: Result<(), End>, backoff: &mut Backoff, random: f64) -> Duration {
        let error = match end {
            // Its lifetime was over, or the API server stops: nothing to tell, and no reason to
            // hurry either.
            Ok(()) => return backoff.next(None, random),
            Err(error) => error,
        };
        let (name, listing) = (T::NAME, self.resume.is_none());
        tracing::debug!(cache = name, %error, "watch ended");
        match &error {
            End::Gone => {
                self.resume = None;
                tracing::info!(cache = name, "{error}");
                return backoff.next(None, random);
            }
            End::Api(ApiError::Refused { status: 404, .. }) if T::OPTIONAL => {
                // No such kind: there are none, and that is an answer.
                if !self.cache.is_synced() || self.cache.read(T::len) > 0 {
                    tracing::info!(cache = name, "the cluster does not have this resource");
                }
                self.resume = None;
                self.cache.begin();
                self.cache.complete();
                return spread(self.pace.not_installed, random);
            }
            // 1.26 and earlier, or switched off: `sendInitialEvents` or `resourceVersionMatch` is
            // forbidden for a watch.
            End::Api(ApiError::Refused { status: 400 | 422, .. })
                if listing && self.streams_lists =>
            {
                self.streams_lists = false;
                return Duration::ZERO;
            }
            End::Api(ApiError::Timeout { waited, .. })
                if listing && self.streams_lists && *waited == self.pace.first_events =>
            {
                self.streams_lists = false;
            }
            End::Api(ApiError::TooLarge)
                if listing && !self.streams_lists && self.page_items > 1 =>
            {
                self.page_items /= 2;
                return Duration::ZERO;
            }
            End::Api(_) => {}
        }
        let asked = if let End::Api(error) = &error { error.retry_after() } else { None };
        let pause = backoff.next(asked, random);
        let milliseconds = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        tracing::warn!(cache = name, %error, retry_in_ms = milliseconds, "{KS703} watch failed; \
            what is cached goes on answering");
        self.cache.set_trouble(Some(error.to_string()));
        pause
    }

    async fn session(&mut self) -> Result<(), End> {
        if self.resume.is_none() && !self.streams_lists {
            self.list().await?;
        }
        let lifetime = spread(LIFETIME, random()).as_secs();
        let mut query = vec![
            "watch=true".to_owned(),
            "allowWatchBookmarks=true".to_owned(),
            format!("timeoutSeconds={lifetime}"),
        ];
        match &self.resume {
            Some(version) => query.push(format!("resourceVersion={version}")),
            // Without a version: consistent, so a restart never shows us an older state than the
            // one we had.
            None => {
                query.push("sendInitialEvents=true&resourceVersionMatch=NotOlderThan".to_owned());
            }
        }
        let body = self.client.open(&path::<T>(&query), T::ACCEPT).await;
        let mut body =
            body.map_err(
                |error| if is_gone(error.status(), &error) { End::Gone } else { error.into() },
            )?;
        if self.resume.is_some() {
            // It goes on from where we were: nothing is missing, though the first bookmark may be a
            // minute away.
            self.cache.heard();
            self.cache.set_trouble(None);
        }
        let is_listing = self.resume.is_none();
        if is_listing {
            self.cache.begin();
        }
        let mut session = Session { cache: &self.cache, resume: &mut self.resume, is_listing };
        let mut lines = Lines::default();
        loop {
            let patience =
                if session.is_listing { self.pace.first_events } else { self.pace.silence };
            let Some(chunk) = next_chunk(&mut body, patience).await? else { return Ok(()) };
            lines.feed(&chunk, |line| session.line(line))?;
        }
    }

    /// Lists page by page; each page is read and dropped before the next.
    async fn list(&mut self) -> Result<(), End> {
        self.cache.begin();
        let mut next = String::new();
        loop {
            let mut query = vec![format!("limit={}", self.page_items)];
            if !next.is_empty() {
                query.push(format!("continue={}", escape(&next)));
            }
            let page = self.client.read_page(&path::<T>(&query), T::ACCEPT).await;
            let page =
                page.map_err(
                    |error| if error.status() == Some(410) { End::Gone } else { error.into() },
                )?;
            let page = Page::read(&page)?;
            for item in page.items() {
                self.cache.write_fresh(|table| take_up(table, &item));
            }
            next = page.metadata.next.to_string();
            if next.is_empty() {
                self.resume = Some(page.metadata.resource_version.to_string());
                break;
            }
        }
        self.cache.complete();
        self.cache.set_trouble(None);
        // The next list is streamed again, if it can be: it was one stall, or the API server is
        // newer by then.
        self.streams_lists = true;
        Ok(())
    }
}

/// One connection's events.
struct Session<'a, T> {
    cache: &'a Cache<T>,
    resume: &'a mut Option<String>,
    /// Whether this is a streamed list that is not yet complete.
    is_listing: bool,
}

impl<T: Table> Session<'_, T> {
    fn line(&mut self, line: &[u8]) -> Result<(), End> {
        let Event { kind, item } = Event::read(line)?;
        match kind {
            EventKind::Error => return Err(refusal(&Status::of_event(line))),
            EventKind::Unknown => return Ok(()),
            EventKind::Added | EventKind::Modified => self.change(|table| take_up(table, &item)),
            EventKind::Deleted => {
                let (namespace, name) = item.name();
                self.change(|table| table.remove(namespace, name));
            }
            EventKind::Bookmark if item.ends_initial_events() => {
                if std::mem::take(&mut self.is_listing) {
                    self.cache.complete();
                }
            }
            EventKind::Bookmark => {}
        }
        self.cache.heard();
        // The versions of initial events are the objects' own, in no order: nothing to resume from.
        if !self.is_listing {
            self.advance(item.resource_version())?;
        }
        Ok(())
    }

    fn change(&mut self, change: impl FnOnce(&mut T)) {
        if self.is_listing { self.cache.write_fresh(change) } else { self.cache.write(change) }
    }

    fn advance(&mut self, version: &str) -> Result<(), End> {
        let last = self.resume.as_deref().map(str::parse::<u128>);
        if let (Some(Ok(last)), Ok(new)) = (last, version.parse::<u128>())
            && new < last
        {
            // Versions only grow: this is another store, or an old copy of ours.
            return Err(End::Gone);
        }
        if !version.is_empty() {
            let resume = self.resume.get_or_insert_default();
            resume.clear();
            resume.push_str(version);
        }
        self.cache.set_trouble(None);
        Ok(())
    }
}

/// Stores an object. One that cannot be read is reported and does not affect the others.
fn take_up<T: Table>(table: &mut T, item: &Item<'_>) {
    match item {
        Item::Readable(object) => table.upsert(object),
        Item::Unreadable(_) => {
            let (namespace, name) = item.name();
            tracing::warn!(cache = T::NAME, namespace, name, "{KS703} an object is not readable");
            table.unreadable(namespace, name);
        }
    }
}

fn refusal(status: &Status<'_>) -> End {
    let error = ApiError::Refused {
        server: None,
        status: status.code,
        message: status.message.to_string(),
        retry_after: None,
    };
    if is_gone(Some(status.code), &error) { End::Gone } else { error.into() }
}

/// Also a version from the future: etcd was restored from a backup, and the API server would wait
/// for it to come.
fn is_gone(status: Option<u16>, error: &ApiError) -> bool {
    status == Some(410)
        || matches!(error, ApiError::Refused { message, .. }
            if message.contains("Too large resource version"))
}

fn path<T: Table>(query: &[String]) -> String {
    let mut path = format!("{}?{}", T::PATH, query.join("&"));
    if !T::FIELD_SELECTOR.is_empty() {
        path.push_str("&fieldSelector=");
        path.push_str(T::FIELD_SELECTOR);
    }
    path
}

/// Percent-encodes what is not plainly safe in a query.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}
