//! One rollout of the workload for all replicas: an annotation of its pod template tells when the
//! newest vault object was updated, and only moves forward.
//!
//! Each change of the annotation needs a newer vault object, so there are never more rollouts than
//! rotations, in whatever order the replicas see them. A pod that starts after the annotation was
//! written reads from the vault what the annotation tells of, or something newer.

use super::Refused;
use crate::clock::Utc;
use crate::fault::{Class, Fault};
use crate::kubernetes::{Api, Patch, Refusal, Session};
use aws_lc_rs::digest::{SHA256, digest};
use keysluice_plan::reason::{KS656, KS657};
use keysluice_plan::{ROLLOUT_ANNOTATION, WorkloadReference};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::time::{Duration, SystemTime};
use zeroize::Zeroizing;

/// How often others may come first before it is a failure.
const MAX_ROUNDS: usize = 8;
/// Of the digest in the annotation.
const DIGEST_BYTES: usize = 8;
/// `2026-11-29T12:00:05Z`
const TIME_BYTES: usize = 20;

/// What the files of a pod are of: when the newest object was updated, and which versions they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Newest {
    time: String,
    digest: String,
}

impl Newest {
    /// Of seconds since 1970, and of names of objects with their versions.
    pub(crate) fn of(updated: i64, versions: &str) -> Self {
        let seconds = u64::try_from(updated).unwrap_or_default();
        let moment = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
        let time = Utc::of(moment.unwrap_or(SystemTime::UNIX_EPOCH)).to_the_second();
        let mut text = String::new();
        for byte in &digest(&SHA256, versions.as_bytes()).as_ref()[..DIGEST_BYTES] {
            let _ = write!(text, "{byte:02x}");
        }
        Self { time, digest: text }
    }

    /// From the annotation; another text counts as none.
    fn parse(text: &str) -> Option<Self> {
        let (time, digest) = text.split_once('/')?;
        let is_time = time.len() == TIME_BYTES && time.is_ascii() && time.ends_with('Z');
        is_time.then(|| Self { time: time.to_owned(), digest: digest.to_owned() })
    }

    /// Whether pods with `other` lack something that pods with this have.
    fn is_after(&self, other: &Self) -> bool {
        self.digest != other.digest && self.time > other.time
    }
}

impl fmt::Display for Newest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.time, self.digest)
    }
}

/// What is looked at of a workload.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Workload {
    metadata: Metadata,
    spec: Spec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    resource_version: String,
    deletion_timestamp: Option<String>,
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    paused: bool,
    update_strategy: Strategy,
    template: Template,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Strategy {
    r#type: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Template {
    metadata: Option<Metadata>,
}

/// What a look at the workload comes to.
#[derive(Debug, PartialEq, Eq)]
enum Decision {
    /// The annotation is as new as ours.
    Done,
    /// The annotation is to be written over this version of the workload.
    Write { version: String },
    /// Its pods are not replaced.
    Never(&'static str),
}

fn decide(workload: &Workload, newest: &Newest) -> Decision {
    if workload.metadata.deletion_timestamp.is_some() {
        return Decision::Never("it is being deleted");
    }
    if workload.spec.update_strategy.r#type == "OnDelete" {
        return Decision::Never(
            "its updateStrategy is OnDelete, so a change of its template replaces no pod",
        );
    }
    let metadata = workload.spec.template.metadata.as_ref();
    let annotations = metadata.and_then(|metadata| metadata.annotations.as_ref());
    let text = annotations.and_then(|all| all.get(ROLLOUT_ANNOTATION));
    let known = text.and_then(|text| Newest::parse(text));
    if known.is_none_or(|known| newest.is_after(&known)) {
        Decision::Write { version: workload.metadata.resource_version.clone() }
    } else {
        Decision::Done
    }
}

/// Has the workload rolled out, unless another replica has; answers with what was done.
///
/// # Errors
/// KS655 to KS657, and those of the connection.
pub(super) async fn roll_out(
    api: &Api,
    reference: &WorkloadReference,
    newest: Option<Newest>,
) -> Result<String, Fault> {
    let newest = newest.ok_or_else(|| {
        Fault::new(KS657, Class::Transient, format_args!("{reference}: some files are not known"))
    })?;
    let session = api.session()?;
    let target = Target { api, session: &session, reference };
    for _ in 0..MAX_ROUNDS {
        let workload = target.patch(&json!({})).await.map_err(|refusal| target.fault(refusal))?;
        let version = match decide(&workload, &newest) {
            Decision::Done => {
                return Ok(format!("{reference}: a rollout has these files already"));
            }
            Decision::Never(problem) => {
                let text = format_args!("{reference}: {problem}");
                return Err(Fault::new(KS656, Class::Slow, text));
            }
            Decision::Write { version } => version,
        };
        let annotation = json!({ROLLOUT_ANNOTATION: newest.to_string()});
        let body = json!({"metadata": {"resourceVersion": version},
            "spec": {"template": {"metadata": {"annotations": annotation}}}});
        match target.patch(&body).await {
            Ok(workload) => {
                let paused = if workload.spec.paused { ", and it is paused" } else { "" };
                return Ok(format!("{reference}: rollout {newest}{paused}"));
            }
            // Another replica, or the controller, was first: look again.
            Err(refusal) if refusal.status == 409 => {}
            Err(refusal) => return Err(target.fault(refusal)),
        }
    }
    let text = format_args!("{reference}: others change it all the time");
    Err(Fault::new(KS656, Class::Transient, text))
}

struct Target<'a> {
    api: &'a Api,
    session: &'a Session<'a>,
    reference: &'a WorkloadReference,
}

impl Target<'_> {
    /// A merge patch; one without fields reads.
    async fn patch(&self, body: &Value) -> Result<Workload, Refusal> {
        let WorkloadReference { resource, name } = self.reference;
        let namespace = &self.api.pod.namespace;
        let path = format!("/apis/apps/v1/namespaces/{namespace}/{}/{name}", resource.as_str());
        let body = Zeroizing::new(serde_json::to_vec(body).unwrap_or_default());
        let answer = self.session.patch(&path, Patch::Merge, &body).await?;
        serde_json::from_slice(answer.expose_secret()).map_err(|_| Refusal::not_an_object())
    }

    fn fault(&self, refusal: Refusal) -> Fault {
        Refused { refusal, what: self.reference.to_string(), otherwise: KS656 }.fault()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workload(annotation: Option<&str>) -> Workload {
        let annotations = annotation.map(|text| json!({ROLLOUT_ANNOTATION: text}));
        let value = json!({"metadata": {"resourceVersion": "7"},
            "spec": {"template": {"metadata": {"annotations": annotations}}}});
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn an_annotation_holds_time_and_digest_and_is_read_again() {
        let newest = Newest::of(1_795_953_605, "a 1\n");
        let text = newest.to_string();
        assert!(text.starts_with("2026-11-29T12:00:05Z/") && text.len() == 37, "{text}");
        assert_eq!(Newest::parse(&text), Some(newest));
        for text in ["", "x", "2026-11-29/ab", "2026-11-29T12:00:05Z"] {
            assert_eq!(Newest::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_annotation_only_moves_forward() {
        let old = Newest::of(100, "a 1");
        let new = Newest::of(101, "a 2");
        let write = Decision::Write { version: "7".to_owned() };
        for (annotation, decision) in [
            (None, &write),
            (Some("nonsense".to_owned()), &write),
            (Some(old.to_string()), &write),
            (Some(new.to_string()), &Decision::Done),
            (Some(Newest::of(102, "a 3").to_string()), &Decision::Done),
            // Two objects of one second: the pods of the rollout have read both.
            (Some(Newest::of(101, "a 1").to_string()), &Decision::Done),
            // An object was updated that gave no other files.
            (Some(Newest::of(100, "a 2").to_string()), &Decision::Done),
        ] {
            let annotation = annotation.as_deref();
            assert_eq!(decide(&workload(annotation), &new), *decision, "{annotation:?}");
        }
    }

    #[test]
    fn a_hundred_rotations_out_of_order_make_no_more_rollouts() {
        // Three replicas that each see every rotation, the second and third late and in jumps.
        let mut known: Option<Newest> = None;
        let mut rollouts = 0;
        for step in 0..300_i64 {
            for (replica, lag) in [(0, 0), (1, 3), (2, 7)] {
                let rotation = ((step - lag * (1 + (step * 7 + replica) % 3)) / 3).clamp(0, 99);
                let newest = Newest::of(1000 + rotation, &format!("a {rotation}"));
                let annotation = known.as_ref().map(ToString::to_string);
                if decide(&workload(annotation.as_deref()), &newest) != Decision::Done {
                    (known, rollouts) = (Some(newest), rollouts + 1);
                }
            }
        }
        assert_eq!(rollouts, 100);
    }

    #[test]
    fn a_workload_that_replaces_no_pods_is_told() {
        let value = json!({"metadata": {"resourceVersion": "7"},
            "spec": {"updateStrategy": {"type": "OnDelete"}, "template": {"metadata": null}}});
        let workload = serde_json::from_value(value).unwrap();
        assert!(matches!(decide(&workload, &Newest::of(1, "")), Decision::Never(_)));
    }
}
