//! Whether ServiceAccounts may write the Secrets of their pods, and carry out their reactions.

use super::finding::{Finding, Level};
use super::snapshot::{Scope, Snapshot};
use super::workload::Judged;
use crate::cli::rbac_inputs::NeededRights;
use crate::cluster::manifests::Manifests;

const CHECK: &str = "rights";

/// What is missing for a workload.
pub(super) fn rights(
    snapshot: &Snapshot,
    judged: &Judged<'_>,
    cluster: &Manifests,
) -> Vec<Finding> {
    let can_read =
        ["roles", "rolebindings"].iter().all(|resource| snapshot.knows(Scope::Workloads, resource));
    if !can_read {
        return Vec::new();
    }
    let knows_all = ["clusterroles", "clusterrolebindings"]
        .iter()
        .all(|resource| snapshot.knows(Scope::Cluster, resource));
    let mut needed = NeededRights::default();
    needed.add(&judged.pod, &judged.answer);
    let verdicts = needed.judge(&judged.pod, &judged.answer, cluster.rbac());
    let findings = verdicts.into_iter().map(|verdict| {
        // A ClusterRole that cannot be read may give it.
        let level = if knows_all { Level::Failed } else { Level::Warning };
        finding(level, &verdict.text.replace("must be able to", "may not"))
    });
    findings.collect()
}

/// `KS724 ServiceAccount …; hint: apply`, and the Role in lines of its own.
fn finding(level: Level, text: &str) -> Finding {
    let (code, text) = text.split_once(' ').unwrap_or(("KS724", text));
    let code = crate::reason::find(code).map_or("KS724", |reason| reason.code);
    let (text, role) = text.split_once('\n').unwrap_or((text, ""));
    let text =
        text.replace("hint: apply", "hint: apply these objects, or what `keysluice rbac` prints");
    Finding::new(CHECK, level, code, text).show(role.lines().map(str::to_owned))
}
