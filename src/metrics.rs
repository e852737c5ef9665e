//! What is counted. Everything that a request touches is resolved beforehand: a few atomic additions, no look-up by label.

use crate::admission::{Answer, Outcome};
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

/// Upper bounds in seconds: a decision takes microseconds, one that must ask the API server milliseconds.
const BUCKETS: [f64; 13] =
    [0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0];

/// The webhook's metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Mutex<Registry>,
    reviews: Family<ReviewLabels, Counter>,
    mutated: Counter,
    unchanged: Counter,
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
    log_level: Gauge,
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
            duration: Histogram::new(BUCKETS),
            in_flight: Gauge::default(),
            shed: Counter::default(),
            connections: Gauge::default(),
            handshake_failures: Counter::default(),
            panics: Counter::default(),
            certificate_expiry: Gauge::default(),
            log_level: Gauge::default(),
        };
        metrics.register(|registry| metrics.register_own(registry, version));
        metrics
    }

    fn register_own(&self, registry: &mut Registry, version: &'static str) {
        registry.register("build", "The version that runs", Info::new([("version", version)]));
        registry.register("reviews", "Decisions by outcome, and by reason code where denied", self.reviews.clone());
        let about = "From the whole request read to the answer made, in seconds";
        registry.register("review_duration_seconds", about, self.duration.clone());
        registry.register("requests_in_flight", "Requests read, decided or answered now", self.in_flight.clone());
        registry.register("requests_shed", "Requests turned away because there were too many", self.shed.clone());
        registry.register("connections", "Open connections", self.connections.clone());
        let about = "Connections that never got through the TLS handshake";
        registry.register("tls_handshake_failures", about, self.handshake_failures.clone());
        registry.register("panics", "Decisions that panicked", self.panics.clone());
        let about = "When the serving certificate expires, in seconds since 1970; 0 if unknown";
        registry.register("certificate_expiry_timestamp_seconds", about, self.certificate_expiry.clone());
        registry.register("log_level", "0 debug, 1 info, 2 warn", self.log_level.clone());
        let start = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let start = ConstGauge::new(i64::try_from(start).unwrap_or(i64::MAX));
        registry.register("start_timestamp_seconds", "When the process started, in seconds since 1970", start);
    }

    /// Adds metrics of other parts (cache sizes and ages, …), below the same prefix.
    pub fn register(&self, add: impl FnOnce(&mut Registry)) {
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

    /// Notes when the serving certificate expires.
    pub fn set_certificate_expiry(&self, expiry: SystemTime) {
        let seconds = expiry.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        self.certificate_expiry.set(i64::try_from(seconds).unwrap_or(i64::MAX));
    }

    /// All of them, as `OpenMetrics` text.
    pub fn text(&self) -> String {
        self.log_level.set(crate::log::level() as i64);
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        encode(&mut text, &registry).expect("a String takes everything");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::patch::Patch;
    use crate::reason;

    fn answer(outcome: Outcome, reason: Option<Reason>) -> Answer {
        let (body, warnings, notes) = (Vec::new(), Vec::new(), Vec::new());
        Answer { body, outcome, reason, message: None, warnings, notes, patch: Patch::default() }
    }

    #[test]
    fn the_text_has_every_metric_and_what_others_register() {
        let metrics = Metrics::new("1.2.3");
        metrics.review(&answer(Outcome::Mutated, None), Duration::from_micros(30));
        metrics.review(&answer(Outcome::Denied, Some(reason::KS207)), Duration::from_micros(30));
        metrics.set_certificate_expiry(UNIX_EPOCH + Duration::from_secs(77));
        metrics.register(|registry| registry.register("cache_objects", "Objects", ConstGauge::new(5_i64)));
        let text = metrics.text();
        for line in [
            "keysluice_build_info{version=\"1.2.3\"} 1",
            "keysluice_reviews_total{outcome=\"mutated\",reason=\"\"} 1",
            "keysluice_reviews_total{outcome=\"unchanged\",reason=\"\"} 0",
            "keysluice_reviews_total{outcome=\"denied\",reason=\"KS207\"} 1",
            "keysluice_review_duration_seconds_bucket{le=\"0.000025\"} 0",
            "keysluice_review_duration_seconds_bucket{le=\"0.00005\"} 2",
            "keysluice_review_duration_seconds_count 2",
            "keysluice_requests_in_flight 0",
            "keysluice_requests_shed_total 0",
            "keysluice_connections 0",
            "keysluice_tls_handshake_failures_total 0",
            "keysluice_panics_total 0",
            "keysluice_certificate_expiry_timestamp_seconds 77",
            "keysluice_log_level 1",
            "keysluice_cache_objects 5",
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
    }
}
