//! Roles, bindings and Secrets to start from, as YAML.

use super::names::role_name;
use super::{EVICTIONS, Grant, Grants, Place, ROLLOUTS, Shape};
use crate::mutate::ReactionRight;
use crate::yaml;
use keysluice_plan::{KEEP_ANNOTATION, MANAGED_LABEL};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Verb that gives no right: a Role with it says that the Secrets exist already, and the policy
/// guard-secrets admits pods without the right to create them.
pub(crate) const PATCH_EXISTING: &str = "patch-existing";
const RBAC: &str = "rbac.authorization.k8s.io";
/// Label of our Roles and bindings, so that what is left of them can be listed.
pub(super) const RIGHTS_LABEL: &str = "keysluice.dev/rights";
/// The Role for a whole namespace.
pub(super) const NAMESPACE_ROLE: &str = "keysluice";
const COMMENT_COLUMNS: usize = 100;
/// How many workloads a comment names.
const MAX_NAMED: usize = 5;
/// Not empty: a line break, in base64.
const LINE_BREAK: &str = "Cg==";
/// An empty JSON object, in base64.
const EMPTY_OBJECT: &str = "e30=";

/// Who gets which right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Each ServiceAccount may create and change its own Secrets.
    ByAccount,
    /// Each ServiceAccount may change its own Secrets, which exist already.
    Strict,
    /// Each pod of a namespace may create and change all Secrets of the namespace's classes.
    PerNamespace,
}

impl Grants {
    /// The objects with comments, sorted by namespace and name.
    pub fn print(&self, form: Form) -> String {
        let mut out = String::new();
        match form {
            Form::ByAccount | Form::Strict => {
                if form == Form::Strict {
                    self.print_secrets(&mut out);
                }
                for (place, grant) in &self.accounts {
                    print_account(&mut out, place, grant, form);
                }
            }
            Form::PerNamespace => {
                for (namespace, grant) in self.by_namespace() {
                    print_namespace(&mut out, namespace, &grant);
                }
            }
        }
        out
    }

    /// What all workloads of each namespace need.
    pub(super) fn by_namespace(&self) -> BTreeMap<&str, Grant> {
        let mut namespaces: BTreeMap<&str, Grant> = BTreeMap::new();
        for (namespace, name) in self.secrets.keys() {
            namespaces.entry(namespace).or_default().secrets.insert(name.clone());
        }
        for ((namespace, _), grant) in &self.accounts {
            let of_namespace = namespaces.entry(namespace).or_default();
            of_namespace.reactions.extend(grant.reactions.iter().cloned());
        }
        namespaces
    }

    fn print_secrets(&self, out: &mut String) {
        for ((namespace, name), shape) in &self.secrets {
            document(
                out,
                &format!(
                    "An empty Secret to start from: the Role does not include its creation. Create \
                     it once with kubectl create: to apply it again empties it until the next \
                     refresh. It has no owner, so it stays when its workloads are deleted. Type \
                     and keys are those of SecretProviderClass {namespace}/{}.",
                    shape.class
                ),
                &empty_secret(namespace, name, shape),
            );
        }
    }
}

fn print_account(out: &mut String, place: &Place, grant: &Grant, form: Form) {
    let (namespace, account) = place;
    let name = role_name(account);
    let named = grant.secrets.iter().cloned().collect::<Vec<_>>().join(", ");
    let plural = if grant.secrets.len() > 1 { "Secrets" } else { "Secret" };
    let (verbs, may): (&[&str], _) = match form {
        Form::Strict => (&["patch", PATCH_EXISTING], "reads, overwrites and labels"),
        _ => (&["create", "patch"], "creates, reads, overwrites and labels"),
    };
    let mut comment = String::new();
    if !grant.secrets.is_empty() {
        comment = format!(
            "ServiceAccount {account} of namespace {namespace} {may} the {plural} {named}, \
             whatever made them, and no others: the right to patch a Secret is also the right to \
             read it."
        );
    }
    comment +=
        &about_reactions(&format!("ServiceAccount {account} of namespace {namespace}"), grant);
    if account == "default" {
        comment += " Every pod of the namespace without a ServiceAccount of its own has this one.";
    }
    comment += &format!(" Used by {}.", workloads(&grant.workloads));
    let subject = json!({"kind": "ServiceAccount", "name": account, "namespace": namespace});
    document(out, &comment, &role(namespace, &name, grant, verbs));
    document(out, "", &binding(namespace, &name, grant, &subject));
}

/// What the rights of reactions come to, with the policies.
fn about_reactions(who: &str, grant: &Grant) -> String {
    let mut text = String::new();
    if grant.reactions.contains(&ReactionRight::Evict) {
        text += &format!(
            " {who} evicts pods: only the pod whose token it uses, by the policy {EVICTIONS}."
        );
    }
    let workloads: Vec<String> = grant
        .reactions
        .iter()
        .filter(|right| **right != ReactionRight::Evict)
        .map(ToString::to_string)
        .collect();
    if !workloads.is_empty() {
        text += &format!(
            " {who} reads {}, and changes one annotation of the pod template, nothing else, by the \
             policy {ROLLOUTS}: the right to patch is also the right to read.",
            workloads.join(", ")
        );
    }
    text
}

/// Role and binding of one ServiceAccount, without comments.
pub(crate) fn account_role(
    namespace: &str,
    account: &str,
    secrets: &BTreeSet<String>,
    reactions: &BTreeSet<ReactionRight>,
) -> String {
    let name = role_name(account);
    let subject = json!({"kind": "ServiceAccount", "name": account, "namespace": namespace});
    let (secrets, reactions) = (secrets.clone(), reactions.clone());
    let grant = Grant { secrets, reactions, workloads: BTreeSet::new() };
    let mut out = String::new();
    document(&mut out, "", &role(namespace, &name, &grant, &["create", "patch"]));
    document(&mut out, "", &binding(namespace, &name, &grant, &subject));
    out
}

fn print_namespace(out: &mut String, namespace: &str, grant: &Grant) {
    let who = format!("Every ServiceAccount of namespace {namespace}");
    let named = grant.secrets.iter().cloned().collect::<Vec<_>>().join(", ");
    let mut comment = String::new();
    if !grant.secrets.is_empty() {
        comment = format!(
            "{who}, and so every pod that has a token, creates, reads, overwrites and labels these \
             Secrets, whatever made them, and no others: {named}. The right to patch a Secret is \
             also the right to read it: a pod reads the Secrets of every other workload in this \
             list."
        );
    }
    comment += &about_reactions(&who, grant);
    let group = format!("system:serviceaccounts:{namespace}");
    let subject = json!({"apiGroup": RBAC, "kind": "Group", "name": group});
    document(out, &comment, &role(namespace, NAMESPACE_ROLE, grant, &["create", "patch"]));
    document(out, "", &binding(namespace, NAMESPACE_ROLE, grant, &subject));
}

fn workloads(owners: &BTreeSet<String>) -> String {
    let named = owners.iter().take(MAX_NAMED).cloned().collect::<Vec<_>>().join(", ");
    match owners.len().saturating_sub(MAX_NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

/// Secrets, the eviction, and the workloads of each resource, by name.
fn rules(grant: &Grant, verbs: &[&str]) -> Vec<Value> {
    let mut rules = Vec::new();
    if !grant.secrets.is_empty() {
        rules.push(json!({"apiGroups": [""], "resources": ["secrets"],
            "resourceNames": grant.secrets, "verbs": verbs}));
    }
    let mut workloads: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for right in &grant.reactions {
        match right {
            // RBAC knows no names of pods that do not exist yet.
            ReactionRight::Evict => rules.push(json!({"apiGroups": [""],
                "resources": ["pods/eviction"], "verbs": [right.verb()]})),
            ReactionRight::Rollout(workload) => {
                let names = workloads.entry(workload.resource.as_str()).or_default();
                names.insert(&workload.name);
            }
        }
    }
    rules.extend(workloads.into_iter().map(|(resource, names)| {
        json!({"apiGroups": ["apps"], "resources": [resource], "resourceNames": names,
            "verbs": ["patch"]})
    }));
    rules
}

fn metadata(namespace: &str, name: &str, grant: &Grant) -> Value {
    let rights = match (grant.secrets.is_empty(), grant.reactions.is_empty()) {
        (_, true) => "secrets",
        (true, false) => "reactions",
        (false, false) => "secrets-reactions",
    };
    json!({"name": name, "namespace": namespace, "labels": {RIGHTS_LABEL: rights}})
}

fn role(namespace: &str, name: &str, grant: &Grant, verbs: &[&str]) -> Value {
    json!({"apiVersion": format!("{RBAC}/v1"), "kind": "Role",
        "metadata": metadata(namespace, name, grant), "rules": rules(grant, verbs)})
}

fn binding(namespace: &str, name: &str, grant: &Grant, subject: &Value) -> Value {
    json!({"apiVersion": format!("{RBAC}/v1"), "kind": "RoleBinding",
        "metadata": metadata(namespace, name, grant),
        "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": name}, "subjects": [subject]})
}

/// The least data that the API server takes for the type.
fn empty_secret(namespace: &str, name: &str, shape: &Shape) -> Value {
    let data = match shape.secret_type.as_str() {
        "kubernetes.io/tls" => json!({"tls.crt": "", "tls.key": ""}),
        "kubernetes.io/dockerconfigjson" => json!({".dockerconfigjson": EMPTY_OBJECT}),
        "kubernetes.io/dockercfg" => json!({".dockercfg": EMPTY_OBJECT}),
        "kubernetes.io/basic-auth" => {
            let key = if shape.keys.contains("password") { "password" } else { "username" };
            json!({key: ""})
        }
        // The API server refuses an empty key.
        "kubernetes.io/ssh-auth" => json!({"ssh-privatekey": LINE_BREAK}),
        _ => json!({}),
    };
    json!({"apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace, "labels": {MANAGED_LABEL: "true"},
            "annotations": {KEEP_ANNOTATION: "true"}},
        "type": shape.secret_type, "data": data})
}

/// A document of a YAML stream, below a comment.
pub(crate) fn document(out: &mut String, comment: &str, object: &Value) {
    out.push_str("---\n");
    comment_lines(out, comment);
    out.push_str(&yaml::write(object));
}

/// Names are checked before: none has a line break.
pub(super) fn comment_lines(out: &mut String, comment: &str) {
    let mut line = String::new();
    for word in comment.split_whitespace() {
        if line.len() + word.len() + 2 > COMMENT_COLUMNS && !line.is_empty() {
            out.push_str(&format!("#{line}\n"));
            line.clear();
        }
        line.push(' ');
        line.push_str(word);
    }
    if !line.is_empty() {
        out.push_str(&format!("#{line}\n"));
    }
}
