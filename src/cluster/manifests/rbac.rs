//! Roles and bindings of manifests: what a ServiceAccount may do.

use serde_json::Value;

const GROUP: &str = "rbac.authorization.k8s.io/";
/// Built-in `ClusterRole`s that may write every Secret.
const WRITERS: [&str; 3] = ["cluster-admin", "admin", "edit"];

/// A ServiceAccount.
#[derive(Debug, Clone, Copy)]
pub struct Account<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
}

/// What a right is on.
#[derive(Debug, Clone, Copy)]
pub struct Object<'a> {
    /// Its API group, empty for the core.
    pub group: &'a str,
    /// Its resource, `pods/eviction`.
    pub resource: &'a str,
    /// Its name; empty for one that is not known yet.
    pub name: &'a str,
}

/// All Roles and bindings that were read.
#[derive(Debug, Default)]
pub struct Rbac {
    roles: Vec<Value>,
    bindings: Vec<Value>,
}

impl Rbac {
    /// Takes up a Role or a binding.
    pub(super) fn add(&mut self, object: &Value) {
        if !object["apiVersion"].as_str().is_some_and(|version| version.starts_with(GROUP)) {
            return;
        }
        match object["kind"].as_str() {
            Some("Role" | "ClusterRole") => self.roles.push(object.clone()),
            Some("RoleBinding" | "ClusterRoleBinding") => self.bindings.push(object.clone()),
            _ => {}
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.roles.is_empty() && self.bindings.is_empty()
    }

    /// Whether a ServiceAccount may do this with a Secret of its own namespace.
    pub fn may(&self, account: Account<'_>, verb: &str, secret: &str) -> bool {
        let object = Object { group: "", resource: "secrets", name: secret };
        self.may_do(account, verb, object)
    }

    /// The same with another object of its own namespace.
    pub fn may_do(&self, account: Account<'_>, verb: &str, object: Object<'_>) -> bool {
        self.bindings.iter().any(|binding| {
            let is_of_cluster = binding["kind"] == "ClusterRoleBinding";
            (is_of_cluster || namespace_of(binding) == account.namespace)
                && list(binding, "subjects").any(|subject| is_subject(subject, binding, account))
                && self.gives(&binding["roleRef"], account.namespace, verb, object)
        })
    }

    fn gives(&self, reference: &Value, namespace: &str, verb: &str, object: Object<'_>) -> bool {
        let roles = self.roles.iter().filter(|role| {
            role["kind"] == reference["kind"]
                && role["metadata"]["name"] == reference["name"]
                && (role["kind"] == "ClusterRole" || namespace_of(role) == namespace)
        });
        let mut roles = roles.peekable();
        if roles.peek().is_none() {
            let name = reference["name"].as_str().unwrap_or_default();
            return reference["kind"] == "ClusterRole" && WRITERS.contains(&name);
        }
        roles.flat_map(|role| list(role, "rules")).any(|rule| allows(rule, verb, object))
    }
}

fn allows(rule: &Value, verb: &str, Object { group, resource, name }: Object<'_>) -> bool {
    let any_name = list(rule, "resourceNames").next().is_none();
    covers(rule, "apiGroups", group)
        && covers(rule, "resources", resource)
        && covers(rule, "verbs", verb)
        && (any_name || !name.is_empty() && list(rule, "resourceNames").any(|value| value == name))
}

/// Whether a list of a rule names this, or everything.
fn covers(rule: &Value, field: &str, wanted: &str) -> bool {
    list(rule, field).any(|value| value == wanted || value == "*")
}

fn is_subject(subject: &Value, binding: &Value, Account { namespace, name }: Account<'_>) -> bool {
    let named = subject["name"].as_str().unwrap_or_default();
    match subject["kind"].as_str() {
        Some("ServiceAccount") => {
            let of_binding = namespace_of(binding);
            let own = subject["namespace"].as_str().filter(|namespace| !namespace.is_empty());
            named == name && own.unwrap_or(of_binding) == namespace
        }
        Some("User") => named == format!("system:serviceaccount:{namespace}:{name}"),
        Some("Group") => {
            ["system:serviceaccounts", "system:authenticated"].contains(&named)
                || named == format!("system:serviceaccounts:{namespace}")
        }
        _ => false,
    }
}

fn namespace_of(object: &Value) -> &str {
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
    if namespace.is_empty() { "default" } else { namespace }
}

fn list<'v>(object: &'v Value, field: &str) -> impl Iterator<Item = &'v Value> + use<'v> {
    object[field].as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(kind: &str, namespace: &str, fields: &Value) -> Value {
        let mut object = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind,
            "metadata": {"name": "r", "namespace": namespace}});
        object.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        object
    }

    fn rule(resources: &str, names: &[&str], verbs: &[&str]) -> Value {
        json!({"rules": [{"apiGroups": [""], "resources": [resources], "resourceNames": names,
            "verbs": verbs}]})
    }

    fn binding(kind: &str, role: &str, subject: &Value) -> Value {
        let reference = json!({"kind": kind, "name": role});
        json!({"roleRef": reference, "subjects": [subject]})
    }

    fn role(resources: &str, names: &[&str], verbs: &[&str]) -> Value {
        object("Role", "app", &rule(resources, names, verbs))
    }

    /// A binding of that role.
    fn bound(subject: &Value) -> Value {
        object("RoleBinding", "app", &binding("Role", "r", subject))
    }

    #[test]
    fn a_right_needs_role_binding_subject_verb_and_name() {
        let web = json!({"kind": "ServiceAccount", "name": "web", "namespace": "app"});
        let both = ["create", "patch"];
        for (name, objects, expected) in [
            ("nothing", vec![], false),
            ("no binding", vec![role("secrets", &["a"], &both)], false),
            ("by name", vec![role("secrets", &["a"], &both), bound(&web)], true),
            ("another name", vec![role("secrets", &["b"], &both), bound(&web)], false),
            ("a star is no name", vec![role("secrets", &["*"], &both), bound(&web)], false),
            ("every name", vec![role("*", &[], &["*"]), bound(&web)], true),
            ("one verb", vec![role("secrets", &["a"], &["create"]), bound(&web)], false),
            ("other resource", vec![role("pods", &[], &both), bound(&web)], false),
            (
                "of the binding's namespace",
                vec![
                    role("secrets", &[], &both),
                    bound(&json!({"kind": "ServiceAccount", "name": "web"})),
                ],
                true,
            ),
            (
                "another's",
                vec![
                    role("secrets", &[], &both),
                    bound(&json!({"kind": "ServiceAccount", "name": "web", "namespace": "b"})),
                ],
                false,
            ),
            (
                "the namespace's accounts",
                vec![
                    role("secrets", &[], &both),
                    bound(&json!({"kind": "Group", "name": "system:serviceaccounts:app"})),
                ],
                true,
            ),
            (
                "the user",
                vec![
                    role("secrets", &[], &both),
                    bound(&json!({"kind": "User", "name": "system:serviceaccount:app:web"})),
                ],
                true,
            ),
            (
                "another namespace",
                vec![
                    object("Role", "b", &rule("secrets", &[], &both)),
                    object("RoleBinding", "b", &binding("Role", "r", &web)),
                ],
                false,
            ),
            (
                "a ClusterRole in one namespace",
                vec![
                    object("ClusterRole", "", &rule("secrets", &[], &both)),
                    object("RoleBinding", "app", &binding("ClusterRole", "r", &web)),
                ],
                true,
            ),
            (
                "for the cluster",
                vec![object("ClusterRoleBinding", "", &binding("ClusterRole", "edit", &web))],
                true,
            ),
            (
                "another built-in role",
                vec![object("ClusterRoleBinding", "", &binding("ClusterRole", "view", &web))],
                false,
            ),
        ] {
            let mut rbac = Rbac::default();
            for object in &objects {
                rbac.add(object);
            }
            let account = Account { namespace: "app", name: "web" };
            let may = both.iter().all(|verb| rbac.may(account, verb, "a"));
            assert_eq!(may, expected, "{name}");
            assert_eq!(rbac.is_empty(), objects.is_empty(), "{name}");
        }
    }
}
