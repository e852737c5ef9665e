//! `KS7xx`: the webhook's own start and service.

use keysluice_plan::reasons;

reasons! { SERVER:
    // What the sidecars of running pods are told that ask for their current Plan.
    KS511
        "the keys that verify the tokens of ServiceAccounts are not known"
        "check that the webhook can read /openid/v1/jwks and /.well-known/openid-configuration \
         from the API server (the ClusterRole system:service-account-issuer-discovery allows it), \
         or name the keys with --plan-jwks and --plan-issuer";
    KS512
        "the token of the sidecar is not accepted"
        "see the message; the token must be projected into the pod for the audience keysluice.dev, \
         and the clocks of the nodes must agree";
    KS513
        "the request for a Plan is not valid"
        "use images of one release for webhook and sidecar";
    KS514
        "the edited class needs what a running pod cannot get"
        "create the pod again: the next pod gets it";
    KS515
        "a class that a running pod uses is gone, or is another provider's now"
        "create the class again, or remove its volume from the pod; the pod keeps its files until \
         then";
    KS516
        "too many requests for Plans at once"
        "no action is needed for a short time: the sidecar asks again with its next refresh; if it \
         persists, run more replicas";
    KS701
        "the request is not an AdmissionReview"
        "only the API server calls this path; `keysluice explain -f pod.yaml` shows what the \
         webhook would answer";
    KS702
        "the request body is too large"
        "send an AdmissionReview of at most 7 MiB";
    KS703
        "an object of the cluster cannot be read"
        "no action is needed for a short time: kubectl and controllers create the pod again after \
         a second; if it persists, see the webhook's /readyz and log, which show whether its \
         caches are in step";
    KS704
        "a manifest cannot be read"
        "correct the file; the message names file, document and line";
    KS705
        "an API server is not configured, does not answer as one, or refuses the credentials"
        "check the server, proxy and credentials of the kubeconfig (`kubectl version` uses them \
         too); without a kubeconfig, run in a pod with a ServiceAccount, name an API server with \
         --kubeconfig FILE, or, where the command has it, read manifests with --objects PATH";
    KS706
        "the webhook is overloaded"
        "no action is needed for a short overload: the API server, kubectl or the controller tries \
         again after a second; if it persists, run more replicas";
    KS707
        "the webhook cannot keep its certificates and caBundle in step"
        "see the message; the webhook's ServiceAccount needs get and patch on its own Secret and \
         webhook configuration, by name, and create on secrets in its namespace; delete an \
         immutable Secret, and the webhook creates a new one";
    KS708
        "the lifetimes of the certificates do not fit together"
        "set the lifetime of the certificate authority to at least three times that of a \
         certificate and ten times --bundle-propagation";
    KS709
        "the webhook panicked while it reviewed the pod: this is a bug"
        "report the bug, with the pod's manifest and the line \"panicked\" of the webhook's log; \
         creating the same pod again fails too";
    KS715
        "failurePolicy or the guard cannot be tightened"
        "see the message; the webhook's ServiceAccount needs get and patch on its own webhook \
         configuration and Secret, by name";
    KS716
        "the configuration for warnings about workloads is not kept up to date"
        "see the message; the webhook's ServiceAccount needs get, watch and patch on its \
         ValidatingWebhookConfiguration, by name; pods are not affected";
    KS717
        "a certificate or authority in a file cannot be loaded"
        "see the message; the last good one is used: write a certificate that fits its key, and an \
         authority, as PEM into the files of --tls-dir and --client-ca";
    KS718
        "a listener of the webhook cannot accept or end connections"
        "raise the limit of open files if the message names it; a connection that is still open \
         at the end is cut";
    // What the chart's policies answer, which work without the webhook.
    KS720
        "a labelled pod has no identity token: no webhook saw it"
        "check that the webhook runs and that its configuration exists (`kubectl get \
         mutatingwebhookconfiguration keysluice`), then create the pod again";
    KS721
        "a container named keysluice or keysluice-intercept differs from what the webhook adds"
        "rename the container. If another webhook rewrites the sidecar's image, name that image's \
         repository in guard.imageRepositories of the chart, or in policy keysluice-guard-sidecar \
         of install.yaml. If another webhook adds something else, exclude the container keysluice \
         there, or set guard.sidecar to false. If the sidecar of every pod is refused, the guard \
         expects another image than the webhook injects: install.yaml was edited in one place only \
         (docs/install.md has the command), or there is a second installation (`kubectl get \
         mutatingwebhookconfigurations`)";
    KS722
        "the webhook's ServiceAccount tried to change more of its configurations than caBundle, \
         their path, or failurePolicy to Fail"
        "nothing was changed; check which process uses the webhook's ServiceAccount: it may not be \
         the webhook";
    KS723
        "the webhook's ServiceAccount tried to write another Secret, or more of its own Secret \
         than data"
        "nothing was written; check which process uses the webhook's ServiceAccount: it may not be \
         the webhook";
    KS724
        "the pod's ServiceAccount may not write a Secret that the pod's sidecar makes"
        "apply the Role and RoleBinding that `keysluice rbac -n NAMESPACE` prints (`keysluice rbac \
         -f FILE` from manifests), then create the pod again; controllers do that by themselves. \
         It gives the ServiceAccount create and patch on these Secrets, by name";
    KS725
        "the Kubernetes version of the cluster is too old"
        "upgrade the cluster to 1.30 or later, which has native sidecars, match conditions and \
         admission policies";
    KS726
        "a ServiceAccount that may create a Secret by name only tried to create a credential of \
         the cluster under that name"
        "nothing was created; check which process uses the ServiceAccount: without the policy \
         keysluice-secret-types it would have got the token of another ServiceAccount";
    // What is found before an installation.
    KS727
        "the API server does not serve a kind that the chart needs"
        "enable admissionregistration.k8s.io/v1 with its admission policies (--runtime-config of \
         the API server)";
    KS728
        "the check before the installation cannot read the cluster"
        "see the message; a right is missing, or the API server is not reachable from the \
         namespace of the installation";
    KS729
        "another installation of Keysluice exists"
        "a cluster has one installation: upgrade that one (helm list --all-namespaces), or \
         uninstall it first; if only its guard is left, delete the policy that the message names";
    KS730
        "the sidecar's image cannot be pulled"
        "correct injector.image of the chart, or push the image to that registry; if the registry \
         requires credentials, name a pull Secret in imagePullSecrets of the chart for the \
         namespace of the installation, and create one in each namespace with such pods";
    KS731
        "the sidecar's image does not run"
        "set injector.image of the chart to the injector's image, built for the architecture of \
         the nodes";
    KS732
        "Azure Workload Identity's webhook is installed too"
        "no action is needed while both are installed: Keysluice keeps what the other webhook \
         writes; docs/azure-workload-identity.md has the steps to switch";
    KS733
        "pods with a sidecar may need a pull Secret"
        "if the registry of the sidecar's image requires credentials, name a pull Secret in \
         imagePullSecrets of the pods or their ServiceAccounts, or use a registry that requires \
         none";
    // What `explain`, `plan` and `--objects` find in files.
    KS736
        "a value in a manifest is a boolean or a number where Kubernetes expects a string"
        "quote the value";
    KS737
        "a file, or a part of it, is not read"
        "correct the file, or move it out of the directory; render a Helm template with helm \
         template first";
    KS738
        "a key is repeated"
        "delete one of the two; helm and server-side apply take the last one, client-side checks \
         refuse both";
    KS739
        "an object in a manifest is not examined"
        "run explain on the pods that the object creates, or on a workload with a pod template";
    // What `rbac` finds in a cluster or in files.
    KS740
        "a Secret that a class makes exists and belongs to something else"
        "choose another secretName in the class; if the Secret may be overwritten, set its label \
         keysluice.dev/managed to \"true\": the right on a name includes reading the Secret, \
         whatever made it";
    KS741
        "a name or a type in secretObjects is not valid"
        "write names of Kubernetes objects: lower-case letters, digits, - and ., at most 253 \
         characters; set type, such as Opaque";
    KS742
        "a class makes a Secret of a type that Kubernetes or Helm trusts"
        "set another type, such as Opaque: a Secret of this type holds a token of the cluster, or \
         a release of Helm";
    KS743
        "two classes make one Secret with different types"
        "set the same type in both classes, or different names: the type of a Secret cannot be \
         changed";
    KS744
        "the policy keysluice-secret-types is not in force in the cluster"
        "run `keysluice rbac --policy-only | kubectl apply --server-side -f -`, or set \
         guard.secretTypes of the chart to true; without it a right to create one Secret by name \
         gives the token of any ServiceAccount of the namespace";
    KS745
        "whether a Secret belongs to something else is not known"
        "check with kubectl get secret NAME whether there is a Secret of that name; the right on a \
         name includes reading the Secret, whatever made it";
    KS746
        "a class of a workload is missing, and so are the rights for its Secrets"
        "add the manifest of the class to the files, or create it in the namespace of the workload";
    KS747
        "a class of a workload cannot be read or is refused, so its Secrets are not known"
        "correct the class; keysluice explain shows the same error for its pods";
    // The rights of reactions, and what bounds them.
    KS748
        "a ServiceAccount that may evict pods tried to evict another pod than its own"
        "nothing was evicted; check which process uses the ServiceAccount; an account that should \
         evict other pods needs the right to delete them, or to evict pods of all namespaces";
    KS749
        "a ServiceAccount that may roll out a workload tried to change more of it"
        "nothing was changed; check which process uses the ServiceAccount; an account that should \
         change the workload needs the right to update it";
    KS750
        "the annotation keysluice.dev/secrets-updated would not move forward"
        "nothing was changed; the sidecar writes the annotation: check which process uses the \
         ServiceAccount";
    KS751
        "the pod's ServiceAccount lacks the right that the pod's reaction needs"
        "apply the Role and RoleBinding that `keysluice rbac -n NAMESPACE` prints (`keysluice rbac \
         -f FILE` from manifests), then create the pod again; controllers do that by themselves";
    KS752
        "a policy that bounds the rights of reactions is not in force in the cluster"
        "run `keysluice rbac --reaction-policies-only | kubectl apply --server-side -f -`, or set \
         guard.reactionRights of the chart to true; without it a pod could evict every pod of its \
         namespace, or change its whole workload";
    KS753
        "the reaction of a workload's pods cannot work, so it gets no right"
        "correct keysluice.dev/on-change; keysluice explain shows the same error for its pods";
    KS754
        "two ports of the webhook are the same"
        "set livePlans.port of the chart to a port that neither reviews nor probes and metrics use";
}
