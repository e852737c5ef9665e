//! `KS2xx`: the pod and its annotations; from `KS250` on, admission warnings.

use keysluice_plan::reasons;

reasons! { POD:
    KS201
        "the AdmissionReview or its pod cannot be read"
        "send a core/v1 Pod in an admission.k8s.io/v1 AdmissionReview";
    KS202
        "the pod's ServiceAccount does not exist"
        "create the ServiceAccount before the pod, or correct serviceAccountName";
    KS203
        "the lifetime of the identity token is not valid"
        "write whole seconds from 3600 to 86400, in the annotation \
         azure.workload.identity/service-account-token-expiration";
    KS204
        "another volume is mounted at the path of the identity token"
        "mount the other volume at another path";
    KS205
        "the managed-identity endpoint cannot be served in this pod"
        "remove the annotation that asks for it (azure.workload.identity/inject-proxy-sidecar or \
         keysluice.dev/managed-identity-endpoint), and use the injected AZURE_ variables, which \
         current Azure SDKs read; or remove hostNetwork: true";
    KS206
        "the pod uses a container or volume name that is reserved for the sidecar"
        "rename the container or volume; reserved are the containers keysluice and \
         keysluice-intercept, the volumes \
         keysluice-run, keysluice-api, keysluice-inline, keysluice-env, keysluice-env-from, \
         keysluice-exec and azure-workload-identity-reserved-…, and with the token layout v1.5 \
         the volume azure-identity-token";
    KS207
        "the SecretProviderClass does not exist"
        "create it in the pod's namespace, or correct volumeAttributes.secretProviderClass or \
         keysluice.dev/env-from";
    KS208
        "the Secrets Store CSI volume is incomplete"
        "set csi.readOnly and secretProviderClass: csi.readOnly to true, \
         volumeAttributes.secretProviderClass to the name of a class";
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
    KS216
        "the sidecar runs on Linux, and the pod is for Windows nodes"
        "leave Secrets Store CSI volumes to the CSI driver: keysluice.dev/csi-volumes: leave; \
         inline annotations are for Linux pods only; for a pod that runs on Linux, set \
         nodeSelector kubernetes.io/os: linux";
    KS217
        "a Secrets Store CSI volume was added after the sidecar"
        "let the webhook that adds the volume run before Keysluice: webhook configurations are \
         called in the order of their names";
    KS218
        "the sidecar cannot run as the fileOwner"
        "set runAsUser of the containers that mount the volume to that uid: files belong to the \
         sidecar, which runs as their non-root user; or leave fileOwner out and share the file by \
         fileGroup or fsGroup";
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
        "the pod cannot start before its own sidecar has made a Secret"
        "let another pod make the Secret: `keysluice render sync` prints a Deployment for that; or \
         make the reference optional, or leave the pod's volumes to the Secrets Store CSI driver \
         where it is installed: annotation keysluice.dev/csi-volumes: leave";
    KS225
        "a container named keysluice would use endpoints that the operator does not allow"
        "remove the container; the webhook adds the sidecar, with the clouds, vaults and tenants \
         that the operator of Keysluice allows";
    KS226
        "two SecretProviderClasses or volumes of the pod make Secrets of one name"
        "rename one of them in secretObjects, and where it is used; write a class of its own for \
         each of two volumes whose attributes lead to other objects";
    KS227
        "the pod's SecretProviderClasses make more than 13 Secrets"
        "split the classes over several pods, or collect keys in fewer Secrets; the guard checks \
         the rights of the ServiceAccount for at most 13 Secrets";
    KS228
        "an annotation names a Secret that no class of the pod makes"
        "correct the name; it is a secretName in secretObjects of a SecretProviderClass of \
         provider azure that a volume of the pod names, and that is not left to the CSI driver";
    KS229
        "a volume with a Secret of the pod's own sidecar cannot be served"
        "mount the volume of the SecretProviderClass, which has the same files; a projected volume \
         may have several such Secrets, but no other sources beside them";
    KS230
        "the sidecar cannot use the token of the custom token endpoint"
        "set the URL of the token proxy (customTokenEndpoint.azureKubernetesTokenProxy of the \
         chart), or remove the annotation azure.workload.identity/use-…, or use a managed \
         identity in the class (useVMManagedIdentity), or leave the volume to the CSI driver: \
         keysluice.dev/csi-volumes: leave";
    KS231
        "the annotations exceed 256 KiB"
        "shorten the annotations; the API server accepts at most 256 KiB per pod";
    KS232
        "the pod names too many SecretProviderClasses that are not in the cache yet"
        "create the classes before the pod, or create the pod again a second later; use fewer or \
         smaller classes";
    KS233
        "a reaction to changed files is not supported by this version"
        "write evict or rollout without a container; restart@CONTAINER and \
         signal:HUP@CONTAINER are for one container";
    KS234
        "an annotation for a reaction to changed files has no effect"
        "correct keysluice.dev/on-change: remove keysluice.dev/on-change-of and \
         keysluice.dev/on-change-spread from a pod without keysluice.dev/on-change; set \
         keysluice.dev/on-change on the pod template of a pod whose Secrets Store CSI volumes the \
         sidecar serves, if a CSI driver is installed with keysluice.dev/csi-volumes: replace";
    KS235
        "keysluice.dev/on-change-of names a file that the pod does not have"
        "correct the path; it is relative to the volume, with the alias of the object if it has \
         one";
    KS236
        "the sidecar cannot signal the processes of a container"
        "set spec.shareProcessNamespace: true, and runAsUser and runAsGroup in the \
         securityContext of the pod, so that container and sidecar have one uid and gid; or name \
         the container that is meant, as in signal:HUP@app; or let the application reload on a \
         request: keysluice.dev/on-change: http://127.0.0.1:8080/reload";
    KS237
        "keysluice.dev/on-change names a container that the pod does not have"
        "name a container of spec.containers, or none for all of them";
    KS238
        "a container that ends does not start again"
        "set restartPolicy: Always, or use a signal or a URL on the loopback in \
         keysluice.dev/on-change";
    KS239
        "a request to the loopback could reach another process of the node"
        "remove hostNetwork: true, or use a signal or a restart in keysluice.dev/on-change";
    KS240
        "a container sets the variable KEYSLUICE_CONTAINER itself"
        "remove the variable from env of the container";
    KS241
        "no controller creates the pod again"
        "create the pod by a Deployment, StatefulSet or DaemonSet; or use a restart, a signal or a \
         URL on the loopback in keysluice.dev/on-change";
    KS242
        "the pod of a Job cannot evict itself without failing the Job"
        "use a restart, a signal or a URL on the loopback in keysluice.dev/on-change, or none: the \
         next Job has the new secrets";
    KS243
        "the pod's owner cannot be rolled out"
        "use evict in keysluice.dev/on-change, which needs no change of the owner; or let a \
         Deployment, StatefulSet or DaemonSet of apps/v1 create the pod";
    KS244
        "the pod's ReplicaSet is not of a Deployment"
        "use evict in keysluice.dev/on-change, or create the pods by a Deployment (apps/v1)";
    KS250
        "the ServiceAccount has no client id"
        "annotate the ServiceAccount with azure.workload.identity/client-id";
    KS251
        "a container may be unable to read a file"
        "set runAsUser on the container, or a filePermission that lets every user read";
    KS252
        "a subPath mount does not show rotated secrets, and is an empty directory without its file"
        "mount the whole volume and read the file below the mount";
    KS254
        "an injected variable may override one from envFrom, whose content is unknown at admission"
        "leave the variables to envFrom with keysluice.dev/env-from-wins: \"AZURE_CLIENT_ID\", or \
         define them in env";
    KS255
        "a client id or tenant id of the ServiceAccount or of an annotation has an unexpected \
         format"
        "use the client id of the identity, not its object id or name";
    KS256
        "an annotation resembles an Azure Workload Identity annotation but is unknown"
        "correct the name of the annotation";
    KS257
        "an annotation gives an identity to a container that the pod does not have"
        "correct the container's name in keysluice.dev/client-ids or keysluice.dev/tenant-ids";
    KS258
        "an optional Secret that the pod's own sidecar makes may be missing when the pod starts"
        "read the file from the volume of the SecretProviderClass instead, or give the Secret a \
         volume of its own";
    KS259
        "the sidecar runs as fileOwner, because no container sets runAsUser"
        "set runAsUser on the container; on a cluster that assigns uids (OpenShift), leave \
         fileOwner out: the files then belong to the assigned uid";
    KS260
        "an annotation for the sidecar's CPU has no effect"
        "remove the annotation; the pod sets CPU requests or limits for the whole pod \
         (spec.resources), which its containers share; in a Guaranteed pod the sidecar requests \
         keysluice.dev/cpu-limit";
    KS261
        "an annotation of Reloader watches objects that the sidecar does not write"
        "set keysluice.dev/on-change on the pod template, for instance to restart; or sync a \
         Secret (secretObjects) and name it in secret.reloader.stakater.com/reload";
    KS262
        "inline annotations need the label azure.workload.identity/use"
        "set the label azure.workload.identity/use: \"true\" on the pod: without it the webhook \
         does not see the pod, and the secrets are fetched with its identity";
    KS263
        "an inline annotation has no effect"
        "set it with the annotation that it belongs to: keysluice.dev/template.NAME and mount-path \
         belong to keysluice.dev/file.NAME, vault to file.NAME and env.NAME, env-mode to env.NAME \
         and env-from, containers to all of these; set them on the pod template, before the pod is \
         created";
    KS264
        "a container cannot get the files or variables of inline annotations"
        "correct keysluice.dev/containers: it names containers of the pod that start after the \
         sidecar; keysluice.dev/after moves the sidecar";
    KS265
        "the mount path of inline files is not free, or not valid"
        "set keysluice.dev/mount-path to a free absolute path, at which and below which no \
         container mounts anything, and which is not in the volume of a class";
    KS266
        "a container cannot be started with its variables by the sidecar's program"
        "set command on the container (the ENTRYPOINT and CMD of its image); or set \
         keysluice.dev/env-mode: file, which needs Kubernetes 1.35; or leave the container out \
         with keysluice.dev/containers; with exec the gate must be hook or probe";
    KS267
        "the objects of a SecretProviderClass cannot become variables"
        "give the object another objectAlias, of letters, digits, -, _ and . that is unique; use \
         keysluice.dev/env.NAME for single objects";
    KS268
        "a variable of an inline annotation has no effect: the container sets it already"
        "remove the variable from the container's env, or the annotation";
    KS269
        "a reference such as $(NAME) to a variable of an inline annotation is not expanded"
        "set keysluice.dev/env-mode: file; or let a shell in the container read the variable: \
         command: [sh, -c, 'exec app --password \"$NAME\"']";
    KS270
        "the token volume of the pod belongs to another webhook"
        "no action is needed if the other webhook is configured that way; otherwise give both \
         webhooks the same audience and token endpoint";
    KS271
        "the pod contains the managed-identity proxy of Azure Workload Identity"
        "no action is needed: the pod keeps that proxy; once that webhook is removed, new pods \
         get Keysluice's managed-identity endpoint instead";
    KS272
        "an annotation has no effect: the variable is already set"
        "remove the variable from the container's env; if another webhook adds it, the annotation \
         takes effect after that webhook is removed";
    KS273
        "an annotation has no effect: another webhook already mounts the token"
        "remove keysluice.dev/token-layout; the annotation takes effect after the other webhook is \
         removed";
    KS274
        "an annotation for the managed-identity endpoint has an invalid value"
        "correct the value: azure.workload.identity/inject-proxy-sidecar is \"true\" or \"false\", \
         and azure.workload.identity/proxy-sidecar-port a port from 1024 to 65535, because the \
         sidecar is not root and may not bind a lower one";
    KS275
        "a container uses the port of the managed-identity endpoint"
        "set another port, with azure.workload.identity/proxy-sidecar-port or \
         keysluice.dev/managed-identity-endpoint";
    KS276
        "the managed-identity endpoint has no identity to give tokens of"
        "annotate the ServiceAccount (azure.workload.identity/client-id), or name client ids in \
         keysluice.dev/managed-identities; each id names one identity";
    KS277
        "a sidecar that ends cannot serve the managed-identity endpoint"
        "let the sidecar stay, with keysluice.dev/mode: sidecar on the pod, or remove the \
         annotation that asks for the endpoint";
    KS278
        "a container does not use the pod's managed-identity endpoint: it sets IDENTITY_ENDPOINT \
         or IDENTITY_HEADER itself"
        "remove both variables from the container's env; or leave them, if the container is to \
         ask another endpoint";
    KS279
        "an annotation for the managed-identity endpoint has no effect"
        "set it on the pod template, with the label azure.workload.identity/use: \"true\", before \
         the pod is created; keysluice.dev/managed-identities belongs to \
         keysluice.dev/managed-identity-endpoint";
    KS280
        "the operator does not allow the interception of 169.254.169.254"
        "write \"true\" instead of intercept, in keysluice.dev/managed-identity-endpoint, and let \
         the application find the endpoint by IDENTITY_ENDPOINT; or have the operator set \
         managedIdentityEndpoint.allowIntercept of the chart to true, and create the pod in a \
         namespace with Pod Security privileged";
    KS281
        "the sidecar intercepts 169.254.169.254, which its own identity needs"
        "set clientID in the class (instead of useVMManagedIdentity) to use the pod's federated \
         identity, or set keysluice.dev/managed-identity-endpoint to \"true\"";
    KS282
        "a sysctl keeps the sidecar from listening on 169.254.169.254:80"
        "remove the sysctl, net.ipv4.ip_unprivileged_port_start, from the pod: the webhook then \
         sets it to 80; or set it to \"80\" or less";
    KS283
        "a container uses port 80, on which the sidecar intercepts 169.254.169.254"
        "let it listen on another port: a container that listens on port 80 of all addresses \
         cannot start beside the sidecar; or set keysluice.dev/managed-identity-endpoint to \
         \"true\"";
    KS284
        "169.254.169.254 cannot be intercepted on a virtual node"
        "remove the node selector, affinity or toleration for virtual nodes, or set \
         keysluice.dev/managed-identity-endpoint to \"true\"";
    KS285
        "an init container starts before 169.254.169.254 is intercepted"
        "no action is needed if the init container asks for no token there; otherwise remove \
         keysluice.dev/after, or move the init container behind the one that it names";
    KS290
        "a variable takes a key that a Secret of the pod's own sidecar does not have"
        "write a key of secretObjects, or add one to the class; a container does not start before \
         the key exists";
    KS291
        "an annotation on a workload itself has no effect on its pods"
        "move it to metadata of the pod template";
    KS292
        "an annotation has no effect on a pod whose secrets are fetched only once"
        "remove it, or set keysluice.dev/mode: sidecar";
    KS294
        "an init container mounts a volume of the sidecar and starts before it"
        "move the init container behind the native sidecar that the sidecar starts after: a \
         mesh's, or the one that keysluice.dev/after names; or remove that annotation; let a \
         webhook that adds such a container run before Keysluice";
    KS296
        "a workload has more warnings than the API server shows"
        "run `keysluice explain -f FILE`, which prints all of them";
    KS297
        "the sidecar cannot have the port for its metrics"
        "set another port with keysluice.dev/metrics-port; a pod with hostNetwork or with \
         keysluice.dev/mode: init cannot have one, remove the annotation there";
}
