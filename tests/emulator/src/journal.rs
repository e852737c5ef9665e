//! What was asked: counts and a log without secrets.

use std::collections::VecDeque;
use std::time::Instant;

use http::StatusCode;
use serde::Serialize;

use crate::route::CallKind;

/// The log keeps this many of the newest requests.
const KEPT_REQUESTS: usize = 10_000;

/// How many calls of each kind were answered since the start or the last reset. A call that Key
/// Vault answers with 401 counts there only; every other answer counts under its kind, failed ones
/// included.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Calls of Entra's token endpoint, refused ones included.
    pub tokens: u64,
    /// Calls of IMDS.
    pub imds: u64,
    /// Discovery documents and key sets.
    pub discovery: u64,
    /// GET of one secret.
    pub secret_gets: u64,
    /// PUT of one secret.
    pub secret_sets: u64,
    /// GET of one key.
    pub key_gets: u64,
    /// GET of one certificate.
    pub certificate_gets: u64,
    /// Pages of a list.
    pub lists: u64,
    /// PATCH of one Kubernetes Secret.
    pub secret_patches: u64,
    /// POST of evictions.
    pub evictions: u64,
    /// PATCH of workloads.
    pub workload_patches: u64,
    /// Anything else.
    pub other: u64,
    /// Answers with status 400.
    #[serde(rename = "status400")]
    pub status_400: u64,
    /// Answers with status 401, of Key Vault and of Entra.
    #[serde(rename = "status401")]
    pub status_401: u64,
    /// Answers with status 403.
    #[serde(rename = "status403")]
    pub status_403: u64,
    /// Answers with status 404.
    #[serde(rename = "status404")]
    pub status_404: u64,
    /// Answers with status 429.
    #[serde(rename = "status429")]
    pub status_429: u64,
    /// Answers with status 500 to 599.
    #[serde(rename = "status5xx")]
    pub status_5xx: u64,
    /// Connections reset on purpose.
    pub resets: u64,
    /// Bodies cut on purpose.
    pub truncated: u64,
    /// TLS connections accepted.
    pub connections: u64,
    /// The most calls that were being answered at the same time.
    pub peak_in_flight: u64,
}

/// One request, without its query, headers and body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestRecord {
    /// What it asked for.
    pub kind: CallKind,
    /// HTTP method.
    pub method: String,
    /// Host without the port.
    pub host: String,
    /// Path without the query.
    pub path: String,
    /// Status of the answer; `None` if the connection was reset instead.
    pub status: Option<u16>,
    /// When it was answered, in milliseconds since the emulator started.
    pub at_ms: u64,
}

/// Counts, log and the number of calls being answered.
pub(crate) struct Journal {
    started: Instant,
    counts: Counts,
    requests: VecDeque<RequestRecord>,
    in_flight: u64,
}

impl Default for Journal {
    fn default() -> Self {
        let (counts, requests) = Default::default();
        Self { started: Instant::now(), counts, requests, in_flight: 0 }
    }
}

impl Journal {
    pub(crate) fn counts(&self) -> Counts {
        self.counts.clone()
    }

    pub(crate) fn requests(&self) -> Vec<RequestRecord> {
        self.requests.iter().cloned().collect()
    }

    /// Forgets counts and log.
    pub(crate) fn reset(&mut self) {
        self.counts = Counts::default();
        self.requests.clear();
    }

    pub(crate) fn connected(&mut self) {
        self.counts.connections += 1;
    }

    pub(crate) fn started(&mut self) {
        self.in_flight += 1;
        self.counts.peak_in_flight = self.counts.peak_in_flight.max(self.in_flight);
    }

    pub(crate) fn finished(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// Counts an answer, and logs it with the time.
    pub(crate) fn answered(&mut self, mut record: RequestRecord, truncated: bool) {
        record.at_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let counts = &mut self.counts;
        match record.status {
            Some(400) => counts.status_400 += 1,
            Some(401) => counts.status_401 += 1,
            Some(403) => counts.status_403 += 1,
            Some(404) => counts.status_404 += 1,
            Some(429) => counts.status_429 += 1,
            Some(500..600) => counts.status_5xx += 1,
            Some(_) => {}
            None => counts.resets += 1,
        }
        counts.truncated += u64::from(truncated);
        let challenged = record.status == Some(StatusCode::UNAUTHORIZED.as_u16());
        match record.kind {
            CallKind::Token => counts.tokens += 1,
            CallKind::Imds => counts.imds += 1,
            CallKind::Discovery => counts.discovery += 1,
            _ if challenged => {}
            CallKind::SecretGet => counts.secret_gets += 1,
            CallKind::SecretSet => counts.secret_sets += 1,
            CallKind::KeyGet => counts.key_gets += 1,
            CallKind::CertificateGet => counts.certificate_gets += 1,
            CallKind::List => counts.lists += 1,
            CallKind::SecretPatch => counts.secret_patches += 1,
            CallKind::Eviction => counts.evictions += 1,
            CallKind::WorkloadPatch => counts.workload_patches += 1,
            CallKind::Other | CallKind::PipelineToken => counts.other += 1,
            CallKind::Control => {}
        }
        if self.requests.len() == KEPT_REQUESTS {
            self.requests.pop_front();
        }
        self.requests.push_back(record);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: CallKind, status: Option<u16>) -> RequestRecord {
        RequestRecord {
            kind,
            method: "GET".into(),
            host: "h".into(),
            path: "/".into(),
            status,
            at_ms: 0,
        }
    }

    #[test]
    fn a_challenge_is_no_get_but_a_failure_is_one() {
        let mut journal = Journal::default();
        for status in [Some(401), Some(200), Some(404), Some(503), None] {
            journal.answered(record(CallKind::SecretGet, status), false);
        }
        let counts = journal.counts();
        assert_eq!((counts.secret_gets, counts.status_401, counts.status_404), (4, 1, 1));
        assert_eq!((counts.status_5xx, counts.resets), (1, 1));
    }

    #[test]
    fn the_log_forgets_the_oldest() {
        let mut journal = Journal::default();
        for _ in 0..=KEPT_REQUESTS {
            journal.answered(record(CallKind::Token, Some(200)), false);
        }
        assert_eq!(journal.requests().len(), KEPT_REQUESTS);
        assert_eq!(journal.counts().tokens, KEPT_REQUESTS as u64 + 1);
    }

    #[test]
    fn the_peak_is_the_most_at_once() {
        let mut journal = Journal::default();
        journal.started();
        journal.started();
        journal.finished();
        journal.started();
        assert_eq!(journal.counts().peak_in_flight, 2);
    }
}
