//! The Role that lets a ServiceAccount write the Secrets of its pods.

use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Role and binding, as YAML: `create` and `patch` by name, which is what a server-side apply
/// needs.
pub(crate) fn role_for(namespace: &str, service_account: &str, names: &BTreeSet<String>) -> String {
    let mut secrets = String::new();
    for name in names {
        write!(secrets, "{}{name:?}", if secrets.is_empty() { "" } else { ", " })
            .expect("a String takes everything");
    }
    format!(
        "apiVersion: rbac.authorization.k8s.io/v1\n\
         kind: Role\n\
         metadata: {{name: \"keysluice-{service_account}\", namespace: {namespace:?}}}\n\
         rules:\n  \
           - apiGroups: [\"\"]\n    \
             resources: [secrets]\n    \
             resourceNames: [{secrets}]\n    \
             verbs: [create, patch]\n\
         ---\n\
         apiVersion: rbac.authorization.k8s.io/v1\n\
         kind: RoleBinding\n\
         metadata: {{name: \"keysluice-{service_account}\", namespace: {namespace:?}}}\n\
         roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, \
         name: \"keysluice-{service_account}\"}}\n\
         subjects:\n  \
           - {{kind: ServiceAccount, name: {service_account:?}, namespace: {namespace:?}}}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn the_role_gives_create_and_patch_by_name_to_one_service_account() {
        let text = role_for("app", "web", &BTreeSet::from(["b".to_owned(), "a".to_owned()]));
        let objects: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        let [role, binding] = &objects[..] else { panic!("{text}") };
        let metadata = json!({"name": "keysluice-web", "namespace": "app"});
        assert_eq!((&role["metadata"], &binding["metadata"]), (&metadata, &metadata));
        assert_eq!(
            role["rules"],
            json!([{"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["a", "b"],
                "verbs": ["create", "patch"]}])
        );
        assert_eq!(
            binding["subjects"],
            json!([{"kind": "ServiceAccount", "name": "web", "namespace": "app"}])
        );
        assert_eq!(binding["roleRef"]["name"], "keysluice-web");
    }
}
