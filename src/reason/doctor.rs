//! `KS80x` and `KS81x`: what `keysluice doctor` finds in a cluster.

use keysluice_plan::reasons;

reasons! { DOCTOR:
    KS801
        "the API server cannot reach the webhook"
        "look at the pods of the installation and at its Service; a firewall between the control \
         plane and the nodes must let the webhook's port through";
    KS802
        "one failure would take all replicas of the webhook away"
        "set replicaCount of the chart to 2 or more, and let the replicas run on several nodes";
    KS803
        "the certificate of the webhook is missing, expired, or not the one that caBundle trusts"
        "look at the webhook's log; with certificates of your own, renew them and caBundle of the \
         webhook configuration";
    KS804
        "pods are created without identity and secrets while the webhook is away"
        "set webhook.failurePolicy of the chart to Fail; Ignore is also in force until the \
         webhook has answered its first review";
    KS805
        "a pod was created while the webhook was away, or under other settings of it"
        "create the pod again";
    KS806
        "a running pod has files of an older SecretProviderClass or annotation"
        "create the pod again; with livePlans.enabled of the chart, sidecars follow their class \
         by themselves";
    KS807
        "another webhook removes or changes what Keysluice adds"
        "let the other webhook leave these pods alone, or run before Keysluice: webhooks are \
         called in the order of the names of their configurations";
    KS808
        "a ResourceQuota or a LimitRange refuses the pods"
        "adapt the quota or the requests and limits of the pod, those of the sidecar included";
    KS809
        "the Pod Security level of the namespace refuses the pods"
        "change the containers that the message names, or the level of the namespace";
    KS810
        "the API server refuses to create the pods for another reason"
        "see the message of the API server";
    KS811
        "a NetworkPolicy keeps the sidecar from Entra or the vaults"
        "allow egress to TCP 443 and UDP 53 for these pods: docs/network.md";
    KS812
        "another container of the pod does not start"
        "see the message of the kubelet";
    KS813
        "a volume of the Secrets Store CSI driver has neither a driver nor a sidecar"
        "set csiVolumes of the chart to auto or replace, remove the annotation \
         keysluice.dev/csi-volumes: leave, or install the driver; then create the pod again";
    KS814
        "the label azure.workload.identity/use is misspelt or in the wrong place"
        "set the label azure.workload.identity/use: \"true\" on the pod, for a workload on its pod \
         template";
    KS815
        "the webhook does not look at the pods of this namespace"
        "use another namespace, or change the namespace selector of the webhook configuration; AKS \
         leaves out its own namespaces unless the configuration has the annotation \
         admissions.enforcer/disabled: \"true\"";
    KS816
        "Keysluice is not installed in the cluster"
        "install the chart";
    KS817
        "the object to be examined does not exist"
        "check name and namespace; kubectl apply may have refused it: keysluice explain -f FILE \
         shows why";
    KS818
        "a vault object that a pod uses expires soon"
        "renew it in the vault; the sidecar fetches the new version at its next refresh";
    KS819
        "AKS changes the namespace selector of the webhook configuration"
        "set mutatingWebhookAnnotations of the chart to admissions.enforcer/disabled: \"true\", or \
         exclude AKS's namespaces there yourself";
    KS820
        "Entra or a vault cannot be reached from a namespace"
        "allow egress to TCP 443 and DNS in NetworkPolicies and firewalls; with a proxy or an \
         authority of your own, set injector.httpsProxy or injector.caBundle of the chart";
}
