//! Whether the ServiceAccounts of a manifest may write the Secrets of their pods, by the Roles and
//! bindings beside it.

use super::manifest_pods::ManifestPod;
use crate::admission::Answer;
use crate::cluster::manifests::{Account, Rbac};
use crate::mutate::Note;
use crate::reason;
use crate::rights::account_role;
use std::collections::{BTreeMap, BTreeSet};

/// The Secrets that each ServiceAccount must be able to write, by namespace and name: of all its
/// pods, as there is one Role for them.
#[derive(Debug, Default)]
pub(super) struct NeededRights(BTreeMap<(String, String), BTreeSet<String>>);

/// What is said of a ServiceAccount.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// The warning.
    pub(super) text: String,
    /// Whether the pod would be refused.
    pub(super) is_missing: bool,
}

impl NeededRights {
    /// Notes the Secrets of one pod.
    pub(super) fn add(&mut self, pod: &ManifestPod, answer: &Answer) {
        let names: BTreeSet<String> = secrets_of(answer).map(str::to_owned).collect();
        if !names.is_empty() {
            self.0.entry(account_of(pod)).or_default().extend(names);
        }
    }

    /// Judges one pod. Without any Role or binding in the input nothing is known, and what is needed
    /// is said once for a ServiceAccount.
    pub(super) fn judge(
        &mut self,
        pod: &ManifestPod,
        answer: &Answer,
        rbac: &Rbac,
    ) -> Option<Verdict> {
        secrets_of(answer).next()?;
        let (namespace, name) = account_of(pod);
        let account = Account { namespace: &namespace, name: &name };
        let may =
            |secret: &str| ["create", "patch"].iter().all(|verb| rbac.may(account, verb, secret));
        let missing: Vec<&str> = secrets_of(answer).filter(|secret| !may(secret)).collect();
        let is_missing = !rbac.is_empty();
        if missing.is_empty() {
            return None;
        }
        let says = if is_missing {
            format!("may not create and patch {}", missing.join(", "))
        } else {
            format!("must be able to create and patch {}", missing.join(", "))
        };
        let text = format!(
            "{} ServiceAccount {namespace}/{name} {says}, which the pod's sidecar makes",
            reason::KS724
        );
        // Another pod of the account may have had it printed.
        let role = self.0.remove(&(namespace.clone(), name.clone()));
        let role = role.map(|names| account_role(&namespace, &name, &names));
        let text = match role {
            Some(role) => format!("{text}; hint: apply\n{}", role.trim_end()),
            None if is_missing => format!("{text}; hint: apply the Role above"),
            None => return None,
        };
        Some(Verdict { text, is_missing })
    }
}

/// The Secrets that a pod's sidecar makes.
fn secrets_of(answer: &Answer) -> impl Iterator<Item = &str> {
    answer.notes.iter().filter_map(|note| match note {
        Note::Secret { secret, .. } => Some(secret.as_str()),
        _ => None,
    })
}

fn account_of(pod: &ManifestPod) -> (String, String) {
    let spec = &pod.pod["spec"];
    let names = [&spec["serviceAccountName"], &spec["serviceAccount"]];
    let mut given = names.into_iter().filter_map(|name| name.as_str());
    let name = given.find(|name| !name.is_empty()).unwrap_or("default");
    (pod.namespace.clone(), name.to_owned())
}
