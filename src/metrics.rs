//! What is counted. Everything that a request touches is resolved beforehand: a few atomic
//! additions, no look-up by label.

#![allow(clippy::disallowed_methods, reason = "this room reports the start time")]

use crate::admission::{Answer, Outcome};
use crate::cluster::CacheStatus;
use keysluice_plan::reason::Reason;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use std::fmt::{self, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Upper bounds in seconds: a decision takes microseconds, one that must ask the API server
/// milliseconds.
const BUCKETS: [f64; 13] = [
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5,
    1.0,
];

/// The webhook's metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Mutex<Registry>,
    reviews: Family<ReviewLabels, Counter>,
    mutated: Counter,
    unchanged: Counter,
    refused: Family<RefusedLabels, Counter>,
    duration: Histogram,
    /// Requests that are being read, decided or answered.
    pub in_flight: Gauge,
    /// Requests turned away because there were too many.
    pub shed: Counter,
    /// Open connections.
    pub connections: Gauge,
    /// Connections that never got through the TLS handshake.
    pub handshake_failures: Counter,
    /// Decisions that panicked: bugs.
    pub panics: Counter,
    certificate_expiry: Gauge,
    authority_expiry: Gauge,
    certificate_changes: Family<ChangeLabels, Counter>,
    cache_objects: Family<CacheLabels, Gauge>,
    cache_age: Family<CacheLabels, Gauge>,
    cache_synced: Family<CacheLabels, Gauge>,
    log_level: Gauge,
    log_dropped: Counter,
}

/// What became of CA, leaf or `caBundle`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CertificateChange {
    /// Another leaf is served.
    Served,
    /// The Secret was written.
    Stored,
    /// `caBundle` was set.
    Published,
    /// The path of reviews was written into the Secret.
    PathStored,
    /// The path of reviews was written into the configuration.
    PathPublished,
    /// Another replica was faster.
    Overtaken,
    /// It did not work; what is served stays.
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusedLabels {
    status: u16,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ChangeLabels {
    event: CertificateChange,
}

impl EncodeLabelValue for CertificateChange {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(match self {
            Self::Served => "served",
            Self::Stored => "stored",
            Self::Published => "published",
            Self::PathStored => "path_stored",
            Self::PathPublished => "path_published",
            Self::Overtaken => "overtaken",
            Self::Failed => "failed",
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CacheLabels {
    cache: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReviewLabels {
    outcome: Outcome,
    reason: &'static str,
}

impl EncodeLabelValue for Outcome {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(self.as_str())
    }
}

impl Metrics {
    /// All at zero.
    pub fn new(version: &'static str) -> Self {
        let reviews = Family::<ReviewLabels, Counter>::default();
        let counter = |outcome| reviews.get_or_create_owned(&ReviewLabels { outcome, reason: "" });
        let metrics = Self {
            registry: Mutex::default(),
            mutated: counter(Outcome::Mutated),
            unchanged: counter(Outcome::Unchanged),
            reviews,
            refused: Family::default(),
            duration: Histogram::new(BUCKETS),
            in_flight: Gauge::default(),
            shed: Counter::default(),
            connections: Gauge::default(),
            handshake_failures: Counter::default(),
            panics: Counter::default(),
            certificate_expiry: Gauge::default(),
            authority_expiry: Gauge::default(),
            certificate_changes: Family::default(),
            cache_objects: Family::default(),
            cache_age: Family::default(),
            cache_synced: Family::default(),
            log_level: Gauge::default(),
            log_dropped: Counter::default(),
        };
        metrics.register(|registry| metrics.register_own(registry, version));
        metrics
    }

    fn register_own(&self, registry: &mut Registry, version: &'static str) {
        registry.register("build", "The version that runs", Info::new([("version", version)]));
        registry.register(
            "reviews",
            "Decisions by outcome, and by reason code where denied",
            self.reviews.clone(),
        );
        let about = "Requests that were no review or came at the wrong time, by HTTP status and \
            reason code";
        registry.register("requests_refused", about, self.refused.clone());
        let about = "From the whole request read to the answer made, in seconds";
        registry.register("review_duration_seconds", about, self.duration.clone());
        registry.register(
            "requests_in_flight",
            "Requests read, decided or answered now",
            self.in_flight.clone(),
        );
        registry.register(
            "requests_shed",
            "Requests turned away because there were too many",
            self.shed.clone(),
        );
        registry.register("connections", "Open connections", self.connections.clone());
        let about = "Connections that never got through the TLS handshake";
        registry.register("tls_handshake_failures", about, self.handshake_failures.clone());
        registry.register("panics", "Decisions that panicked", self.panics.clone());
        let about = "When the serving certificate expires, in seconds since 1970; 0 if unknown";
        registry.register(
            "certificate_expiry_timestamp_seconds",
            about,
            self.certificate_expiry.clone(),
        );
        let about =
            "When our own CA expires, in seconds since 1970; 0 with certificates from elsewhere";
        registry.register(
            "certificate_authority_expiry_timestamp_seconds",
            about,
            self.authority_expiry.clone(),
        );
        let about = "What became of our own CA, its certificate and caBundle, or of the files of \
            --tls-dir and --client-ca";
        registry.register("certificate_changes", about, self.certificate_changes.clone());
        registry.register(
            "cache_objects",
            "Objects of the API server that are known",
            self.cache_objects.clone(),
        );
        let about = "Since the API server last said anything of them, in seconds; a bookmark \
            comes every minute";
        registry.register("cache_age_seconds", about, self.cache_age.clone());
        let about = "Whether the cache was complete once: from then on it answers";
        registry.register("cache_synced", about, self.cache_synced.clone());
        registry.register("log_level", "0 debug, 1 info, 2 warn", self.log_level.clone());
        let about = "Log lines that were dropped because the reader was too slow";
        registry.register("log_lines_dropped", about, self.log_dropped.clone());
        let start = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let start = ConstGauge::new(i64::try_from(start).unwrap_or(i64::MAX));
        registry.register(
            "start_timestamp_seconds",
            "When the process started, in seconds since 1970",
            start,
        );
    }

    fn register(&self, add: impl FnOnce(&mut Registry)) {
        let mut registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        add(registry.sub_registry_with_prefix("keysluice"));
    }

    /// Counts a decision.
    pub fn review(&self, answer: &Answer, duration: Duration) {
        match (answer.outcome, answer.reason) {
            (Outcome::Mutated, _) => self.mutated.inc(),
            (Outcome::Unchanged, _) => self.unchanged.inc(),
            (outcome, reason) => self.denial(outcome, reason),
        };
        self.duration.observe(duration.as_secs_f64());
    }

    #[cold]
    fn denial(&self, outcome: Outcome, reason: Option<Reason>) -> u64 {
        let reason = reason.map_or("", |reason| reason.code);
        self.reviews.get_or_create_owned(&ReviewLabels { outcome, reason }).inc()
    }

    /// Counts a request that was answered with an HTTP error.
    #[cold]
    pub fn refused(&self, status: u16, reason: &'static str) {
        self.refused.get_or_create_owned(&RefusedLabels { status, reason }).inc();
    }

    /// Notes when the serving certificate expires.
    pub fn set_certificate_expiry(&self, expiry: SystemTime) {
        self.certificate_expiry.set(unix_seconds(expiry));
    }

    /// Notes when our own CA expires.
    pub fn set_authority_expiry(&self, expiry: SystemTime) {
        self.authority_expiry.set(unix_seconds(expiry));
    }

    /// Counts what became of a certificate.
    pub fn certificate_change(&self, event: CertificateChange) {
        self.certificate_changes.get_or_create_owned(&ChangeLabels { event }).inc();
    }

    /// All of them, as `OpenMetrics` text; `caches` as they are now.
    pub fn text(&self, caches: &[CacheStatus]) -> String {
        self.log_level.set(crate::log::level() as i64);
        self.log_dropped.inc_by(crate::log::dropped().saturating_sub(self.log_dropped.get()));
        for cache in caches {
            let labels = CacheLabels { cache: cache.name };
            let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
            self.cache_objects.get_or_create_owned(&labels).set(number(cache.objects as u64));
            self.cache_age.get_or_create_owned(&labels).set(number(cache.age.as_secs()));
            self.cache_synced.get_or_create_owned(&labels).set(i64::from(cache.synced));
        }
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        encode(&mut text, &registry).expect("a String takes everything");
        text
    }
}

fn unix_seconds(time: SystemTime) -> i64 {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patch::Patch;
    use crate::reason;

    fn answer(outcome: Outcome, reason: Option<Reason>) -> Answer {
        let (body, warnings, notes) = (Vec::new(), Vec::new(), Vec::new());
        Answer { body, outcome, reason, message: None, warnings, notes, patch: Patch::default() }
    }

    #[test]
    fn the_text_has_every_metric() {
        let metrics = Metrics::new("1.2.3");
        metrics.review(&answer(Outcome::Mutated, None), Duration::from_micros(30));
        metrics.review(&answer(Outcome::Denied, Some(reason::KS207)), Duration::from_micros(30));
        metrics.set_certificate_expiry(UNIX_EPOCH + Duration::from_secs(77));
        metrics.set_authority_expiry(UNIX_EPOCH + Duration::from_secs(78));
        metrics.certificate_change(CertificateChange::Published);
        metrics.refused(400, "KS701");
        let age = Duration::from_secs(61);
        let cache =
            CacheStatus { name: "serviceaccounts", synced: true, objects: 5, age, trouble: None };
        let text = metrics.text(&[cache]);
        for line in [
            "keysluice_build_info{version=\"1.2.3\"} 1",
            "keysluice_reviews_total{outcome=\"mutated\",reason=\"\"} 1",
            "keysluice_reviews_total{outcome=\"unchanged\",reason=\"\"} 0",
            "keysluice_reviews_total{outcome=\"denied\",reason=\"KS207\"} 1",
            "keysluice_review_duration_seconds_bucket{le=\"0.000025\"} 0",
            "keysluice_review_duration_seconds_bucket{le=\"0.00005\"} 2",
            "keysluice_review_duration_seconds_count 2",
            "keysluice_requests_refused_total{status=\"400\",reason=\"KS701\"} 1",
            "keysluice_requests_in_flight 0",
            "keysluice_requests_shed_total 0",
            "keysluice_connections 0",
            "keysluice_tls_handshake_failures_total 0",
            "keysluice_panics_total 0",
            "keysluice_certificate_expiry_timestamp_seconds 77",
            "keysluice_log_level 1",
            "keysluice_log_lines_dropped_total 0",
            "keysluice_certificate_authority_expiry_timestamp_seconds 78",
            "keysluice_certificate_changes_total{event=\"published\"} 1",
            "keysluice_cache_objects{cache=\"serviceaccounts\"} 5",
            "keysluice_cache_age_seconds{cache=\"serviceaccounts\"} 61",
            "keysluice_cache_synced{cache=\"serviceaccounts\"} 1",
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
    }
}
