//! Whether the ServiceAccounts of a manifest may write the Secrets of their pods, and carry out
//! their reactions, by the Roles and bindings beside it.

use super::manifest_pods::ManifestPod;
use crate::admission::Answer;
use crate::cluster::manifests::{Account, Object, Rbac};
use crate::mutate::{Note, ReactionRight};
use crate::reason;
use crate::rights::{PATCH_EXISTING, account_role};
use std::collections::{BTreeMap, BTreeSet};

/// What each ServiceAccount must be able to do, by namespace and name: for all its pods, as there
/// is one Role for them.
#[derive(Debug, Default)]
pub(super) struct NeededRights(BTreeMap<(String, String), Needed>);

/// Secrets that are written, and what reactions need.
type Needed = (BTreeSet<String>, BTreeSet<ReactionRight>);

/// What is said of a ServiceAccount.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// The warning.
    pub(super) text: String,
    /// Whether the pod would be refused.
    pub(super) is_missing: bool,
}

impl NeededRights {
    /// Notes what one pod needs.
    pub(super) fn add(&mut self, pod: &ManifestPod, answer: &Answer) {
        let (secrets, reactions) = needed(answer);
        if !secrets.is_empty() || !reactions.is_empty() {
            let all = self.0.entry(account_of(pod)).or_default();
            all.0.extend(secrets);
            all.1.extend(reactions);
        }
    }

    /// Judges one pod. Without any Role or binding in the input nothing is known, and what is
    /// needed is said once for a ServiceAccount.
    pub(super) fn judge(
        &mut self,
        pod: &ManifestPod,
        answer: &Answer,
        rbac: &Rbac,
    ) -> Vec<Verdict> {
        let (secrets, reactions) = needed(answer);
        let (namespace, name) = account_of(pod);
        let account = Account { namespace: &namespace, name: &name };
        let secrets: Vec<String> =
            secrets.into_iter().filter(|secret| !may_write(rbac, account, secret)).collect();
        let is_missing = !rbac.is_empty();
        let says = if is_missing { "may not" } else { "must be able to" };
        let mut texts = Vec::new();
        if !secrets.is_empty() {
            texts.push(format!(
                "{} ServiceAccount {namespace}/{name} {says} create and patch {}, which the pod's \
                 sidecar makes",
                reason::KS724,
                secrets.join(", ")
            ));
        }
        for right in reactions.iter().filter(|right| !may_react(rbac, account, right)) {
            texts.push(format!(
                "{} ServiceAccount {namespace}/{name} {says} {} {right}, as the pod's reaction \
                 needs",
                reason::KS751,
                right.verb()
            ));
        }
        if texts.is_empty() {
            return Vec::new();
        }
        // Another pod of the account may have had it printed.
        let role = self.0.remove(&(namespace.clone(), name.clone()));
        let role =
            role.map(|(secrets, reactions)| account_role(&namespace, &name, &secrets, &reactions));
        let last = texts.len() - 1;
        match role {
            Some(role) => texts[last] += &format!("; hint: apply\n{}", role.trim_end()),
            None if is_missing => texts[last] += "; hint: apply the Role above",
            None => return Vec::new(),
        }
        texts.into_iter().map(|text| Verdict { text, is_missing }).collect()
    }
}

fn may_write(rbac: &Rbac, account: Account<'_>, secret: &str) -> bool {
    let verb = if rbac.may(account, "create", secret) { "patch" } else { PATCH_EXISTING };
    rbac.may(account, verb, secret)
}

fn may_react(rbac: &Rbac, account: Account<'_>, right: &ReactionRight) -> bool {
    let object = match right {
        ReactionRight::Evict => Object { group: "", resource: "pods/eviction", name: "" },
        ReactionRight::Rollout(workload) => {
            Object { group: "apps", resource: workload.resource.as_str(), name: &workload.name }
        }
    };
    rbac.may_do(account, right.verb(), object)
}

/// What a pod's sidecar needs.
fn needed(answer: &Answer) -> Needed {
    let mut needed = Needed::default();
    for note in &answer.notes {
        match note {
            Note::Secret { secret, .. } => drop(needed.0.insert(secret.clone())),
            Note::ReactionRight { right } => drop(needed.1.insert(right.clone())),
            _ => {}
        }
    }
    needed
}

/// Namespace and name of a pod's ServiceAccount.
pub(super) fn account_of(pod: &ManifestPod) -> (String, String) {
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
        let notes = secrets
            .iter()
            .map(|name| Note::Secret { secret: (*name).into(), class: "kv".to_owned() });
        Answer {
            body: Vec::new(),
            outcome: Outcome::Mutated,
            reason: None,
            message: None,
            warnings: Vec::new(),
            notes: notes.collect(),
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
        let verdict = rights.judge(&pods[0].0, &pods[0].1, manifests.rbac()).remove(0);
        let expected = "KS724 ServiceAccount app/web must be able to create and patch b, which the \
            pod's sidecar makes; hint: apply\n---\napiVersion: rbac.";
        assert!(verdict.text.starts_with(expected), "{}", verdict.text);
        assert!(verdict.text.contains("- a\n"), "{}", verdict.text);
        assert!(verdict.text.contains("- b\n"), "{}", verdict.text);
        assert!(!verdict.is_missing);
        assert_eq!(rights.judge(&pods[1].0, &pods[1].1, manifests.rbac()), []);
        assert_eq!(rights.judge(&pod("web"), &answer(&[]), manifests.rbac()), []);
    }

    #[test]
    fn with_roles_among_the_input_the_missing_right_is_named() {
        let role = crate::rights::account_role(
            "app",
            "web",
            &BTreeSet::from(["a".to_owned()]),
            &BTreeSet::new(),
        );
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
            let verdict = rights.judge(&pod, &answer, manifests.rbac()).pop();
            assert_eq!(verdict.is_some(), expected.is_some(), "{account} {secrets:?}");
            assert!(
                verdict.is_none_or(|verdict| verdict.is_missing
                    && verdict.text.contains(expected.unwrap_or_default())),
                "{account} {secrets:?}"
            );
        }
    }

    #[test]
    fn a_reaction_needs_its_right_too() {
        let right = ReactionRight::Evict;
        let mut evicting = answer(&[]);
        evicting.notes.push(Note::ReactionRight { right: right.clone() });
        let mut rights = NeededRights::default();
        let web = pod("web");
        rights.add(&web, &evicting);
        let verdicts = rights.judge(&web, &evicting, Manifests::default().rbac());
        let expected = "KS751 ServiceAccount app/web must be able to create pods/eviction, as the \
            pod's reaction needs; hint: apply\n---\n";
        assert!(verdicts[0].text.starts_with(expected), "{}", verdicts[0].text);

        let role = account_role("app", "web", &BTreeSet::new(), &BTreeSet::from([right]));
        let mut manifests = Manifests::default();
        for document in parse_documents(&role, std::path::Path::new("role.yaml")).unwrap() {
            manifests.add(&document);
        }
        rights.add(&web, &evicting);
        assert_eq!(rights.judge(&web, &evicting, manifests.rbac()), []);
        let other = pod("other");
        rights.add(&other, &evicting);
        let verdicts = rights.judge(&other, &evicting, manifests.rbac());
        assert!(verdicts[0].is_missing && verdicts[0].text.contains("other may not create pods/"));
    }
}
