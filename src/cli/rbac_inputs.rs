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

    /// Judges one pod. Without any Role or binding in the input nothing is known, and what is
    /// needed is said once for a ServiceAccount.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::Outcome;
    use crate::cluster::manifests::{Manifests, parse_documents};
    use crate::patch::Patch;
    use serde_json::json;

    fn pod(account: &str) -> ManifestPod {
        ManifestPod {
            owner: "Pod app/p".to_owned(),
            namespace: "app".to_owned(),
            is_placed: true,
            pointer: String::new(),
            pod: json!({"spec": {"serviceAccountName": account}}),
        }
    }

    fn answer(secrets: &[&str]) -> Answer {
        let note = |name: &&str| Note::Secret { secret: (*name).into(), class: "kv".to_owned() };
        Answer {
            body: Vec::new(),
            outcome: Outcome::Mutated,
            reason: None,
            message: None,
            warnings: Vec::new(),
            notes: secrets.iter().map(note).collect(),
            patch: Patch::default(),
        }
    }

    #[test]
    fn without_roles_the_role_of_a_service_account_is_printed_once() {
        let manifests = Manifests::default();
        let pods = [(pod("web"), answer(&["b"])), (pod("web"), answer(&["a", "b"]))];
        let mut rights = NeededRights::default();
        for (pod, answer) in &pods {
            rights.add(pod, answer);
        }
        let verdict = rights.judge(&pods[0].0, &pods[0].1, manifests.rbac()).unwrap();
        let expected = "KS724 ServiceAccount app/web must be able to create and patch b, which the \
            pod's sidecar makes; hint: apply\n---\napiVersion: rbac.";
        assert!(verdict.text.starts_with(expected), "{}", verdict.text);
        assert!(verdict.text.contains("- a\n"), "{}", verdict.text);
        assert!(verdict.text.contains("- b\n"), "{}", verdict.text);
        assert!(!verdict.is_missing);
        assert_eq!(rights.judge(&pods[1].0, &pods[1].1, manifests.rbac()), None);
        assert_eq!(rights.judge(&pod("web"), &answer(&[]), manifests.rbac()), None);
    }

    #[test]
    fn with_roles_among_the_input_the_missing_right_is_named() {
        let role = crate::rights::account_role("app", "web", &BTreeSet::from(["a".to_owned()]));
        let mut manifests = Manifests::default();
        for document in parse_documents(&role, std::path::Path::new("role.yaml")).unwrap() {
            manifests.add(&document);
        }
        for (account, secrets, expected) in [
            ("web", &["a"][..], None),
            ("web", &["a", "b"], Some("ServiceAccount app/web may not create and patch b, which")),
            ("other", &["a"], Some("ServiceAccount app/other may not create and patch a, which")),
        ] {
            let (pod, answer) = (pod(account), answer(secrets));
            let mut rights = NeededRights::default();
            rights.add(&pod, &answer);
            let verdict = rights.judge(&pod, &answer, manifests.rbac());
            assert_eq!(verdict.is_some(), expected.is_some(), "{account} {secrets:?}");
            assert!(
                verdict.is_none_or(|verdict| verdict.is_missing
                    && verdict.text.contains(expected.unwrap_or_default())),
                "{account} {secrets:?}"
            );
        }
    }
}
