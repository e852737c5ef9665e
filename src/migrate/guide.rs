//! The steps of a migration, in order, with their commands.

use super::Source;
use std::collections::BTreeSet;
use std::fmt::Write as _;

const INSTALL: &str = "Install Keysluice beside what is there: docs/install.md. While the driver \
    has its CSIDriver object, this alone changes no pod with a CSI volume.";
const IDENTITIES: &str = "Create identities, federated credentials and role assignments: \
    `keysluice azure -f DIR` prints them.";
const ROLES: &str = "Apply `keysluice-roles.yaml`: the Roles with which sidecars write the \
    Secrets of classes. `kubectl apply --server-side -f keysluice-roles.yaml`";
const APPLY: &str = "Apply the new manifests, one workload at a time, and wait for each: `kubectl \
    rollout status deployment WORKLOAD`. To go back, apply the old ones.";

/// Headings and texts.
pub(super) fn steps(
    sources: &BTreeSet<Source>,
    hosts: &BTreeSet<String>,
    has_roles: bool,
) -> Vec<(String, String)> {
    if sources.is_empty() {
        return Vec::new();
    }
    let mut steps = vec![INSTALL, IDENTITIES];
    if has_roles {
        steps.push(ROLES);
    }
    steps.push(APPLY);
    steps.extend(sources.iter().flat_map(|source| after(*source)));
    let mut text = String::new();
    for (number, step) in (1..).zip(steps) {
        let _ = writeln!(text, "{number}. {step}");
    }
    let mut guides = vec![("Order".to_owned(), text)];
    if !hosts.is_empty() {
        let mut text =
            "Each pod with a sidecar must reach these hosts on port 443. A NetworkPolicy \
            for egress selects the pod's own labels; the node's access is no longer used.\n"
                .to_owned();
        for host in hosts {
            let _ = write!(text, "\n- `{host}`");
        }
        guides.push(("Egress".to_owned(), text));
    }
    guides
}

/// What follows when all pods are migrated.
fn after(source: Source) -> Vec<&'static str> {
    match source {
        Source::CsiDriver => vec![
            "When all workloads are migrated: `helm upgrade keysluice webhook-config/chart \
             --namespace keysluice-system --reset-then-reuse-values --set csiVolumes=replace \
             --wait`.",
            "List the pods that still use the driver: `kubectl get pods --all-namespaces --output \
             custom-columns='NAMESPACE:.metadata.namespace,NAME:.metadata.name,\
             DRIVERS:.spec.volumes[*].csi.driver'`. While there is one, the driver must stay.",
            "Remove the driver. With Helm: `helm uninstall csi-secrets-store-provider-azure \
             --namespace kube-system --wait`, and the driver's own release if it has one: `helm \
             uninstall csi-secrets-store --namespace kube-system --wait`. The AKS add-on: `az aks \
             disable-addons --addons azure-keyvault-secrets-provider --resource-group GROUP --name \
             CLUSTER`. Keep the CRD secretproviderclasses: Keysluice reads the classes. If it went \
             with the release, apply Keysluice's chart again and then \
             `backup/secretproviderclasses.yaml`.",
        ],
        Source::PodIdentity => vec![
            "When no pod asks NMI any more: remove the label aadpodidbinding from the pod \
             templates, delete the AzureIdentityBindings and AzureIdentities, and uninstall AAD \
             Pod Identity (`helm uninstall aad-pod-identity`, on AKS `az aks update \
             --disable-pod-identity --resource-group GROUP --name CLUSTER`).",
        ],
        Source::Akv2k8s => vec![
            "When no pod has a variable of akv2k8s: remove the label \
             azure-key-vault-env-injection from the namespaces, set the label \
             keysluice.dev/managed: \"true\" on the Secrets that Keysluice takes over, and \
             uninstall akv2k8s. Its Secrets go with the AzureKeyVaultSecrets that own them: delete \
             these last.",
        ],
        Source::VaultAgent => {
            vec!["When no pod has an annotation of Vault: uninstall the Vault Agent Injector."]
        }
    }
}
