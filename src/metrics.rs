//! What is counted. Everything that a request touches is resolved beforehand: a few atomic
//! additions, no look-up by label.

#![allow(clippy::disallowed_methods, reason = "this room reports the start time")]

mod plans;
mod shed;
mod workloads;

pub use plans::PlanAnswer;
pub use shed::Shed;
pub use workloads::WorkloadAnswer;

use crate::admission::{Answer, Outcome};
use crate::cluster::CacheStatus;
use keysluice_plan::reason::Reason;
use plans::PlanLabels;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use shed::ShedLabels;
use std::fmt::{self, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use workloads::WorkloadLabels;

/// Upper bounds in seconds: a decision takes microseconds, one that must ask the API server
/// milliseconds.
const BUCKETS: [f64; 13] = [
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5,
    1.0,
];

/// Declares the metrics: field, type, first value where it is not the default, name, help.
/// A further metric is one more entry.
macro_rules! metrics {
    (@new) => { Default::default() };
    (@new $new:expr) => { $new };
    ($( $visibility:vis $field:ident: $type:ty $(= $new:expr)?, $name:literal, $help:expr; )*) => {
        /// The webhook's metrics.
        #[derive(Debug)]
        pub struct Metrics {
            registry: Mutex<Registry>,
            mutated: Counter,
            unchanged: Counter,
            $( #[doc = $help] $visibility $field: $type, )*
        }

        impl Metrics {
            fn unregistered() -> Self {
                Self {
                    registry: Mutex::default(),
                    mutated: Counter::default(),
                    unchanged: Counter::default(),
                    $( $field: metrics!(@new $($new)?), )*
                }
            }

            fn register(&self, registry: &mut Registry) {
                $( registry.register($name, $help, self.$field.clone()); )*
            }
        }
    };
}

metrics! {
    reviews: Family<ReviewLabels, Counter>,
        "reviews", "Decisions by outcome, and by reason code where denied";
    refused: Family<RefusedLabels, Counter>,
        "requests_refused",
        "Requests that were not a review or came at the wrong time, by HTTP status and reason code";
    duration: Histogram = Histogram::new(BUCKETS),
        "review_duration_seconds", "From the whole request read to the answer made, in seconds";
    pub in_flight: Gauge,
        "requests_in_flight", "Requests read, decided or answered now";
    shed: Family<ShedLabels, Counter>,
        "requests_shed", "Requests turned away because there were too many, by the limit they met";
    plans: Family<PlanLabels, Counter>,
        "plan_requests",
        "Requests of running pods for their Plan by outcome, and by reason code where refused";
    workloads: Family<WorkloadLabels, Counter>,
        "workload_reviews", "Reviews of workloads, which are answered with warnings, by outcome";
    pub connections: Gauge,
        "connections", "Open connections";
    pub handshake_failures: Counter,
        "tls_handshake_failures", "Connections whose TLS handshake failed";
    pub panics: Counter,
        "panics", "Decisions that panicked";
    certificate_expiry: Gauge,
        "certificate_expiry_timestamp_seconds",
        "When the serving certificate expires, in seconds since 1970; 0 if unknown";
    authority_expiry: Gauge,
        "certificate_authority_expiry_timestamp_seconds",
        "When our own CA expires, in seconds since 1970; 0 with certificates from elsewhere";
    certificate_changes: Family<ChangeLabels, Counter>,
        "certificate_changes",
        "Changes of the webhook's own CA, its certificate and caBundle, or of the files of \
         --tls-dir and --client-ca, by result";
    cache_objects: Family<CacheLabels, Gauge>,
        "cache_objects", "Objects of the API server that are known";
    cache_age: Family<CacheLabels, Gauge>,
        "cache_age_seconds",
        "Seconds since the last event of the watch of this cache; a bookmark comes every minute";
    cache_synced: Family<CacheLabels, Gauge>,
        "cache_synced", "Whether the cache was complete once: from then on it answers";
    log_level: Gauge,
        "log_level", "0 debug, 1 info, 2 warn";
    log_dropped: Counter,
        "log_lines_dropped", "Log lines that were dropped because the reader was too slow";
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
        let mut metrics = Self::unregistered();
        [metrics.mutated, metrics.unchanged] =
            [Outcome::Mutated, Outcome::Unchanged].map(|outcome| {
                metrics.reviews.get_or_create_owned(&ReviewLabels { outcome, reason: "" })
            });
        // So that a rate of the first one is seen.
        for limit in Shed::ALL {
            metrics.shed.get_or_create_owned(&ShedLabels { limit });
        }
        for outcome in WorkloadAnswer::ALL {
            metrics.workloads.get_or_create_owned(&WorkloadLabels { outcome });
        }
        let mut all = Registry::default();
        let registry = all.sub_registry_with_prefix("keysluice");
        registry.register("build", "The version that runs", Info::new([("version", version)]));
        metrics.register(registry);
        let start = ConstGauge::new(unix_seconds(SystemTime::now()));
        let about = "When the process started, in seconds since 1970";
        registry.register("start_timestamp_seconds", about, start);
        metrics.registry = Mutex::new(all);
        metrics
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
            self.cache_objects.get_or_create_owned(&labels).set(gauge_value(cache.objects as u64));
            self.cache_age.get_or_create_owned(&labels).set(gauge_value(cache.age.as_secs()));
            self.cache_synced.get_or_create_owned(&labels).set(i64::from(cache.synced));
        }
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        encode(&mut text, &registry).expect("a String takes everything");
        text
    }
}

fn unix_seconds(time: SystemTime) -> i64 {
    gauge_value(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
}

/// The number as gauges take it.
fn gauge_value(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
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
        metrics.shed(Shed::Turns);
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
            "keysluice_requests_shed_total{limit=\"memory\"} 0",
            "keysluice_requests_shed_total{limit=\"turns\"} 1",
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
