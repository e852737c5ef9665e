//! How often each service was called, and how that ended: small counters, which `status` reads.

use crate::report::CallReport;
use keysluice_plan::ObjectType;
use keysluice_plan::metrics::{CALL_RESULTS, CALL_SERVICES};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// What a request asks for, in the order of [`CALL_SERVICES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// A token of Entra.
    Entra,
    /// A token of the instance metadata service.
    Imds,
    /// A secret of a vault.
    Secret,
    /// A key of a vault.
    Key,
    /// A certificate of a vault.
    Certificate,
    /// A page of a list of a vault.
    List,
    /// The API server.
    Kubernetes,
    /// The current Plan.
    Webhook,
    /// The application, which is told of changed files.
    Application,
}

impl From<ObjectType> for Call {
    fn from(kind: ObjectType) -> Self {
        match kind {
            ObjectType::Secret => Self::Secret,
            ObjectType::Key => Self::Key,
            ObjectType::Cert => Self::Certificate,
        }
    }
}

static CALLS: Calls = Calls::new();

/// Counts a call. `status` is that of the HTTP answer, `None` without one.
pub(crate) fn count(call: Call, status: Option<u16>) {
    CALLS.count(call, status);
}

/// The services that were called.
pub(crate) fn report() -> Vec<CallReport<'static>> {
    CALLS.report()
}

/// By [`Call`], and by result in the order of [`CALL_RESULTS`].
#[derive(Debug)]
struct Calls([[AtomicU32; CALL_RESULTS.len()]; CALL_SERVICES.len()]);

impl Calls {
    const fn new() -> Self {
        Self([const { [const { AtomicU32::new(0) }; CALL_RESULTS.len()] }; CALL_SERVICES.len()])
    }

    fn count(&self, call: Call, status: Option<u16>) {
        let result = match status {
            Some(429) => 2,
            Some(400..500) => 1,
            Some(500..) => 3,
            Some(_) => 0,
            None => 4,
        };
        self.0[call as usize][result].fetch_add(1, Relaxed);
    }

    fn report(&self) -> Vec<CallReport<'static>> {
        let mut reports = Vec::new();
        for ((service, kind), counters) in CALL_SERVICES.into_iter().zip(&self.0) {
            let [succeeded, refused, throttled, failed, unanswered] =
                counters.each_ref().map(|counter| counter.load(Relaxed));
            let report = CallReport {
                service: service.into(),
                kind: kind.into(),
                succeeded,
                refused,
                throttled,
                failed,
                unanswered,
            };
            if counters.iter().any(|counter| counter.load(Relaxed) > 0) {
                reports.push(report);
            }
        }
        reports
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_service_and_answer() {
        let calls = Calls::new();
        assert!(calls.report().is_empty(), "a service that is never called has no series");
        for status in [Some(200), Some(304), Some(401), Some(403), Some(429), Some(503), None] {
            calls.count(Call::Secret, status);
        }
        calls.count(Call::Application, Some(200));
        let reports: Vec<_> = calls
            .report()
            .into_iter()
            .map(|call| {
                let counts = [call.succeeded, call.refused, call.throttled, call.failed];
                (call.service, call.kind, counts, call.unanswered)
            })
            .collect();
        assert_eq!(
            reports,
            [
                ("key_vault".into(), "secret".into(), [2, 2, 1, 1], 1),
                ("application".into(), "reaction".into(), [1, 0, 0, 0], 0)
            ]
        );
    }

    #[test]
    fn every_kind_of_object_has_its_name() {
        for (kind, name) in [
            (ObjectType::Secret, "secret"),
            (ObjectType::Key, "key"),
            (ObjectType::Cert, "certificate"),
        ] {
            assert_eq!(CALL_SERVICES[Call::from(kind) as usize], ("key_vault", name));
        }
    }
}
