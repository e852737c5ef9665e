//! The metrics of the sidecar: one table, from which `status` is made into text and
//! `docs/metrics.md` is generated.

/// A metric, without the common prefix `keysluice_`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Name of the family; the samples of a counter end in `_total`, those of an info in `_info`.
    pub name: &'static str,
    /// Type of `OpenMetrics`: `gauge`, `counter` or `info`.
    pub kind: &'static str,
    /// Names of its labels, in their order.
    pub labels: &'static [&'static str],
    /// What it tells, without a full stop.
    pub help: &'static str,
}

/// Declares the metrics and the list of all of them.
macro_rules! metrics {
    ($( $id:ident: $kind:literal, $name:literal, [$($label:literal),*], $help:literal; )*) => {
        $(
            #[doc = $help]
            pub const $id: Metric =
                Metric { name: $name, kind: $kind, labels: &[$($label),*], help: $help };
        )*

        /// All metrics of the sidecar, in the order of the text.
        pub const SIDECAR_METRICS: &[Metric] = &[$($id),*];
    };
}

metrics! {
    SIDECAR: "info", "sidecar", ["version"],
        "The version of the sidecar";
    READY: "gauge", "ready", [],
        "1 when every volume has its first generation and every Secret was made";
    OBJECT_AGE: "gauge", "object_age_seconds", ["volume", "path", "object"],
        "Time since the vault was last seen to have what the file holds";
    OBJECT_NEXT: "gauge", "object_next_refresh_seconds", ["volume", "path"],
        "Time until the vault is asked for the object next";
    OBJECT_START: "gauge", "object_not_before_timestamp_seconds", ["volume", "path", "object"],
        "When the secret, key or certificate becomes active by its attribute nbf, in seconds since \
         1970";
    OBJECT_EXPIRY: "gauge", "object_expiry_timestamp_seconds", ["volume", "path", "object"],
        "When the secret, key or certificate expires by its attribute exp, in seconds since 1970";
    OBJECT_WARNING: "gauge", "object_warning", ["volume", "path", "code"],
        "1 when the object is expired or not active yet, and is served; the code says which";
    OBJECT_FAILING: "gauge", "object_failing", ["volume", "path", "code"],
        "1 when the last try to fetch the object failed; the code says why";
    REFRESH_INTERVAL: "gauge", "refresh_interval_seconds", ["volume"],
        "Time between two refreshes of the volume";
    LAST_SUCCESS: "gauge", "last_success_age_seconds", ["volume"],
        "Time since all objects of the volume were last seen to be as its files have them";
    VOLUME_FAILING: "gauge", "volume_failing", ["volume", "code"],
        "1 when the last generation could not be written; the code says why";
    CALLS: "counter", "calls", ["service", "kind", "result"],
        "Requests since the sidecar started, by what was asked and by the answer";
    SECRET_AGE: "gauge", "secret_age_seconds", ["secret"],
        "Time since the Secret was last seen to be as it should";
    SECRET_FAILING: "gauge", "secret_failing", ["secret", "code"],
        "1 when the last try to write the Secret failed; the code says why";
    SECRET_SYNCS: "counter", "secret_syncs", ["secret", "result"],
        "Times that the Secret was compared with its files since the sidecar started";
    REACTIONS: "counter", "reactions", ["result"],
        "Times that the application was told of changed files since the sidecar started";
    REACTION_FAILING: "gauge", "reaction_failing", ["code"],
        "1 when the application could not be told last; the code says why";
    PLAN_AGE: "gauge", "plan_age_seconds", [],
        "Time since the webhook last said that the Plan is current";
    PLAN_FAILING: "gauge", "plan_failing", ["code"],
        "1 when the current Plan cannot be had or followed; the code says why";
}

/// What the sidecar calls: the labels `service` and `kind` of [`CALLS`].
pub const CALL_SERVICES: [(&str, &str); 9] = [
    ("entra", "token"),
    ("imds", "token"),
    ("key_vault", "secret"),
    ("key_vault", "key"),
    ("key_vault", "certificate"),
    ("key_vault", "list"),
    ("kubernetes", "object"),
    ("webhook", "plan"),
    ("application", "reaction"),
];

/// How a call ended, the label `result` of [`CALLS`]: another status than the following, 4xx, 429,
/// 5xx, no answer.
pub const CALL_RESULTS: [&str; 5] = ["succeeded", "refused", "throttled", "failed", "unanswered"];

/// The label `result` of [`SECRET_SYNCS`].
pub const SYNC_RESULTS: [&str; 3] = ["written", "unchanged", "failed"];

/// The label `result` of [`REACTIONS`].
pub const REACTION_RESULTS: [&str; 2] = ["done", "failed"];
