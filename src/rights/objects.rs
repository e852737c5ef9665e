//! Roles, bindings and Secrets to start from, as YAML.

use super::names::role_name;
use super::{Grant, Grants, Place, Shape};
use crate::yaml;
use keysluice_plan::{KEEP_ANNOTATION, MANAGED_LABEL};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

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
                for (namespace, secrets) in self.by_namespace() {
                    print_namespace(&mut out, namespace, &secrets);
                }
            }
        }
        out
    }

    /// The names of all Secrets of each namespace.
    pub(super) fn by_namespace(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let mut namespaces: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (namespace, name) in self.secrets.keys() {
            namespaces.entry(namespace).or_default().insert(name);
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
    let (name, secrets): (_, Vec<&String>) = (role_name(account), grant.secrets.iter().collect());
    let named = secrets.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
    let plural = if secrets.len() > 1 { "Secrets" } else { "Secret" };
    let (verbs, may): (&[&str], _) = match form {
        Form::Strict => (&["patch"], "reads, overwrites and labels"),
        _ => (&["create", "patch"], "creates, reads, overwrites and labels"),
    };
    let mut comment = format!(
        "ServiceAccount {account} of namespace {namespace} {may} the {plural} {named}, whatever \
         made them, and no others: the right to patch a Secret is also the right to read it."
    );
    if account == "default" {
        comment += " Every pod of the namespace without a ServiceAccount of its own has this one.";
    }
    comment += &format!(" Used by {}.", workloads(&grant.workloads));
    let rules = json!([rule(&json!(secrets), verbs)]);
    let subject = json!({"kind": "ServiceAccount", "name": account, "namespace": namespace});
    document(out, &comment, &role(namespace, &name, &rules));
    document(out, "", &binding(namespace, &name, &subject));
}

/// Role and binding of one ServiceAccount, without comments.
pub(crate) fn account_role(namespace: &str, account: &str, secrets: &BTreeSet<String>) -> String {
    let name = role_name(account);
    let subject = json!({"kind": "ServiceAccount", "name": account, "namespace": namespace});
    let rules = json!([rule(&json!(secrets), &["create", "patch"])]);
    let mut out = String::new();
    document(&mut out, "", &role(namespace, &name, &rules));
    document(&mut out, "", &binding(namespace, &name, &subject));
    out
}

fn print_namespace(out: &mut String, namespace: &str, secrets: &BTreeSet<&str>) {
    let named = secrets.iter().copied().collect::<Vec<_>>().join(", ");
    let comment = format!(
        "Every ServiceAccount of namespace {namespace}, and so every pod that has a token, \
         creates, reads, overwrites and labels these Secrets, whatever made them, and no others: \
         {named}. The right to patch a Secret is also the right to read it: a pod reads the \
         Secrets of every other workload in this list."
    );
    let rules = json!([rule(&json!(secrets), &["create", "patch"])]);
    let group = format!("system:serviceaccounts:{namespace}");
    let subject = json!({"apiGroup": RBAC, "kind": "Group", "name": group});
    document(out, &comment, &role(namespace, NAMESPACE_ROLE, &rules));
    document(out, "", &binding(namespace, NAMESPACE_ROLE, &subject));
}

fn workloads(owners: &BTreeSet<String>) -> String {
    let named = owners.iter().take(MAX_NAMED).cloned().collect::<Vec<_>>().join(", ");
    match owners.len().saturating_sub(MAX_NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

fn rule(secrets: &Value, verbs: &[&str]) -> Value {
    json!({"apiGroups": [""], "resources": ["secrets"], "resourceNames": secrets, "verbs": verbs})
}

fn metadata(namespace: &str, name: &str) -> Value {
    json!({"name": name, "namespace": namespace, "labels": {RIGHTS_LABEL: "secrets"}})
}

fn role(namespace: &str, name: &str, rules: &Value) -> Value {
    json!({"apiVersion": format!("{RBAC}/v1"), "kind": "Role",
        "metadata": metadata(namespace, name), "rules": rules})
}

fn binding(namespace: &str, name: &str, subject: &Value) -> Value {
    json!({"apiVersion": format!("{RBAC}/v1"), "kind": "RoleBinding",
        "metadata": metadata(namespace, name),
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
