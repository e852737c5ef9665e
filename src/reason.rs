//! Every code a user can meet: cause and fix. `docs/reasons.md` is generated from these tables.

use keysluice_plan::reason::{INJECTOR, Reason};
use keysluice_plan::reasons;

// KS1xx: SecretProviderClass and its objects.
reasons! { PROVIDER_CLASS:
    KS101
        "the SecretProviderClass cannot be read"
        "compare it with the SecretProviderClass of secrets-store.csi.x-k8s.io/v1";
    KS102
        "a parameter of the SecretProviderClass is not a string"
        "give it a quoted value, or remove it";
    KS103
        "the SecretProviderClass names no vault"
        "set the parameter keyvaultName";
    KS104
        "no tenant is known"
        "set the parameter tenantID, or annotate the ServiceAccount with \
         azure.workload.identity/tenant-id";
    KS105
        "no client id is known"
        "annotate the ServiceAccount with azure.workload.identity/client-id, or set the parameter \
         clientID";
    KS106
        "the objects document cannot be read"
        "write a map with the key \"array:\", below it one \"- |\" for each object, indented with \
         spaces";
    KS107
        "filePermission is no octal number up to 0777"
        "write it as \"0640\"";
    KS108
        "a placeholder was never filled in"
        "replace it by the real value";
    KS109
        "the SecretProviderClass is not for Azure"
        "set spec.provider to azure";
    KS110
        "a flag is neither true nor false"
        "write \"true\" or \"false\"";
    KS111
        "several identity modes are switched on"
        "keep one of the flags, or none for workload identity";
    KS112
        "AAD Pod Identity is not supported"
        "remove usePodIdentity and use workload identity: federate the identity with the \
         ServiceAccount and annotate it with azure.workload.identity/client-id";
    KS113
        "AKS identity binding is not supported by this version"
        "remove useAzureTokenProxy to use workload identity";
    KS114
        "the tenant is neither an id nor a domain"
        "write the tenant id as `az account show --query tenantId` prints it";
    KS115
        "the tenant is not allowed here"
        "use another tenant, or ask the operator of Keysluice to allow this one";
    KS116
        "there is no such cloud"
        "use AzurePublicCloud, AzureUSGovernmentCloud, AzureChinaCloud or AzureGermanCloud, or \
         leave cloudName out for the operator's cloud; AzureStackCloud needs a cloud definition \
         from the operator (--cloud FILE)";
    KS117
        "the vault name is not valid"
        "set keyvaultName to the vault's name alone; its URL goes into vaultUrl";
    KS118
        "the vault is not allowed here"
        "use another vault, or ask the operator of Keysluice to allow this one";
    KS119
        "the refresh interval is not usable"
        "write a duration from 1s to 24h such as 30s, 2m or 1h30m, or a number of seconds";
    KS120
        "the objects document is too large"
        "split the objects over several classes";
    KS121
        "an object of a SecretProviderClass cannot be read"
        "write one \"field: value\" a line, indented with spaces";
    KS122
        "objectType is not one that exists"
        "write secret, key or cert, in lower case";
    KS123
        "objectFormat does not fit"
        "write pem, or pfx on an object of type secret";
    KS124
        "objectEncoding does not fit"
        "write utf-8, base64 or hex, on an object of type secret only";
    KS125
        "an object's file is no path below the volume"
        "set objectAlias to a relative path such as db/password, without \"..\"";
    KS126
        "objectName is missing or is not a valid Key Vault object name"
        "write the name alone, as the vault shows it, not its URL";
    KS127
        "objectVersion is no version of a vault object"
        "write the version alone, or leave it out for the latest";
    KS128
        "two objects need the same place in the volume"
        "give one of them another objectAlias";
    KS130
        "objectVersionHistory asks for too many versions"
        "write at most 500";
    KS131
        "a secretObjects entry is incomplete"
        "set secretName, type and data, and in each element of data objectName and key";
    KS132
        "a secretObjects entry refers to a file that is not in the volume"
        "set objectName to the file's path: the objectAlias, or the object's name without one";
    KS133
        "a Secret of type kubernetes.io/tls has other keys"
        "use the keys tls.key and tls.crt";
    KS134
        "the SecretProviderClass has no parameters"
        "set spec.parameters: keyvaultName, tenantId, clientID and objects";
    KS135
        "jsonKey does not fit"
        "write a path such as database.password or hosts[0].name, on an object of type secret \
         without parts";
    KS136
        "parts does not fit"
        "name some of cert, chain, key, ca and pfx, each once, on an object of type secret or \
         cert";
    KS137
        "an owner or group is not a number"
        "write the uid or gid, as `id` prints it";
    KS138
        "select cannot be read"
        "write namePrefix, tags or both, and perhaps directory, filePermission, objectFormat, \
         objectEncoding, fileOwner, fileGroup, keyvaultName or vaultUrl";
    KS139
        "vaultUrl is not a vault of the chosen cloud"
        "write https://NAME.SUFFIX/ with the cloud's own suffix (vault.azure.net in the public \
         cloud), or keyvaultName instead; another domain needs a cloud definition from the \
         operator (--cloud FILE)";
    KS140
        "the volume will be empty"
        "list objects below \"array:\" in the parameter objects, or select some with the parameter \
         select";
    KS141
        "a name is unknown and probably misspelt"
        "correct its spelling";
    KS142
        "a parameter has no effect"
        "remove it";
    KS143
        "the certificate or key file of an object may need the place of another's"
        "give one of them another objectAlias, or set writeCertAndKeyInSeparateFiles: \"false\" in \
         the class";
    KS144
        "a selection takes every secret of the vault"
        "name a namePrefix or tags, unless all are meant";
    KS145
        "a file name holds a character that nobody sees"
        "type objectAlias anew instead of copying it";
    KS146
        "a selected secret may have no place in the volume"
        "give the selection a directory of its own";
    KS147
        "the SecretProviderClass is too large"
        "split it into several classes, each with fewer objects and secretObjects";
    KS150
        "an id of the SecretProviderClass does not look like one"
        "write the client id (not the object id or the name) of the identity, and the tenant's id \
         or domain";
}

// KS2xx: the pod and its annotations; from KS250 on, admission warnings.
reasons! { POD:
    KS201
        "the AdmissionReview or the pod in it cannot be read"
        "send a core/v1 Pod in an admission.k8s.io/v1 AdmissionReview";
    KS202
        "the pod's ServiceAccount does not exist"
        "create the ServiceAccount before the pod, or correct serviceAccountName";
    KS203
        "the lifetime asked for the identity token is not usable"
        "set azure.workload.identity/service-account-token-expiration to whole seconds from 3600 \
         to 86400";
    KS204
        "something else is mounted where the identity token goes"
        "mount the other volume at another path";
    KS205
        "the managed-identity proxy sidecar is not supported"
        "remove the annotation azure.workload.identity/inject-proxy-sidecar, or set it to \
         \"false\"; current Azure SDKs use the injected environment";
    KS206
        "the pod uses a container or volume name that belongs to the sidecar"
        "rename it: the container keysluice, the volume keysluice-run and volumes \
         azure-workload-identity-reserved-… are reserved, and azure-identity-token with the token \
         layout v1.5";
    KS207
        "the SecretProviderClass does not exist"
        "create it in the pod's namespace, or correct volumeAttributes.secretProviderClass";
    KS208
        "the Secrets Store CSI volume is incomplete"
        "set csi.readOnly to true and volumeAttributes.secretProviderClass to the name of a class";
    KS209
        "an annotation of Keysluice has a value it cannot have"
        "correct the value; docs/annotations.md lists what each annotation takes";
    KS210
        "an annotation below keysluice.dev/ does not exist"
        "correct its name; docs/annotations.md lists them all";
    KS211
        "keysluice.dev/after names no native sidecar of the pod"
        "name an init container with restartPolicy Always, or remove the annotation";
    KS212
        "the secrets would wait for the mesh's proxy and the proxy for the secrets"
        "run the mesh with native sidecars, or exclude the authority and the vaults from capture \
         (traffic.sidecar.istio.io/excludeOutboundPorts: \"443\", \
         config.linkerd.io/skip-outbound-ports: \"443\"), or set keysluice.dev/gate: none";
    KS213
        "not every container can read every file"
        "set securityContext.fsGroup on the pod and filePermission: \"0440\" on the object, or run \
         the containers with one uid";
    KS214
        "the pod needs more than one Plan holds"
        "split objects or containers over several pods, or shorten names and aliases: a Plan must \
         fit into an environment variable";
    KS215
        "service-principal credentials are not supported by this version"
        "use workload identity: remove nodePublishSecretRef and set clientID in the class or \
         azure.workload.identity/client-id on the ServiceAccount";
    KS216
        "Secrets Store CSI volumes of Windows pods cannot be served"
        "leave them to the CSI driver: keysluice.dev/csi-volumes: leave";
    KS217
        "a Secrets Store CSI volume was added after the sidecar"
        "let the webhook that adds the volume run first: configurations are called in the order of \
         their names";
    KS218
        "fileOwner is not a uid that the sidecar can run as"
        "files belong to the sidecar, which runs as the non-root user of the containers that mount \
         the volume: set runAsUser there to the same uid, or leave fileOwner out and share the \
         file by fileGroup or fsGroup";
    KS219
        "fileGroup is not a group of the sidecar"
        "set securityContext.fsGroup on the pod to that gid, or list it in supplementalGroups";
    KS220
        "what the pod gets is larger than a cluster stores"
        "split it: etcd stores 1.5 MiB of an object";
    KS221
        "the pod has more containers than a node runs"
        "split it over several pods";
    KS222
        "a name is longer than Kubernetes allows"
        "shorten it: names of containers and volumes have at most 63 characters, others 253";
    KS223
        "an id of the ServiceAccount is longer than any id"
        "write the client id (a GUID) or the tenant id as Azure shows it";
    KS224
        "the pod needs a Secret that its own secretObjects would create"
        "read the file from the volume instead of the Secret, make the reference optional, or \
         leave the pod's volumes to the Secrets Store CSI driver where it is installed: annotation \
         keysluice.dev/csi-volumes: leave";
    KS225
        "a container named keysluice would use endpoints that are not the operator's"
        "remove the container: the webhook adds the sidecar, with the clouds, vaults and tenants \
         that the operator of Keysluice allows";
    KS230
        "the sidecar cannot use the token of the custom token endpoint"
        "remove the annotation azure.workload.identity/use-…, or give the class a managed identity \
         (useVMManagedIdentity), or leave the volume to the CSI driver: keysluice.dev/csi-volumes: \
         leave";
    KS231
        "the annotations are too large"
        "shorten them: the API server takes at most 256 KiB of a pod's annotations";
    KS232
        "the pod names too many SecretProviderClasses that are still to be read"
        "create the classes before the pod, or create the pod again a second later; name fewer \
         classes, or smaller ones";
    KS250
        "the ServiceAccount has no client id"
        "annotate it with azure.workload.identity/client-id";
    KS251
        "a container may not be able to read a file"
        "set runAsUser on the container, or a filePermission with world-read";
    KS252
        "a subPath mount never shows a rotated secret"
        "mount the whole volume and read the file below it";
    KS253
        "secretObjects are not synced by this version"
        "read the file from the volume; where an Ingress or another pod needs the Secret, keep the \
         CSI driver for this pod (keysluice.dev/csi-volumes: leave)";
    KS254
        "what envFrom supplies may be overridden: it cannot be seen at admission"
        "leave the variables to envFrom with keysluice.dev/env-from-wins: \"AZURE_CLIENT_ID\", or \
         put them into env";
    KS255
        "an id of the ServiceAccount does not look like one"
        "use the client id (not the object id or the name) of the identity";
    KS256
        "an annotation looks like one of the identity's and is none"
        "correct its name";
    KS257
        "an annotation gives an identity to a container that the pod does not have"
        "correct the container's name in keysluice.dev/client-ids or keysluice.dev/tenant-ids";
    KS258
        "an optional Secret of the pod's own secretObjects is not created by this version"
        "read the file instead, or keep the CSI driver (keysluice.dev/csi-volumes: leave): without \
         the Secret the container starts without what it would hold";
    KS259
        "fileOwner decides as whom the sidecar runs, because no container says"
        "set runAsUser on the container; where the cluster gives uids (OpenShift) leave fileOwner \
         out: the files belong to the uid it gives";
    KS260
        "an annotation about the sidecar's CPU has no effect"
        "remove it: the pod has CPU requests or limits as a whole (spec.resources), which its \
         containers share";
    KS270
        "the pod's token volume is another webhook's"
        "nothing, if that webhook is configured so; else give both the same audience and token \
         endpoint";
    KS271
        "the pod carries the managed-identity proxy of Azure Workload Identity"
        "move to the injected environment and remove the annotation \
         azure.workload.identity/inject-proxy-sidecar before that webhook goes: without it the \
         annotation is refused (KS205)";
    KS272
        "an annotation comes too late for a variable"
        "remove the variable from the container's env; if another webhook adds it, the annotation \
         works once that one is gone";
    KS273
        "an annotation comes too late for the token's path: another webhook mounts it"
        "remove keysluice.dev/token-layout; if another webhook mounts the token, the annotation \
         works once that one is gone";
}

// KS7xx: the webhook's own start and service.
reasons! { SERVER:
    KS701
        "the request is not an AdmissionReview"
        "only the API server calls this path; `keysluice explain -f pod.yaml` shows what it would \
         answer";
    KS702
        "the request body is too large"
        "a review is at most 7 MiB";
    KS703
        "the cluster's objects cannot be read"
        "see the webhook's log and its /readyz; kubectl and controllers create the pod again after \
         a second";
    KS704
        "a manifest cannot be read"
        "correct the file; the message names file, document and line";
    KS705
        "there is no API server to ask"
        "run in a pod with a ServiceAccount, name an API server with --kubeconfig FILE, or \
         manifests with --objects PATH";
    KS706
        "the webhook has too much to do"
        "nothing: the API server, kubectl or the controller tries again after a second; if it \
         lasts, run more replicas";
    KS707
        "certificates and caBundle cannot be kept in step"
        "see the message: the webhook's ServiceAccount needs get and patch on its own Secret and \
         webhook configuration, by name, and create on secrets in its namespace; a Secret that is \
         immutable has to be deleted, the webhook makes a new one";
    KS708
        "the lifetimes of the certificates do not fit together"
        "make the certificate authority live at least three times as long as a certificate, and \
         ten times as long as the propagation";
    KS709
        "the webhook failed at this pod: a bug"
        "report it with the pod's manifest and the line \"panicked\" of the webhook's log; the \
         same pod fails again";
    KS715
        "failurePolicy or the guard cannot be tightened"
        "see the message: the webhook's ServiceAccount needs get and patch on its own webhook \
         configuration and Secret, by name";
    // What the chart's policies answer, which work without the webhook.
    KS720
        "a labelled pod got no identity token: no webhook saw it"
        "look whether the webhook runs and its configuration is there (`kubectl get \
         mutatingwebhookconfiguration keysluice`), then create the pod again";
    KS721
        "a container named keysluice is not what the sidecar is"
        "rename the container; where another webhook rewrites the sidecar's image, name that \
         image's repository in guard.imageRepositories of the chart, or in policy \
         keysluice-guard-sidecar of install.yaml; where one adds what the guard does not know, \
         exempt the container keysluice there, or set guard.sidecar to false; where the sidecar of \
         every pod is refused, the guard knows another image than the webhook injects: \
         install.yaml was edited in one place only (docs/install.md has the command), or there is \
         a second installation (`kubectl get mutatingwebhookconfigurations`)";
    KS722
        "the webhook tried to change more of its own configuration than caBundle, its path, or \
         failurePolicy to Fail"
        "nothing was changed; look who acts as the webhook's ServiceAccount, it may not be the \
         webhook";
    KS723
        "the webhook tried to write another Secret than its own, or more of its own than data"
        "nothing was written; look who acts as the webhook's ServiceAccount, it may not be the \
         webhook";
    KS725
        "the cluster's Kubernetes is too old"
        "upgrade it to 1.30 or later: native sidecars, match conditions and policies are not all \
         there before";
    // What is found before an installation.
    KS727
        "the API server does not serve what the chart is made of"
        "enable admissionregistration.k8s.io/v1 with its admission policies (--runtime-config of \
         the API server)";
    KS728
        "the cluster cannot be looked at before an installation"
        "see the message: a right is missing, or the API server is not reachable from the \
         namespace of the installation";
    KS729
        "there is another installation of Keysluice"
        "one a cluster: upgrade that one (helm list --all-namespaces), or uninstall it first; \
         where only its guard is left, delete the policy that the message names";
    KS730
        "the sidecar's image cannot be pulled"
        "correct injector.image of the chart, or put the image into that registry; where the \
         registry asks for a Secret, imagePullSecrets of the chart names it for the namespace of \
         the installation, and each namespace with such pods needs its own";
    KS731
        "the sidecar's image does not run"
        "name the injector's image in injector.image of the chart, built for the architecture of \
         the nodes";
    KS732
        "Azure Workload Identity's webhook is there too"
        "nothing, for as long as both are wanted: what it writes is kept; \
         docs/azure-workload-identity.md has the steps to one of both";
    KS733
        "pods with a sidecar may need a pull Secret of their own"
        "where the sidecar's image needs one, name it in imagePullSecrets of the pods or their \
         ServiceAccounts, or put the image into a registry that asks for none";
    // What `explain`, `plan` and `--objects` find in files.
    KS736
        "a value of a manifest is a boolean or a number where Kubernetes wants text"
        "quote it";
    KS737
        "a file, or a part of it, is not read"
        "correct the file, or move it out of the directory; render a Helm template with helm \
         template";
    KS738
        "a key is there twice"
        "delete one of them: helm and server-side apply take the last, client-side checks refuse \
         both";
    KS739
        "an object of a manifest is not looked at"
        "run explain on what it makes: the pods, or a workload with a pod template";
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
