//! Every code a user can meet: cause and fix. `docs/reasons.md` is generated from these tables.

use keysluice_plan::reason::{INJECTOR, Reason};
use keysluice_plan::reasons;

// KS1xx: SecretProviderClass and its objects.
reasons! { PROVIDER_CLASS:
    KS101
        "the SecretProviderClass cannot be read"
        "compare it with the API of SecretProviderClass, secrets-store.csi.x-k8s.io/v1";
    KS102
        "a parameter of the SecretProviderClass is not a string"
        "quote the value, or remove the parameter";
    KS103
        "the SecretProviderClass does not name a vault"
        "set the parameter keyvaultName";
    KS104
        "the tenant is not set"
        "set the parameter tenantID, or annotate the ServiceAccount with \
         azure.workload.identity/tenant-id";
    KS105
        "the client id is not set"
        "annotate the ServiceAccount with azure.workload.identity/client-id, or set the parameter \
         clientID";
    KS106
        "the objects document cannot be read"
        "write a map with the key \"array:\", and below it one \"- |\" for each object; indent \
         with spaces";
    KS107
        "filePermission is not an octal number from 0 to 0777"
        "write it as \"0640\"";
    KS108
        "a placeholder is not filled in"
        "replace it with the real value";
    KS109
        "the SecretProviderClass is not for Azure"
        "set spec.provider to azure";
    KS110
        "a flag is neither true nor false"
        "write \"true\" or \"false\"";
    KS111
        "several identity modes are enabled"
        "keep one of the flags, or remove all of them to use workload identity";
    KS112
        "AAD Pod Identity is not supported"
        "remove usePodIdentity and use workload identity: federate the identity with the \
         ServiceAccount, and annotate the ServiceAccount with azure.workload.identity/client-id";
    KS113
        "AKS identity binding is not supported by this version"
        "remove useAzureTokenProxy to use workload identity";
    KS114
        "the tenant is neither a tenant id nor a domain"
        "write the tenant id as `az account show --query tenantId` prints it";
    KS115
        "the tenant is not on the operator's allow-list"
        "use another tenant, or ask the operator of Keysluice to allow this one";
    KS116
        "the cloud does not exist"
        "use AzurePublicCloud, AzureUSGovernmentCloud, AzureChinaCloud or AzureGermanCloud, or \
         leave cloudName out to use the operator's cloud; AzureStackCloud needs a cloud definition \
         from the operator (--cloud FILE)";
    KS117
        "the vault name is not valid"
        "set keyvaultName to the name of the vault only; a URL goes into vaultUrl";
    KS118
        "the vault is not on the operator's allow-list"
        "use another vault, or ask the operator of Keysluice to allow this one";
    KS119
        "the refresh interval is not valid"
        "write a duration from 1s to 24h such as 30s, 2m or 1h30m, or a number of seconds";
    KS120
        "the objects document is too large"
        "split the objects over several classes";
    KS121
        "an object of a SecretProviderClass cannot be read"
        "write one \"field: value\" per line, indented with spaces";
    KS122
        "objectType is not a known type"
        "write secret, key or cert, in lower case";
    KS123
        "objectFormat is not valid for the object"
        "write pem, or write pfx on an object of type secret";
    KS124
        "objectEncoding is not valid for the object"
        "write utf-8, base64 or hex, and only on an object of type secret";
    KS125
        "the path of an object's file is not a relative path below the volume"
        "set objectAlias to a relative path such as db/password, without \"..\"";
    KS126
        "objectName is missing or is not a valid Key Vault object name"
        "write the name only, as the vault shows it, not its URL";
    KS127
        "objectVersion is not a valid Key Vault version"
        "write the version only, or leave it out to use the latest";
    KS128
        "two objects have the same path in the volume"
        "give one of them another objectAlias";
    KS130
        "objectVersionHistory exceeds 500"
        "write a number up to 500";
    KS131
        "a secretObjects entry is incomplete"
        "set secretName, type and data; in each element of data set objectName and key";
    KS132
        "a secretObjects entry refers to a file that is not in the volume"
        "set objectName to the path of the file: the objectAlias, or the objectName of an object \
         that has no alias";
    KS133
        "a Secret of type kubernetes.io/tls has keys other than tls.key and tls.crt"
        "use the keys tls.key and tls.crt";
    KS134
        "the SecretProviderClass has no parameters"
        "set spec.parameters: keyvaultName, tenantId, clientID and objects";
    KS135
        "jsonKey is not valid"
        "write a path such as database.password or hosts[0].name, on an object of type secret \
         without parts";
    KS136
        "parts is not valid"
        "write a list of cert, chain, key, ca and pfx, each at most once, on an object of type \
         secret or cert";
    KS137
        "fileOwner or fileGroup is not a number"
        "write the numeric uid or gid, as `id` prints it";
    KS138
        "select cannot be read"
        "write namePrefix, tags or both; directory, filePermission, objectFormat, objectEncoding, \
         fileOwner, fileGroup, keyvaultName and vaultUrl are optional";
    KS139
        "vaultUrl is not the URL of a vault in the chosen cloud"
        "write https://NAME.SUFFIX/ with the suffix of the cloud (vault.azure.net in the public \
         cloud), or use keyvaultName; another domain needs a cloud definition from the operator \
         (--cloud FILE)";
    KS140
        "the volume will be empty"
        "list objects below \"array:\" in the parameter objects, or select secrets with the \
         parameter select";
    KS141
        "a name is unknown and is probably misspelt"
        "correct the spelling";
    KS142
        "a parameter has no effect"
        "remove it";
    KS143
        "the certificate or key file of an object may have the path of another file"
        "give one of the objects another objectAlias, or set writeCertAndKeyInSeparateFiles: \
         \"false\" in the class";
    KS144
        "a selection matches every secret of the vault"
        "set namePrefix or tags, unless every secret is intended";
    KS145
        "a file name contains an invisible character"
        "type objectAlias by hand instead of copying it";
    KS146
        "the path of a selected secret may be taken by a directory of the class"
        "give the selection a directory of its own";
    KS147
        "the SecretProviderClass is too large"
        "split it into several classes, each with fewer objects and secretObjects";
    KS150
        "a client id or tenant in the SecretProviderClass has an unexpected format"
        "write the client id of the identity (not its object id or name), and the id or domain of \
         the tenant";
}

// KS2xx: the pod and its annotations; from KS250 on, admission warnings.
reasons! { POD:
    KS201
        "the AdmissionReview or its pod cannot be read"
        "send a core/v1 Pod in an admission.k8s.io/v1 AdmissionReview";
    KS202
        "the pod's ServiceAccount does not exist"
        "create the ServiceAccount before the pod, or correct serviceAccountName";
    KS203
        "the lifetime of the identity token is not valid"
        "set azure.workload.identity/service-account-token-expiration to whole seconds from 3600 \
         to 86400";
    KS204
        "another volume is mounted at the path of the identity token"
        "mount the other volume at another path";
    KS205
        "the managed-identity proxy sidecar is not supported"
        "remove the annotation azure.workload.identity/inject-proxy-sidecar, or set it to \
         \"false\"; current Azure SDKs use the injected environment variables";
    KS206
        "the pod uses a container or volume name that is reserved for the sidecar"
        "rename the container or volume; reserved are the container keysluice, the volume \
         keysluice-run, volumes azure-workload-identity-reserved-…, and with the token layout v1.5 \
         the volume azure-identity-token";
    KS207
        "the SecretProviderClass does not exist"
        "create it in the pod's namespace, or correct volumeAttributes.secretProviderClass";
    KS208
        "the Secrets Store CSI volume is incomplete"
        "set csi.readOnly to true and volumeAttributes.secretProviderClass to the name of a class";
    KS209
        "a Keysluice annotation has an invalid value"
        "correct the value; docs/annotations.md lists the values of each annotation";
    KS210
        "an annotation below keysluice.dev/ does not exist"
        "correct the name; docs/annotations.md lists all annotations";
    KS211
        "keysluice.dev/after does not name a native sidecar of the pod"
        "name an init container with restartPolicy Always, or remove the annotation";
    KS212
        "the secrets would wait for the mesh's proxy, and the proxy for the secrets"
        "run the mesh with native sidecars, or exclude the authority and the vaults from capture \
         (traffic.sidecar.istio.io/excludeOutboundPorts: \"443\", \
         config.linkerd.io/skip-outbound-ports: \"443\"), or set keysluice.dev/gate: none";
    KS213
        "a container cannot read a file of its volume"
        "set securityContext.fsGroup on the pod and filePermission: \"0440\" on the object, or run \
         the containers with one uid";
    KS214
        "the pod exceeds the limits of a Plan"
        "split objects or containers over several pods, or shorten names and aliases: a Plan must \
         fit into an environment variable";
    KS215
        "service-principal credentials are not supported by this version"
        "use workload identity: remove nodePublishSecretRef and set clientID in the class or \
         azure.workload.identity/client-id on the ServiceAccount";
    KS216
        "Secrets Store CSI volumes of Windows pods are not supported"
        "leave the volumes to the CSI driver: keysluice.dev/csi-volumes: leave";
    KS217
        "a Secrets Store CSI volume was added after the sidecar"
        "let the webhook that adds the volume run before Keysluice: webhook configurations are \
         called in the order of their names";
    KS218
        "the sidecar cannot run as the fileOwner"
        "files belong to the sidecar, which runs as the non-root user of the containers that mount \
         the volume; set runAsUser of those containers to the same uid, or leave fileOwner out and \
         share the file by fileGroup or fsGroup";
    KS219
        "the sidecar is not in the fileGroup"
        "set securityContext.fsGroup of the pod to that gid, or add the gid to supplementalGroups";
    KS220
        "the mutated pod is larger than a cluster stores"
        "split the pod; etcd stores objects up to 1.5 MiB";
    KS221
        "the pod has more containers than a node runs"
        "split the containers over several pods";
    KS222
        "a name is longer than Kubernetes allows"
        "shorten the name: containers and volumes have at most 63 characters, other names 253";
    KS223
        "the client id or tenant id of the ServiceAccount is too long"
        "write the client id (a GUID) or the tenant id as Azure shows it";
    KS224
        "the pod needs a Secret that its own secretObjects would create"
        "read the file from the volume instead of the Secret, make the reference optional, or \
         leave the pod's volumes to the Secrets Store CSI driver where it is installed: annotation \
         keysluice.dev/csi-volumes: leave";
    KS225
        "a container named keysluice would use endpoints that the operator does not allow"
        "remove the container; the webhook adds the sidecar, with the clouds, vaults and tenants \
         that the operator of Keysluice allows";
    KS230
        "the sidecar cannot use the token of the custom token endpoint"
        "remove the annotation azure.workload.identity/use-…, or use a managed identity in the \
         class (useVMManagedIdentity), or leave the volume to the CSI driver: \
         keysluice.dev/csi-volumes: leave";
    KS231
        "the annotations exceed 256 KiB"
        "shorten the annotations; the API server accepts at most 256 KiB per pod";
    KS232
        "the pod names too many SecretProviderClasses that are not in the cache yet"
        "create the classes before the pod, or create the pod again a second later; use fewer or \
         smaller classes";
    KS250
        "the ServiceAccount has no client id"
        "annotate the ServiceAccount with azure.workload.identity/client-id";
    KS251
        "a container may be unable to read a file"
        "set runAsUser on the container, or a filePermission that lets every user read";
    KS252
        "a subPath mount does not show rotated secrets"
        "mount the whole volume and read the file below the mount";
    KS253
        "secretObjects are not synced by this version"
        "read the file from the volume; if an Ingress or another pod needs the Secret, leave the \
         volumes of this pod to the CSI driver (keysluice.dev/csi-volumes: leave)";
    KS254
        "an injected variable may override one from envFrom, whose content is unknown at admission"
        "leave the variables to envFrom with keysluice.dev/env-from-wins: \"AZURE_CLIENT_ID\", or \
         define them in env";
    KS255
        "a client id or tenant id of the ServiceAccount has an unexpected format"
        "use the client id of the identity, not its object id or name";
    KS256
        "an annotation resembles an Azure Workload Identity annotation but is unknown"
        "correct the name of the annotation";
    KS257
        "an annotation gives an identity to a container that the pod does not have"
        "correct the container's name in keysluice.dev/client-ids or keysluice.dev/tenant-ids";
    KS258
        "an optional Secret of the pod's own secretObjects is not created by this version"
        "read the file instead, or leave the volumes to the CSI driver (keysluice.dev/csi-volumes: \
         leave); without the Secret the container starts without its values";
    KS259
        "the sidecar runs as fileOwner, because no container sets runAsUser"
        "set runAsUser on the container; on a cluster that assigns uids (OpenShift), leave \
         fileOwner out: the files then belong to the assigned uid";
    KS260
        "an annotation for the sidecar's CPU has no effect"
        "remove the annotation; the pod sets CPU requests or limits for the whole pod \
         (spec.resources), which its containers share";
    KS270
        "the token volume of the pod belongs to another webhook"
        "no action is needed if the other webhook is configured that way; otherwise give both \
         webhooks the same audience and token endpoint";
    KS271
        "the pod contains the managed-identity proxy of Azure Workload Identity"
        "use the injected environment variables, and remove the annotation \
         azure.workload.identity/inject-proxy-sidecar before that webhook is removed; without that \
         webhook, the annotation is refused (KS205)";
    KS272
        "an annotation has no effect: the variable is already set"
        "remove the variable from the container's env; if another webhook adds it, the annotation \
         takes effect after that webhook is removed";
    KS273
        "an annotation has no effect: another webhook already mounts the token"
        "remove keysluice.dev/token-layout; the annotation takes effect after the other webhook is \
         removed";
}

// KS7xx: the webhook's own start and service.
reasons! { SERVER:
    KS701
        "the request is not an AdmissionReview"
        "only the API server calls this path; `keysluice explain -f pod.yaml` shows what the \
         webhook would answer";
    KS702
        "the request body is too large"
        "send an AdmissionReview of at most 7 MiB";
    KS703
        "an object of the cluster cannot be read"
        "see the message; kubectl and controllers create the pod again after a second, and the \
         webhook's /readyz and log show whether its caches are in step";
    KS704
        "a manifest cannot be read"
        "correct the file; the message names file, document and line";
    KS705
        "an API server is not configured or its configuration cannot be used"
        "run in a pod with a ServiceAccount, name an API server with --kubeconfig FILE, or read \
         manifests with --objects PATH";
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
        "report the bug with the pod's manifest and the line \"panicked\" of the webhook's log; \
         creating the same pod again fails too";
    KS715
        "failurePolicy or the guard cannot be tightened"
        "see the message; the webhook's ServiceAccount needs get and patch on its own webhook \
         configuration and Secret, by name";
    // What the chart's policies answer, which work without the webhook.
    KS720
        "a labelled pod has no identity token: no webhook saw it"
        "check that the webhook runs and that its configuration exists (`kubectl get \
         mutatingwebhookconfiguration keysluice`), then create the pod again";
    KS721
        "a container named keysluice differs from the sidecar"
        "rename the container. If another webhook rewrites the sidecar's image, name that image's \
         repository in guard.imageRepositories of the chart, or in policy keysluice-guard-sidecar \
         of install.yaml. If another webhook adds something else, exclude the container keysluice \
         there, or set guard.sidecar to false. If the sidecar of every pod is refused, the guard \
         expects another image than the webhook injects: install.yaml was edited in one place only \
         (docs/install.md has the command), or there is a second installation (`kubectl get \
         mutatingwebhookconfigurations`)";
    KS722
        "the webhook's ServiceAccount tried to change more of its configuration than caBundle, its \
         path, or failurePolicy to Fail"
        "nothing was changed; check which process uses the webhook's ServiceAccount: it may not be \
         the webhook";
    KS723
        "the webhook's ServiceAccount tried to write another Secret, or more of its own Secret \
         than data"
        "nothing was written; check which process uses the webhook's ServiceAccount: it may not be \
         the webhook";
    KS725
        "the Kubernetes version of the cluster is too old"
        "upgrade the cluster to 1.30 or later, which has native sidecars, match conditions and \
         admission policies";
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
}

/// All reasons, in order of code.
pub fn all() -> impl Iterator<Item = &'static Reason> {
    PROVIDER_CLASS.iter().chain(POD).chain(INJECTOR).chain(SERVER)
}

/// The reason with this code, in any case.
pub fn find(code: &str) -> Option<&'static Reason> {
    all().find(|reason| reason.code.eq_ignore_ascii_case(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_ascending() {
        let codes: Vec<_> = all().map(|reason| reason.code).collect();
        assert!(codes.is_sorted_by(|a, b| a < b), "{codes:?}");
        assert!(find("ks107").is_some() && find("KS999").is_none());
    }
}
