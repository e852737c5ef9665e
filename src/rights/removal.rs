//! How rights are taken away, in the order in which nothing is open in between.

use super::names::role_name;
use super::objects::{NAMESPACE_ROLE, RIGHTS_LABEL, comment_lines};
use super::{Form, Grants};
use std::collections::BTreeSet;

impl Grants {
    /// Commands of kubectl with comments, as a script.
    pub fn print_removal(&self, form: Form) -> String {
        let mut out = String::new();
        comment_lines(
            &mut out,
            "1. The workloads no longer use the Secrets: remove secretObjects from their classes, \
             or the volumes from the workloads, and the reactions evict and rollout from their \
             pod templates, and wait until the pods are replaced. A sidecar that loses the right \
             while it still writes a Secret reports errors, and the Secret goes stale. These \
             workloads have the rights:",
        );
        let workloads: BTreeSet<_> =
            self.accounts.values().flat_map(|grant| &grant.workloads).collect();
        for workload in workloads {
            // A name in a manifest may hold anything, and this is a script.
            comment_lines(&mut out, &format!("- {workload}"));
        }
        let roles = self.roles(form);
        comment_lines(
            &mut out,
            "2. The RoleBindings: they end the rights at once. A binding that is left without its \
             Role gives its rights again as soon as a Role of that name is created.",
        );
        for (namespace, name) in &roles {
            let command = "delete --ignore-not-found rolebinding";
            out.push_str(&format!("kubectl --namespace {namespace} {command} {name}\n"));
        }
        comment_lines(&mut out, "3. The Roles, which no binding uses any more.");
        for (namespace, name) in &roles {
            let command = "delete --ignore-not-found role";
            out.push_str(&format!("kubectl --namespace {namespace} {command} {name}\n"));
        }
        if form == Form::Strict {
            comment_lines(&mut out, "4. The Secrets, which have no owner, if nothing reads them:");
            for (namespace, name) in self.secrets() {
                out.push_str(&format!("# kubectl --namespace {namespace} delete secret {name}\n"));
            }
        }
        comment_lines(
            &mut out,
            &format!(
                "Last, and only when no such Role is left in the whole cluster (the first command \
                 prints nothing), the policies: without them, a right to create one Secret by name \
                 gives the token of any ServiceAccount of the namespace, a right to evict reaches \
                 every pod of the namespace, and a right to patch the whole workload. Secrets and \
                 Roles without the label {RIGHTS_LABEL} that were written by hand count too."
            ),
        );
        out.push_str(&format!("kubectl get roles --all-namespaces --selector {RIGHTS_LABEL}\n"));
        for name in self.policies() {
            for kind in ["validatingadmissionpolicybinding", "validatingadmissionpolicy"] {
                out.push_str(&format!("# kubectl delete --ignore-not-found {kind} {name}\n"));
            }
        }
        out
    }

    fn roles(&self, form: Form) -> Vec<(&str, String)> {
        if form == Form::PerNamespace {
            let namespaces = self.by_namespace().into_keys();
            return namespaces.map(|namespace| (namespace, NAMESPACE_ROLE.to_owned())).collect();
        }
        let accounts = self.accounts.keys();
        accounts.map(|(namespace, account)| (namespace.as_str(), role_name(account))).collect()
    }
}
