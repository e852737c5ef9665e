//! What the sidecar does beside fetching: `KS64x` API server and Secrets, `KS65x` reactions,
//! `KS66x` the current Plan.

use crate::reasons;

reasons! { OUTPUTS:
    KS641
        "the API server cannot be reached, or does not answer as one"
        "no action is needed for a short time; if it persists, check that the pod can reach the \
         service kubernetes in the namespace default (network policy, mesh)";
    KS642
        "the API server does not accept the ServiceAccount's token"
        "no action is needed for a short time: the kubelet renews the token; if it persists, \
         check that the ServiceAccount still exists";
    KS643
        "the ServiceAccount may not write the Secret"
        "bind the Role that `keysluice rbac -f FILE` prints to the ServiceAccount: create and \
         patch on this one Secret";
    KS644
        "a Secret of that name exists, and belongs to something else"
        "choose another secretName in the class, or delete the Secret; to take it over, set \
         keysluice.dev/adopt-secrets to its name on the pod";
    KS645
        "the Secret cannot become what the class asks for"
        "delete the Secret (the message has the command); the sidecar creates it again";
    KS646
        "the API server refuses the Secret"
        "see the API server's reason: a quota, a namespace that is being deleted, a policy, or a \
         Secret that is too large";
    KS647
        "the file does not hold what the key of the Secret needs"
        "tls.crt and ca.crt need certificates, and tls.key a private key, as PEM or PKCS#12; use \
         the secret of the certificate (objectType secret)";
    KS648
        "the Secrets Store CSI driver still writes the Secret"
        "no action is needed while pods with the driver's volume run; afterwards the sidecar takes \
         the Secret over";
    KS649
        "the files that the sidecar needs to reach the API server cannot be read"
        "mount the volume keysluice-api in the sidecar as the webhook does: token, ca.crt, \
         namespace, name and uid";
    KS651
        "no process of the application can be signalled"
        "check that the pod still has shareProcessNamespace, that the container runs with the \
         sidecar's uid and gid, and that its first process keeps the variable KEYSLUICE_CONTAINER";
    KS652
        "the application does not accept the request"
        "check port and path in keysluice.dev/on-change; the application must answer a POST with \
         200 to 299 within 5 s";
    KS653
        "the PodDisruptionBudget does not allow the eviction now"
        "no action is needed: the eviction is repeated; if it persists, compare the budget with \
         the number of ready pods (kubectl get poddisruptionbudget)";
    KS654
        "the API server refuses the eviction of the pod"
        "see the API server's reason: several budgets for one pod, a policy, or a namespace that \
         is being deleted";
    KS655
        "the ServiceAccount may not carry out the reaction"
        "bind the Role that `keysluice rbac -n NAMESPACE` prints (`keysluice rbac -f FILE` from \
         manifests) to the ServiceAccount: create on pods/eviction, or patch on the workload by \
         name";
    KS656
        "the workload cannot be rolled out"
        "see the message: the workload must exist, and its update strategy must replace pods; \
         with OnDelete use keysluice.dev/on-change: evict";
    KS657
        "when the newest vault object was updated is not known yet"
        "no action is needed for a short time; if it persists, see keysluice-injector status for \
         the object that cannot be fetched";
    KS661
        "the webhook cannot be asked for the current Plan"
        "no action is needed for a short time: the last Plan stays in force and the sidecar asks \
         again; if it persists, check that the webhook's port for Plans (9444) can be reached from \
         the pod, also past NetworkPolicies and a mesh";
    KS662
        "the webhook refuses to give the current Plan"
        "see the message, which has the webhook's own code; the last Plan stays in force";
    KS663
        "a class was edited, and the edit takes no effect on this pod"
        "see the message: correct the class, or create the pod again where the edit needs what a \
         running pod cannot get; the last Plan stays in force";
    KS664
        "the webhook's answer is not a Plan that this sidecar can follow"
        "use images of one release for webhook and sidecar; the last Plan stays in force";
    KS665
        "the token for the webhook cannot be read, or its certificate authorities cannot be used"
        "mount the volume keysluice-plan in the sidecar as the webhook does; the last Plan stays \
         in force";
}
